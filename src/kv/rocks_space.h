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

#include <atomic>
#include <memory>
#include <string>

namespace arima::kv {

class CompactionSpace {
 public:
  CompactionSpace(rocksdb::Env* env, std::string path);

  // For rocksdb::Options.
  const std::shared_ptr<rocksdb::SstFileManager>& manager() const { return manager_; }
  // Looks at the disk. Called around each flush and compaction, and now and then.
  void Update();
  // Whether RocksDB may compact tables of so many bytes together, without a Permit.
  bool Allows(uint64_t input_bytes) const;
  // Free space; UINT64_MAX if it cannot be had.
  uint64_t FreeBytes() const;

  // While one exists, whatever RocksDB wants to compact is allowed.
  class Permit {
   public:
    explicit Permit(CompactionSpace* space) : space_(*space) {
      space_.permits_.fetch_add(1);
      space_.Update();
    }
    ~Permit() {
      space_.permits_.fetch_sub(1);
      space_.Update();
    }
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;

   private:
    CompactionSpace& space_;
  };

 private:
  rocksdb::Env* const env_;
  const std::string path_;
  const std::shared_ptr<rocksdb::SstFileManager> manager_;
  std::atomic<int> permits_{0};
};

}  // namespace arima::kv
