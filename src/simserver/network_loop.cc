// Loops, streams and listeners of one machine each.
#include "simserver/network_loop.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "transport/side_stream.h"

namespace arima::simserver {

using transport::ConnectFailure;
using transport::IoResult;

// ---------------------------------------------------------------- loops

SimLoop::SimLoop(Network* network, MachineId machine)
    : network_(*network), machine_(machine), state_(std::make_shared<LoopState>()) {
  state_->scheduler = &network_.scheduler_;
}

SimLoop::~SimLoop() {
  state_->over = true;
  timers_.clear();
  // A task may hold what posts another one when it goes.
  while (!state_->tasks.empty()) state_->tasks.pop_front();
}

void SimLoop::Wake() {
  state_->wake = true;
  state_->scheduler->WakeAll(state_.get());
}

uint64_t SimLoop::NowNs() const { return network_.scheduler_.now_ns(); }

transport::Loop::TimerId SimLoop::After(uint64_t delay_ns, Task task) {
  const TimerId id = ++last_timer_;
  const uint64_t time_ns = NowNs() + std::min<uint64_t>(delay_ns, 1ull << 60);
  timers_.emplace(std::pair(time_ns, id), std::move(task));
  times_.emplace(id, time_ns);
  return id;
}

void SimLoop::Cancel(TimerId id) {
  auto time = times_.extract(id);
  if (!time.empty()) timers_.erase({time.mapped(), id});
}

// False: nothing is ready.
bool SimLoop::RunNext() {
  if (!timers_.empty() && timers_.begin()->first.first <= NowNs()) {
    auto timer = timers_.extract(timers_.begin());
    times_.erase(timer.key().second);
    timer.mapped()();
    return true;
  }
  if (state_->tasks.empty()) return false;
  Task task = std::move(state_->tasks.front());
  state_->tasks.pop_front();
  task();
  return true;
}

size_t SimLoop::RunOnce(uint64_t max_wait_ns) {
  const uint64_t end_ns = NowNs() + std::min<uint64_t>(max_wait_ns, 1ull << 60);
  network_.scheduler_.KillPoint();
  while (true) {
    size_t ran = std::exchange(state_->wake, false) ? 1 : 0;
    while (ran < kCallbacksPerRunMax && RunNext()) ++ran;
    const uint64_t now_ns = NowNs();
    if (ran > 0 || now_ns >= end_ns) return ran;
    uint64_t until_ns = end_ns;
    if (!timers_.empty()) until_ns = std::min(until_ns, timers_.begin()->first.first);
    network_.scheduler_.Park(state_.get(), until_ns - now_ns);
  }
}

// An attempt that gives up when it is destroyed, or when its time is over.
class SimConnecting final : public transport::Connecting {
 public:
  SimConnecting(std::shared_ptr<Network::Attempt> attempt, std::shared_ptr<bool> given_up)
      : attempt_(std::move(attempt)), given_up_(std::move(given_up)) {}
  ~SimConnecting() override {
    *given_up_ = true;
    if (std::exchange(attempt_->over, true) || !attempt_->done) return;
    attempt_->loop->Push([done = std::exchange(attempt_->done, nullptr)] {});
  }

 private:
  std::shared_ptr<Network::Attempt> attempt_;
  std::shared_ptr<bool> given_up_;
};

std::unique_ptr<transport::Connecting> SimLoop::Connect(const transport::TcpOptions& options,
                                                        const std::string& address,
                                                        ConnectDone done) {
  auto attempt = std::make_shared<Network::Attempt>();
  attempt->from = machine_;
  attempt->address = address;
  attempt->loop = state_;
  Network* network = &network_;
  // Whoever gave up meanwhile may be gone when the loop comes to it.
  auto given_up = std::make_shared<bool>(false);
  attempt->done = [network, loop = state_, given_up, finish = std::move(done)](
                      std::shared_ptr<Endpoint> end, ConnectFailure failure) mutable {
    std::unique_ptr<SimStream> stream;
    if (end != nullptr) stream = std::make_unique<SimStream>(network, std::move(end));
    loop->Push([given_up, finish = std::move(finish), stream = std::move(stream),
                failure = std::move(failure)]() mutable {
      if (!*given_up) finish(std::move(stream), std::move(failure));
    });
  };
  network_.scheduler_.After(options.connect_timeout_ms * 1'000'000, [network, attempt] {
    attempt->Finish(network, nullptr,
                    {false, "connect to " + attempt->address + ": no answer in time"});
  });
  network_.Dial(attempt);
  return std::make_unique<SimConnecting>(std::move(attempt), std::move(given_up));
}

class SimListening final : public transport::Listening {
 public:
  SimListening(Network* network, std::string address, uint16_t port,
               std::shared_ptr<Network::Listener> listener)
      : network_(*network),
        address_(std::move(address)),
        port_(port),
        listener_(std::move(listener)) {}
  ~SimListening() override {
    auto place = network_.listeners_.find(address_);
    if (place != network_.listeners_.end() && place->second == listener_) {
      network_.listeners_.erase(place);
    }
    listener_->accepted = nullptr;
  }
  uint16_t port() const override { return port_; }
  const std::string& narrowed() const override { return narrowed_; }

