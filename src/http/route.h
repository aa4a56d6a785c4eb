// The one table of routes: what a path and a method mean.
//
// Paths are compared as they came, before percent-decoding: only the key is decoded. HEAD goes
// where GET goes. Immutable; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "http/error_answer.h"
#include "http/method.h"

namespace arima::http {

enum class Action : uint8_t {
  kGetKey,
  kPutKey,   // PUT /store/:key, raw body
  kPostKey,  // POST /store, JSON body
  kDeleteKey,
  kListKeys,
  kJoin,
  kRemove,
  kTransfer,
  kMembers,
  kStats,
  kLive,
  kReady,
  kMetrics,
  kVersion,
};

// What a pipelined request may run beside (http/session.h): reads beside reads, writes beside
// writes.
enum class Access : uint8_t { kRead, kWrite };

// What the body is, hence how it is read and how large it may be.
enum class Body : uint8_t { kNone, kJson, kValue };

struct Route {
  std::string_view path;  // "/store/:key" matches /store/ and at least one byte more
  Method method = Method::kGet;
  Action action = Action::kLive;
  Access access = Access::kRead;
  Body body = Body::kNone;
  // Query parameters it takes, separated by a bar.
  std::string_view parameters;
};

std::span<const Route> RouteTable();

struct Match {
  const Route* route = nullptr;
  std::string_view encoded_key;  // of "/store/:key"
};
// 404 for an unknown path, 405 with Allow for a known one with another method.
Read<Match> FindRoute(std::string_view path, Method method);

}  // namespace arima::http
