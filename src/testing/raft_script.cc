#include "testing/raft_script.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "raft/describe.h"

namespace arima::testing {

using raft::ConfOp;
using raft::Describe;
using raft::Index;
using raft::MemberId;
using raft::Message;
using raft::Term;

namespace {

std::string Indent(const std::string& text) {
  std::string out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out += "  " + line + "\n";
  return out;
}

std::string Block(std::string_view head, MemberId id, const std::string& text) {
  return "> " + std::to_string(id.value) + " " + std::string(head) + "\n" + Indent(text);
}

std::vector<MemberId> Ids(const ScriptCommand& command, std::string_view key) {
  std::vector<MemberId> ids;
  if (const auto* values = command.Find(key)) {
    for (const std::string& value : *values) ids.emplace_back(ParseNumber(value).value_or(0));
  }
  return ids;
}

raft::MemberInfo Info(MemberId id) {
  raft::MemberInfo info;
  info.id = id;
  info.name = "n" + std::to_string(id.value);
  return info;
}

raft::ConfState Conf(std::vector<MemberId> voters, std::vector<MemberId> learners, Index index) {
  raft::ConfState conf;
  conf.voters = std::move(voters);
  conf.learners = std::move(learners);
  if (conf.voters.empty()) return conf;
  conf.index = index;
  for (const auto* ids : {&conf.voters, &conf.learners}) {
    for (MemberId id : *ids) {
      conf.members[id] = Info(id);
      conf.next_member_id = std::max(conf.next_member_id, id + 1);
    }
  }
  return conf;
}

raft::Entry NoopOf(Term term, Index index) {
  raft::Entry entry{term, index, raft::EntryKind::kNoop, 0, {}};
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  return entry;
}

// "2" is a noop of term 2, "2:A" a command with payload A.
raft::Entry EntryOf(const std::string& text, Index index) {
  size_t colon = text.find(':');
  raft::Entry entry = NoopOf(Term(ParseNumber(text.substr(0, colon)).value_or(0)), index);
  if (colon == std::string::npos) return entry;
  entry.kind = raft::EntryKind::kCommand;
  entry.payload = SharedBytes::Copy(text.substr(colon + 1));
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  return entry;
}

// A positional argument that must be a number.
Result<uint64_t> NumberAt(const ScriptCommand& command, size_t position) {
  std::vector<std::string> words = command.Positional();
  std::optional<uint64_t> number;
  if (position < words.size()) number = ParseNumber(words[position]);
  if (!number) {
    return Fail(Code::kInvalidArgument,
                command.name + " needs a number as argument " + std::to_string(position + 1));
  }
  return *number;
}

std::string ErrorText(const Error& error) { return "error: " + error.message + "\n"; }

uint32_t Small(uint64_t number) { return static_cast<uint32_t>(number); }

}  // namespace

const std::map<std::string, RaftScript::Verb, std::less<>>& RaftScript::Verbs() {
  static const std::map<std::string, Verb, std::less<>> kVerbs = {
      {"add-nodes", &RaftScript::AddNodes},
      {"campaign", &RaftScript::Campaign},
      {"election-timeout", &RaftScript::ElectionTimeout},
      {"tick", &RaftScript::TickNodes},
      {"tick-election", &RaftScript::TickNodes},
      {"tick-heartbeat", &RaftScript::TickNodes},
      {"forget-leader", &RaftScript::Forget},
      {"propose", &RaftScript::ProposeText},
      {"propose-conf", &RaftScript::ProposeChange},
      {"read", &RaftScript::AskRead},
      {"transfer", &RaftScript::TransferTo},
      {"compact", &RaftScript::CompactLog},
      {"unreachable", &RaftScript::ReportPeer},
      {"leader-lost", &RaftScript::ReportPeer},
      {"restart", &RaftScript::RestartNode},
      {"lose-log", &RaftScript::LoseLog},
      {"ready", &RaftScript::Ready},
      {"deliver", &RaftScript::DeliverSome},
      {"append", &RaftScript::Append},
      {"apply", &RaftScript::Apply},
      {"stabilize", &RaftScript::Stabilize},
      {"send-snapshot", &RaftScript::SendSnapshot},
      {"snapshot-ready", &RaftScript::ReportSnapshot},
      {"snapshot-sent", &RaftScript::ReportSnapshot},
      {"forge-app", &RaftScript::ForgeApp},
      {"log", &RaftScript::ShowLog},
      {"state", &RaftScript::ShowState},
      {"status", &RaftScript::ShowStatus},
      {"network", &RaftScript::ShowNetwork},
  };
  return kVerbs;
}

std::string RaftScript::Handle(const ScriptCommand& command) {
  auto verb = Verbs().find(command.name);
  if (verb == Verbs().end()) return "error: unknown verb " + command.name;
  std::string text = (this->*verb->second)(command);
  for (const auto& [id, node] : nodes_) {
    if (Status s = node->core().CheckInvariants(); !s) {
      text += "error: invariant of node " + std::to_string(id.value) + ": " + s.error().message;
    }
  }
  if (command.Flag("quiet") && text.find("error: ") == std::string::npos) return "";
  return text;
}

// ---------------------------------------------------------------- nodes

RaftNode* RaftScript::Find(MemberId id) {
  auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : found->second.get();
}

Result<RaftNode*> RaftScript::Node(const ScriptCommand& command) {
  Result<uint64_t> id = NumberAt(command, 0);
  if (!id) return std::unexpected(id.error());
  RaftNode* node = Find(MemberId(*id));
  if (node == nullptr) return Fail(Code::kNotFound, "no node " + std::to_string(*id));
  return node;
}

Result<std::vector<RaftNode*>> RaftScript::Nodes(const ScriptCommand& command) {
  std::vector<RaftNode*> found;
  for (const std::string& word : command.Positional()) {
    RaftNode* node = Find(MemberId(ParseNumber(word).value_or(0)));
    if (node == nullptr) return Fail(Code::kNotFound, "no node " + word);
    found.push_back(node);
  }
  if (found.empty()) {
    for (const auto& [id, node] : nodes_) found.push_back(node.get());
  }
  return found;
}

RaftNodeOptions RaftScript::NodeOptions(const ScriptCommand& command, MemberId id) const {
  RaftNodeOptions options;
  raft::Config& config = options.config;
  config.id = id;
  config.seed = id.value;
  config.election_ticks = Small(command.Number("election-ticks", 3));
  config.heartbeat_ticks = Small(command.Number("heartbeat-ticks", 1));
  config.pre_vote = command.Flag("prevote");
  config.check_quorum = command.Flag("checkquorum");
  config.check_conf_proposals = command.Flag("check-conf", true);
  config.require_caught_up_learner = command.Flag("caught-up");
  config.step_down_on_removal = command.Flag("step-down", true);
  config.forward_proposals = command.Flag("forward", true);
  config.max_inflight_msgs = Small(command.Number("inflight", config.max_inflight_msgs));
  config.max_msg_bytes = command.Number("max-msg-bytes", config.max_msg_bytes);
  config.max_inflight_bytes = command.Number("max-inflight-bytes", config.max_inflight_bytes);
  config.max_apply_bytes = command.Number("max-apply-bytes", config.max_apply_bytes);
  config.max_uncommitted_bytes =
      command.Number("max-uncommitted-bytes", config.max_uncommitted_bytes);
  options.async = command.Flag("async");
  options.manual_snapshots = command.Flag("manual-snapshots");

  std::vector<MemberId> voters = Ids(command, "voters");
  if (voters.empty()) return options;
  const Index index(command.Number("index", 10));
  options.snapshot = {raft::kFirstSnapshotTerm, index};
  options.conf = Conf(voters, Ids(command, "learners"), index);
  Index last = index;
  Term term = options.snapshot.term;
  if (const auto* terms = command.Find("log")) {
    for (const std::string& text : *terms) {
      term = Term(ParseNumber(text).value_or(0));
      options.entries.push_back(NoopOf(term, ++last));
    }
  }
  options.hard_state = {Term(command.Number("term", term.value)), MemberId(0), index};
  return options;
}

std::string RaftScript::AddNodes(const ScriptCommand& command) {
  Result<uint64_t> count = NumberAt(command, 0);
  if (!count) return ErrorText(count.error());
  std::string text;
  for (uint64_t i = 0; i < *count; ++i) {
    MemberId id(nodes_.size() + 1);
    RaftNodeOptions options = NodeOptions(command, id);
    if (Status s = options.config.Validate(); !s) return ErrorText(s.error());
    auto node = std::make_unique<RaftNode>(std::move(options));
    raft::CoreStatus status = node->core().Status();
    text += std::to_string(id.value) + ": " + Describe(status.soft) +
            " last=" + Describe(raft::EntryId{status.last_term, status.last}) + " " +
            Describe(*status.conf) + "\n";
    nodes_[id] = std::move(node);
  }
  return text;
}

// ---------------------------------------------------------------- inputs

std::string RaftScript::Campaign(const ScriptCommand& command) {
  Result<std::vector<RaftNode*>> nodes = Nodes(command);
  if (!nodes) return ErrorText(nodes.error());
  for (RaftNode* node : *nodes) node->Step(raft::Campaign{});
  return "";
}

std::string RaftScript::ElectionTimeout(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  Result<uint64_t> ticks = NumberAt(command, 1);
  if (!ticks) return ErrorText(ticks.error());
  (*node)->core().SetRandomizedElectionTimeout(Small(*ticks));
  return "";
}

std::string RaftScript::TickNodes(const ScriptCommand& command) {
  if (command.name == "tick") {
    Result<RaftNode*> node = Node(command);
    if (!node) return ErrorText(node.error());
    uint64_t count = NumberAt(command, 1).value_or(1);
    for (uint64_t i = 0; i < count; ++i) (*node)->Tick();
    return "";
  }
  Result<std::vector<RaftNode*>> nodes = Nodes(command);
  if (!nodes) return ErrorText(nodes.error());
  for (RaftNode* node : *nodes) {
    const raft::Config& config = node->config();
    uint32_t count =
        command.name == "tick-election" ? config.election_ticks : config.heartbeat_ticks;
    for (uint32_t i = 0; i < count; ++i) node->Tick();
  }
  return "";
}

std::string RaftScript::Forget(const ScriptCommand& command) {
  Result<std::vector<RaftNode*>> nodes = Nodes(command);
  if (!nodes) return ErrorText(nodes.error());
  for (RaftNode* node : *nodes) node->Step(raft::ForgetLeader{});
  return "";
}

std::string RaftScript::ProposeText(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  std::vector<std::string> words = command.Positional();
  raft::Propose propose;
  std::string text;
  for (size_t i = 1; i < words.size(); ++i) {
    raft::Proposal proposal;
    proposal.tag = ++tag_;
    proposal.payload = SharedBytes::Copy(words[i]);
    proposal.checksum = raft::EntryChecksum(proposal.kind, words[i]);
    propose.proposals.push_back(std::move(proposal));
    text += "#" + std::to_string(tag_) + "\n";
  }
  (*node)->Step(std::move(propose));
  return text;
}

std::string RaftScript::ProposeChange(const ScriptCommand& command) {
  static const std::map<char, ConfOp> kOps = {{'v', ConfOp::kAddVoter},
                                              {'l', ConfOp::kAddLearner},
                                              {'r', ConfOp::kRemove},
                                              {'u', ConfOp::kUpdate}};
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  raft::ProposeConf propose;
  propose.tag = ++tag_;
  std::vector<std::string> words = command.Positional();
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    auto op = kOps.find(word.front());
    std::optional<uint64_t> id = ParseNumber(std::string_view(word).substr(1));
    if (word == "auto") {
      propose.change.transition = raft::ConfTransition::kAuto;
    } else if (word == "implicit") {
      propose.change.transition = raft::ConfTransition::kJointImplicit;
    } else if (word == "explicit") {
      propose.change.transition = raft::ConfTransition::kJointExplicit;
    } else if (word == "force") {
      propose.force = true;
    } else if (op != kOps.end() && id) {
      propose.change.changes.push_back({op->second, Info(MemberId(*id))});
    } else {
      return "error: change " + word + "\n";
    }
  }
  (*node)->Step(std::move(propose));
  return "#" + std::to_string(tag_) + "\n";
}

