// A node whose log is damaged: what a start makes of it, alone and with others, and how it comes
// back. docs/design/raft.md 4.6, 8.6.
#include "node/log_damage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "env/fault_env.h"
#include "env/mem_env.h"
#include "node/test_node.h"
#include "node/test_replica.h"
#include "testing/bad_disk.h"
#include "wal/format.h"

namespace arima::node {
namespace {

namespace fs = std::filesystem;

std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Segment files with frames, oldest first.
std::vector<std::string> ActiveSegments(const std::string& volume) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(volume + "/wal")) {
    if (entry.path().extension() != ".seg") continue;
    auto header = wal::DecodeSegmentHeader(
        ReadBytes(entry.path()).substr(wal::kActiveBlockOffset, wal::kBlockBytes));
    if (header && header->kind == wal::BlockKind::kActive) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  return paths;
}

// Where the value stands in the log; the newest place.
struct Place {
  std::string path;
  uint64_t offset = 0;
};
Place FindInLog(const std::string& volume, const std::string& text) {
  Place place;
  for (const std::string& path : ActiveSegments(volume)) {
    const size_t at = ReadBytes(path).rfind(text);
    if (at != std::string::npos) place = {path, at};
  }
  EXPECT_FALSE(place.path.empty()) << text << " is not in the log";
  return place;
}

size_t CountNames(const std::string& volume, const std::string& prefix) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(volume)) {
    if (entry.path().filename().string().starts_with(prefix)) ++count;
  }
  return count;
}

// ---------------------------------------------------------------- a single node

class LogDamageAloneTest : public ::testing::Test {
 protected:
  static std::string Value(int i) {
    return "value-" + std::to_string(i) + "-" + std::string(2000, 'v');
  }
  // Not flushed: what the log holds is needed.
  void Fill(int first, int last) {
    replica_.options().flusher = {.flush_bytes = UINT64_MAX, .flush_interval_ns = UINT64_MAX};
    Status started = replica_.Start();
    ASSERT_TRUE(started) << started.error().ToString();
    for (int i = first; i < last; ++i) ASSERT_TRUE(replica_.Put("k" + std::to_string(i), Value(i)));
  }
  // As kill -9 leaves it.
  void Kill() {
    CopyDirectory(path_, temp_.Path("image"));
    replica_.Stop();
    CopyDirectory(temp_.Path("image"), path_);
  }
  void ExpectStarts() {
    Status started = replica_.Start();
    ASSERT_TRUE(started) << started.error().ToString();
  }

  TempDirectory temp_;
  std::string path_ = temp_.Path("vol");
  TestReplica replica_{path_};
};

TEST_F(LogDamageAloneTest, DoesNotStartAndSaysWhereWhatAndHowToGoOn) {
  Fill(0, 60);
  Kill();
  Place place = FindInLog(path_, "value-30-");
  FlipBit(place.path, place.offset);
  for (int start = 0; start < 2; ++start) {
    Status started = replica_.Start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, Code::kCorruption);
    const std::string& text = started.error().message;
    for (const std::string part : {place.path.c_str(), " at byte ", "may be lost",
                                   "--accept-data-loss", "backup", "wal.bad-"}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    }
    EXPECT_TRUE(replica_.report().lost.empty()) << "it has nobody to be replaced by";
    EXPECT_EQ(CountNames(path_, "wal."), 0u) << "nothing was changed";
    replica_.Stop();
  }
}