 private:
  Network& network_;
  const std::string address_;
  const uint16_t port_;
  const std::string narrowed_;
  std::shared_ptr<Network::Listener> listener_;
};

Result<std::unique_ptr<transport::Listening>> SimLoop::Listen(const transport::TcpOptions& options,
                                                              Accepted accepted) {
  const std::string address = options.listen_host + ":" + std::to_string(options.listen_port);
  if (network_.listeners_.contains(address)) {
    return Fail(Code::kUnavailable, "listen on " + address + ": address in use");
  }
  auto listener = std::make_shared<Network::Listener>();
  listener->machine = machine_;
  listener->loop = state_;
  listener->accepted = std::move(accepted);
  network_.listeners_[address] = listener;
  return std::make_unique<SimListening>(&network_, address, options.listen_port,
                                        std::move(listener));
}

// ---------------------------------------------------------------- streams

SimStream::~SimStream() {
  if (end_ != nullptr) network_.Close(end_);
}

void SimStream::Read(std::span<char> into, std::move_only_function<void(IoResult)> done) {
  if (end_->closed) return;
  end_->into = into;
  end_->read_done = std::move(done);
  network_.WakeReader(end_);
}

IoResult SimStream::Write(std::span<const iovec> parts) {
  if (end_->error != 0) return {0, false, end_->error};
  if (end_->closed || end_->fin_sent) return {0, false, EPIPE};
  std::string bytes;
  for (const iovec& part : parts)
    bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
  const size_t sent = network_.Send(end_, std::move(bytes));
  return {sent, sent == 0, 0};
}

void SimStream::AwaitWritable(std::move_only_function<void()> ready) {
  if (end_->closed) return;
  end_->writable_done = std::move(ready);
  if (end_->error != 0) network_.WakeWriter(end_);
}

void SimStream::ShutdownSend() {
  if (end_->closed || end_->error != 0 || std::exchange(end_->fin_sent, true)) return;
  network_.Launch(end_, {{}, true, 0});
}

BlockingStream::~BlockingStream() {
  if (end_ != nullptr) network_.Close(end_);
}

void BlockingStream::Cancel() {
  cancelled_ = true;
  network_.scheduler_.WakeAll(this);
  if (end_ != nullptr) network_.scheduler_.WakeAll(end_.get());
}

Status BlockingStream::Await(uint64_t deadline_ns) {
  const uint64_t now_ns = network_.scheduler_.now_ns();
  std::string why;
  if (broken_ || end_ == nullptr) {
    why = "not connected";
  } else if (cancelled_) {
    why = "cancelled";
  } else if (end_->error != 0 || end_->closed) {
    why = "connection lost";
  } else if (now_ns >= deadline_ns) {
    why = "no progress in time";
  } else {
    network_.scheduler_.Park(end_.get(), deadline_ns - now_ns);
    return {};
  }
  broken_ = true;
  return Fail(Code::kUnavailable, "stream: " + why);
}

Status BlockingStream::Read(std::span<char> into, uint64_t timeout_ns) {
  const uint64_t deadline_ns = network_.scheduler_.now_ns() + timeout_ns;
  network_.scheduler_.KillPoint();
  while (!into.empty()) {
    const bool usable = !broken_ && !cancelled_ && end_ != nullptr && end_->error == 0;
    const size_t got = usable ? network_.Consume(end_, into.data(), into.size()) : 0;
    into = into.subspan(got);
    if (got > 0) continue;
    if (usable && end_->end_arrived) {
      broken_ = true;
      return Fail(Code::kUnavailable, "stream: closed by the other side");
    }
    if (Status ready = Await(deadline_ns); !ready) return ready;
  }
  return {};
}

Status BlockingStream::Write(std::string_view bytes, uint64_t timeout_ns) {
  const uint64_t deadline_ns = network_.scheduler_.now_ns() + timeout_ns;
  network_.scheduler_.KillPoint();
  while (!bytes.empty()) {
    const bool usable =
        !broken_ && !cancelled_ && end_ != nullptr && end_->error == 0 && !end_->closed;
    const size_t sent = usable ? network_.Send(end_, std::string(bytes)) : 0;
    bytes.remove_prefix(sent);
    if (sent > 0) continue;
    if (Status ready = Await(deadline_ns); !ready) return ready;
  }
  return {};
}

namespace {

constexpr uint64_t kCallNs = 30'000'000'000;  // as SideStreamOptions
constexpr uint64_t kGreetingNs = 2'000'000'000;

class AcceptedStream final : public ByteStream {
 public:
  AcceptedStream(Network* network, std::shared_ptr<Endpoint> end, std::shared_ptr<void> counted)
      : stream_(network), counted_(std::move(counted)) {
    stream_.Use(std::move(end));
  }
  Status Read(std::span<char> into) override { return stream_.Read(into, kCallNs); }
  Status Write(std::string_view bytes) override { return stream_.Write(bytes, kCallNs); }
  void Cancel() override { stream_.Cancel(); }

