// Side streams: connections between members that carry long transfers beside the messages, for
// threads that may block. Wire: transport/PROTOCOL.md section 7.
//
// The accepting side gets its stream from TransportHandler::OnStream; the connecting side makes a
// SideStream, tells whoever may have to end it where it is, and dials. Plain TCP today; TLS goes
// into side_stream.cc, through which all its bytes pass.
//
// Thread rule: that of ByteStream; Dial counts as a read. Units: milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/random.h"
#include "transport/hello.h"
#include "transport/network.h"

struct addrinfo;  // NOLINT(readability-identifier-naming): of <netdb.h>

namespace arima::transport {

// As getaddrinfo: 0 and the addresses, which freeaddrinfo is given, or one of its errors. It may
// block for as long as it likes and is called on a thread of its own that may outlive the stream.
using LookupFn =
    std::function<int(const std::string& host, const std::string& port, addrinfo** found)>;

struct SideStreamOptions {
  uint64_t lookup_timeout_ms = 10'000;  // for the addresses of a name
  uint64_t connect_timeout_ms = 2000;   // per address tried
  uint64_t greeting_timeout_ms = 2000;  // for the answer to the greeting
  uint64_t call_timeout_ms = 30'000;    // for one Read or Write
  LookupFn lookup = nullptr;            // null: the system's
};

class SideStream final : public OutgoingStream {
 public:
  explicit SideStream(const SideStreamOptions& options = {});
  // Takes over `fd`, a connected socket that was greeted. `counted` lives as long as the stream.
  SideStream(int fd, std::shared_ptr<void> counted, const SideStreamOptions& options = {});
  ~SideStream() override;
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  // Each address that a name has is tried. A name is looked up by the system, which nobody can
  // interrupt: on a thread of its own, left behind when time is over or the stream is cancelled. At
  // most 8 of them live at a time; one more is refused.
  Status Dial(const std::string& address, const Hello& hello, const Uuid& incarnation) override;

  Status Read(std::span<char> into) override;
  Status Write(std::string_view bytes) override;
  void Cancel() override;

 private:
  struct Lookup;
  struct FreeAddresses {
    void operator()(addrinfo* list) const;
  };
  using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;
  Result<Addresses> LookUp(const std::string& host, const std::string& port);
  Status ConnectTo(const std::string& host, const std::string& port);
  Status Greet(const Hello& hello, const Uuid& incarnation);
  Status ReadBy(std::span<char> into, uint64_t deadline_ns);
  Status WriteBy(std::string_view bytes, uint64_t deadline_ns);
  // Waits for `events` of the socket.
  Status Await(short events, uint64_t deadline_ns) { return AwaitFd(fd_, events, deadline_ns); }
  Status AwaitFd(int fd, short events, uint64_t deadline_ns);
  Status Broken(const std::string& why);
  void CloseSocket();

  const SideStreamOptions options_;
  const std::shared_ptr<void> counted_;
  int fd_ = -1;
  int cancel_fd_ = -1;  // readable for ever once cancelled
  std::string broken_;  // why, after an error
};

// What Dial sends, and how it judges what comes back; `read` fills a span, or fails. What follows
// the answer belongs to the user of the stream and is not touched.
std::string StreamGreeting(const Hello& hello);
Status TakeStreamAnswer(const Hello& hello, const Uuid& incarnation,
                        const std::function<Status(std::span<char> into)>& read);

}  // namespace arima::transport
