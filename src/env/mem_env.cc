// The tree is made of nodes shared by pointer: a directory names nodes twice, as they are now and
// as they are on disk, so a file that was renamed or unlinked without SyncDir is still found by its
// old name after a loss of power. All iteration is over ordered maps: the questions put to a
// CrashChooser come in the same order in every run.

#include "env/mem_env.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/mutex.h"
#include "env/paged_bytes.h"

namespace arima::env {
namespace {

struct Node;
using NodePtr = std::shared_ptr<Node>;
using Names = std::map<std::string, NodePtr>;

// One change of a directory. Renames within a directory are one change: both names or neither.
struct DirChange {
  std::string text;
  std::string unbind;  // name that `node` loses; empty: none
  std::string bind;    // name that `node` gets; empty: none
  NodePtr node;
};

// Which sectors of a file were written since its last Sync, one byte per page.
class DirtySet {
 public:
  static constexpr uint64_t kPerPage = PagedBytes::kPageBytes / kSectorBytes;
  static constexpr uint8_t kWholePage = 0xFF;
  static_assert(kPerPage == 8);

  // Every sector that holds a byte of [from, to).
  void Add(uint64_t from, uint64_t to) {
    if (from >= to) return;
    const uint64_t end = (to + kSectorBytes - 1) / kSectorBytes;
    if (pages_.size() * kPerPage < end) pages_.resize((end + kPerPage - 1) / kPerPage);
    for (uint64_t s = from / kSectorBytes; s < end;) {
      if (s % kPerPage == 0 && s + kPerPage <= end) {
        pages_[s / kPerPage] = kWholePage;
        s += kPerPage;
      } else {
        pages_[s / kPerPage] = static_cast<uint8_t>(pages_[s / kPerPage] | 1 << s % kPerPage);
        ++s;
      }
    }
  }
  bool Contains(uint64_t sector) const {
    return sector / kPerPage < pages_.size() &&
           (pages_[sector / kPerPage] >> sector % kPerPage & 1) != 0;
  }
  uint64_t pages() const { return pages_.size(); }
  uint8_t mask(uint64_t page) const { return pages_[page]; }
  std::vector<uint64_t> Sectors() const {
    std::vector<uint64_t> sectors;
    for (uint64_t page = 0; page < pages_.size(); ++page) {
      if (pages_[page] == 0) continue;
      for (uint64_t s = page * kPerPage; s < (page + 1) * kPerPage; ++s) {
        if (Contains(s)) sectors.push_back(s);
      }
    }
    return sectors;
  }
  void Clear() { pages_.clear(); }

 private:
  std::vector<uint8_t> pages_;
};

struct Node {
  uint64_t id = 0;
  bool is_dir = false;

  // Files.
  PagedBytes cached;
  PagedBytes disk;
  DirtySet dirty;

