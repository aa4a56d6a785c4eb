// Makes syncs hang: preloaded into a node by tests/test_slow_disk.py, part of no product.
//
// While somebody holds the lock (flock) of the file named by the environment variable
// TEST_HANG_SYNC, fsync and fdatasync of files of the raft log (paths with "/wal/") wait for it.
// Thread rule: any thread.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool IsLogFile(int fd) {
  std::array<char, 64> link{};
  std::array<char, 4096> path{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
  return readlink(link.data(), path.data(), path.size() - 1) > 0 &&
         std::strstr(path.data(), "/wal/") != nullptr;
}

void WaitWhileTold(int fd) {
  const char* file = std::getenv("TEST_HANG_SYNC");
  if (file == nullptr || !IsLogFile(fd)) return;
  const int lock = open(file, O_RDONLY | O_CLOEXEC);
  if (lock < 0) return;
  while (flock(lock, LOCK_SH) != 0 && errno == EINTR) {
  }
  close(lock);
}

int Real(const char* name, int fd) {
  using Sync = int (*)(int);
  const auto sync = reinterpret_cast<Sync>(dlsym(RTLD_NEXT, name));
  return sync(fd);
}

}  // namespace

extern "C" int fsync(int fd) {
  WaitWhileTold(fd);
  return Real("fsync", fd);
}

extern "C" int fdatasync(int fd) {
  WaitWhileTold(fd);
  return Real("fdatasync", fd);
}
