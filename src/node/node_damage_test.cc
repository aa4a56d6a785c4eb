// Whole nodes whose database is damaged (docs/design/raft.md 5.2): they keep their member id, their
// log and their vote, serve nothing that is wrong, and get the data from the others.
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "node/test_damage.h"
#include "node/test_large_values.h"

namespace arima::node {
namespace {

constexpr int kKeys = 400;

class NodeDamageTest : public LargeValuesTest {
 protected:
  void ExpectHas(TestNode& node, int first, int last) {
    WaitUntil([&] { return node.Barrier().has_value(); });
    ExpectHolds(node, first, last);
  }
  // Reads everything once. What is answered is right; an error is fine. Without a barrier for each
  // read, a node that has just got its data back may answer what it held a moment ago.
  Error ReadAll(TestNode& node) {
    Error last;
    for (int i = 0; i < kKeys; ++i) {
      if (Status ready = node.Barrier(); !ready) {
        last = ready.error();
        continue;
      }
      auto read = node.node().kv().GetLocal({"k" + std::to_string(i)});
      if (read) {
        EXPECT_TRUE(read->found && read->value.view() == ValueOf(i)) << "k" << i;
      } else {
        last = read.error();
      }
    }
    return last;
  }
  // Three nodes, all level, whose logs were cut.
  void FillThree() {
    FormThree();
    Write(n(1), 0, kKeys);
    for (size_t i = 1; i <= 3; ++i) {
      WaitUntil([&] { return MetricOf(n(i), "arima_log_cuts_total") > 0; });
    }
  }
  std::string LiveDb(TestNode& node) {
    std::vector<std::string> dbs = FilesLike(node.dir(), "db-");
    std::erase_if(dbs, [](const std::string& db) { return db.ends_with(".bad"); });
    EXPECT_EQ(dbs.size(), 1u);
    return dbs.at(0);
  }
  // There is none while the node opens its data again.
  double Figure(TestNode& node, const std::string& name) {
    std::optional<double> value;
    WaitUntil([&] {
      for (const auto& metric : node.node().cluster().Metrics()) {
        if (metric.name == name) value = metric.value;
      }
      return value.has_value();
    });
    return *value;
  }
  double Installs(TestNode& node) { return Figure(node, "arima_snapshot_installs_total"); }
  double Corruptions(TestNode& node) { return Figure(node, "arima_database_corruptions_total"); }
  void ExpectHealed(TestNode& node, const std::string& member_id) {
    WaitUntil([&] { return Installs(node) > 0; });
    ExpectHas(node, 0, kKeys);
    EXPECT_EQ(node.Stats()["member_id"], member_id);
    EXPECT_EQ(node.Stats()["database_state"], "ok");
    EXPECT_EQ(FilesLike(node.dir(), ".bad").size(), 1u);
    EXPECT_EQ(Corruptions(node), 1);
    EXPECT_EQ(Figure(node, "arima_database_awaits_snapshot"), 0);
  }
};

TEST_F(NodeDamageTest, AFollowerThatFindsItAtItsStartTakesASnapshot) {
  FillThree();
  std::string id = n(3).Stats()["member_id"];
  n(3).Stop();
  for (const std::string& table : FilesLike(LiveDb(n(3)), ".sst")) Truncate(table, 100);
  ASSERT_TRUE(n(3).Start());
  ExpectHealed(n(3), id);
  // It follows by the log again, and may lead.
  n(2).Stop();
  Write(n(3), kKeys, kKeys + 20);
  ExpectHas(n(3), 0, kKeys + 20);
  n(3).Stop();
  ASSERT_TRUE(n(3).Start());
  ExpectHas(n(3), 0, kKeys + 20);
}

TEST_F(NodeDamageTest, AFollowerThatFindsItWhileReadingTakesASnapshot) {
  FillThree();
  std::string id = n(3).Stats()["member_id"];
  DamageTables(LiveDb(n(3)), 8000);
  WaitUntil([&] {
    (void)ReadAll(n(3));
    return Corruptions(n(3)) > 0;
  });
  ExpectHealed(n(3), id);
}

TEST_F(NodeDamageTest, AFullDiskOnlyDelaysTheRepair) {
  FillThree();
  std::string id = n(3).Stats()["member_id"];
  n(3).env().SetDiskFull(true);
  DamageTables(LiveDb(n(3)), 8000);
  WaitUntil([&] {
    (void)ReadAll(n(3));
    return Corruptions(n(3)) > 0;
  });
  EXPECT_TRUE(FilesLike(n(3).dir(), ".bad").empty());
  EXPECT_NE(n(3).Stats()["database_state"], "ok") << "it stays up and says so";
  n(3).env().SetDiskFull(false);
  ExpectHealed(n(3), id);
}

TEST_F(NodeDamageTest, TheDamagedDatabaseGoesWhereItsReplacementWouldNotFit) {
  FillThree();
  n(3).Stop();
  Truncate(LiveDb(n(3)) + "/CURRENT", 0);
  n(3).env().SetSpace(env::DiskSpace{2 << 20, 100 << 20});  // the snapshot has nearly as much
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return FilesLike(n(3).dir(), ".bad").empty(); });
  EXPECT_EQ(Installs(n(3)), 0);
  n(3).env().SetSpace({});
  WaitUntil([&] { return Installs(n(3)) > 0; });
  ExpectHas(n(3), 0, kKeys);
}

