// RocksDB's files in an Env, so that a test decides about each of its operations as about all
// others of a node: over MemEnv and FaultEnv a loss of power takes what database and log had not
// synced, together. Only what a database without a log of its own needs; hard links, which an Env
// does not have, only if the test says how they are made. Test-only.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/env.h"
#include "kv/rocks_options.h"

namespace arima::kv {

inline rocksdb::IOStatus ToRocks(const Error& error) {
  switch (error.code) {
    case Code::kNotFound:
      return rocksdb::IOStatus::PathNotFound(error.message);
    case Code::kDiskFull:
      return rocksdb::IOStatus::NoSpace(error.message);
    default:
      return rocksdb::IOStatus::IOError(error.message);
  }
}
inline rocksdb::IOStatus ToRocks(const Status& status) {
  return status ? rocksdb::IOStatus::OK() : ToRocks(status.error());
}

class EnvReadFile final : public rocksdb::FSSequentialFile, public rocksdb::FSRandomAccessFile {
 public:
  explicit EnvReadFile(std::unique_ptr<env::File> file) : file_(std::move(file)) {}

  rocksdb::IOStatus Read(size_t n, const rocksdb::IOOptions& options, rocksdb::Slice* result,
                         char* scratch, rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = Read(offset_, n, options, result, scratch, context);
    offset_ += result->size();
    return status;
  }
  rocksdb::IOStatus Skip(uint64_t n) override {
    offset_ += n;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus Read(uint64_t offset, size_t n, const rocksdb::IOOptions&,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext*) const override {
    auto got = file_->ReadAt(offset, scratch, n);
    *result = rocksdb::Slice(scratch, got.value_or(0));
    return got ? rocksdb::IOStatus::OK() : ToRocks(got.error());
  }
  rocksdb::IOStatus InvalidateCache(size_t, size_t) override { return rocksdb::IOStatus::OK(); }
  bool use_direct_io() const override { return false; }
  size_t GetRequiredBufferAlignment() const override { return 4096; }

 private:
  const std::unique_ptr<env::File> file_;
  uint64_t offset_ = 0;
};

class EnvWriteFile final : public rocksdb::FSWritableFile {
 public:
  explicit EnvWriteFile(std::unique_ptr<env::File> file) : file_(std::move(file)) {}

  using FSWritableFile::Append;
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions&,
                           rocksdb::IODebugContext*) override {
    Status written = file_->WriteAt(bytes_, std::string_view(data.data(), data.size()));
    if (written) bytes_ += data.size();
    return ToRocks(written);
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo&,
                           rocksdb::IODebugContext* context) override {
    return Append(data, options, context);
  }
  rocksdb::IOStatus Truncate(uint64_t size, const rocksdb::IOOptions&,
                             rocksdb::IODebugContext*) override {
    bytes_ = size;
    return ToRocks(file_->Truncate(size));
  }
  rocksdb::IOStatus Close(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus Flush(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return ToRocks(file_->Sync());
  }
  uint64_t GetFileSize(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return bytes_;
  }

 private:
  const std::unique_ptr<env::File> file_;
  uint64_t bytes_ = 0;
};

class EnvDirectory final : public rocksdb::FSDirectory {
 public:
  EnvDirectory(env::Env& env, std::string path) : env_(env), path_(std::move(path)) {}
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return ToRocks(env_.SyncDir(path_));
  }
  rocksdb::IOStatus Close(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }

 private:
  env::Env& env_;
  const std::string path_;
};

// RocksDB opens a file so only to sync it.
class EnvUpdateFile final : public rocksdb::FSRandomRWFile {
 public:
  explicit EnvUpdateFile(std::unique_ptr<env::File> file) : file_(std::move(file)) {}

  rocksdb::IOStatus Write(uint64_t offset, const rocksdb::Slice& data, const rocksdb::IOOptions&,
                          rocksdb::IODebugContext*) override {
    return ToRocks(file_->WriteAt(offset, std::string_view(data.data(), data.size())));
  }
  rocksdb::IOStatus Read(uint64_t offset, size_t n, const rocksdb::IOOptions&,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext*) const override {
    auto got = file_->ReadAt(offset, scratch, n);
    *result = rocksdb::Slice(scratch, got.value_or(0));
    return got ? rocksdb::IOStatus::OK() : ToRocks(got.error());
  }
  rocksdb::IOStatus Flush(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return ToRocks(file_->Sync());
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                          rocksdb::IODebugContext* context) override {
    return Sync(options, context);
  }
  rocksdb::IOStatus Close(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }

 private:
  const std::unique_ptr<env::File> file_;
};

// Gives the file a second name.
using LinkInEnv = std::function<Status(const std::string& from, const std::string& to)>;

// What is not here has no way to the disk: the file system behind it is asked for names only.
class EnvFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  EnvFileSystem(env::Env& env, LinkInEnv link)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), env_(env), link_(std::move(link)) {}
  const char* Name() const override { return "EnvFileSystem"; }

  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions&,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                      rocksdb::IODebugContext*) override {
    return Open<EnvReadFile>(path, env::OpenMode::kRead, result);
  }
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext*) override {
    return Open<EnvReadFile>(path, env::OpenMode::kRead, result);
  }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext*) override {
    return Open<EnvWriteFile>(path, env::OpenMode::kCreateTruncate, result);
  }
  rocksdb::IOStatus ReopenWritableFile(const std::string&, const rocksdb::FileOptions&,
                                       std::unique_ptr<rocksdb::FSWritableFile>*,
                                       rocksdb::IODebugContext*) override {
    return Missing();
  }
  rocksdb::IOStatus ReuseWritableFile(const std::string&, const std::string&,
                                      const rocksdb::FileOptions&,
                                      std::unique_ptr<rocksdb::FSWritableFile>*,
                                      rocksdb::IODebugContext*) override {
    return Missing();
  }
  rocksdb::IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions&,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                    rocksdb::IODebugContext*) override {
    return Open<EnvUpdateFile>(path, env::OpenMode::kReadWrite, result);
  }
  rocksdb::IOStatus NewMemoryMappedFileBuffer(
      const std::string&, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) override {
    return Missing();
  }
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions&,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext*) override {
    *result = std::make_unique<EnvDirectory>(env_, Plain(path));
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override {
    auto info = env_.Stat(Plain(path));
    if (info) return rocksdb::IOStatus::OK();
    return info.error().code == Code::kNotFound ? rocksdb::IOStatus::NotFound()
                                                : ToRocks(info.error());
  }
  rocksdb::IOStatus GetChildren(const std::string& dir, const rocksdb::IOOptions&,
                                std::vector<std::string>* result,
                                rocksdb::IODebugContext*) override {
    auto names = env_.List(Plain(dir));
    if (!names) return ToRocks(names.error());
    *result = std::move(*names);
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override {
    return ToRocks(env_.Unlink(Plain(path)));
  }
  rocksdb::IOStatus Truncate(const std::string&, size_t, const rocksdb::IOOptions&,
                             rocksdb::IODebugContext*) override {
    return Missing();
  }
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions&,
                              rocksdb::IODebugContext*) override {
    return ToRocks(env_.MakeDir(Plain(path)));
  }
  rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions&,
                                       rocksdb::IODebugContext*) override {
    Status made = env_.MakeDir(Plain(path));
    if (!made && made.error().code == Code::kAlreadyExists) return rocksdb::IOStatus::OK();
    return ToRocks(made);
  }
  rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions&,
                              rocksdb::IODebugContext*) override {
    return ToRocks(env_.RemoveDir(Plain(path)));
  }
  rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions&, uint64_t* size,
                                rocksdb::IODebugContext*) override {
    auto info = env_.Stat(Plain(path));
    if (!info) return ToRocks(info.error());
    *size = info->bytes;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus GetFileModificationTime(const std::string&, const rocksdb::IOOptions&,
                                            uint64_t* time, rocksdb::IODebugContext*) override {
    *time = 0;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return ToRocks(env_.Rename(Plain(from), Plain(to)));
  }
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return link_ ? ToRocks(link_(Plain(from), Plain(to))) : Missing();
  }
  // The volume directory has a lock of its own.
  rocksdb::IOStatus LockFile(const std::string&, const rocksdb::IOOptions&,
                             rocksdb::FileLock** lock, rocksdb::IODebugContext*) override {
    *lock = new rocksdb::FileLock;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus UnlockFile(rocksdb::FileLock* lock, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override {
    delete lock;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus GetAbsolutePath(const std::string& path, const rocksdb::IOOptions&,
                                    std::string* absolute, rocksdb::IODebugContext*) override {
    *absolute = path;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions&,
                                 uint64_t* bytes, rocksdb::IODebugContext*) override {
    auto free_bytes = env_.FreeBytes(Plain(path));
    if (!free_bytes) return ToRocks(free_bytes.error());
    *bytes = std::min(*free_bytes, uint64_t{1} << 50);  // sums of it are formed
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus IsDirectory(const std::string& path, const rocksdb::IOOptions&, bool* is_dir,
                                rocksdb::IODebugContext*) override {
    auto info = env_.Stat(Plain(path));
    if (!info) return ToRocks(info.error());
    *is_dir = info->is_dir;
    return rocksdb::IOStatus::OK();
  }

 private:
  static rocksdb::IOStatus Missing() {
    return rocksdb::IOStatus::NotSupported("no way to the disk in this test");
  }
  // Env knows no "..".
  static std::string Plain(const std::string& path) {
    std::string plain = std::filesystem::path(path).lexically_normal();
    while (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
    return plain;
  }
  template <class File, class Base>
  rocksdb::IOStatus Open(const std::string& path, env::OpenMode mode,
                         std::unique_ptr<Base>* result) {
    auto file = env_.Open(Plain(path), mode);
    if (!file) return ToRocks(file.error());
    *result = std::make_unique<File>(std::move(*file));
    return rocksdb::IOStatus::OK();
  }

  env::Env& env_;
  const LinkInEnv link_;
};

// `env` outlives what is returned.
inline DatabaseFiles DatabaseFilesIn(env::Env& env, LinkInEnv link = nullptr) {
  return {rocksdb::NewCompositeEnv(std::make_shared<EnvFileSystem>(env, std::move(link)))};
}

}  // namespace arima::kv