std::string RaftScript::AskRead(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  (*node)->Step(raft::Read{++tag_});
  return "#" + std::to_string(tag_) + "\n";
}

std::string RaftScript::TransferTo(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  (*node)->Step(raft::Transfer{MemberId(NumberAt(command, 1).value_or(0))});
  return "";
}

std::string RaftScript::CompactLog(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  Result<uint64_t> index = NumberAt(command, 1);
  if (!index) return ErrorText(index.error());
  if (Index(*index) > (*node)->applied()) return "error: not applied\n";
  (*node)->Compact(Index(*index));
  return "first=" + std::to_string((*node)->log().snapshot().index.value + 1) + "\n";
}

std::string RaftScript::ReportPeer(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  Result<uint64_t> peer = NumberAt(command, 1);
  if (!peer) return ErrorText(peer.error());
  if (command.name == "unreachable") {
    (*node)->Step(raft::Unreachable{MemberId(*peer)});
  } else {
    (*node)->Step(raft::LeaderLost{MemberId(*peer)});
  }
  return "";
}

std::string RaftScript::RestartNode(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  (*node)->Restart();
  return "";
}

std::string RaftScript::LoseLog(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  Result<uint64_t> index = NumberAt(command, 1);
  if (!index) return ErrorText(index.error());
  const MemoryLog& log = (*node)->log();
  if (Index(*index) < log.snapshot().index || Index(*index) > log.last()) return "error: range\n";
  (*node)->RestartWithLoss(Index(*index));
  return "";
}

