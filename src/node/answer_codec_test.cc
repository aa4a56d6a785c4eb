#include "node/answer_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace arima::node {
namespace {

service::Stats SomeStats() {
  return {{"state", "Leader"}, {"latest_configuration", std::string("[{\0}]", 5)}, {"empty", ""}};
}

TEST(AnswerCodec, CarriesAJoinAnswer) {
  for (bool caught_up : {true, false}) {
    auto decoded =
        DecodeJoinAnswer(EncodeJoinAnswer(service::JoinResponse{caught_up, SomeStats()}));
    ASSERT_TRUE(decoded) << decoded.error().ToString();
    EXPECT_EQ(decoded->caught_up, caught_up);
    EXPECT_EQ(decoded->stats, SomeStats());
  }
}

TEST(AnswerCodec, CarriesARemoveAnswer) {
  auto decoded = DecodeRemoveAnswer(EncodeRemoveAnswer(service::RemoveResponse{SomeStats()}));
  ASSERT_TRUE(decoded) << decoded.error().ToString();
  EXPECT_EQ(decoded->stats, SomeStats());
}

TEST(AnswerCodec, CarriesATransferAnswer) {
  for (bool moved : {true, false}) {
    std::string bytes = EncodeTransferAnswer(service::TransferResponse{"n2", moved, SomeStats()});
    auto decoded = DecodeTransferAnswer(bytes);
    ASSERT_TRUE(decoded) << decoded.error().ToString();
    EXPECT_EQ(decoded->leader, "n2");
    EXPECT_EQ(decoded->moved, moved);
    EXPECT_EQ(decoded->stats, SomeStats());
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
      auto short_one = DecodeTransferAnswer(std::string_view(bytes).substr(0, cut));
      ASSERT_FALSE(short_one) << cut;
      EXPECT_EQ(short_one.error().code, Code::kOutcomeUnknown);
    }
  }
}

TEST(AnswerCodec, CarriesEveryRefusalWithItsCodeAndText) {
  for (int n = 0; n <= static_cast<int>(Code::kInternal); ++n) {
    Error error{static_cast<Code>(n), "why not"};
    auto join = DecodeJoinAnswer(EncodeJoinAnswer(std::unexpected(error)));
    ASSERT_FALSE(join);
    EXPECT_EQ(join.error().code, error.code) << CodeName(error.code);
    EXPECT_EQ(join.error().message, "why not");
    auto remove = DecodeRemoveAnswer(EncodeRemoveAnswer(std::unexpected(error)));
    ASSERT_FALSE(remove);
    EXPECT_EQ(remove.error().code, error.code);
    auto transfer = DecodeTransferAnswer(EncodeTransferAnswer(std::unexpected(error)));
    ASSERT_FALSE(transfer);
    EXPECT_EQ(transfer.error().code, error.code);
  }
}

TEST(AnswerCodec, WhatMakesNoSenseIsAnUnknownOutcome) {
  std::string good = EncodeJoinAnswer(service::JoinResponse{true, SomeStats()});
  for (size_t cut = 0; cut < good.size(); ++cut) {
    auto decoded = DecodeJoinAnswer(std::string_view(good).substr(0, cut));
    ASSERT_FALSE(decoded) << cut;
    EXPECT_EQ(decoded.error().code, Code::kOutcomeUnknown);
  }
  std::string newer = good;
  newer[0] = 2;
  EXPECT_EQ(DecodeJoinAnswer(newer).error().code, Code::kOutcomeUnknown);
  std::string many = good;
  many.replace(3, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(DecodeJoinAnswer(many).error().code, Code::kOutcomeUnknown);
  std::string refusal = EncodeRemoveAnswer(Fail(Code::kConflict, "why not"));
  for (size_t cut = 0; cut < refusal.size(); ++cut) {
    auto decoded = DecodeRemoveAnswer(std::string_view(refusal).substr(0, cut));
    ASSERT_FALSE(decoded) << cut;
    EXPECT_EQ(decoded.error().code, Code::kOutcomeUnknown) << cut;
  }
}

TEST(AnswerCodec, SurvivesAnyBytes) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    SeededRandom random(seed);
    std::string bytes = seed % 2 == 0 ? EncodeJoinAnswer(service::JoinResponse{true, SomeStats()})
                                      : std::string(random.Below(60), '\1');
    for (int i = 0; i < 4 && !bytes.empty(); ++i) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
    }
    (void)DecodeJoinAnswer(bytes);
    (void)DecodeRemoveAnswer(bytes);
    (void)DecodeTransferAnswer(bytes);
  }
}

}  // namespace
}  // namespace arima::node
