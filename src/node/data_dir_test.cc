#include "node/data_dir.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/coding.h"
#include "env/fault_env.h"
#include "env/mem_env.h"
#include "node/bootstrap.h"
#include "node/checked_file.h"
#include "raft/conf_change.h"

namespace arima::node {
namespace {

using raft::MemberId;

class DataDirTest : public ::testing::Test {
 protected:
  std::unique_ptr<DataDir> Open(env::Env& env) {
    auto dir = DataDir::Open(&env, "vol");
    EXPECT_TRUE(dir) << dir.error().ToString();
    return dir ? std::move(*dir) : nullptr;
  }
  std::unique_ptr<DataDir> Open() { return Open(env_); }
  void MakeFile(const std::string& path) { ASSERT_TRUE(env::WriteFileAtomically(env_, path, "x")); }
  bool Exists(const std::string& path) { return *env::Exists(env_, path); }

  env::MemEnv env_;
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
};

TEST_F(DataDirTest, IsMadeAndLockedAgainstASecondProcess) {
  auto dir = Open();
  ASSERT_NE(dir, nullptr);
  auto second = DataDir::Open(&env_, "vol");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_NE(second.error().message.find("vol"), std::string::npos);
  dir.reset();
  EXPECT_NE(Open(), nullptr);
}

TEST_F(DataDirTest, ADirectoryThatSomebodyMadeAndDidNotSyncSurvivesALossOfPower) {
  ASSERT_TRUE(env_.MakeDir("vol"));
  auto dir = Open();
  Identity identity;
  identity.name = "n1";
  identity.member_id = MemberId(1);
  ASSERT_TRUE(dir->WriteIdentity(&identity));
  dir.reset();
  env::DropAll drop_all;
  env_.PowerLoss(drop_all);
  dir = Open();
  auto found = dir->ReadIdentity(nullptr);
  ASSERT_TRUE(found) << found.error().ToString();
  EXPECT_EQ(found->name, "n1");
}

TEST_F(DataDirTest, AFileInItsPlaceIsAnErrorThatNamesIt) {
  MakeFile("vol");
  auto dir = DataDir::Open(&env_, "vol");
  ASSERT_FALSE(dir);
  EXPECT_NE(dir.error().message.find("vol"), std::string::npos);
}

TEST_F(DataDirTest, KeepsTheIdentityAndCountsItsGenerations) {
  auto dir = Open();
  EXPECT_EQ(dir->ReadIdentity(nullptr).error().code, Code::kNotFound);
  Identity identity;
  identity.name = "n1";
  identity.member_id = MemberId(1);
  ASSERT_TRUE(dir->WriteIdentity(&identity));
  EXPECT_EQ(identity.generation, 1u);
  identity.state = IdentityState::kMember;
  ASSERT_TRUE(dir->WriteIdentity(&identity));
  EXPECT_EQ(identity.generation, 2u);
  dir.reset();
  bool mended = true;
  auto read = Open()->ReadIdentity(&mended);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, identity);
  EXPECT_FALSE(mended);
}

TEST_F(DataDirTest, TellsWhenACopyOfTheIdentityWasMended) {
  auto dir = Open();
  Identity identity;
  ASSERT_TRUE(dir->WriteIdentity(&identity));
  ASSERT_TRUE(env_.FlipBit("vol/identity", 30, 1));
  bool mended = false;
  ASSERT_TRUE(dir->ReadIdentity(&mended));
  EXPECT_TRUE(mended);
}

TEST_F(DataDirTest, KeepsTheNumberOfTheLiveDatabase) {
  auto dir = Open();
  EXPECT_EQ(dir->ReadCurrentDb().error().code, Code::kNotFound);
  ASSERT_TRUE(dir->WriteCurrentDb({.number = 1}));
  ASSERT_TRUE(dir->WriteCurrentDb({.number = 2}));
  dir.reset();
  dir = Open();
  EXPECT_EQ(*dir->ReadCurrentDb(), CurrentDb{2});
  CurrentDb installed{3, 77, false, DbState::kEmptied, "block 7 of a table"};
  ASSERT_TRUE(dir->WriteCurrentDb(installed));
  EXPECT_EQ(*dir->ReadCurrentDb(), installed);
}

// Version 1 said the number and nothing else.
TEST_F(DataDirTest, ReadsWhatAnOlderReleaseSaidOfTheLiveDatabase) {
  auto dir = Open();
  std::string number;
  ByteWriter(&number).U64(5);
  ASSERT_TRUE(WriteCheckedFile(env_, "vol/CURRENT_DB", number, 9));
  EXPECT_EQ(*dir->ReadCurrentDb(), (CurrentDb{5, 0, true}));
  ASSERT_TRUE(dir->WriteCurrentDb({.number = 6}));
  EXPECT_EQ(dir->ReadCurrentDb()->number, 6u);
}

// Version 2 knew no damage.
TEST_F(DataDirTest, ReadsVersionTwoAsAWholeDatabase) {
  auto dir = Open();
  std::string bytes;
  ByteWriter out(&bytes);
  out.U64(5);
  out.U32(2);
  out.U64(77);
  out.U8(0);
  ASSERT_TRUE(WriteCheckedFile(env_, "vol/CURRENT_DB", bytes, 1));
  EXPECT_EQ(*dir->ReadCurrentDb(), (CurrentDb{5, 77, false}));
}

TEST_F(DataDirTest, TellsWhenACopyOfWhichDatabaseIsLiveWasMended) {
  auto dir = Open();
  ASSERT_TRUE(dir->WriteCurrentDb({.number = 1}));
  bool mended = true;
  ASSERT_TRUE(dir->ReadCurrentDb(&mended));
  EXPECT_FALSE(mended);
  ASSERT_TRUE(env_.Unlink("vol/CURRENT_DB.copy"));
  ASSERT_TRUE(dir->ReadCurrentDb(&mended));
  EXPECT_TRUE(mended);
}

TEST_F(DataDirTest, SetsOneDatabaseAsideAndForgetsThoseBefore) {
  auto dir = Open();
  for (const char* path : {"vol/db-1", "vol/db-2"}) ASSERT_TRUE(env::MakeDirs(env_, path));
  MakeFile("vol/db-2/f");
  ASSERT_TRUE(dir->SetAside(1));
  EXPECT_TRUE(Exists("vol/db-1.bad"));
  ASSERT_TRUE(dir->SetAside(2));
  ASSERT_TRUE(dir->SetAside(2)) << "it may be repeated";
  EXPECT_FALSE(Exists("vol/db-1.bad"));
  EXPECT_TRUE(Exists("vol/db-2.bad/f"));
  EXPECT_TRUE(dir->CheckFresh());
  ASSERT_TRUE(dir->DiscardOtherDbs(3));
  EXPECT_TRUE(Exists("vol/db-2.bad/f"));
  ASSERT_TRUE(dir->DiscardData());
  EXPECT_FALSE(Exists("vol/db-2.bad"));
}

TEST_F(DataDirTest, RefusesWhatALaterReleaseOrNobodySaidOfTheLiveDatabase) {
  auto dir = Open();
  for (uint32_t version : {0u, 1u, 4u}) {
    std::string bytes;
    ByteWriter out(&bytes);
    out.U64(5);
    out.U32(version);
    out.U64(0);
    out.U8(1);
    ASSERT_TRUE(WriteCheckedFile(env_, "vol/CURRENT_DB", bytes, 1));
    auto read = dir->ReadCurrentDb();
    ASSERT_FALSE(read) << version;
    EXPECT_EQ(read.error().code, version == 4 ? Code::kNotSupported : Code::kCorruption);
  }
}

TEST_F(DataDirTest, CheckpointsAndReceivedSnapshotsAreOwnThings) {
  auto dir = Open();
  for (const std::string& path : {dir->receive_path(), dir->checkpoint_path(7)}) {
    ASSERT_TRUE(env::MakeDirs(env_, path));
    MakeFile(path + "/f");
  }
  EXPECT_TRUE(dir->CheckFresh());
  ASSERT_TRUE(dir->DiscardCheckpoints());
  EXPECT_FALSE(Exists(dir->checkpoint_path(7)));
  EXPECT_TRUE(Exists(dir->receive_path() + "/f")) << "it is gone on with after a restart";
  ASSERT_TRUE(dir->DiscardData());
  EXPECT_FALSE(Exists(dir->receive_path()));
}

// Power is lost at any moment of an install: the old database is live, whole, or the new one,
// whole and unconfirmed.
TEST_F(DataDirTest, AnInterruptedInstallLeavesTheOldDatabaseOrTheNewOne) {
  auto prepare = Open();
  ASSERT_TRUE(env::MakeDirs(env_, "vol/db-1"));
  ASSERT_TRUE(env::WriteFileAtomically(env_, "vol/db-1/f", "old"));
  ASSERT_TRUE(env::MakeDirs(env_, prepare->receive_path()));
  ASSERT_TRUE(env::WriteFileAtomically(env_, prepare->receive_path() + "/f", "new"));
  ASSERT_TRUE(env_.SyncDir("vol"));
  ASSERT_TRUE(prepare->WriteCurrentDb({.number = 1}));
  prepare.reset();
  std::vector<std::unique_ptr<env::MemEnv>> moments;
  env::FaultEnv observed(env_, 1);
  auto dir = Open(observed);
  observed.SetObserver([&](env::Op, const std::string&) { moments.push_back(env_.Clone()); });
  ASSERT_TRUE(dir->InstallReceived(9));
  moments.push_back(env_.Clone());
  ASSERT_GT(moments.size(), 6u);
  int installed = 0;
  for (size_t moment = 0; moment < moments.size(); ++moment) {
    for (uint64_t seed = 1; seed <= 16; ++seed) {
      SCOPED_TRACE("moment " + std::to_string(moment) + " seed " + std::to_string(seed));
      std::unique_ptr<env::MemEnv> after = moments[moment]->Clone();
      env::RandomCrash crash(seed);
      after->PowerLoss(crash);
      auto again = Open(*after);
      auto current = again->ReadCurrentDb();
      ASSERT_TRUE(current) << current.error().ToString();
      bool is_new = current->number == 2;
      EXPECT_EQ(*current, is_new ? (CurrentDb{2, 9, false}) : CurrentDb{1});
      auto content = env::ReadFile(*after, again->db_path(current->number) + "/f", 100);
      ASSERT_TRUE(content);
      EXPECT_EQ(*content, is_new ? "new" : "old");
      installed += is_new ? 1 : 0;
      EXPECT_TRUE(is_new || moment + 1 < moments.size());
    }
  }
  EXPECT_GT(installed, 16);
}

TEST_F(DataDirTest, DiscardRemovesLogAndDatabasesAndNothingElse) {
  auto dir = Open();
  for (const char* path : {"vol/wal", "vol/db-1", "vol/db-1/sub", "vol/db-12", "vol/db-x"}) {
    ASSERT_TRUE(env::MakeDirs(env_, path));
  }
  MakeFile("vol/wal/1.seg");
  MakeFile("vol/db-1/sub/f");
  MakeFile("vol/identity");
  ASSERT_TRUE(dir->DiscardData());
  EXPECT_FALSE(Exists("vol/wal"));
  EXPECT_FALSE(Exists("vol/db-1"));
  EXPECT_FALSE(Exists("vol/db-12"));
  EXPECT_TRUE(Exists("vol/db-x"));
  EXPECT_TRUE(Exists("vol/identity"));
  EXPECT_TRUE(dir->DiscardData()) << "nothing there is fine";
}

TEST_F(DataDirTest, DiscardOtherDbsKeepsTheLiveOne) {
  auto dir = Open();
  for (const char* path : {"vol/db-1", "vol/db-2", "vol/db-3"}) {
    ASSERT_TRUE(env::MakeDirs(env_, path));
  }
  ASSERT_TRUE(dir->DiscardOtherDbs(2));
  EXPECT_FALSE(Exists("vol/db-1"));
  EXPECT_TRUE(Exists("vol/db-2"));
  EXPECT_FALSE(Exists("vol/db-3"));
}

TEST_F(DataDirTest, TheTrashHasNamesThatDoNotComeTwice) {
  auto dir = Open();
  int told = 0;
  dir->WatchTrash([&] { ++told; });
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(env::MakeDirs(env_, "vol/db-5"));
    MakeFile("vol/db-5/f");
    ASSERT_TRUE(dir->MoveToTrash("vol/db-5"));
    EXPECT_FALSE(Exists("vol/db-5"));
  }
  EXPECT_EQ(told, 3);
  EXPECT_TRUE(dir->MoveToTrash("vol/db-5")) << "nothing there is fine";
  EXPECT_EQ(told, 3);
  ASSERT_EQ(dir->Trash()->size(), 3u);
  dir.reset();
  dir = Open();
  ASSERT_TRUE(env::MakeDirs(env_, "vol/db-5"));
  ASSERT_TRUE(dir->MoveToTrash("vol/db-5"));
  EXPECT_EQ(dir->Trash()->size(), 4u) << "also after a restart";
  EXPECT_TRUE(dir->CheckFresh());
}

