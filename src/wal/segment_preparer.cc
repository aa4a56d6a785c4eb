// The life of a file: .tmp (being filled with zeros) -> .free (all bytes written once and synced)
// -> .seg (block 0 written and synced first, then renamed, then the directory synced) -> .free
// again. Each arrow is durable before the next one starts, so after a crash a .seg always has a
// good block 0 and the content of a .free file is always dead.
//
// The helper and the writer may both want to make the next segment: `preparing_` says that one of
// them is at it, the other waits for that step, which is file operations that are already under
// way, never for the other thread's good will.

#include "wal/segment_preparer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "wal/format.h"

namespace arima::wal {

SegmentPreparer::SegmentPreparer(env::Env& env, SegmentPreparerOptions options, uint64_t next_seq,
                                 const std::vector<uint64_t>& free_files)
    : env_(env),
      options_(std::move(options)),
      next_seq_(next_seq),
      free_(free_files.begin(), free_files.end()) {
  ARIMA_ASSERT(options_.segment_bytes % kBlockBytes == 0, options_.segment_bytes);
  for (uint64_t number : free_files) next_number_ = std::max(next_number_, number + 1);
}

Result<bool> SegmentPreparer::PrepareOne(uint64_t kept_bytes) {
  uint64_t seq = 0;
  {
    MutexLock lock(&mutex_);
    if (prepared_ == nullptr && !preparing_) {
      preparing_ = true;
      seq = next_seq_;
    }
  }
  if (seq != 0) {
    auto prepared = Prepare(seq, options_.segment_bytes, kept_bytes);
    MutexLock lock(&mutex_);
    preparing_ = false;
    if (prepared) prepared_ = *prepared;
    prepared_changed_.NotifyAll();
    if (!prepared) return std::unexpected(prepared.error());
    return true;
  }
  auto recycled = RecycleOne();
  if (!recycled || *recycled) return recycled;
  {
    MutexLock lock(&mutex_);
    if (free_.size() >= options_.free_segments_min) return false;
  }
  if (auto s = AddFreeFile(kept_bytes); !s) return std::unexpected(s.error());
  return true;
}

uint32_t SegmentPreparer::ready() const {
  MutexLock lock(&mutex_);
  return static_cast<uint32_t>(free_.size()) + (prepared_ != nullptr ? 1 : 0);
}

Result<std::shared_ptr<SegmentFile>> SegmentPreparer::Take(uint64_t seq, uint64_t bytes_min,
                                                           bool* made_inline) {
  {
    MutexLock lock(&mutex_);
    ARIMA_ASSERT(seq == next_seq_, seq, next_seq_);
    while (preparing_) prepared_changed_.Wait(&mutex_);
    if (prepared_ != nullptr && prepared_->bytes >= bytes_min) {
      *made_inline = false;
      ++next_seq_;
      return std::exchange(prepared_, nullptr);
    }
    // One that is too small is replaced: the new file takes over its name.
    prepared_ = nullptr;
    preparing_ = true;
  }
  *made_inline = true;
  auto segment = Prepare(seq, std::max(bytes_min, options_.segment_bytes), 0);
  MutexLock lock(&mutex_);
  preparing_ = false;
  if (segment) ++next_seq_;
  prepared_changed_.NotifyAll();
  return segment;
}

Result<std::shared_ptr<SegmentFile>> SegmentPreparer::Build(
    SegmentHeader header, uint64_t frames_bytes,
    const std::function<std::string(const SegmentHeader&)>& encode) {
  const uint64_t bytes_min = kFirstFrameOffset + frames_bytes + kSegmentReserveBytes;
  auto file = FreeOrNewFile(std::max(bytes_min, options_.segment_bytes), 0);
  if (!file) return std::unexpected(file.error());
  header.kind = BlockKind::kActive;
  header.salt = NewSalt();
  header.segment_bytes = file->bytes;
  const std::string block = EncodeSegmentHeader(header);
  const std::string frames = encode(header);
  ARIMA_ASSERT(frames.size() == frames_bytes, frames.size(), frames_bytes);
  const std::string_view parts[] = {block, block, frames};
  if (auto s = file->file->WriteAt(0, parts); !s) return std::unexpected(s.error());
  if (auto s = file->file->Sync(); !s) return std::unexpected(s.error());
  auto segment = GiveName(std::move(*file), header.seq, header.salt);
  if (!segment) return segment;
  MutexLock lock(&mutex_);
  next_seq_ = header.seq + 1;
  return segment;
}

void SegmentPreparer::Release(std::shared_ptr<SegmentFile> segment) {
  MutexLock lock(&mutex_);
  released_.push_back(std::move(segment));
}

Result<std::shared_ptr<SegmentFile>> SegmentPreparer::Prepare(uint64_t seq, uint64_t bytes_min,
                                                              uint64_t kept_bytes) {
  auto file = FreeOrNewFile(bytes_min, kept_bytes);
  if (!file) return std::unexpected(file.error());
  SegmentHeader header;
  header.cluster_id = options_.cluster_id;
  header.incarnation = options_.incarnation;
  header.seq = seq;
  header.salt = NewSalt();
  header.kind = BlockKind::kPrepared;
  header.segment_bytes = file->bytes;
  if (auto s = file->file->WriteAt(0, EncodeSegmentHeader(header)); !s) {
    return std::unexpected(s.error());
  }
  if (auto s = file->file->Sync(); !s) return std::unexpected(s.error());
  return GiveName(std::move(*file), seq, header.salt);
}

Result<std::shared_ptr<SegmentFile>> SegmentPreparer::GiveName(OpenFile file, uint64_t seq,
                                                               uint64_t salt) {
  const std::string path = Path(SegmentName(seq));
  if (auto s = env_.Rename(file.path, path); !s) return std::unexpected(s.error());
  auto named = ARIMA_MUTANT(36) ? Status() : env_.SyncDir(options_.dir);
  if (!named) return std::unexpected(named.error());
  auto segment = std::make_shared<SegmentFile>();
  segment->seq = seq;
  segment->salt = salt;
  segment->bytes = file.bytes;
  segment->path = path;
  segment->file = std::move(file.file);
  return segment;
}

Result<SegmentPreparer::OpenFile> SegmentPreparer::FreeOrNewFile(uint64_t bytes_min,
                                                                 uint64_t kept_bytes) {
  if (bytes_min <= options_.segment_bytes) {
    // What readers have left comes before a new file: on a full disk it is all there is.
    if (auto recycled = RecycleOne(); !recycled) return std::unexpected(recycled.error());
    while (true) {
      uint64_t number = 0;
      {
        MutexLock lock(&mutex_);
        if (free_.empty()) break;
        number = free_.front();
        free_.pop_front();
      }
      auto file = ReuseFreeFile(number);
      if (!file || file->file != nullptr) return file;
    }
  }
  return NewZeroFile(AlignUp(bytes_min, kBlockBytes), kept_bytes);
}

// Without a file: it had another size and is gone.
Result<SegmentPreparer::OpenFile> SegmentPreparer::ReuseFreeFile(uint64_t number) {
  OpenFile reused;
  reused.path = Path(FreeName(number));
  auto file = env_.Open(reused.path, env::OpenMode::kReadWrite);
  if (!file) return std::unexpected(file.error());
  auto bytes = (*file)->Size();
  if (!bytes) return std::unexpected(bytes.error());
  if (*bytes != options_.segment_bytes) {
    if (auto s = env_.Unlink(reused.path); !s) return std::unexpected(s.error());
    return reused;
  }
  reused.bytes = *bytes;
  reused.file = std::move(*file);
  return reused;
}

Result<SegmentPreparer::OpenFile> SegmentPreparer::NewZeroFile(uint64_t bytes,
                                                               uint64_t kept_bytes) {
  OpenFile made;
  made.path = Path(FreeName(NewNumber()) + std::string(kTemporarySuffix));
  made.bytes = bytes;
  auto file = env_.Open(made.path, env::OpenMode::kCreateTruncate);
  if (!file) return std::unexpected(file.error());
  // An attempt that cannot succeed would take the last byte from everybody else on the disk, for a
  // moment and over and over again.
  auto free_bytes = env_.FreeBytes(options_.dir);
  Status done;
  if (free_bytes && *free_bytes < bytes + kept_bytes) {
    std::string why = options_.dir + " has " + std::to_string(*free_bytes) +
                      " bytes free, a log segment needs " + std::to_string(bytes);
    if (kept_bytes > 0)
      why += ", what the database has still to write " + std::to_string(kept_bytes);
    done = Fail(Code::kDiskFull, std::move(why));
  }
  if (done) done = env::WriteZeros(**file, 0, bytes);
  if (done) done = (*file)->Sync();
  if (!done) {
    // The bytes it got so far are missed elsewhere; if this fails too, the next start removes it.
    Status removed = env_.Unlink(made.path);
    if (!removed) done.error().message += "; and then " + removed.error().message;
    return std::unexpected(done.error());
  }
  made.file = std::move(*file);
  return made;
}

Result<bool> SegmentPreparer::RecycleOne() {
  std::shared_ptr<SegmentFile> segment;
  bool keep = false;
  {
    MutexLock lock(&mutex_);
    // A count of 1 cannot grow again: nobody else has a pointer to copy.
    auto unused = std::find_if(released_.begin(), released_.end(),
                               [](const auto& candidate) { return candidate.use_count() == 1; });
    if (unused == released_.end()) return false;
    segment = std::move(*unused);
    released_.erase(unused);
    keep = segment->bytes == options_.segment_bytes && free_.size() < options_.free_segments_max;
  }
  if (!keep) {
    if (auto s = env_.Unlink(segment->path); !s) return std::unexpected(s.error());
    return true;
  }
  const uint64_t number = NewNumber();
  if (auto s = env_.Rename(segment->path, Path(FreeName(number))); !s) {
    return std::unexpected(s.error());
  }
  // Before the content may be overwritten it must not come back under its old name.
  auto freed = ARIMA_MUTANT(58) ? Status() : env_.SyncDir(options_.dir);
  if (!freed) return std::unexpected(freed.error());
  MutexLock lock(&mutex_);
  free_.push_back(number);
  return true;
}

Status SegmentPreparer::AddFreeFile(uint64_t kept_bytes) {
  auto file = NewZeroFile(options_.segment_bytes, kept_bytes);
  if (!file) return std::unexpected(file.error());
  const uint64_t number = NewNumber();
  if (auto s = env_.Rename(file->path, Path(FreeName(number))); !s) return s;
  if (auto s = env_.SyncDir(options_.dir); !s) return s;
  MutexLock lock(&mutex_);
  free_.push_back(number);
  return {};
}

uint64_t SegmentPreparer::NewNumber() {
  MutexLock lock(&mutex_);
  return next_number_++;
}

uint64_t SegmentPreparer::NewSalt() {
  MutexLock lock(&mutex_);
  return ARIMA_MUTANT(35) ? 1 : options_.salt();
}

}  // namespace arima::wal
