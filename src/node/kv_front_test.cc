#include "node/kv_front.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "node/test_replica.h"
#include "service/limits.h"

namespace arima::node {
namespace {

constexpr uint64_t kMs = 1'000'000;

class KvFrontTest : public ::testing::Test {
 protected:
  KvFrontTest() {
    Status started = replica_.Start();
    EXPECT_TRUE(started) << started.error().ToString();
    shared_.SetReplica(replica_.shared());
  }
  ~KvFrontTest() override { shared_.TakeReplica({Code::kUnavailable, "the test is over"}); }

  Result<service::PutResponse> Put(const std::string& key, const std::string& value,
                                   uint64_t timeout_ms = 20'000) {
    std::promise<Result<service::PutResponse>> answer;
    front_.Put({key, SharedBytes::Copy(value), timeout_ms},
               [&](Result<service::PutResponse> result) { answer.set_value(std::move(result)); });
    return answer.get_future().get();
  }
  Result<service::DeleteResponse> Delete(const std::string& key) {
    std::promise<Result<service::DeleteResponse>> answer;
    front_.Delete({key, 20'000}, [&](Result<service::DeleteResponse> result) {
      answer.set_value(std::move(result));
    });
    return answer.get_future().get();
  }
  Status Barrier(uint64_t timeout_ms = 20'000) {
    std::promise<Status> answer;
    front_.ReadBarrier({timeout_ms}, [&](Status status) { answer.set_value(std::move(status)); });
    return answer.get_future().get();
  }
  Result<service::GetResponse> Get(
      const std::string& key,
      service::Consistency consistency = service::Consistency::kLinearizable) {
    return front_.GetLocal({key, consistency});
  }
  void PublishRemoved() {
    Published published;
    published.view.removed = true;
    shared_.Publish(std::move(published));
  }
  void Publish(Staleness staleness) {
    Published published;
    published.staleness = staleness;
    shared_.Publish(std::move(published));
  }

  TempDirectory temp_;
  TestReplica replica_{temp_.Path("vol")};
  SharedState shared_;
  ManualClock clock_;
  KvFront front_{&shared_, &replica_.clock(), 1000};
};

TEST_F(KvFrontTest, WritesAndReads) {
  auto put = Put("k", "v");
  ASSERT_TRUE(put) << put.error().ToString();
  EXPECT_EQ(put->revision, 2u);
  EXPECT_EQ(put->create_revision, 2u);
  EXPECT_EQ(put->version, 1u);
  put = Put("k", "w");
  ASSERT_TRUE(put);
  EXPECT_EQ(put->revision, 3u);
  EXPECT_EQ(put->create_revision, 2u);
  EXPECT_EQ(put->version, 2u);
  ASSERT_TRUE(Barrier());
  auto read = Get("k");
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->found);
  EXPECT_EQ(read->value.view(), "w");
  EXPECT_EQ(read->mod_revision, 3u);
  EXPECT_EQ(read->store_revision, 3u);
  auto erased = Delete("k");
  ASSERT_TRUE(erased);
  EXPECT_TRUE(erased->deleted);
  EXPECT_EQ(erased->revision, 4u);
  erased = Delete("k");
  ASSERT_TRUE(erased);
  EXPECT_FALSE(erased->deleted);
  EXPECT_EQ(erased->revision, 4u);
  EXPECT_FALSE(Get("k")->found);
}

TEST_F(KvFrontTest, AReadThatPassedItsBarrierOnAnEarlierReplicaWaitsForAsMuchAsThatOneHadApplied) {
  ASSERT_TRUE(Put("k", "v"));
  ASSERT_TRUE(Barrier());
  const uint64_t applied = replica_.shared()->machine().applied_index();
  shared_.SetReadFloor(applied + 1);
  EXPECT_EQ(Get("k").error().code, Code::kUnavailable);
  ASSERT_TRUE(Put("k", "w"));
  EXPECT_EQ(Get("k")->value.view(), "w");
}

TEST_F(KvFrontTest, KeysAndValuesAreAnyBytesWithinTheirLimits) {
  std::string key("\0k\xff", 3);
  ASSERT_TRUE(Put(key, std::string("\0v", 2)));
  EXPECT_EQ(Get(key)->value.view(), std::string_view("\0v", 2));
  EXPECT_TRUE(Put(std::string(service::kKeyBytesMax, 'k'), ""));
  EXPECT_TRUE(Put("k", std::string(1000, 'v')));
}

TEST_F(KvFrontTest, WhatIsTooLongIsRefusedAndNamesTheLimit) {
  std::string long_key(service::kKeyBytesMax + 1, 'k');
  for (const Error& error :
       {Put(long_key, "v").error(), Delete(long_key).error(), Get(long_key).error()}) {
    EXPECT_EQ(error.code, Code::kTooLarge);
    EXPECT_NE(error.message.find("4096"), std::string::npos) << error.message;
  }
  auto put = Put("k", std::string(1001, 'v'));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kTooLarge);
  EXPECT_NE(put.error().message.find("--max-value-bytes"), std::string::npos);
  EXPECT_EQ(Put("", "v").error().code, Code::kInvalidArgument);
  EXPECT_EQ(Delete("").error().code, Code::kInvalidArgument);
  EXPECT_EQ(Get("").error().code, Code::kInvalidArgument);
}

