// CompactionSpace: keeps RocksDB from compactions that do not fit on the disk. One that runs out of
// space has written for nothing, and closes the database for writing until it is resumed, only to
// be tried again.
//
// RocksDB asks its file manager whether the size of all inputs is allowed on top of what there is;
// this tells the manager again and again what the disk has. A compaction that is known to free
// space may be let through (RocksDB counts its output as large as its input).
//
// Included by rocks_*.cc only. Thread rule: any thread.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/sst_file_manager.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/mutex.h"

namespace arima::kv {

class CompactionSpace {
 public:
  // `unflushed_bytes_max`: what flushes may need while a compaction runs.
  CompactionSpace(rocksdb::Env* env, std::string path, uint64_t unflushed_bytes_max);

  // For rocksdb::Options.
  const std::shared_ptr<rocksdb::SstFileManager>& manager() const { return manager_; }
  // Looks at the disk. Called around each flush and compaction, and now and then.
  void Update() EXCLUDES(mutex_);
  // One that RocksDB has begun, until it has ended.
  void Begin() EXCLUDES(mutex_);
  void End() EXCLUDES(mutex_);
  // Whether RocksDB may compact tables of so many bytes together, without a Permit.
  bool Allows(uint64_t input_bytes) const;
  // Free space; UINT64_MAX if it cannot be had.
  uint64_t FreeBytes() const;

  // The permitted compaction has written all it will.
  void EndPermit() EXCLUDES(mutex_) { SetPermitted(0); }

  // While it exists, RocksDB may compact tables of up to so many bytes together, whatever the disk
  // has; until EndPermit. One at a time.
  class Permit {
   public:
    Permit(CompactionSpace* space, uint64_t input_bytes) : space_(*space) {
      space_.SetPermitted(input_bytes);
    }
    ~Permit() { space_.SetPermitted(0); }
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;

   private:
    CompactionSpace& space_;
  };

 private:
  void SetPermitted(uint64_t bytes) EXCLUDES(mutex_);
  void Set() REQUIRES(mutex_);

  rocksdb::Env* const env_;
  const std::string path_;
  const uint64_t kept_bytes_;  // what a compaction leaves free
  const std::shared_ptr<rocksdb::SstFileManager> manager_;
  Mutex mutex_;
  uint64_t permitted_bytes_ GUARDED_BY(mutex_) = 0;
  int running_ GUARDED_BY(mutex_) = 0;
  uint64_t limit_ GUARDED_BY(mutex_) = 0;
};

}  // namespace arima::kv
