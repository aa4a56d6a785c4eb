// Design note. CLI11 only splits the flags into (name, text), toml++ only the file into (key,
// text). All meaning is given by StoreOption(), so a value is checked the same way wherever it was
// written. A value that a stronger origin hides is checked too: a broken file is reported even
// when a flag makes up for it today.

#include "node/options.h"

#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <ostream>

#include "base/assert.h"
#include "base/hex.h"
#include "base/units.h"
#include "node/option_table.h"

namespace arima::node {
namespace {

constexpr std::string_view kConfigFlag = "config";
constexpr std::string_view kConfigEnvironment = "ARIMA_CONFIG";

// One (text, place) an origin offers for an option.
struct Given {
  std::string text;
  std::string where;
};
using GivenByName = std::map<std::string, Given, std::less<>>;

std::string JoinHostPort(std::string_view host, std::string_view port) {
  const bool bracket = host.find(':') != std::string_view::npos;
  std::string out(bracket ? "[" : "");
  out.append(host).append(bracket ? "]:" : ":").append(port);
  return out;
}

// `text` with `port` appended unless it names one.
std::string WithPort(std::string_view text, uint16_t port) {
  std::string_view host;
  std::string_view own_port;
  const bool valid = SplitHostPort(text, &host, &own_port);
  ARIMA_ASSERT(valid, text);
  return JoinHostPort(host, own_port.empty() ? std::to_string(port) : std::string(own_port));
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

bool IsWildcard(std::string_view host) { return host == "0.0.0.0" || host == "::"; }

// A message that quotes what somebody wrote, with line ends and the like made visible.
std::string OneLine(std::string_view message) {
  std::string line;
  for (const char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      line.append("\\x").append(ToHex(std::string_view(&c, 1)));
    } else {
      line.push_back(c);
    }
  }
  return line;
}

struct Flags {
  GivenByName values;
  bool help = false;
};

Result<Flags> ParseFlags(const std::vector<std::string>& args) {
  CLI::App app;
  app.set_help_flag();
  Flags flags;
  app.add_flag("-h,--help", flags.help);
  std::map<std::string, std::string, std::less<>> texts;
  for (const OptionSpec& spec : OptionTable()) {
    std::string names = "--" + std::string(spec.name);
    if (!spec.alias.empty()) names.append(",-").append(spec.alias);
    std::string& text = texts[std::string(spec.name)];
    if (spec.type == OptionType::kSwitch) {
      app.add_flag(names, text);
    } else {
      app.add_option(names, text)->type_name(std::string(spec.placeholder));
    }
  }
  app.add_option("--" + std::string(kConfigFlag), texts[std::string(kConfigFlag)])
      ->type_name("FILE");
  app.allow_extras();
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::ParseError& error) {
    std::string line = error.what();
    std::ranges::replace(line, '\n', ' ');
    return Fail(Code::kInvalidArgument, line + " (arima run --help lists the flags)");
  }
  if (const std::vector<std::string> unknown = app.remaining(); !unknown.empty() && !flags.help) {
    return Fail(Code::kInvalidArgument, "\"" + unknown.front() +
                                            "\" is not a flag of arima run (arima run --help lists "
                                            "them)");
  }
  for (auto& [name, text] : texts) {
    if (app.count("--" + name) == 0) continue;
    flags.values[name] = {std::move(text), "flag --" + name};
  }
  return flags;
}

struct Environment {
  GivenByName values;
  std::vector<std::string> unknown;
};

Environment ReadEnvironment(const std::vector<std::string>& variables) {
  Environment out;
  for (const std::string& variable : variables) {
    const size_t equals = variable.find('=');
    if (!variable.starts_with("ARIMA_") || equals == std::string::npos) continue;
    const std::string name = variable.substr(0, equals);
    Given given{variable.substr(equals + 1), "environment " + name};
    if (name == kConfigEnvironment) {
      out.values[std::string(kConfigFlag)] = std::move(given);
      continue;
    }
    const auto spec = std::ranges::find(OptionTable(), name, EnvironmentName);
    if (spec == OptionTable().end()) {
      out.unknown.push_back(name);
    } else {
      out.values[std::string(spec->name)] = std::move(given);
    }
  }
  return out;
}

Result<GivenByName> ReadFile(const std::string& path, const OptionSources& sources) {
  Result<std::string> content = sources.read_file(path);
  if (!content) return std::unexpected(content.error());
  toml::table table;
  try {
    table = toml::parse(*content, path);
  } catch (const toml::parse_error& error) {
    return Fail(Code::kInvalidArgument, path + " line " +
                                            std::to_string(error.source().begin.line) + ": " +
                                            std::string(error.description()));
  }
  GivenByName out;
  for (const auto& [key, node] : table) {
    const std::string where = path + " line " + std::to_string(node.source().begin.line);
    const OptionSpec* spec = FindOption(key.str());
    if (spec == nullptr) {
      return Fail(Code::kInvalidArgument, where + ": there is no option \"" +
                                              std::string(key.str()) +
                                              "\" (arima run --help lists them)");
    }
    Given given{{}, where};
    if (const auto* text = node.as_string()) {
      given.text = text->get();
    } else if (const auto* number = node.as_integer()) {
      given.text = std::to_string(number->get());
    } else if (const auto* truth = node.as_boolean();
               truth != nullptr && spec->type == OptionType::kSwitch) {
      given.text = truth->get() ? "true" : "false";
    } else {
      return Fail(Code::kInvalidArgument,
                  where + ": " + std::string(key.str()) + " must be a string or a whole number");
    }
    out[std::string(key.str())] = std::move(given);
  }
  return out;
}

// What no single option can know.
Status CheckOptions(const Options& options) {
  if (options.heartbeat_interval_ms * 3 > options.election_timeout_ms) {
    return Fail(Code::kInvalidArgument,
                "heartbeat-interval is " + FormatDurationMs(options.heartbeat_interval_ms) +
                    ": it may be at most a third of election-timeout, which is " +
                    FormatDurationMs(options.election_timeout_ms));
  }
  if (options.max_body_bytes < options.max_value_bytes) {
    return Fail(Code::kInvalidArgument, "max-body-bytes is " + FormatBytes(options.max_body_bytes) +
                                            ": it may not be less than max-value-bytes, which is " +
                                            FormatBytes(options.max_value_bytes));
  }
  if (options.log_retain_max < options.log_retain_bytes) {
    return Fail(Code::kInvalidArgument,
                "log-retain-max is " + FormatBytes(options.log_retain_max) +
                    ": it may not be less than log-retain-bytes, which is " +
                    FormatBytes(options.log_retain_bytes));
  }
  if (options.raft_advertise.empty() && IsWildcard(options.raft_address)) {
    return Fail(Code::kInvalidArgument,
                "raft-address is " + options.raft_address +
                    ": no node can connect to that; use raft-listen for it and name this machine "
                    "with raft-advertise");
  }
  if (options.server_port == options.raft_port && !options.RaftIsOpen() && !options.HttpIsOpen()) {
    return Fail(Code::kInvalidArgument, "server-port and raft-port are both " +
                                            std::to_string(options.raft_port) +
                                            ": HTTP and raft need a port each");
  }
  return {};
}

Result<GivenByName> FileValues(const Flags& flags, const Environment& environment,
                               const OptionSources& sources) {
  for (const GivenByName* origin : {&flags.values, &environment.values}) {
    const auto config = origin->find(kConfigFlag);
    if (config != origin->end()) return ReadFile(config->second.text, sources);
  }
  return GivenByName{};
}

}  // namespace

