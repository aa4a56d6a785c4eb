#include "node/disk_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"

namespace arima::node {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;
constexpr auto kPause = std::chrono::seconds(1);
constexpr auto kNearPause = std::chrono::milliseconds(100);
constexpr uint64_t kReserveShareOfDisk = 10;
constexpr uint64_t kBallastShareOfReserve = 4;

std::string Size(uint64_t bytes) {
  if (bytes >= 10 * kGiB) return std::to_string(bytes / kGiB) + " GiB";
  if (bytes >= 10 * kMiB) return std::to_string(bytes / kMiB) + " MiB";
  return std::to_string(bytes / 1024) + " KiB";
}

}  // namespace

uint64_t EffectiveReserve(uint64_t wanted_bytes, uint64_t total_bytes) {
  return std::min(wanted_bytes, total_bytes / kReserveShareOfDisk);
}

uint64_t FitToReserve(uint64_t wanted_bytes, uint64_t reserve_bytes) {
  if (reserve_bytes == 0) return wanted_bytes;
  const uint64_t most = reserve_bytes / 5 / kMiB * kMiB;
  return std::min(wanted_bytes, std::max(most, kMiB));
}

bool IsDiskLow(bool was_low, uint64_t free_bytes, uint64_t reserve_bytes) {
  return free_bytes < reserve_bytes + (was_low ? reserve_bytes / 4 : 0);
}

DiskWatch::DiskWatch(env::Env* env, std::string dir, uint64_t reserve_bytes, Logger* logger)
    : env_(*env),
      dir_(std::move(dir)),
      ballast_path_(env::JoinPath(dir_, kBallastName)),
      reserve_bytes_(reserve_bytes),
      logger_(*logger) {}

DiskWatch::~DiskWatch() { ARIMA_ASSERT(!thread_.joinable()); }

void DiskWatch::Start() {
  thread_ = Thread([this] { Run(); });
}

void DiskWatch::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  stopping_changed_.NotifyAll();
  if (thread_.joinable()) thread_.Join();
}

void DiskWatch::Run() {
  while (true) {
    Look();
    MutexLock lock(&mutex_);
    const bool near = figures_.free_bytes < 2 * figures_.reserve_bytes;
    if (!stopping_) stopping_changed_.WaitFor(&mutex_, near ? kNearPause : kPause);
    if (stopping_) return;
  }
}

void DiskWatch::Look() {
  const DiskFigures before = figures();
  auto space = env_.Space(dir_);
  if (!space) {
    if (!std::exchange(asked_in_vain_, true)) {
      logger_.Warn("disk_space_not_known", space.error().ToString());
    }
    return;
  }
  asked_in_vain_ = false;
  DiskFigures now;
  now.free_bytes = space->free_bytes;
  now.total_bytes = space->total_bytes;
  now.reserve_bytes = EffectiveReserve(reserve_bytes_, space->total_bytes);
  now.low = IsDiskLow(before.low, now.free_bytes, now.reserve_bytes);
  KeepBallast(&now);
  {
    MutexLock lock(&mutex_);
    figures_ = now;
  }
  Say(before, now);
}

// Deleted while less is free than its own size; made when the disk stays far from low with it.
void DiskWatch::KeepBallast(DiskFigures* figures) {
  const uint64_t wanted =
      std::min(figures->reserve_bytes / kBallastShareOfReserve, kBallastBytesMax);
  auto there = env_.Stat(ballast_path_);
  figures->ballast_bytes = there ? there->bytes : 0;
  const bool obsolete = wanted == 0 && there.has_value();
  if (figures->ballast_bytes > 0 && (obsolete || figures->free_bytes < wanted)) {
    Status removed = env_.Unlink(ballast_path_);
    if (!removed) return logger_.Error("ballast_not_released", removed.error().ToString());
    logger_.Warn("ballast_released",
                 "the disk is full; the ballast is given up so that space can be made",
                 {{"bytes", figures->ballast_bytes}});
    figures->ballast_bytes = 0;
    return;
  }
  const uint64_t enough = figures->reserve_bytes + figures->reserve_bytes / 4 + wanted;
  if (wanted == 0 || figures->ballast_bytes >= wanted || figures->low ||
      figures->free_bytes < enough) {
    return;
  }
  auto file = env_.Open(ballast_path_, env::OpenMode::kCreate);
  Status made = file ? (*file)->Allocate(wanted) : Status(std::unexpected(file.error()));
  if (made) {
    figures->ballast_bytes = wanted;
    figures->free_bytes -= std::min(figures->free_bytes, wanted);
  } else if (!std::exchange(ballast_failed_, true)) {
    logger_.Warn("ballast_not_made", made.error().ToString());
  }
}

void DiskWatch::Say(const DiskFigures& before, const DiskFigures& now) {
  if (now.low && !before.low) {
    logger_.Error("disk_low",
                  Describe() +
                      "; writes that add data are refused, reads, deletes and membership "
                      "changes go on. Free space, add some, or delete keys");
  } else if (before.low && !now.low) {
    logger_.Info("disk_has_space", Describe());
  }
}

DiskFigures DiskWatch::figures() const {
  MutexLock lock(&mutex_);
  return figures_;
}

std::string DiskWatch::Describe() const {
  const DiskFigures now = figures();
  return dir_ + " has " + Size(now.free_bytes) + " of " + Size(now.total_bytes) +
         " free, --disk-reserve keeps " + Size(now.reserve_bytes);
}

}  // namespace arima::node
