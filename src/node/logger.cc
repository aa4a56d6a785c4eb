// Lines are built here and only carried by spdlog: its own pattern does not escape JSON strings.
#include "node/logger.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace arima::node {
namespace {

std::string Timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  std::array<char, 40> out{};
  size_t n = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  int m = std::snprintf(out.data() + n, out.size() - n, ".%03ldZ", now.tv_nsec / 1'000'000);
  return std::string(out.data(), n + static_cast<size_t>(m));
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

// What does not apply to an event is given as an empty string, and left out of its line.
bool SaysNothing(const LogField& field) {
  const auto* text = std::get_if<std::string>(&field.value);
  return text != nullptr && text->empty();
}

// A value that would blur a text line is printed as a JSON string.
std::string TextValue(const std::string& value) {
  bool plain = !value.empty();
  for (char c : value) plain &= c > ' ' && c != '"' && c != '=' && c != '\x7f';
  return plain ? value : boost::json::serialize(boost::json::string(value));
}

}  // namespace

class Logger::Impl {
 public:
  Impl(std::string name, LogLevel lowest, LogFormat line_format)
      : node(std::move(name)),
        level(lowest),
        format(line_format),
        sink(std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    sink->set_pattern("%v");
  }

  void Write(std::string_view line) {
    sink->log(spdlog::details::log_msg("", spdlog::level::info, line));
    sink->flush();
  }

  std::string JsonLine(LogLevel at, std::string_view event, std::string_view message,
                       std::initializer_list<LogField> fields) const {
    boost::json::object line;
    line["time"] = Timestamp();
    line["level"] = LevelName(at);
    line["node"] = node;
    line["event"] = event;
    line["message"] = message;
    for (const LogField& field : fields) {
      if (SaysNothing(field)) continue;
      std::visit([&](const auto& value) { line[field.name] = value; }, field.value);
    }
    return boost::json::serialize(line);
  }

  std::string TextLine(LogLevel at, std::string_view event, std::string_view message,
                       std::initializer_list<LogField> fields) const {
    std::string line = Timestamp();
    line.append(" ").append(LevelName(at));
    line.append(LevelName(at).size() == 4 ? "  " : " ");
    line.append(node).append(" ").append(event).append(": ").append(message);
    for (const LogField& field : fields) {
      if (SaysNothing(field)) continue;
      line.append(" ").append(field.name).append("=");
      if (const auto* number = std::get_if<uint64_t>(&field.value)) {
        line.append(std::to_string(*number));
      } else {
        line.append(TextValue(std::get<std::string>(field.value)));
      }
    }
    return line;
  }

  const std::string node;
  const LogLevel level;
  const LogFormat format;
  std::shared_ptr<spdlog::sinks::stderr_sink_mt> sink;
};

Logger::Logger(std::string node, LogLevel level, LogFormat format)
    : impl_(std::make_unique<Impl>(std::move(node), level, format)) {}

Logger::Logger() = default;
Logger::~Logger() = default;

void Logger::End() { std::abort(); }

void Logger::Log(LogLevel level, std::string_view event, std::string_view message,
                 std::initializer_list<LogField> fields) {
  if (level < impl_->level) return;
  impl_->Write(impl_->format == LogFormat::kJson ? impl_->JsonLine(level, event, message, fields)
                                                 : impl_->TextLine(level, event, message, fields));
}

void Logger::Fatal(std::string_view event, std::string_view message,
                   std::initializer_list<LogField> fields) {
  Log(LogLevel::kError, event, message, fields);
  End();
  std::abort();  // GCC believes no virtual function that it does not return
}

}  // namespace arima::node
