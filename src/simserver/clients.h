// Clients: each does one operation at a time, on a node of its choice, and remembers what came of
// it. Thread rule: one thread; answers arrive inside, everything else is outside.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "simserver/checks.h"
#include "simserver/machine.h"

namespace arima::simserver {

class Clients {
 public:
  // Machines that belong to `cluster` are asked; all outlive it.
  Clients(const World& world, uint64_t seed, std::vector<Machine*> machines,
          HistoryChecker* history);

  // Whose data is kept; nobody asks before.
  void Begin(const Uuid& cluster);
  // From now on what every client still gets done is counted, and none is in a hurry: whoever is
  // behind can catch up.
  void CountFromNow();
  // Every client has done so many operations with success since.
  bool AllDid(uint64_t operations) const;
  // An operation that a living process has not answered long after its time; empty: none.
  std::string Unanswered() const;

 private:
  enum class Kind : uint8_t { kPut, kDelete, kRead, kStaleRead };
  struct Operation {
    uint64_t number = 0;
    Kind kind = Kind::kRead;
    std::string key;
    std::string value;
    Machine* machine = nullptr;
    uint64_t life = 0;  // of the machine
    uint64_t begin_ns = 0;
    HistoryChecker::Floor floor;
    bool said = false;  // an answer came
  };
  struct Client {
    std::optional<Operation> operation;
    uint64_t done_since = 0;
  };

  void Plan(size_t client);
  void Start(size_t client);
  Machine* Choose();
  void AskPut(size_t client, const Operation& operation);
  void AskDelete(size_t client, const Operation& operation);
  void AskRead(size_t client, const Operation& operation);
  void ReadNow(size_t client, uint64_t number, node::Node& node);
  // The operation, if that answer is for the one under way.
  Operation* Take(size_t client, uint64_t number);
  void Fails(size_t client, uint64_t number, const Error& error);
  void End(size_t client, bool success);
  void GiveUp(size_t client, uint64_t number);

  const World world_;
  SeededRandom random_;
  const std::vector<Machine*> machines_;
  HistoryChecker& history_;
  std::optional<Uuid> cluster_;
  std::vector<Client> clients_;
  bool calm_ = false;
  uint64_t next_number_ = 1;
};

}  // namespace arima::simserver
