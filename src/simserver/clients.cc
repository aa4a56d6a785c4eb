#include "simserver/clients.h"

#include <algorithm>
#include <utility>

#include "sim/swarm.h"

namespace arima::simserver {
namespace {

using sim::kMillisecond;

// A client that hears nothing turns elsewhere after so much more than it gave the node.
constexpr uint64_t kPatienceNs = 10'000 * kMillisecond;
constexpr uint64_t kRestNs = kMillisecond / 2;
constexpr uint64_t kCalmNs = 100 * kMillisecond;

// What a node says that it has not done; anything else may have been.
bool NotApplied(Code code) {
  return code == Code::kUnavailable || code == Code::kOverloaded || code == Code::kDiskFull ||
         code == Code::kRemoved || code == Code::kTooLarge || code == Code::kInvalidArgument;
}

// The process that was asked could answer.
bool Lives(const Machine& machine, uint64_t life) {
  return machine.up() && machine.life() == life && !machine.paused();
}

}  // namespace

Clients::Clients(const World& world, uint64_t seed, std::vector<Machine*> machines)
    : world_(world),
      random_(seed),
      machines_(std::move(machines)),
      clients_(world.swarm->clients) {}

void Clients::Begin(const Uuid& cluster) {
  cluster_ = cluster;
  for (size_t client = 0; client < clients_.size(); ++client) Plan(client);
}

void Clients::CountFromNow() {
  calm_ = true;
  for (Client& client : clients_) client.done_since = 0;
}

bool Clients::AllDid(uint64_t operations) const {
  return std::ranges::all_of(clients_,
                             [&](const Client& client) { return client.done_since >= operations; });
}

bool Clients::Idle() const {
  return std::ranges::none_of(clients_,
                              [](const Client& client) { return client.running.has_value(); });
}

std::string Clients::Unanswered() const {
  const uint64_t late_ns = world_.swarm->timeout_ms * kMillisecond + kPatienceNs;
  for (const Client& client : clients_) {
    if (!client.running) continue;
    const Running& running = *client.running;
    const bool late = world_.scheduler->now_ns() > running.begin_ns + 2 * late_ns;
    if (late && Lives(*running.machine, running.life)) {
      return running.machine->name() + " never answered a request for key " +
             history_[running.number - 1].key;
    }
  }
  return {};
}

void Clients::Plan(size_t client) {
  const uint64_t pause_ns =
      (calm_ ? kCalmNs : kRestNs) + sim::DrawDelay(&random_, world_.swarm->think_ns_mean);
  world_.scheduler->After(pause_ns, [this, client] { Start(client); });
}

// One that is up and belongs to the cluster; whether it is of use the client cannot know.
Machine* Clients::Choose() {
  std::vector<Machine*> candidates;
  for (Machine* machine : machines_) {
    if (machine->up() && machine->cluster() == *cluster_) candidates.push_back(machine);
  }
  return candidates.empty() ? nullptr : candidates[random_.Below(candidates.size())];
}

uint64_t Clients::Tick() {
  last_tick_ = std::max(world_.scheduler->now_ns(), last_tick_ + 1);
  return last_tick_;
}

check::Operation Clients::Draw(size_t client) {
  const Swarm& swarm = *world_.swarm;
  check::Operation operation;
  operation.id = history_.size() + 1;
  operation.client = client;
  operation.key = "k" + std::to_string(random_.Below(swarm.keys));
  operation.start_ns = Tick();
  // So that there is a newer state to compare than those from before the healing.
  const bool must_put = calm_ && clients_[client].done_since == 0;
  if (!must_put && random_.Percent(swarm.read_percent)) {
    operation.kind = check::Kind::kRead;
    operation.stale = random_.Percent(swarm.stale_percent);
  } else if (!must_put && random_.Percent(swarm.delete_percent)) {
    operation.kind = check::Kind::kDelete;
  } else {
    operation.kind = check::Kind::kPut;
    operation.value = "v" + std::to_string(operation.id) + "-";
    operation.value->append(random_.Below(swarm.value_bytes_max), 'x');
  }
  return operation;
}

void Clients::Start(size_t client) {
  if (stopped_) return;
  Machine* machine = Choose();
  if (machine == nullptr) return Plan(client);
  // Also what reaches a node only after its client gave up may be done.
  history_.push_back(Draw(client));
  const uint64_t number = history_.size();
  clients_[client].running = Running{number, machine, machine->life(), world_.scheduler->now_ns()};
  world_.scheduler->After(world_.swarm->timeout_ms * kMillisecond + kPatienceNs,
                          [this, client, number] { GiveUp(client, number); });
  const check::Kind kind = Record(number).kind;
  if (kind == check::Kind::kPut) {
    AskPut(client);
  } else if (kind == check::Kind::kDelete) {
    AskDelete(client);
  } else {
    AskRead(client);
  }
}

void Clients::Ask(size_t client, Machine::Request request) {
  const Running& running = *clients_[client].running;
  running.machine->Ask([this, client, number = running.number, machine = running.machine,
                        request = std::move(request)](node::Node& node) mutable {
    if (machine->cluster() == *cluster_) return request(node);
    Fails(client, number, {Code::kUnavailable, "another cluster"});
  });
}

void Clients::AskPut(size_t client) {
  const uint64_t number = clients_[client].running->number;
  const check::Operation& put = Record(number);
  Ask(client, [this, client, number, key = put.key, value = *put.value](node::Node& node) {
    node.kv().Put({key, SharedBytes::Copy(value), world_.swarm->timeout_ms},
                  [this, client, number](Result<service::PutResponse> result) {
                    if (!result) return Fails(client, number, result.error());
                    check::Operation* done = Take(client, number);
                    if (done == nullptr) return;
                    done->revision = result->revision;
                    End(client, check::Outcome::kOk);
                  });
  });
}

void Clients::AskDelete(size_t client) {
  const uint64_t number = clients_[client].running->number;
  Ask(client, [this, client, number, key = Record(number).key](node::Node& node) {
    node.kv().Delete({key, world_.swarm->timeout_ms},
                     [this, client, number](Result<service::DeleteResponse> result) {
                       if (!result) return Fails(client, number, result.error());
                       check::Operation* done = Take(client, number);
                       if (done == nullptr) return;
                       done->revision = result->revision;
                       done->deleted = result->deleted;
                       End(client, check::Outcome::kOk);
                     });
  });
}

void Clients::AskRead(size_t client) {
  const uint64_t number = clients_[client].running->number;
  if (Record(number).stale) {
    return Ask(client, [this, client, number](node::Node& node) { ReadNow(client, number, node); });
  }
  Ask(client, [this, client, number,
               machine = clients_[client].running->machine](node::Node& node) {
    node.kv().ReadBarrier({world_.swarm->timeout_ms}, [this, client, number,
                                                       machine](Result<void> ready) {
      if (!ready) return Fails(client, number, ready.error());
      // On a thread of the front end, not on the one that calls this.
      machine->Ask([this, client, number](node::Node& there) { ReadNow(client, number, there); });
    });
  });
}

void Clients::ReadNow(size_t client, uint64_t number, node::Node& node) {
  if (Take(client, number) == nullptr) return;
  const bool stale = Record(number).stale;
  const std::string key = Record(number).key;
  auto read = node.kv().GetLocal(
      {key, stale ? service::Consistency::kStale : service::Consistency::kLinearizable});
  if (!read) return Fails(client, number, read.error());
  check::Operation* done = Take(client, number);
  if (done == nullptr) return;
  if (read->found) {
    done->value = std::string(read->value.view());
    done->revision = read->mod_revision;
  }
  done->store_revision = read->store_revision;
  End(client, check::Outcome::kOk);
}

check::Operation* Clients::Take(size_t client, uint64_t number) {
  if (world_.scheduler->Dying()) return nullptr;
  const std::optional<Running>& running = clients_[client].running;
  return running && running->number == number ? &Record(number) : nullptr;
}

void Clients::Fails(size_t client, uint64_t number, const Error& error) {
  if (Take(client, number) == nullptr) return;
  End(client, NotApplied(error.code) ? check::Outcome::kFailed : check::Outcome::kUnknown);
}

void Clients::End(size_t client, check::Outcome outcome) {
  Client& asker = clients_[client];
  check::Operation& operation = Record(asker.running->number);
  operation.outcome = outcome;
  if (outcome != check::Outcome::kUnknown) operation.end_ns = Tick();
  if (outcome == check::Outcome::kOk) ++asker.done_since;
  asker.running.reset();
  Plan(client);
}

void Clients::GiveUp(size_t client, uint64_t number) {
  const std::optional<Running>& running = clients_[client].running;
  if (!running || running->number != number) return;
  if (!Lives(*running->machine, running->life)) return End(client, check::Outcome::kUnknown);
  world_.scheduler->After(kPatienceNs, [this, client, number] { GiveUp(client, number); });
}

}  // namespace arima::simserver
