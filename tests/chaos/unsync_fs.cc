// A pass-through file system that forgets what was not synced: for tests, part of no product.
//
//   unsync_fs FOLDER MOUNT CONTROL
//
// Shows FOLDER/data at MOUNT. The socket CONTROL takes one line per connection and answers with
// one, "ok ..." or "error ...":
//   drop              power loss: all that is not durable (unsynced.h) is gone
//   drop-some SEED    power loss of a real disk: part of it survived
//   lie on, lie off   syncs are answered, and nothing becomes durable by them
//   journal on, off   any sync makes all names durable, as on ext4 and xfs
// Ends on SIGTERM, and takes the mount away then. Thread rule: see unsynced.h.
#define FUSE_USE_VERSION 312

#include <fcntl.h>
#include <fuse.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "unsynced.h"

namespace {

using unsynced::Dropped;
using unsynced::Journal;

constexpr uint64_t kShortOfSpace = 32 << 20;

int data_folder = -1;
std::unique_ptr<Journal> journal;

std::string Relative(const char* path) { return path[1] == 0 ? "." : path + 1; }

int Result(int done) { return done < 0 ? -errno : 0; }

int Fd(const fuse_file_info* info) { return static_cast<int>(info->fh); }

// The offset comes from the kernel, the content of old bytes is needed, and the folder may lie
// where O_DIRECT is not known.
int FlagsBelow(int flags) {
  flags &= ~(O_APPEND | O_DIRECT | O_TRUNC | O_EXCL | O_CREAT);
  if ((flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR;
  return flags | O_CLOEXEC;
}

void* Init(fuse_conn_info* connection, fuse_config* config) {
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);
  config->use_ino = 1;
  config->hard_remove = 1;
  config->nullpath_ok = 1;
  // Names and sizes change behind the kernel's back when they are dropped.
  config->entry_timeout = 0;
  config->negative_timeout = 0;
  config->attr_timeout = 0;
  return nullptr;
}

int GetAttributes(const char* path, struct stat* attributes, fuse_file_info* info) {
  if (info != nullptr) return Result(fstat(Fd(info), attributes));
  return Result(fstatat(data_folder, Relative(path).c_str(), attributes, AT_SYMLINK_NOFOLLOW));
}

int ReadLink(const char* path, char* buffer, size_t size) {
  const ssize_t got = readlinkat(data_folder, Relative(path).c_str(), buffer, size - 1);
  if (got < 0) return -errno;
  buffer[got] = 0;
  return 0;
}

int MakeDirectory(const char* path, mode_t mode) {
  return journal->MakeDirectory(Relative(path), mode);
}

int Remove(const char* path) { return journal->Remove(Relative(path)); }

int RemoveDirectory(const char* path) { return journal->RemoveDirectory(Relative(path)); }

int SymbolicLink(const char* target, const char* path) {
  return journal->SymbolicLink(target, Relative(path));
}

int Rename(const char* from, const char* to, unsigned flags) {
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE)) != 0) return -EINVAL;
  return journal->Rename(Relative(from), Relative(to), flags == 0);
}

int Link(const char* from, const char* to) { return journal->Link(Relative(from), Relative(to)); }

int ChangeMode(const char* path, mode_t mode, fuse_file_info* info) {
  if (info != nullptr) return Result(fchmod(Fd(info), mode));
  return Result(fchmodat(data_folder, Relative(path).c_str(), mode, 0));
}

int ChangeOwner(const char* path, uid_t user, gid_t group, fuse_file_info* info) {
  if (info != nullptr) return Result(fchown(Fd(info), user, group));
  return Result(fchownat(data_folder, Relative(path).c_str(), user, group, AT_SYMLINK_NOFOLLOW));
}

int SetTimes(const char* path, const timespec times[2], fuse_file_info* info) {
  if (info != nullptr) return Result(futimens(Fd(info), times));
  return Result(utimensat(data_folder, Relative(path).c_str(), times, AT_SYMLINK_NOFOLLOW));
}

int Truncate(const char* path, off_t size, fuse_file_info* info) {
  if (info != nullptr) return journal->Truncate(Fd(info), static_cast<uint64_t>(size));
  const unsynced::Descriptor file(openat(data_folder, Relative(path).c_str(), O_RDWR | O_CLOEXEC));
  if (file.get() < 0) return -errno;
  return journal->Truncate(file.get(), static_cast<uint64_t>(size));
}

int Open(const char* path, fuse_file_info* info) {
  const int fd = openat(data_folder, Relative(path).c_str(), FlagsBelow(info->flags));
  if (fd < 0) return -errno;
  info->fh = static_cast<uint64_t>(fd);
  return 0;
}

int Create(const char* path, mode_t mode, fuse_file_info* info) {
  const int fd = journal->Create(Relative(path), FlagsBelow(info->flags), mode);
  if (fd < 0) return fd;
  info->fh = static_cast<uint64_t>(fd);
  return 0;
}

int Read(const char*, char* buffer, size_t size, off_t offset, fuse_file_info* info) {
  const ssize_t got = pread(Fd(info), buffer, size, offset);
  return got < 0 ? -errno : static_cast<int>(got);
}

int Write(const char*, const char* bytes, size_t size, off_t offset, fuse_file_info* info) {
  const ssize_t wrote = journal->Write(Fd(info), bytes, size, static_cast<uint64_t>(offset));
  if (wrote >= 0 && (info->flags & O_DSYNC) != 0) journal->SyncFile(Fd(info));
  return static_cast<int>(wrote);
}

