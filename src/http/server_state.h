// What all I/O threads of one HTTP server share. Fixed after the start but for the atomics.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/mutex.h"
#include "http/api.h"
#include "http/counters.h"
#include "http/http_options.h"

namespace arima::http {

struct ServerState {
  ServerState(const HttpOptions& http_options, service::KvService& kv,
              service::ClusterService& cluster_service, Clock& system_clock)
      : options(http_options),
        cluster(cluster_service),
        clock(system_clock),
        api(options, kv, cluster_service, counters) {}

  const HttpOptions options;
  service::ClusterService& cluster;
  Clock& clock;
  Counters counters;
  const Api api;

  // Connections that count against connections_max, and those that are only told 503.
  std::atomic<uint64_t> connections = 0;
  std::atomic<uint64_t> refusals = 0;
  std::atomic<uint64_t> held_body_bytes = 0;

  // Signalled when the last connection has closed.
  Mutex mutex;
  CondVar idle;

  // False when the limit would be passed; then nothing is held.
  bool HoldBody(uint64_t bytes);
  void ReleaseBody(uint64_t bytes);
  void ConnectionClosed();
};

}  // namespace arima::http
