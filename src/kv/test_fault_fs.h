// A file system for RocksDB that runs full or fails where a test says so. Test-only.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

namespace arima::kv {

enum class Fault { kNone, kNoSpace, kIo };

// Fails appends and syncs of files whose name contains a given text while a fault is armed.
struct FaultSwitch {
  std::atomic<Fault> fault{Fault::kNone};
  std::string name_part = ".sst";

  rocksdb::IOStatus Check(const std::string& name) const {
    if (name.find(name_part) == std::string::npos) return rocksdb::IOStatus::OK();
    rocksdb::IOStatus status;
    switch (fault.load()) {
      case Fault::kNone:
        return rocksdb::IOStatus::OK();
      case Fault::kNoSpace:
        status = rocksdb::IOStatus::NoSpace("While appending to file: " + name, "injected");
        status.SetRetryable(true);  // as RocksDB's own file system says of ENOSPC
        return status;
      case Fault::kIo:
        return rocksdb::IOStatus::IOError("While appending to file: " + name, "EIO");
    }
    return status;
  }
};

class FaultFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::string name,
            const FaultSwitch& faults)
      : FSWritableFileOwnerWrapper(std::move(file)), name_(std::move(name)), faults_(faults) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = faults_.Check(name_);
    return status.ok() ? FSWritableFileOwnerWrapper::Append(data, options, context) : status;
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& verification,
                           rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = faults_.Check(name_);
    return status.ok() ? FSWritableFileOwnerWrapper::Append(data, options, verification, context)
                       : status;
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                         rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = faults_.Check(name_);
    return status.ok() ? FSWritableFileOwnerWrapper::Sync(options, context) : status;
  }

 private:
  const std::string name_;
  const FaultSwitch& faults_;
};

class FaultFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit FaultFileSystem(const FaultSwitch& faults)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), faults_(faults) {}
  const char* Name() const override { return "FaultFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    rocksdb::IOStatus status = target()->NewWritableFile(name, options, &file, context);
    if (status.ok()) *result = std::make_unique<FaultFile>(std::move(file), name, faults_);
    return status;
  }

 private:
  const FaultSwitch& faults_;
};

}  // namespace arima::kv
