// Recovery of a replica whose database came from a snapshot (docs/design/raft.md 4.6 R7, 5.5): what
// an install leaves at each of its moments, and what looks like one and is not.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "env/fault_env.h"
#include "node/replica.h"
#include "node/test_replica.h"

namespace arima::node {
namespace {

class ReplicaInstallTest : public ::testing::Test {
 protected:
  // `behind_` has k0 .. k19; its receive directory holds the database of the same cluster with k0
  // .. k199.
  void SetUp() override {
    TestReplica ahead(temp_.Path("ahead"));
    ExpectStarts(ahead);
    Fill(ahead, 0, 20);
    ahead.Stop();
    CopyDirectory(temp_.Path("ahead"), behind_);
    CopyDirectory(temp_.Path("ahead") + "/db-1", temp_.Path("older"));
    ExpectStarts(ahead);
    Fill(ahead, 20, 200);
    applied_ = ahead.replica().machine().applied_index();
    ahead.Stop();
    CopyDirectory(temp_.Path("ahead") + "/db-1", behind_ + "/db.recv");
  }

  void ExpectStarts(TestReplica& replica) {
    Status started = replica.Start();
    ASSERT_TRUE(started) << started.error().ToString();
  }
  void Fill(TestReplica& replica, int first, int last) {
    for (int i = first; i < last; ++i) {
      auto put = replica.Put("k" + std::to_string(i), "v" + std::to_string(i));
      ASSERT_TRUE(put) << put.error().ToString();
    }
  }
  void ExpectFilled(TestReplica& replica, int first, int last) {
    for (int i = first; i < last; ++i) {
      ASSERT_EQ(replica.Get("k" + std::to_string(i)), "v" + std::to_string(i));
    }
  }
  void Install(env::Env& env, const std::string& path) {
    auto dir = DataDir::Open(&env, path);
    ASSERT_TRUE(dir);
    Status installed = (*dir)->InstallReceived(77);
    ASSERT_TRUE(installed) << installed.error().ToString();
  }
  CurrentDb Current(const std::string& path) {
    auto dir = DataDir::Open(&env_, path);
    return (*dir)->ReadCurrentDb().value_or(CurrentDb());
  }

  TempDirectory temp_;
  const std::string behind_ = temp_.Path("behind");
  env::PosixEnv env_;
  uint64_t applied_ = 0;  // of the received database
};

TEST_F(ReplicaInstallTest, TheLogGoesOnFromTheSnapshot) {
  Install(env_, behind_);
  EXPECT_EQ(Current(behind_), (CurrentDb{2, 77, false}));
  TestReplica replica(behind_);
  ExpectStarts(replica);
  EXPECT_EQ(replica.started_as().snapshot_index, raft::Index(applied_));
  ExpectFilled(replica, 0, 200);
  Fill(replica, 200, 300);
  replica.Stop();
  EXPECT_EQ(Current(behind_), (CurrentDb{2, 77, true}));
  EXPECT_FALSE(std::filesystem::exists(behind_ + "/db-1"));
  EXPECT_FALSE(std::filesystem::exists(behind_ + "/db.recv"));
  ExpectStarts(replica);
  ExpectFilled(replica, 0, 300);
}

// The log has entries where the snapshot ends, of another term: they are on no other node.
TEST_F(ReplicaInstallTest, ALogOnAnotherBranchIsReplaced) {
  TestReplica replica(behind_);
  for (int restart = 0; restart < 3; ++restart) {  // each start is a term
    ExpectStarts(replica);
    ASSERT_TRUE(replica.Put("restart", "x"));
    replica.Stop();
  }
  ExpectStarts(replica);
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(replica.Put("other" + std::to_string(i), "x"));
  raft::Term term = replica.started_as().hard_state.term;
  replica.Stop();
  Install(env_, behind_);
  ExpectStarts(replica);
  EXPECT_EQ(replica.started_as().snapshot_index, raft::Index(applied_));
  EXPECT_GT(replica.started_as().hard_state.term, term) << "terms are never forgotten";
  ExpectFilled(replica, 0, 200);
  EXPECT_EQ(replica.Get("other399"), "<none>");
}

TEST_F(ReplicaInstallTest, WithoutTheMarkerADatabaseAheadIsCorruption) {
  Install(env_, behind_);
  {
    auto dir = DataDir::Open(&env_, behind_);
    ASSERT_TRUE(dir);
    ASSERT_TRUE((*dir)->ReadCurrentDb());
    ASSERT_TRUE((*dir)->WriteCurrentDb({2, 77, true}));
  }
  TestReplica replica(behind_);
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kCorruption) << started.error().ToString();
}

// The marker excuses a database that is ahead, not one that lacks what the log was cut for.
TEST_F(ReplicaInstallTest, AnOlderDatabaseIsNoInstall) {
  Install(env_, behind_);
  TestReplica replica(behind_);
  ExpectStarts(replica);
  replica.Stop();
  CopyDirectory(temp_.Path("older"), behind_ + "/db.recv");
  Install(env_, behind_);
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kCorruption) << started.error().ToString();
}

TEST_F(ReplicaInstallTest, KilledAtAnyMomentTheNextStartHasTheOldDataOrTheNew) {
  std::vector<std::string> moments;
  env::FaultEnv observed(env_, 1);
  observed.SetObserver([&](env::Op, const std::string&) {
    moments.push_back(temp_.Path("moment-" + std::to_string(moments.size())));
    CopyDirectory(behind_, moments.back());
  });
  Install(observed, behind_);
  // The first half of a start, up to where the replica would begin to work.
  Logger logger("test", LogLevel::kError, LogFormat::kText);
  SystemClock clock;
  auto waker = std::make_shared<FlagWaker>();
  {
    auto dir = DataDir::Open(&observed, behind_);
    ASSERT_TRUE(dir);
    auto identity = (*dir)->ReadIdentity(nullptr);
    ASSERT_TRUE(identity);
    ReplicaOptions options;
    options.storage = SmallStorage();
    auto replica = Replica::Open(**dir, *identity, options, waker, &clock, &logger, clock.NowNs());
    ASSERT_TRUE(replica) << replica.error().ToString();
  }
  observed.SetObserver(nullptr);
  ASSERT_GT(moments.size(), 20u);
  int before = 0;
  int after = 0;
  for (const std::string& moment : moments) {
    SCOPED_TRACE(moment);
    TestReplica replica(moment);
    ExpectStarts(replica);
    ExpectFilled(replica, 0, 20);
    if (replica.Get("k199") == "v199") {
      ++after;
      ExpectFilled(replica, 20, 200);
    } else {
      ++before;
      EXPECT_EQ(replica.Get("k20"), "<none>");
    }
    Fill(replica, 300, 302);
    replica.Stop();
    ExpectStarts(replica);
    ExpectFilled(replica, 300, 302);
    replica.Stop();
    EXPECT_TRUE(Current(moment).confirmed);
  }
  EXPECT_GT(before, 0);
  EXPECT_GT(after, 10);
}

}  // namespace
}  // namespace arima::node