TEST_F(DataDirTest, ADirectoryWithOtherThingsInItIsNotTaken) {
  auto dir = Open();
  EXPECT_TRUE(dir->CheckFresh());
  MakeFile("vol/lost+found");
  EXPECT_TRUE(dir->CheckFresh());
  MakeFile("vol/letter.txt");
  Status fresh = dir->CheckFresh();
  ASSERT_FALSE(fresh);
  EXPECT_EQ(fresh.error().code, Code::kConflict);
  EXPECT_NE(fresh.error().message.find("letter.txt"), std::string::npos);
}

TEST_F(DataDirTest, DataWithoutIdentityIsNeverOverwritten) {
  auto dir = Open();
  ASSERT_TRUE(env::MakeDirs(env_, "vol/wal"));
  EXPECT_EQ(dir->CheckFresh().error().code, Code::kCorruption);
  ASSERT_TRUE(env_.RemoveDir("vol/wal"));
  ASSERT_TRUE(env::MakeDirs(env_, "vol/db-1"));
  EXPECT_EQ(dir->CheckFresh().error().code, Code::kCorruption);
  EXPECT_FALSE(LoadOrFound(*dir, "n1", &logger_));
  EXPECT_FALSE(Exists("vol/identity"));
}

// ---------------------------------------------------------------- first start

