// Applier: the thread that owns the write side of the state machine.
//
// Takes committed entries in order, applies all that is queued as one batch, answers the clients
// that wait for them, lets waiting reads go on, and reports progress to the core. Between batches,
// and while there are none, it cleans up after history.
//
// Thread rule: Submit from the core thread; Start and Stop from the replica's owner.
#pragma once

#include <span>
#include <vector>

#include "base/bounded_queue.h"
#include "base/thread.h"
#include "kv/state_machine.h"
#include "node/flusher.h"
#include "node/inbox.h"
#include "node/logger.h"
#include "node/proposal_table.h"
#include "node/raft_loop.h"
#include "node/read_queue.h"

namespace arima::node {

class Applier final : public ApplySink {
 public:
  Applier(kv::StateMachine* machine, Inbox* inbox, ProposalTable* proposals, ReadQueue* reads,
          Flusher* flusher, Logger* logger);
  ~Applier() override;

  void Start();
  // Applies what is queued (but for what a full disk does not take), then makes it durable.
  void Stop();
  // The core hands out at most what is committed and not applied; its limit on unapplied bytes
  // bounds the queue.
  void Submit(std::vector<raft::ApplyItem> items) override;

 private:
  void Run();
  // False: nothing more can be applied in this life of the replica. The node stops and the disk is
  // full, or the database is damaged, which its health tells.
  bool ApplyAll(std::vector<std::vector<raft::ApplyItem>> batches);
  bool Apply(std::span<const raft::ApplyItem> items);
  // Removes a piece of what history has left behind. False: nothing more to do now.
  bool Clean();
  Status ApplyPatiently(const std::vector<kv::Record>& records,
                        std::vector<kv::ApplyResult>* results);
  void TellFull(const Error& error);

  kv::StateMachine& machine_;
  Inbox& inbox_;
  ProposalTable& proposals_;
  ReadQueue& reads_;
  Flusher& flusher_;
  Logger& logger_;
  BoundedQueue<std::vector<raft::ApplyItem>> queue_{UINT64_MAX};
  bool clean_failed_ = false;
  Thread thread_;
};

}  // namespace arima::node