// ---------------------------------------------------------------- the driver in slow motion

std::string RaftScript::Ready(const ScriptCommand& command) {
  Result<std::vector<RaftNode*>> nodes = Nodes(command);
  if (!nodes) return ErrorText(nodes.error());
  std::string text;
  for (RaftNode* node : *nodes) {
    std::string done = node->Drain(&network_);
    text += nodes->size() == 1 ? done : Block("ready", node->id(), done);
  }
  return text;
}

std::string RaftScript::Deliver(MemberId to, const DeliverFilter& filter) {
  std::vector<Message> batch;
  std::vector<Message> kept;
  for (Message& m : network_) {
    bool wanted = m.to == to && batch.size() < filter.count_max &&
                  (filter.type.empty() || filter.type == MessageTypeName(m.type)) &&
                  (!filter.from || filter.from == m.from);
    (wanted ? batch : kept).push_back(std::move(m));
  }
  network_ = std::move(kept);
  RaftNode* node = Find(to);
  bool drop = node == nullptr || std::ranges::find(filter.drop, to) != filter.drop.end();
  std::string text;
  for (const Message& m : batch) {
    text += (drop ? "lost " : "") + Describe(m) + "\n";
    if (!drop) node->Receive(m);
  }
  return text;
}

std::string RaftScript::DeliverSome(const ScriptCommand& command) {
  DeliverFilter filter;
  filter.drop = Ids(command, "drop");
  filter.type = command.Get("type");
  filter.from = MemberId(command.Number("from", 0));
  filter.count_max = command.Number("count", UINT64_MAX);
  std::string text;
  std::vector<MemberId> targets;
  for (const std::string& word : command.Positional()) {
    targets.emplace_back(ParseNumber(word).value_or(0));
  }
  if (targets.empty() && filter.drop.empty()) {
    for (const auto& [id, node] : nodes_) targets.push_back(id);
  }
  for (MemberId id : targets) text += Deliver(id, filter);
  for (MemberId id : filter.drop) {
    if (std::ranges::find(targets, id) == targets.end()) text += Deliver(id, filter);
  }
  return text;
}

