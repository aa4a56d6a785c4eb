// A replica on a real directory, driven by a thread as NodeCore drives it, without network. Test
// only.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "env/posix_env.h"
#include "kv/command.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "node/logger.h"
#include "node/replica.h"

namespace arima::node {

class TempDirectory {
 public:
  TempDirectory() {
    std::string name = std::filesystem::temp_directory_path() / "arima-node-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TempDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  std::string Path(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Of a directory in use too: files that go meanwhile make it begin again.
inline void CopyDirectory(const std::string& from, const std::string& to) {
  std::error_code failed;
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive, failed);
    if (!failed) return;
  }
  ADD_FAILURE() << "copy " << from << " to " << to << ": " << failed.message();
}

inline StorageOptions SmallStorage() {
  StorageOptions storage;
  storage.wal_segment_bytes = 64 << 10;
  storage.block_cache_bytes = 1 << 20;
  storage.recent_keys_bytes = 1 << 20;
  return storage;
}

// Ends the wait of the driving thread.
class FlagWaker final : public Waker {
 public:
  void Wake() override {
    {
      MutexLock lock(&mutex_);
      woken_ = true;
    }
    changed_.NotifyAll();
  }
  void WaitFor(std::chrono::nanoseconds duration) {
    MutexLock lock(&mutex_);
    if (!woken_) changed_.WaitFor(&mutex_, duration);
    woken_ = false;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool woken_ GUARDED_BY(mutex_) = false;
};

class TestReplica final : public MessageSink, public RaftLoopHost {
 public:
  // `env` null: the system's files. Otherwise options().storage.database_files lead there too.
  explicit TestReplica(std::string path, env::Env* env = nullptr)
      : path_(std::move(path)), env_(env != nullptr ? *env : posix_env_) {
    options_.storage = SmallStorage();
  }
  ~TestReplica() override { Stop(); }

  // For the next Start.
  ReplicaOptions& options() { return options_; }

  // As a start of the process: identity, data if there is none, recovery.
  Status Start() {
    auto dir = DataDir::Open(&env_, path_);
    if (!dir) return std::unexpected(dir.error());
    dir_ = std::move(*dir);
    auto identity = LoadOrFound(*dir_, "n1", &logger_);
    if (!identity) return std::unexpected(identity.error());
    identity_ = std::move(*identity);
    if (!identity_.data_ready) {
      Status made = CreateData(*dir_, &identity_, options_.storage, &logger_);
      if (!made) return made;
    }
    report_ = {};
    auto replica = Replica::Open(*dir_, identity_, options_, waker_, &clock_, &logger_,
                                 clock_.NowNs(), &report_);
    if (!replica) return std::unexpected(replica.error());
    replica_ = std::shared_ptr<Replica>(std::move(*replica));
    replica_->Start(this, this);
    started_as_ = replica_->loop().Status();
    stopping_ = false;
    driver_ = std::thread([this] { Drive(); });
    return {};
  }
  void Stop(const Error& why = {Code::kUnavailable, "the test stops the replica"}) {
    if (driver_.joinable()) {
      stopping_ = true;
      waker_->Wake();
      driver_.join();
      replica_->Stop(why);
    }
    replica_.reset();
    dir_.reset();
  }

  Result<kv::ApplyResult> Put(const std::string& key, const std::string& value) {
    return PutTo(*replica_, key, value);
  }
  // For threads that go on while the replica is stopped; they hold shared().
  Result<kv::ApplyResult> PutTo(Replica& replica, const std::string& key,
                                const std::string& value) {
    std::promise<Result<kv::ApplyResult>> answer;
    ClientWrite write;
    std::string command = kv::EncodeCommand(kv::PutCommand{key, value, 0});
    write.checksum = raft::EntryChecksum(raft::EntryKind::kCommand, command);
    write.command = SharedBytes::Take(std::move(command));
    write.deadline_ns = clock_.NowNs() + 60'000'000'000;
    write.done = [&answer](Result<kv::ApplyResult> result) { answer.set_value(std::move(result)); };
    if (Status added = replica.loop().inbox().AddWrite(write); !added) {
      return std::unexpected(added.error());
    }
    return answer.get_future().get();
  }
  Status Barrier() {
    std::promise<Status> answer;
    ReadWaiter read;
    read.deadline_ns = clock_.NowNs() + 60'000'000'000;
    read.done = [&answer](Status status) { answer.set_value(std::move(status)); };
    if (Status added = replica_->loop().inbox().AddRead(read); !added) return added;
    return answer.get_future().get();
  }
  // The value, or "<none>", or the error.
  std::string Get(const std::string& key) {
    if (Status ready = Barrier(); !ready) return ready.error().ToString();
    auto read = replica_->machine().Get(key);
    if (!read) return read.error().ToString();
    return read->found ? std::string(read->value.view()) : "<none>";
  }

  // What the last Start found; the loop itself belongs to its thread while it runs.
  const raft::CoreStatus& started_as() const { return started_as_; }
  // Of the last Start, also of one that failed.
  const OpenReport& report() const { return report_; }
  Replica& replica() { return *replica_; }
  std::shared_ptr<Replica> shared() { return replica_; }
  DataDir& dir() { return *dir_; }
  Identity& identity() { return identity_; }
  Clock& clock() { return clock_; }
  Logger& logger() { return logger_; }
  env::Env& env() { return env_; }
  const std::string& path() const { return path_; }

  void Send(std::vector<raft::Message>) override {}
  void OnSoftState(const raft::SoftState&) override {}
  void OnConfChanged(std::shared_ptr<const raft::ConfState>) override {}
  void OnEvent(const raft::Event&) override {}

 private:
  void Drive() {
    while (!stopping_) {
      uint64_t now_ns = clock_.NowNs();
      replica_->loop().Process(now_ns);
      replica_->log_cutter().Poll(now_ns);
      uint64_t next_ns = replica_->loop().NextDeadlineNs();
      now_ns = clock_.NowNs();
      if (next_ns > now_ns) waker_->WaitFor(std::chrono::nanoseconds(next_ns - now_ns));
    }
  }

  const std::string path_;
  ReplicaOptions options_;
  env::PosixEnv posix_env_;
  env::Env& env_;
  SystemClock clock_;
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
  std::shared_ptr<FlagWaker> waker_ = std::make_shared<FlagWaker>();
  std::unique_ptr<DataDir> dir_;
  Identity identity_;
  std::shared_ptr<Replica> replica_;
  OpenReport report_;
  raft::CoreStatus started_as_;
  std::atomic<bool> stopping_ = false;
  std::thread driver_;
};

}  // namespace arima::node