  // Directories.
  Names now;
  Names durable;
  std::vector<DirChange> pending;
};

using Sector = std::array<char, kSectorBytes>;

Sector ReadSector(const PagedBytes& bytes, uint64_t sector) {
  Sector out{};
  bytes.Read(sector * kSectorBytes, out.data(), out.size());
  return out;
}

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

std::unexpected<Error> Refuse(Code code, std::string_view what, const std::string& path,
                              std::string_view why) {
  return Fail(code, std::string(what) + " " + path + ": " + std::string(why));
}

void CollectNodes(const NodePtr& node, std::map<uint64_t, NodePtr>* found) {
  if (!found->emplace(node->id, node).second) return;
  for (const auto& [name, child] : node->now) CollectNodes(child, found);
  for (const auto& [name, child] : node->durable) CollectNodes(child, found);
  for (const DirChange& change : node->pending) CollectNodes(change.node, found);
}

void CollectPaths(const NodePtr& node, const std::string& path,
                  std::map<uint64_t, std::string>* paths) {
  if (!paths->emplace(node->id, path).second) return;
  for (const auto& [name, child] : node->now) CollectPaths(child, JoinPath(path, name), paths);
  for (const auto& [name, child] : node->durable) CollectPaths(child, JoinPath(path, name), paths);
  for (const DirChange& change : node->pending) {
    CollectPaths(change.node, JoinPath(path, change.bind), paths);
  }
}

void DecideFile(const std::string& path, Node* file, CrashChooser& chooser) {
  PagedBytes after = file->disk;
  if (file->cached.size() != file->disk.size()) {
    after.Resize(chooser.Size(path, file->disk.size(), file->cached.size()));
  }
  for (uint64_t sector : file->dirty.Sectors()) {
    const uint64_t offset = sector * kSectorBytes;
    if (offset >= after.size()) break;
    Sector bytes = ReadSector(file->cached, sector);
    if (bytes == ReadSector(file->disk, sector)) continue;
    switch (chooser.Sector(path, sector)) {
      case SectorFate::kOld:
        continue;
      case SectorFate::kNew:
        break;
      case SectorFate::kZero:
        bytes.fill('\0');
        break;
      case SectorFate::kGarbage:
        for (size_t i = 0; i < bytes.size(); ++i) {
          bytes[i] = static_cast<char>((sector + i + 1) * 0x9E3779B97F4A7C15u >> 40);
        }
        break;
      case SectorFate::kTorn: {
        const Sector old = ReadSector(file->disk, sector);
        const uint64_t torn_at = 8 * (1 + (sector * 0x9E3779B97F4A7C15u >> 40) % 63);
        std::copy(old.begin() + static_cast<ptrdiff_t>(torn_at), old.end(),
                  bytes.begin() + static_cast<ptrdiff_t>(torn_at));
        break;
      }
    }
    after.Write(offset, {bytes.data(), std::min<uint64_t>(bytes.size(), after.size() - offset)});
  }
  file->cached = after;
  file->disk = std::move(after);
  file->dirty.Clear();
}

void DecideDir(const std::string& path, Node* dir, CrashChooser& chooser) {
  for (const DirChange& change : dir->pending) {
    if (!chooser.KeepDirChange(path, change.text)) continue;
    if (auto it = dir->durable.find(change.unbind);
        it != dir->durable.end() && it->second == change.node) {
      dir->durable.erase(it);
    }
    if (!change.bind.empty()) dir->durable[change.bind] = change.node;
  }
  dir->pending.clear();
  dir->now = dir->durable;
}

}  // namespace

// The tree and its lock; shared with the handles, which check that no power was lost since.
class MemEnvState {
 public:
  Mutex mutex;
  NodePtr root GUARDED_BY(mutex);
  uint64_t next_id GUARDED_BY(mutex) = 2;
  uint64_t life GUARDED_BY(mutex) = 0;  // +1 at each PowerLoss
  uint64_t capacity GUARDED_BY(mutex) = UINT64_MAX;
  std::set<std::string> locks GUARDED_BY(mutex);

  NodePtr Find(const std::string& path) REQUIRES(mutex) {
    NodePtr node = root;
    for (const std::string& part : Split(path)) {
      auto it = node->now.find(part);
      if (it == node->now.end()) return nullptr;
      node = it->second;
    }
    return node;
  }
  // The directory that holds `path`, or null; *name is the last part.
  NodePtr FindParent(const std::string& path, std::string* name) REQUIRES(mutex) {
    std::vector<std::string> parts = Split(path);
    if (parts.empty()) return nullptr;
    *name = parts.back();
    NodePtr dir = Find(ParentDir(path));
    return dir != nullptr && dir->is_dir ? dir : nullptr;
  }
  Result<NodePtr> Make(const char* what, const std::string& path, bool is_dir) REQUIRES(mutex) {
    std::string name;
    NodePtr dir = FindParent(path, &name);
    if (dir == nullptr) return Refuse(Code::kNotFound, what, path, "no such directory");
    if (dir->now.contains(name)) return Refuse(Code::kAlreadyExists, what, path, "exists");
    auto node = std::make_shared<Node>();
    node->id = next_id++;
    node->is_dir = is_dir;
    dir->now[name] = node;
    dir->pending.push_back({"create " + name, "", name, node});
    return node;
  }
  uint64_t UsedBytes() REQUIRES(mutex) {
    std::map<uint64_t, NodePtr> nodes;
    CollectNodes(root, &nodes);
    uint64_t used = 0;
    for (const auto& [id, node] : nodes) used += node->cached.size();
    return used;
  }
};

namespace {

class MemFile final : public File {
 public:
  MemFile(std::shared_ptr<MemEnvState> state, std::string path, NodePtr node, uint64_t life,
          bool uncached, bool writable)
      : state_(std::move(state)),
        path_(std::move(path)),
        node_(std::move(node)),
        life_(life),
        uncached_(uncached),
        writable_(writable) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t size) override {
    MutexLock lock(&state_->mutex);
    if (state_->life != life_) return Lost("read");
    size_t got = node_->cached.Read(offset, out, size);
    if (uncached_) OverlayDisk(offset, out, got);
    return got;
  }

