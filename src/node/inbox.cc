#include "node/inbox.h"

#include <utility>

namespace arima::node {
namespace {

Error Full() {
  return {Code::kOverloaded,
          "this node has more unanswered requests than it may hold; the request was not applied, "
          "repeat it after a pause"};
}

raft::DiskLevel LevelOf(const std::array<bool, 4>& low) {
  auto is_low = [&](DiskUser user) { return low[static_cast<size_t>(user)]; };
  if (is_low(DiskUser::kLogWriter) || is_low(DiskUser::kLogAhead)) return raft::DiskLevel::kFull;
  if (is_low(DiskUser::kDatabase)) return raft::DiskLevel::kStuck;
  return is_low(DiskUser::kReserve) ? raft::DiskLevel::kLow : raft::DiskLevel::kOk;
}

}  // namespace

Status Inbox::AddWrite(ClientWrite& write) {
  bool was_empty = false;
  {
    MutexLock lock(&mutex_);
    uint64_t bytes = write.command.size() + kWriteOverheadBytes;
    bool full = write_bytes_ != 0 && write_bytes_ + bytes > limits_.write_bytes_max;
    if (closed_ || full) {
      ++refused_;
      return std::unexpected(closed_ ? *closed_ : Full());
    }
    was_empty = batch_.empty();
    write_bytes_ += bytes;
    batch_.writes.push_back(std::move(write));
  }
  Wake(was_empty);
  return {};
}

Status Inbox::AddRead(ReadWaiter& read) {
  bool was_empty = false;
  {
    MutexLock lock(&mutex_);
    if (closed_ || batch_.reads.size() >= limits_.reads_max) {
      ++refused_;
      return std::unexpected(closed_ ? *closed_ : Full());
    }
    was_empty = batch_.empty();
    batch_.reads.push_back(std::move(read));
  }
  Wake(was_empty);
  return {};
}

void Inbox::AddLogCompletions(std::vector<LogCompletion> completions) {
  bool was_empty = false;
  {
    MutexLock lock(&mutex_);
    was_empty = batch_.empty();
    for (LogCompletion& completion : completions) batch_.log.push_back(std::move(completion));
  }
  Wake(was_empty);
}

void Inbox::AddInput(raft::Input input) {
  bool was_empty = false;
  {
    MutexLock lock(&mutex_);
    was_empty = batch_.empty();
    batch_.inputs.push_back(std::move(input));
  }
  Wake(was_empty);
}

void Inbox::SetDiskLow(DiskUser user, bool low) {
  bool was_empty = false;
  {
    MutexLock lock(&mutex_);
    disk_low_[static_cast<size_t>(user)] = low;
    was_empty = batch_.empty();
    batch_.inputs.push_back(raft::DiskLow{LevelOf(disk_low_)});
  }
  Wake(was_empty);
}

InboxBatch Inbox::Take() {
  MutexLock lock(&mutex_);
  write_bytes_ = 0;
  return std::exchange(batch_, {});
}

void Inbox::Close(Error why) {
  MutexLock lock(&mutex_);
  closed_ = std::move(why);
}

uint64_t Inbox::refused() {
  MutexLock lock(&mutex_);
  return refused_;
}

}  // namespace arima::node
