// One node of a golden script: a Core, its log, and the hand-overs between them in slow motion.
//
// Drain() does what the driver does after a batch of inputs, and prints it. With async storage,
// writes and apply batches wait in queues until RunAppend() and RunApply() let one of them happen;
// otherwise they happen inside Drain(). One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/core.h"
#include "testing/memory_log.h"

namespace arima::testing {

struct RaftNodeOptions {
  raft::Config config;
  raft::HardState hard_state;
  raft::EntryId snapshot;
  std::vector<raft::Entry> entries;  // behind the snapshot point
  raft::ConfState conf;              // in force at the snapshot point
  bool async = false;
  bool manual_snapshots = false;  // snapshot requests wait for SendSnapshot()
};

class RaftNode {
 public:
  explicit RaftNode(RaftNodeOptions options);

  raft::MemberId id() const { return options_.config.id; }
  raft::Core& core() { return *core_; }
  const MemoryLog& log() const { return log_; }
  const raft::Config& config() const { return options_.config; }
  raft::Index applied() const { return applied_; }

  void Step(raft::Input input);
  // Time passes on this node's own clock, then the core hears of it.
  void Tick();
  // A message has arrived; a Snap message is followed at once by its data.
  void Receive(const raft::Message& message);

  bool HasOutput() const { return core_->HasOutput(); }
  bool HasAppend() const { return !append_queue_.empty(); }
  bool HasApply() const { return !apply_queue_.empty(); }

  // Each returns what it did, one line per fact, and adds what goes out to `network`.
  std::string Drain(std::vector<raft::Message>* network);
  std::string RunAppend(std::vector<raft::Message>* network);
  std::string RunApply();

  void Compact(raft::Index index);
  // A snapshot of the state machine as it stands.
  raft::SnapshotMeta MakeSnapshot();
  // Forgets everything that a process forgets, and what was not written.
  void Restart();
  // Restarts with a disk and a state machine that have lost everything behind `index`, which is
  // not below the snapshot point.
  void RestartWithLoss(raft::Index index);

 private:
  struct ApplyWork {
    std::vector<raft::ApplyItem> items;
    std::optional<raft::InstallSnapshot> install;
  };

  void Perform(raft::Write write, std::vector<raft::Message>* network);
  void Perform(const ApplyWork& work);
  std::string DescribeAnswers(const raft::Output& output) const;
  std::string AnswerRequests(const raft::Output& output);

  RaftNodeOptions options_;
  MemoryLog log_;
  uint64_t now_ns_ = 1'000'000'000;
  uint64_t snapshots_made_ = 0;
  raft::Index applied_;
  raft::ConfState applied_conf_;
  std::unique_ptr<raft::Core> core_;
  std::deque<raft::Write> append_queue_;
  std::deque<ApplyWork> apply_queue_;
};

}  // namespace arima::testing
