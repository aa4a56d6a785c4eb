#include "http/metrics_text.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <sstream>

namespace arima::http {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// The sum of one figure over all threads.
template <class Pick>
double Sum(const Counters& counters, Pick pick) {
  uint64_t sum = 0;
  for (const auto& block : counters) sum += pick(*block).Get();
  return static_cast<double>(sum);
}

std::vector<ClientMetric::Label> RouteLabels(size_t index) {
  if (index == RouteTable().size()) return {{"route", "none"}, {"method", "any"}};
  const Route& route = RouteTable()[index];
  return {{"route", std::string(route.path)}, {"method", std::string(MethodName(route.method))}};
}

MetricFamily Requests(const Counters& counters) {
  MetricFamily family{"arima_http_requests_total",
                      "Requests answered, by route and status code.",
                      MetricType::Counter,
                      {}};
  for (size_t index = 0; index <= RouteTable().size(); ++index) {
    for (size_t status = 0; status < kCountedStatuses.size(); ++status) {
      const double count = Sum(counters, [&](const ThreadCounters& block) -> const Tally& {
        return block.routes[index].by_status[status];
      });
      if (count == 0) continue;
      ClientMetric metric;
      metric.label = RouteLabels(index);
      const int code = kCountedStatuses[status];
      metric.label.push_back({"code", code == 0 ? "other" : std::to_string(code)});
      metric.counter.value = count;
      family.metric.push_back(std::move(metric));
    }
  }
  return family;
}

MetricFamily Durations(const Counters& counters) {
  MetricFamily family{"arima_http_request_duration_seconds",
                      "From the first byte of a request to its answer in the send buffer.",
                      MetricType::Histogram,
                      {}};
  for (size_t index = 0; index <= RouteTable().size(); ++index) {
    ClientMetric metric;
    metric.label = RouteLabels(index);
    uint64_t cumulative = 0;
    for (size_t bucket = 0; bucket <= kDurationBucketsUs.size(); ++bucket) {
      for (const auto& block : counters)
        cumulative += block->routes[index].by_duration[bucket].Get();
      const double bound = bucket < kDurationBucketsUs.size()
                               ? static_cast<double>(kDurationBucketsUs[bucket]) / 1e6
                               : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({cumulative, bound});
    }
    if (cumulative == 0) continue;
    metric.histogram.sample_count = cumulative;
    metric.histogram.sample_sum = Sum(counters,
                                      [&](const ThreadCounters& block) -> const Tally& {
                                        return block.routes[index].duration_ns;
                                      }) /
                                  1e9;
    family.metric.push_back(std::move(metric));
  }
  return family;
}

MetricFamily Single(std::string name, std::string help, MetricType type, double value) {
  MetricFamily family{std::move(name), std::move(help), type, {}};
  ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
  return family;
}

void AddOwn(const Counters& counters, std::vector<MetricFamily>* families) {
  const auto counter = [&](std::string name, std::string help, Tally ThreadCounters::* field) {
    families->push_back(Single(
        std::move(name), std::move(help), MetricType::Counter,
        Sum(counters, [&](const ThreadCounters& block) -> const Tally& { return block.*field; })));
  };
  families->push_back(Requests(counters));
  families->push_back(Durations(counters));
  const auto sum = [&](Tally ThreadCounters::* field) {
    return Sum(counters, [&](const ThreadCounters& block) -> const Tally& { return block.*field; });
  };
  families->push_back(Single("arima_http_connections", "Connections open now.", MetricType::Gauge,
                             std::max(0.0, sum(&ThreadCounters::connections_opened) -
                                               sum(&ThreadCounters::connections_closed))));
  counter("arima_http_connections_opened_total", "Connections accepted.",
          &ThreadCounters::connections_opened);
  counter("arima_http_connections_refused_total",
          "Connections answered 503 because --max-connections were open.",
          &ThreadCounters::connections_refused);
  counter("arima_http_accept_failures_total",
          "Times a connection could not be accepted for want of file descriptors or memory.",
          &ThreadCounters::accept_failures);
  counter("arima_http_received_bytes_total", "Bytes read from clients.",
          &ThreadCounters::received_bytes);
  counter("arima_http_sent_bytes_total", "Bytes written to clients.", &ThreadCounters::sent_bytes);
  counter("arima_http_read_barriers_total",
          "Read barriers asked for; reads that arrive together share one.",
          &ThreadCounters::barriers);
}

// Figures of one name are one family, wherever they stand in the list.
void AddNode(const std::vector<service::ClusterService::Metric>& node_metrics,
             std::vector<MetricFamily>* families) {
  for (const service::ClusterService::Metric& figure : node_metrics) {
    auto family = std::ranges::find(*families, figure.name, &MetricFamily::name);
    if (family == families->end()) {
      families->push_back(
          {figure.name, figure.help, figure.counter ? MetricType::Counter : MetricType::Gauge, {}});
      family = families->end() - 1;
    }
    ClientMetric metric;
    for (const auto& [name, value] : figure.labels) metric.label.push_back({name, value});
    (figure.counter ? metric.counter.value : metric.gauge.value) = figure.value;
    family->metric.push_back(std::move(metric));
  }
}

}  // namespace

std::string MetricsText(const std::vector<service::ClusterService::Metric>& node_metrics,
                        const Counters& counters) {
  std::vector<MetricFamily> families;
  AddNode(node_metrics, &families);
  AddOwn(counters, &families);
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace arima::http
