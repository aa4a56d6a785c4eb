#include "transport/hello.h"

#include <gtest/gtest.h>

namespace arima::transport {
namespace {

Hello Greeting() {
  Hello hello;
  hello.protocol_min = 1;
  hello.protocol_max = 7;
  hello.cluster_id.bytes = {1, 2, 3};
  hello.from = raft::MemberId(4);
  hello.from_incarnation.bytes = {5, 6};
  hello.to = raft::MemberId(7);
  hello.name = "n4";
  hello.address = "10.0.0.4:1111";
  return hello;
}

// Shorter bytes are refused, longer ones are those of a later version.
template <class Decode>
void ExpectOnlyWholeOnes(const std::string& bytes, Decode decode) {
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size))) << size;
  }
  auto longer = decode(bytes + "fields of a later version");
  ASSERT_TRUE(longer);
  EXPECT_EQ(*longer, *decode(bytes));
}

TEST(Hello, ComesBackAsItWas) {
  EXPECT_EQ(*DecodeHello(EncodeHello(Greeting())), Greeting());
  HelloOk answer{1, raft::MemberId(7), Uuid{{9}}, "n7"};
  EXPECT_EQ(*DecodeHelloOk(EncodeHelloOk(answer)), answer);
  Refuse refuse{RefuseReason::kNotMember, raft::MemberId(9), raft::Index(77), "removed"};
  EXPECT_EQ(*DecodeRefuse(EncodeRefuse(refuse)), refuse);
}

TEST(Hello, CutBytesAreRefusedAndLaterFieldsIgnored) {
  ExpectOnlyWholeOnes(EncodeHello(Greeting()), DecodeHello);
  ExpectOnlyWholeOnes(EncodeHelloOk({1, raft::MemberId(7), {}, "n7"}), DecodeHelloOk);
  ExpectOnlyWholeOnes(EncodeRefuse({RefuseReason::kBusy, {}, {}, "text"}), DecodeRefuse);
}

TEST(Hello, ARefusalOfALaterVersionIsARefusal) {
  Result<Refuse> refuse = DecodeRefuse(EncodeRefuse({static_cast<RefuseReason>(99), {}, {}, "?"}));
  ASSERT_TRUE(refuse);
  EXPECT_EQ(RefuseReasonName(refuse->reason), "unknown");
}

}  // namespace
}  // namespace arima::transport