TEST(OriginConf, IsAValidConfigurationOfOneVoter) {
  raft::ConfState conf = OriginConf();
  EXPECT_TRUE(raft::CheckConfState(conf));
  EXPECT_EQ(conf.voters, std::vector<MemberId>{MemberId(1)});
  EXPECT_EQ(conf.next_member_id, MemberId(2));
  EXPECT_EQ(conf.index, raft::kFirstSnapshotIndex);
}

TEST(LeavesOut, OnlyAConfigurationThatKnewTheMemberProvesItsRemoval) {
  raft::ConfState conf = OriginConf();
  EXPECT_FALSE(LeavesOut(conf, MemberId(1)));
  EXPECT_FALSE(LeavesOut(conf, MemberId(2))) << "older than the member: it replays history";
  EXPECT_FALSE(LeavesOut(conf, MemberId(7)));
  conf.next_member_id = MemberId(4);
  EXPECT_TRUE(LeavesOut(conf, MemberId(2)));
  EXPECT_TRUE(LeavesOut(conf, MemberId(3)));
  EXPECT_FALSE(LeavesOut(conf, MemberId(4)));
}

TEST_F(DataDirTest, TheFirstStartFoundsAClusterAndTheNextOneFindsIt) {
  auto dir = Open();
  auto founded = LoadOrFound(*dir, "n1", &logger_);
  ASSERT_TRUE(founded) << founded.error().ToString();
  EXPECT_EQ(founded->member_id, MemberId(1));
  EXPECT_EQ(founded->state, IdentityState::kStandalone);
  EXPECT_FALSE(founded->cluster_id.IsZero());
  EXPECT_FALSE(founded->incarnation.IsZero());
  EXPECT_FALSE(founded->data_ready);
  dir.reset();
  dir = Open();
  auto found = LoadOrFound(*dir, "n1", &logger_);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, *founded);
}

