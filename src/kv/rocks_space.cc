#include "kv/rocks_space.h"

#include <cstdint>
#include <limits>
#include <utility>

namespace arima::kv {
namespace {

// What a compaction leaves free for flushes meanwhile.
constexpr uint64_t kKeptFreeBytes = 8 << 20;
// The manager also counts a flush that reaches the limit as a full disk; the limit is never less
// than what a flush that fitted can have reached.
constexpr uint64_t kSlackBytes = 1 << 20;

}  // namespace

CompactionSpace::CompactionSpace(rocksdb::Env* env, std::string path)
    : env_(env), path_(std::move(path)), manager_(rocksdb::NewSstFileManager(env)) {
  manager_->SetCompactionBufferSize(kKeptFreeBytes);
}

uint64_t CompactionSpace::FreeBytes() const {
  uint64_t free_bytes = 0;
  if (env_->GetFreeSpace(path_, &free_bytes).ok()) return free_bytes;
  return std::numeric_limits<uint64_t>::max();
}

bool CompactionSpace::Allows(uint64_t input_bytes) const {
  const uint64_t free_bytes = FreeBytes();
  return free_bytes == std::numeric_limits<uint64_t>::max() ||
         input_bytes + kKeptFreeBytes <= free_bytes + kSlackBytes;
}

void CompactionSpace::Update() {
  const uint64_t free_bytes = FreeBytes();
  const bool no_limit = permits_ > 0 || free_bytes == std::numeric_limits<uint64_t>::max();
  manager_->SetMaxAllowedSpaceUsage(no_limit ? 0
                                             : manager_->GetTotalSize() + free_bytes + kSlackBytes);
}

}  // namespace arima::kv
