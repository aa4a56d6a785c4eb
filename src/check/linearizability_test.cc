// Histories known to be good and bad, one fact each. Times are in ns; A [0, 10] B [20, 30] means
// that A ended before B began.

#include "check/linearizability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "check/test_histories.h"

namespace arima::check {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::nullopt_t kNothing = std::nullopt;

Report Check(const HistoryBuilder& history) { return CheckHistory(history.operations()); }

void ExpectGood(const HistoryBuilder& history) {
  const Report report = Check(history);
  EXPECT_EQ(report.judgement, Judgement::kLinearizable) << report.Text();
  EXPECT_THAT(report.violations, IsEmpty());
}

void ExpectBad(const HistoryBuilder& history, const std::string& rule = "no order") {
  const Report report = Check(history);
  EXPECT_EQ(report.judgement, Judgement::kViolated) << report.Text();
  ASSERT_FALSE(report.violations.empty());
  EXPECT_EQ(report.violations.front().rule, rule) << report.Text();
}

// ------------------------------------------------------------ reads and writes

TEST(Linearizability, NothingIsLinearizable) { ExpectGood(HistoryBuilder()); }

TEST(Linearizability, AKeyStartsAbsent) {
  ExpectGood(HistoryBuilder().Read(kNothing, 0, 10));
  ExpectGood(HistoryBuilder().Read(kNothing, 0, 10).Put("a", 20, 30).Read("a", 40, 50));
}

TEST(Linearizability, AReadSeesWhatWasWrittenBeforeIt) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Read("a", 20, 30));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Read(kNothing, 20, 30));
}

TEST(Linearizability, AStaleReadIsNone) {
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 30).Read("a", 40, 50));
}

TEST(Linearizability, AReadBesideAWriteSeesOldOrNew) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 40).Read("a", 25, 35));
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 40).Read("b", 25, 35));
}

TEST(Linearizability, ReadsDoNotGoBackWhileAWriteIsUnderWay) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 90).Read("a", 25, 35).Read("b", 40, 50));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 90).Read("b", 25, 35).Read("a", 40, 50));
}

TEST(Linearizability, EqualTimesOverlap) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Read(kNothing, 10, 20));
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Read("a", 10, 20));
}

TEST(Linearizability, ALostWriteIsNone) {
  ExpectBad(HistoryBuilder()
                .Put("a", 0, 10)
                .Read("a", 20, 30)
                .Put("b", 40, 50)
                .Read("a", 60, 70)
                .Read("a", 80, 90));
}

TEST(Linearizability, WritesTakeOneOrderForAll) {
  HistoryBuilder two_orders;
  two_orders.Put("a", 0, 100).Put("b", 0, 100);
  two_orders.Read("a", 110, 120).Read("b", 130, 140);
  ExpectBad(two_orders);
  ExpectGood(HistoryBuilder()
                 .Put("a", 0, 100)
                 .Put("b", 0, 100)
                 .Read("a", 10, 20)
                 .Read("b", 30, 40)
                 .Read("b", 110, 120));
}

TEST(Linearizability, OverlappingChainsAreFollowedToTheirEnd) {
  // Each operation overlaps with the next: there is no quiet moment, and one order only.
  HistoryBuilder good;
  HistoryBuilder bad;
  for (HistoryBuilder* history : {&good, &bad}) {
    for (uint64_t i = 0; i < 50; ++i) {
      history->Put("v" + std::to_string(i), i * 10, i * 10 + 14);
      history->Read("v" + std::to_string(i), i * 10 + 5, i * 10 + 19);
    }
  }
  good.Read("v49", 490, 600);
  bad.Read("v46", 490, 600);
  ExpectGood(good);
  ExpectBad(bad);
}

TEST(Linearizability, AValueThatNobodyWroteIsNone) {
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Read("b", 20, 30), "value never written");
  ExpectBad(HistoryBuilder().Read("a", 0, 10).Put("a", 20, 30), "value never written");
}

TEST(Linearizability, AValueOfAnotherKeyIsNone) {
  const Report report = Check(HistoryBuilder().Put("a", 0, 10).Key("x").Read("a", 20, 30).Key("y"));
  EXPECT_EQ(report.judgement, Judgement::kViolated);
  ASSERT_EQ(report.violations.size(), 1u);
  EXPECT_THAT(report.violations[0].operations, ElementsAre(0, 1));
}

