// Error and Result<T>: how every fallible function of Arima reports failure.
//
// An operating error (peer, client, disk content) travels as a value; a programmer error is an
// ARIMA_ASSERT; an operator's mistake at start becomes one line on stderr and an exit code.
// No exception crosses a folder border.
//
//   Result<Segment> OpenSegment(...);
//   if (auto segment = OpenSegment(path); !segment) return std::unexpected(segment.error());
//
// Message rule: what was tried, on what, what came back, in one line without a final dot.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace arima {

// A closed set that answers "what may the caller do now?". Front ends map it to their own codes.
enum class Code {
  kInvalidArgument,  // the request itself is wrong; repeating it cannot help
  kNotFound,         // no such key, member, file
  kAlreadyExists,    // it is there already
  kConflict,         // membership conflict: other cluster, data present, name taken
  kConditionFailed,  // a condition of the request did not hold
  kTooLarge,         // over a documented limit
  kCompacted,        // the revision is gone
  kRemoved,          // this node is no longer a member
  kOverloaded,       // a bounded queue is full; not applied; retry later
  kUnavailable,      // no leader, not ready; not applied; retry later
  kOutcomeUnknown,   // may or may not have been applied
  kPeerUnreachable,  // the other node did not answer; nothing changed
  kDiskFull,         // no space; not applied
  kIo,               // the operating system refused a file operation
  kCorruption,       // bytes on disk are not what was written
  kNotSupported,     // understood, not offered
  kInternal,         // our bug, contained
};

std::string_view CodeName(Code code);  // "invalid_argument", ... stable machine words

struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string message;

  // "code: message" for logs.
  std::string ToString() const;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> Fail(Code code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

}  // namespace arima
