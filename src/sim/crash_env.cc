#include "sim/crash_env.h"

#include <algorithm>
#include <utility>

namespace arima::sim {
namespace {

std::unexpected<Error> Refuse(const char* what, const std::string& path) {
  return Fail(Code::kIo, std::string(what) + " " + path + ": the simulated disk fails");
}

}  // namespace

class CrashFile final : public env::File {
 public:
  CrashFile(CrashEnv* owner, std::shared_ptr<const std::string> path,
            std::unique_ptr<env::File> file)
      : env_(*owner), path_(std::move(path)), file_(std::move(file)) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t size) override {
    if (env_.stopped_) return Refuse("read", *path_);
    if (env_.fail_read_ > 0 && --env_.fail_read_ == 0) {
      ++env_.failures_;
      return Refuse("read", *path_);
    }
    return file_->ReadAt(offset, out, size);
  }

  Status WriteAt(uint64_t offset, std::span<const std::string_view> parts) override {
    const bool lives = env_.Proceed();
    if (!lives || std::exchange(env_.fail_write_, false)) {
      if (lives) ++env_.failures_;
      if (lives || !env_.stopped_) WritePart(offset, parts);
      env_.stopped_ = env_.stopped_ || !lives;
      return Refuse("write", *path_);
    }
    Status done = file_->WriteAt(offset, parts);
    if (!done) return done;
    if (offset > 0) ++env_.appends_;
    for (std::string_view part : parts) offset += part.size();
    env_.last_write_ = {path_, offset};
    return done;
  }

  Status Sync() override {
    if (!Change()) return Refuse("sync", *path_);
    if (std::exchange(env_.fail_sync_, false)) {
      ++env_.failures_;
      if (env_.random_.Percent(50)) {
        env_.files_.LoseUnsynced(*path_);
      } else if (Status done = file_->Sync(); !done) {
        return done;
      }
      return Refuse("sync", *path_);
    }
    return file_->Sync();
  }

  Status Allocate(uint64_t size) override {
    return Change() ? file_->Allocate(size) : Status(Refuse("allocate", *path_));
  }
  Result<uint64_t> Size() override { return file_->Size(); }
  Status Truncate(uint64_t size) override {
    return Change() ? file_->Truncate(size) : Status(Refuse("truncate", *path_));
  }

 private:
  bool Change() {
    if (env_.Proceed()) return true;
    env_.stopped_ = true;
    return false;
  }
  // The bytes up to a random place.
  void WritePart(uint64_t offset, std::span<const std::string_view> parts) {
    std::string bytes;
    for (std::string_view part : parts) bytes += part;
    // Often within the first sector: what a log writes ends in zeros, which are there already.
    const bool early = env_.random_.Percent(50);
    const uint64_t most =
        early ? std::min<uint64_t>(bytes.size(), env::kSectorBytes) : bytes.size();
    bytes.resize(env_.random_.Below(most + 1));
    // It may fail for lack of space, and then nothing is written, which is one of the cases.
    Status ignored = file_->WriteAt(offset, std::string_view(bytes));
    (void)ignored;
  }

  CrashEnv& env_;
  const std::shared_ptr<const std::string> path_;
  const std::unique_ptr<env::File> file_;
};

void CrashEnv::StopAfter(uint64_t operations) {
  stopping_ = true;
  operations_left_ = operations;
}

bool CrashEnv::Resume() {
  stopping_ = false;
  return std::exchange(stopped_, false);
}

void CrashEnv::ClearFailures() {
  fail_write_ = fail_sync_ = false;
  fail_read_ = 0;
}

bool CrashEnv::Proceed() {
  if (stopped_) return false;
  if (!stopping_) return true;
  if (operations_left_ == 0) return false;
  --operations_left_;
  return true;
}

Result<std::unique_ptr<env::File>> CrashEnv::Open(const std::string& path, env::OpenMode mode) {
  using env::OpenMode;
  const bool changes = mode == OpenMode::kCreate || mode == OpenMode::kCreateNew ||
                       mode == OpenMode::kCreateTruncate;
  if (stopped_ || (changes && !Proceed())) {
    stopped_ = true;
    return Refuse("open", path);
  }
  auto file = files_.Open(path, mode);
  if (!file) return file;
  std::shared_ptr<std::string>& name = names_[path];
  if (name == nullptr) name = std::make_shared<std::string>(path);
  return std::make_unique<CrashFile>(this, name, std::move(*file));
}

Status CrashEnv::Rename(const std::string& from, const std::string& to) {
  stopped_ = !Proceed();
  if (stopped_) return Refuse("rename", from);
  if (auto renamed = names_.extract(from)) {
    *renamed.mapped() = to;
    names_[to] = std::move(renamed.mapped());
  }
  return files_.Rename(from, to);
}

Status CrashEnv::Unlink(const std::string& path) {
  stopped_ = !Proceed();
  if (stopped_) return Refuse("unlink", path);
  names_.erase(path);
  return files_.Unlink(path);
}

Status CrashEnv::MakeDir(const std::string& path) {
  stopped_ = !Proceed();
  return stopped_ ? Status(Refuse("make directory", path)) : files_.MakeDir(path);
}

Status CrashEnv::RemoveDir(const std::string& path) {
  stopped_ = !Proceed();
  return stopped_ ? Status(Refuse("remove directory", path)) : files_.RemoveDir(path);
}

Status CrashEnv::SyncDir(const std::string& dir) {
  stopped_ = !Proceed();
  return stopped_ ? Status(Refuse("sync directory", dir)) : files_.SyncDir(dir);
}

}  // namespace arima::sim
