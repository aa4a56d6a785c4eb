// What goes wrong, what the operator does, and how it heals.
#include <algorithm>
#include <utility>

#include "sim/swarm.h"
#include "simserver/simulation.h"

namespace arima::simserver {

using sim::kMillisecond;
using sim::kSecond;

void Simulation::PlanFault() {
  if (swarm_.fault_ns_mean == 0) return;
  scheduler_.After(sim::DrawDelay(&fault_random_, swarm_.fault_ns_mean), [this] {
    if (healing_) return;
    NewStream(&fault_random_);
    InjectFault();
    PlanFault();
  });
}

void Simulation::InjectFault() {
  Machine* running = AnyMachine([](const Machine& m) { return m.up(); });
  const uint64_t while_ns = random_.Between(10, 4000) * kMillisecond;
  auto later = [&](Scheduler::Task task) {
    scheduler_.After(while_ns, [this, task = std::move(task)]() mutable {
      if (!healing_) task();
    });
  };
  switch (random_.Below(9)) {
    case 0:
    case 1:
      return KillOne();
    case 2:
      if (!swarm_.pause || running == nullptr) return;
      Happened("pause");
      running->Pause();
      return later([running] { running->Continue(); });
    case 3:
      return Partition();
    case 4: {
      if (!swarm_.reset || machines_.size() < 2) return;
      const auto a = static_cast<MachineId>(random_.Below(machines_.size()));
      const auto b = static_cast<MachineId>(random_.Below(machines_.size()));
      Happened("reset");
      Trace("--- connections between " + machines_[a]->name() + " and " + machines_[b]->name() +
            " are reset");
      return network_.Reset(a, b);
    }
    case 5:
      if (!swarm_.stall || running == nullptr) return;
      Happened("stall");
      Trace("--- the disk of " + running->name() + " stalls");
      return running->disk().StallUntil(scheduler_.now_ns() + while_ns);
    case 6:
      if (swarm_.sync_error && running != nullptr && random_.Percent(50)) {
        Happened("sync-error");
        Trace("--- syncs of " + running->name() + " fail");
        return running->disk().FailSyncs(true);
      }
      if (!swarm_.disk_full || running == nullptr) return;
      Happened("disk-full");
      Trace("--- the disk of " + running->name() + " is full");
      running->disk().SetFree(random_.Below(128 << 10));
      return later([running] { running->disk().Heal(); });
    case 7:
      return WipeOne();
    default:
      return DamageOne();
  }
}

void Simulation::KillOne() {
  Machine* victim = AnyMachine([](const Machine& m) { return m.state() != Machine::State::kDown; });
  if (victim == nullptr) return;
  const uint64_t kind = random_.Below(3);
  if (kind == 0 && swarm_.stop && victim->up()) {
    Happened("stop");
    victim->Stop();
    return Restart(victim);
  }
  if (kind == 1 && swarm_.power_loss) {
    Strike(victim, /*power_loss=*/true);
    // Now and then all of them go at once, those too whose process is away.
    if (!random_.Percent(20)) return;
    for (const auto& other : machines_) {
      if (other.get() != victim) Strike(other.get(), /*power_loss=*/true);
    }
    return;
  }
  if (swarm_.kill) Strike(victim, /*power_loss=*/false);
}

void Simulation::Strike(Machine* machine, bool power_loss) {
  Happened(power_loss ? "power-loss" : "kill");
  machine->Kill(power_loss);
  Restart(machine);
}

// It comes back after a while, if nothing else brings it back before.
void Simulation::Restart(Machine* machine) {
  const uint64_t away_ns =
      random_.Percent(50) ? random_.Below(300 * kMillisecond) : random_.Below(8 * kSecond);
  scheduler_.After(away_ns + kMillisecond, [this, machine] {
    if (machine->state() != Machine::State::kDown) {
      if (machine->state() == Machine::State::kStopping) Restart(machine);
      return;
    }
    if (!healing_ && swarm_.address_change && random_.Percent(60) && MayMove(*machine)) {
      Happened("address-change");
      machine->Move();
      last_move_ns_ = scheduler_.now_ns();
    }
    machine->Start();
  });
}

// Others must hear of it before they move themselves, or nobody knows where anybody is.
bool Simulation::MayMove(const Machine& machine) const {
  if (last_move_ns_ != 0 && scheduler_.now_ns() < last_move_ns_ + 20 * kSecond) return false;
  return std::ranges::all_of(machines_, [&](const auto& other) {
    return other.get() == &machine || (other->up() && InCluster(*other));
  });
}

void Simulation::Partition() {
  if (!swarm_.partition || machines_.size() < 2) return;
  Happened("partition");
  const auto count = static_cast<MachineId>(machines_.size());
  const uint64_t shape = random_.Below(4);
  if (shape == 0) {  // one link, one way
    const auto from = static_cast<MachineId>(random_.Below(count));
    const auto to = static_cast<MachineId>(random_.Below(count));
    Trace("--- nothing goes from " + machines_[from]->name() + " to " + machines_[to]->name());
    if (from != to) network_.Block(from, to);
  } else if (shape == 1) {  // one machine alone
    const auto alone = static_cast<MachineId>(random_.Below(count));
    Trace("--- " + machines_[alone]->name() + " is alone");
    for (MachineId other = 0; other < count; ++other) {
      if (other == alone) continue;
      network_.Block(alone, other);
      network_.Block(other, alone);
    }
  } else {  // two sides; with `shape` 3 one machine sees both
    const uint64_t side = random_.Next();
    const auto bridge = static_cast<MachineId>(random_.Below(count));
    Trace("--- two sides");
    for (MachineId a = 0; a < count; ++a) {
      for (MachineId b = 0; b < count; ++b) {
        const bool apart = (side >> a & 1) != (side >> b & 1);
        if (apart && !(shape == 3 && (a == bridge || b == bridge))) network_.Block(a, b);
      }
    }
  }
  scheduler_.After(random_.Between(50, 8000) * kMillisecond, [this] {
    Trace("--- all links are whole");
    network_.UnblockAll();
  });
}

// What a disk holds may be lost while all other voters are there and sound, and are a majority
// without it: so one at a time. How its owner comes back is the operator's business.
bool Simulation::MayLoseData(const Machine& machine) const {
  const auto conf = consensus_.conf(cluster_);
  if (ordering() || conf == nullptr || conf->joint() || !conf->learners.empty()) return false;
  size_t others = 0;
  for (const raft::MemberId voter : conf->voters) {
    if (voter == machine.member()) continue;
    ++others;
    const bool sound = std::ranges::any_of(machines_, [&](const auto& other) {
      return other->up() && InCluster(*other) && other->member() == voter &&
             other->identity_state() != node::IdentityState::kDamaged;
    });
    if (!sound) return false;
  }
  return others >= 2;
}

void Simulation::WipeOne() {
  if (!swarm_.wipe) return;
  Machine* victim = AnyMachine([this](const Machine& m) {
    return InCluster(m) && m.state() != Machine::State::kDown && MayLoseData(m);
  });
  if (victim == nullptr) return;
  Happened("wipe");
  victim->Kill(/*power_loss=*/true);
  victim->Wipe();
  Restart(victim);
}

// A member whose log is damaged either needs nothing of what is lost, or takes part in nothing
// until the leader has replaced it.
void Simulation::DamageOne() {
  if (!swarm_.damage) return;
  Machine* victim = AnyMachine([this](const Machine& m) {
    return InCluster(m) && m.state() != Machine::State::kDown && MayLoseData(m);
  });
  if (victim == nullptr) return;
  Strike(victim, /*power_loss=*/true);
  if (!victim->DamageLog()) return;
  Happened("damage");
}

// ---------------------------------------------------------------- the operator

void Simulation::PlanOrder() {
  if (swarm_.operator_ns_mean == 0) return;
  scheduler_.After(sim::DrawDelay(&operator_random_, swarm_.operator_ns_mean), [this] {
    if (healing_) return;
    NewStream(&operator_random_);
    if (!ordering()) GiveOrder();
    PlanOrder();
  });
}

void Simulation::GiveOrder() {
  // Whoever is up and outside is brought in first.
  Machine* outside = AnyMachine([this](const Machine& m) {
    const bool out = !InCluster(m) || m.identity_state() == node::IdentityState::kRemoved;
    return m.up() && out && !m.owes();
  });
  // And whoever must refuse is asked.
  Machine* stray = AnyMachine([](const Machine& m) { return m.up() && m.owes(); });
  if (stray != nullptr && random_.Percent(10)) return Join(stray);
  if (outside != nullptr && random_.Percent(70)) return Join(outside);
  Machine* asked = AnyMachine([this](const Machine& m) { return m.up() && InCluster(m); });
  if (asked == nullptr) return;
  Machine* target = AnyMachine([this](const Machine& m) { return InCluster(m); });
  if (swarm_.transfer && random_.Percent(50)) {
    Happened("transfer");
    Trace("--- operator: transfer to " + target->name());
    asked->Ask([this, name = target->name()](node::Node& node) {
      node.cluster().Transfer({name, 3000}, [this](Result<service::TransferResponse> result) {
        if (!scheduler_.Dying())
          Trace(result ? "--- transferred" : "--- " + result.error().ToString());
      });
    });
  } else if (swarm_.removal && outside == nullptr) {
    Remove(target);
  }
}

uint64_t Simulation::BeginOrder(uint64_t patience_ns) {
  order_ = ++orders_;
  scheduler_.After(patience_ns, [this, order = order_] { EndOrder(order); });
  return order_;
}

// Of an order that is over already: says nothing of the present one.
void Simulation::EndOrder(uint64_t order) {
  if (order_ == order) order_ = 0;
}

void Simulation::Join(Machine* target) {
  Machine* asked =
      AnyMachine([&](const Machine& m) { return m.up() && InCluster(m) && &m != target; });
  if (asked == nullptr) return;
  const uint64_t order = BeginOrder(35 * kSecond);
  Trace("--- operator: " + asked->name() + " shall join " + target->name());
  asked->Ask([this, order, name = target->name(), address = target->address()](node::Node& node) {
    node.cluster().Join(
        {name, address, 30'000}, [this, order, name](Result<service::JoinResponse> result) {
          if (scheduler_.Dying()) return;
          Trace(result ? "--- joined " + name : "--- not joined: " + result.error().ToString());
          if (result) ++joins_;
          EndOrder(order);
        });
  });
}

void Simulation::Remove(Machine* target) {
  Machine* asked =
      AnyMachine([&](const Machine& m) { return m.up() && InCluster(m) && &m != target; });
  if (asked == nullptr) return;
  // Nobody may stand for a disk that was lost meanwhile.
  const bool all_in =
      std::ranges::all_of(machines_, [this](const auto& m) { return InCluster(*m) || m->owes(); });
  if (!all_in) return;
  const uint64_t order = BeginOrder(15 * kSecond);
  Happened("removal");
  Trace("--- operator: " + asked->name() + " shall remove " + target->name());
  asked->Ask([this, order, name = target->name()](node::Node& node) {
    node.cluster().Remove(
        {name, false, 10'000}, [this, order, name](Result<service::RemoveResponse> result) {
          if (scheduler_.Dying()) return;
          Trace(result ? "--- removed " + name : "--- not removed: " + result.error().ToString());
          EndOrder(order);
        });
  });
}

// ---------------------------------------------------------------- healing

void Simulation::Heal() {
  network_.UnblockAll();
  for (const auto& machine : machines_) {
    machine->disk().Heal();
    machine->Continue();
    if (machine->state() == Machine::State::kStopping) machine->Kill(/*power_loss=*/false);
    if (machine->state() == Machine::State::kDown) machine->Start();
  }
}

}  // namespace arima::simserver