TEST_F(LogDamageAloneTest, WithTheFlagGivesUpWhatFollowsTheDamageAndNothingElse) {
  Fill(0, 60);
  Kill();
  Place place = FindInLog(path_, "value-30-");
  FlipBit(place.path, place.offset);
  replica_.options().accept_data_loss = true;
  ExpectStarts();
  EXPECT_TRUE(replica_.report().log_restarted);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(replica_.Get("k" + std::to_string(i)), Value(i)) << i;
  for (int i = 30; i < 60; ++i) EXPECT_EQ(replica_.Get("k" + std::to_string(i)), "<none>") << i;
  EXPECT_EQ(CountNames(path_, "wal.bad-"), 1u);
  ASSERT_TRUE(replica_.Put("k30", "new"));
  replica_.Stop();
  // That was once: the flag is not needed any more, and does no harm.
  for (bool flag : {false, true}) {
    replica_.options().accept_data_loss = flag;
    ExpectStarts();
    EXPECT_FALSE(replica_.report().log_restarted);
    EXPECT_EQ(replica_.Get("k30"), "new");
    EXPECT_EQ(replica_.Get("k29"), Value(29));
    replica_.Stop();
  }
}

TEST_F(LogDamageAloneTest, WithTheFlagAVanishedLogLeavesWhatTheDatabaseHolds) {
  Fill(0, 20);
  replica_.Stop();  // flushes
  fs::remove_all(path_ + "/wal");
  ASSERT_FALSE(replica_.Start());
  replica_.Stop();
  replica_.options().accept_data_loss = true;
  ExpectStarts();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(replica_.Get("k" + std::to_string(i)), Value(i));
}

TEST_F(LogDamageAloneTest, DamageBelowWhatTheDatabaseHoldsCostsNothing) {
  Fill(0, 80);
  ASSERT_TRUE(replica_.replica().machine().Flush(true));
  raft::Term term = replica_.started_as().hard_state.term;
  for (int i = 80; i < 90; ++i) ASSERT_TRUE(replica_.Put("k" + std::to_string(i), Value(i)));
  Kill();
  ASSERT_GE(ActiveSegments(path_).size(), 3u);
  // In a sealed segment; in its header; and once more in a segment that has to be there.
  Place place = FindInLog(path_, "value-3-");
  FlipBit(place.path, place.offset);
  for (int round = 0; round < 4; ++round) {
    SCOPED_TRACE(round);
    ExpectStarts();
    EXPECT_EQ(replica_.report().log_restarted, round == 0);
    EXPECT_GT(replica_.started_as().hard_state.term, term) << "the vote is remembered";
    term = replica_.started_as().hard_state.term;
    for (int i = 0; i < 90; ++i) EXPECT_EQ(replica_.Get("k" + std::to_string(i)), Value(i)) << i;
    EXPECT_EQ(CountNames(path_, "wal.bad-"), 1u);
    replica_.Stop();
  }
}

TEST_F(LogDamageAloneTest, OnlyTheNewestDamagedLogsAreKept) {
  Fill(0, 60);
  replica_.Stop();
  for (int round = 0; round < 4; ++round) {
    SCOPED_TRACE(round);
    replica_.options().accept_data_loss = true;
    fs::resize_file(ActiveSegments(path_).back(), 5000);
    ExpectStarts();
    EXPECT_TRUE(replica_.report().log_restarted);
    EXPECT_EQ(replica_.Get("k59"), Value(59));
    EXPECT_EQ(CountNames(path_, "wal.bad-"), std::min(static_cast<size_t>(round) + 1, kBadLogsMax));
    replica_.Stop();
  }
  EXPECT_TRUE(fs::exists(path_ + "/wal.bad-4"));
}

// With others the same damage is no reason to stop, and the flag none to forget.
TEST_F(LogDamageAloneTest, OfAMemberIsReportedAndTheFlagHasNoEffect) {
  Fill(0, 60);
  replica_.identity().state = IdentityState::kMember;
  ASSERT_TRUE(replica_.dir().WriteIdentity(&replica_.identity()));
  Kill();
  Place place = FindInLog(path_, "value-30-");
  FlipBit(place.path, place.offset);
  replica_.options().accept_data_loss = true;
  ASSERT_FALSE(replica_.Start());
  EXPECT_NE(replica_.report().lost.find(place.path), std::string::npos) << replica_.report().lost;
  EXPECT_FALSE(replica_.report().conf.empty());
  EXPECT_EQ(CountNames(path_, "wal."), 0u);
}

