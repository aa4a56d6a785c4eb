// What was done to a folder and is not yet on its disk, as a list of steps that can be taken back.
//
// Rule of durability, as strict as POSIX: a file's content and size are durable once that file was
// synced; a name (made, removed, changed) is once the directory was synced that holds it, or one
// of the two that a rename concerns. Everything else is gone when Drop() is called.
// Thread rule: any thread, but Drop() only while nobody has a file open for writing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace unsynced {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kSectorBytes = 512;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }

 private:
  const int fd_;
};

// The names in an open directory but "." and ".."; 0 or -errno.
int List(int directory, std::vector<std::string>* names);

struct Dropped {
  size_t files = 0;
  size_t names = 0;
};

// Methods return 0 or -errno, as FUSE has it. Paths are relative to the data folder, "." is itself.
class Journal {
 public:
  // `data` is what is shown; `held` keeps what was removed and may have to come back. Both are open
  // directories of one file system, and outlive the journal.
  Journal(int data, int held) : data_(data), held_(held) {}

  // Before and while the content of an open file changes; `fd` is open for reading and writing.
  ssize_t Write(int fd, const char* bytes, size_t size, uint64_t offset);
  int Truncate(int fd, uint64_t size);
  int Allocate(int fd, int mode, uint64_t offset, uint64_t size);

  // A new file, open for reading and writing, or -errno.
  int Create(const std::string& path, int flags, mode_t mode);
  int MakeDirectory(const std::string& path, mode_t mode);
  int Link(const std::string& from, const std::string& to);
  int SymbolicLink(const std::string& target, const std::string& path);
  int Remove(const std::string& path);
  int RemoveDirectory(const std::string& path);
  int Rename(const std::string& from, const std::string& to, bool replace);

  // Both do nothing, and say nothing, while the journal lies.
  void SyncFile(int fd);
  void SyncDirectory(int fd);
  void Lie(bool on);
  // Every sync makes all names durable, as those of ext4 and xfs do, beyond what POSIX asks for.
  void JournalNames(bool on);

  // A disk that is nearly full: names are made durable, so that what was removed gives its room
  // back, as file systems do that are short of space. Done by itself when there is no room at all.
  void MakeRoom();

  // Takes back all that is not durable; with a seed, part of it: any sectors of the files, and the
  // last of the changes to names. A negative errno if the folder cannot be put right.
  int Drop(std::optional<uint64_t> some, Dropped* dropped);

 private:
  // The content that a file has on disk, as far as it differs from what is shown.
  struct File {
    explicit File(int fd) : descriptor(fd) {}
    Descriptor descriptor;
    uint64_t size = 0;
    std::map<uint64_t, std::vector<char>> pages;  // by number
  };
  struct Directory {
    Directory(int fd, ino_t number) : descriptor(fd), inode(number) {}
    bool IsGone() const;  // it has no name any more
    Descriptor descriptor;
    ino_t inode;
  };
  using DirectoryPtr = std::shared_ptr<Directory>;
  struct Place {
    DirectoryPtr directory;
    std::string name;
    int fd() const { return directory->descriptor.get(); }
  };
  enum class Kind { kMade, kRemoved, kRenamed };
  struct Step {
    Kind kind;
    Place from;        // kMade and kRemoved: the name
    Place to;          // kRenamed only
    std::string held;  // what stood at the name before, in held_; empty: nothing
  };

  int Find(const std::string& path, Place* place);
  File* Keep(int fd);
  int KeepPages(File* file, uint64_t begin, uint64_t end);
  std::string NewHeldName() { return std::to_string(++held_count_); }
  int NoteMade(Place place);
  void Settle(const Step& step);
  void SettleAll();
  bool MadeRoom();
  void ForgetUnlinked();
  int TakeBack(const Step& step);
  static int Restore(const File& file, std::mt19937_64* chance);

  const int data_;
  const int held_;
  std::mutex mutex_;
  std::map<ino_t, std::unique_ptr<File>> files_;
  std::map<ino_t, std::weak_ptr<Directory>> directories_;
  std::list<Step> steps_;
  uint64_t held_count_ = 0;
  bool lies_ = false;
  bool names_are_journaled_ = false;
};

}  // namespace unsynced
