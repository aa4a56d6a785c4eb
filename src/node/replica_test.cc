#include "node/replica.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "codec/conf_codec.h"
#include "env/fault_env.h"
#include "node/test_replica.h"
#include "testing/wait_until.h"

namespace arima::node {
namespace {

class ReplicaTest : public ::testing::Test {
 protected:
  TempDirectory temp_;
  std::string path_ = temp_.Path("vol");

  void ExpectStarts(TestReplica& replica) {
    Status started = replica.Start();
    ASSERT_TRUE(started) << started.error().ToString();
  }
  void ExpectPut(TestReplica& replica, const std::string& key, const std::string& value) {
    auto put = replica.Put(key, value);
    ASSERT_TRUE(put) << put.error().ToString();
  }
  // Writes k<first> .. k<last - 1>.
  void Fill(TestReplica& replica, int first, int last) {
    for (int i = first; i < last; ++i) {
      ExpectPut(replica, "k" + std::to_string(i), "v" + std::to_string(i));
    }
  }
  void ExpectFilled(TestReplica& replica, int first, int last) {
    for (int i = first; i < last; ++i) {
      EXPECT_EQ(replica.Get("k" + std::to_string(i)), "v" + std::to_string(i));
    }
  }
};

TEST_F(ReplicaTest, ServesAtOnceAfterTheFirstStart) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  ExpectPut(replica, "k", "v");
  EXPECT_EQ(replica.Get("k"), "v");
  EXPECT_EQ(replica.Get("other"), "<none>");
  EXPECT_TRUE(std::filesystem::exists(path_ + "/identity"));
  EXPECT_TRUE(std::filesystem::exists(path_ + "/identity.copy"));
  EXPECT_TRUE(std::filesystem::exists(path_ + "/db-1"));
}

TEST_F(ReplicaTest, EverythingIsBackAfterARestart) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  Fill(replica, 0, 100);
  Identity before = replica.identity();
  uint64_t revision = replica.replica().machine().store_revision();
  raft::Term term = replica.started_as().hard_state.term;
  replica.Stop();
  ExpectStarts(replica);
  ExpectFilled(replica, 0, 100);
  EXPECT_EQ(replica.identity(), before);
  EXPECT_EQ(replica.replica().machine().store_revision(), revision);
  EXPECT_GT(replica.started_as().hard_state.term, term);
  // History goes on, it does not start over.
  auto put = replica.Put("k0", "again");
  ASSERT_TRUE(put);
  EXPECT_EQ(put->revision, revision + 1);
  EXPECT_EQ(put->version, 2u);
}

// The log of a node without others shrinks to its newest segment, with writes and without.
TEST_F(ReplicaTest, TheLogIsCutOnceWhatItHoldsIsInTheDatabase) {
  TestReplica replica(path_);
  replica.options().flusher = {.flush_bytes = 100 << 10, .flush_interval_ns = 1};
  ExpectStarts(replica);
  const std::string value(2000, 'v');
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100; ++i) ExpectPut(replica, "k" + std::to_string(i), value);
    // Nothing is written any more.
    WaitUntil([&] { return replica.replica().wal().Stats().segments <= 1; });
    EXPECT_GT(replica.replica().wal().Stats().rolls, 2u);
    const uint64_t applied = replica.replica().machine().applied_index();
    EXPECT_GT(replica.replica().wal().Stats().first.value + 40, applied);
    replica.Stop();
    ExpectStarts(replica);
    EXPECT_EQ(replica.Get("k99"), value);
    EXPECT_EQ(replica.Get("k0"), value);
  }
}

TEST_F(ReplicaTest, NothingIsCutThatTheDatabaseHasNotOnDisk) {
  TestReplica replica(path_);
  replica.options().flusher = {.flush_bytes = UINT64_MAX, .flush_interval_ns = UINT64_MAX};
  ExpectStarts(replica);
  for (int i = 0; i < 100; ++i) ExpectPut(replica, "k" + std::to_string(i), std::string(2000, 'v'));
  // The second look at the log comes a second after the first.
  const uint64_t begin_ns = replica.clock().NowNs();
  while (replica.clock().NowNs() < begin_ns + 1'200'000'000) std::this_thread::yield();
  EXPECT_EQ(replica.replica().wal().Stats().first, raft::Index(2));
  ASSERT_TRUE(replica.replica().machine().Flush(true));
  WaitUntil([&] { return replica.replica().wal().Stats().segments <= 1; });
}

// What lies on the disk while the process runs is what kill -9 leaves.
TEST_F(ReplicaTest, EverythingAcknowledgedIsBackAfterAKill) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  Fill(replica, 0, 300);
  CopyDirectory(path_, temp_.Path("killed"));
  TestReplica killed(temp_.Path("killed"));
  ExpectStarts(killed);
  ExpectFilled(killed, 0, 300);
  EXPECT_EQ(killed.identity().cluster_id, replica.identity().cluster_id);
}

