#include "env/fault_env.h"

#include <algorithm>
#include <utility>

namespace arima::env {
namespace {

std::unexpected<Error> Injected(Code code, const std::string& path) {
  return Fail(code, "injected fault on " + path);
}

std::string Joined(std::span<const std::string_view> parts) {
  std::string bytes;
  for (std::string_view part : parts) bytes.append(part);
  return bytes;
}

void FlipOneBit(char* bytes, size_t size, uint64_t random) {
  if (size == 0) return;
  bytes[random % size] = static_cast<char>(bytes[random % size] ^ (1 << (random >> 32) % 8));
}

}  // namespace

class FaultFile final : public File {
 public:
  FaultFile(FaultEnv& env, std::string path, std::unique_ptr<File> base)
      : env_(env), path_(std::move(path)), base_(std::move(base)) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t size) override {
    const auto verdict = env_.Begin(Op::kRead, path_);
    if (verdict.faulty && verdict.kind != FaultKind::kFlipBit) return Injected(Code::kIo, path_);
    auto got = base_->ReadAt(offset, out, size);
    if (got && verdict.faulty) FlipOneBit(out, *got, verdict.random);
    return got;
  }

  Status WriteAt(uint64_t offset, std::span<const std::string_view> parts) override {
    const auto verdict = env_.Begin(Op::kWrite, path_);
    if (env_.disk_full()) {
      auto size = base_->Size();
      if (!size) return std::unexpected(size.error());
      uint64_t end = offset;
      for (std::string_view part : parts) end += part.size();
      if (end > *size) return Injected(Code::kDiskFull, path_);
    }
    if (!verdict.faulty) return base_->WriteAt(offset, parts);
    switch (verdict.kind) {
      case FaultKind::kError:
        return Injected(Code::kIo, path_);
      case FaultKind::kDiskFull:
        return Injected(Code::kDiskFull, path_);
      case FaultKind::kTornWrite:
        return WriteTorn(offset, Joined(parts), verdict.random);
      case FaultKind::kFlipBit: {
        std::string bytes = Joined(parts);
        FlipOneBit(bytes.data(), bytes.size(), verdict.random);
        return base_->WriteAt(offset, {std::vector<std::string_view>{bytes}});
      }
      case FaultKind::kDoneError:
        break;
    }
    if (auto s = base_->WriteAt(offset, parts); !s) return s;
    return Injected(Code::kIo, path_);
  }

  Status Sync() override {
    return env_.Run(Op::kSync, path_, [&] { return base_->Sync(); });
  }
  Status Allocate(uint64_t size) override {
    return env_.Run(Op::kWrite, path_, [&]() -> Status {
      auto old = base_->Size();
      if (!old) return std::unexpected(old.error());
      if (size > *old && env_.disk_full()) return Injected(Code::kDiskFull, path_);
      return base_->Allocate(size);
    });
  }
  Result<uint64_t> Size() override { return base_->Size(); }
  Status Truncate(uint64_t size) override {
    return env_.Run(Op::kWrite, path_, [&] { return base_->Truncate(size); });
  }

 private:
  Status WriteTorn(uint64_t offset, const std::string& bytes, uint64_t seed) {
    SeededRandom random(seed);
    for (uint64_t at = 0; at < bytes.size();) {
      const uint64_t sector_end = ((offset + at) / kSectorBytes + 1) * kSectorBytes - offset;
      const uint64_t end = std::min<uint64_t>(sector_end, bytes.size());
      if (random.Percent(50)) {
        const std::string_view part = std::string_view(bytes).substr(at, end - at);
        if (auto s = base_->WriteAt(offset + at, {&part, 1}); !s) return s;
      }
      at = end;
    }
    return Injected(Code::kIo, path_);
  }

  FaultEnv& env_;
  const std::string path_;
  const std::unique_ptr<File> base_;
};

FaultEnv::FaultEnv(Env& base, uint64_t seed) : base_(base), random_(seed) {}

void FaultEnv::Inject(Fault fault) {
  MutexLock lock(&mutex_);
  faults_.push_back(std::move(fault));
}

void FaultEnv::ClearFaults() {
  MutexLock lock(&mutex_);
  faults_.clear();
}

void FaultEnv::SetDiskFull(bool full) {
  MutexLock lock(&mutex_);
  disk_full_ = full;
}

void FaultEnv::SetSpace(std::optional<DiskSpace> space) {
  MutexLock lock(&mutex_);
  space_ = space;
}

