#include "simserver/network.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "sim/swarm.h"
#include "simserver/network_loop.h"

namespace arima::simserver {

using transport::IoResult;

namespace {

// Between the two ends of a connection learning that it is lost.
constexpr uint64_t kKeepaliveNs = 2'000'000'000;

}  // namespace

Network::Network(Scheduler* scheduler, uint64_t seed, const NetworkOptions& options)
    : scheduler_(*scheduler), random_(seed), options_(options) {}

Network::~Network() = default;

void Network::AddAddress(const std::string& address, MachineId machine) {
  addresses_[address] = machine;
}

std::unique_ptr<transport::Network> Network::PlugIn(MachineId machine) {
  return std::make_unique<MachineNetwork>(this, machine);
}

uint64_t Network::Delay() {
  if (options_.spike_permille > 0 && random_.Below(1000) < options_.spike_permille) {
    return random_.Below(options_.spike_ns_max + 1);
  }
  return options_.delay_ns_min + sim::DrawDelay(&random_, options_.delay_ns_mean);
}

// ---------------------------------------------------------------- faults

void Network::Block(MachineId from, MachineId to) { blocked_.insert({from, to}); }

void Network::Unblock(MachineId from, MachineId to) {
  if (blocked_.erase({from, to}) == 0) return;
  auto waiting = held_.extract({from, to});
  if (waiting.empty()) return;
  for (const std::shared_ptr<Endpoint>& end : waiting.mapped()) {
    ++end->holds;  // it is no longer without progress
    scheduler_.After(Delay(), [this, end] { Release(end); });
  }
}

// Until now the held bytes were there, so that whatever arrived meanwhile is behind them.
void Network::Release(const std::shared_ptr<Endpoint>& from) {
  for (Chunk& chunk : std::exchange(from->held, {})) Arrive(from, std::move(chunk));
}

void Network::UnblockAll() {
  for (const Link& link : std::set<Link>(blocked_)) Unblock(link.first, link.second);
}

std::vector<std::shared_ptr<Endpoint>> Network::Ends() {
  std::erase_if(ends_, [](const auto& end) { return end.expired(); });
  std::vector<std::shared_ptr<Endpoint>> ends;
  for (const auto& weak : ends_) ends.push_back(weak.lock());
  return ends;
}

void Network::Reset(MachineId a, MachineId b) {
  for (const std::shared_ptr<Endpoint>& end : Ends()) {
    const bool between = (end->machine == a && end->peer_machine == b) ||
                         (end->machine == b && end->peer_machine == a);
    if (between && !end->closed) BreakLater(end, ECONNRESET, Delay());
  }
}

void Network::Down(MachineId machine, bool silently) {
  if (silently) silent_.insert(machine);
  for (const std::shared_ptr<Endpoint>& end : Ends()) {
    if (end->machine == machine && !end->closed) Close(end);
  }
  std::erase_if(listeners_, [&](const auto& entry) { return entry.second->machine == machine; });
}

// What others still believe to be connected learns that it is not.
void Network::Up(MachineId machine) {
  silent_.erase(machine);
  for (const std::shared_ptr<Endpoint>& end : Ends()) {
    if (end->peer_machine != machine || end->closed) continue;
    std::shared_ptr<Endpoint> peer = end->peer.lock();
    if (peer == nullptr || peer->closed) BreakLater(end, ECONNRESET, Delay());
  }
}

void Network::BreakLater(const std::shared_ptr<Endpoint>& end, int error, uint64_t delay_ns) {
  scheduler_.After(delay_ns, [this, end, error] { Break(end, error); });
}

void Network::Break(const std::shared_ptr<Endpoint>& end, int error) {
  if (end->closed || end->error != 0) return;
  end->error = error;
  end->arrived.clear();
  end->arrived_at = 0;
  end->held.clear();
  WakeReader(end);
  WakeWriter(end);
}

// ---------------------------------------------------------------- connecting

void Network::Dial(const std::shared_ptr<Attempt>& attempt) {
  auto machine = addresses_.find(attempt->address);
  const uint64_t delay_ns = Delay();
  if (machine == addresses_.end()) {
    return scheduler_.After(delay_ns, [this, attempt] {
      attempt->Finish(this, nullptr, {false, "connect to " + attempt->address + ": unknown host"});
    });
  }
  scheduler_.After(delay_ns, [this, attempt, to = machine->second] { Reach(attempt, to); });
}

void Network::Reach(const std::shared_ptr<Attempt>& attempt, MachineId to) {
  const MachineId from = attempt->from;
  if (attempt->over || blocked(from, to) || blocked(to, from) || silent_.contains(to)) return;
  auto listener = listeners_.find(attempt->address);
  if (listener == listeners_.end()) {
    return scheduler_.After(Delay(), [this, attempt] {
      attempt->Finish(this, nullptr,
                      {true, "connect to " + attempt->address + ": connection refused"});
    });
  }
  std::shared_ptr<Endpoint> accepted;
  std::shared_ptr<Endpoint> own =
      MakePair(from, attempt->loop, *listener->second, attempt->address, &accepted);
  listener->second->loop->Push([listening = listener->second,
                                stream = std::make_unique<SimStream>(this, accepted)]() mutable {
    if (listening->accepted) listening->accepted(std::move(stream));
  });
  scheduler_.After(Delay(), [this, attempt, own] { attempt->Finish(this, own, {}); });
}

std::shared_ptr<Endpoint> Network::MakePair(MachineId from, std::shared_ptr<LoopState> loop,
                                            const Listener& listener, const std::string& to_address,
                                            std::shared_ptr<Endpoint>* accepted) {
  auto own = std::make_shared<Endpoint>();
  auto other = std::make_shared<Endpoint>();
  own->machine = other->peer_machine = from;
  other->machine = own->peer_machine = listener.machine;
  own->remote = to_address;
  other->remote = "machine-" + std::to_string(from);
  own->peer = other;
  other->peer = own;
  own->loop = std::move(loop);
  other->loop = listener.loop;
  ends_.push_back(own);
  ends_.push_back(other);
  *accepted = std::move(other);
  return own;
}

// ---------------------------------------------------------------- bytes

size_t Network::Send(const std::shared_ptr<Endpoint>& from, std::string bytes) {
  if (from->unread >= options_.window_bytes) return 0;
  const size_t taken = std::min<uint64_t>(bytes.size(), options_.window_bytes - from->unread);
  bytes.resize(taken);
  from->unread += taken;
  Launch(from, {std::move(bytes), false, 0});
  return taken;
}

void Network::Launch(const std::shared_ptr<Endpoint>& from, Chunk chunk) {
  if (silent_.contains(from->machine)) return;
  from->last_arrival_ns = std::max(from->last_arrival_ns, scheduler_.now_ns() + Delay());
  scheduler_.After(
      from->last_arrival_ns - scheduler_.now_ns(),
      [this, from, chunk = std::move(chunk)]() mutable { Arrive(from, std::move(chunk)); });
}

void Network::Arrive(const std::shared_ptr<Endpoint>& from, Chunk chunk) {
  if (!from->held.empty() || blocked(from->machine, from->peer_machine) ||
      silent_.contains(from->peer_machine)) {
    return Hold(from, std::move(chunk));
  }
  Deliver(from, std::move(chunk));
}

void Network::Hold(const std::shared_ptr<Endpoint>& from, Chunk chunk) {
  const bool first = from->held.empty();
  from->held.push_back(std::move(chunk));
  if (!first) return;
  held_[{from->machine, from->peer_machine}].push_back(from);
  scheduler_.After(options_.user_timeout_ns, [this, from, holds = from->holds] {
    if (from->holds != holds || from->held.empty()) return;
    ++from->holds;
    from->held.clear();
    Break(from, ETIMEDOUT);
    if (auto peer = from->peer.lock()) BreakLater(peer, ETIMEDOUT, random_.Below(kKeepaliveNs));
  });
}

void Network::Deliver(const std::shared_ptr<Endpoint>& from, Chunk chunk) {
  std::shared_ptr<Endpoint> to = from->peer.lock();
  if (to == nullptr || to->closed) {
    if (chunk.error == 0 && !chunk.bytes.empty()) BreakLater(from, ECONNRESET, Delay());
    return;
  }
  if (to->error != 0) return;
  if (chunk.error != 0) return Break(to, chunk.error);
  to->arrived.append(chunk.bytes);
  to->end_arrived |= chunk.fin;
  WakeReader(to);
}

void Network::WakeReader(const std::shared_ptr<Endpoint>& end) {
  if (end->loop == nullptr) return scheduler_.WakeAll(end.get());
  const bool something = end->readable() > 0 || end->end_arrived || end->error != 0;
  if (!end->read_done || end->read_queued || !something) return;
  end->read_queued = true;
  end->loop->Push([this, end] { CompleteRead(end); });
}

void Network::WakeWriter(const std::shared_ptr<Endpoint>& end) {
  if (end->loop == nullptr) return scheduler_.WakeAll(end.get());
  if (!end->writable_done) return;
  end->loop->Push([ready = std::exchange(end->writable_done, nullptr)]() mutable { ready(); });
}

void Network::CompleteRead(const std::shared_ptr<Endpoint>& end) {
  end->read_queued = false;
  if (!end->read_done) return;
  IoResult result;
  if (end->error != 0) {
    result.error = end->error;
  } else {
    size_t size = std::min(end->readable(), end->into.size());
    // Bytes come in pieces that have nothing to do with how they were sent.
    if (size > 1 && random_.Percent(10)) size = 1 + random_.Below(size);
    result.bytes = Consume(end, end->into.data(), size);
  }
  std::exchange(end->read_done, nullptr)(result);
}

size_t Network::Consume(const std::shared_ptr<Endpoint>& end, char* into, size_t size) {
  size = std::min(size, end->readable());
  std::copy_n(end->arrived.data() + end->arrived_at, size, into);
  end->arrived_at += size;
  if (end->readable() == 0) {
    end->arrived.clear();
    end->arrived_at = 0;
  }
  if (auto peer = end->peer.lock(); peer != nullptr && size > 0) {
    peer->unread -= std::min<uint64_t>(peer->unread, size);
    const bool waits = peer->loop == nullptr || peer->writable_done;
    if (waits) scheduler_.After(Delay(), [this, peer] { WakeWriter(peer); });
  }
  return size;
}

// As the kernel does: who leaves bytes unread resets the connection.
void Network::Close(const std::shared_ptr<Endpoint>& end) {
  if (std::exchange(end->closed, true)) return;
  if (end->loop != nullptr && (end->read_done || end->writable_done)) {
    // They may hold the last reference to who is calling: later.
    end->loop->Push([read = std::exchange(end->read_done, nullptr),
                     write = std::exchange(end->writable_done, nullptr)] {});
  }
  if (end->error != 0) return;
  if (end->readable() > 0) {
    Launch(end, {{}, false, ECONNRESET});
  } else if (!end->fin_sent) {
    end->fin_sent = true;
    Launch(end, {{}, true, 0});
  }
}

}  // namespace arima::simserver
