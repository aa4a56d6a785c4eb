#include "node/option_table.h"

#include <algorithm>

#include "base/units.h"

namespace arima::node {
namespace {

constexpr uint64_t kKiB = 1ull << 10;
constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kMinute = 60'000;
constexpr size_t kNameBytesMax = 64;
constexpr size_t kHostBytesMax = 253;

constexpr OptionSpec kTable[] = {
    {"server-port", "s", OptionType::kPort, "PORT", "2221", 1, 65535, "", "HTTP port for clients",
     &Options::server_port},
    {"node-id", "i", OptionType::kName, "NAME", "n1", 0, 0, "",
     "name of this node, unique in its cluster and kept for the life of the volume directory",
     &Options::node_id},
    {"raft-port", "r", OptionType::kPort, "PORT", "1111", 1, 65535, "",
     "port on which the other nodes reach this one", &Options::raft_port},
    {"volume-dir", "v", OptionType::kPath, "DIR", "./arima-data", 0, 0, "",
     "directory for everything this node keeps; one process at a time", &Options::volume_dir},
    {"server-address", "", OptionType::kHost, "HOST", "", 0, 0, "",
     "address HTTP listens on; not set: 127.0.0.1 and ::1", &Options::server_address},
    {"server-advertise", "", OptionType::kHostPort, "HOST[:PORT]", "", 0, 0, "",
     "HTTP address that clients and other nodes are told; not set: where it listens",
     &Options::server_advertise},
    {"raft-address", "", OptionType::kHost, "HOST", "", 0, 0, "",
     "address raft listens on and is advertised as; not set: the loopback network only",
     &Options::raft_address},
    {"raft-listen", "", OptionType::kHost, "HOST", "", 0, 0, "",
     "address raft listens on, when it differs from --raft-address (containers, NAT)",
     &Options::raft_listen},
    {"raft-advertise", "", OptionType::kHostPort, "HOST[:PORT]", "", 0, 0, "",
     "raft address that other nodes are told, when it differs from --raft-address",
     &Options::raft_advertise},
    {"election-timeout", "", OptionType::kDuration, "TIME", "400ms", 100, kMinute, "",
     "a node without a leader for one to two times this calls an election; raise it on slow "
     "networks",
     &Options::election_timeout_ms},
    {"heartbeat-interval", "", OptionType::kDuration, "TIME", "50ms", 10, 10'000, "",
     "pause between the leader's heartbeats; at most a third of --election-timeout",
     &Options::heartbeat_interval_ms},
    {"request-timeout", "", OptionType::kDuration, "TIME", "5s", 10, 10 * kMinute, "",
     "how long a request without ?timeout= may take", &Options::request_timeout_ms},
    {"max-value-bytes", "", OptionType::kBytes, "SIZE", "1536KiB", kKiB, 8 * kMiB, "",
     "largest value a key may hold", &Options::max_value_bytes},
    {"max-body-bytes", "", OptionType::kBytes, "SIZE", "16MiB", 64 * kKiB, 64 * kMiB, "",
     "largest body of an HTTP request; not below --max-value-bytes", &Options::max_body_bytes},
    {"max-connections", "", OptionType::kNumber, "N", "10000", 1, 1'000'000, "",
     "HTTP connections open at once; further ones are answered 503 and closed",
     &Options::max_connections},
    {"http-threads", "", OptionType::kNumber, "N", "0", 0, 64, "",
     "threads that serve HTTP; 0: one per four processors, at most 4", &Options::http_threads},
    {"recent-keys-bytes", "", OptionType::kBytes, "SIZE", "256MiB", kMiB, 1024 * kGiB, "",
     "memory for what the next write to a recently used key must know",
     &Options::recent_keys_bytes},
    {"block-cache-bytes", "", OptionType::kBytes, "SIZE", "256MiB", kMiB, 1024 * kGiB, "",
     "memory for blocks read from the store", &Options::block_cache_bytes},
    {"flush-bytes", "", OptionType::kBytes, "SIZE", "512MiB", 64 * kKiB, 64 * kGiB, "",
     "the store writes what it holds in memory to its files after this much; bounds what a start "
     "repeats from the raft log",
     &Options::flush_bytes},
    {"wal-segment-bytes", "", OptionType::kBytes, "SIZE", "64MiB", kMiB, kGiB, "",
     "size of one file of the raft log, at most a fifth of the disk's reserve; a batch that is "
     "larger gets a larger file",
     &Options::wal_segment_bytes},
    {"log-retain-bytes", "", OptionType::kBytes, "SIZE", "1GiB", kMiB, 1024 * kGiB, "",
     "log kept for nodes that are down or behind; one that needs more comes back with a snapshot",
     &Options::log_retain_bytes},
    {"log-retain-max", "", OptionType::kBytes, "SIZE", "8GiB", kMiB, 16 * 1024 * kGiB, "",
     "log kept while a snapshot is on its way to a node; not below --log-retain-bytes",
     &Options::log_retain_max},
    {"snapshot-rate", "", OptionType::kBytes, "SIZE", "100MiB", kMiB, 1024 * kGiB, "",
     "bytes per second, at most, of snapshots sent to other nodes", &Options::snapshot_rate},
    {"disk-reserve", "", OptionType::kBytes, "SIZE", "512MiB", 0, 1024 * kGiB, "",
     "disk space kept free, at most a tenth of the disk: with less, writes that add data are "
     "answered 507, while reads, deletes and membership changes go on; 0: none",
     &Options::disk_reserve},
    {"disk-stall-timeout", "", OptionType::kDuration, "TIME", "2s", 100, 10 * kMinute, "",
     "a leader that waits so long for its disk hands over to a node with a faster one",
     &Options::disk_stall_timeout_ms},
    {"history-max-age", "", OptionType::kDuration, "TIME", "10m", 1000, 365 * 24 * 60 * kMinute, "",
     "how long older versions of a key can be read after they were replaced",
     &Options::history_max_age_ms},
    {"history-max-bytes", "", OptionType::kBytes, "SIZE", "4GiB", kMiB, 1024 * kGiB, "",
     "history ends earlier when more than this was written since", &Options::history_max_bytes},
    {"history-min-revisions", "", OptionType::kNumber, "N", "1000", 1, 1'000'000'000, "",
     "newest revisions that stay readable whatever their age and size, unless the disk is low",
     &Options::history_min_revisions},
    {"accept-data-loss", "", OptionType::kSwitch, "", "false", 0, 0, "true|false",
     "lets a node start that is the only voter and whose raft log is damaged: what cannot be read "
     "is "
     "given up, the damaged files are kept as wal.bad-<n>; no effect in a cluster with other "
     "voters",
     &Options::accept_data_loss},
    {"log-level", "", OptionType::kChoice, "LEVEL", "info", 0, 0, "debug|info|warn|error",
     "least important lines that are logged", &Options::log_level},
    {"log-format", "", OptionType::kChoice, "FORMAT", "text", 0, 0, "text|json",
     "log lines for people or for programs", &Options::log_format},
};
bool IsHost(std::string_view text) {
  if (text.empty() || text.size() > kHostBytesMax) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '%';
  });
}

