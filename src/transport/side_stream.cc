// The socket never blocks; waiting is done by poll on it and on an eventfd, so that Cancel works in
// every phase and closes nothing under a call.
#include "transport/side_stream.h"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "base/hex.h"
#include "base/mutex.h"
#include "transport/asio_stream.h"
#include "transport/frame.h"

namespace arima::transport {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr const char* kCancelled = "cancelled";

uint64_t NowNs() {
  auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(since).count());
}

std::string Describe(int error) { return std::generic_category().message(error); }

bool SplitAddress(const std::string& address, std::string* host, std::string* port) {
  size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) return false;
  *host = address.substr(0, colon);
  *port = address.substr(colon + 1);
  if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
    *host = host->substr(1, host->size() - 2);
  }
  return port->size() <= 5 && port->find_first_not_of("0123456789") == std::string::npos;
}

// Lookups that have not returned, whether or not somebody still waits for them.
constexpr int kLookupsMax = 8;
std::atomic<int> lookups_running{0};

int SystemLookup(const std::string& host, const std::string& port, int flags, addrinfo** found) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  return getaddrinfo(host.c_str(), port.c_str(), &hints, found);
}

Code CodeOf(RefuseReason reason) {
  bool later = reason == RefuseReason::kBusy || reason == RefuseReason::kNotReady;
  return later ? Code::kOverloaded : Code::kUnavailable;
}

}  // namespace

SideStream::SideStream(const SideStreamOptions& options) : SideStream(-1, nullptr, options) {}

SideStream::SideStream(int fd, std::shared_ptr<void> counted, const SideStreamOptions& options)
    : options_(options),
      counted_(std::move(counted)),
      fd_(fd),
      cancel_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (cancel_fd_ < 0) broken_ = "no file descriptor: " + Describe(errno);
}

SideStream::~SideStream() {
  CloseSocket();
  if (cancel_fd_ >= 0) close(cancel_fd_);
}

void SideStream::CloseSocket() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void SideStream::Cancel() {
  if (cancel_fd_ >= 0) eventfd_write(cancel_fd_, 1);
}

Status SideStream::Broken(const std::string& why) {
  if (broken_.empty()) broken_ = why;
  CloseSocket();
  return Fail(Code::kUnavailable, "stream: " + broken_);
}

Status SideStream::AwaitFd(int fd, short events, uint64_t deadline_ns) {
  while (true) {
    uint64_t now_ns = NowNs();
    if (now_ns >= deadline_ns) return Broken("no progress in time");
    pollfd waits[2] = {{cancel_fd_, POLLIN, 0}, {fd, events, 0}};
    auto timeout_ms = static_cast<int>((deadline_ns - now_ns) / kNsPerMs + 1);
    int ready = poll(waits, 2, timeout_ms);
    if (ready < 0 && errno != EINTR) return Broken("poll: " + Describe(errno));
    if (ready <= 0) continue;
    if (waits[0].revents != 0) return Broken(kCancelled);
    return {};  // ready, or broken: the call that follows tells
  }
}

Status SideStream::ReadBy(std::span<char> into, uint64_t deadline_ns) {
  if (!broken_.empty() || fd_ < 0) return Broken("not connected");
  while (!into.empty()) {
    if (Status ready = Await(POLLIN, deadline_ns); !ready) return ready;
    ssize_t got = recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
    if (got == 0) return Broken("closed by the other side");
    if (got < 0 && errno != EAGAIN && errno != EINTR) return Broken("read: " + Describe(errno));
    if (got > 0) into = into.subspan(static_cast<size_t>(got));
  }
  return {};
}

