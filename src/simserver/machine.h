// Machine: one simulated host: its disk, its clock, its place in the network, and the node that
// runs on it, with two threads in the place of an HTTP server that call its services.
//
// Processes come and go (killed, stopped, ended by themselves), the machine stays. Thread rule: one
// thread; outside unless a function says otherwise.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "node/node.h"
#include "node/observer.h"
#include "sim/verdict.h"
#include "simserver/checks.h"
#include "simserver/database.h"
#include "simserver/disk.h"
#include "simserver/network.h"
#include "simserver/scheduler.h"
#include "simserver/swarm.h"

namespace arima::simserver {

class Machine;

// What all machines share.
struct World {
  Scheduler* scheduler;
  Network* network;
  sim::Verdict* verdict;
  ConsensusChecker* consensus;
  const Swarm* swarm;
  // Outside: its process ended without being told to.
  std::function<void(Machine* machine)> gone;
  // Null: nobody listens. A line says who, and what.
  std::function<void(const std::string& line)> trace;
};

class Machine final : public node::Observer, public DatabaseWatcher {
 public:
  enum class State : uint8_t { kDown, kStarting, kUp, kStopping };

  Machine(const World& world, MachineId id, uint64_t seed);
  ~Machine() override;

  MachineId id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::string& address() const { return address_; }
  Disk& disk() { return disk_; }
  State state() const { return state_; }
  bool up() const { return state_ == State::kUp; }
  // Counts processes.
  uint64_t life() const { return life_; }
  // Of the node, as long as it runs or when it last did.
  const Uuid& cluster() const { return cluster_; }
  raft::MemberId member() const { return member_; }
  bool leads() const { return up() && role_ == raft::Role::kLeader; }
  raft::Term term() const { return term_; }
  uint64_t written_index() const { return written_index_; }
  node::IdentityState identity_state() const { return identity_state_; }
  uint64_t snapshots_installed() const { return snapshots_installed_; }
  // How often a node said that its data was damaged.
  uint64_t damages_found() const { return damages_found_; }

  void Start();
  // kill -9 if it runs, or, whether it runs or not, with the machine's power.
  void Kill(bool power_loss);
  // In good order; takes time.
  void Stop();
  void Pause();
  void Continue();
  bool paused() const { return paused_; }
  // The disk is empty from now on. While it is down.
  void Wipe();
  // A bit of its log is wrong from now on (Disk::DamageLog). While it is down, after a loss of
  // power. False: it has no log to damage.
  bool DamageLog();
  // It has acknowledged a write in the cluster that it belongs to: while its disk is whole it must
  // never give that up for another one.
  void Owe() { owed_ = cluster_; }
  bool owes() const { return owed_.has_value(); }
  // From the next start on it has another address, and says so.
  void Move();

  // Calls `request` on a thread of the node, soon; never if that process dies before. False: it
  // does not run.
  using Request = std::move_only_function<void(node::Node& node)>;
  bool Ask(Request request);

  // --- node::Observer, DatabaseWatcher
  void OnOpened(const node::Identity& identity, const raft::CoreStatus& status) override;
  void OnOutput(const raft::Output& out) override;
  void OnDurable(uint64_t seq, std::span<const raft::Message> released) override;
  void OnWritten(const kv::Engine& engine, uint64_t position) override;
  void OnFlushed(const std::string& dir, uint64_t position) override;
  void OnOpened(const kv::Engine& engine, const std::string& dir, uint64_t position) override;

 private:
  class Journal;
  class MachineClock final : public Clock {
   public:
    uint64_t NowNs() override;
    Scheduler* scheduler = nullptr;
    uint64_t offset_ns = 0;
    int64_t ppm = 0;
  };

  node::NodeOptions OptionsNow();
  void Main();
  void Serve();
  void OnLine(node::LogLevel level, std::string_view event, const std::string& line);
  // The process is gone, its threads with it.
  void Forget();
  void Died();

  const World world_;
  const MachineId id_;
  const std::string name_;
  std::string address_;
  uint16_t port_ = 7000;
  bool moved_ = false;
  bool damaged_ = false;  // at some time, on this disk
  Disk disk_;
  MachineClock clock_;
  Databases databases_;
  const std::unique_ptr<transport::Network> network_;
  std::unique_ptr<Journal> log_;

  State state_ = State::kDown;
  uint64_t life_ = 0;
  ProcessId process_ = 0;
  bool running_ = false;  // process_ is alive
  bool paused_ = false;
  bool stop_ = false;
  std::deque<Request> requests_;
  std::unique_ptr<node::Node> node_;

  Uuid cluster_;
  std::optional<Uuid> owed_;
  raft::MemberId member_;
  node::IdentityState identity_state_ = node::IdentityState::kStandalone;
  raft::Role role_ = raft::Role::kFollower;
  raft::Term term_;
  uint64_t handed_out_ = 0;  // last index given to the applier in this life of the replica
  uint64_t written_index_ = 0;
  uint64_t snapshots_installed_ = 0;
  uint64_t damages_found_ = 0;
  ClusterChecker* checker_ = nullptr;  // null: it takes part in nothing
  // Of the database that was opened last.
  uint64_t opened_index_ = 0;
  uint64_t opened_digest_ = 0;
  std::string flushed_dir_;  // of the last flush
  uint64_t flushed_ = 0;
};

}  // namespace arima::simserver
