// Network: connections between simulated machines, as TCP gives them: bytes in order, with a delay
// per piece, a bounded window, and ends of all kinds. TcpTransport runs on it unchanged, so
// greetings, frames, queues and control calls are those of production.
//
// Each ordered pair of machines is a link of its own. While a link is blocked nothing goes over it;
// what was under way waits, as with retransmission, and after the user time-out the connection is
// lost at both ends. A reset loses a suffix of what was sent that nobody knows.
//
// Thread rule: one thread, inside fibers or outside. Nothing here waits, but for the streams that
// were detached.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "simserver/scheduler.h"
#include "transport/network.h"
#include "transport/tcp_transport.h"

namespace arima::simserver {

using MachineId = uint32_t;

struct NetworkOptions {
  uint64_t delay_ns_min = 50'000;
  uint64_t delay_ns_mean = 200'000;
  uint32_t spike_permille = 0;  // a delay of up to spike_ns_max
  uint64_t spike_ns_max = 300'000'000;
  uint64_t window_bytes = 1 << 20;  // sent and not read yet, per direction
  uint64_t user_timeout_ns = 3'000'000'000;
};

struct Endpoint;
struct LoopState;

class Network {
 public:
  Network(Scheduler* scheduler, uint64_t seed, const NetworkOptions& options);
  ~Network();

  // The machine answers for `address` (host:port) from now on, whoever listens there or not.
  void AddAddress(const std::string& address, MachineId machine);
  // For a process of that machine; outlives none of what it makes.
  std::unique_ptr<transport::Network> PlugIn(MachineId machine);

  // From machine to machine, one way.
  void Block(MachineId from, MachineId to);
  void Unblock(MachineId from, MachineId to);
  void UnblockAll();
  bool blocked(MachineId from, MachineId to) const { return blocked_.contains({from, to}); }
  // Every connection between the two ends, on each side at a moment of its own.
  void Reset(MachineId a, MachineId b);
  // Its process is dead. `silently`: so is the machine, and says nothing of it.
  void Down(MachineId machine, bool silently);
  void Up(MachineId machine);

 private:
  friend struct Endpoint;
  friend class SimLoop;
  friend class SimStream;
  friend class SimConnecting;
  friend class SimListening;
  friend class BlockingStream;
  friend class MachineNetwork;
  friend class DialedStream;

  struct Chunk {
    std::string bytes;
    bool fin = false;
    int error = 0;  // the connection was reset
  };
  struct Listener {
    MachineId machine = 0;
    std::shared_ptr<LoopState> loop;
    transport::Loop::Accepted accepted;
  };
  struct Attempt;
  using Link = std::pair<MachineId, MachineId>;

  uint64_t Delay();
  // The end of `from` in a new connection; the other one goes to the listener.
  std::shared_ptr<Endpoint> MakePair(MachineId from, std::shared_ptr<LoopState> loop,
                                     const Listener& listener, const std::string& to_address,
                                     std::shared_ptr<Endpoint>* accepted);
  void Dial(const std::shared_ptr<Attempt>& attempt);
  void Reach(const std::shared_ptr<Attempt>& attempt, MachineId to);

  size_t Send(const std::shared_ptr<Endpoint>& from, std::string bytes);
  void Launch(const std::shared_ptr<Endpoint>& from, Chunk chunk);
  void Arrive(const std::shared_ptr<Endpoint>& from, Chunk chunk);
  void Deliver(const std::shared_ptr<Endpoint>& from, Chunk chunk);
  void Hold(const std::shared_ptr<Endpoint>& from, Chunk chunk);
  void Release(const std::shared_ptr<Endpoint>& from);
  void BreakLater(const std::shared_ptr<Endpoint>& end, int error, uint64_t delay_ns);
  void Break(const std::shared_ptr<Endpoint>& end, int error);
  void Close(const std::shared_ptr<Endpoint>& end);
  void WakeReader(const std::shared_ptr<Endpoint>& end);
  void WakeWriter(const std::shared_ptr<Endpoint>& end);
  void CompleteRead(const std::shared_ptr<Endpoint>& end);
  // Takes bytes that have arrived.
  size_t Consume(const std::shared_ptr<Endpoint>& end, char* into, size_t size);
  std::vector<std::shared_ptr<Endpoint>> Ends();

  Scheduler& scheduler_;
  SeededRandom random_;
  const NetworkOptions options_;
  std::map<std::string, MachineId> addresses_;
  std::map<std::string, std::shared_ptr<Listener>> listeners_;
  std::set<Link> blocked_;
  std::set<MachineId> silent_;
  std::map<Link, std::vector<std::shared_ptr<Endpoint>>> held_;
  std::vector<std::weak_ptr<Endpoint>> ends_;  // of all connections, in order of making
};

}  // namespace arima::simserver
