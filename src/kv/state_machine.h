// The replicated state machine: commands in log order in, revisions and answers out.
//
// Knows nothing of Raft: a record is an index, a term, and bytes. Deterministic: the same records
// give the same state on every node; Apply never consults a clock, a flag or chance.
//
// Thread rule: Apply belongs to one thread (the applier); everything else may be called from any
// thread, at any time. Flush may block for a while, so it belongs on a helper thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "base/shared_bytes.h"

namespace arima::kv {

class Engine;

enum class RecordKind : uint8_t {
  kNothing,  // leader's no-op: only the applied position moves
  kCommand,  // kv/command.h
  kConf,     // `conf` is the encoded configuration now in force, stored as it is
  kClock,    // cluster time
};

struct Record {
  uint64_t index = 0;
  uint64_t term = 0;
  RecordKind kind = RecordKind::kNothing;
  std::string_view bytes;  // command or clock payload; valid during Apply
  std::string_view conf;   // with kConf
};

struct ApplyResult {
  Code code = Code::kInternal;  // meaningful only when !ok
  bool ok = true;
  std::string message;           // when !ok: deterministic, the same on all nodes
  uint64_t revision = 0;         // of the store after the command
  uint64_t create_revision = 0;  // put
  uint64_t version = 0;          // put
  bool deleted = false;          // delete
};

// Written in the same batch as the data it covers (docs/design/raft.md 5.1).
struct AppliedState {
  uint64_t index = 0;
  uint64_t term = 0;
  uint64_t revision = 1;          // of the store; an empty store is at revision 1
  uint64_t user_op_count = 0;     // commands ever applied; 0 = pristine
  uint64_t clock_ms = 0;          // cluster time
  uint64_t compact_revision = 1;  // the oldest that can be read; <= revision
  Uuid cluster_id;
  std::string conf;  // encoded raft::ConfState, opaque here
};

struct ReadResult {
  bool found = false;
  SharedBytes value{};
  uint64_t create_revision = 0;
  uint64_t mod_revision = 0;
  uint64_t version = 0;
  uint64_t lease = 0;
  uint64_t store_revision = 0;
};

struct StateMachineOptions {
  uint64_t recent_keys_bytes = 256
                               << 20;  // table of recently used keys (architecture.md section 5)
  // Keeps clients from choosing keys that collide in that table; draw it at random where clients
  // are not trusted. No answer depends on it.
  uint64_t recent_keys_hash_seed = 0;
};

class StateMachine {
 public:
  // A fresh engine gets `initial` written as its first batch; an engine with state keeps its own
  // and must carry the same cluster id (else kConflict).
  static Result<std::unique_ptr<StateMachine>> Open(std::unique_ptr<Engine> engine,
                                                    const AppliedState& initial,
                                                    const StateMachineOptions& options);
  ~StateMachine();

  // Applies consecutive records (first.index == applied().index + 1) in one engine batch.
  // `results` gets one element per record. An error is the engine's, or says that the records do
  // not follow the applied ones (kInternal): nothing was applied, and the same call may be
  // repeated.
  Status Apply(std::span<const Record> records, std::vector<ApplyResult>* results);

  // Removes a bounded piece of what no reader can see any more and compactions may not drop
  // (FORMAT.md section 6). True: there is more to do at once; false: nothing before the next
  // compact command. Changes no answer and no position. An error is the engine's, or kCorruption
  // naming the entry; the same call may be repeated. Belongs to the thread of Apply.
  Result<bool> CleanStep();

  // The newest visible version of `key`, or the one at `revision` when not 0. kInvalidArgument for
  // a key of a wrong length or a revision that does not exist yet, kCompacted for one before
  // compact_revision(), kCorruption naming the record.
  Result<ReadResult> Get(std::string_view key, uint64_t revision = 0) const;

  AppliedState applied() const;       // a copy
  uint64_t applied_index() const;     // one atomic load
  uint64_t store_revision() const;    // one atomic load
  uint64_t compact_revision() const;  // one atomic load; the oldest that can be read
  // Bytes of all versions written since Open, keys included. What was written since a revision is
  // taken for the size of the history since then: a version that was replaced is about as large
  // as the one in its place.
  uint64_t written_bytes() const;
  uint64_t cleaned_count() const;          // engine entries removed by CleanStep since Open
  uint64_t durable_applied_index() const;  // what a crash now would leave

  // Starts making everything applied so far durable; `Wait` returns when it is. Flush at shutdown.
  Status Flush(bool wait);

  Engine& engine();

 private:
  class Impl;
  explicit StateMachine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::kv
