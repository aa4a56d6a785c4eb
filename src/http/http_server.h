// The HTTP front end: answers docs/design/http-api.md from two service interfaces.
//
// Thread rule: Start and Stop on one thread; the server runs threads of its own. The services must
// outlive Stop. Completions of service calls may come later than Stop; they are dropped.
// Errors of Start: kInvalidArgument (address), kIo (port taken or not allowed), one line each.
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "http/http_options.h"
#include "service/cluster_service.h"
#include "service/kv_service.h"

namespace arima::http {

class HttpServer {
 public:
  // Whether Start could listen now. Asked before a node starts, so that a port that is taken costs
  // one line and touches nothing.
  static Status CheckListen(const HttpOptions& options);

  static Result<std::unique_ptr<HttpServer>> Start(const HttpOptions& options,
                                                   service::KvService& kv,
                                                   service::ClusterService& cluster);
  // Stops without draining, unless Stop was called.
  ~HttpServer();

  // Where it listens; the chosen one when the options said 0.
  uint16_t port() const;

  // Accepts nothing new, lets requests in flight finish for up to `drain_ms`, closes everything.
  // Further calls do nothing.
  void Stop(uint64_t drain_ms);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::http
