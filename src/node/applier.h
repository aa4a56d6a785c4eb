// Applier: the thread that owns the write side of the state machine.
//
// Takes committed entries in order, applies all that is queued as one batch, answers the clients
// that wait for them, lets waiting reads go on, and reports progress to the core.
//
// Thread rule: Submit from the core thread; Start and Stop from the replica's owner.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "kv/state_machine.h"
#include "node/inbox.h"
#include "node/logger.h"
#include "node/proposal_table.h"
#include "node/raft_loop.h"
#include "node/read_queue.h"

namespace arima::node {

struct ApplierOptions {
  // A flush is started when this much was applied since the last one or so much time passed: it
  // bounds what is replayed at start (docs/design/raft.md 5.2).
  uint64_t flush_bytes = 512 << 20;
  uint64_t flush_interval_ns = 60'000'000'000;
};

class Applier final : public ApplySink {
 public:
  Applier(kv::StateMachine* machine, Inbox* inbox, ProposalTable* proposals, ReadQueue* reads,
          Clock* clock, Logger* logger, const ApplierOptions& options);
  ~Applier() override;

  void Start();
  // Applies what is queued, then makes it durable.
  void Stop();
  // The core hands out at most what is committed and not applied; its limit on unapplied bytes
  // bounds the queue.
  void Submit(std::vector<raft::ApplyItem> items) override;

 private:
  void Run();
  void Apply(std::vector<raft::ApplyItem> items);
  Status ApplyPatiently(const std::vector<kv::Record>& records,
                        std::vector<kv::ApplyResult>* results);
  void FlushIfDue();

  kv::StateMachine& machine_;
  Inbox& inbox_;
  ProposalTable& proposals_;
  ReadQueue& reads_;
  Clock& clock_;
  Logger& logger_;
  const ApplierOptions options_;
  BoundedQueue<std::vector<raft::ApplyItem>> queue_{UINT64_MAX};
  std::thread thread_;
  uint64_t unflushed_bytes_ = 0;
  uint64_t last_flush_ns_ = 0;
};

}  // namespace arima::node
