// A receiver that dies before each of its operations, with any part of what was not synced lost or
// torn, and one whose operations fail: the next attempt has the whole snapshot all the same, and
// nothing half is ever taken for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/random.h"
#include "env/fault_env.h"
#include "snapshot/test_transfer.h"

namespace arima::snapshot {
namespace {

constexpr uint64_t kFates = 8;  // seeds of RandomCrash per moment; each mode comes more than once
const VerifyFn kSound = [](const std::string&, const Manifest&, const StepFn&) { return Status(); };

// What lies in the receive directory when the attempt begins.
enum class Before { kNothing, kOtherNames, kPartial };

class ReceiveCrashTest : public ::testing::TestWithParam<Before> {
 protected:
  void SetUp() override {
    files_ = {{"000010.sst", RandomBytes(1, 300'000)},
              {"000012.sst", RandomBytes(2, 9'000)},
              {"000014.sst", RandomBytes(3, 40'000)},
              {"CURRENT", "MANIFEST-000005\n"},
              {"EMPTY", ""}};
    WriteDir(sender_, kFrom, files_);
    manifest_ = MakeManifest(sender_, kFrom);
    if (GetParam() == Before::kOtherNames) LeaveEarlierSnapshot();
    if (GetParam() == Before::kPartial) LeavePartial();
  }
  // The same contents under names that change places, one that is not wanted, and a wrong one.
  void LeaveEarlierSnapshot() {
    Files earlier = files_;
    std::swap(earlier["000010.sst"], earlier["000012.sst"]);
    earlier["000007.sst"] = earlier["000014.sst"];
    earlier["000014.sst"] = "other";
    env::MemEnv other;
    WriteDir(other, kFrom, earlier);
    Manifest manifest = MakeManifest(other, kFrom);
    manifest.snapshot_id = 3;
    ASSERT_TRUE(Transfer(other, start_, manifest, kTo).received);
  }
  void LeavePartial() {
    AttemptOptions options;
    options.on_sender_write = [](size_t nth, std::string*) { return nth < 5; };
    ASSERT_FALSE(Transfer(sender_, start_, manifest_, kTo, options).received);
  }

  // Copies of the disk before each operation of an attempt, in order.
  std::vector<std::unique_ptr<env::MemEnv>> MomentsOf(const env::MemEnv& disk) {
    std::unique_ptr<env::MemEnv> copy = disk.Clone();
    env::FaultEnv observed(*copy, 1);
    std::vector<std::unique_ptr<env::MemEnv>> moments;
    observed.SetObserver([&](env::Op, const std::string&) { moments.push_back(copy->Clone()); });
    const Attempt attempt = Transfer(sender_, observed, manifest_, kTo);
    EXPECT_TRUE(attempt.received) << attempt.received.error().ToString();
    moments.push_back(std::move(copy));
    return moments;
  }
  // Whatever is said to be finished is.
  void ExpectNothingHalfBelieved(env::Env& env) {
    auto finished = ReadFinished(env, kTo);
    if (!finished || finished->snapshot_id != manifest_.snapshot_id) return;
    Status verified = VerifyFinished(env, kTo, *finished, nullptr, kSound);
    EXPECT_TRUE(verified) << verified.error().ToString();
    EXPECT_TRUE(ReadDir(env, kTo) == files_);
  }
  // An attempt on this disk succeeds, and what it leaves survives a loss of all that was not
  // synced.
  void ExpectGoesOn(env::MemEnv& disk) {
    ExpectNothingHalfBelieved(disk);
    const Attempt attempt = Transfer(sender_, disk, manifest_, kTo);
    ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
    ASSERT_TRUE(attempt.sent) << attempt.sent.error().ToString();
    env::DropAll drop_all;
    disk.PowerLoss(drop_all);
    ASSERT_TRUE(ReadDir(disk, kTo) == files_);
    auto finished = ReadFinished(disk, kTo);
    ASSERT_TRUE(finished) << finished.error().ToString();
    EXPECT_EQ(*finished, manifest_);
  }

  env::MemEnv sender_;
  env::MemEnv start_;  // the receiver's disk at the beginning
  Files files_;
  Manifest manifest_;
};

std::string NameOf(const ::testing::TestParamInfo<Before>& before) {
  switch (before.param) {
    case Before::kNothing:
      return "Nothing";
    case Before::kOtherNames:
      return "OtherNames";
    case Before::kPartial:
      return "Partial";
  }
  return "";
}
INSTANTIATE_TEST_SUITE_P(From, ReceiveCrashTest,
                         ::testing::Values(Before::kNothing, Before::kOtherNames, Before::kPartial),
                         NameOf);

TEST_P(ReceiveCrashTest, PowerLostBeforeAnyOperationTheNextAttemptSucceeds) {
  const auto moments = MomentsOf(start_);
  ASSERT_GT(moments.size(), 15u);
  for (size_t i = 0; i < moments.size(); ++i) {
    for (uint64_t seed = 0; seed < kFates; ++seed) {
      SCOPED_TRACE(::testing::Message() << "before operation " << i << ", seed " << seed);
      std::unique_ptr<env::MemEnv> disk = moments[i]->Clone();
      env::RandomCrash fate(i * kFates + seed);
      disk->PowerLoss(fate);
      ExpectGoesOn(*disk);
      if (HasFatalFailure()) return;
    }
  }
}

// The process dies, the machine does not: everything written is there, durable or not.
TEST_P(ReceiveCrashTest, KilledBeforeAnyOperationTheNextAttemptSucceeds) {
  for (const auto& moment : MomentsOf(start_)) {
    ExpectGoesOn(*moment);
    if (HasFatalFailure()) return;
  }
}

TEST_P(ReceiveCrashTest, PowerLostTwiceTheThirdAttemptSucceeds) {
  SeededRandom random(17);
  const auto moments = MomentsOf(start_);
  for (size_t i = 0; i < moments.size(); i += random.Between(4, 7)) {
    std::unique_ptr<env::MemEnv> disk = moments[i]->Clone();
    env::RandomCrash fate(random.Next());
    disk->PowerLoss(fate);
    const auto again = MomentsOf(*disk);
    for (size_t k = 0; k < again.size(); k += random.Between(1, 3)) {
      const uint64_t seed = random.Next();
      SCOPED_TRACE(::testing::Message() << "before " << i << ", then " << k << ", seed " << seed);
      std::unique_ptr<env::MemEnv> twice = again[k]->Clone();
      env::RandomCrash second(seed);
      twice->PowerLoss(second);
      ExpectGoesOn(*twice);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(ReceiveCrashTest, AnyFailedOperationIsSaidToBothSidesAndTheNextAttemptSucceeds) {
  using env::FaultKind;
  using env::Op;
  struct Kind {
    Op op;
    FaultKind fault;
    Code code;
  };
  const std::vector<Kind> kinds = {{Op::kCreate, FaultKind::kError, Code::kIo},
                                   {Op::kCreate, FaultKind::kDiskFull, Code::kDiskFull},
                                   {Op::kOpen, FaultKind::kError, Code::kIo},
                                   {Op::kRead, FaultKind::kError, Code::kIo},
                                   {Op::kWrite, FaultKind::kError, Code::kIo},
                                   {Op::kWrite, FaultKind::kTornWrite, Code::kIo},
                                   {Op::kWrite, FaultKind::kDiskFull, Code::kDiskFull},
                                   {Op::kSync, FaultKind::kError, Code::kIo},
                                   {Op::kRename, FaultKind::kError, Code::kIo},
                                   {Op::kRename, FaultKind::kDoneError, Code::kIo},
                                   {Op::kUnlink, FaultKind::kError, Code::kIo},
                                   {Op::kMakeDir, FaultKind::kError, Code::kIo},
                                   {Op::kSyncDir, FaultKind::kError, Code::kIo}};
  for (const Kind& kind : kinds) {
    for (uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE(::testing::Message() << "operation " << static_cast<int>(kind.op) << " number "
                                        << nth << " fault " << static_cast<int>(kind.fault));
      std::unique_ptr<env::MemEnv> disk = start_.Clone();
      env::FaultEnv sick(*disk, nth);
      sick.Inject({.op = kind.op, .nth = nth, .kind = kind.fault});
      uint64_t syncs = 0;
      // As Linux does it: what could not be written counts as clean, and is read from memory.
      sick.SetObserver([&](Op op, const std::string& path) {
        if (op == Op::kSync && kind.op == Op::kSync && ++syncs == nth) disk->LoseUnsynced(path);
      });
      const Attempt attempt = Transfer(sender_, sick, manifest_, kTo);
      if (sick.count(kind.op) < nth) {
        EXPECT_TRUE(attempt.received) << "nothing failed";
        break;
      }
      ASSERT_FALSE(attempt.received);
      EXPECT_EQ(attempt.received.error().code, kind.code) << attempt.received.error().ToString();
      ASSERT_FALSE(attempt.sent);
      EXPECT_EQ(attempt.sent.error().code, kind.code) << attempt.sent.error().ToString();
      ExpectNothingHalfBelieved(*disk);
      std::unique_ptr<env::MemEnv> cut = disk->Clone();
      ExpectGoesOn(*disk);
      env::RandomCrash fate(nth);
      cut->PowerLoss(fate);
      ExpectGoesOn(*cut);
      if (HasFatalFailure()) return;
    }
  }
}

// Large enough that a file is synced in between: what was synced is not fetched again.
TEST(ReceiveCrash, OfALargeFileWhatWasSyncedIsKept) {
  env::MemEnv sender;
  WriteDir(sender, kFrom, {{"000010.sst", RandomBytes(5, 34 << 20)}});
  const Manifest manifest = MakeManifest(sender, kFrom);
  env::MemEnv disk;
  env::FaultEnv observed(disk, 1);
  std::vector<std::unique_ptr<env::MemEnv>> after_sync;
  bool synced = false;
  observed.SetObserver([&](env::Op op, const std::string&) {
    if (std::exchange(synced, op == env::Op::kSync)) after_sync.push_back(disk.Clone());
  });
  ASSERT_TRUE(Transfer(sender, observed, manifest, kTo).received);
  ASSERT_GE(after_sync.size(), 3u);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    std::unique_ptr<env::MemEnv> cut = after_sync[1]->Clone();
    env::RandomCrash fate(seed);
    cut->PowerLoss(fate);
    const Attempt attempt = Transfer(sender, *cut, manifest, kTo);
    ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
    EXPECT_TRUE(ReadDir(*cut, kTo) == ReadDir(sender, kFrom));
  }
}

}  // namespace
}  // namespace arima::snapshot