  Status WriteAt(uint64_t offset, std::span<const std::string_view> parts) override {
    MutexLock lock(&state_->mutex);
    if (auto s = MayWrite("write"); !s) return s;
    uint64_t end = offset;
    for (std::string_view part : parts) end += part.size();
    if (end > node_->cached.size() && state_->capacity != UINT64_MAX &&
        state_->UsedBytes() + (end - node_->cached.size()) > state_->capacity) {
      return Refuse(Code::kDiskFull, "write", path_, "no space");
    }
    for (std::string_view part : parts) {
      if (part.empty()) continue;
      node_->cached.Write(offset, part);
      node_->dirty.Add(offset, offset + part.size());
      offset += part.size();
    }
    return {};
  }

  Status Allocate(uint64_t size) override {
    auto old = Size();
    if (!old) return std::unexpected(old.error());
    if (size <= *old) return {};
    const std::string zeros(size - *old, '\0');
    const std::string_view part = zeros;
    return WriteAt(*old, {&part, 1});
  }

  Status Sync() override {
    MutexLock lock(&state_->mutex);
    if (auto s = MayWrite("sync"); !s) return s;
    node_->disk.Resize(node_->cached.size());
    const uint64_t whole_pages = node_->cached.size() / PagedBytes::kPageBytes;
    for (uint64_t page = 0; page < node_->dirty.pages(); ++page) {
      const uint8_t mask = node_->dirty.mask(page);
      if (mask == DirtySet::kWholePage && page < whole_pages) {
        node_->disk.SharePage(node_->cached, page);
      } else if (mask != 0) {
        SyncSectors(page);
      }
    }
    node_->dirty.Clear();
    return {};
  }

  Result<uint64_t> Size() override {
    MutexLock lock(&state_->mutex);
    if (state_->life != life_) return Lost("stat");
    return node_->cached.size();
  }

  Status Truncate(uint64_t size) override {
    MutexLock lock(&state_->mutex);
    if (auto s = MayWrite("truncate"); !s) return s;
    const uint64_t old_size = node_->cached.size();
    node_->cached.Resize(size);
    node_->dirty.Add(std::min(size, old_size), std::max(size, old_size));
    return {};
  }

 private:
  std::unexpected<Error> Lost(const char* what) const {
    return Refuse(Code::kIo, what, path_, "handle from before the loss of power");
  }
  Status MayWrite(const char* what) REQUIRES(state_->mutex) {
    if (state_->life != life_) return Lost(what);
    if (!writable_) return Refuse(Code::kIo, what, path_, "opened for reading");
    return {};
  }
  void SyncSectors(uint64_t page) REQUIRES(state_->mutex) {
    for (uint64_t s = page * DirtySet::kPerPage; s < (page + 1) * DirtySet::kPerPage; ++s) {
      const uint64_t offset = s * kSectorBytes;
      if (offset >= node_->cached.size() || !node_->dirty.Contains(s)) continue;
      const Sector bytes = ReadSector(node_->cached, s);
      const uint64_t size = std::min<uint64_t>(bytes.size(), node_->cached.size() - offset);
      node_->disk.Write(offset, {bytes.data(), size});
    }
  }
  void OverlayDisk(uint64_t offset, char* out, size_t size) REQUIRES(state_->mutex) {
    for (uint64_t at = offset; at < offset + size;) {
      const uint64_t sector = at / kSectorBytes;
      const uint64_t end = std::min((sector + 1) * kSectorBytes, offset + size);
      if (!node_->dirty.Contains(sector)) {
        const Sector bytes = ReadSector(node_->disk, sector);
        std::copy_n(bytes.data() + at % kSectorBytes, end - at, out + (at - offset));
      }
      at = end;
    }
  }

