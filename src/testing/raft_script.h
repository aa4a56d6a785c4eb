// Golden scripts over several raft cores (docs/design/raft.md section 3).
//
// One RaftScript is one scenario: nodes with logs in memory, and a network that is a list of
// messages under way, which moves only when the script says so. Verbs (N: one or more node ids; a
// list of several means in that order; no id means all nodes):
//
//   add-nodes COUNT [voters=(..)] [learners=(..)] [index=I] [term=T] [log=(t1,t2,..)]
//       [async=true] [prevote=true] [checkquorum=true] [inflight=K] [max-msg-bytes=B]
//       [max-inflight-bytes=B] [max-uncommitted-bytes=B] [max-apply-bytes=B] [caught-up=true]
//       [check-conf=false] [step-down=false] [forward=false] [manual-snapshots=true]
//       The next COUNT ids. The log starts behind a snapshot point at I (default 10) of term 1 with
//       the named members as configuration; without members the node is empty and waits to be told.
//       log= adds entries of the given terms, not known to be committed.
//   campaign N              election-timeout N TICKS     tick N [COUNT]
//   tick-election N         tick-heartbeat N             forget-leader N
//   propose N TEXT..        propose-conf N [auto|implicit|explicit] [force] v2 l3 r1 u1 ..
//   read N                  transfer N TARGET            compact N INDEX
//   unreachable N PEER      leader-lost N LEADER         restart N
//   lose-log N INDEX        restart with a disk that has lost what it held behind INDEX
//   ready N                 one TakeOutput, see RaftNode::Drain
//   deliver N.. [drop=(..)] [type=App] [from=F] [count=K]
//       hands over the messages under way to N; those to drop= vanish
//   append N, apply N       one waiting write, one waiting apply batch (async nodes)
//   stabilize [N..]         ready, deliver, append and apply until nothing more happens among N
//   send-snapshot N PEER    a snapshot of N's state machine reaches PEER, unasked
//   snapshot-ready N PEER   answers a snapshot request (manual-snapshots nodes)
//   snapshot-sent N PEER ok|failed
//   forge-app FROM TO term=T prev=T/I commit=I entries=(t1,t2:text,..)
//       puts an App into the network that no node sent; t = noop of that term, t:text = command
//   log N                   what lies on the disk, and what is known about it
//   state [N..]             one line per node        status N   progress of its peers
//   network                 messages under way
//
// Every verb takes quiet=true, which hides its output (errors excepted). Options of the cores
// default to what makes scenarios short: election timeout 3 ticks, heartbeat 1, no pre-vote, no
// check-quorum. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "testing/raft_node.h"
#include "testing/script_runner.h"

namespace arima::testing {

class RaftScript {
 public:
  // A ScriptHandler.
  std::string Handle(const ScriptCommand& command);

 private:
  using Verb = std::string (RaftScript::*)(const ScriptCommand&);
  static const std::map<std::string, Verb, std::less<>>& Verbs();

  std::string AddNodes(const ScriptCommand& command);
  std::string Campaign(const ScriptCommand& command);
  std::string ElectionTimeout(const ScriptCommand& command);
  std::string TickNodes(const ScriptCommand& command);
  std::string Forget(const ScriptCommand& command);
  std::string ProposeText(const ScriptCommand& command);
  std::string ProposeChange(const ScriptCommand& command);
  std::string AskRead(const ScriptCommand& command);
  std::string TransferTo(const ScriptCommand& command);
  std::string CompactLog(const ScriptCommand& command);
  std::string ReportPeer(const ScriptCommand& command);
  std::string RestartNode(const ScriptCommand& command);
  std::string LoseLog(const ScriptCommand& command);
  std::string Ready(const ScriptCommand& command);
  std::string DeliverSome(const ScriptCommand& command);
  std::string Append(const ScriptCommand& command);
  std::string Apply(const ScriptCommand& command);
  std::string Stabilize(const ScriptCommand& command);
  std::string SendSnapshot(const ScriptCommand& command);
  std::string ReportSnapshot(const ScriptCommand& command);
  std::string ForgeApp(const ScriptCommand& command);
  std::string ShowLog(const ScriptCommand& command);
  std::string ShowState(const ScriptCommand& command);
  std::string ShowStatus(const ScriptCommand& command);
  std::string ShowNetwork(const ScriptCommand& command);

  struct DeliverFilter {
    std::vector<raft::MemberId> drop;
    std::string type;
    raft::MemberId from;
    uint64_t count_max = UINT64_MAX;
  };
  std::string Deliver(raft::MemberId to, const DeliverFilter& filter);
  RaftNodeOptions NodeOptions(const ScriptCommand& command, raft::MemberId id) const;
  Result<std::vector<RaftNode*>> Nodes(const ScriptCommand& command);
  // The node named first; asserts nothing: nullptr and an error text if there is none.
  Result<RaftNode*> Node(const ScriptCommand& command);
  RaftNode* Find(raft::MemberId id);

  std::map<raft::MemberId, std::unique_ptr<RaftNode>> nodes_;
  std::vector<raft::Message> network_;
  uint64_t tag_ = 0;
};

}  // namespace arima::testing
