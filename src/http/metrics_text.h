// GET /metrics: Prometheus text of the node's figures and of the server's own.
#pragma once

#include <string>
#include <vector>

#include "http/counters.h"
#include "service/cluster_service.h"

namespace arima::http {

inline constexpr std::string_view kMetricsContent = "text/plain; version=0.0.4; charset=utf-8";

std::string MetricsText(const std::vector<service::ClusterService::Metric>& node_metrics,
                        const Counters& counters);

}  // namespace arima::http
