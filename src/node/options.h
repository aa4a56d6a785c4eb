// What `arima run` can be told, in one table.
//
// Each option has a name (flag --name, environment ARIMA_NAME, key `name` of the TOML file named
// by --config), a default, a range and a sentence. ResolveOptions applies, option by option,
//   flag > environment > file > default
// and remembers where each value came from. The same table prints `arima run --help`.
//
// Units: fields end in _ms and _bytes; on the outside durations and sizes carry their unit
// (400ms, 64MiB). Errors: kInvalidArgument with one line that names the option, where the value
// came from and what is allowed; control bytes in it, and in warnings, are shown as \xNN. Plain
// values; pure except for the two sources passed in.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace arima::node {

struct OptionSpec;  // node/option_table.h

// Holds only values that passed the table's checks and CheckOptions.
struct Options {
  uint16_t server_port = 0;
  std::string node_id;
  uint16_t raft_port = 0;
  std::string volume_dir;

  // HTTP. Empty server_address: 127.0.0.1 and ::1. Empty server_advertise: HttpAdvertised().
  std::string server_address;
  std::string server_advertise;
  // Raft. Empty raft_listen: raft_address, and if that is empty too, the loopback network only.
  std::string raft_address;
  std::string raft_listen;
  std::string raft_advertise;

  uint64_t election_timeout_ms = 0;
  uint64_t heartbeat_interval_ms = 0;
  uint64_t request_timeout_ms = 0;

  uint64_t max_value_bytes = 0;
  uint64_t max_body_bytes = 0;
  uint64_t max_connections = 0;
  uint64_t http_threads = 0;  // 0: one per four processors, between 1 and 4

  uint64_t recent_keys_bytes = 0;
  uint64_t block_cache_bytes = 0;
  uint64_t flush_bytes = 0;
  uint64_t wal_segment_bytes = 0;
  uint64_t log_retain_bytes = 0;
  uint64_t log_retain_max = 0;
  uint64_t snapshot_rate = 0;  // bytes per second
  uint64_t disk_reserve = 0;   // bytes
  uint64_t disk_stall_timeout_ms = 0;

  uint64_t history_max_age_ms = 0;
  uint64_t history_max_bytes = 0;
  uint64_t history_min_revisions = 0;

  bool accept_data_loss = false;

  std::string log_level;   // debug, info, warn, error
  std::string log_format;  // text, json

  // Host to bind the raft listener to; empty: 0.0.0.0 on the device lo, which reaches all of
  // 127.0.0.0/8 and nothing else.
  std::string RaftListenHost() const;
  // host:port that other members connect to: --raft-advertise, else --raft-address, else 127.0.0.1.
  std::string RaftAdvertised() const;
  // The operator named an advertised address, so it overrides the one of the join.
  bool RaftAdvertisedByOperator() const;
  // host:port that clients and other nodes are told for HTTP.
  std::string HttpAdvertised() const;
  // Reachable from other machines: worth a warning, there is neither TLS nor a token.
  bool RaftIsOpen() const;
  bool HttpIsOpen() const;
};

enum class Origin : uint8_t { kDefault, kFile, kEnvironment, kFlag };
std::string_view OriginName(Origin origin);  // "default", "file", "environment", "flag"

struct ResolvedOption {
  const OptionSpec* spec = nullptr;
  std::string text;  // as given
  Origin origin = Origin::kDefault;
  std::string where;  // "flag --server-port", "environment ARIMA_SERVER_PORT", "arima.toml line 3"
};

struct Resolved {
  Options options;
  std::vector<ResolvedOption> values;  // one per entry of the table, in its order
  std::vector<std::string> warnings;   // e.g. an ARIMA_ variable that names no option
  bool help = false;                   // --help was among the flags; nothing else was checked
};

// Where values other than flags come from.
struct OptionSources {
  // NAME=value strings, as in environ.
  std::vector<std::string> environment;
  // Content of the file named by --config.
  std::function<Result<std::string>(const std::string& path)> read_file;
};
// The environment and the file system of this process.
OptionSources ProcessOptionSources();

// `args` without program and command name.
Result<Resolved> ResolveOptions(const std::vector<std::string>& args, const OptionSources& sources);

// The OPTIONS section of `arima run --help`.
void PrintOptions(std::ostream& out);

}  // namespace arima::node