bool IsHostPort(std::string_view text) {
  std::string_view host;
  std::string_view port;
  if (!SplitHostPort(text, &host, &port) || !IsHost(host)) return false;
  if (port.empty()) return true;
  const Result<uint64_t> number = ParseNumber(port);
  return number && *number >= 1 && *number <= 65535;
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

bool IsChoice(std::string_view choices, std::string_view text) {
  while (!choices.empty()) {
    const size_t bar = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, bar) == text) return true;
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return false;
}

std::string FormatNumber(OptionType type, uint64_t value) {
  if (type == OptionType::kBytes) return FormatBytes(value);
  if (type == OptionType::kDuration) return FormatDurationMs(value);
  return std::to_string(value);
}

bool TextIsValid(const OptionSpec& spec, std::string_view text) {
  switch (spec.type) {
    case OptionType::kName:
      return IsName(text);
    case OptionType::kHost:
      return IsHost(text);
    case OptionType::kHostPort:
      return IsHostPort(text);
    case OptionType::kChoice:
      return IsChoice(spec.choices, text);
    case OptionType::kSwitch:
      return IsChoice("true|false", text);
    case OptionType::kPath:
      return !text.empty() && text.find('\0') == std::string_view::npos;
    case OptionType::kPort:
    case OptionType::kNumber:
    case OptionType::kBytes:
    case OptionType::kDuration:
      break;
  }
  return false;
}

