#include "http/error_mapping.h"

#include <gtest/gtest.h>

namespace arima::http {
namespace {

TEST(ErrorMapping, StatusOfEachCodeIsTheDocumentedOne) {
  const std::pair<Code, int> rows[] = {{Code::kInvalidArgument, 400}, {Code::kNotFound, 404},
                                       {Code::kAlreadyExists, 409},   {Code::kConflict, 409},
                                       {Code::kConditionFailed, 412}, {Code::kTooLarge, 413},
                                       {Code::kCompacted, 410},       {Code::kRemoved, 410},
                                       {Code::kOverloaded, 429},      {Code::kUnavailable, 503},
                                       {Code::kOutcomeUnknown, 504},  {Code::kPeerUnreachable, 502},
                                       {Code::kDiskFull, 507},        {Code::kIo, 500},
                                       {Code::kCorruption, 500},      {Code::kNotSupported, 501},
                                       {Code::kInternal, 500}};
  for (const auto& [code, status] : rows) {
    const ErrorAnswer answer = MapError({code, "what happened"}, Operation::kRead);
    EXPECT_EQ(answer.status, status) << CodeName(code);
    EXPECT_EQ(answer.code, CodeName(code));
    EXPECT_EQ(answer.message, "what happened");
  }
}

TEST(ErrorMapping, FailedWriteSaysNotAppliedOrUnknownAndNeverMore) {
  for (Code code : {Code::kRemoved, Code::kOverloaded, Code::kUnavailable, Code::kPeerUnreachable,
                    Code::kDiskFull}) {
    EXPECT_EQ(MapError({code, ""}, Operation::kWrite).members, ",\"outcome\":\"not_applied\"");
    EXPECT_EQ(MapError({code, ""}, Operation::kRead).members, "");
  }
  for (Code code : {Code::kOutcomeUnknown, Code::kIo, Code::kCorruption, Code::kInternal}) {
    EXPECT_EQ(MapError({code, ""}, Operation::kWrite).members, ",\"outcome\":\"unknown\"");
  }
}

TEST(ErrorMapping, OnlyWhatMayPassTellsToRetry) {
  EXPECT_EQ(MapError({Code::kUnavailable, ""}, Operation::kRead).header_lines,
            "Retry-After: 1\r\n");
  EXPECT_EQ(MapError({Code::kOverloaded, ""}, Operation::kWrite).header_lines,
            "Retry-After: 1\r\n");
  EXPECT_EQ(MapError({Code::kOutcomeUnknown, ""}, Operation::kWrite).header_lines, "");
}

}  // namespace
}  // namespace arima::http
