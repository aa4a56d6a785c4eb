// Starts on a damaged database (docs/design/raft.md 5.2): what is replaced, from what, and what is
// refused; and a crash at each step of it.
#include "node/database_opening.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "codec/conf_codec.h"
#include "env/fault_env.h"
#include "node/test_damage.h"
#include "node/test_replica.h"
#include "testing/wait_until.h"

namespace arima::node {
namespace {

constexpr int kKeys = 200;

class DatabaseOpeningTest : public ::testing::Test {
 protected:
  void ExpectStarts(TestReplica& replica) {
    Status started = replica.Start();
    ASSERT_TRUE(started) << started.error().ToString();
  }
  void ExpectFilled(TestReplica& replica) {
    for (int i = 0; i < kKeys; ++i) {
      ASSERT_EQ(replica.Get("k" + std::to_string(i)), ValueOf(i));
    }
  }
  static std::string ValueOf(int i) { return std::to_string(i) + std::string(1000, 'v'); }
  // A stopped volume with some tables; with `cut`, what they hold is not in the log any more.
  void Make(bool cut) {
    TestReplica replica(path_);
    if (cut) replica.options().flusher = {.flush_bytes = 32 << 10, .flush_interval_ns = 1};
    ExpectStarts(replica);
    for (int i = 0; i < kKeys; ++i) {
      ASSERT_TRUE(replica.Put("k" + std::to_string(i), ValueOf(i)));
    }
    if (cut) {
      WaitUntil([&] { return replica.replica().wal().Stats().first > raft::Index(100); });
    }
    replica.Stop();
  }
  // From now on the volume is of one voter of two.
  void AddVoter() {
    auto dir = DataDir::Open(&env_, path_);
    ASSERT_TRUE(dir);
    auto identity = (*dir)->ReadIdentity(nullptr);
    ASSERT_TRUE(identity);
    raft::ConfState conf = OriginConf();
    conf.voters.push_back(raft::MemberId(2));
    conf.members[raft::MemberId(2)].id = raft::MemberId(2);
    conf.next_member_id = raft::MemberId(3);
    conf.index = raft::Index(5);
    identity->seed_conf = codec::EncodeConfState(conf);
    ASSERT_TRUE((*dir)->WriteIdentity(&*identity));
  }
  CurrentDb Current(const std::string& path) {
    auto dir = DataDir::Open(&env_, path);
    EXPECT_TRUE(dir) << "a replica has it open";
    return dir ? (*dir)->ReadCurrentDb().value_or(CurrentDb()) : CurrentDb();
  }
  std::vector<std::string> BadDbs(const std::string& path) { return FilesLike(path, ".bad"); }

