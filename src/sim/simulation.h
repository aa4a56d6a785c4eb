// Simulation: one run. Private to the folder; simulator.h is the interface.
//
// One class, because everything meets in the event loop; its parts lie in one file each:
//   simulation.cc          the loop, starting and stopping nodes, the run's two phases
//   simulation_node.cc     what a driver does with a core: inputs, outputs, applier
//   simulation_disk.cc     the log writer, its helpers, and faults of disks
//   simulation_faults.cc   the nemesis and the operator who changes the membership
//   simulation_clients.cc  reads and writes
//   simulation_heal.cc     healing, and what must be true afterwards
//
// All chance comes from generators split from the seed, one per subject, so that a change of one
// kind of fault does not reshuffle the others. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "raft/core.h"
#include "sim/contact_checker.h"
#include "sim/durability_checker.h"
#include "sim/election_checker.h"
#include "sim/event_heap.h"
#include "sim/log_checker.h"
#include "sim/membership_checker.h"
#include "sim/read_checker.h"
#include "sim/sim_network.h"
#include "sim/sim_node.h"
#include "sim/simulator.h"
#include "sim/state_checker.h"
#include "sim/swarm.h"
#include "sim/verdict.h"
#include "sim/write_checker.h"

namespace arima::sim {

class Simulation {
 public:
  explicit Simulation(const SimOptions& options);
  SimResult Run();

 private:
  // ---- events
  enum class EventType : uint8_t { kTick, kMessage, kDisk, kAttest, kApply, kDrain, kTask };
  struct Event {
    EventType type = EventType::kTick;
    uint32_t node = 0;  // index; kTask: unused
    uint32_t life = 0;
    uint32_t slot = 0;  // kMessage, kTask
  };
  using Task = std::function<void()>;

  enum class Phase : uint8_t { kFaults, kHealing, kDone };

  // What each client must still get done when everything is well again.
  static constexpr uint64_t kOperationsAfterHeal = 2;

  struct Client {
    uint64_t operation = 0;  // tags carry it, so that late answers are recognised
    bool busy = false;
    bool is_read = false;
    raft::Index floor;
    uint64_t done_since_heal = 0;
  };

  // ---- simulation.cc
  void Dispatch(const Event& event);
  void OnMessage(SimNode& node, raft::Message&& message);
  void At(uint64_t delay_ns, Task task);
  // As At, but void if the node has stopped by then, and late if it is paused.
  void AtNode(uint64_t delay_ns, SimNode& node, Task task);
  void Post(uint64_t delay_ns, EventType type, const SimNode& node, uint32_t slot = 0);
  void Bootstrap();
  SimNode& AddNode(raft::MemberId id);
  void Start(SimNode& node);
  // Start, unless it runs already or never will again.
  void StartAgain(SimNode& node);
  void PlanStart(SimNode& node);
  std::optional<raft::InitialState> Recover(SimNode& node);
  // `power`: its machine loses what it had not written.
  void Crash(SimNode& node, bool power);
  void MixDigests();
  SimResult Finish();
  void Trace(const std::string& line);
  bool tracing() const { return options_.trace != nullptr; }
  size_t IndexOf(const SimNode& node) const { return node.id().value - 1; }
  SimNode* Find(raft::MemberId id);
  bool Paused(const SimNode& node) const { return node.paused_until_ns > now_ns_; }
  bool IsMember(raft::MemberId id) const;