TEST_F(KvFrontTest, WithoutAReplicaItSaysWhy) {
  shared_.TakeReplica({Code::kUnavailable, "node is joining cluster x"});
  EXPECT_EQ(Put("k", "v").error().message, "node is joining cluster x");
  EXPECT_EQ(Delete("k").error().message, "node is joining cluster x");
  EXPECT_EQ(Barrier().error().message, "node is joining cluster x");
  EXPECT_EQ(Get("k").error().message, "node is joining cluster x");
  SharedState empty;
  KvFront starting(&empty, &replica_.clock(), 1000);
  EXPECT_EQ(starting.GetLocal({"k"}).error().code, Code::kUnavailable);
}

TEST_F(KvFrontTest, ARemovedNodeAnswersRemovedToEverything) {
  PublishRemoved();
  EXPECT_EQ(Put("k", "v").error().code, Code::kRemoved);
  EXPECT_EQ(Delete("k").error().code, Code::kRemoved);
  EXPECT_EQ(Barrier().error().code, Code::kRemoved);
  EXPECT_EQ(Get("k").error().code, Code::kRemoved);
}

// Between taking the replica and adding the request the replica was closed.
TEST_F(KvFrontTest, AClosedReplicaSaysWhy) {
  replica_.replica().loop().inbox().Close({Code::kUnavailable, "node is joining cluster x"});
  EXPECT_EQ(Put("k", "v").error().message, "node is joining cluster x");
  EXPECT_EQ(Barrier().error().message, "node is joining cluster x");
}

TEST_F(KvFrontTest, TheLongestTimeoutIsNotOverAtOnce) {
  EXPECT_TRUE(Put("k", "v", UINT64_MAX));
  EXPECT_TRUE(Barrier(UINT64_MAX));
}

TEST_F(KvFrontTest, NoTimeAtAllIsNotApplied) {
  auto put = Put("k", "v", 0);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kUnavailable);
  ASSERT_TRUE(Barrier());
  EXPECT_FALSE(Get("k")->found);
}

// ---------------------------------------------------------------- how old a stale read can be

TEST_F(KvFrontTest, AStaleReadBoundsItsAgeByTheProofAndTheTimeSince) {
  KvFront front(&shared_, &clock_, 1000);
  ASSERT_TRUE(Put("k", "v"));
  Publish({true, 30 * kMs, clock_.NowNs(), 1});
  auto read = front.GetLocal({"k", service::Consistency::kStale});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->staleness_ms, 30u);
  clock_.Advance(100 * kMs);
  read = front.GetLocal({"k", service::Consistency::kStale});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->staleness_ms, 30u + 100 + 5) << "clocks may differ by one part in twenty";
}

TEST_F(KvFrontTest, AnAgeThatIsNotProvenIsNotClaimed) {
  KvFront front(&shared_, &clock_, 1000);
  Publish({false, 0, 0, 0});
  EXPECT_FALSE(front.GetLocal({"k", service::Consistency::kStale})->staleness_ms);
  // The proof speaks of an entry that is not applied here.
  Publish({true, 0, clock_.NowNs(), 1'000'000});
  EXPECT_FALSE(front.GetLocal({"k", service::Consistency::kStale})->staleness_ms);
  // A linearizable read has no age.
  Publish({true, 0, clock_.NowNs(), 1});
  EXPECT_FALSE(front.GetLocal({"k", service::Consistency::kLinearizable})->staleness_ms);
}

// The proof was published by another thread, with a reading of the clock taken after this one's.
TEST_F(KvFrontTest, AProofFromTheNextMomentHasNoNegativeAge) {
  KvFront front(&shared_, &clock_, 1000);
  Publish({true, 0, clock_.NowNs() + 5, 1});
  EXPECT_EQ(front.GetLocal({"k", service::Consistency::kStale})->staleness_ms, 0u);
}

}  // namespace
}  // namespace arima::node