  const std::shared_ptr<MemEnvState> state_;
  const std::string path_;
  const NodePtr node_;
  const uint64_t life_;
  const bool uncached_;
  const bool writable_;
};

class MemLock final : public FileLock {
 public:
  MemLock(std::shared_ptr<MemEnvState> state, std::string key, uint64_t life)
      : state_(std::move(state)), key_(std::move(key)), life_(life) {}
  ~MemLock() override {
    MutexLock lock(&state_->mutex);
    if (state_->life == life_) state_->locks.erase(key_);
  }

 private:
  const std::shared_ptr<MemEnvState> state_;
  const std::string key_;
  const uint64_t life_;
};

NodePtr CopyNode(const NodePtr& node, std::map<uint64_t, NodePtr>* copies) {
  if (auto it = copies->find(node->id); it != copies->end()) return it->second;
  auto copy = std::make_shared<Node>();
  (*copies)[node->id] = copy;
  copy->id = node->id;
  copy->is_dir = node->is_dir;
  copy->cached = node->cached;
  copy->disk = node->disk;
  copy->dirty = node->dirty;
  for (const auto& [name, child] : node->now) copy->now[name] = CopyNode(child, copies);
  for (const auto& [name, child] : node->durable) copy->durable[name] = CopyNode(child, copies);
  for (const DirChange& change : node->pending) {
    copy->pending.push_back(
        {change.text, change.unbind, change.bind, CopyNode(change.node, copies)});
  }
  return copy;
}

}  // namespace

RandomCrash::RandomCrash(uint64_t seed) : random_(seed), mode_(random_.Below(4)) {}

SectorFate RandomCrash::Sector(const std::string&, uint64_t) {
  if (mode_ == 0) return SectorFate::kOld;
  if (mode_ == 1) return SectorFate::kNew;
  return static_cast<SectorFate>(random_.Below(mode_ == 2 ? 2 : 4));
}

bool RandomCrash::KeepSize(const std::string&) {
  return mode_ == 1 || (mode_ != 0 && random_.Percent(50));
}

bool RandomCrash::KeepDirChange(const std::string&, const std::string&) {
  return mode_ == 1 || (mode_ != 0 && random_.Percent(50));
}

MemEnv::MemEnv(uint64_t capacity_bytes) : state_(std::make_shared<MemEnvState>()) {
  MutexLock lock(&state_->mutex);
  state_->root = std::make_shared<Node>();
  state_->root->id = 1;
  state_->root->is_dir = true;
  state_->capacity = capacity_bytes;
}

MemEnv::MemEnv(std::shared_ptr<MemEnvState> state) : state_(std::move(state)) {}

MemEnv::~MemEnv() = default;

std::unique_ptr<MemEnv> MemEnv::Clone() const {
  auto copy = std::make_shared<MemEnvState>();
  MutexLock lock(&state_->mutex);
  MutexLock copy_lock(&copy->mutex);
  std::map<uint64_t, NodePtr> copies;
  copy->root = CopyNode(state_->root, &copies);
  copy->next_id = state_->next_id;
  copy->capacity = state_->capacity;
  return std::unique_ptr<MemEnv>(new MemEnv(copy));
}

void MemEnv::PowerLoss(CrashChooser& chooser) {
  MutexLock lock(&state_->mutex);
  std::map<uint64_t, NodePtr> nodes;
  std::map<uint64_t, std::string> paths;
  CollectNodes(state_->root, &nodes);
  CollectPaths(state_->root, "/", &paths);
  for (const auto& [id, node] : nodes) {
    if (node->is_dir) {
      DecideDir(paths[id], node.get(), chooser);
    } else {
      DecideFile(paths[id], node.get(), chooser);
    }
  }
  state_->locks.clear();
  ++state_->life;
}

