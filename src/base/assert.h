// ARIMA_ASSERT: a broken belief of the programmer ends the process, in release builds too.
//
// Never for anything a peer, a client or a file can cause (those are Error values). Further
// arguments are printed with their text:   ARIMA_ASSERT(commit <= last, commit, last);
// ARIMA_DEBUG_ASSERT is for costly checks: compiled only with ARIMA_CHECK_INVARIANTS.
#pragma once

#include <sstream>
#include <string>
#include <string_view>

namespace arima {

// Prints "assertion failed: ..." with place and values to stderr, runs the hook, aborts.
[[noreturn]] void AssertFailed(std::string_view condition, std::string_view file, int line,
                               const std::string& values);

// Called once before abort(), e.g. to print the seed of a simulation. Not thread-safe: set at
// start.
void SetAssertHook(void (*hook)());

namespace internal {

inline std::string DescribeValues(std::string_view) { return {}; }

template <class... Values>
std::string DescribeValues(std::string_view names, const Values&... values) {
  std::ostringstream out;
  out << " with (" << names << ") = (";
  bool first = true;
  ((out << (first ? "" : ", ") << values, first = false), ...);
  out << ")";
  return out.str();
}

}  // namespace internal
}  // namespace arima

#define ARIMA_ASSERT(condition, ...)                                                   \
  do {                                                                                 \
    if (!(condition)) [[unlikely]] {                                                   \
      ::arima::AssertFailed(                                                           \
          #condition, __FILE__, __LINE__,                                              \
          ::arima::internal::DescribeValues(#__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                                                  \
  } while (false)

#ifdef ARIMA_CHECK_INVARIANTS
#define ARIMA_DEBUG_ASSERT(...) ARIMA_ASSERT(__VA_ARGS__)
#else
#define ARIMA_DEBUG_ASSERT(...) \
  do {                          \
  } while (false)
#endif
