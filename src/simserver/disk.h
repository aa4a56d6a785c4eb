// Disk: the file system of one simulated machine. What is written lies in the cache until it is
// synced, which takes time; the loss of power decides about the rest (env/mem_env.h). The disk
// outlives the processes that use it.
//
// Each operation is a place where a killed process stops (Scheduler::KillPoint). Thread rule: the
// scheduler's thread; the Env inside, the rest outside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "env/env.h"
#include "env/mem_env.h"
#include "simserver/log_content.h"
#include "simserver/scheduler.h"

namespace arima::simserver {

struct DiskOptions {
  uint64_t sync_ns_mean = 200'000;
  uint32_t slow_sync_permille = 0;  // of syncs; they take up to slow_sync_ns_max
  uint64_t slow_sync_ns_max = 500'000'000;
  uint64_t bytes = 256 << 20;
};

class Disk final : public env::Env {
 public:
  Disk(Scheduler* scheduler, uint64_t seed, const DiskOptions& options);
  ~Disk() override;

  // Outside, while no process uses it.
  void PowerLoss();
  void Wipe();
  // Rot: flips a bit in a frame of the raft log in `dir` that a later frame on the disk vouches
  // for, so that it cannot be taken for a torn write. While all that is cached is durable, as after
  // PowerLoss. False: there is no such frame.
  bool DamageLog(const std::string& dir);
  // Outside, or before anything more is written: the entries of the raft log in `dir` as its
  // records stand, nothing of recovery's own bookkeeping. Empty if it cannot be read.
  LogContent ReadLog(const std::string& dir);
  // Inside or outside. A sync that begins from now on takes at least until then; 0: no more.
  void StallUntil(uint64_t ns) { stalled_until_ns_ = ns; }
  // The next syncs fail, for the process that uses it now.
  void FailSyncs(bool fail) { fail_syncs_ = fail; }
  bool failed_a_sync() const { return failed_a_sync_; }
  void ForgetFailures();
  // Free space becomes so many bytes.
  void SetFree(uint64_t bytes);
  void Heal();

  Result<std::unique_ptr<env::File>> Open(const std::string& path, env::OpenMode mode) override;
  Result<env::FileInfo> Stat(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Unlink(const std::string& path) override;
  Status MakeDir(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& dir) override;
  Status SyncDir(const std::string& dir) override;
  Result<std::unique_ptr<env::FileLock>> Lock(const std::string& path) override;
  Result<env::DiskSpace> Space(const std::string& dir) override;

 private:
  class SimFile;
  // Waits as long as a sync takes; then whether it fails.
  Status BeforeSync(const std::string& path);
  uint64_t Used() const;

  Scheduler& scheduler_;
  SeededRandom random_;
  const DiskOptions options_;
  std::unique_ptr<env::MemEnv> files_;
  uint64_t stalled_until_ns_ = 0;
  bool fail_syncs_ = false;
  bool failed_a_sync_ = false;
};

}  // namespace arima::simserver
