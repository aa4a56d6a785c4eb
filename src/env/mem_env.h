// MemEnv: an Env in memory that knows what is durable and what is not.
//
// Each file has a cached content (what reads see) and a disk content (what the last Sync left);
// each directory has its current names and the durable ones plus the list of changes since its last
// SyncDir. PowerLoss throws the difference away in the way a CrashChooser decides: sector by
// sector, name change by name change. A process death without loss of power is just dropping the
// handles.
//
// kReadUncached reads sectors that are not dirty from the disk content; the two differ only after
// LoseUnsynced, which is what a failed fsync does on Linux: pages stay readable and count as clean.
//
// Thread rule: any thread, one lock inside. Handles from before a PowerLoss answer kIo.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "env/env.h"

namespace arima::env {

// What a sector holds after a loss of power, if it was written and not synced. Torn: new at the
// begin, old from some byte on.
enum class SectorFate : uint8_t { kOld, kNew, kZero, kGarbage, kTorn };
inline constexpr uint64_t kSectorFates = 5;

// Decides the fate of everything that was not durable; called in a fixed order.
class CrashChooser {
 public:
  virtual ~CrashChooser() = default;
  virtual SectorFate Sector(const std::string& path, uint64_t sector) = 0;
  // Whether a change of size that was not synced has reached the disk.
  virtual bool KeepSize(const std::string& path) = 0;
  // Asked in its place: the size on the disk, of those between that of the last sync and the new
  // one.
  virtual uint64_t Size(const std::string& path, uint64_t synced, uint64_t written) {
    return KeepSize(path) ? written : synced;
  }
  // Whether this change of a directory ("rename a b", "create a", "unlink a") has.
  virtual bool KeepDirChange(const std::string& dir, const std::string& change) = 0;
};

// Nothing that was not synced survives.
class DropAll final : public CrashChooser {
 public:
  SectorFate Sector(const std::string&, uint64_t) override { return SectorFate::kOld; }
  bool KeepSize(const std::string&) override { return false; }
  bool KeepDirChange(const std::string&, const std::string&) override { return false; }
};

// Everything by chance: a quarter of the seeds drops all, a quarter keeps all, a quarter mixes old
// and new, a quarter mixes all fates.
class RandomCrash final : public CrashChooser {
 public:
  explicit RandomCrash(uint64_t seed);
  SectorFate Sector(const std::string& path, uint64_t sector) override;
  bool KeepSize(const std::string& path) override;
  bool KeepDirChange(const std::string& dir, const std::string& change) override;

 private:
  SeededRandom random_;
  uint64_t mode_;
};

// A sector whose cached bytes differ from those on disk.
struct DirtySector {
  std::string path;
  uint64_t sector = 0;
  friend auto operator<=>(const DirtySector&, const DirtySector&) = default;
};

class MemEnvState;

class MemEnv final : public Env {
 public:
  // `capacity_bytes` bounds the sum of all file sizes; beyond it writes answer kDiskFull.
  explicit MemEnv(uint64_t capacity_bytes = UINT64_MAX);
  ~MemEnv() override;

  // An independent copy of cached and durable content, without handles and locks.
  std::unique_ptr<MemEnv> Clone() const;
  void PowerLoss(CrashChooser& chooser);

  // Sectors a PowerLoss would have to decide about, in the order in which it does.
  std::vector<DirtySector> DirtySectors() const;
  // Also those that were written with what they held already.
  std::vector<DirtySector> WrittenSectors() const;
  // Directory changes that are not durable.
  size_t PendingDirChanges() const;
  // As after a failed fsync: unsynced bytes stay readable, are never written, and count as clean.
  void LoseUnsynced(const std::string& path);
  // Gives the file a second name, as link(2): one content, durable in one piece.
  Status Link(const std::string& path, const std::string& to);
  // Rot: flips one bit of the cached and of the durable content. kNotFound past the end.
  Status FlipBit(const std::string& path, uint64_t offset, int bit);
  void SetCapacity(uint64_t bytes);

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<FileInfo> Stat(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Unlink(const std::string& path) override;
  Status MakeDir(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& dir) override;
  Status SyncDir(const std::string& dir) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<DiskSpace> Space(const std::string& dir) override;

 private:
  explicit MemEnv(std::shared_ptr<MemEnvState> state);
  std::vector<DirtySector> UnsyncedSectors(bool equal_too) const;
  std::shared_ptr<MemEnvState> state_;
};

}  // namespace arima::env