TEST_F(DataDirTest, TwoDirectoriesAreTwoClusters) {
  auto one = LoadOrFound(*Open(), "n1", &logger_);
  env::MemEnv other;
  auto two = LoadOrFound(*Open(other), "n1", &logger_);
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->cluster_id, two->cluster_id);
  EXPECT_NE(one->incarnation, two->incarnation);
}

TEST_F(DataDirTest, AnotherNameIsRefusedWithTheRightOne) {
  auto dir = Open();
  ASSERT_TRUE(LoadOrFound(*dir, "n1", &logger_));
  auto other = LoadOrFound(*dir, "n2", &logger_);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kConflict);
  EXPECT_NE(other.error().message.find("--node-id n1"), std::string::npos);
}

// Power is lost at any moment of the very first start: the next one goes through, and once the
// first has returned, the cluster is the same one.
TEST_F(DataDirTest, AnInterruptedFirstStartIsFollowedByAGoodOne) {
  std::vector<std::unique_ptr<env::MemEnv>> moments;
  env::FaultEnv observed(env_, 1);
  observed.SetObserver([&](env::Op, const std::string&) { moments.push_back(env_.Clone()); });
  auto founded = LoadOrFound(*Open(observed), "n1", &logger_);
  ASSERT_TRUE(founded);
  moments.push_back(env_.Clone());
  for (size_t moment = 0; moment < moments.size(); ++moment) {
    for (uint64_t seed = 1; seed <= 16; ++seed) {
      SCOPED_TRACE("moment " + std::to_string(moment) + " seed " + std::to_string(seed));
      std::unique_ptr<env::MemEnv> after = moments[moment]->Clone();
      env::RandomCrash crash(seed);
      after->PowerLoss(crash);
      auto dir = Open(*after);
      ASSERT_NE(dir, nullptr);
      auto again = LoadOrFound(*dir, "n1", &logger_);
      ASSERT_TRUE(again) << again.error().ToString();
      bool same = again->cluster_id == founded->cluster_id;
      EXPECT_TRUE(same || moment + 1 < moments.size());
    }
  }
}

}  // namespace
}  // namespace arima::node
