// Sender and receiver together, over files in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/coding.h"
#include "env/fault_env.h"
#include "snapshot/frame.h"
#include "snapshot/test_transfer.h"

namespace arima::snapshot {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

Files SomeFiles() {
  return {{"000010.sst", RandomBytes(1, 700'000)},
          {"000012.sst", RandomBytes(2, kChunkBytesMax)},
          {"CURRENT", "MANIFEST-000005\n"},
          {"EMPTY", ""},
          {"MANIFEST-000005", RandomBytes(3, 300)}};
}

class TransferTest : public ::testing::Test {
 protected:
  TransferTest() { SetFiles(SomeFiles()); }
  void SetFiles(Files files) {
    files_ = std::move(files);
    ASSERT_TRUE(env::RemoveTree(sender_, kFrom));
    WriteDir(sender_, kFrom, files_);
    manifest_ = MakeManifest(sender_, kFrom);
  }
  Attempt Run(AttemptOptions options = {}) {
    return Transfer(sender_, receiver_, manifest_, kTo, std::move(options));
  }
  void ExpectWhole(const Attempt& attempt) {
    ASSERT_TRUE(attempt.received) << attempt.received.error().ToString();
    EXPECT_EQ(*attempt.received, manifest_);
    EXPECT_TRUE(attempt.sent) << attempt.sent.error().ToString();
    EXPECT_TRUE(ReadDir(receiver_, kTo) == files_);
    auto finished = ReadFinished(receiver_, kTo);
    ASSERT_TRUE(finished) << finished.error().ToString();
    EXPECT_EQ(*finished, manifest_);
  }

  env::MemEnv sender_;
  env::MemEnv receiver_;
  Files files_;
  Manifest manifest_;
};

TEST_F(TransferTest, EverythingArrivesAndIsDurable) {
  const Attempt attempt = Run();
  ExpectWhole(attempt);
  EXPECT_EQ(attempt.bytes_sent, manifest_.TotalBytes());
  EXPECT_TRUE(receiver_.DirtySectors().empty());
  EXPECT_EQ(receiver_.PendingDirChanges(), 0u);
}

TEST_F(TransferTest, MoreFilesThanTheCreditHolds) {
  Files files;
  for (int i = 100; i < 160; ++i) {
    files["f" + std::to_string(i)] = RandomBytes(static_cast<uint64_t>(i), 200'000);
  }
  SetFiles(std::move(files));
  ExpectWhole(Run());
}

// The questions alone would fill a connection if only bytes were counted.
TEST_F(TransferTest, ManySmallFilesAreAskedForAFewAtATime) {
  Files files;
  for (int i = 10'000; i < 13'000; ++i) files["f" + std::to_string(i)] = std::to_string(i);
  SetFiles(std::move(files));
  ExpectWhole(Run());
}

TEST_F(TransferTest, FilesWithEqualContentAllArrive) {
  SetFiles({{"a", "same"}, {"b", "same"}, {"c", "same"}, {"e1", ""}, {"e2", ""}});
  ExpectWhole(Run());
  ExpectWhole(Run());
}

TEST_F(TransferTest, CutAtAnyWriteItGoesOnWhereItWas) {
  const size_t writes = Run().sender_writes;
  ASSERT_GT(writes, 10u);
  for (size_t cut = 1; cut <= writes; ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_TRUE(env::RemoveTree(receiver_, kTo));
    const Attempt first =
        Run({.on_sender_write = [&](size_t nth, std::string*) { return nth < cut; }});
    ASSERT_FALSE(first.received);
    EXPECT_EQ(first.received.error().code, Code::kUnavailable);
    EXPECT_EQ(first.sent.error().code, Code::kUnavailable);
    EXPECT_FALSE(ReadFinished(receiver_, kTo));
    const Attempt second = Run();
    ExpectWhole(second);
    EXPECT_EQ(first.bytes_sent + second.bytes_sent, manifest_.TotalBytes()) << "nothing twice";
  }
}

TEST_F(TransferTest, CutInTheMiddleOfAnyWrite) {
  const size_t writes = Run().sender_writes;
  for (size_t cut = 1; cut <= writes; ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_TRUE(env::RemoveTree(receiver_, kTo));
    bool over = false;
    const Attempt first = Run({.on_sender_write = [&](size_t nth, std::string* bytes) {
      if (over) return false;
      over = nth == cut;
      if (over) bytes->resize(bytes->size() / 2);
      return true;
    }});
    EXPECT_FALSE(first.received);
    ExpectWhole(Run());
  }
}

TEST_F(TransferTest, AFlippedBitAnywhereIsNoticedAndThenMended) {
  const size_t writes = Run().sender_writes;
  SeededRandom random(5);
  for (size_t flip = 1; flip <= writes; ++flip) {
    SCOPED_TRACE(flip);
    ASSERT_TRUE(env::RemoveTree(receiver_, kTo));
    const Attempt first = Run({.on_sender_write = [&](size_t nth, std::string* bytes) {
      if (nth == flip) {
        char& byte = (*bytes)[random.Below(bytes->size())];
        byte = static_cast<char>(byte ^ (1 << random.Below(8)));
      }
      return true;
    }});
    ASSERT_FALSE(first.received);
    EXPECT_THAT(first.received.error().code, AnyOf(Code::kCorruption, Code::kNotSupported));
    EXPECT_EQ(first.sent.error().code, first.received.error().code) << "the sender hears of it";
    ExpectWhole(Run());
  }
}

TEST_F(TransferTest, FilesOfAnEarlierSnapshotAreReusedUnderOtherNames) {
  ExpectWhole(Run());
  Files later = SomeFiles();
  later["000020.sst"] = later["000010.sst"];  // moved
  std::swap(later["000012.sst"], later["000010.sst"]);
  later.erase("000012.sst");
  later["000021.sst"] = RandomBytes(9, 5000);
  SetFiles(later);
  manifest_.snapshot_id = 8;
  const Attempt attempt = Run();
  ExpectWhole(attempt);
  EXPECT_EQ(attempt.bytes_sent, 5000u);
}

TEST_F(TransferTest, TwoFilesCanChangePlaces) {
  ExpectWhole(Run());
  Files swapped = files_;
  std::swap(swapped["000010.sst"], swapped["000012.sst"]);
  SetFiles(swapped);
  const Attempt attempt = Run();
  ExpectWhole(attempt);
  EXPECT_EQ(attempt.bytes_sent, 0u);
}

TEST_F(TransferTest, WhatLiesThereIsNotBelieved) {
  Files planted = files_;
  planted["000010.sst"][5] ^= 1;
  planted["stranger"] = "x";
  planted[".part-00000000000000000000000000000000"] = "x";
  WriteDir(receiver_, kTo, planted);
  ASSERT_TRUE(receiver_.MakeDir(env::JoinPath(kTo, "dir")));
  const Attempt attempt = Run();
  ExpectWhole(attempt);
  EXPECT_EQ(attempt.bytes_sent, 700'000u);
}

TEST_F(TransferTest, ADamagedPartialFileIsFetchedAgain) {
  const Attempt first = Run({.on_sender_write = [&](size_t nth, std::string*) { return nth < 6; }});
  ASSERT_FALSE(first.received);
  const auto names = *receiver_.List(kTo);
  const auto part =
      std::ranges::find_if(names, [](const auto& name) { return name.starts_with(".part-"); });
  ASSERT_NE(part, names.end());
  ASSERT_TRUE(receiver_.FlipBit(env::JoinPath(kTo, *part), 100, 2));
  const Attempt second = Run();
  ExpectWhole(second);
  EXPECT_GT(second.bytes_sent, manifest_.TotalBytes() - first.bytes_sent);
}

TEST_F(TransferTest, AFileThatIsAlwaysWrongIsGivenUp) {
  manifest_.files[0].hash.low ^= 1;
  const Attempt attempt = Run();
  ASSERT_FALSE(attempt.received);
  EXPECT_EQ(attempt.received.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.received.error().message, HasSubstr("000010.sst"));
  EXPECT_EQ(attempt.sent.error().code, Code::kCorruption);
  EXPECT_LE(attempt.bytes_sent, 700'000u * 3 + manifest_.TotalBytes());
  EXPECT_FALSE(ReadFinished(receiver_, kTo));
}

TEST_F(TransferTest, AnEmptyFileWithAWrongHashIsGivenUp) {
  SetFiles({{"EMPTY", ""}});
  manifest_.files[0].hash.low ^= 1;
  EXPECT_EQ(Run().received.error().code, Code::kCorruption);
}

TEST_F(TransferTest, ASnapshotThatFailsItsCheckIsNotKept) {
  const Attempt attempt =
      Run({.verify = [](const std::string&, const Manifest&, const StepFn&) -> Status {
        return Fail(Code::kCorruption, "not the right one");
      }});
  EXPECT_EQ(attempt.received.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.sent.error().message, HasSubstr("not the right one"));
  EXPECT_TRUE(ReadDir(receiver_, kTo).empty());
}

TEST_F(TransferTest, AFullDiskIsReportedAndLeftEmpty) {
  receiver_.SetCapacity(500'000);
  for (uint64_t reserve : {uint64_t{0}, uint64_t{1} << 40}) {
    const Attempt attempt = Run({.free_bytes_min = reserve});
    EXPECT_EQ(attempt.received.error().code, Code::kDiskFull);
    EXPECT_EQ(attempt.sent.error().code, Code::kDiskFull);
    EXPECT_EQ(attempt.bytes_sent, 0u) << "known before";
    EXPECT_TRUE(receiver_.List(kTo)->empty());
  }
}

TEST_F(TransferTest, ADiskThatRunsFullOnTheWayIsLeftEmpty) {
  env::FaultEnv full(receiver_, 1);
  full.Inject({.op = env::Op::kWrite, .nth = 3, .kind = env::FaultKind::kDiskFull});
  const Attempt attempt = Transfer(sender_, full, manifest_, kTo);
  EXPECT_EQ(attempt.received.error().code, Code::kDiskFull);
  EXPECT_EQ(attempt.sent.error().code, Code::kDiskFull) << attempt.sent.error().ToString();
  EXPECT_THAT(attempt.sent.error().message, HasSubstr("injected fault"));
  EXPECT_TRUE(receiver_.List(kTo)->empty());
}

// More is on its way than the pipe holds: the sender stands in a chunk when the receiver stops.
TEST_F(TransferTest, ASenderInTheMiddleOfAChunkHearsWhyTheReceiverStopped) {
  SetFiles({{"large", RandomBytes(4, 8 << 20)}});
  for (uint64_t nth : {1u, 7u, 32u}) {
    SCOPED_TRACE(nth);
    ASSERT_TRUE(env::RemoveTree(receiver_, kTo));
    env::FaultEnv sick(receiver_, 1);
    sick.Inject({.op = env::Op::kWrite, .nth = nth});
    const Attempt attempt = Transfer(sender_, sick, manifest_, kTo);
    EXPECT_EQ(attempt.received.error().code, Code::kIo);
    EXPECT_EQ(attempt.sent.error().code, Code::kIo) << attempt.sent.error().ToString();
    EXPECT_THAT(attempt.sent.error().message, HasSubstr("the receiver gave up"));
    EXPECT_LE(attempt.bytes_sent, nth * kChunkBytesMax + kCreditBytes);
  }
}

TEST_F(TransferTest, AWrongManifestIsRefusedAndTheSenderToldWhy) {
  Manifest other = manifest_;
  other.index += 1;
  ManualClock clock;
  RateLimiter limiter(clock, 1 << 30, 1 << 20);
  JumpingWaiter waiter(clock);
  auto [near, far] = testing::PipeEnd::MakePipe();
  Status sent;
  std::thread sending([&, stream = near.get()] {
    Sender sender(sender_, kFrom, other, limiter, waiter);
    sent = sender.Serve(*stream);
    stream->CloseWriting();
  });
  Receiver receiver(receiver_,
                    {.dir = kTo, .expected = ExpectedOf(manifest_), .on_progress = nullptr});
  auto received = receiver.Receive(*far);
  far.reset();
  sending.join();
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, Code::kConflict);
  EXPECT_EQ(sent.error().code, Code::kConflict);
  EXPECT_FALSE(env::Exists(receiver_, kTo).value_or(true)) << "nothing was touched";
}

TEST_F(TransferTest, ASnapshotOfAnotherEngineIsRefusedAndTheSenderToldWhy) {
  manifest_.engine = "another";
  const Attempt attempt = Run();
  ASSERT_FALSE(attempt.received);
  EXPECT_EQ(attempt.received.error().code, Code::kNotSupported);
  EXPECT_THAT(attempt.sent.error().message, HasSubstr("it was written by another engine"));
  EXPECT_EQ(attempt.bytes_sent, 0u);
}

TEST_F(TransferTest, AChunkThatWasNotAskedForIsRefused) {
  const auto on_write = [](size_t nth, std::string* bytes) {
    if (nth != 3) return true;  // behind the manifest's two writes: the head of the first chunk
    const auto payload = GetFixed<uint32_t>(bytes->data() + 12);
    const auto checksum = GetFixed<uint64_t>(bytes->data() + bytes->size() - sizeof(uint64_t));
    *bytes = EncodeAnswer({.type = FrameType::kChunk, .file = 0, .offset = 1, .checksum = checksum},
                          payload);
    return true;
  };
  const Attempt attempt = Run({.on_sender_write = on_write});
  ASSERT_FALSE(attempt.received);
  EXPECT_EQ(attempt.received.error().code, Code::kCorruption);
  EXPECT_THAT(attempt.received.error().message, HasSubstr("a chunk that was not asked for"));
  ExpectWhole(Run());
}

TEST_F(TransferTest, TroubleOfTheSendersDiskIsToldToTheReceiver) {
  env::FaultEnv sick(sender_, 1);
  sick.Inject({.op = env::Op::kRead, .nth = 2});
  Attempt attempt = Transfer(sick, receiver_, manifest_, kTo);
  EXPECT_EQ(attempt.sent.error().code, Code::kIo);
  EXPECT_EQ(attempt.received.error().code, Code::kUnavailable);
  EXPECT_THAT(attempt.received.error().message, HasSubstr("injected fault"));
  // A file that is shorter than it was described.
  auto file = sender_.Open("/checkpoint/000010.sst", env::OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->Truncate(600'000));
  attempt = Run();
  EXPECT_EQ(attempt.sent.error().code, Code::kCorruption);
  EXPECT_EQ(attempt.received.error().code, Code::kUnavailable);
}

TEST_F(TransferTest, FinishedSnapshotsAreRecognisedCheckedAndForgotten) {
  ExpectWhole(Run());
  const VerifyFn sound = [](const std::string&, const Manifest&, const StepFn&) {
    return Status();
  };
  EXPECT_TRUE(VerifyFinished(receiver_, kTo, manifest_, nullptr, sound));
  ASSERT_TRUE(receiver_.FlipBit("/recv/000010.sst", 1000, 1));
  Status status = VerifyFinished(receiver_, kTo, manifest_, nullptr, sound);
  EXPECT_EQ(status.error().code, Code::kCorruption);
  EXPECT_THAT(status.error().message, HasSubstr("000010.sst"));
  ASSERT_TRUE(receiver_.Unlink("/recv/CURRENT"));
  EXPECT_EQ(ReadFinished(receiver_, kTo).error().code, Code::kCorruption);
  ASSERT_TRUE(ForgetFinished(receiver_, kTo));
  ASSERT_TRUE(ForgetFinished(receiver_, kTo));
  EXPECT_EQ(ReadFinished(receiver_, kTo).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace arima::snapshot