std::vector<DirtySector> MemEnv::DirtySectors() const { return UnsyncedSectors(false); }

std::vector<DirtySector> MemEnv::WrittenSectors() const { return UnsyncedSectors(true); }

std::vector<DirtySector> MemEnv::UnsyncedSectors(bool equal_too) const {
  MutexLock lock(&state_->mutex);
  std::map<uint64_t, NodePtr> nodes;
  std::map<uint64_t, std::string> paths;
  CollectNodes(state_->root, &nodes);
  CollectPaths(state_->root, "/", &paths);
  std::vector<DirtySector> sectors;
  for (const auto& [id, node] : nodes) {
    for (uint64_t sector : node->dirty.Sectors()) {
      if (equal_too || ReadSector(node->cached, sector) != ReadSector(node->disk, sector)) {
        sectors.push_back({paths[id], sector});
      }
    }
  }
  return sectors;
}

size_t MemEnv::PendingDirChanges() const {
  MutexLock lock(&state_->mutex);
  std::map<uint64_t, NodePtr> nodes;
  CollectNodes(state_->root, &nodes);
  size_t changes = 0;
  for (const auto& [id, node] : nodes) changes += node->pending.size();
  return changes;
}

void MemEnv::LoseUnsynced(const std::string& path) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(path);
  ARIMA_ASSERT(node != nullptr && !node->is_dir, path);
  node->dirty.Clear();
}

Status MemEnv::Link(const std::string& path, const std::string& to) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(path);
  std::string name;
  NodePtr dir = state_->FindParent(to, &name);
  if (node == nullptr || node->is_dir || dir == nullptr) {
    return Refuse(Code::kNotFound, "link", path + " to " + to, "no such file");
  }
  if (dir->now.contains(name)) {
    return Refuse(Code::kAlreadyExists, "link", path + " to " + to, "exists");
  }
  dir->now[name] = node;
  dir->pending.push_back({"link " + name, "", name, node});
  return {};
}

Status MemEnv::FlipBit(const std::string& path, uint64_t offset, int bit) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(path);
  if (node == nullptr || node->is_dir || offset >= node->cached.size()) {
    return Refuse(Code::kNotFound, "flip a bit of", path, "no such byte");
  }
  for (PagedBytes* bytes : {&node->cached, &node->disk}) {
    char c = 0;
    if (bytes->Read(offset, &c, 1) != 1) continue;
    c = static_cast<char>(c ^ (1 << bit));
    bytes->Write(offset, {&c, 1});
  }
  return {};
}

void MemEnv::SetCapacity(uint64_t bytes) {
  MutexLock lock(&state_->mutex);
  state_->capacity = bytes;
}

Result<std::unique_ptr<File>> MemEnv::Open(const std::string& path, OpenMode mode) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(path);
  const bool may_make = mode == OpenMode::kCreate || mode == OpenMode::kCreateNew ||
                        mode == OpenMode::kCreateTruncate;
  if (node == nullptr) {
    if (!may_make) return Refuse(Code::kNotFound, "open", path, "no such file");
    auto made = state_->Make("open", path, false);
    if (!made) return std::unexpected(made.error());
    node = *made;
  } else if (mode == OpenMode::kCreateNew) {
    return Refuse(Code::kAlreadyExists, "open", path, "exists");
  }
  if (node->is_dir) return Refuse(Code::kIo, "open", path, "is a directory");
  if (mode == OpenMode::kCreateTruncate) {
    node->dirty.Add(0, node->cached.size());
    node->cached.Resize(0);
  }
  const bool writable = mode != OpenMode::kRead && mode != OpenMode::kReadUncached;
  return std::make_unique<MemFile>(state_, path, node, state_->life,
                                   mode == OpenMode::kReadUncached, writable);
}

Result<FileInfo> MemEnv::Stat(const std::string& path) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(path);
  if (node == nullptr) return Refuse(Code::kNotFound, "stat", path, "no such file");
  return FileInfo{node->cached.size(), node->is_dir};
}

