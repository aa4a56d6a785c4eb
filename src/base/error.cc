#include "base/error.h"

namespace arima {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "invalid_argument";
    case Code::kNotFound:
      return "not_found";
    case Code::kAlreadyExists:
      return "already_exists";
    case Code::kConflict:
      return "conflict";
    case Code::kConditionFailed:
      return "condition_failed";
    case Code::kTooLarge:
      return "too_large";
    case Code::kCompacted:
      return "compacted";
    case Code::kRemoved:
      return "removed";
    case Code::kOverloaded:
      return "overloaded";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kOutcomeUnknown:
      return "outcome_unknown";
    case Code::kPeerUnreachable:
      return "peer_unreachable";
    case Code::kDiskFull:
      return "disk_full";
    case Code::kIo:
      return "io";
    case Code::kCorruption:
      return "corruption";
    case Code::kNotSupported:
      return "not_supported";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

std::string Error::ToString() const { return std::string(CodeName(code)) + ": " + message; }

}  // namespace arima