Result<uint64_t> ParseByType(OptionType type, std::string_view text) {
  if (type == OptionType::kBytes) return ParseBytes(text);
  if (type == OptionType::kDuration) return ParseDurationMs(text);
  return ParseNumber(text);
}

std::unexpected<Error> Refuse(const OptionSpec& spec, std::string_view where,
                              std::string_view problem) {
  std::string line(where);
  line.append(": ").append(problem).append("; ").append(spec.name);
  line.append(" takes ").append(AllowedValues(spec));
  return Fail(Code::kInvalidArgument, std::move(line));
}

}  // namespace

std::span<const OptionSpec> OptionTable() { return kTable; }

std::string EnvironmentName(const OptionSpec& spec) {
  std::string name = "ARIMA_";
  for (char c : spec.name) {
    name.push_back(c == '-' ? '_' : static_cast<char>(c - 'a' + 'A'));
  }
  return name;
}

std::string AllowedValues(const OptionSpec& spec) {
  switch (spec.type) {
    case OptionType::kName:
      return "1 to 64 letters, digits, dots, dashes or underscores";
    case OptionType::kHost:
      return "a host name or IP address";
    case OptionType::kHostPort:
      return "HOST or HOST:PORT";
    case OptionType::kPath:
      return "a path";
    case OptionType::kChoice:
    case OptionType::kSwitch: {
      std::string text(spec.choices);
      for (size_t bar = text.find('|'); bar != std::string::npos; bar = text.find('|', bar)) {
        text.replace(bar, 1, text.find('|', bar + 1) == std::string::npos ? " or " : ", ");
      }
      return text;
    }
    case OptionType::kPort:
    case OptionType::kNumber:
    case OptionType::kBytes:
    case OptionType::kDuration:
      break;
  }
  return FormatNumber(spec.type, spec.min) + " to " + FormatNumber(spec.type, spec.max);
}

const OptionSpec* FindOption(std::string_view name) {
  for (const OptionSpec& spec : kTable) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

bool SplitHostPort(std::string_view text, std::string_view* host, std::string_view* port) {
  *port = {};
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    *host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (text.empty()) return true;
    if (!text.starts_with(':')) return false;
    *port = text.substr(1);
    return !port->empty();
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
    *host = text;
    return true;
  }
  *host = text.substr(0, colon);
  *port = text.substr(colon + 1);
  return !port->empty();
}

Status StoreOption(const OptionSpec& spec, std::string_view text, std::string_view where,
                   Options* options) {
  const std::string quoted = "\"" + std::string(text) + "\"";
  if (const auto* text_field = std::get_if<std::string Options::*>(&spec.field)) {
    if (!TextIsValid(spec, text)) return Refuse(spec, where, quoted + " is not allowed");
    options->*(*text_field) = text;
    return {};
  }
  if (const auto* switch_field = std::get_if<bool Options::*>(&spec.field)) {
    if (!TextIsValid(spec, text)) return Refuse(spec, where, quoted + " is not allowed");
    options->*(*switch_field) = text == "true";
    return {};
  }
  const Result<uint64_t> number = ParseByType(spec.type, text);
  if (!number) return Refuse(spec, where, number.error().message);
  if (*number < spec.min || *number > spec.max) {
    return Refuse(spec, where, quoted + " is out of range");
  }
  if (const auto* port_field = std::get_if<uint16_t Options::*>(&spec.field)) {
    options->*(*port_field) = static_cast<uint16_t>(*number);
  } else {
    options->*(std::get<uint64_t Options::*>(spec.field)) = *number;
  }
  return {};
}

}  // namespace arima::node