TEST_F(ReplicaTest, ADatabaseThatLagsIsBroughtUpToDateFromTheLog) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  Fill(replica, 0, 20);
  replica.Stop();
  CopyDirectory(path_ + "/db-1", temp_.Path("old-db"));
  ExpectStarts(replica);
  Fill(replica, 20, 200);
  replica.Stop();
  CopyDirectory(temp_.Path("old-db"), path_ + "/db-1");
  ExpectStarts(replica);
  ExpectFilled(replica, 0, 200);
}

TEST_F(ReplicaTest, ALogThatLacksAppliedEntriesIsCorruptionThatNamesBothIndexes) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  Fill(replica, 0, 20);
  replica.Stop();
  CopyDirectory(path_ + "/wal", temp_.Path("old-wal"));
  ExpectStarts(replica);
  Fill(replica, 20, 200);
  uint64_t applied = replica.replica().machine().applied_index();
  replica.Stop();
  CopyDirectory(temp_.Path("old-wal"), path_ + "/wal");
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kCorruption);
  const std::string& text = started.error().message;
  EXPECT_NE(text.find("applied index " + std::to_string(applied)), std::string::npos) << text;
  EXPECT_NE(text.find("raft log ends at index "), std::string::npos) << text;
  EXPECT_EQ(text.find("raft log ends at index " + std::to_string(applied)), std::string::npos);
  EXPECT_NE(text.find("--accept-data-loss"), std::string::npos) << text;
}

TEST_F(ReplicaTest, ALogThatIsGoneIsNeverMadeAnew) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  replica.Stop();
  std::filesystem::remove_all(path_ + "/wal");
  EXPECT_FALSE(replica.Start());
  EXPECT_FALSE(std::filesystem::exists(path_ + "/wal"));
}

TEST_F(ReplicaTest, ADatabaseThatIsGoneIsMadeAnewFromALogThatHoldsEverything) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  Fill(replica, 0, 50);
  replica.Stop();
  std::filesystem::remove_all(path_ + "/db-1");
  ExpectStarts(replica);
  EXPECT_TRUE(replica.replica().damage_found());
  ExpectFilled(replica, 0, 50);
}

TEST_F(ReplicaTest, ADatabaseThatIsGoneIsNotMadeAnewFromHalfALog) {
  TestReplica replica(path_);
  replica.options().flusher = {.flush_bytes = 32 << 10, .flush_interval_ns = 1};
  ExpectStarts(replica);
  for (int i = 0; i < 100; ++i) ExpectPut(replica, "k" + std::to_string(i), std::string(2000, 'v'));
  WaitUntil([&] { return replica.replica().wal().Stats().first != raft::Index(2); });
  replica.Stop();
  std::filesystem::remove_all(path_ + "/db-1");
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kCorruption) << started.error().ToString();
  EXPECT_FALSE(std::filesystem::exists(path_ + "/db-1/CURRENT"));
}

TEST_F(ReplicaTest, WhichDatabaseIsLiveIsNotGuessed) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  replica.Stop();
  std::filesystem::remove(path_ + "/CURRENT_DB");
  std::filesystem::remove(path_ + "/CURRENT_DB.copy");
  Status started = replica.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kCorruption);
}

TEST_F(ReplicaTest, ALogOfAnotherClusterIsRefused) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  replica.Stop();
  TestReplica other(temp_.Path("other"));
  ExpectStarts(other);
  other.Stop();
  CopyDirectory(temp_.Path("other") + "/wal", path_ + "/wal");
  EXPECT_FALSE(replica.Start());
}

TEST_F(ReplicaTest, ADatabaseOfAnotherClusterIsRefused) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  replica.Stop();
  TestReplica other(temp_.Path("other"));
  ExpectStarts(other);
  other.Stop();
  CopyDirectory(temp_.Path("other") + "/db-1", path_ + "/db-1");
  EXPECT_FALSE(replica.Start());
}

TEST_F(ReplicaTest, ARemovedNodeServesNothing) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  ExpectPut(replica, "k", "v");
  replica.identity().state = IdentityState::kRemoved;
  ASSERT_TRUE(replica.dir().WriteIdentity(&replica.identity()));
  replica.Stop();
  ExpectStarts(replica);
  auto put = replica.Put("k", "w");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kRemoved);
  Status read = replica.Barrier();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kRemoved);
}

TEST_F(ReplicaTest, StopAnswersEverybodyAndLosesNothingAcknowledged) {
  TestReplica replica(path_);
  ExpectStarts(replica);
  std::vector<std::thread> writers;
  std::vector<std::vector<std::string>> acknowledged(3);
  for (size_t writer = 0; writer < acknowledged.size(); ++writer) {
    writers.emplace_back([&, writer, held = replica.shared()] {
      for (int i = 0;; ++i) {
        std::string key = "w" + std::to_string(writer) + "-" + std::to_string(i);
        auto put = replica.PutTo(*held, key, key);
        if (put) {
          acknowledged[writer].push_back(key);
          continue;
        }
        Code code = put.error().code;
        EXPECT_TRUE(code == Code::kUnavailable || code == Code::kOutcomeUnknown)
            << put.error().ToString();
        if (code == Code::kUnavailable) return;
      }
    });
  }
  WaitUntil([&] { return replica.replica().machine().applied_index() >= 200; });
  replica.Stop();
  for (std::thread& writer : writers) writer.join();
  writers.clear();  // the last to hold the replica
  ExpectStarts(replica);
  size_t count = 0;
  for (const std::vector<std::string>& keys : acknowledged) {
    for (const std::string& key : keys) EXPECT_EQ(replica.Get(key), key);
    count += keys.size();
  }
  EXPECT_GT(count, 100u);
}

