#include "transport/hello.h"

#include <gtest/gtest.h>

#include "base/hex.h"

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

// If this fails, nodes of different builds do not understand each other.
TEST(Hello, BytesOfVersionOneStayWhatTheyAre) {
  EXPECT_EQ(ToHex(EncodeHello(Greeting())),
            "01000700"                          // protocols 1 to 7
            "01020300000000000000000000000000"  // cluster id
            "0400000000000000"                  // from
            "05060000000000000000000000000000"  // its incarnation
            "0700000000000000"                  // to
            "020000006e34"                      // "n4"
            "0d00000031302e302e302e343a31313131");
  EXPECT_EQ(ToHex(EncodeHelloOk({1, raft::MemberId(7), Uuid{{9}}, "n7"})),
            "0100"
            "0700000000000000"
            "09000000000000000000000000000000"
            "020000006e37");
  EXPECT_EQ(ToHex(EncodeRefuse({RefuseReason::kNotMember, raft::MemberId(9), raft::Index(7), "x"})),
            "05"
            "0900000000000000"
            "0700000000000000"
            "0100000078");
}

}  // namespace
}  // namespace arima::transport
