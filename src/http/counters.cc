#include "http/counters.h"

#include <algorithm>

#include "base/assert.h"

namespace arima::http {

size_t RouteIndex(const Route* route) {
  const size_t none = RouteTable().size();
  const size_t index = route == nullptr ? none : static_cast<size_t>(route - RouteTable().data());
  ARIMA_ASSERT(index < kCountedRoutesMax, index);
  return index;
}

void ThreadCounters::CountAnswer(const Route* route, int status, uint64_t duration_ns) {
  PerRoute& row = routes[RouteIndex(route)];
  const auto* found = std::ranges::find(kCountedStatuses, status);
  const auto* other = kCountedStatuses.end() - 1;
  row.by_status[static_cast<size_t>((found == kCountedStatuses.end() ? other : found) -
                                    kCountedStatuses.begin())]
      .Add(1);
  const auto* bucket = std::ranges::lower_bound(kDurationBucketsUs, duration_ns / 1000);
  row.by_duration[static_cast<size_t>(bucket - kDurationBucketsUs.begin())].Add(1);
  row.duration_ns.Add(duration_ns);
}

}  // namespace arima::http
