// Makes syncs hang: preloaded into a node by tests/test_slow_disk.py, part of no product.
//
// While the file named by the environment variable TEST_HANG_SYNC exists, fsync and fdatasync of
// files of the raft log (paths with "/wal/") wait. Thread rule: any thread.
#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr useconds_t kPollUs = 5000;

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
  while (access(file, F_OK) == 0) usleep(kPollUs);
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
