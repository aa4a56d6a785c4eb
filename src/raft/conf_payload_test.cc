#include "raft/conf_payload.h"

#include <gtest/gtest.h>

namespace arima::raft {
namespace {

ConfChange Sample() {
  ConfChange change;
  change.transition = ConfTransition::kJointExplicit;
  change.context = "why";
  MemberInfo info;
  info.id = MemberId(7);
  info.name = "n7";
  info.raft_address = "127.0.0.7:7000";
  info.http_address = "127.0.0.7:8000";
  info.incarnation.bytes[3] = 9;
  info.attributes = {{"rack", "a"}, {"zone", "b"}};
  change.changes.push_back({ConfOp::kAddVoter, info});
  info = MemberInfo();
  info.id = MemberId(3);
  change.changes.push_back({ConfOp::kRemove, info});
  return change;
}

TEST(ConfPayload, DecodesToWhatWasEncoded) {
  for (const ConfChange& change : {Sample(), ConfChange{}}) {
    Result<ConfChange> decoded = DecodeConfPayload(EncodeConfPayload(change));
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(*decoded, change);
  }
}

TEST(ConfPayload, EveryShorterOrLongerRunOfBytesIsRefused) {
  std::string bytes = EncodeConfPayload(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeConfPayload(std::string_view(bytes).substr(0, n)).has_value()) << n;
  }
  EXPECT_FALSE(DecodeConfPayload(bytes + "x").has_value());
}

TEST(ConfPayload, UnknownVersionsAndOperationsAreRefused) {
  std::string bytes = EncodeConfPayload(Sample());
  bytes[0] = 2;
  EXPECT_EQ(DecodeConfPayload(bytes).error().code, Code::kNotSupported);
  bytes = EncodeConfPayload(Sample());
  bytes[1] = 9;  // transition
  EXPECT_EQ(DecodeConfPayload(bytes).error().code, Code::kCorruption);
  bytes = EncodeConfPayload(Sample());
  bytes[4] = 9;  // operation of the first item
  EXPECT_EQ(DecodeConfPayload(bytes).error().code, Code::kCorruption);
}

}  // namespace
}  // namespace arima::raft