std::string Options::RaftListenHost() const {
  return raft_listen.empty() ? raft_address : raft_listen;
}

std::string Options::RaftAdvertised() const {
  if (!raft_advertise.empty()) return WithPort(raft_advertise, raft_port);
  return JoinHostPort(raft_address.empty() ? "127.0.0.1" : raft_address, std::to_string(raft_port));
}

bool Options::RaftAdvertisedByOperator() const {
  return !raft_advertise.empty() || !raft_address.empty();
}

std::string Options::HttpAdvertised() const {
  if (!server_advertise.empty()) return WithPort(server_advertise, server_port);
  // An address to listen on everywhere is none to connect to.
  const bool nameable = !server_address.empty() && !IsWildcard(server_address);
  return JoinHostPort(nameable ? server_address : "127.0.0.1", std::to_string(server_port));
}

bool Options::RaftIsOpen() const {
  const std::string host = RaftListenHost();
  return !host.empty() && !IsLoopback(host);
}

bool Options::HttpIsOpen() const { return !server_address.empty() && !IsLoopback(server_address); }

std::string_view OriginName(Origin origin) {
  switch (origin) {
    case Origin::kDefault:
      return "default";
    case Origin::kFile:
      return "file";
    case Origin::kEnvironment:
      return "environment";
    case Origin::kFlag:
      return "flag";
  }
  return "default";
}

