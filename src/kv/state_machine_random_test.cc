// Random records in random batches, with crashes, over every engine, against a model.
#include <gtest/gtest.h>

#include "base/random.h"
#include "kv/state_machine.h"
#include "kv/test_seed.h"
#include "kv/test_stores.h"
#include "kv/test_workload.h"

namespace arima::kv {
namespace {

template <class Store>
class StateMachineRandom : public testing::Test {};
TYPED_TEST_SUITE(StateMachineRandom, AllStores, StoreName);

TYPED_TEST(StateMachineRandom, AgreesWithTheModelThroughCrashes) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  Workload workload(random.Next(), 4000, 1000);
  TypeParam store;
  auto open = [&] {
    static constexpr uint64_t kTableBytes[] = {0, 4 << 10, 1 << 20};
    return Must(
        StateMachine::Open(store.Open(), {}, {.recent_keys_bytes = kTableBytes[random.Below(3)]}));
  };
  std::unique_ptr<StateMachine> machine = open();
  for (int crashes = 0; machine->applied_index() < workload.size();) {
    uint64_t next = machine->applied_index() + random.Between(1, 300);
    workload.Apply(machine.get(), std::min(next, workload.size()), 40, &random);
    for (int i = 0; i < 20; ++i) workload.CheckRead(*machine, &random);
    if (testing::Test::HasFatalFailure()) return;
    if (random.Percent(40)) {
      ASSERT_TRUE(machine->Flush(true));
      ASSERT_EQ(machine->durable_applied_index(), machine->applied_index());
    }
    if (crashes < 12 && random.Percent(30)) {
      ++crashes;
      const uint64_t durable = machine->durable_applied_index();
      const uint64_t applied = machine->applied_index();
      store.CaptureCrash(&machine->engine());
      machine.reset();
      machine = open();
      ASSERT_GE(machine->applied_index(), durable) << "what was durable is gone";
      ASSERT_LE(machine->applied_index(), applied);
      ASSERT_EQ(machine->durable_applied_index(), machine->applied_index());
      ASSERT_EQ(Must(ContentDigest(machine->engine())), workload.DigestAt(machine->applied_index()))
          << "not a prefix: " << machine->applied_index();
    }
  }
  EXPECT_EQ(Must(ContentDigest(machine->engine())), workload.DigestAt(workload.size()));
}

}  // namespace
}  // namespace arima::kv
