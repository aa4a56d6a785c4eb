#include "simserver/checks.h"

#include <algorithm>
#include <utility>

namespace arima::simserver {
namespace {

std::string Text(uint64_t number) { return std::to_string(number); }

}  // namespace

// ---------------------------------------------------------------- consensus

void ConsensusChecker::OnLeader(const Uuid& cluster, raft::Term term, raft::MemberId leader) {
  const auto [known, added] = leaders_.try_emplace({cluster, term}, leader);
  if (added || known->second == leader) return;
  verdict_.Fail("I1 one leader per term", "members " + Text(known->second.value) + " and " +
                                              Text(leader.value) + " both led term " +
                                              Text(term.value));
}

void ConsensusChecker::OnCommitted(const Uuid& cluster, const raft::Entry& entry) {
  const std::pair<raft::Term, uint32_t> what{entry.term, entry.checksum};
  const auto [known, added] = committed_[cluster].try_emplace(entry.index.value, what);
  if (added || known->second == what) return;
  verdict_.Fail("I6 state machine safety",
                "two entries were committed at index " + Text(entry.index.value) + ", of terms " +
                    Text(known->second.first.value) + " and " + Text(entry.term.value));
}

void ConsensusChecker::OnConf(const Uuid& cluster, std::shared_ptr<const raft::ConfState> conf) {
  std::shared_ptr<const raft::ConfState>& newest = confs_[cluster];
  if (newest == nullptr || conf->index > newest->index) newest = std::move(conf);
}

std::shared_ptr<const raft::ConfState> ConsensusChecker::conf(const Uuid& cluster) const {
  auto found = confs_.find(cluster);
  return found == confs_.end() ? nullptr : found->second;
}

void ConsensusChecker::OnState(const Uuid& cluster, uint64_t index, uint64_t digest) {
  const auto [known, added] = states_[cluster].try_emplace(index, digest);
  if (added) return;
  ++states_compared_;
  if (known->second == digest) return;
  verdict_.Fail("I14 equal states", "two nodes differ after index " + Text(index));
}

uint64_t ConsensusChecker::last_committed(const Uuid& cluster) const {
  auto found = committed_.find(cluster);
  return found == committed_.end() || found->second.empty() ? 0 : found->second.rbegin()->first;
}

// ---------------------------------------------------------------- clients

HistoryChecker::Floor HistoryChecker::Begin(const std::string& key) const {
  auto known = key_floors_.find(key);
  return {floor_, known == key_floors_.end() ? 0 : known->second};
}

void HistoryChecker::TryPut(const std::string& key, const std::string& value) {
  tried_[value] = key;
}

void HistoryChecker::NotPut(const std::string& value) { refused_.insert(value); }

void HistoryChecker::CheckFloor(const char* what, const std::string& key, uint64_t revision,
                                uint64_t floor) {
  if (revision >= floor) return;
  verdict_.Fail("I11 linearizability",
                std::string(what) + " of key " + key + " was done at revision " + Text(revision) +
                    ", though revision " + Text(floor) + " had been told before it began");
}

void HistoryChecker::Know(const std::string& key, uint64_t revision,
                          const std::optional<std::string>& value) {
  const auto [owner, first] = keys_by_revision_.try_emplace(revision, key);
  const auto [known, added] = changes_[key].try_emplace(revision, value);
  if (owner->second != key || known->second != value) {
    verdict_.Fail("I11 linearizability",
                  "revision " + Text(revision) + " is told as two different changes");
  }
}

void HistoryChecker::Put(const std::string& key, const std::string& value, const Floor& floor,
                         uint64_t revision) {
  ++writes_;
  CheckFloor("a put", key, revision, floor.revision + 1);
  Know(key, revision, value);
  floor_ = std::max(floor_, revision);
  uint64_t& known = key_floors_[key];
  known = std::max(known, revision);
}

void HistoryChecker::Deleted(const std::string& key, const Floor& floor, uint64_t revision,
                             bool deleted) {
  --open_deletes_[key];
  ++writes_;
  if (!deleted) return Read(key, std::nullopt, floor, 0, revision, /*linearizable=*/true);
  CheckFloor("a delete", key, revision, floor.revision + 1);
  Know(key, revision, std::nullopt);
  floor_ = std::max(floor_, revision);
  uint64_t& known = key_floors_[key];
  known = std::max(known, revision);
}

void HistoryChecker::Read(const std::string& key, const std::optional<std::string>& value,
                          const Floor& floor, uint64_t mod_revision, uint64_t store_revision,
                          bool linearizable) {
  if (linearizable) {
    CheckFloor("a read", key, store_revision, floor.revision);
    floor_ = std::max(floor_, store_revision);
  }
  if (mod_revision > store_revision) {
    verdict_.Fail("I11 linearizability", "a read of key " + key + " shows revision " +
                                             Text(mod_revision) + " of a store at revision " +
                                             Text(store_revision));
  }
  if (value) {
    auto tried = tried_.find(*value);
    if (tried == tried_.end() || tried->second != key || refused_.contains(*value)) {
      verdict_.Fail("I11 linearizability",
                    "a read of key " + key +
                        " shows a value that nobody wrote, or that was refused as not applied");
    }
    Know(key, mod_revision, value);
    if (linearizable) {
      uint64_t& known = key_floors_[key];
      known = std::max(known, mod_revision);
    }
  }
  const bool excused = !value && open_deletes_[key] > 0;
  reads_.push_back({key, value.has_value(), mod_revision, store_revision, excused});
}

void HistoryChecker::CheckReads() {
  for (const Seen& read : reads_) {
    const auto& changes = changes_[read.key];
    auto after = changes.upper_bound(read.store_revision);
    const bool none = after == changes.begin();
    if (!none) --after;
    const bool exists = !none && after->second.has_value();
    if (read.found) {
      if (!none && after->first == read.mod_revision) continue;
    } else if (!exists || read.excused) {
      continue;
    }
    verdict_.Fail("I11 linearizability",
                  "a read of key " + read.key + " at revision " + Text(read.store_revision) +
                      (read.found ? " shows its change of revision " + Text(read.mod_revision)
                                  : std::string(" finds nothing")) +
                      ", its last change before was that of revision " +
                      (none ? "none" : Text(after->first)));
    return;
  }
}

}  // namespace arima::simserver
