// Random commands with the end of history moving, over every engine, with cleaning, compactions and
// crashes at any time, against a model that keeps everything.
#include <gtest/gtest.h>

#include <memory>

#include "base/random.h"
#include "kv/state_machine.h"
#include "kv/test_history_model.h"
#include "kv/test_seed.h"
#include "kv/test_stores.h"
#include "kv/visible_digest.h"

namespace arima::kv {
namespace {

template <class Store>
class HistoryRandom : public testing::Test {};
TYPED_TEST_SUITE(HistoryRandom, AllStores, StoreName);

TYPED_TEST(HistoryRandom, AgreesWithTheModelThroughCrashes) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  HistoryModel model(&random, 5000);
  TypeParam store;
  auto open = [&] {
    return Must(StateMachine::Open(store.Open(), {}, {.recent_keys_bytes = 4 << 10}));
  };
  std::unique_ptr<StateMachine> machine = open();
  for (int crashes = 0; machine->applied_index() < model.size();) {
    uint64_t next = machine->applied_index() + random.Between(1, 200);
    model.Apply(machine.get(), std::min(next, model.size()));
    for (uint64_t steps = random.Below(4); steps > 0; --steps) {
      Result<bool> more = machine->CleanStep();
      ASSERT_TRUE(more) << more.error().ToString();
    }
    if (random.Percent(40)) {
      ASSERT_TRUE(machine->Flush(true));
    }
    if (random.Percent(20)) {
      ASSERT_TRUE(machine->engine().CompactAll());
    }
    for (int i = 0; i < 30; ++i) model.CheckRead(*machine);
    if (testing::Test::HasFatalFailure()) return;
    if (random.Percent(20)) {
      ASSERT_EQ(Must(VisibleDigest(machine->engine())), model.DigestAt(machine->applied_index()));
    }
    if (crashes < 12 && random.Percent(30)) {
      ++crashes;
      const uint64_t durable = machine->durable_applied_index();
      store.CaptureCrash(&machine->engine());
      machine.reset();
      machine = open();
      ASSERT_GE(machine->applied_index(), durable);
      ASSERT_EQ(Must(VisibleDigest(machine->engine())), model.DigestAt(machine->applied_index()))
          << "at " << machine->applied_index();
      for (int i = 0; i < 100; ++i) model.CheckRead(*machine);
    }
  }
  EXPECT_EQ(Must(VisibleDigest(machine->engine())), model.DigestAt(model.size()));
}

}  // namespace
}  // namespace arima::kv
