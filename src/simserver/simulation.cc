#include "simserver/simulation.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/hex.h"
#include "sim/mix.h"
#include "sim/swarm.h"

namespace arima::simserver {
namespace {

using sim::kMillisecond;
using sim::kSecond;
using sim::Split;

// A cluster that nobody disturbs is complete after this.
constexpr uint64_t kBuildNs = 300 * kSecond;
constexpr uint64_t kConvergeNs = 300 * kSecond;
constexpr uint64_t kOperationsAfterHeal = 2;
constexpr uint64_t kWatchNs = kSecond;
// More threads than any number of nodes needs: some do not end.
constexpr size_t kFibersPerMachine = 64;

// Streams of chance, each of one subject, so that to take something away leaves the others as they
// were. Machine n has kMachine + n.
enum Stream : uint64_t { kSwarm, kNetwork, kFaults, kOperator, kBuilding, kClients, kMachine };

std::vector<Machine*> Pointers(const std::vector<std::unique_ptr<Machine>>& machines) {
  std::vector<Machine*> pointers;
  for (const auto& machine : machines) pointers.push_back(machine.get());
  return pointers;
}

}  // namespace

std::string Figures(const Outcome& outcome) {
  auto add = [](const char* name, uint64_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  return std::string(" digest=") + ToHex(outcome.digest) + add("events", outcome.events) +
         add("virtual_ms", outcome.virtual_ms) + add("machines", outcome.machines) +
         add("leaders", outcome.leaders) + add("configurations", outcome.configurations) +
         add("committed", outcome.committed) + add("kills", outcome.kills) +
         add("joins", outcome.joins) + add("snapshots", outcome.snapshots) +
         add("damages", outcome.damages) + add("found", outcome.damages_found) +
         add("writes", outcome.writes) + add("reads", outcome.reads) +
         add("states", outcome.states_compared);
}

Swarm NodeSwarmOf(const sim::SimOptions& options) {
  SeededRandom random(Split(options.seed, kSwarm));
  Swarm swarm = DrawSwarm(&random);
  Apply(options.overrides, &swarm);
  return swarm;
}

sim::Level NodeLevel() {
  auto run = [](const sim::SimOptions& options) {
    const Outcome outcome = Simulation(options).Run();
    sim::SimResult result;
    result.ok = outcome.ok;
    result.failure = outcome.failure;
    result.digest = outcome.digest;
    result.digests = outcome.digests;
    result.events = outcome.events;
    result.figures = Figures(outcome);
    return result;
  };
  auto extent = [](const sim::SimOptions& options) {
    const Swarm swarm = NodeSwarmOf(options);
    return sim::Extent{sim::PresentIn(swarm, FaultClasses()), swarm.machines, swarm.clients,
                       swarm.events_max};
  };
  return {sim::NamesOf(FaultClasses()), run, extent};
}

Simulation::Simulation(const sim::SimOptions& options)
    : options_(options),
      until_ns_(options.until_ms == 0 ? UINT64_MAX : kSecond + options.until_ms * kMillisecond),
      swarm_(NodeSwarmOf(options)),
      fault_random_(Split(options.seed, kFaults)),
      operator_random_(Split(options.seed, kOperator)),
      random_(Split(options.seed, kBuilding)),
      scheduler_(swarm_.scheduler, &verdict_),
      network_(&scheduler_, Split(options.seed, kNetwork), swarm_.network),
      consensus_(&verdict_) {
  world_ = {&scheduler_, &network_, &verdict_, &consensus_, &swarm_, nullptr, nullptr};
  world_.gone = [this](Machine* machine) { Restart(machine); };
  if (options_.trace) world_.trace = [this](const std::string& line) { Trace(line); };
  for (uint32_t i = 0; i < swarm_.machines; ++i) {
    machines_.push_back(std::make_unique<Machine>(world_, i, Split(options.seed, kMachine + i)));
  }
  clients_ = std::make_unique<Clients>(world_, Split(options.seed, kClients), Pointers(machines_));
}

Simulation::~Simulation() {
  machines_.clear();
  scheduler_.DropEvents();
}

void Simulation::Trace(const std::string& line) {
  if (!options_.trace) return;
  char time[32];
  std::snprintf(time, sizeof time, "%12.6f ",
                static_cast<double>(scheduler_.now_ns() - kSecond) / 1e9);
  options_.trace(time + line);
}

bool Simulation::InCluster(const Machine& machine) const { return machine.cluster() == cluster_; }

Machine* Simulation::AnyMachine(const std::function<bool(const Machine&)>& wanted) {
  std::vector<Machine*> found;
  for (const auto& machine : machines_) {
    if (wanted(*machine)) found.push_back(machine.get());
  }
  return found.empty() ? nullptr : found[random_.Below(found.size())];
}

Outcome Simulation::Run() {
  Watch();
  if (BuildCluster()) {
    clients_->Begin(cluster_);
    PlanFault();
    PlanOrder();
    const uint64_t events_end = scheduler_.events() + swarm_.events_max;
    Go(scheduler_.now_ns() + swarm_.faults_ns, [&] { return scheduler_.events() >= events_end; });
    if (verdict_.ok() && !Over()) Converge();
  }
  if (verdict_.ok()) CheckClients(clients_->history(), &verdict_);
  return Finish();
}

// The first machine founds the cluster, the others join one after the other.
bool Simulation::BuildCluster() {
  for (const auto& machine : machines_) machine->Start();
  const uint64_t end_ns = scheduler_.now_ns() + kBuildNs;
  auto all_up = [&] {
    return std::ranges::all_of(machines_, [](const auto& m) { return m->up(); });
  };
  if (!Go(end_ns, all_up)) {
    if (!Over()) verdict_.Fail("liveness", "not all nodes have started");
    return false;
  }
  cluster_ = machines_[0]->cluster();
  for (const auto& machine : machines_) {
    if (machine == machines_[0]) continue;
    bool astray = swarm_.stray && machine == machines_.back();
    const bool waits = astray && random_.Percent(50);
    if (waits && !WriteAstray(machine.get(), waits)) return false;
    while (verdict_.ok() && !InCluster(*machine) && scheduler_.now_ns() < end_ns) {
      Join(machine.get());
      if (std::exchange(astray, false) && !waits) MeetTheJoin(machine.get());
      Go(scheduler_.now_ns() + 40 * kSecond, [&] { return !ordering(); });
      if (Over()) return false;
      if (machine->owes()) break;  // refused, as it must be
    }
    if (!machine->owes() && !InCluster(*machine)) {
      verdict_.Fail("liveness", machine->name() + " could not be joined");
    }
  }
  return verdict_.ok();
}

// False: it is over. With `waits`, what it has written is safe before anybody asks it to join; else
// the write and the join meet.
bool Simulation::WriteAstray(Machine* machine, bool waits) {
  Happened("stray");
  machine->Ask([this, machine](node::Node& node) {
    node.kv().Put({"stray", SharedBytes::Copy("x"), 5000},
                  [this, machine, cluster = machine->cluster()](Result<service::PutResponse> done) {
                    // After a join it was told what the cluster has taken.
                    const bool own = machine->cluster() == cluster;
                    if (done && own && !scheduler_.Dying()) machine->Owe();
                  });
  });
  if (!waits) return true;
  if (Go(scheduler_.now_ns() + 20 * kSecond, [machine] { return machine->owes(); })) return true;
  if (!Over()) verdict_.Fail("liveness", machine->name() + " alone takes no write");
  return false;
}

// A join probes, adds a learner and then asks the target to give up what it is, each some round
// trips or syncs after the other.
void Simulation::MeetTheJoin(Machine* machine) {
  scheduler_.After(random_.Below(40 * kMillisecond), [this, machine] {
    if (machine->up() && !InCluster(*machine)) WriteAstray(machine, /*waits=*/false);
  });
}

void Simulation::Watch() {
  if (scheduler_.fibers() > kFibersPerMachine * machines_.size()) {
    verdict_.Fail("I15 bounds", std::to_string(scheduler_.fibers()) + " threads are running");
  }
  if (std::string who = clients_->Unanswered(); !who.empty()) {
    verdict_.Fail("liveness", who);
  }
  scheduler_.After(kWatchNs, [this] { Watch(); });
}

const Machine* Simulation::Leader() const {
  const Machine* leader = nullptr;
  for (const auto& machine : machines_) {
    const bool leads = machine->leads() && InCluster(*machine);
    if (leads && (leader == nullptr || machine->term() > leader->term())) leader = machine.get();
  }
  return leader;
}

std::string Simulation::WhyNotServing() const {
  for (const auto& machine : machines_) {
    if (!machine->up()) return machine->name() + " is not up";
  }
  if (Leader() == nullptr) return "there is no leader";
  return clients_->AllDid(kOperationsAfterHeal) ? "" : "a client gets nothing done";
}

std::string Simulation::WhyNotEqual() const {
  if (!clients_->Idle()) return "a client waits for an answer";
  if (Leader() == nullptr) return "there is no leader";
  const uint64_t committed = consensus_.last_committed(cluster_);
  const auto conf = consensus_.conf(cluster_);
  for (const auto& machine : machines_) {
    if (!machine->up()) return machine->name() + " is not up";
    if (!InCluster(*machine) || !conf->members.contains(machine->member())) continue;
    // Also of a node that was damaged: that the leader replaces it is part of getting well.
    const bool damaged = machine->identity_state() == node::IdentityState::kDamaged;
    if (damaged) return machine->name() + " is damaged and has not been replaced";
    if (conf->members.at(machine->member()).raft_address != machine->address()) {
      return machine->name() + " is not where the configuration says";
    }
    if (machine->written_index() == committed) continue;
    return machine->name() + " stays behind, at index " + std::to_string(machine->written_index()) +
           " of " + std::to_string(committed);
  }
  return {};
}

bool Simulation::Go(uint64_t end_ns, const std::function<bool()>& done) {
  return scheduler_.RunUntil(std::min(end_ns, until_ns_), done);
}

bool Simulation::Await(const std::function<std::string()>& why_not) {
  const uint64_t end_ns = scheduler_.now_ns() + kConvergeNs;
  // Looked at once in a while: it walks over everything.
  while (verdict_.ok()) {
    const std::string why = why_not();
    if (why.empty()) return true;
    if (Over()) return false;
    if (scheduler_.now_ns() >= end_ns) verdict_.Fail("liveness", why);
    Go(scheduler_.now_ns() + 100 * kMillisecond, [] { return false; });
  }
  return false;
}

void Simulation::Converge() {
  healing_ = true;
  Trace("--- everything heals");
  consensus_.CompareStatesFrom(consensus_.last_committed(cluster_) + 1);
  Heal();
  clients_->CountFromNow();
  if (!Await([this] { return WhyNotServing(); })) return;
  Trace("--- clients stop");
  clients_->Stop();
  Await([this] { return WhyNotEqual(); });
}

Outcome Simulation::Finish() {
  Outcome outcome;
  outcome.ok = verdict_.ok();
  outcome.failure = verdict_.text();
  outcome.events = scheduler_.events();
  outcome.virtual_ms = (scheduler_.now_ns() - kSecond) / kMillisecond;
  outcome.machines = machines_.size();
  if (const ClusterChecker* cluster = consensus_.Find(cluster_)) {
    outcome.leaders = cluster->leaders();
    outcome.configurations = cluster->configurations();
  }
  outcome.committed = consensus_.last_committed(cluster_);
  outcome.joins = joins_;
  outcome.happened = happened_;
  outcome.kills = happened_["kill"] + happened_["power-loss"] + happened_["wipe"];
  outcome.damages = happened_["damage"];
  for (const auto& machine : machines_) {
    outcome.snapshots += machine->snapshots_installed();
    outcome.damages_found += machine->damages_found();
  }
  for (const check::Operation& operation : clients_->history()) {
    if (operation.outcome != check::Outcome::kOk) continue;
    ++(operation.kind == check::Kind::kRead ? outcome.reads : outcome.writes);
  }
  outcome.states_compared = consensus_.states_compared();
  scheduler_.Mix(outcome.committed);
  scheduler_.Mix(outcome.writes);
  scheduler_.Mix(outcome.reads);
  outcome.digest = scheduler_.digest();
  outcome.digests = scheduler_.digests();
  return outcome;
}

}  // namespace arima::simserver
