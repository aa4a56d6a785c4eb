#include "simserver/disk.h"

#include <algorithm>
#include <utility>

#include "sim/swarm.h"
#include "wal/inspect.h"

namespace arima::simserver {

class Disk::SimFile final : public env::File {
 public:
  SimFile(Disk* disk, std::string path, std::unique_ptr<env::File> file)
      : disk_(*disk), path_(std::move(path)), file_(std::move(file)) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t size) override {
    disk_.scheduler_.KillPoint();
    return file_->ReadAt(offset, out, size);
  }
  Status WriteAt(uint64_t offset, std::span<const std::string_view> parts) override {
    disk_.scheduler_.KillPoint();
    return file_->WriteAt(offset, parts);
  }
  Status Sync() override {
    if (Status ready = disk_.BeforeSync(path_); !ready) return ready;
    return file_->Sync();
  }
  Status Allocate(uint64_t size) override {
    disk_.scheduler_.KillPoint();
    return file_->Allocate(size);
  }
  Result<uint64_t> Size() override { return file_->Size(); }
  Status Truncate(uint64_t size) override {
    disk_.scheduler_.KillPoint();
    return file_->Truncate(size);
  }

 private:
  Disk& disk_;
  const std::string path_;
  const std::unique_ptr<env::File> file_;
};

Disk::Disk(Scheduler* scheduler, uint64_t seed, const DiskOptions& options)
    : scheduler_(*scheduler),
      random_(seed),
      options_(options),
      files_(std::make_unique<env::MemEnv>(options.bytes)) {}

Disk::~Disk() = default;

void Disk::PowerLoss() {
  env::RandomCrash chooser(random_.Next());
  files_->PowerLoss(chooser);
}

void Disk::Wipe() { files_ = std::make_unique<env::MemEnv>(options_.bytes); }

bool Disk::DamageLog(const std::string& dir) {
  struct Place {
    std::string path;
    uint64_t seq = 0;
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t bytes = 0;  // without the padding, of which no bit matters
  };
  const auto options = wal::OptionsOfLog(*files_, dir);
  if (!options) return false;
  std::vector<Place> frames;
  wal::FoundSegment segment;
  uint64_t vouched = 0;
  wal::LogVisitor visitor;
  visitor.segment = [&](const wal::FoundSegment& found) {
    segment = found;
    vouched = std::max(vouched, found.header.attested);
  };
  visitor.frame = [&](const wal::Frame& frame) {
    frames.push_back({segment.path, segment.seq, frame.offset, frame.end,
                      wal::kFrameHeaderBytes + frame.payload.size()});
    vouched = std::max(vouched, frame.header.attested);
  };
  if (!wal::WalkLog(*files_, *options, visitor)) return false;
  std::erase_if(frames, [&](const Place& frame) {
    return wal::Position{frame.seq, frame.end}.Pack() > vouched;
  });
  if (frames.empty()) return false;
  const Place& place = frames[random_.Below(frames.size())];
  const uint64_t offset = place.begin + random_.Below(place.bytes);
  return files_->FlipBit(place.path, offset, static_cast<int>(random_.Below(8))).has_value();
}

LogContent Disk::ReadLog(const std::string& dir) {
  LogContent content;
  const auto options = wal::OptionsOfLog(*files_, dir);
  if (!options) return content;
  wal::LogVisitor visitor;
  visitor.record = [&](const wal::Record& record, uint64_t) {
    const raft::Index index(record.index);
    if (record.type == wal::RecordType::kReset) content.clear();
    if (record.type != wal::RecordType::kEntry) return;
    content.erase(content.lower_bound(index), content.end());
    content[index] = {raft::Term(record.term), record.checksum};
  };
  if (!wal::WalkLog(*files_, *options, visitor)) content.clear();
  return content;
}

void Disk::ForgetFailures() {
  fail_syncs_ = false;
  failed_a_sync_ = false;
}

uint64_t Disk::Used() const {
  auto space = files_->Space("/");
  return space ? space->total_bytes - space->free_bytes : 0;
}

void Disk::SetFree(uint64_t bytes) { files_->SetCapacity(Used() + bytes); }

void Disk::Heal() {
  files_->SetCapacity(options_.bytes);
  stalled_until_ns_ = 0;
  fail_syncs_ = false;
}

Status Disk::BeforeSync(const std::string& path) {
  scheduler_.KillPoint();
  uint64_t ns = sim::DrawDelay(&random_, options_.sync_ns_mean);
  if (options_.slow_sync_permille > 0 && random_.Below(1000) < options_.slow_sync_permille) {
    ns = random_.Below(options_.slow_sync_ns_max + 1);
  }
  const uint64_t now_ns = scheduler_.now_ns();
  if (stalled_until_ns_ > now_ns) ns = std::max(ns, stalled_until_ns_ - now_ns);
  scheduler_.Park(nullptr, ns);
  if (!fail_syncs_) return {};
  failed_a_sync_ = true;
  // As Linux does it: the bytes stay readable and count as clean.
  auto info = files_->Stat(path);
  if (info && !info->is_dir) files_->LoseUnsynced(path);
  return Fail(Code::kIo, "sync " + path + ": simulated I/O error");
}

Result<std::unique_ptr<env::File>> Disk::Open(const std::string& path, env::OpenMode mode) {
  scheduler_.KillPoint();
  auto file = files_->Open(path, mode);
  if (!file) return std::unexpected(file.error());
  return std::make_unique<SimFile>(this, path, std::move(*file));
}

Result<env::FileInfo> Disk::Stat(const std::string& path) {
  scheduler_.KillPoint();
  return files_->Stat(path);
}

Status Disk::Rename(const std::string& from, const std::string& to) {
  scheduler_.KillPoint();
  return files_->Rename(from, to);
}

Status Disk::Unlink(const std::string& path) {
  scheduler_.KillPoint();
  return files_->Unlink(path);
}

Status Disk::MakeDir(const std::string& path) {
  scheduler_.KillPoint();
  return files_->MakeDir(path);
}

Status Disk::RemoveDir(const std::string& path) {
  scheduler_.KillPoint();
  return files_->RemoveDir(path);
}

Result<std::vector<std::string>> Disk::List(const std::string& dir) {
  scheduler_.KillPoint();
  return files_->List(dir);
}

Status Disk::SyncDir(const std::string& dir) {
  if (Status ready = BeforeSync(dir); !ready) return ready;
  return files_->SyncDir(dir);
}

Result<std::unique_ptr<env::FileLock>> Disk::Lock(const std::string& path) {
  scheduler_.KillPoint();
  return files_->Lock(path);
}

Result<env::DiskSpace> Disk::Space(const std::string& dir) {
  scheduler_.KillPoint();
  return files_->Space(dir);
}

}  // namespace arima::simserver