// ---------------------------------------------------------------- the files

// A crash before any step of putting the new log in place: the next start finds one of the two,
// whole, and the damaged one is not lost.
TEST(ReplaceLog, ACrashAtAnyStepLeavesTheOldLogOrTheNewOne) {
  for (int steps = 0;; ++steps) {
    SCOPED_TRACE(steps);
    env::MemEnv mem;
    env::FaultEnv fault(mem, 1);
    auto dir = *DataDir::Open(&fault, "/vol");
    for (const std::string& path : {dir->wal_path(), dir->part_log_path()}) {
      ASSERT_TRUE(fault.MakeDir(path));
      ASSERT_TRUE(env::WriteFileAtomically(fault, path + "/log", path));
    }
    ASSERT_TRUE(fault.SyncDir("/vol"));
    std::unique_ptr<env::MemEnv> crashed;
    int left = steps;
    fault.SetObserver([&](env::Op, const std::string&) {
      if (left-- == 0) crashed = mem.Clone();
    });
    ASSERT_TRUE(dir->ReplaceLog());
    if (crashed == nullptr) {
      EXPECT_GT(steps, 3);
      break;
    }
    env::RandomCrash chance(static_cast<uint64_t>(steps));
    crashed->PowerLoss(chance);
    auto again = *DataDir::Open(crashed.get(), "/vol");
    ASSERT_TRUE(again->FinishReplaceLog());
    auto log = env::ReadFile(*crashed, "/vol/wal/log", 100);
    ASSERT_TRUE(log) << log.error().message;
    auto aside = env::ReadFile(*crashed, "/vol/wal.bad-1/log", 100);
    EXPECT_TRUE(*log == "/vol/wal" || (*log == "/vol/wal.part" && aside == "/vol/wal"));
    EXPECT_FALSE(*env::Exists(*crashed, "/vol/wal.part"));
    EXPECT_FALSE(*env::Exists(*crashed, "/vol/wal.new"));
  }
}

// ---------------------------------------------------------------- with others

class LogDamageTest : public NodeTest {
 protected:
  static std::string Value(int i) {
    return "value-" + std::to_string(i) + "-" + std::string(500, 'v');
  }
  // Three nodes that hold k0 to k39; the volume of `number` as kill -9 leaves it.
  void FormAndKill(size_t number) {
    FormThree();
    for (int i = 0; i < 40; ++i) ExpectPut(n(1), "k" + std::to_string(i), Value(i));
    WaitUntil([&] { return n(number).Stats()["applied_index"] == n(1).Stats()["applied_index"]; });
    CopyDirectory(n(number).dir(), temp_.Path("image"));
    n(number).Stop();
    CopyDirectory(temp_.Path("image"), n(number).dir());
  }
  void ExpectStarts(TestNode& node) {
    Status started = node.Start();
    ASSERT_TRUE(started) << started.error().ToString();
  }
  size_t Leader() {
    size_t leader = 0;
    WaitUntil([&] {
      for (size_t i = 1; i <= 3; ++i) {
        if (n(i).Stats()["state"] == "Leader") leader = i;
      }
      return leader != 0;
    });
    return leader;
  }
  // It answers for itself and for nothing else.
  void ExpectOutOfService(TestNode& node, const std::string& file) {
    auto stats = node.Stats();
    EXPECT_EQ(stats["state"], "Shutdown");
    EXPECT_NE(stats["damage"].find(file), std::string::npos) << stats["damage"];
    auto stale = node.node().kv().GetLocal({"k0", service::Consistency::kStale});
    ASSERT_FALSE(stale);
    EXPECT_EQ(stale.error().code, Code::kUnavailable);
    EXPECT_NE(stale.error().message.find("under a new member id"), std::string::npos);
    Status barrier = node.Barrier();
    EXPECT_FALSE(barrier);
    bool named = false;
    for (const service::Check& check : node.node().cluster().Readiness()) {
      if (check.name == "log") named = !check.ok && check.detail.find(file) != std::string::npos;
    }
    EXPECT_TRUE(named);
    EXPECT_EQ(MetricOf(node, "arima_raft_damaged"), 1);
  }
  void ExpectHealed(size_t number, const std::string& member_id) {
    WaitUntil([&] {
      auto stats = n(number).Stats();
      return stats["member_id"] == member_id && stats["state"] == "Follower" &&
             n(Leader()).Stats()["num_peers"] == "2" && n(number).Stats()["num_peers"] == "2";
    });
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(n(number).Get("k" + std::to_string(i)), Value(i)) << i;
    }
    ExpectPut(n(number), "after", "healed");
    EXPECT_EQ(n(Leader()).Get("after"), "healed");
    EXPECT_EQ(n(number).Stats().count("damage"), 0u);
    EXPECT_FALSE(fs::exists(n(number).dir() + "/stand-in"));
    EXPECT_GE(CountNames(n(number).dir(), "wal.bad-"), 1u);
  }
};

