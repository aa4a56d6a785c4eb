// The table of planted bugs, and which of them is chosen.
//
// A row: number, what it does wrong, what it breaks, who must notice. M1 to M54 are those of
// docs/design/raft.md 7.5. `noticed_by` is for script/mutants:
//   "sim"              `arima sim`, level 0
//   "sim2"             level 2
//   "wal_test FILTER"  unit tests of a folder, with the mutant chosen by the environment
//   "A and B"          each of them
//   "none: WHY"        nothing to break in this code, or harmless: no point in the source
//
// script/mutants reads the rows from here by a pattern: one row starts with `{N, "`.

#include "base/mutants.h"

#ifdef ARIMA_MUTANTS

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace arima {
namespace {

enum class Breaks : uint8_t { kSafety, kLiveness };

struct Mutant {
  int id = 0;
  std::string_view what;
  Breaks breaks = Breaks::kSafety;
  std::string_view noticed_by;
};

constexpr auto kSafety = Breaks::kSafety;
constexpr auto kLiveness = Breaks::kLiveness;

// clang-format off
constexpr Mutant kMutants[] = {
    {1, "entries of older terms are committed by counting", kSafety, "sim"},
    {2, "a vote is sent before it is durable", kSafety, "sim"},
    {3, "the own vote counts before it is durable", kSafety, "sim"},
    {4, "entries are acknowledged before they are durable", kSafety, "sim"},
    {5, "a vote is kept in a new term", kSafety, "sim"},
    {6, "a second vote is given in a term", kSafety, "sim"},
    {7, "logs are compared by index only", kSafety, "sim"},
    {8, "half of an even number of voters is a majority", kSafety, "sim"},
    {9, "of a joint configuration only the incoming majority counts", kSafety, "sim"},
    {10, "a follower commits entries that the message does not vouch for", kSafety, "sim"},
    {11, "an append that fits cuts off what follows it", kSafety, "sim"},
    {12, "the term of the entry before is not compared", kSafety, "sim"},
    {13, "a new leader appends no entry of its own", kLiveness, "sim"},
    {14, "reads are served before an entry of the term is committed", kSafety, "sim"},
    {15, "reads are served without asking a quorum", kSafety, "sim"},
    {16, "the id of a forwarded read is used again", kSafety, "sim"},
    {17, "a lease runs from the time of receipt", kSafety, "none: there are no leases"},
    {18, "a restarted voter votes at once", kSafety, "none: matters with leases only"},
    {19, "a late order to take over is obeyed", kLiveness,
     "none: without leases it costs one needless election"},
    {20, "a membership change is taken while one is pending", kSafety, "sim"},
    {21, "a membership change is taken before an entry of the term is committed", kSafety, "sim"},
    {22, "the copy of a learner counts for a commit", kSafety, "sim"},
    {23, "a removed leader counts itself", kSafety, "sim"},
    {24, "writes in flight vouch for entries that were replaced", kSafety, "sim"},
    {25, "a completed write makes the whole log durable", kSafety, "sim"},
    {26, "entries are applied that are not durable here", kSafety, "sim"},
    {27, "the applied index is stored in a batch of its own", kSafety,
     "kv_test * and sim2"},
    {28, "the log is cut at what is applied, durable or not", kSafety,
     "node_test Replica*:InstallCrash*:KilledAt*:NodeSnapshot* and sim2"},
    {29, "a snapshot is described by what is applied, not by what it holds", kSafety,
     "node_test NodeSnapshot*:SnapshotFetcher*"},
    {30, "a snapshot is acknowledged before it is installed", kSafety, "sim"},
    {31, "a snapshot of what the log has replaces the log", kSafety, "sim"},
    {32, "the chain from frame to frame is not checked", kSafety, "wal_test *"},
    {33, "frames behind the sealed end of a segment count", kSafety, "wal_test *"},
    {34, "rot is taken for a torn write", kSafety, "wal_test *"},
    {35, "all uses of a segment have one salt", kSafety, "wal_test *"},
    {36, "a segment's name is not synced", kSafety, "wal_test *"},
    {37, "a failed sync is tried again", kSafety, "wal_test *"},
    {38, "writes are reported done that were not synced", kSafety, "wal_test *"},
    {39, "term and vote are written after the entries", kSafety, "sim"},
    {40, "the id of a removed member is given to another", kSafety, "sim"},
    {41, "peers of another cluster are listened to", kSafety,
     "node_test NodeTest.APeerOfAnotherCluster*"},
    {42, "a node that holds data is absorbed", kSafety, "node_test Join*:NodeTest*"},
    {43, "a leader of an older term is told nothing", kLiveness, "sim"},
    {44, "being asked for a pre-vote changes the term", kSafety, "sim"},
    {45, "nothing is sent to a peer whose window is full", kLiveness, "sim"},
    {46, "who has once been heard is taken for alive", kLiveness, "sim"},
    {47, "a new leader does not leave the joint configuration", kLiveness, "sim"},
    {48, "a commit index in a vote is believed without its term", kSafety, "sim"},
    {49, "the first index behind a cut is one too low", kSafety, "sim"},
    {50, "the last applied entry is applied again after a restart", kSafety, "sim"},
    {51, "votes are asked for before the own one is durable", kSafety, "sim"},
    {52, "missed ticks are replayed", kSafety, "none: matters with leases only"},
    {53, "a database ahead of its log is believed without a mark", kSafety,
     "node_test LogDamage*:Replica*"},
    {54, "the commit index is never written with entries", kSafety, "sim"},
    {55, "a doubled message is taken twice", kSafety, "sim"},
    {56, "what an earlier life of the leader may have appended is taken again", kSafety, "sim"},
    {57, "a write is answered by its index, whatever its term", kSafety,
     "node_test Proposal* and sim2"},
    {58, "a recycled segment may come back under its old name", kSafety, "wal_test *"},
    {59, "one batch more than was flushed is taken for durable", kSafety, "kv_test FlushTracker*"},
    {60, "entries are taken while a snapshot is installed", kSafety, "sim"},
    {61, "a joint configuration has no outgoing majority", kSafety, "sim"},
    {62, "a read takes the answer to one of an earlier process life", kSafety, "sim"},
    {63, "the configuration of a snapshot is not taken over", kSafety, "sim"},
    {64, "a node campaigns while it installs a snapshot", kSafety, "sim"},
    {65, "a follower serves a read before it has applied enough", kSafety,
     "node_test ReadQueue* and sim2"},
    {66, "a disk without space is given entries", kSafety, "raft_test *"},
    {67, "a leader without space takes what makes data grow", kSafety, "raft_test *"},
    {68, "the log behind a snapshot under way is cut", kSafety, "node_test LogRetention*"},
    {69, "an installed snapshot is confirmed without resetting the log", kSafety,
     "node_test Replica*:InstallCrash* and sim2"},
    {70, "the name of an installed database is not synced", kSafety, "node_test InstallCrash*"},
    {71, "leaving a joint configuration is proposed again and again", kSafety, "sim"},
    {72, "history goes up to a compaction revision that is not durable", kSafety,
     "kv_test RocksCrash*"},
    {73, "a deletion is cleaned away before what it hides", kSafety, "kv_test *"},
    {74, "a checkpoint is done before it is synced", kSafety, "kv_test RocksCrash*"},
    {75, "who was removed goes on voting", kSafety, "sim"},
};
// clang-format on

int Parse(std::string_view name) {
  if (name.starts_with('M')) name.remove_prefix(1);
  int id = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || end != name.data() + name.size()) return 0;
  for (const Mutant& mutant : kMutants) {
    if (mutant.id == id && !mutant.noticed_by.starts_with("none")) return id;
  }
  return 0;
}

int FromEnvironment() {
  const char* name = std::getenv(kMutantVariable);
  if (name == nullptr || *name == '\0') return 0;
  const int id = Parse(name);
  if (id != 0) return id;
  std::fprintf(stderr, "%s=%s names no planted bug\n", kMutantVariable, name);
  std::exit(2);
}

}  // namespace

int internal::chosen_mutant = FromEnvironment();

bool ChooseMutant(std::string_view name) {
  internal::chosen_mutant = Parse(name);
  return internal::chosen_mutant != 0;
}

}  // namespace arima

#endif
