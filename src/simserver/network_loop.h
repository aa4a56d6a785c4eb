// The parts of the simulated network that nodes hold: the loop, its streams, and streams that
// block. Private to network.cc and network_loop.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "simserver/network.h"

namespace arima::simserver {

// What outlives a loop: whoever still has something for it finds that it is over.
struct LoopState {
  Scheduler* scheduler = nullptr;
  bool over = false;
  bool wake = false;
  std::deque<transport::Loop::Task> tasks;

  void Push(transport::Loop::Task task) {
    if (over) return;
    tasks.push_back(std::move(task));
    scheduler->WakeAll(this);
  }
};

// One end of a connection.
struct Endpoint {
  MachineId machine = 0;
  MachineId peer_machine = 0;
  std::string remote;
  std::weak_ptr<Endpoint> peer;
  std::shared_ptr<LoopState> loop;  // null: used by a thread that waits

  std::string arrived;
  size_t arrived_at = 0;  // of what is not read yet
  bool end_arrived = false;
  int error = 0;
  bool closed = false;

  uint64_t unread = 0;  // bytes sent that the peer has not read
  uint64_t last_arrival_ns = 0;
  bool fin_sent = false;
  std::deque<Network::Chunk> held;
  uint64_t holds = 0;

  std::span<char> into;
  std::move_only_function<void(transport::IoResult)> read_done;
  bool read_queued = false;
  std::move_only_function<void()> writable_done;

  size_t readable() const { return arrived.size() - arrived_at; }
};

// An attempt to connect; whoever is first ends it.
struct Network::Attempt {
  MachineId from = 0;
  std::string address;
  std::shared_ptr<LoopState> loop;
  std::move_only_function<void(std::shared_ptr<Endpoint>, transport::ConnectFailure)> done;
  bool over = false;

  void Finish(Network* network, std::shared_ptr<Endpoint> end, transport::ConnectFailure failure) {
    if (std::exchange(over, true)) {
      if (end != nullptr) network->Close(end);
      return;
    }
    done(std::move(end), std::move(failure));
  }
};

class SimLoop final : public transport::Loop {
 public:
  SimLoop(Network* network, MachineId machine);
  ~SimLoop() override;

  size_t RunOnce(uint64_t max_wait_ns) override;
  void Wake() override;
  void Post(Task task) override { state_->Push(std::move(task)); }
  TimerId After(uint64_t delay_ns, Task task) override;
  void Cancel(TimerId id) override;
  uint64_t NowNs() const override;
  std::unique_ptr<transport::Connecting> Connect(const transport::TcpOptions& options,
                                                 const std::string& address,
                                                 ConnectDone done) override;
  Result<std::unique_ptr<transport::Listening>> Listen(const transport::TcpOptions& options,
                                                       Accepted accepted) override;

 private:
  bool RunNext();

  Network& network_;
  const MachineId machine_;
  const std::shared_ptr<LoopState> state_;
  TimerId last_timer_ = 0;
  std::map<std::pair<uint64_t, TimerId>, Task> timers_;  // by time
  std::map<TimerId, uint64_t> times_;
};

class SimStream final : public transport::Stream {
 public:
  SimStream(Network* network, std::shared_ptr<Endpoint> end)
      : network_(*network), end_(std::move(end)) {}
  ~SimStream() override;
  void Read(std::span<char> into, std::move_only_function<void(transport::IoResult)> done) override;
  transport::IoResult Write(std::span<const iovec> parts) override;
  void AwaitWritable(std::move_only_function<void()> ready) override;
  void ShutdownSend() override;
  std::unique_ptr<ByteStream> Detach(std::shared_ptr<void> counted) override;
  const std::string& remote() const override { return end_->remote; }

 private:
  Network& network_;
  std::shared_ptr<Endpoint> end_;
};

// Reads and writes of a thread that waits for them.
class BlockingStream {
 public:
  explicit BlockingStream(Network* network) : network_(*network) {}
  ~BlockingStream();
  BlockingStream(const BlockingStream&) = delete;
  BlockingStream& operator=(const BlockingStream&) = delete;

  void Use(std::shared_ptr<Endpoint> end) { end_ = std::move(end); }
  Status Read(std::span<char> into, uint64_t timeout_ns);
  Status Write(std::string_view bytes, uint64_t timeout_ns);
  void Cancel();
  bool cancelled() const { return cancelled_; }
  const void* key() const { return this; }

 private:
  Status Await(uint64_t deadline_ns);

  Network& network_;
  std::shared_ptr<Endpoint> end_;
  bool cancelled_ = false;
  bool broken_ = false;
};

class MachineNetwork final : public transport::Network {
 public:
  MachineNetwork(simserver::Network* network, MachineId machine)
      : network_(*network), machine_(machine) {}
  std::unique_ptr<transport::Loop> MakeLoop() override;
  std::unique_ptr<transport::OutgoingStream> MakeStream() override;

 private:
  simserver::Network& network_;
  const MachineId machine_;
};

}  // namespace arima::simserver
