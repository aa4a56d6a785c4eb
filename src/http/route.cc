#include "http/route.h"

namespace arima::http {
namespace {

constexpr std::string_view kKeyPath = "/store/:key";
constexpr std::string_view kKeyPrefix = "/store/";

constexpr Route kRoutes[] = {
    {kKeyPath, Method::kGet, Action::kGetKey, Access::kRead, Body::kNone, "consistency|timeout"},
    {kKeyPath, Method::kPut, Action::kPutKey, Access::kWrite, Body::kValue, "timeout"},
    {kKeyPath, Method::kDelete, Action::kDeleteKey, Access::kWrite, Body::kNone, "timeout"},
    {"/store", Method::kGet, Action::kListKeys, Access::kRead, Body::kNone, ""},
    {"/store", Method::kPost, Action::kPostKey, Access::kWrite, Body::kJson, "timeout"},
    {"/store/", Method::kGet, Action::kListKeys, Access::kRead, Body::kNone, ""},
    {"/store/", Method::kPost, Action::kPostKey, Access::kWrite, Body::kJson, "timeout"},
    {"/raft/join", Method::kPost, Action::kJoin, Access::kWrite, Body::kJson, "timeout"},
    {"/raft/remove", Method::kPost, Action::kRemove, Access::kWrite, Body::kJson, "timeout"},
    {"/raft/transfer", Method::kPost, Action::kTransfer, Access::kWrite, Body::kJson, "timeout"},
    {"/raft/members", Method::kGet, Action::kMembers, Access::kRead, Body::kNone, "timeout"},
    {"/raft/stats", Method::kGet, Action::kStats, Access::kRead, Body::kNone, "timeout"},
    {"/livez", Method::kGet, Action::kLive, Access::kRead, Body::kNone, ""},
    {"/readyz", Method::kGet, Action::kReady, Access::kRead, Body::kNone, "verbose"},
    {"/metrics", Method::kGet, Action::kMetrics, Access::kRead, Body::kNone, ""},
    {"/version", Method::kGet, Action::kVersion, Access::kRead, Body::kNone, ""},
};

bool PathMatches(std::string_view pattern, std::string_view path) {
  if (pattern == kKeyPath) return path.size() > kKeyPrefix.size() && path.starts_with(kKeyPrefix);
  return pattern == path;
}

std::string AllowLine(std::string_view path) {
  std::string line;
  for (const Route& route : kRoutes) {
    if (!PathMatches(route.path, path)) continue;
    line.append(line.empty() ? "Allow: " : ", ").append(MethodName(route.method));
    if (route.method == Method::kGet) line.append(", HEAD");
  }
  return line.append("\r\n");
}

// As much of a path as an error message should repeat.
std::string Shown(std::string_view path) {
  constexpr size_t kShownBytesMax = 100;
  if (path.size() <= kShownBytesMax) return std::string(path);
  return std::string(path.substr(0, kShownBytesMax)) + "...";
}

}  // namespace

std::span<const Route> RouteTable() { return kRoutes; }

Read<Match> FindRoute(std::string_view path, Method method) {
  const Method wanted = method == Method::kHead ? Method::kGet : method;
  bool path_known = false;
  for (const Route& route : kRoutes) {
    if (!PathMatches(route.path, path)) continue;
    path_known = true;
    if (route.method != wanted) continue;
    return Match{&route, route.path == kKeyPath ? path.substr(kKeyPrefix.size()) : ""};
  }
  if (!path_known) {
    return Refuse(404, "route_not_found",
                  "there is nothing at " + Shown(path) + "; keys live under /store/");
  }
  ErrorAnswer answer{405, "method_not_allowed", {}, AllowLine(path), {}, false};
  answer.message = Shown(path) + " does not take this method; the Allow header lists those it does";
  return std::unexpected(std::move(answer));
}

}  // namespace arima::http