 private:
  BlockingStream stream_;
  const std::shared_ptr<void> counted_;
};

}  // namespace

std::unique_ptr<ByteStream> SimStream::Detach(std::shared_ptr<void> counted) {
  if (end_->error != 0 || end_->closed) return nullptr;
  end_->loop = nullptr;
  return std::make_unique<AcceptedStream>(&network_, std::exchange(end_, nullptr),
                                          std::move(counted));
}

class DialedStream final : public transport::OutgoingStream {
 public:
  DialedStream(Network* network, MachineId machine)
      : network_(*network), machine_(machine), stream_(network) {}

  Status Dial(const std::string& address, const transport::Hello& hello,
              const Uuid& incarnation) override {
    Status done = Connect(address);
    if (done) done = stream_.Write(transport::StreamGreeting(hello), kGreetingNs);
    if (!done) return Fail(Code::kPeerUnreachable, done.error().message);
    return transport::TakeStreamAnswer(hello, incarnation, [this](std::span<char> into) {
      return stream_.Read(into, kGreetingNs);
    });
  }
  Status Read(std::span<char> into) override { return stream_.Read(into, kCallNs); }
  Status Write(std::string_view bytes) override { return stream_.Write(bytes, kCallNs); }
  void Cancel() override { stream_.Cancel(); }

 private:
  struct Outcome {
    bool over = false;
    std::shared_ptr<Endpoint> end;
    std::string failure;
  };

  // However the wait for it ends, by the death of the process too: nobody waits for the attempt any
  // more, and a connection that nobody has taken is closed.
  struct Waiting {
    Network& network;
    std::shared_ptr<Network::Attempt> attempt = std::make_shared<Network::Attempt>();
    std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();

    explicit Waiting(Network* on) : network(*on) {}
    ~Waiting() {
      attempt->over = true;
      if (outcome->end != nullptr) network.Close(outcome->end);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
  };

  Status Connect(const std::string& address) {
    const Waiting waiting(&network_);
    const std::shared_ptr<Outcome>& outcome = waiting.outcome;
    const std::shared_ptr<Network::Attempt>& attempt = waiting.attempt;
    attempt->from = machine_;
    attempt->address = address;
    attempt->done = [scheduler = &network_.scheduler_, key = stream_.key(), outcome](
                        std::shared_ptr<Endpoint> end, const ConnectFailure& failure) {
      *outcome = {true, std::move(end), failure.text};
      scheduler->WakeAll(key);
    };
    network_.Dial(attempt);
    const uint64_t end_ns = network_.scheduler_.now_ns() + kGreetingNs;
    while (!outcome->over && !stream_.cancelled()) {
      const uint64_t now_ns = network_.scheduler_.now_ns();
      if (now_ns >= end_ns) break;
      network_.scheduler_.Park(stream_.key(), end_ns - now_ns);
    }
    if (outcome->end != nullptr) {
      stream_.Use(std::exchange(outcome->end, nullptr));
      return {};
    }
    return Fail(Code::kPeerUnreachable, outcome->failure.empty()
                                            ? "stream to " + address + ": no answer"
                                            : outcome->failure);
  }

  Network& network_;
  const MachineId machine_;
  BlockingStream stream_;
};

std::unique_ptr<transport::Loop> MachineNetwork::MakeLoop() {
  return std::make_unique<SimLoop>(&network_, machine_);
}

std::unique_ptr<transport::OutgoingStream> MachineNetwork::MakeStream() {
  return std::make_unique<DialedStream>(&network_, machine_);
}

}  // namespace arima::simserver