TEST_F(LogDamageTest, AFollowerThatLostLogIsOutOfServiceAndReplacedUnderANewId) {
  FormAndKill(3);
  Place place = FindInLog(n(3).dir(), "value-20-");
  FlipBit(place.path, place.offset);
  n(1).Stop();  // nobody leads, so that it can be looked at
  n(2).Stop();
  ExpectStarts(n(3));
  ExpectOutOfService(n(3), place.path);
  // Also after a restart, and it never campaigns: its term stays.
  std::string term = n(3).Stats()["term"];
  n(3).Stop();
  ExpectStarts(n(3));
  ExpectOutOfService(n(3), place.path);
  EXPECT_EQ(n(3).Stats()["term"], term);
  ExpectStarts(n(1));
  ExpectStarts(n(2));
  ExpectHealed(3, "4");
  // The new member is one like any other.
  n(3).Stop();
  ExpectStarts(n(3));
  EXPECT_EQ(n(3).Get("k7"), Value(7));
  EXPECT_EQ(n(3).Stats()["member_id"], "4");
}

TEST_F(LogDamageTest, AFormerLeaderIsReplacedToo) {
  FormAndKill(1);
  // The header of the newest segment.
  const std::string path = ActiveSegments(n(1).dir()).back();
  FlipBit(path, 30);
  FlipBit(path, wal::kActiveBlockOffset + 30);
  ExpectStarts(n(1));
  ExpectHealed(1, "4");
}

TEST_F(LogDamageTest, ATruncatedLogIsReplacedToo) {
  FormAndKill(2);
  fs::resize_file(ActiveSegments(n(2).dir()).back(), 9000);
  ExpectStarts(n(2));
  ExpectHealed(2, "4");
}

TEST_F(LogDamageTest, AVanishedLogIsReplacedToo) {
  FormAndKill(2);
  fs::remove_all(n(2).dir() + "/wal");
  n(2).replica_options().accept_data_loss = true;  // no effect here
  ExpectStarts(n(2));
  WaitUntil(
      [&] { return n(2).Stats()["member_id"] == "4" && n(2).Stats()["state"] == "Follower"; });
  EXPECT_EQ(n(2).Get("k39"), Value(39));
}