TEST(Linearizability, KeysAreJudgedOneByOne) {
  ExpectGood(HistoryBuilder()
                 .Put("a", 0, 10)
                 .Key("x")
                 .Put("b", 5, 15)
                 .Key("y")
                 .Read("a", 20, 30)
                 .Key("x")
                 .Read("b", 20, 30)
                 .Key("y"));
}

// ------------------------------------------------------------ deletes

TEST(Linearizability, ADeleteMakesAKeyAbsent) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Delete(20, 30).Read(kNothing, 40, 50));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Delete(20, 30).Read("a", 40, 50));
}

TEST(Linearizability, ADeleteThatFoundAKeyNeedsOne) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Delete(20, 30).Deleted(true));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Delete(20, 30).Deleted(false));
  ExpectBad(HistoryBuilder().Delete(20, 30).Deleted(true));
  // Two deletes of one value did not both find it.
  ExpectBad(
      HistoryBuilder().Put("a", 0, 10).Delete(20, 30).Deleted(true).Delete(20, 30).Deleted(true));
}

// ------------------------------------------------------------ compare and set

TEST(Linearizability, ACompareAndSetMeetsWhatItExpects) {
  ExpectGood(HistoryBuilder().Cas(kNothing, "a", 0, 10).Cas("a", "b", 20, 30).Read("b", 40, 50));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 30).Cas("a", "c", 40, 50));
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Cas(kNothing, "b", 20, 30));
}

TEST(Linearizability, TwoCompareAndSetsOfOneValueDoNotBothSucceed) {
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Cas("a", "b", 20, 60).Cas("a", "c", 20, 60));
  ExpectGood(
      HistoryBuilder().Put("a", 0, 10).Cas("a", "b", 20, 60).Cas("a", "c", 20, 60).Mismatch());
}

TEST(Linearizability, ACompareAndSetThatMismatchedDidNotWrite) {
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Cas("z", "b", 20, 30).Mismatch().Read("b", 40, 50),
            "value never written");
}

TEST(Linearizability, AMismatchNeedsAnotherValue) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Cas("b", "c", 20, 30).Mismatch());
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Cas("a", "c", 20, 30).Mismatch());
  // The write under way may have been there already.
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 60).Cas("a", "c", 30, 40).Mismatch());
  ExpectBad(HistoryBuilder()
                .Put("a", 0, 10)
                .Put("b", 20, 60)
                .Cas("a", "c", 30, 40)
                .Mismatch()
                .Read("a", 45, 50));
}

// ------------------------------------------------------------ not applied, unknown

TEST(Linearizability, AWriteAnsweredAsNotAppliedTakesNoEffect) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 30).Failed().Read("a", 40, 50));
  const Report report =
      Check(HistoryBuilder().Put("a", 0, 10).Put("b", 20, 30).Failed().Read("b", 40, 50));
  EXPECT_EQ(report.judgement, Judgement::kViolated);
  ASSERT_EQ(report.violations.size(), 1u);
  EXPECT_THAT(report.violations[0].operations, ElementsAre(1, 2));
  EXPECT_THAT(report.violations[0].text, HasSubstr("answered: not applied"));
}

TEST(Linearizability, AnUnknownWriteMayTakeEffectLateOrNever) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 10).Put("b", 20, 0).Unknown(); };
  ExpectGood(begin().Read("a", 40, 50));
  ExpectGood(begin().Read("b", 40, 50));
  ExpectGood(begin().Read("a", 40, 50).Read("b", 60, 70));
  ExpectGood(begin().Put("c", 40, 50).Read("c", 60, 70).Read("b", 80, 90));
}

TEST(Linearizability, AnUnknownWriteTakesEffectOnceOnly) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 10).Put("b", 20, 0).Unknown(); };
  ExpectBad(begin().Read("b", 40, 50).Read("a", 60, 70));
  ExpectBad(begin().Read("b", 40, 50).Put("c", 60, 70).Read("b", 80, 90));
}

TEST(Linearizability, AnUnknownWriteTakesNoEffectBeforeItBegins) {
  ExpectBad(HistoryBuilder().Read("a", 0, 10).Put("a", 20, 0).Unknown(), "value never written");
  ExpectBad(HistoryBuilder().Put("a", 0, 10).Read(kNothing, 20, 30).Delete(40, 0).Unknown());
}