std::string RaftScript::Append(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  return (*node)->HasAppend() ? (*node)->RunAppend(&network_) : "nothing to write\n";
}

std::string RaftScript::Apply(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  return (*node)->HasApply() ? (*node)->RunApply() : "nothing to apply\n";
}

std::string RaftScript::Stabilize(const ScriptCommand& command) {
  Result<std::vector<RaftNode*>> nodes = Nodes(command);
  if (!nodes) return ErrorText(nodes.error());
  constexpr int kRoundsMax = 1000;
  std::string text;
  for (int round = 0; round < kRoundsMax; ++round) {
    const std::string before = text;
    bool busy = false;
    for (RaftNode* node : *nodes) {
      if (!node->HasOutput()) continue;
      std::string done = node->Drain(&network_);
      busy = true;
      if (!done.empty()) text += Block("ready", node->id(), done);
    }
    for (RaftNode* node : *nodes) {
      std::string done = Deliver(node->id(), {});
      if (!done.empty()) text += Block("receives", node->id(), done);
    }
    for (RaftNode* node : *nodes) {
      if (node->HasAppend()) text += Block("writes", node->id(), node->RunAppend(&network_));
    }
    for (RaftNode* node : *nodes) {
      if (node->HasApply()) text += Block("applies", node->id(), node->RunApply());
    }
    if (!busy && text == before) return text;
  }
  return text + "error: not stable after many rounds\n";
}