// A crash of the damaged node at each step: what then lies on its disk is all that counts.
TEST_F(LogDamageTest, ACrashAtEachStepOfBecomingDamagedOrReplacedIsGoneOnFrom) {
  FormAndKill(3);
  Place place = FindInLog(n(3).dir(), "value-20-");
  FlipBit(place.path, place.offset);
  env::PosixEnv env;
  Logger logger("test", LogLevel::kError, LogFormat::kText);
  {  // the identity says it, nothing else has happened
    auto dir = *DataDir::Open(&env, n(3).dir());
    Identity identity = *dir->ReadIdentity(nullptr);
    ASSERT_TRUE(MarkDamaged(*dir, &identity, "rot in " + place.path, identity.seed_conf));
  }
  CopyDirectory(n(3).dir(), temp_.Path("said"));
  for (int step = 0; step < 3; ++step) {
    SCOPED_TRACE(step);
    CopyDirectory(temp_.Path("said"), n(3).dir());
    auto dir = *DataDir::Open(&env, n(3).dir());
    Identity identity = *dir->ReadIdentity(nullptr);
    if (step >= 1) {  // the stand-in is half made
      fs::create_directories(n(3).dir() + "/stand-in/wal");
    }
    if (step >= 2) {  // told to become member 4, it has set the log aside and no more
      ASSERT_TRUE(dir->SetAsideLog());
    }
    dir.reset();
    ExpectStarts(n(3));
    auto stats = n(3).Stats();
    EXPECT_TRUE(stats["state"] == "Shutdown" || stats["member_id"] != "3") << stats["state"];
    if (step < 2) n(3).Stop();
  }
  WaitUntil(
      [&] { return n(3).Stats()["member_id"] != "3" && n(3).Stats()["state"] == "Follower"; });
  for (int i = 0; i < 40; ++i) EXPECT_EQ(n(3).Get("k" + std::to_string(i)), Value(i));
}

TEST_F(LogDamageTest, AnOldCopyOfTheVolumeIsFoundOutAndReplaced) {
  FormThree();
  for (int i = 0; i < 20; ++i) ExpectPut(n(1), "k" + std::to_string(i), Value(i));
  n(3).Stop();
  CopyDirectory(n(3).dir(), temp_.Path("old"));
  ExpectStarts(n(3));
  for (int i = 20; i < 40; ++i) ExpectPut(n(1), "k" + std::to_string(i), Value(i));
  WaitUntil([&] { return n(3).Stats()["applied_index"] == n(1).Stats()["applied_index"]; });
  ASSERT_EQ(Leader(), 1u);
  n(3).Stop();
  CopyDirectory(temp_.Path("old"), n(3).dir());
  ExpectStarts(n(3));
  ExpectHealed(3, "4");
  EXPECT_GE(MetricOf(n(1), "arima_raft_damage_alarms_total"), 1);
  // Once more, the same copy: of a member that is none any more.
  n(3).Stop();
  CopyDirectory(temp_.Path("old"), n(3).dir());
  ExpectStarts(n(3));
  WaitUntil(
      [&] { return n(3).Stats()["member_id"] == "5" && n(3).Stats()["state"] == "Follower"; });
  EXPECT_EQ(n(3).Get("k39"), Value(39));
  // It follows as a learner before its predecessors are out.
  WaitUntil([&] { return n(1).Stats()["num_peers"] == "2"; });
}

TEST_F(LogDamageTest, AClusterThatShrankToOneNodeIsASingleNodeAgain) {
  FormThree();
  for (int i = 0; i < 40; ++i) ExpectPut(n(1), "k" + std::to_string(i), Value(i));
  auto state = [&] {
    auto content = ReadBytes(n(1).dir() + "/identity");
    return static_cast<IdentityState>(content[content.find("n1") - 4 - 32 - 8 - 8 - 2]);
  };
  EXPECT_EQ(state(), IdentityState::kMember);
  ASSERT_TRUE(n(1).Remove("n2"));
  ASSERT_TRUE(n(1).Remove("n3"));
  WaitUntil([&] { return state() == IdentityState::kStandalone; });
  CopyDirectory(n(1).dir(), temp_.Path("image"));
  n(1).Stop();
  CopyDirectory(temp_.Path("image"), n(1).dir());
  Place place = FindInLog(n(1).dir(), "value-20-");
  FlipBit(place.path, place.offset);
  Status started = n(1).Start();
  ASSERT_FALSE(started) << "nobody can replace it";
  EXPECT_NE(started.error().message.find("--accept-data-loss"), std::string::npos);
}

}  // namespace
}  // namespace arima::node
