#include "http/server_state.h"

namespace arima::http {

bool ServerState::HoldBody(uint64_t bytes) {
  if (bytes == 0) return true;
  const uint64_t before = held_body_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes <= options.held_body_bytes_max) return true;
  held_body_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void ServerState::ReleaseBody(uint64_t bytes) {
  if (bytes != 0) held_body_bytes.fetch_sub(bytes, std::memory_order_relaxed);
}

void ServerState::ConnectionClosed() {
  if (connections.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  MutexLock lock(&mutex);
  idle.NotifyAll();
}

}  // namespace arima::http
