// The node's log: one line per event that an operator cares about, with node, term and reason.
//
// Text ("2026-01-31T12:00:00.123Z info  n1 leader_elected term=3 ...") or one JSON object per line.
// Nothing is logged per request. Thread rule: any thread; lines are never interleaved.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"

namespace arima::node {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : uint8_t { kText, kJson };

// Words of events that others than people look for.
inline constexpr std::string_view kSafetyViolationEvent = "safety_violation";
inline constexpr std::string_view kLogRegressionEvent = "log_regression";
inline constexpr std::string_view kSnapshotInstalledEvent = "snapshot_installed";

struct LogField {
  std::string_view name;
  std::variant<uint64_t, std::string> value;

  LogField(std::string_view n, uint64_t v) : name(n), value(v) {}
  LogField(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  LogField(std::string_view n, std::string_view v) : name(n), value(std::string(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string(v)) {}
};

class Logger {
 public:
  // Writes to stderr. `node` is repeated in every line.
  Logger(std::string node, LogLevel level, LogFormat format);
  virtual ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // `event` is a stable machine word; `message` says what happened and what to do next.
  virtual void Log(LogLevel level, std::string_view event, std::string_view message,
                   std::initializer_list<LogField> fields = {});

  void Info(std::string_view event, std::string_view message,
            std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kInfo, event, message, fields);
  }
  void Warn(std::string_view event, std::string_view message,
            std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kWarn, event, message, fields);
  }
  void Error(std::string_view event, std::string_view message,
             std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kError, event, message, fields);
  }

  // The loud end: logs and aborts. For a failed write or sync of the log and for what can only be
  // a broken belief about durable state; a core dump and the last line say why.
  [[noreturn]] void Fatal(std::string_view event, std::string_view message,
                          std::initializer_list<LogField> fields = {});

 protected:
  // For the simulator, which has lines and ends of its own.
  Logger();
  // Ends the process.
  [[noreturn]] virtual void End();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::node
