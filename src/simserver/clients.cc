#include "simserver/clients.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "sim/swarm.h"

namespace arima::simserver {
namespace {

constexpr uint64_t kMs = 1'000'000;
// A client that hears nothing turns elsewhere after so much more than it gave the node.
constexpr uint64_t kPatienceNs = 10'000 * kMs;
constexpr uint64_t kRestNs = kMs / 2;
constexpr uint64_t kCalmNs = 100 * kMs;

// What a node says that it has not done; anything else may have been.
bool NotApplied(Code code) {
  return code == Code::kUnavailable || code == Code::kOverloaded || code == Code::kDiskFull ||
         code == Code::kRemoved || code == Code::kTooLarge || code == Code::kInvalidArgument;
}

}  // namespace

Clients::Clients(const World& world, uint64_t seed, std::vector<Machine*> machines,
                 HistoryChecker* history)
    : world_(world),
      random_(seed),
      machines_(std::move(machines)),
      history_(*history),
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

std::string Clients::Unanswered() const {
  const uint64_t late_ns = world_.swarm->timeout_ms * kMs + kPatienceNs;
  for (const Client& client : clients_) {
    if (!client.operation) continue;
    const Operation& operation = *client.operation;
    const bool alive = operation.machine->up() && operation.machine->life() == operation.life &&
                       !operation.machine->paused();
    if (alive && world_.scheduler->now_ns() > operation.begin_ns + 2 * late_ns) {
      return operation.machine->name() + " never answered a request for key " + operation.key;
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

void Clients::Start(size_t client) {
  Machine* machine = Choose();
  if (machine == nullptr) return Plan(client);
  const Swarm& swarm = *world_.swarm;
  Operation operation;
  operation.number = next_number_++;
  operation.key = "k" + std::to_string(random_.Below(swarm.keys));
  operation.machine = machine;
  operation.life = machine->life();
  operation.begin_ns = world_.scheduler->now_ns();
  operation.floor = history_.Begin(operation.key);
  if (random_.Percent(swarm.read_percent)) {
    operation.kind = random_.Percent(swarm.stale_percent) ? Kind::kStaleRead : Kind::kRead;
  } else {
    operation.kind = random_.Percent(swarm.delete_percent) ? Kind::kDelete : Kind::kPut;
  }
  if (operation.kind == Kind::kPut) {
    operation.value = "v" + std::to_string(operation.number) + "-";
    operation.value.append(random_.Below(swarm.value_bytes_max), 'x');
  }
  const uint64_t number = operation.number;
  clients_[client].operation = operation;
  // Also what reaches a node only after its client gave up may be done.
  if (operation.kind == Kind::kPut) history_.TryPut(operation.key, operation.value);
  if (operation.kind == Kind::kDelete) history_.TryDelete(operation.key);
  world_.scheduler->After(swarm.timeout_ms * kMs + kPatienceNs,
                          [this, client, number] { GiveUp(client, number); });
  if (operation.kind == Kind::kPut) {
    AskPut(client, operation);
  } else if (operation.kind == Kind::kDelete) {
    AskDelete(client, operation);
  } else {
    AskRead(client, operation);
  }
}

void Clients::AskPut(size_t client, const Operation& operation) {
  operation.machine->Ask([this, client, number = operation.number, key = operation.key,
                          value = operation.value, machine = operation.machine](node::Node& node) {
    if (machine->cluster() != *cluster_) {
      return Fails(client, number, {Code::kUnavailable, "another cluster"});
    }
    node.kv().Put({key, SharedBytes::Copy(value), world_.swarm->timeout_ms},
                  [this, client, number](Result<service::PutResponse> result) {
                    if (!result) return Fails(client, number, result.error());
                    Operation* done = Take(client, number);
                    if (done == nullptr) return;
                    history_.Put(done->key, done->value, done->floor, result->revision);
                    End(client, true);
                  });
  });
}

void Clients::AskDelete(size_t client, const Operation& operation) {
  operation.machine->Ask([this, client, number = operation.number, key = operation.key,
                          machine = operation.machine](node::Node& node) {
    if (machine->cluster() != *cluster_) {
      return Fails(client, number, {Code::kUnavailable, "another cluster"});
    }
    node.kv().Delete({key, world_.swarm->timeout_ms},
                     [this, client, number](Result<service::DeleteResponse> result) {
                       if (!result) return Fails(client, number, result.error());
                       Operation* done = Take(client, number);
                       if (done == nullptr) return;
                       history_.Deleted(done->key, done->floor, result->revision, result->deleted);
                       End(client, true);
                     });
  });
}

void Clients::AskRead(size_t client, const Operation& operation) {
  const uint64_t number = operation.number;
  Machine* machine = operation.machine;
  if (operation.kind == Kind::kStaleRead) {
    machine->Ask([this, client, number, machine](node::Node& node) {
      if (machine->cluster() == *cluster_) return ReadNow(client, number, node);
      Fails(client, number, {Code::kUnavailable, "another cluster"});
    });
    return;
  }
  machine->Ask([this, client, number, machine](node::Node& node) {
    if (machine->cluster() != *cluster_) {
      return Fails(client, number, {Code::kUnavailable, "another cluster"});
    }
    node.kv().ReadBarrier({world_.swarm->timeout_ms}, [this, client, number,
                                                       machine](Result<void> ready) {
      if (!ready) return Fails(client, number, ready.error());
      // On a thread of the front end, not on the one that calls this.
      machine->Ask([this, client, number](node::Node& there) { ReadNow(client, number, there); });
    });
  });
}

void Clients::ReadNow(size_t client, uint64_t number, node::Node& node) {
  Client& asker = clients_[client];
  if (!asker.operation || asker.operation->number != number) return;
  const bool stale = asker.operation->kind == Kind::kStaleRead;
  const std::string key = asker.operation->key;
  auto read = node.kv().GetLocal(
      {key, stale ? service::Consistency::kStale : service::Consistency::kLinearizable});
  if (!read) return Fails(client, number, read.error());
  Operation* done = Take(client, number);
  if (done == nullptr) return;
  std::optional<std::string> value;
  if (read->found) value = std::string(read->value.view());
  history_.Read(done->key, value, done->floor, read->mod_revision, read->store_revision, !stale);
  End(client, true);
}

Clients::Operation* Clients::Take(size_t client, uint64_t number) {
  if (world_.scheduler->Dying()) return nullptr;
  std::optional<Operation>& operation = clients_[client].operation;
  if (!operation || operation->number != number) return nullptr;
  return &*operation;
}

void Clients::Fails(size_t client, uint64_t number, const Error& error) {
  Operation* operation = Take(client, number);
  if (operation == nullptr) return;
  if (NotApplied(error.code)) {
    if (operation->kind == Kind::kPut) history_.NotPut(operation->value);
    if (operation->kind == Kind::kDelete) history_.NotDeleted(operation->key);
  }
  End(client, false);
}

void Clients::End(size_t client, bool success) {
  clients_[client].operation.reset();
  if (success) ++clients_[client].done_since;
  Plan(client);
}

void Clients::GiveUp(size_t client, uint64_t number) {
  std::optional<Operation>& operation = clients_[client].operation;
  if (!operation || operation->number != number) return;
  const bool lives = operation->machine->up() && !operation->machine->paused() &&
                     operation->machine->life() == operation->life;
  if (lives)
    return world_.scheduler->After(kPatienceNs, [this, client, number] { GiveUp(client, number); });
  End(client, false);
}

}  // namespace arima::simserver
