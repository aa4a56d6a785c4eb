// Clients of the simulated cluster: each has one operation at a time and sends it to any node. A
// write is acknowledged when its entry is applied where it was proposed; an operation without an
// answer ends by its deadline, with an unknown outcome.

#include <algorithm>
#include <utility>

#include "sim/simulation.h"

namespace arima::sim {

using raft::EntryId;
using raft::RejectReason;

namespace {

constexpr uint64_t kClientBits = 8;
constexpr uint64_t kDeadlineNs = 2 * kSecond;

}  // namespace

void Simulation::PlanClient(uint32_t client) {
  const uint64_t mean = phase_ == Phase::kFaults ? swarm_.think_ns_mean : kMillisecond;
  At(DrawDelay(&client_random_, mean), [this, client] { StartOperation(client); });
}

void Simulation::StartOperation(uint32_t client) {
  Client& c = clients_[client];
  if (phase_ != Phase::kFaults && c.done_since_heal >= kOperationsAfterHeal) return;
  SimNode* node = AnyNode(/*up=*/true);
  if (node == nullptr || Paused(*node) || c.busy) {
    PlanClient(client);
    return;
  }
  ++c.operation;
  c.busy = true;
  c.is_read = client_random_.Percent(swarm_.read_percent);
  // Reads must be answered though nobody writes (etcd-io/etcd#7331).
  if (phase_ != Phase::kFaults && c.done_since_heal == 0) c.is_read = true;
  const uint64_t tag = (c.operation << kClientBits) | client;
  At(kDeadlineNs, [this, tag] { EndOperation(tag, /*success=*/false); });
  if (c.is_read) {
    c.floor = reads_.OnReadBegin();
    Step(*node, raft::Read{tag});
    return;
  }
  raft::Proposal proposal;
  proposal.tag = tag;
  std::string payload(client_random_.Between(8, swarm_.payload_bytes_max), 'x');
  for (size_t i = 0; i < 8; ++i) payload[i] = static_cast<char>(tag >> (8 * i));
  proposal.checksum = raft::EntryChecksum(proposal.kind, payload);
  proposal.payload = SharedBytes::Take(std::move(payload));
  raft::Propose propose;
  propose.proposals.push_back(std::move(proposal));
  Step(*node, std::move(propose));
}

Simulation::Client* Simulation::FindClient(uint64_t tag) {
  const uint64_t client = tag & ((uint64_t{1} << kClientBits) - 1);
  if (client >= clients_.size()) return nullptr;
  Client& c = clients_[client];
  return c.busy && c.operation == tag >> kClientBits ? &c : nullptr;
}

void Simulation::EndOperation(uint64_t tag, bool success) {
  Client* c = FindClient(tag);
  if (c == nullptr) return;
  c->busy = false;
  if (success) {
    ++(c->is_read ? result_.reads_served : result_.writes_acknowledged);
    if (phase_ == Phase::kHealing) ++c->done_since_heal;
  }
  PlanClient(static_cast<uint32_t>(tag & ((uint64_t{1} << kClientBits) - 1)));
}

void Simulation::NoteAnswers(SimNode& node, const raft::Output& output) {
  for (const raft::ProposalAccepted& accepted : output.accepted) {
    node.waiting_writes.push_back({accepted.tag, EntryId{accepted.term, accepted.index}});
    if (accepted.index <= node.machine.current().applied.index) {
      // Accepted by another node and applied here before its answer came: the outcome is unknown.
      node.waiting_writes.pop_back();
    }
  }
  for (const raft::ProposalRejected& rejected : output.rejected) {
    if (rejected.tag != 0) writes_.OnRefused(rejected.tag);  // 0: a membership change
    EndOperation(rejected.tag, false);
  }
  for (const raft::ReadResult& read : output.reads) {
    Client* client = FindClient(read.tag);
    if (client == nullptr) continue;
    if (read.reason != RejectReason::kNone) {
      EndOperation(read.tag, false);
      continue;
    }
    reads_.OnReadIndex(read.index, client->floor);
    node.waiting_reads.push_back({read.tag, read.index});
  }
  if (!output.reads.empty()) ServeReads(node);
}

void Simulation::AnswerWrites(SimNode& node, EntryId applied) {
  for (size_t i = 0; i < node.waiting_writes.size();) {
    const WaitingWrite write = node.waiting_writes[i];
    if (write.at.index > applied.index) {
      ++i;
      continue;
    }
    node.waiting_writes.erase(node.waiting_writes.begin() + static_cast<std::ptrdiff_t>(i));
    const bool decided = write.at == applied;
    if (decided && FindClient(write.tag) != nullptr) {
      reads_.OnWriteAcknowledged(applied.index);
    }
    EndOperation(write.tag, decided);
  }
}

void Simulation::ServeReads(SimNode& node) {
  const raft::Index applied = node.machine.current().applied.index;
  for (size_t i = 0; i < node.waiting_reads.size();) {
    const WaitingRead read = node.waiting_reads[i];
    if (read.index > applied) {
      ++i;
      continue;
    }
    node.waiting_reads.erase(node.waiting_reads.begin() + static_cast<std::ptrdiff_t>(i));
    if (FindClient(read.tag) != nullptr) reads_.OnReadServed(applied);
    EndOperation(read.tag, true);
  }
}

}  // namespace arima::sim