Status SideStream::WriteBy(std::string_view bytes, uint64_t deadline_ns) {
  if (!broken_.empty() || fd_ < 0) return Broken("not connected");
  while (!bytes.empty()) {
    if (Status ready = Await(POLLOUT, deadline_ns); !ready) return ready;
    ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return Broken("write: " + Describe(errno));
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Status SideStream::Read(std::span<char> into) {
  return ReadBy(into, NowNs() + options_.call_timeout_ms * kNsPerMs);
}

Status SideStream::Write(std::string_view bytes) {
  return WriteBy(bytes, NowNs() + options_.call_timeout_ms * kNsPerMs);
}

Status SideStream::Dial(const std::string& address, const Hello& hello, const Uuid& incarnation) {
  std::string host;
  std::string port;
  if (!SplitAddress(address, &host, &port)) {
    return Fail(Code::kInvalidArgument, "stream to \"" + address + "\": not host:port");
  }
  Status done = ConnectTo(host, port);
  if (done) done = Greet(hello, incarnation);
  if (done) return {};
  CloseSocket();
  if (broken_.empty()) broken_ = done.error().message;
  return Fail(done.error().code, "stream to " + address + ": " + done.error().message);
}

void SideStream::FreeAddresses::operator()(addrinfo* list) const { freeaddrinfo(list); }

// Shared by who waits for it and the thread that does it; the last one frees it.
struct SideStream::Lookup {
  Lookup() : done_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Lookup() {
    if (done_fd >= 0) close(done_fd);
  }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  const int done_fd;  // readable once the rest is there
  Mutex mutex;
  int error GUARDED_BY(mutex) = 0;
  Addresses found GUARDED_BY(mutex);
};

Result<SideStream::Addresses> SideStream::LookUp(const std::string& host, const std::string& port) {
  addrinfo* found = nullptr;
  // An address needs no one to be asked.
  if (SystemLookup(host, port, AI_NUMERICHOST, &found) == 0) return Addresses(found);
  auto lookup = std::make_shared<Lookup>();
  if (lookup->done_fd < 0) {
    return Fail(Code::kPeerUnreachable, "name lookup: no file descriptor");
  }
  if (lookups_running.fetch_add(1) >= kLookupsMax) {
    --lookups_running;
    return Fail(Code::kPeerUnreachable,
                "name lookup: " + std::to_string(kLookupsMax) +
                    " earlier ones have not come back; see to the resolver of this machine");
  }
  std::thread([lookup, host, port, find = options_.lookup] {
    addrinfo* list = nullptr;
    const int error = find ? find(host, port, &list) : SystemLookup(host, port, /*flags=*/0, &list);
    {
      MutexLock lock(&lookup->mutex);
      lookup->error = error;
      lookup->found.reset(list);
    }
    --lookups_running;
    eventfd_write(lookup->done_fd, 1);
  }).detach();
  const uint64_t deadline_ns = NowNs() + options_.lookup_timeout_ms * kNsPerMs;
  if (Status done = AwaitFd(lookup->done_fd, POLLIN, deadline_ns); !done) {
    if (broken_ == kCancelled) return std::unexpected(done.error());
    return Fail(Code::kPeerUnreachable, "name lookup: " + broken_);
  }
  MutexLock lock(&lookup->mutex);
  if (lookup->error != 0) {
    return Fail(Code::kPeerUnreachable, std::string("name lookup: ") + gai_strerror(lookup->error));
  }
  return std::move(lookup->found);
}

Status SideStream::ConnectTo(const std::string& host, const std::string& port) {
  auto addresses = LookUp(host, port);
  if (!addresses) return std::unexpected(addresses.error());
  std::string why = "no address";
  for (const addrinfo* at = addresses->get(); at != nullptr; at = at->ai_next) {
    CloseSocket();
    fd_ = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
      why = Describe(errno);
      continue;
    }
    ConfigureSocket(fd_, TcpOptions());
    int error = connect(fd_, at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      Status ready = Await(POLLOUT, NowNs() + options_.connect_timeout_ms * kNsPerMs);
      if (!ready && broken_ == kCancelled) return ready;
      if (!ready) {  // the next address may be better
        why = std::exchange(broken_, {});
        continue;
      }
      socklen_t size = sizeof error;
      getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == 0) return {};
    why = Describe(error);
  }
  return Fail(Code::kPeerUnreachable, "connect: " + why);
}

Status SideStream::Greet(const Hello& hello, const Uuid& incarnation) {
  uint64_t deadline_ns = NowNs() + options_.greeting_timeout_ms * kNsPerMs;
  if (Status sent = WriteBy(StreamGreeting(hello), deadline_ns); !sent) return sent;
  return TakeStreamAnswer(hello, incarnation,
                          [&](std::span<char> into) { return ReadBy(into, deadline_ns); });
}

std::string StreamGreeting(const Hello& hello) {
  OutFrame frame = MakeFrame(FrameType::kHello, EncodeHello(hello));
  std::string bytes = MakePreamble(Purpose::kStream);
  bytes.append(frame.header.data(), frame.header.size()).append(frame.meta);
  return bytes;
}

Status TakeStreamAnswer(const Hello& hello, const Uuid& incarnation,
                        const std::function<Status(std::span<char> into)>& read) {
  FrameReader reader(/*preamble=*/false);
  reader.Allow({FrameType::kHelloOk, FrameType::kRefuse});
  Result<std::optional<Frame>> answer = std::nullopt;
  for (size_t wanted = kFrameHeaderBytes; answer && !*answer; wanted = reader.Missing()) {
    if (Status got = read(reader.Space().first(wanted)); !got) {
      return Fail(Code::kPeerUnreachable, "no answer to the greeting: " + got.error().message);
    }
    reader.Filled(wanted);
    answer = reader.Next();
  }
  if (!answer) return Fail(Code::kPeerUnreachable, "bad answer: " + answer.error().message);
  if ((*answer)->type == FrameType::kRefuse) {
    Result<Refuse> refuse = DecodeRefuse((*answer)->meta);
    if (!refuse) return Fail(Code::kPeerUnreachable, "bad answer: " + refuse.error().message);
    return Fail(
        CodeOf(refuse->reason),
        "refused: " + std::string(RefuseReasonName(refuse->reason)) + " (" + refuse->text + ")");
  }
  Result<HelloOk> accepted = DecodeHelloOk((*answer)->meta);
  if (!accepted) return Fail(Code::kPeerUnreachable, "bad answer: " + accepted.error().message);
  if (accepted->member != hello.to) {
    return Fail(Code::kConflict, "member " + std::to_string(accepted->member.value) + " answers");
  }
  if (!incarnation.IsZero() && accepted->incarnation != incarnation) {
    return Fail(Code::kConflict, "another data directory answers: " + ToHex(accepted->incarnation));
  }
  if (accepted->protocol < hello.protocol_min || accepted->protocol > hello.protocol_max) {
    return Fail(Code::kUnavailable, "protocol " + std::to_string(accepted->protocol));
  }
  return {};
}

}  // namespace arima::transport