TEST(Linearizability, EachUnknownDeleteServesOnce) {
  HistoryBuilder two;
  two.Delete(0, 0).Unknown().Delete(0, 0).Unknown();
  for (uint64_t i = 0; i < 3; ++i) {
    if (i == 2) ExpectGood(two);
    two.Put("v" + std::to_string(i), 100 * i + 10, 100 * i + 20);
    two.Read("v" + std::to_string(i), 100 * i + 30, 100 * i + 40);
    two.Read(kNothing, 100 * i + 50, 100 * i + 60);
  }
  ExpectBad(two);
}

TEST(Linearizability, AnUnknownCompareAndSetNeedsItsValueWhenItTakesEffect) {
  ExpectGood(HistoryBuilder().Put("a", 0, 10).Cas("a", "b", 20, 0).Unknown().Read("b", 40, 50));
  ExpectBad(HistoryBuilder()
                .Put("a", 0, 10)
                .Put("c", 12, 15)
                .Cas("a", "b", 20, 0)
                .Unknown()
                .Read("b", 40, 50));
}

TEST(Linearizability, UnknownCompareAndSetsMakeChains) {
  HistoryBuilder chain;
  chain.Put("v0", 0, 10);
  for (uint64_t i = 0; i < 10; ++i) {
    chain.Cas("v" + std::to_string(i), "v" + std::to_string(i + 1), 20, 0).Unknown();
  }
  chain.Read("v10", 30, 40);
  ExpectGood(chain);
  chain.Read("v9", 50, 60);
  ExpectBad(chain);
}

TEST(Linearizability, AMismatchMayBeDueToAnUnknownWriteThatNobodyRead) {
  ExpectGood(
      HistoryBuilder().Put("a", 0, 10).Put("b", 20, 0).Unknown().Cas("a", "c", 40, 50).Mismatch());
  ExpectBad(
      HistoryBuilder().Put("a", 0, 10).Cas("a", "c", 40, 50).Mismatch().Put("b", 60, 0).Unknown());
}

