// DiskWatch: how much space the file system of the volume directory has left, and what is kept free
// of it (docs/design/raft.md 4.7).
//
//   reserve   --disk-reserve, but at most a tenth of the file system. While less is free the disk
//             is "low": what makes data grow is refused, so that the log, votes, deletes,
//             membership changes and the database's own work always find space.
//   ballast   a file of up to a quarter of the reserve that holds nothing. Others can fill the disk
//             as well; when they have eaten into the last of it, the ballast is deleted, and what
//             is needed to make space (flushes, compactions) fits once more. It comes back when the
//             disk has space.
//
// The file system is asked on a thread of its own, because a sick one may not answer: once a
// second, ten times a second when the reserve is near.
//
// Thread rule: Look before Start, from the owner; Start and Stop from the owner; the rest from any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/thread.h"
#include "env/env.h"
#include "node/logger.h"

namespace arima::node {

// What is kept free of a file system of `total_bytes`.
uint64_t EffectiveReserve(uint64_t wanted_bytes, uint64_t total_bytes);
// With hysteresis: a disk that is low stays so until a quarter of the reserve more is free.
bool IsDiskLow(bool was_low, uint64_t free_bytes, uint64_t reserve_bytes);
// The size of a log segment or of one of the database's three write buffers: on a small disk less
// than wanted, at most a fifth of the reserve. Then the disk is low before it has no space for a
// segment beside the flush of all buffers (FlushBytes).
uint64_t FitToReserve(uint64_t wanted_bytes, uint64_t reserve_bytes);
// What a flush of so much may need: a quarter more for filters and indexes, and a manifest.
inline uint64_t FlushBytes(uint64_t unflushed_bytes) {
  return unflushed_bytes + unflushed_bytes / 4 + (1 << 20);
}

struct DiskFigures {
  uint64_t free_bytes = 0;
  uint64_t total_bytes = 0;    // 0: not known
  uint64_t reserve_bytes = 0;  // in effect
  uint64_t ballast_bytes = 0;  // held now
  bool low = false;
};

class DiskWatch {
 public:
  static constexpr std::string_view kBallastName = "ballast";
  static constexpr uint64_t kBallastBytesMax = 64 << 20;

  // `reserve_bytes` 0: the disk is never low, there is no ballast.
  DiskWatch(env::Env* env, std::string dir, uint64_t reserve_bytes, Logger* logger);
  ~DiskWatch();

  void Start();
  void Stop() EXCLUDES(mutex_);
  // Asks once, and acts on the answer.
  void Look() EXCLUDES(mutex_);

  DiskFigures figures() const EXCLUDES(mutex_);
  bool low() const { return figures().low; }
  // For whoever was refused, without an end: "/data has 12 MiB of 100 GiB free, --disk-reserve
  // keeps 512 MiB".
  std::string Describe() const EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);
  void KeepBallast(DiskFigures* figures);
  void Say(const DiskFigures& before, const DiskFigures& now);

  env::Env& env_;
  const std::string dir_;
  const std::string ballast_path_;
  const uint64_t reserve_bytes_;
  Logger& logger_;
  bool asked_in_vain_ = false;   // said once; of the thread that looks
  bool ballast_failed_ = false;  // likewise

  mutable Mutex mutex_;
  CondVar stopping_changed_;
  DiskFigures figures_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace arima::node
