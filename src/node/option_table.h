// The option table: what each option of `arima run` is called, takes, and means.
//
// Flags, environment names, file keys, defaults, ranges and help all derive from it. Immutable;
// any thread. Adding an option is one field of node::Options and one entry here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "node/options.h"

namespace arima::node {

enum class OptionType : uint8_t {
  kPort,
  kNumber,
  kBytes,     // 64MiB
  kDuration,  // 250ms
  kName,      // 1 to 64 of A-Z a-z 0-9 . _ -
  kHost,      // name or IP address
  kHostPort,  // HOST or HOST:PORT
  kPath,
  kChoice,
  kSwitch,  // true or false; the flag alone means true
};

struct OptionSpec {
  std::string_view name;
  std::string_view alias;  // one letter, or empty
  OptionType type;
  std::string_view placeholder;   // as help shows the value: PORT
  std::string_view default_text;  // empty: not set
  uint64_t min = 0;               // numbers, sizes and durations only
  uint64_t max = 0;
  std::string_view choices;  // kChoice: "text|json"
  std::string_view help;
  std::variant<uint16_t Options::*, uint64_t Options::*, std::string Options::*, bool Options::*>
      field;
};

std::span<const OptionSpec> OptionTable();
// "ARIMA_SERVER_PORT"
std::string EnvironmentName(const OptionSpec& spec);
// "1 to 65535", "text or json"; what an error and the help say is allowed.
std::string AllowedValues(const OptionSpec& spec);

// The entry of that name, or null.
const OptionSpec* FindOption(std::string_view name);
// Checks `text` against `spec` and stores it. `where` names its origin in the error.
Status StoreOption(const OptionSpec& spec, std::string_view text, std::string_view where,
                   Options* options);

// "host", "host:port", "[v6]", "[v6]:port"; a bare IPv6 address has no port. False: malformed.
bool SplitHostPort(std::string_view text, std::string_view* host, std::string_view* port);

}  // namespace arima::node