TEST(Linearizability, ManyUnknownWritesAreNoBurden) {
  HistoryBuilder history;
  for (uint64_t i = 0; i < 500; ++i) {
    const uint64_t t = i * 100;
    history.Put("u" + std::to_string(i), t, 0).Unknown();
    if (i % 7 == 0) history.Delete(t, 0).Unknown();
    history.Put("v" + std::to_string(i), t + 10, t + 20)
        .Read("v" + std::to_string(i), t + 30, t + 40);
    // Some take effect much later.
    if (i % 5 == 4) history.Read("u" + std::to_string(i / 2), t + 50, t + 60);
    if (i % 7 == 6) history.Read(kNothing, t + 70, t + 80);
  }
  const Report report = Check(history);
  EXPECT_EQ(report.judgement, Judgement::kLinearizable) << report.Text();
  EXPECT_LT(report.configurations, 20'000u);
}

// ------------------------------------------------------------ stale reads

TEST(Linearizability, StaleReadsMayBeOldButNotInvented) {
  const auto begin = [] { return HistoryBuilder().Put("a", 0, 10).Put("b", 20, 30); };
  ExpectGood(begin().Read("a", 40, 50).Stale());
  ExpectGood(begin().Read(kNothing, 40, 50).Stale());
  ExpectBad(begin().Read("c", 40, 50).Stale(), "value never written");
  ExpectBad(begin().Read("c", 40, 50).Stale().Put("c", 60, 70), "value never written");
}

// ------------------------------------------------------------ evidence, bounds

TEST(Linearizability, EvidenceIsTheFewOperationsThatMatter) {
  HistoryBuilder history;
  for (uint64_t i = 0; i < 400; ++i) {
    history.Put("v" + std::to_string(i), i * 100, i * 100 + 150);
    history.Read("v" + std::to_string(i), i * 100 + 60, i * 100 + 150);
    if (i == 300) history.Read("v250", i * 100 + 70, i * 100 + 80).At(77);
  }
  const Report report = Check(history);
  ASSERT_EQ(report.violations.size(), 1u);
  const Violation& violation = report.violations[0];
  EXPECT_EQ(violation.key, "k");
  // The write of v250, a newer one that was over before the read began, and the read.
  EXPECT_EQ(violation.operations.size(), 3u) << violation.text;
  EXPECT_THAT(violation.operations, testing::Contains(500));
  EXPECT_THAT(violation.operations, testing::Contains(602));
  EXPECT_THAT(violation.text, HasSubstr("read: \"v250\", revision 77"));
  EXPECT_THAT(violation.text, HasSubstr("of its 801 operations"));
}

TEST(Linearizability, EvidenceIsInOrderOfStart) {
  const Report report = Check(HistoryBuilder().Read("a", 40, 50).Put("b", 20, 30).Put("a", 0, 10));
  ASSERT_EQ(report.violations.size(), 1u);
  EXPECT_THAT(report.violations[0].operations, ElementsAre(2, 1, 0));
}

TEST(Linearizability, ABoundedSearchSaysUndecided) {
  HistoryBuilder history;
  for (uint64_t i = 0; i < 30; ++i) {
    history.Put("v" + std::to_string(i), 0, 1000).Read("v" + std::to_string(i), 0, 1000);
  }
  // Two values want to be the last one: every order of the others is tried.
  history.Read("v3", 1010, 1020).Read("v4", 1030, 1040).Put("w", 2000, 2010).Key("l");
  CheckOptions options;
  options.configurations_max = 100;
  const Report report = CheckHistory(history.operations(), options);
  EXPECT_EQ(report.judgement, Judgement::kUndecided);
  EXPECT_THAT(report.undecided_keys, ElementsAre("k"));
  EXPECT_THAT(report.Text(), HasSubstr("undecided: key \"k\""));
  EXPECT_LE(report.configurations, 201u);  // "k" is searched twice
}

TEST(Linearizability, ViolationsBeyondTheFirstFewAreCounted) {
  HistoryBuilder history;
  for (uint64_t i = 0; i < 20; ++i) {
    history.Put("a", 0, 10).Key("k" + std::to_string(i));
    history.Read(kNothing, 20, 30).Key("k" + std::to_string(i));
  }
  CheckOptions options;
  options.violations_max = 3;
  const Report report = CheckHistory(history.operations(), options);
  EXPECT_EQ(report.violations.size(), 3u);
  EXPECT_EQ(report.violations_found, 20u);
  EXPECT_THAT(report.Text(), HasSubstr("and 17 more violations"));
}

TEST(Linearizability, TextOfAReportIsForPeople) {
  const Report report = Check(HistoryBuilder()
                                  .Put("a", 1'000'000, 2'000'000)
                                  .Put("b\n", 2'500'000, 0)
                                  .Unknown()
                                  .Delete(3'000'000, 3'250'000)
                                  .Deleted(true)
                                  .Cas("z", "y", 4'000'000, 5'000'000)
                                  .Mismatch()
                                  .Read("a", 6'000'000, 7'000'000));
  EXPECT_EQ(report.Text(),
            "no order: key \"k\": these 3 of its 5 operations contradict each other in every "
            "order:\n"
            "  #1          0.000000 ..     1.000000 ms  client 1: put \"a\", ok\n"
            "  #3          2.000000 ..     2.250000 ms  client 3: delete, ok, deleted\n"
            "  #5          5.000000 ..     6.000000 ms  client 5: read: \"a\"\n"
            "VIOLATED: 5 operations, 1 keys, 1 unknown outcomes, " +
                std::to_string(report.configurations) + " configurations searched\n");
}

TEST(Linearizability, MisfitsAreNamed) {
  const auto misfit = [](const HistoryBuilder& history) {
    return Misfit(history.operations().front());
  };
  EXPECT_EQ(misfit(HistoryBuilder().Put("a", 0, 10)), "");
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 10, 0)), HasSubstr("before it starts"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, kNever)), HasSubstr("needs an end"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, 1).Key("")), HasSubstr("empty"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, 1).Mismatch()), HasSubstr("mismatches"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, 1).Stale()), HasSubstr("stale"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, 1).Deleted(true)), HasSubstr("whether"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, 1).Store(3)), HasSubstr("store revision"));
  EXPECT_THAT(misfit(HistoryBuilder().Put("a", 0, 1).Failed().At(3)), HasSubstr("only what is ok"));
  EXPECT_THAT(misfit(HistoryBuilder().Read(kNothing, 0, 1).At(3)), HasSubstr("absent key"));
}

}  // namespace
}  // namespace arima::check