  TempDirectory temp_;
  const std::string path_ = temp_.Path("vol");
  env::PosixEnv env_;
};

struct Harm {
  std::string file;  // begin or end of its name
  int64_t bytes;     // >= 0: truncated to so many; -1: a flipped bit in the middle; -2: removed
};

class EachHarm : public DatabaseOpeningTest, public ::testing::WithParamInterface<Harm> {
 protected:
  void Inflict() {
    std::vector<std::string> files = FilesLike(path_ + "/db-1", GetParam().file);
    ASSERT_FALSE(files.empty());
    for (const std::string& file : files) {
      if (GetParam().bytes >= 0) {
        Truncate(file, static_cast<uint64_t>(GetParam().bytes));
      } else if (GetParam().bytes == -1) {
        FlipBit(file, std::filesystem::file_size(file) / 2);
      } else {
        std::filesystem::remove(file);
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Files, EachHarm,
                         ::testing::Values(Harm{"CURRENT", 0}, Harm{"CURRENT", 9},
                                           Harm{"CURRENT", -1}, Harm{"CURRENT", -2},
                                           Harm{"MANIFEST", 0}, Harm{"MANIFEST", 20},
                                           Harm{"MANIFEST", -1}, Harm{"MANIFEST", -2},
                                           Harm{".sst", 0}, Harm{".sst", 100}, Harm{".sst", -2},
                                           Harm{"OPTIONS", 0}, Harm{"OPTIONS", -1},
                                           Harm{"IDENTITY", 0}, Harm{"IDENTITY", -1}));

TEST_P(EachHarm, IsMadeGoodFromALogThatHoldsEverything) {
  Make(false);
  Inflict();
  TestReplica replica(path_);
  ExpectStarts(replica);
  EXPECT_FALSE(replica.replica().needs_snapshot());
  ExpectFilled(replica);
  ASSERT_TRUE(replica.Put("more", "x"));
  replica.Stop();
  ExpectStarts(replica);
  EXPECT_FALSE(replica.replica().damage_found());
  ExpectFilled(replica);
  EXPECT_EQ(replica.Get("more"), "x");
}

// Either the file does not matter, or the error says which one it is and what to do.
TEST_P(EachHarm, TheOnlyVoterRefusesIfTheLogWasCut) {
  Make(true);
  Inflict();
  TestReplica replica(path_);
  Status started = replica.Start();
  if (started) return ExpectFilled(replica);
  EXPECT_EQ(started.error().code, Code::kCorruption);
  EXPECT_NE(started.error().message.find(path_ + "/db-1"), std::string::npos)
      << started.error().message;
  EXPECT_NE(started.error().message.find("restore a backup"), std::string::npos);
  replica.Stop();
  EXPECT_EQ(Current(path_), CurrentDb{1}) << "nothing was changed";
  EXPECT_TRUE(BadDbs(path_).empty());
}

TEST_P(EachHarm, AVoterAmongOthersWaitsForASnapshot) {
  Make(true);
  AddVoter();
  Inflict();
  TestReplica replica(path_);
  ExpectStarts(replica);
  const bool damaged = replica.replica().damage_found();
  EXPECT_EQ(damaged, replica.replica().needs_snapshot());
  EXPECT_EQ(damaged, replica.started_as().needs_snapshot);
  EXPECT_EQ(BadDbs(path_).size(), damaged ? 1u : 0u);
  if (!damaged) return;
  EXPECT_NE(replica.replica().set_aside(), "");
  EXPECT_EQ(replica.started_as().conf->voters.size(), 2u);
  raft::CoreStatus before = replica.started_as();
  replica.Stop();
  ExpectStarts(replica);
  EXPECT_TRUE(replica.replica().needs_snapshot()) << "it still does";
  EXPECT_FALSE(replica.replica().damage_found()) << "and it was said before";
  EXPECT_EQ(replica.started_as().last, before.last);
  EXPECT_EQ(replica.started_as().hard_state.term, before.hard_state.term);
}

// A bit that nobody looks at when the database is opened.
TEST_F(DatabaseOpeningTest, ADamageNotedByARunningNodeIsActedOnByTheNextStart) {
  Make(true);
  AddVoter();
  {
    auto dir = DataDir::Open(&env_, path_);
    ASSERT_TRUE(dir);
    ASSERT_TRUE(NoteDamage(**dir, {Code::kCorruption, "block 7 of 000012.sst"}));
  }
  TestReplica replica(path_);
  ExpectStarts(replica);
  EXPECT_TRUE(replica.replica().needs_snapshot());
  EXPECT_FALSE(replica.replica().damage_found());
  EXPECT_EQ(replica.replica().set_aside(), "block 7 of 000012.sst");
}

TEST_F(DatabaseOpeningTest, ADatabaseThatLostWhatTheLogWasCutForIsDamaged) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  ASSERT_TRUE(replica.Put("old", "x"));
  replica.Stop();
  CopyDirectory(path_ + "/db-1", temp_.Path("older"));
  Make(true);
  CopyDirectory(temp_.Path("older"), path_ + "/db-1");
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("lost what it had made durable"), std::string::npos);
  replica.Stop();
  AddVoter();
  ExpectStarts(replica);
  EXPECT_TRUE(replica.replica().needs_snapshot());
}

TEST_F(DatabaseOpeningTest, OnlyTheNewestDamagedDatabaseStays) {
  Make(false);
  for (int round = 1; round <= 3; ++round) {
    const std::string live = path_ + "/db-" + std::to_string(round);
    Truncate(live + "/CURRENT", 0);
    TestReplica replica(path_);
    ExpectStarts(replica);
    ExpectFilled(replica);
    EXPECT_EQ(BadDbs(path_), std::vector{live + ".bad"});
  }
}

TEST_F(DatabaseOpeningTest, AnEmptyDatabaseThatIsDamagedDoesNotPushOutTheOneItStandsFor) {
  Make(true);
  AddVoter();
  TestReplica replica(path_);
  for (int number = 1; number <= 3; ++number) {
    Truncate(path_ + "/db-" + std::to_string(number) + "/CURRENT", 0);
    ExpectStarts(replica);
    EXPECT_TRUE(replica.replica().needs_snapshot());
    EXPECT_TRUE(replica.replica().damage_found());
    EXPECT_NE(replica.replica().set_aside().find("db-1"), std::string::npos)
        << replica.replica().set_aside();
    replica.Stop();
    EXPECT_EQ(BadDbs(path_), std::vector{path_ + "/db-1.bad"});
    EXPECT_EQ(Current(path_).state, DbState::kEmptied);
  }
}

// Power or the process is lost at any moment of a start that replaces a database.
class KilledAtAnyMoment : public DatabaseOpeningTest {
 protected:
  std::vector<std::string> StartObserved() {
    std::vector<std::string> moments;
    env::FaultEnv observed(env_, 1);
    observed.SetObserver([&](env::Op, const std::string&) {
      moments.push_back(temp_.Path("moment-" + std::to_string(moments.size())));
      CopyDirectory(path_, moments.back());
    });
    Logger logger("test", LogLevel::kError, LogFormat::kText);
    SystemClock clock;
    auto dir = DataDir::Open(&observed, path_);
    EXPECT_TRUE(dir);
    auto identity = (*dir)->ReadIdentity(nullptr);
    EXPECT_TRUE(identity);
    ReplicaOptions options;
    options.storage = SmallStorage();
    auto replica = Replica::Open(**dir, *identity, options, std::make_shared<FlagWaker>(), &clock,
                                 &logger, clock.NowNs());
    EXPECT_TRUE(replica) << replica.error().ToString();
    EXPECT_GT(moments.size(), 20u);
    return moments;
  }
};

TEST_F(KilledAtAnyMoment, TheNextStartFillsTheDatabaseFromTheLog) {
  Make(false);
  Truncate(path_ + "/db-1/CURRENT", 0);
  for (const std::string& moment : StartObserved()) {
    SCOPED_TRACE(moment);
    TestReplica replica(moment);
    ExpectStarts(replica);
    ExpectFilled(replica);
    EXPECT_EQ(BadDbs(moment).size(), 1u);
    replica.Stop();
    EXPECT_EQ(Current(moment).state, DbState::kWhole);
  }
}

TEST_F(KilledAtAnyMoment, TheNextStartWaitsForASnapshot) {
  Make(true);
  AddVoter();
  Truncate(path_ + "/db-1/CURRENT", 0);
  for (const std::string& moment : StartObserved()) {
    SCOPED_TRACE(moment);
    TestReplica replica(moment);
    ExpectStarts(replica);
    EXPECT_TRUE(replica.replica().needs_snapshot());
    EXPECT_EQ(BadDbs(moment).size(), 1u) << "what was damaged is kept";
    EXPECT_EQ(FilesLike(moment, "db-").size(), 2u) << "and one empty database";
    replica.Stop();
    EXPECT_EQ(Current(moment).state, DbState::kEmptied);
  }
}

TEST_F(DatabaseOpeningTest, ADamagedCopyOfCurrentDbIsMended) {
  Make(false);
  for (const char* copy : {"/CURRENT_DB", "/CURRENT_DB.copy"}) {
    FlipBit(path_ + copy, 30);
    TestReplica replica(path_);
    ExpectStarts(replica);
    ExpectFilled(replica);
    EXPECT_EQ(env::ReadFile(env_, path_ + "/CURRENT_DB", 1000).value_or("none"),
              env::ReadFile(env_, path_ + "/CURRENT_DB.copy", 1000).value_or("no copy"));
  }
}

TEST_F(DatabaseOpeningTest, BothCopiesOfCurrentDbDamagedIsAnErrorWithTheNextStep) {
  Make(false);
  FlipBit(path_ + "/CURRENT_DB", 30);
  Truncate(path_ + "/CURRENT_DB.copy", 10);
  TestReplica replica(path_);
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kCorruption);
  EXPECT_NE(started.error().message.find(path_ + "/CURRENT_DB"), std::string::npos);
  EXPECT_NE(started.error().message.find("restore one of them"), std::string::npos);
}

}  // namespace
}  // namespace arima::node