// ---------------------------------------------------------------- snapshots

std::string RaftScript::SendSnapshot(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  Message m;
  m.type = raft::MessageType::kSnap;
  m.from = (*node)->id();
  m.to = MemberId(NumberAt(command, 1).value_or(0));
  m.term = (*node)->core().Status().soft.term;
  m.snapshot = (*node)->MakeSnapshot();
  network_.push_back(m);
  return Describe(m) + "\n";
}

std::string RaftScript::ReportSnapshot(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  const MemberId peer(NumberAt(command, 1).value_or(0));
  raft::SnapshotMeta meta = (*node)->MakeSnapshot();
  if (command.name == "snapshot-ready") {
    (*node)->Step(raft::SnapshotReady{peer, meta, true});
    return Describe(meta) + "\n";
  }
  std::vector<std::string> words = command.Positional();
  bool ok = words.size() > 2 && words[2] == "ok";
  // The id of the newest snapshot made before this call.
  (*node)->Step(raft::SnapshotSent{peer, meta.snapshot_id - 1, ok});
  return "";
}

std::string RaftScript::ForgeApp(const ScriptCommand& command) {
  Message m;
  m.type = raft::MessageType::kApp;
  m.from = MemberId(NumberAt(command, 0).value_or(0));
  m.to = MemberId(NumberAt(command, 1).value_or(0));
  m.term = Term(command.Number("term", 0));
  m.commit = Index(command.Number("commit", 0));
  std::string prev = command.Get("prev");
  size_t slash = prev.find('/');
  if (slash == std::string::npos) return "error: prev=TERM/INDEX\n";
  m.log_term = Term(ParseNumber(prev.substr(0, slash)).value_or(0));
  m.index = Index(ParseNumber(prev.substr(slash + 1)).value_or(0));
  Index index = m.index;
  if (const auto* entries = command.Find("entries")) {
    for (const std::string& text : *entries) m.entries.push_back(EntryOf(text, ++index));
  }
  network_.push_back(m);
  return Describe(m) + "\n";
}

// ---------------------------------------------------------------- views

std::string RaftScript::ShowLog(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  raft::CoreStatus status = (*node)->core().Status();
  const MemoryLog& log = (*node)->log();
  std::string memory =
      "memory " + Describe(raft::EntryId{status.snapshot_term, status.snapshot_index}) + " |";
  std::string disk = "disk   " + Describe(log.snapshot()) + " |";
  for (Index i = status.snapshot_index + 1; i <= status.last; ++i) {
    Result<Term> term = (*node)->core().TermAt(i);
    memory += " " + (term ? Describe(raft::EntryId{*term, i}) : term.error().message);
  }
  for (const raft::Entry& entry : log.entries()) disk += " " + Describe(entry.id());
  return memory + "\n" + disk + "\nstable=" + std::to_string(status.stable.value) + " " +
         Describe(status.hard_state) + " applied=" + std::to_string(status.applied.value) + "\n";
}

std::string RaftScript::ShowState(const ScriptCommand& command) {
  Result<std::vector<RaftNode*>> nodes = Nodes(command);
  if (!nodes) return ErrorText(nodes.error());
  std::string text;
  for (RaftNode* node : *nodes) {
    raft::CoreStatus status = node->core().Status();
    text += std::to_string(node->id().value) + ": " + Describe(status.soft) +
            " vote=" + std::to_string(status.hard_state.vote.value) +
            " last=" + Describe(raft::EntryId{status.last_term, status.last}) +
            " commit=" + std::to_string(status.hard_state.commit.value) +
            " applied=" + std::to_string(status.applied.value) + " " + Describe(*status.conf) +
            "\n";
  }
  return text;
}

std::string RaftScript::ShowStatus(const ScriptCommand& command) {
  Result<RaftNode*> node = Node(command);
  if (!node) return ErrorText(node.error());
  std::string text;
  for (const raft::PeerStatus& peer : (*node)->core().Status().peers) text += Describe(peer) + "\n";
  return text;
}

std::string RaftScript::ShowNetwork(const ScriptCommand&) {
  std::string text;
  for (const Message& m : network_) text += Describe(m) + "\n";
  return text;
}

}  // namespace arima::testing
