// From one real database to another: checkpoint, description, transfer, check, and the database
// that comes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "env/posix_env.h"
#include "kv/test_workload.h"
#include "snapshot/test_transfer.h"
#include "testing/bad_disk.h"

namespace arima::snapshot {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr uint64_t kRecords = 3000;

class RocksTransferTest : public ::testing::Test {
 protected:
  void SetUp() override {
    kv::AppliedState initial;
    initial.cluster_id.bytes[5] = 6;
    machine_ = kv::Must(kv::StateMachine::Open(
        kv::Must(kv::OpenRocksEngine(kv::RocksStore::SmallOptions(Path("db")))), initial, {}));
    ApplyUpTo(kRecords);
    ASSERT_TRUE(machine_->engine().CompactAll());
    manifest_ = MakeSnapshot("ckpt", 7);
  }
  std::string Path(const std::string& name) const { return directory_.path() / name; }
  void ApplyUpTo(uint64_t last) {
    SeededRandom random(3);
    workload_.Apply(machine_.get(), last, 50, &random);
  }
  // Nobody writes meanwhile, so digest_ is that of what the snapshot holds.
  Manifest MakeSnapshot(const std::string& name, uint64_t id) {
    digest_ = kv::Must(kv::ContentDigest(machine_->engine()));
    Status made = machine_->engine().Checkpoint(Path(name));
    EXPECT_TRUE(made) << made.error().ToString();
    return kv::Must(DescribeCheckpoint(env_, Path(name), id));
  }
  Attempt Send(const Manifest& manifest, const std::string& from = "ckpt") {
    AttemptOptions options;
    options.from = Path(from);
    options.verify = VerifyDatabase;
    return Transfer(env_, env_, manifest, Path("recv"), options);
  }
  // The received directory as the database that it then is.
  uint64_t DigestOfReceived() {
    EXPECT_TRUE(ForgetFinished(env_, Path("recv")));
    kv::RocksEngineOptions options = kv::RocksStore::SmallOptions(Path("recv"));
    options.create_if_missing = false;
    return kv::Must(kv::ContentDigest(*kv::Must(kv::OpenRocksEngine(options))));
  }
  const SnapshotFile& LargestTable() const {
    return *std::ranges::max_element(manifest_.files, {}, [](const SnapshotFile& file) {
      return file.name.ends_with(".sst") ? file.bytes : 0;
    });
  }