// Its database is empty when it starts, and its log holds everything.
TEST_F(NodeDamageTest, WhileTheLogIsAppliedAgainNothingIsSaidToBeMissing) {
  Add("n1");
  Write(n(1), 0, 40);
  WaitUntil([&] { return n(1).Barrier().has_value(); });
  n(1).Stop();
  Truncate(LiveDb(n(1)) + "/CURRENT", 0);
  Status started = n(1).Start();
  ASSERT_TRUE(started) << started.error().ToString();
  int answered = 0;
  while (answered == 0) {
    for (int i = 0; i < 40; ++i) {
      auto read =
          n(1).node().kv().GetLocal({"k" + std::to_string(i), service::Consistency::kStale});
      if (!read) {
        EXPECT_EQ(read.error().code, Code::kUnavailable) << read.error().message;
        continue;
      }
      ++answered;
      ASSERT_TRUE(read->found && read->value.view() == ValueOf(i)) << "k" << i;
    }
  }
}

TEST_F(NodeDamageTest, ALeaderHandsOverFirst) {
  FillThree();
  ASSERT_TRUE(n(1).Leads());
  std::string id = n(1).Stats()["member_id"];
  double changes = MetricOf(n(2), "arima_server_leader_changes_total");
  DamageTables(LiveDb(n(1)), 8000);
  WaitUntil([&] {
    (void)ReadAll(n(1));
    return Corruptions(n(1)) > 0;
  });
  ExpectHealed(n(1), id);
  EXPECT_EQ(MetricOf(n(2), "arima_server_leader_changes_total"), changes + 1)
      << "one election, asked for";
  EXPECT_FALSE(n(1).Leads());
}

TEST_F(NodeDamageTest, MeanwhileItVotesAndItsCopyOfTheLogCounts) {
  snapshots_.rate_bytes_per_s = 1 << 20;
  FillThree();
  n(3).Stop();
  Truncate(LiveDb(n(3)) + "/CURRENT", 0);
  ASSERT_TRUE(n(3).Start());
  EXPECT_EQ(MetricOf(n(3), "arima_database_awaits_snapshot"), 1);
  EXPECT_NE(n(3).Stats()["database_state"].find("waits for"), std::string::npos);
  auto refused = n(3).node().kv().GetLocal({"k1"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  auto put = n(3).Put("k1", "x");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kUnavailable) << "not applied, and said so";
  // Two of three are needed, and n3 is one of them.
  n(1).Stop();
  WaitUntil([&] { return n(2).Leads(); });
  Write(n(2), kKeys, kKeys + 5);
  EXPECT_EQ(Installs(n(3)), 0);
  WaitUntil([&] { return Installs(n(3)) > 0; });
  ExpectHas(n(3), 0, kKeys + 5);
}

TEST_F(NodeDamageTest, IfNobodyElseHasTheDataItWaitsAndSaysSo) {
  FillThree();
  for (size_t i = 1; i <= 3; ++i) n(i).Stop();
  for (size_t i = 2; i <= 3; ++i) {
    Truncate(LiveDb(n(i)) + "/CURRENT", 0);
    ASSERT_TRUE(n(i).Start());
  }
  for (size_t i = 2; i <= 3; ++i) {
    EXPECT_NE(n(i).Stats()["database_state"].find("empty, waits for"), std::string::npos);
  }
  ASSERT_TRUE(n(1).Start());
  for (size_t i = 2; i <= 3; ++i) ExpectHealed(n(i), n(i).Stats()["member_id"]);
}

TEST_F(NodeDamageTest, ALeaderWhoseSnapshotIsRefusedLooksAtItsOwnDatabase) {
  FillThree();
  // On a slow machine another one may lead by the time that n3 asks, and its snapshot is good; or
  // the damaged tables were just being replaced by a compaction. Never the same bits twice.
  for (uint64_t step = 8000; Corruptions(n(1)) == 0; ++step) {
    DamageTables(LiveDb(n(1)), step);
    WaitUntil([&] { return n(1).Leads() || (n(1).Transfer("n1").has_value() && n(1).Leads()); });
    n(3).Stop();
    Truncate(LiveDb(n(3)) + "/CURRENT", 0);
    ASSERT_TRUE(n(3).Start());
    WaitUntil([&] { return Corruptions(n(1)) > 0 || Installs(n(3)) > 0; });
  }
  ExpectHealed(n(1), n(1).Stats()["member_id"]);
  ExpectHealed(n(3), n(3).Stats()["member_id"]);
}

TEST_F(NodeDamageTest, AnOnlyNodeServesNothingAndStaysUp) {
  Add("n1");
  Write(n(1), 0, kKeys);
  WaitUntil([&] { return MetricOf(n(1), "arima_log_cuts_total") > 0; });
  DamageTables(LiveDb(n(1)), 8000);
  Error error;
  WaitUntil([&] {
    error = ReadAll(n(1));
    return Corruptions(n(1)) > 0;
  });
  EXPECT_EQ(error.code, Code::kCorruption);
  WaitUntil([&] {
    auto read = n(1).node().kv().GetLocal({"k1"});
    return !read && read.error().message.find("restore a backup") != std::string::npos;
  });
  auto read = n(1).node().kv().GetLocal({"k1"});
  EXPECT_EQ(read.error().code, Code::kCorruption);
  EXPECT_NE(read.error().message.find(".sst"), std::string::npos) << read.error().message;
  auto put = n(1).Put("k1", "x");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kCorruption);
  EXPECT_EQ(n(1).Stats()["state"], "Leader") << "it answers whoever looks after it";
  EXPECT_NE(n(1).Stats()["database_state"], "ok");
  EXPECT_TRUE(FilesLike(n(1).dir(), ".bad").empty());
}

}  // namespace
}  // namespace arima::node
