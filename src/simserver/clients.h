// Clients: each does one operation at a time, on a node of its choice; what came of it is kept for
// check/linearizability.h. Thread rule: one thread; answers arrive inside, everything else is
// outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/history.h"
#include "simserver/machine.h"

namespace arima::simserver {

class Clients {
 public:
  // Machines that belong to `cluster` are asked; all outlive it.
  Clients(const World& world, uint64_t seed, std::vector<Machine*> machines);

  // Whose data is kept; nobody asks before.
  void Begin(const Uuid& cluster);
  // From now on what every client still gets done is counted, a put first, and none is in a hurry:
  // whoever is behind can catch up.
  void CountFromNow();
  // Every client has done so many operations with success since.
  bool AllDid(uint64_t operations) const;
  // They begin nothing any more.
  void Stop() { stopped_ = true; }
  bool Idle() const;
  // An operation that a living process has not answered long after its time; empty: none.
  std::string Unanswered() const;
  // All that was asked. Whatever has no answer has an unknown outcome. Its times are those of the
  // scheduler, but no two are equal: what came first, came first.
  const std::vector<check::Operation>& history() const { return history_; }

 private:
  // An operation under way.
  struct Running {
    uint64_t number = 0;  // in history_, from 1
    Machine* machine = nullptr;
    uint64_t life = 0;  // of the machine
    uint64_t begin_ns = 0;
  };
  struct Client {
    std::optional<Running> running;
    uint64_t done_since = 0;
  };

  void Plan(size_t client);
  void Start(size_t client);
  Machine* Choose();
  check::Operation Draw(size_t client);
  uint64_t Tick();
  // Calls `request` on the node that is asked, unless that has another cluster's data by then.
  void Ask(size_t client, Machine::Request request);
  void AskPut(size_t client);
  void AskDelete(size_t client);
  void AskRead(size_t client);
  void ReadNow(size_t client, uint64_t number, node::Node& node);
  check::Operation& Record(uint64_t number) { return history_[number - 1]; }
  // What to write the answer to, if it is one to the operation under way.
  check::Operation* Take(size_t client, uint64_t number);
  void Fails(size_t client, uint64_t number, const Error& error);
  void End(size_t client, check::Outcome outcome);
  void GiveUp(size_t client, uint64_t number);

  const World world_;
  SeededRandom random_;
  const std::vector<Machine*> machines_;
  std::optional<Uuid> cluster_;
  std::vector<Client> clients_;
  std::vector<check::Operation> history_;
  uint64_t last_tick_ = 0;
  bool calm_ = false;
  bool stopped_ = false;
};

}  // namespace arima::simserver
