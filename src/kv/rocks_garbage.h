// GarbageSweeper: has tables with much droppable history compacted, so that disk space comes back
// without a command and without waiting for new data to arrive. RocksDB itself compacts by size
// only. Included by rocks_*.cc and their tests only.
//
// It knows of each table what the table's own note says (rocks_history.h). One table, or the young
// tables together, is compacted at a time, by the thread of this class, and only if a good part of
// what has to be rewritten goes away: the work done is bounded by the space gained.
//
// Thread rule: Start and Stop from the engine's owner, the rest from any thread.
#pragma once

#include <rocksdb/db.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "kv/rocks_engine.h"
#include "kv/rocks_history.h"
#include "kv/rocks_space.h"

namespace arima::kv {

class GarbageSweeper {
 public:
  GarbageSweeper(rocksdb::DB* db, std::shared_ptr<HistoryState> history,
                 std::shared_ptr<CompactionSpace> space, const FlushTracker* tracker,
                 const RocksEngineOptions& options);
  ~GarbageSweeper();

  void Start();
  // Ends a compaction under way.
  void Stop() EXCLUDES(mutex_);
  // There is a young table more.
  void NoteFlush() EXCLUDES(mutex_);

 private:
  using Tables = std::vector<rocksdb::LiveFileMetaData>;
  // Tables to compact into `level`.
  struct Job {
    std::vector<std::string> names;
    int level = 0;
    double garbage_bytes = 0;  // estimate of what would go
    double total_bytes = 0;    // to be rewritten
  };

  void Run() EXCLUDES(mutex_);
  // True: something was compacted, there may be more.
  bool Sweep();
  // Where the compaction of young tables does not fit on the disk, they become fewer by themselves.
  void MergeYoung();
  // As many young tables as can be merged in half of what is free; none where they are few, or can
  // go down.
  Job YoungToMerge() const;
  void Learn(const Tables& tables);
  GarbageNote ReadNote(const rocksdb::LiveFileMetaData& table) const;
  // A compaction of some of the tables `before` did not pay.
  void Postpone(const Tables& before, uint64_t floor);
  bool Fits(const Job& job) const;
  std::optional<Job> Choose(const Tables& tables, uint64_t floor) const;
  // The next level below `level` that holds anything; the number of levels if none does.
  int LevelBelow(const Tables& tables, int level) const;
  Job MakeJob(const Tables& tables, const Tables& inputs, uint64_t floor) const;
  const GarbageNote* NoteOf(const rocksdb::LiveFileMetaData& table, uint64_t floor) const;
  bool Stopping() EXCLUDES(mutex_);
  // Until something was flushed, and for a second at most. False: stopping.
  bool Pause() EXCLUDES(mutex_);

  rocksdb::DB& db_;
  const std::shared_ptr<HistoryState> history_;
  const std::shared_ptr<CompactionSpace> space_;
  const FlushTracker& tracker_;
  const RocksEngineOptions options_;
  // In estimates, where it is about what fits: half of it after each compaction that did not. The
  // thread's.
  double trust_ = 1;
  std::map<uint64_t, GarbageNote> notes_;  // by table number; of live tables; the thread's

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool flushed_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace arima::kv