// ---------------------------------------------------------------- crash points

// Copies of the directory before each change of the file system, as kill -9 would leave it.
class Moments {
 public:
  Moments(const TempDirectory& temp, std::string path) : temp_(temp), path_(std::move(path)) {}

  void Take() {
    std::string copy = temp_.Path("moment-" + std::to_string(copies_.size()));
    if (std::filesystem::exists(path_)) {
      CopyDirectory(path_, copy);
    } else {
      std::filesystem::create_directories(copy);
    }
    copies_.push_back(std::move(copy));
  }
  const std::vector<std::string>& copies() const { return copies_; }

 private:
  const TempDirectory& temp_;
  const std::string path_;
  std::vector<std::string> copies_;
};

TEST_F(ReplicaTest, AFirstStartThatIsKilledAtAnyMomentIsFollowedByAGoodOne) {
  env::PosixEnv base;
  env::FaultEnv observed(base, 1);
  Logger logger("test", LogLevel::kError, LogFormat::kText);
  Moments moments(temp_, path_);
  auto dir = DataDir::Open(&observed, path_);
  ASSERT_TRUE(dir);
  observed.SetObserver([&](env::Op, const std::string&) { moments.Take(); });
  auto identity = LoadOrFound(**dir, "n1", &logger);
  ASSERT_TRUE(identity);
  ASSERT_TRUE(CreateData(**dir, &*identity, SmallStorage(), &logger));
  observed.SetObserver(nullptr);
  ASSERT_GT(moments.copies().size(), 20u);
  for (const std::string& copy : moments.copies()) {
    SCOPED_TRACE(copy);
    TestReplica replica(copy);
    ExpectStarts(replica);
    ExpectPut(replica, "k", "v");
    EXPECT_EQ(replica.Get("k"), "v");
  }
}

// The take-over of another cluster's identity: before it the node is what it was, with its data;
// after it an empty learner; never a mixture, never a second founder.
TEST_F(ReplicaTest, AnAbsorbThatIsKilledAtAnyMomentLeavesTheOldNodeOrTheNewOne) {
  TestReplica founder(path_);
  ExpectStarts(founder);
  ExpectPut(founder, "k", "v");
  Identity old_identity = founder.identity();
  founder.Stop();

  env::PosixEnv base;
  env::FaultEnv observed(base, 1);
  Logger logger("test", LogLevel::kError, LogFormat::kText);
  Moments moments(temp_, path_);
  auto dir = DataDir::Open(&observed, path_);
  ASSERT_TRUE(dir);
  Identity identity = old_identity;
  identity.cluster_id.bytes.fill(0x77);
  identity.member_id = raft::MemberId(5);
  identity.state = IdentityState::kJoining;
  identity.data_ready = false;
  raft::ConfState conf = OriginConf();
  conf.next_member_id = raft::MemberId(6);
  conf.learners = {raft::MemberId(5)};
  conf.members[raft::MemberId(5)].id = raft::MemberId(5);
  identity.seed_conf = codec::EncodeConfState(conf);
  observed.SetObserver([&](env::Op, const std::string&) { moments.Take(); });
  ASSERT_TRUE((*dir)->WriteIdentity(&identity));
  ASSERT_TRUE(CreateData(**dir, &identity, SmallStorage(), &logger));
  observed.SetObserver(nullptr);
  dir->reset();
  int old_nodes = 0;
  int new_nodes = 0;
  for (const std::string& copy : moments.copies()) {
    SCOPED_TRACE(copy);
    TestReplica replica(copy);
    ExpectStarts(replica);
    if (replica.identity().cluster_id == old_identity.cluster_id) {
      ++old_nodes;
      EXPECT_EQ(replica.identity(), old_identity);
      EXPECT_EQ(replica.Get("k"), "v");
    } else {
      ++new_nodes;
      EXPECT_EQ(replica.identity().cluster_id, identity.cluster_id);
      EXPECT_EQ(replica.identity().member_id, raft::MemberId(5));
      EXPECT_EQ(replica.identity().incarnation, old_identity.incarnation);
      EXPECT_EQ(replica.replica().machine().applied_index(), 1u);
      EXPECT_EQ(replica.replica().loop().soft().role, raft::Role::kFollower);
      auto read = replica.replica().machine().Get("k");
      ASSERT_TRUE(read);
      EXPECT_FALSE(read->found);
    }
  }
  EXPECT_GT(old_nodes, 0);
  EXPECT_GT(new_nodes, 10);
}

}  // namespace
}  // namespace arima::node