void FaultEnv::SetCachedReadsOnly(bool on) {
  MutexLock lock(&mutex_);
  cached_reads_only_ = on;
}

void FaultEnv::SetObserver(std::function<void(Op op, const std::string& path)> observer) {
  MutexLock lock(&mutex_);
  observer_ = std::move(observer);
}

uint64_t FaultEnv::count(Op op) const {
  MutexLock lock(&mutex_);
  return counts_[static_cast<size_t>(op)];
}

bool FaultEnv::disk_full() const {
  MutexLock lock(&mutex_);
  return disk_full_;
}

FaultEnv::Verdict FaultEnv::Begin(Op op, const std::string& path) {
  std::function<void(Op, const std::string&)> observer;
  Verdict verdict;
  {
    MutexLock lock(&mutex_);
    ++counts_[static_cast<size_t>(op)];
    for (Fault& fault : faults_) {
      if (fault.op != op || path.find(fault.path_part) == std::string::npos) continue;
      if (fault.nth > 1) {
        --fault.nth;
      } else if (fault.nth == 1 && !verdict.faulty) {
        verdict = {true, fault.kind, random_.Next()};
        if (!fault.lasting) fault.nth = 0;  // spent
      }
    }
    if (op != Op::kOpen && op != Op::kRead) observer = observer_;
  }
  if (observer) observer(op, path);
  return verdict;
}

Status FaultEnv::Run(Op op, const std::string& path, const std::function<Status()>& act) {
  const Verdict verdict = Begin(op, path);
  if (!verdict.faulty || verdict.kind == FaultKind::kFlipBit) return act();
  if (verdict.kind == FaultKind::kDiskFull) return Injected(Code::kDiskFull, path);
  if (verdict.kind == FaultKind::kDoneError) {
    if (auto s = act(); !s) return s;
  }
  return Injected(Code::kIo, path);
}

Result<std::unique_ptr<File>> FaultEnv::Open(const std::string& path, OpenMode mode) {
  const bool makes = mode == OpenMode::kCreate || mode == OpenMode::kCreateNew ||
                     mode == OpenMode::kCreateTruncate;
  if (mode == OpenMode::kReadUncached) {
    MutexLock lock(&mutex_);
    if (cached_reads_only_) mode = OpenMode::kRead;
  }
  std::unique_ptr<File> file;
  auto status = Run(makes ? Op::kCreate : Op::kOpen, path, [&]() -> Status {
    if (makes && disk_full()) {
      auto there = Exists(base_, path);
      if (!there) return std::unexpected(there.error());
      if (!*there) return Injected(Code::kDiskFull, path);
    }
    auto opened = base_.Open(path, mode);
    if (!opened) return std::unexpected(opened.error());
    file = std::move(*opened);
    return {};
  });
  if (!status) return std::unexpected(status.error());
  return std::make_unique<FaultFile>(*this, path, std::move(file));
}

Result<FileInfo> FaultEnv::Stat(const std::string& path) { return base_.Stat(path); }

Status FaultEnv::Rename(const std::string& from, const std::string& to) {
  return Run(Op::kRename, from, [&] { return base_.Rename(from, to); });
}

Status FaultEnv::Unlink(const std::string& path) {
  return Run(Op::kUnlink, path, [&] { return base_.Unlink(path); });
}

Status FaultEnv::MakeDir(const std::string& path) {
  return Run(Op::kMakeDir, path, [&]() -> Status {
    if (disk_full()) return Injected(Code::kDiskFull, path);
    return base_.MakeDir(path);
  });
}

Status FaultEnv::RemoveDir(const std::string& path) {
  return Run(Op::kUnlink, path, [&] { return base_.RemoveDir(path); });
}

Result<std::vector<std::string>> FaultEnv::List(const std::string& dir) { return base_.List(dir); }

Status FaultEnv::SyncDir(const std::string& dir) {
  return Run(Op::kSyncDir, dir, [&] { return base_.SyncDir(dir); });
}

Result<std::unique_ptr<FileLock>> FaultEnv::Lock(const std::string& path) {
  return base_.Lock(path);
}

Result<DiskSpace> FaultEnv::Space(const std::string& dir) {
  bool full = false;
  {
    MutexLock lock(&mutex_);
    if (space_) return *space_;
    full = disk_full_;
  }
  auto space = base_.Space(dir);
  if (space && full) space->free_bytes = 0;
  return space;
}

}  // namespace arima::env