Status MemEnv::Rename(const std::string& from, const std::string& to) {
  MutexLock lock(&state_->mutex);
  std::string from_name;
  std::string to_name;
  NodePtr from_dir = state_->FindParent(from, &from_name);
  NodePtr to_dir = state_->FindParent(to, &to_name);
  if (from_dir == nullptr || to_dir == nullptr || !from_dir->now.contains(from_name)) {
    return Refuse(Code::kNotFound, "rename", from + " to " + to, "no such file");
  }
  NodePtr node = from_dir->now[from_name];
  if (auto it = to_dir->now.find(to_name); it != to_dir->now.end()) {
    if (it->second == node) return {};
    if (it->second->is_dir != node->is_dir || !it->second->now.empty()) {
      return Refuse(Code::kAlreadyExists, "rename", from + " to " + to, "target is in the way");
    }
  }
  from_dir->now.erase(from_name);
  to_dir->now[to_name] = node;
  if (from_dir == to_dir) {
    from_dir->pending.push_back({"rename " + from_name + " " + to_name, from_name, to_name, node});
  } else {
    to_dir->pending.push_back({"create " + to_name, "", to_name, node});
    from_dir->pending.push_back({"unlink " + from_name, from_name, "", node});
  }
  return {};
}

Status MemEnv::Unlink(const std::string& path) {
  MutexLock lock(&state_->mutex);
  std::string name;
  NodePtr dir = state_->FindParent(path, &name);
  if (dir == nullptr || !dir->now.contains(name)) {
    return Refuse(Code::kNotFound, "unlink", path, "no such file");
  }
  NodePtr node = dir->now[name];
  if (node->is_dir) return Refuse(Code::kIo, "unlink", path, "is a directory");
  dir->now.erase(name);
  dir->pending.push_back({"unlink " + name, name, "", node});
  return {};
}

Status MemEnv::MakeDir(const std::string& path) {
  MutexLock lock(&state_->mutex);
  auto made = state_->Make("make directory", path, true);
  if (!made) return std::unexpected(made.error());
  return {};
}

Status MemEnv::RemoveDir(const std::string& path) {
  MutexLock lock(&state_->mutex);
  std::string name;
  NodePtr dir = state_->FindParent(path, &name);
  if (dir == nullptr || !dir->now.contains(name)) {
    return Refuse(Code::kNotFound, "remove directory", path, "no such directory");
  }
  NodePtr node = dir->now[name];
  if (!node->is_dir) return Refuse(Code::kIo, "remove directory", path, "is not a directory");
  if (!node->now.empty())
    return Refuse(Code::kAlreadyExists, "remove directory", path, "not empty");
  dir->now.erase(name);
  dir->pending.push_back({"unlink " + name, name, "", node});
  return {};
}

Result<std::vector<std::string>> MemEnv::List(const std::string& dir) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(dir);
  if (node == nullptr || !node->is_dir) {
    return Refuse(Code::kNotFound, "list", dir, "no such directory");
  }
  std::vector<std::string> names;
  for (const auto& [name, child] : node->now) names.push_back(name);
  return names;
}

Status MemEnv::SyncDir(const std::string& dir) {
  MutexLock lock(&state_->mutex);
  NodePtr node = state_->Find(dir);
  if (node == nullptr || !node->is_dir) {
    return Refuse(Code::kNotFound, "sync directory", dir, "no such directory");
  }
  node->durable = node->now;
  node->pending.clear();
  return {};
}

Result<std::unique_ptr<FileLock>> MemEnv::Lock(const std::string& path) {
  MutexLock lock(&state_->mutex);
  if (state_->Find(path) == nullptr) {
    if (auto made = state_->Make("lock", path, false); !made) {
      return std::unexpected(made.error());
    }
  }
  std::string key;
  for (const std::string& part : Split(path)) key += "/" + part;
  if (!state_->locks.insert(key).second) return Refuse(Code::kConflict, "lock", path, "held");
  return std::make_unique<MemLock>(state_, key, state_->life);
}

Result<DiskSpace> MemEnv::Space(const std::string&) {
  MutexLock lock(&state_->mutex);
  const uint64_t used = state_->UsedBytes();
  return DiskSpace{state_->capacity > used ? state_->capacity - used : 0, state_->capacity};
}

}  // namespace arima::env
