#include "kv/rocks_space.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace arima::kv {
namespace {

// For filters, indexes and manifests.
constexpr uint64_t kOverheadBytes = 8 << 20;
// The manager also counts a flush that reaches the limit as a full disk; the limit is never less
// than what a flush that fitted can have reached.
constexpr uint64_t kSlackBytes = 1 << 20;

}  // namespace

CompactionSpace::CompactionSpace(rocksdb::Env* env, std::string path, uint64_t unflushed_bytes_max)
    : env_(env),
      path_(std::move(path)),
      kept_bytes_(unflushed_bytes_max + kOverheadBytes),
      manager_(rocksdb::NewSstFileManager(env)) {
  manager_->SetCompactionBufferSize(kept_bytes_);
  Update();  // before RocksDB finds something to compact as it opens
}

uint64_t CompactionSpace::FreeBytes() const {
  uint64_t free_bytes = 0;
  if (env_->GetFreeSpace(path_, &free_bytes).ok()) return free_bytes;
  return std::numeric_limits<uint64_t>::max();
}

bool CompactionSpace::Allows(uint64_t input_bytes) const {
  const uint64_t free_bytes = FreeBytes();
  return free_bytes == std::numeric_limits<uint64_t>::max() ||
         input_bytes + kept_bytes_ <= free_bytes + kSlackBytes;
}

void CompactionSpace::Update() {
  MutexLock lock(&mutex_);
  Set();
}

void CompactionSpace::Begin() {
  MutexLock lock(&mutex_);
  ++running_;
}

void CompactionSpace::End() {
  MutexLock lock(&mutex_);
  --running_;
  Set();
}

void CompactionSpace::SetPermitted(uint64_t bytes) {
  MutexLock lock(&mutex_);
  permitted_bytes_ = bytes;
  Set();
}

// What a compaction under way has written is missing from the free space already, and not yet in
// the total: until it has ended the limit is not lowered, or its own output would reach it.
void CompactionSpace::Set() {
  const uint64_t free_bytes = FreeBytes();
  if (free_bytes == std::numeric_limits<uint64_t>::max()) {
    limit_ = 0;
  } else {
    // Without a permit nothing, not even what would fit into the part that is kept free.
    const uint64_t permitted = permitted_bytes_ > 0 ? permitted_bytes_ + kept_bytes_ : 0;
    // A flush that has found space is not yet in the total either, and never refused. No
    // compaction fits into that much: it would have to leave more than that free.
    const uint64_t room = std::max({free_bytes, permitted, kept_bytes_ - kOverheadBytes});
    const uint64_t limit = manager_->GetTotalSize() + room + kSlackBytes;
    limit_ = running_ > 0 ? std::max(limit_, limit) : limit;
  }
  manager_->SetMaxAllowedSpaceUsage(limit_);
}

}  // namespace arima::kv