  kv::TempDirectory directory_;
  env::PosixEnv env_;
  kv::Workload workload_{11, 2 * kRecords, 2000};
  std::unique_ptr<kv::StateMachine> machine_;
  Manifest manifest_;
  uint64_t digest_ = 0;
};

TEST_F(RocksTransferTest, TheReceivedDatabaseHasTheSameContent) {
  EXPECT_EQ(manifest_.index, kRecords);
  EXPECT_EQ(manifest_.term, 1 + kRecords / 500);
  EXPECT_EQ(manifest_.cluster_id, machine_->applied().cluster_id);
  EXPECT_EQ(manifest_.conf, machine_->applied().conf);
  ASSERT_GT(manifest_.files.size(), 4u);
  const Attempt attempt = Send(manifest_);
  ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
  ASSERT_TRUE(attempt.sent) << attempt.sent.error().ToString();
  EXPECT_EQ(*attempt.received, manifest_);
  EXPECT_EQ(attempt.bytes_sent, manifest_.TotalBytes());
  EXPECT_EQ(kv::Must(ReadFinished(env_, Path("recv"))), manifest_);
  Status verified = VerifyFinished(env_, Path("recv"), manifest_);
  EXPECT_TRUE(verified) << verified.error().ToString();
  EXPECT_EQ(kv::Must(kv::ReadCheckpoint(Path("recv"))).index, kRecords);
  EXPECT_EQ(DigestOfReceived(), digest_);
}

// What was written meanwhile is not in it, and does not disturb it.
TEST_F(RocksTransferTest, ItStandsForItsIndexWhateverTheDatabaseDoesLater) {
  ApplyUpTo(kRecords + 500);
  ASSERT_TRUE(machine_->Flush(true));
  ASSERT_TRUE(machine_->engine().CompactAll());
  machine_.reset();
  fs::remove_all(Path("db"));
  ASSERT_TRUE(Send(manifest_).received);
  EXPECT_EQ(DigestOfReceived(), digest_);
}

TEST_F(RocksTransferTest, ALaterSnapshotBringsOnlyWhatIsNew) {
  ASSERT_TRUE(Send(manifest_).received);
  ApplyUpTo(kRecords + 40);
  const Manifest later = MakeSnapshot("ckpt2", 8);
  std::set<Hash128> there;
  for (const SnapshotFile& file : manifest_.files) there.insert(file.hash);
  uint64_t missing = 0;
  for (const SnapshotFile& file : later.files) {
    if (there.insert(file.hash).second) missing += file.bytes;
  }
  ASSERT_LT(missing, later.TotalBytes() / 2) << "tables are shared";
  const Attempt attempt = Send(later, "ckpt2");
  ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
  EXPECT_EQ(attempt.bytes_sent, missing);
  EXPECT_EQ(DigestOfReceived(), digest_);
}

// The receiver of an interrupted install: its directory has become a live database, and is not one.
TEST_F(RocksTransferTest, ADirectoryThatWasADatabaseMeanwhileIsRawMaterial) {
  ASSERT_TRUE(Send(manifest_).received);
  (void)DigestOfReceived();  // opens it for writing
  EXPECT_EQ(ReadFinished(env_, Path("recv")).error().code, Code::kNotFound);
  const Attempt attempt = Send(manifest_);
  ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
  EXPECT_LT(attempt.bytes_sent, manifest_.TotalBytes() / 2) << "the tables are the same";
  EXPECT_EQ(DigestOfReceived(), digest_);
}

TEST_F(RocksTransferTest, AManifestThatIsNotThatOfTheDatabaseIsRefused) {
  struct Lie {
    const char* what;
    void (*tell)(Manifest*);
  };
  for (const Lie& lie :
       {Lie{"index", [](Manifest* m) { ++m->index; }}, Lie{"term", [](Manifest* m) { ++m->term; }},
        Lie{"configuration", [](Manifest* m) { m->conf += "x"; }},
        Lie{"cluster id", [](Manifest* m) { m->cluster_id.bytes[0] ^= 1; }}}) {
    Manifest lying = manifest_;
    lie.tell(&lying);
    const Attempt attempt = Send(lying);
    ASSERT_FALSE(attempt.received) << lie.what;
    EXPECT_EQ(attempt.received.error().code, Code::kCorruption);
    EXPECT_THAT(attempt.received.error().message, HasSubstr(lie.what));
    EXPECT_EQ(attempt.sent.error().code, Code::kCorruption);
    EXPECT_THAT(attempt.sent.error().message, HasSubstr(lie.what)) << "the sender hears of it";
    EXPECT_TRUE(fs::is_empty(Path("recv"))) << "no attempt can use it";
  }
}

// Described when it was sound: the hash says so.
TEST_F(RocksTransferTest, ATableThatRotsAtTheSenderIsNamedAtBothSides) {
  const SnapshotFile& table = LargestTable();
  FlipBit(Path("ckpt/" + table.name), table.bytes / 2);
  const Attempt attempt = Send(manifest_);
  ASSERT_FALSE(attempt.received);
  EXPECT_EQ(attempt.received.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.received.error().message, HasSubstr(table.name));
  EXPECT_EQ(attempt.sent.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.sent.error().message, HasSubstr(table.name));
  EXPECT_EQ(ReadFinished(env_, Path("recv")).error().code, Code::kNotFound);
  // Mended, the rest need not come again.
  FlipBit(Path("ckpt/" + table.name), table.bytes / 2);
  const Attempt second = Send(manifest_);
  ASSERT_TRUE(second.received) << second.received.error().ToString();
  EXPECT_EQ(DigestOfReceived(), digest_);
}

// Described when it was rotten: every hash is right, and only the table's own checksums tell.
TEST_F(RocksTransferTest, ATableThatWasRottenBeforeIsNamedAtBothSides) {
  const std::string name = LargestTable().name;
  FlipBit(Path("ckpt/" + name), LargestTable().bytes / 2);
  const Manifest manifest = kv::Must(DescribeCheckpoint(env_, Path("ckpt"), 9));
  const Attempt attempt = Send(manifest);
  ASSERT_FALSE(attempt.received);
  EXPECT_EQ(attempt.received.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.received.error().message, HasSubstr(name));
  EXPECT_EQ(attempt.sent.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.sent.error().message, HasSubstr(name));
  EXPECT_TRUE(fs::is_empty(Path("recv")));
}

TEST_F(RocksTransferTest, ATableThatRotsAtTheReceiverIsNamedAndFetchedAnew) {
  ASSERT_TRUE(Send(manifest_).received);
  const SnapshotFile& table = LargestTable();
  FlipBit(Path("recv/" + table.name), table.bytes / 2);
  EXPECT_TRUE(ReadFinished(env_, Path("recv"))) << "cheap, and says so";
  Status verified = VerifyFinished(env_, Path("recv"), manifest_);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, Code::kCorruption);
  EXPECT_THAT(verified.error().message, HasSubstr(table.name));
  const Attempt attempt = Send(manifest_);
  ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
  EXPECT_EQ(attempt.bytes_sent, table.bytes);
  EXPECT_EQ(DigestOfReceived(), digest_);
}

TEST_F(RocksTransferTest, WhatIsNoCheckpointIsNotDescribed) {
  EXPECT_EQ(DescribeCheckpoint(env_, Path("none"), 1).error().code, Code::kNotFound);
  fs::create_directory(Path("ckpt/inner"));
  auto described = DescribeCheckpoint(env_, Path("ckpt"), 1);
  ASSERT_FALSE(described);
  EXPECT_EQ(described.error().code, Code::kNotSupported);
  EXPECT_THAT(described.error().message, HasSubstr("inner"));
}

}  // namespace
}  // namespace arima::snapshot
