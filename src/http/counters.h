// What the HTTP server counts about itself, one block per I/O thread.
//
// Each block has one writer, its thread; anybody may read at any time (GET /metrics adds them up).
// Writing is a load and a store without a lock prefix: cheap enough for every request.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "http/route.h"

namespace arima::http {

class Tally {
 public:
  void Add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

inline constexpr std::array<int, 25> kCountedStatuses = {
    200, 202, 304, 400, 404, 405, 408, 409, 410, 411, 412, 413, 414,
    415, 417, 429, 431, 500, 501, 502, 503, 504, 505, 507, 0};  // 0: any other
// Upper bounds; one more bucket holds the rest.
inline constexpr std::array<uint64_t, 17> kDurationBucketsUs = {
    50,     100,     250,     500,     1'000,     2'500,     5'000,     10'000,    25'000,
    50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};
// Routes of the table, and one place for requests that matched none.
inline constexpr size_t kCountedRoutesMax = 24;

struct ThreadCounters {
  struct PerRoute {
    std::array<Tally, kCountedStatuses.size()> by_status;
    std::array<Tally, kDurationBucketsUs.size() + 1> by_duration;
    Tally duration_ns;
  };
  std::array<PerRoute, kCountedRoutesMax> routes;
  Tally connections_opened;
  Tally connections_closed;
  Tally connections_refused;
  Tally accept_failures;
  Tally received_bytes;
  Tally sent_bytes;
  Tally barriers;  // read barriers asked for; below the number of reads when reads share them

  // `route` null: none matched.
  void CountAnswer(const Route* route, int status, uint64_t duration_ns);
};

size_t RouteIndex(const Route* route);

// Fixed once the server has started.
using Counters = std::vector<std::unique_ptr<ThreadCounters>>;

}  // namespace arima::http
