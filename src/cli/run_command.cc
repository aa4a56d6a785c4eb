// The composition root: the only place that chooses concrete classes and puts a node together.
//
// Start: log, node (directory, data, raft port), then HTTP. Stop, on SIGTERM or SIGINT: leadership
// is handed over, requests in flight are answered, then everything is made durable.
#include "cli/run_command.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>

#include "base/clock.h"
#include "env/posix_env.h"
#include "http/http_server.h"
#include "node/logger.h"
#include "node/node.h"

namespace arima::cli {
namespace {

constexpr uint64_t kDrainMs = 5000;

node::LogLevel LevelOf(const std::string& name) {
  if (name == "error") return node::LogLevel::kError;
  if (name == "warn") return node::LogLevel::kWarn;
  if (name == "info") return node::LogLevel::kInfo;
  return node::LogLevel::kDebug;
}

// Divides the configured times into ticks of the core.
node::ReplicaOptions ReplicaOptionsOf(const node::Options& options) {
  node::ReplicaOptions replica;
  uint64_t tick_ms = replica.loop.tick_ns / 1'000'000;
  replica.election_ticks = static_cast<uint32_t>(options.election_timeout_ms / tick_ms);
  replica.heartbeat_ticks =
      std::max<uint32_t>(1, static_cast<uint32_t>(options.heartbeat_interval_ms / tick_ms));
  replica.storage.wal_segment_bytes = options.wal_segment_bytes;
  replica.flusher.flush_bytes = options.flush_bytes;
  replica.retention = {options.log_retain_bytes, options.log_retain_max};
  replica.snapshots.rate_bytes_per_s = options.snapshot_rate;
  replica.accept_data_loss = options.accept_data_loss;
  replica.disk_stall_ns = options.disk_stall_timeout_ms * 1'000'000;
  replica.storage.block_cache_bytes = options.block_cache_bytes;
  replica.storage.recent_keys_bytes = options.recent_keys_bytes;
  return replica;
}

node::NodeOptions NodeOptionsOf(const node::Options& options) {
  node::NodeOptions node;
  node.name = options.node_id;
  node.volume_dir = options.volume_dir;
  node.raft_listen_host = options.RaftListenHost();
  node.raft_port = options.raft_port;
  node.raft_address = options.RaftAdvertised();
  node.raft_address_given = options.RaftAdvertisedByOperator();
  node.http_address = options.HttpAdvertised();
  node.value_bytes_max = options.max_value_bytes;
  node.replica = ReplicaOptionsOf(options);
  node.disk_reserve_bytes = options.disk_reserve;
  node.history.max_age_ns = options.history_max_age_ms * 1'000'000;
  node.history.max_bytes = options.history_max_bytes;
  node.history.min_revisions = options.history_min_revisions;
  return node;
}

http::HttpOptions HttpOptionsOf(const node::Options& options) {
  http::HttpOptions http;
  http.port = options.server_port;
  http.address = options.server_address;
  http.threads = options.http_threads;
  http.connections_max = options.max_connections;
  http.body_bytes_max = options.max_body_bytes;
  http.value_bytes_max = options.max_value_bytes;
  http.request_timeout_ms = options.request_timeout_ms;
  http.version = ARIMA_VERSION;
  return http;
}

int StartFailed(const Error& error) {
  std::fprintf(stderr, "arima: %s\n", error.message.c_str());
  return 1;
}

// Blocks the signals in this and all later threads; main takes them with sigwait.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Shells hand out 1,024 descriptors and allow many more. Each connection needs one; so does each
// table file, peer and log segment.
void RaiseFileLimit(const node::Options& options, node::Logger& logger) {
  constexpr uint64_t kOwnFiles = 4096 + 1024;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const uint64_t wanted = options.max_connections + kOwnFiles;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);  // what is not granted is reported below
  }
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  logger.Warn("few_file_descriptors",
              "this process may open " + std::to_string(limit.rlim_cur) +
                  " files, --max-connections asks for " + std::to_string(wanted) +
                  ": raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower --max-connections");
}

void WarnIfOpen(const node::Options& options, node::Logger& logger) {
  if (options.RaftIsOpen()) {
    logger.Warn("raft_port_open",
                "the raft port is open to other machines without TLS or token: "
                "whoever reaches it can act as a member");
  }
  if (options.HttpIsOpen()) {
    logger.Warn("http_port_open",
                "HTTP is open to other machines without TLS or token: whoever "
                "reaches it can read and write everything");
  }
}

}  // namespace

int RunServer(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  Result<node::Resolved> resolved = node::ResolveOptions(args, node::ProcessOptionSources());
  if (!resolved) {
    err << "arima: " << resolved.error().message << "\n";
    return 2;
  }
  if (resolved->help) {
    out << "NAME:\n   arima run - Run the server\n\n"
           "USAGE:\n   arima run [command options]\n\nOPTIONS:\n";
    node::PrintOptions(out);
    return 0;
  }
  for (const std::string& warning : resolved->warnings) err << "arima: " << warning << "\n";
  return RunNode(resolved->options);
}

int RunNode(const node::Options& options) {
  const http::HttpOptions http_options = HttpOptionsOf(options);
  if (Status free = http::HttpServer::CheckListen(http_options); !free) {
    return StartFailed(free.error());
  }
  sigset_t signals = BlockStopSignals();
  node::Logger logger(
      options.node_id, LevelOf(options.log_level),
      options.log_format == "json" ? node::LogFormat::kJson : node::LogFormat::kText);
  RaiseFileLimit(options, logger);
  SystemClock clock;
  env::PosixEnv env;
  auto node = node::Node::Start(NodeOptionsOf(options), &env, &clock, &logger);
  if (!node) return StartFailed(node.error());
  auto http = http::HttpServer::Start(http_options, (*node)->kv(), (*node)->cluster());
  if (!http) {
    (*node)->Stop();
    return StartFailed(http.error());
  }
  WarnIfOpen(options, logger);
  logger.Info("http_listening", "clients are served at http://" + options.HttpAdvertised());

  int signal = 0;
  sigwait(&signals, &signal);
  logger.Info("stopping", "leadership is handed over, requests in flight are answered",
              {{"signal", static_cast<uint64_t>(signal)}});
  (*node)->HandOverLeadership(2 * options.election_timeout_ms);
  (*http)->Stop(kDrainMs);
  (*node)->Stop();
  logger.Info("stopped", "everything applied is durable");
  return 0;
}

}  // namespace arima::cli
