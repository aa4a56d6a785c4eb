#include "http/error_mapping.h"

namespace arima::http {
namespace {

// What a write that failed this way did to the data.
enum class Outcome : uint8_t { kUnsaid, kNotApplied, kUnknown };

struct Mapping {
  int status;
  Outcome outcome;
  bool retry_later;
};

Mapping MappingOf(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return {400, Outcome::kUnsaid, false};
    case Code::kNotFound:
      return {404, Outcome::kUnsaid, false};
    case Code::kAlreadyExists:
      return {409, Outcome::kUnsaid, false};
    case Code::kConflict:
      return {409, Outcome::kUnsaid, false};
    case Code::kConditionFailed:
      return {412, Outcome::kUnsaid, false};
    case Code::kTooLarge:
      return {413, Outcome::kUnsaid, false};
    case Code::kCompacted:
      return {410, Outcome::kUnsaid, false};
    case Code::kRemoved:
      return {410, Outcome::kNotApplied, false};
    case Code::kOverloaded:
      return {429, Outcome::kNotApplied, true};
    case Code::kUnavailable:
      return {503, Outcome::kNotApplied, true};
    case Code::kOutcomeUnknown:
      return {504, Outcome::kUnknown, false};
    case Code::kPeerUnreachable:
      return {502, Outcome::kNotApplied, false};
    case Code::kDiskFull:
      return {507, Outcome::kNotApplied, false};
    // A fault of this node in the middle of a write: the command may be on its way already.
    case Code::kIo:
      return {500, Outcome::kUnknown, false};
    case Code::kCorruption:
      return {500, Outcome::kUnknown, false};
    case Code::kNotSupported:
      return {501, Outcome::kUnsaid, false};
    case Code::kInternal:
      return {500, Outcome::kUnknown, false};
  }
  return {500, Outcome::kUnknown, false};
}

}  // namespace

ErrorAnswer MapError(const Error& error, Operation operation) {
  const Mapping mapping = MappingOf(error.code);
  ErrorAnswer answer;
  answer.status = mapping.status;
  answer.code = CodeName(error.code);
  answer.message = error.message;
  if (mapping.retry_later) answer.header_lines = "Retry-After: 1\r\n";
  if (operation == Operation::kWrite && mapping.outcome == Outcome::kNotApplied) {
    answer.members = ",\"outcome\":\"not_applied\"";
  }
  // 504 is never without its outcome: a read that ends so is a write's error in disguise.
  if (mapping.outcome == Outcome::kUnknown &&
      (operation == Operation::kWrite || error.code == Code::kOutcomeUnknown)) {
    answer.members = ",\"outcome\":\"unknown\"";
  }
  return answer;
}

}  // namespace arima::http
