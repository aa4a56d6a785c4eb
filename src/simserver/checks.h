// Checks: what must be true of all nodes together, and of what clients were told
// (docs/design/raft.md 7.3). Names of invariants are those of that list.
//
// Each write that changes something has a revision of its own, which clients learn; so the order in
// which a linearizable store claims to have done things is known, and need not be searched for: it
// is enough that it agrees with real time, and that every read shows what that order says.
//
// One thread; call in the order of virtual time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/core.h"
#include "sim/verdict.h"

namespace arima::simserver {

class ConsensusChecker {
 public:
  explicit ConsensusChecker(sim::Verdict* verdict) : verdict_(*verdict) {}

  void OnLeader(const Uuid& cluster, raft::Term term, raft::MemberId leader);
  void OnCommitted(const Uuid& cluster, const raft::Entry& entry);
  void OnConf(const Uuid& cluster, std::shared_ptr<const raft::ConfState> conf);
  // The state after the entry of `index`, as readers see it.
  void OnState(const Uuid& cluster, uint64_t index, uint64_t digest);

  uint64_t leaders() const { return leaders_.size(); }
  uint64_t states_compared() const { return states_compared_; }
  // The newest that anybody has seen committed; null: none.
  std::shared_ptr<const raft::ConfState> conf(const Uuid& cluster) const;
  uint64_t last_committed(const Uuid& cluster) const;

 private:
  sim::Verdict& verdict_;
  std::map<std::pair<Uuid, raft::Term>, raft::MemberId> leaders_;
  std::map<Uuid, std::map<uint64_t, std::pair<raft::Term, uint32_t>>> committed_;
  std::map<Uuid, std::map<uint64_t, uint64_t>> states_;
  std::map<Uuid, std::shared_ptr<const raft::ConfState>> confs_;
  uint64_t states_compared_ = 0;
};

// Of one cluster. An operation begins with Begin and ends with one of the others, or never.
class HistoryChecker {
 public:
  explicit HistoryChecker(sim::Verdict* verdict) : verdict_(*verdict) {}

  // What an operation that begins now must at least see.
  struct Floor {
    uint64_t revision = 0;      // of the store
    uint64_t key_revision = 0;  // of the last change of the key that is known
  };
  Floor Begin(const std::string& key) const;

  // `value`: no two puts have the same. A write whose outcome is never known is still Tried.
  void TryPut(const std::string& key, const std::string& value);
  void TryDelete(const std::string& key) { ++open_deletes_[key]; }
  // It was said not to have been applied.
  void NotPut(const std::string& value);
  void NotDeleted(const std::string& key) { --open_deletes_[key]; }

  void Put(const std::string& key, const std::string& value, const Floor& floor, uint64_t revision);
  void Deleted(const std::string& key, const Floor& floor, uint64_t revision, bool deleted);
  // Empty `value`: not found.
  void Read(const std::string& key, const std::optional<std::string>& value, const Floor& floor,
            uint64_t mod_revision, uint64_t store_revision, bool linearizable);
  // Of all reads, with all that is known in the end.
  void CheckReads();

  uint64_t writes() const { return writes_; }
  uint64_t reads() const { return reads_.size(); }

 private:
  struct Seen {
    std::string key;
    bool found = false;
    uint64_t mod_revision = 0;
    uint64_t store_revision = 0;
    bool excused = false;  // not found, and a delete with an unknown outcome may be why
  };
  // A change of `key` at `revision`; empty: deleted.
  void Know(const std::string& key, uint64_t revision, const std::optional<std::string>& value);
  void CheckFloor(const char* what, const std::string& key, uint64_t revision, uint64_t floor);

  sim::Verdict& verdict_;
  uint64_t floor_ = 0;
  std::map<std::string, uint64_t> key_floors_;
  std::map<std::string, std::map<uint64_t, std::optional<std::string>>> changes_;  // by key
  std::map<uint64_t, std::string> keys_by_revision_;
  std::map<std::string, std::string> tried_;  // value -> key
  std::set<std::string> refused_;             // values that were said not to be applied
  std::map<std::string, int64_t> open_deletes_;
  std::vector<Seen> reads_;
  uint64_t writes_ = 0;
};

}  // namespace arima::simserver