  // ---- simulation_node.cc
  void Step(SimNode& node, raft::Input&& input);
  void Sample(SimNode& node);
  void Drain(SimNode& node);
  void HandleOutput(SimNode& node, raft::Output&& output);
  void CheckInstall(const SimNode& node, const raft::SnapshotMeta& meta);
  void NoteEvents(SimNode& node, const raft::Output& output);
  void NoteWrite(SimNode& node, const raft::Write& write, bool leading);
  void NoteCommit(SimNode& node, raft::Index commit, const raft::ConfState& counted_with,
                  bool leading);
  void NoteConf(SimNode& node, std::shared_ptr<const raft::ConfState> conf);
  void Send(SimNode& node, raft::Message&& message);
  void StartApply(SimNode& node);
  void OnApply(SimNode& node);
  void ApplyItems(SimNode& node, const ApplyWork& work);
  void Install(SimNode& node, const raft::SnapshotMeta& meta);
  void Load(SimNode& node, const raft::LoadEntries& load);
  void MakeSnapshot(SimNode& node, const raft::SnapshotRequest& request);
  void StreamSnapshot(SimNode& from, const raft::Message& control);

  // ---- simulation_disk.cc
  void StartSync(SimNode& node);
  static std::vector<raft::Write> TakeWrites(SimNode& node, size_t count);
  void OnDisk(SimNode& node);
  std::optional<raft::Term> Acked(const SimNode& node, const raft::Message& message) const;
  void Complete(SimNode& node, raft::Write&& write);
  void TellSpace(SimNode& node, bool full);
  void PlanAttest(SimNode& node);
  void OnAttest(SimNode& node);
  void PlanPrepare(SimNode& node);
  void PlanDiskFault();
  void InjectDiskFault();
  void FillDisk(SimNode& node);
  bool MayDamage(const SimNode& node) const;
  void LoseForGood(SimNode& node);
  const SimNode* LostMember(const raft::ConfState& conf) const;

  // ---- simulation_faults.cc
  void PlanFault();
  void InjectFault();
  void Happened(std::string_view fault) { ++result_.happened[fault]; }
  void CrashOne();
  void DisturbDisk(SimNode& node);
  void PowerLoss();
  void PauseOne();
  void BreakLinks();
  void LoseLeaderContact(const SimNode& leader);
  void PlanFlush(SimNode& node);
  void PlanCompaction();
  void PlanOperator();
  void Operate();
  raft::ConfChange DrawChange(const raft::ConfState& conf);
  void RetireRemoved();
  SimNode* AnyNode(bool up);
  SimNode* AnyLeader();

  // ---- simulation_clients.cc
  void PlanClient(uint32_t client);
  void StartOperation(uint32_t client);
  Client* FindClient(uint64_t tag);
  void EndOperation(uint64_t tag, bool success);
  void NoteAnswers(SimNode& node, const raft::Output& output);
  void AnswerWrites(SimNode& node, raft::EntryId applied);
  void ServeReads(SimNode& node);

  // ---- simulation_heal.cc
  void Heal();
  bool ChangesConf();
  void LeaveSomeDown();
  bool HasLeader();
  void Probe();
  std::string WhyNotConverged();

  const SimOptions options_;
  Verdict verdict_;
  const Swarm swarm_;
  SeededRandom disk_random_;
  SeededRandom fault_random_;
  SeededRandom operator_random_;
  SeededRandom client_random_;
  SeededRandom node_random_;
  SeededRandom damage_random_;
  SimNetwork network_;

  MembershipChecker membership_;
  LogChecker logs_;
  ElectionChecker elections_;
  StateChecker states_;
  DurabilityChecker durability_;
  ReadChecker reads_;
  WriteChecker writes_;
  ContactChecker contacts_;

  EventHeap<Event> events_;
  SlotPool<raft::Message> messages_;
  SlotPool<Task> tasks_;
  uint64_t now_ns_ = 0;
  uint64_t events_max_ = 0;
  Phase phase_ = Phase::kFaults;
  uint64_t healed_at_ns_ = 0;
  uint64_t elected_at_ns_ = 0;  // first moment with a leader after healing

  std::deque<SimNode> nodes_;  // by member id - 1; addresses are stable
  std::vector<Client> clients_;
  std::unordered_map<uint64_t, MachineState> snapshots_;  // by snapshot id; looked up, never walked
  uint64_t next_snapshot_id_ = 1;
  raft::MemberId spoiled_;  // whose disk was damaged last
  SimResult result_;
};

}  // namespace arima::sim
