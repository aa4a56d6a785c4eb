// Simulation: one run of level 2: whole nodes on simulated machines, clients, an operator, faults.
//
// First the machines are started and joined to one cluster; then things go wrong for a while; then
// everything heals, and the cluster must elect a leader, serve every client and become of one mind.
// All chance comes from the seed. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/simulator.h"
#include "sim/verdict.h"
#include "simserver/checks.h"
#include "simserver/clients.h"
#include "simserver/machine.h"
#include "simserver/swarm.h"

namespace arima::simserver {

struct Outcome {
  bool ok = false;
  std::string failure;  // "invariant: what", empty if ok
  uint64_t digest = 0;
  uint64_t events = 0;
  uint64_t virtual_ms = 0;
  uint64_t machines = 0;
  uint64_t leaders = 0;
  uint64_t configurations = 0;
  uint64_t committed = 0;
  uint64_t kills = 0;
  uint64_t joins = 0;
  uint64_t snapshots = 0;
  uint64_t damages = 0;        // bits that were flipped
  uint64_t damages_found = 0;  // by nodes
  uint64_t writes = 0;
  uint64_t reads = 0;
  uint64_t states_compared = 0;
  // Faults and orders that took place, by their class.
  std::map<std::string_view, uint64_t> happened;
  // What the digest was after each sim::kDigestEvery events.
  std::vector<uint64_t> digests;
};

// " name=number ...", the same on every machine.
std::string Figures(const Outcome& outcome);

// What the seed has drawn, with the overrides.
Swarm NodeSwarmOf(const sim::SimOptions& options);

// For the command line of the simulator.
sim::Level NodeLevel();

class Simulation {
 public:
  explicit Simulation(const sim::SimOptions& options);
  ~Simulation();
  Outcome Run();

 private:
  // ---- simulation.cc
  bool BuildCluster();
  bool WriteAstray(Machine* machine, bool waits);
  void MeetTheJoin(Machine* machine);
  void Happened(std::string_view fault) { ++happened_[fault]; }
  void Converge();
  // As Scheduler::RunUntil, but no longer than the whole run may last.
  bool Go(uint64_t end_ns, const std::function<bool()>& done);
  // The time is over that --until gives.
  bool Over() const { return scheduler_.now_ns() >= until_ns_; }
  // False: it is not so in time, and the verdict says why; or the run is over.
  bool Await(const std::function<std::string()>& why_not);
  std::string WhyNotServing() const;
  std::string WhyNotEqual() const;
  const Machine* Leader() const;
  void Watch();
  Outcome Finish();
  void Trace(const std::string& line);
  bool InCluster(const Machine& machine) const;
  Machine* AnyMachine(const std::function<bool(const Machine&)>& wanted);
  // The next fault, or order, draws from a stream of its own: to leave one out changes no other.
  void NewStream(SeededRandom* seeds) { random_ = SeededRandom(seeds->Next()); }

  // ---- faults.cc
  void PlanFault();
  void InjectFault();
  void KillOne();
  void Strike(Machine* machine, bool power_loss);
  void Restart(Machine* machine);
  void Partition();
  bool MayMove(const Machine& machine) const;
  bool MayLoseData(const Machine& machine) const;
  void WipeOne();
  void DamageOne();
  void PlanOrder();
  void GiveOrder();
  // An order is under way until EndOrder gets its number, or for `patience_ns`: an answer may be
  // lost with the process that owes it.
  uint64_t BeginOrder(uint64_t patience_ns);
  void EndOrder(uint64_t order);
  bool ordering() const { return order_ != 0; }
  void Join(Machine* target);
  void Remove(Machine* target);
  void Heal();

  const sim::SimOptions options_;
  const uint64_t until_ns_;
  sim::Verdict verdict_;
  const Swarm swarm_;
  SeededRandom fault_random_;
  SeededRandom operator_random_;
  SeededRandom random_;  // of what happens at the moment
  Scheduler scheduler_;
  Network network_;
  ConsensusChecker consensus_;
  World world_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::unique_ptr<Clients> clients_;
  Uuid cluster_;
  bool healing_ = false;
  uint64_t order_ = 0;  // number of the operator's order that is under way; 0: none
  uint64_t orders_ = 0;
  uint64_t last_move_ns_ = 0;
  uint64_t joins_ = 0;
  std::map<std::string_view, uint64_t> happened_;
};

}  // namespace arima::simserver
