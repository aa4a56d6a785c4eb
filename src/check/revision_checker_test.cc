// Each rule about revisions, kept and broken. The values of these histories agree with some order,
// so that nothing but the revisions can be what is wrong.

#include "check/revision_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "check/linearizability.h"
#include "check/test_histories.h"

namespace arima::check {
namespace {

using ::testing::HasSubstr;

constexpr std::nullopt_t kNothing = std::nullopt;

void ExpectGood(const HistoryBuilder& history) {
  const Report report = CheckHistory(history.operations());
  EXPECT_EQ(report.judgement, Judgement::kLinearizable) << report.Text();
}

void ExpectBad(const HistoryBuilder& history, const std::string& what) {
  const Report report = CheckHistory(history.operations());
  ASSERT_EQ(report.violations.size(), 1u) << report.Text();
  EXPECT_EQ(report.violations[0].rule, "revisions");
  EXPECT_THAT(report.violations[0].text, HasSubstr(what));
}

TEST(Revisions, OneRevisionIsOneWrite) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).At(2).Put("b", 0, 10).At(3));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).At(2).Put("b", 0, 10).At(2), "two writes");
  ExpectBad(HistoryBuilder().Put("a", 0, 10).At(2).Key("x").Put("b", 0, 10).At(2), "two writes");
}

TEST(Revisions, ADeleteThatFoundNoKeyMadeNone) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).At(2).Key("x").Delete(20, 30).Deleted(false).At(2));
  ExpectBad(HistoryBuilder()
                .Put("a", 0, 10)
                .At(2)
                .Key("x")
                .Put("b", 0, 10)
                .Delete(5, 30)
                .Deleted(true)
                .At(2),
            "two writes");
}

TEST(Revisions, ARevisionHasOneContent) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 90).At(2).Put("b", 0, 90); };
  ExpectGood(begin().Read("a", 10, 20).At(2).Read("b", 30, 40).At(3));
  ExpectBad(begin().Read("b", 10, 20).At(2), "two contents");
  // Also if no write has said it: two reads are enough.
  ExpectBad(HistoryBuilder()
                .Put("a", 0, 90)
                .Put("b", 0, 90)
                .Read("a", 10, 20)
                .At(5)
                .Read("b", 30, 40)
                .At(5),
            "two contents");
}

TEST(Revisions, LaterWritesMakeNewerRevisions) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).At(2).Put("b", 20, 30).At(3));
  ExpectGood(HistoryBuilder().Put("a", 0, 25).At(3).Put("b", 20, 30).At(2));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).At(3).Put("b", 20, 30).At(2), "a write is older");
  // Over keys too, where no order of one key's operations could tell.
  ExpectBad(HistoryBuilder().Put("a", 0, 10).At(3).Key("x").Put("b", 20, 30).At(2),
            "a write is older");
}

TEST(Revisions, LaterReadsSeeNoOlderStore) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 10).At(5).Key("x"); };
  ExpectGood(begin().Read(kNothing, 20, 30).Store(5));
  ExpectGood(begin().Read(kNothing, 5, 30).Store(4));
  ExpectBad(begin().Read(kNothing, 20, 30).Store(4), "older store");
  ExpectGood(begin().Read(kNothing, 20, 30).Stale().Store(4));
}

TEST(Revisions, WhatAStaleReadSawIsThereForAll) {
  ExpectBad(HistoryBuilder().Read(kNothing, 0, 10).Stale().Store(7).Read(kNothing, 20, 30).Store(6),
            "older store");
  ExpectBad(HistoryBuilder().Read(kNothing, 0, 10).Stale().Store(7).Put("a", 20, 30).At(7).Key("x"),
            "a write is older");
}

TEST(Revisions, AReadShowsTheLastWriteUpToItsStore) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 90).At(2).Put("b", 0, 90).At(4); };
  ExpectGood(begin().Read("a", 10, 20).At(2).Store(3));
  ExpectGood(begin().Read("b", 10, 20).At(4).Store(4));
  ExpectBad(begin().Read("a", 10, 20).At(2).Store(4), "last write");
  ExpectBad(begin().Read(kNothing, 10, 20).Store(2), "last write");
  ExpectBad(begin().Read("b", 10, 20).At(4).Store(3), "newer than the store");
}

TEST(Revisions, ThatHoldsForStaleReads) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 10).At(2).Put("b", 20, 30).At(4); };
  ExpectGood(begin().Read("a", 40, 50).Stale().At(2).Store(3));
  ExpectBad(begin().Read("a", 40, 50).Stale().At(2).Store(4), "last write");
  ExpectBad(begin().Read(kNothing, 40, 50).Stale().Store(3), "last write");
}

TEST(Revisions, AReadWitnessesAWriteWhoseAnswerWasLost) {
  const auto begin = [] {
    return HistoryBuilder()
        .Put("a", 0, 10)
        .At(2)
        .Put("b", 20, 0)
        .Unknown()
        .Read("b", 30, 40)
        .At(4)
        .Store(4);
  };
  ExpectGood(begin().Read("a", 50, 60).Stale().At(2).Store(3));
  ExpectBad(begin().Read("a", 50, 60).Stale().At(2).Store(4), "last write");
  ExpectBad(begin().Read(kNothing, 50, 60).Stale().Store(5), "last write");
  ExpectGood(begin().Delete(45, 0).Unknown().Read(kNothing, 50, 60).Stale().Store(5));
  // Whichever of the two reads comes first in the history.
  ExpectBad(HistoryBuilder()
                .Read("a", 50, 60)
                .Stale()
                .At(2)
                .Store(4)
                .Put("a", 0, 10)
                .At(2)
                .Put("b", 20, 0)
                .Unknown()
                .Read("b", 30, 40)
                .At(4)
                .Store(4),
            "last write");
}

TEST(Revisions, AbsenceMayBeDueToADelete) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 90).At(2); };
  ExpectGood(begin().Delete(10, 20).Deleted(true).At(3).Read(kNothing, 30, 40).Store(3));
  ExpectGood(begin().Delete(10, 0).Unknown().Read(kNothing, 30, 40).Store(3));
  ExpectBad(begin().Read(kNothing, 30, 40).Store(3).Delete(50, 0).Unknown(), "last write");
  ExpectBad(begin().Delete(10, 20).Deleted(true).At(4).Read(kNothing, 15, 40).Store(3),
            "last write");
}

TEST(Revisions, ADeleteThatFoundNoKeyIsALook) {
  ExpectBad(HistoryBuilder().Put("a", 0, 90).At(2).Delete(10, 20).Deleted(false).At(3),
            "last write");
}

TEST(Revisions, AListingIsOneReadPerKey) {
  const auto begin = [] {
    return HistoryBuilder().Put("a", 0, 90).At(2).Key("x").Put("b", 0, 90).At(3).Key("y");
  };
  ExpectGood(
      begin().Read("a", 10, 20).At(2).Store(2).Key("x").Read(kNothing, 10, 20).Store(2).Key("y"));
  // Half of it from before the second write, half from behind it.
  ExpectBad(
      begin().Read("a", 10, 20).At(2).Store(3).Key("x").Read(kNothing, 10, 20).Store(3).Key("y"),
      "last write");
}

}  // namespace
}  // namespace arima::check
