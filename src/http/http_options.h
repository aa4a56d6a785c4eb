// What an HTTP server can be told. Units: _ms milliseconds, _bytes bytes.
#pragma once

#include <cstdint>
#include <string>

#include "service/limits.h"

namespace arima::http {

struct HttpOptions {
  // Host name or address to listen on; empty: 127.0.0.1 and ::1. Port 0: any free one.
  std::string address;
  uint16_t port = 2221;
  // 0: one per four processors, between 1 and 4.
  uint64_t threads = 0;
  std::string version;  // of the program, for /version

  uint64_t connections_max = 10'000;
  uint64_t value_bytes_max = service::kValueBytesMaxDefault;
  uint64_t body_bytes_max = service::kBodyBytesMax;
  // Of all requests that are being read or worked on; beyond it bodies are answered 429.
  uint64_t held_body_bytes_max = 256 << 20;
  // Requests of one connection that are worked on at once; further ones stay in the socket.
  uint32_t pipelined_max = 64;

  // When a request does not say ?timeout=.
  uint64_t request_timeout_ms = 5'000;
  uint64_t membership_timeout_ms = 30'000;
  uint64_t request_timeout_ms_max = 600'000;

  // A connection without a request; from the first byte of a head to its last.
  uint64_t idle_timeout_ms = 120'000;
  uint64_t head_timeout_ms = 10'000;
  // A body must arrive, and an answer be taken, within grace + bytes / rate.
  uint64_t transfer_grace_ms = 10'000;
  uint64_t transfer_bytes_per_second_min = 64 << 10;
  // What is read and dropped before a connection closes, so that the client sees the answer.
  uint64_t drain_bytes_max = 1 << 20;
  uint64_t drain_ms_max = 1'000;
};

}  // namespace arima::http