OptionSources ProcessOptionSources() {
  OptionSources sources;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    sources.environment.emplace_back(*variable);
  }
  sources.read_file = [](const std::string& path) -> Result<std::string> {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                               std::fclose);
    std::string content;
    size_t got = 0;
    if (file) {
      char chunk[4096];
      while ((got = std::fread(chunk, 1, sizeof chunk, file.get())) > 0) content.append(chunk, got);
    }
    if (!file || std::ferror(file.get()) != 0) {
      return Fail(Code::kInvalidArgument,
                  "config: cannot read " + path + ": " + std::strerror(errno));
    }
    return content;
  };
  return sources;
}

namespace {

Result<Resolved> Resolve(const std::vector<std::string>& args, const OptionSources& sources) {
  Result<Flags> flags = ParseFlags(args);
  if (!flags) return std::unexpected(flags.error());
  Resolved resolved;
  resolved.help = flags->help;
  if (resolved.help) return resolved;

  const Environment environment = ReadEnvironment(sources.environment);
  for (const std::string& name : environment.unknown) {
    resolved.warnings.push_back("environment variable " + name + " names no option");
  }
  const Result<GivenByName> file = FileValues(*flags, environment, sources);
  if (!file) return std::unexpected(file.error());

  // Weakest first, so that the last to speak wins and every value is checked.
  const std::pair<Origin, const GivenByName*> origins[] = {
      {Origin::kFile, &*file},
      {Origin::kEnvironment, &environment.values},
      {Origin::kFlag, &flags->values}};
  resolved.values.reserve(OptionTable().size());
  for (const OptionSpec& spec : OptionTable()) {
    ResolvedOption value{&spec, std::string(spec.default_text), Origin::kDefault, "default"};
    Status status;
    if (!value.text.empty()) status = StoreOption(spec, value.text, value.where, &resolved.options);
    ARIMA_ASSERT(status.has_value(), spec.name);
    for (const auto& [origin, givens] : origins) {
      const auto given = givens->find(spec.name);
      if (given == givens->end()) continue;
      status = StoreOption(spec, given->second.text, given->second.where, &resolved.options);
      if (!status) return std::unexpected(status.error());
      value = {&spec, given->second.text, origin, given->second.where};
    }
    resolved.values.push_back(std::move(value));
  }
  if (Status status = CheckOptions(resolved.options); !status) {
    return std::unexpected(status.error());
  }
  return resolved;
}

}  // namespace

Result<Resolved> ResolveOptions(const std::vector<std::string>& args,
                                const OptionSources& sources) {
  Result<Resolved> resolved = Resolve(args, sources);
  if (!resolved) return Fail(resolved.error().code, OneLine(resolved.error().message));
  for (std::string& warning : resolved->warnings) warning = OneLine(warning);
  return resolved;
}

void PrintOptions(std::ostream& out) {
  for (const OptionSpec& spec : OptionTable()) {
    out << "   --" << spec.name;
    if (!spec.placeholder.empty()) out << " " << spec.placeholder;
    if (!spec.alias.empty()) out << ", -" << spec.alias << " " << spec.placeholder;
    out << "  (";
    if (!spec.default_text.empty()) out << "default: " << spec.default_text << "; ";
    out << AllowedValues(spec) << ")\n         " << spec.help << " [$" << EnvironmentName(spec)
        << "]\n";
  }
  out << "   --config FILE\n"
         "         TOML file with any of these options, named without the dashes in front\n"
         "         (a flag beats the environment, the environment beats the file) ["
      << "$" << kConfigEnvironment << "]\n"
      << "   --help, -h\n"
         "         show this help\n";
}

}  // namespace arima::node