int Allocate(const char*, int mode, off_t offset, off_t size, fuse_file_info* info) {
  return journal->Allocate(Fd(info), mode, static_cast<uint64_t>(offset),
                           static_cast<uint64_t>(size));
}

int Flush(const char*, fuse_file_info*) { return 0; }

int Release(const char*, fuse_file_info* info) { return Result(close(Fd(info))); }

int SyncFile(const char*, int, fuse_file_info* info) {
  journal->SyncFile(Fd(info));
  return 0;
}

int OpenDirectory(const char* path, fuse_file_info* info) {
  const int fd = openat(data_folder, Relative(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  info->fh = static_cast<uint64_t>(fd);
  return 0;
}

int SyncDirectory(const char*, int, fuse_file_info* info) {
  journal->SyncDirectory(Fd(info));
  return 0;
}

int ReadDirectory(const char*, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info* info,
                  fuse_readdir_flags) {
  std::vector<std::string> names;
  const int error = unsynced::List(Fd(info), &names);
  if (error != 0) return error;
  for (const std::string& name : names) {
    if (fill(buffer, name.c_str(), nullptr, 0, fuse_fill_dir_flags{}) != 0) return -ENOMEM;
  }
  return 0;
}

int Space(const char*, struct statvfs* space) {
  if (fstatvfs(data_folder, space) != 0) return -errno;
  if (space->f_bavail * space->f_frsize >= kShortOfSpace) return 0;
  journal->MakeRoom();
  return Result(fstatvfs(data_folder, space));
}

fuse_operations Operations() {
  fuse_operations operations{};
  operations.init = Init;
  operations.getattr = GetAttributes;
  operations.readlink = ReadLink;
  operations.mkdir = MakeDirectory;
  operations.unlink = Remove;
  operations.rmdir = RemoveDirectory;
  operations.symlink = SymbolicLink;
  operations.rename = Rename;
  operations.link = Link;
  operations.chmod = ChangeMode;
  operations.chown = ChangeOwner;
  operations.utimens = SetTimes;
  operations.truncate = Truncate;
  operations.open = Open;
  operations.create = Create;
  operations.read = Read;
  operations.write = Write;
  operations.fallocate = Allocate;
  operations.flush = Flush;
  operations.release = Release;
  operations.fsync = SyncFile;
  operations.opendir = OpenDirectory;
  operations.readdir = ReadDirectory;
  operations.releasedir = Release;
  operations.fsyncdir = SyncDirectory;
  operations.statfs = Space;
  return operations;
}

// ---- control

std::string Drop(std::optional<uint64_t> some) {
  Dropped dropped;
  const int error = journal->Drop(some, &dropped);
  if (error != 0) return std::string("error taking back: ") + std::strerror(-error);
  return "ok " + std::to_string(dropped.files) + " files, " + std::to_string(dropped.names) +
         " names";
}

std::string Obey(const std::string& command) {
  constexpr std::string_view kSome = "drop-some ";
  if (command == "drop") return Drop(std::nullopt);
  if (command.starts_with(kSome)) {
    return Drop(std::strtoull(command.c_str() + kSome.size(), nullptr, 10));
  }
  if (command == "lie on" || command == "lie off") {
    journal->Lie(command == "lie on");
    return "ok";
  }
  if (command == "journal on" || command == "journal off") {
    journal->JournalNames(command == "journal on");
    return "ok";
  }
  return "error no such command: " + command;
}

// One line in, one line out; a caller that says nothing whole is hung up on.
void Serve(int listener) {
  while (true) {
    const unsynced::Descriptor caller(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (caller.get() < 0) continue;
    std::string line;
    char byte = 0;
    while (line.size() < 256 && read(caller.get(), &byte, 1) == 1 && byte != '\n') {
      line.push_back(byte);
    }
    if (byte != '\n') continue;
    const std::string answer = Obey(line) + "\n";
    if (send(caller.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
      std::perror("unsync_fs: answer on the control socket");
    }
  }
}

int Listen(const char* path) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::strcpy(address.sun_path, path);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 8) != 0) {
    return -1;
  }
  return listener;
}

int OpenFolder(const std::string& path) {
  mkdir(path.c_str(), 0750);
  return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int Fail(const char* what, const char* on) {
  std::fprintf(stderr, "unsync_fs: %s %s: %s\n", what, on, std::strerror(errno));
  return 1;
}

int Run(char** arguments) {
  const std::string folder = arguments[1];
  data_folder = OpenFolder(folder + "/data");
  const int held = OpenFolder(folder + "/held");
  if (data_folder < 0 || held < 0) return Fail("open the folders data and held of", arguments[1]);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  journal = std::make_unique<Journal>(data_folder, held);
  const fuse_operations operations = Operations();
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  fuse* system = fuse_new(&args, &operations, sizeof(operations), nullptr);
  if (system == nullptr || fuse_mount(system, arguments[2]) != 0) {
    return Fail("mount a FUSE file system at", arguments[2]);
  }
  fuse_set_signal_handlers(fuse_get_session(system));
  const int listener = Listen(arguments[3]);
  if (listener < 0) {
    fuse_unmount(system);
    return Fail("listen at", arguments[3]);
  }
  std::thread(Serve, listener).detach();
  fuse_loop_config* loop = fuse_loop_cfg_create();
  const int ended = fuse_loop_mt(system, loop);
  fuse_unmount(system);
  // The control thread may be in the middle of anything; nothing of it is needed any more.
  std::_Exit(ended < 0 ? 1 : 0);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: unsync_fs FOLDER MOUNT CONTROL\n");
    return 2;
  }
  umask(0);
  return Run(arguments);
}
