// What a sender makes of receivers that break the rules of FORMAT.md: they end the transfer, named,
// and get not a byte that is not theirs.
#include "snapshot/sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "snapshot/frame.h"
#include "snapshot/test_transfer.h"

namespace arima::snapshot {
namespace {

using ::testing::HasSubstr;

// Asks what the test says, and keeps what comes back.
class AskingStream final : public ByteStream {
 public:
  explicit AskingStream(const std::vector<Request>& requests) {
    for (const Request& request : requests) asked_ += EncodeRequest(request);
  }
  Status Read(std::span<char> into) override {
    if (into.size() > asked_.size()) return Fail(Code::kUnavailable, "the test asks no more");
    std::copy_n(asked_.begin(), into.size(), into.begin());
    asked_.erase(0, into.size());
    return {};
  }
  Status Write(std::string_view bytes) override {
    written_ += bytes;
    return {};
  }
  void Cancel() override {}
  const std::string& written() const { return written_; }

 private:
  std::string asked_;
  std::string written_;
};

class SenderTest : public ::testing::Test {
 protected:
  SenderTest() {
    WriteDir(env_, kFrom, {{"000010.sst", RandomBytes(1, 1000)}, {"CURRENT", "MANIFEST-000005\n"}});
    manifest_ = MakeManifest(env_, kFrom);
  }
  Status Serve(AskingStream* stream) {
    ManualClock clock;
    RateLimiter limiter(clock, 1 << 30, 1 << 20);
    JumpingWaiter waiter(clock);
    Sender sender(env_, kFrom, manifest_, limiter, waiter);
    Status served = sender.Serve(*stream);
    bytes_sent_ = sender.bytes_sent();
    return served;
  }

  static Request GetManifest(uint64_t id) {
    return {.type = FrameType::kGetManifest, .snapshot_id = id};
  }
  static Request Fetch(uint32_t file, uint64_t offset, uint32_t bytes) {
    return {.type = FrameType::kFetch, .file = file, .offset = offset, .bytes = bytes};
  }

  env::MemEnv env_;
  Manifest manifest_;
  uint64_t bytes_sent_ = 0;
};

TEST_F(SenderTest, WhatIsNotInTheSnapshotIsNotSent) {
  const uint64_t id = manifest_.snapshot_id;
  for (const auto& [bad, what] : std::vector<std::pair<Request, std::string>>{
           {GetManifest(id), "asked for the manifest twice"},
           {Fetch(2, 0, 1), "asked for file number 2"},
           {Fetch(UINT32_MAX, 0, 1), "asked for file number 4294967295"},
           {Fetch(0, 1000, 1), "asked for bytes behind the end of a file"},
           {Fetch(0, 999, 2), "asked for bytes behind the end of a file"},
           {Fetch(0, UINT64_MAX, 2), "asked for bytes behind the end of a file"}}) {
    AskingStream stream({GetManifest(id), Fetch(0, 990, 10), bad, Fetch(1, 0, 1)});
    const Status served = Serve(&stream);
    ASSERT_FALSE(served) << what;
    EXPECT_EQ(served.error().code, Code::kCorruption);
    EXPECT_THAT(served.error().message,
                HasSubstr("send snapshot /checkpoint: the receiver " + what));
    EXPECT_EQ(bytes_sent_, 10u) << what;
  }
}

TEST_F(SenderTest, NoFileIsSentBeforeTheManifest) {
  AskingStream stream({Fetch(0, 0, 1), GetManifest(manifest_.snapshot_id)});
  const Status served = Serve(&stream);
  ASSERT_FALSE(served);
  EXPECT_THAT(served.error().message, HasSubstr("asked for a file before the manifest"));
  EXPECT_EQ(stream.written(), "");
}

TEST_F(SenderTest, AnotherSnapshotIsRefusedAndTheReceiverIsToldSo) {
  AskingStream stream({GetManifest(manifest_.snapshot_id + 1)});
  const Status served = Serve(&stream);
  ASSERT_FALSE(served);
  EXPECT_EQ(served.error().code, Code::kNotFound);
  EXPECT_EQ(stream.written(),
            EncodeAnswer({.type = FrameType::kFailed,
                          .error = {.code = Code::kNotFound, .message = "there is no snapshot 8"}},
                         0));
}

TEST_F(SenderTest, AReceiverThatGoesAwayIsNamedAsThat) {
  AskingStream stream({GetManifest(manifest_.snapshot_id)});
  const Status served = Serve(&stream);
  ASSERT_FALSE(served);
  EXPECT_EQ(served.error().code, Code::kUnavailable);
  EXPECT_THAT(served.error().message, HasSubstr("send snapshot /checkpoint: "));
}

}  // namespace
}  // namespace arima::snapshot
