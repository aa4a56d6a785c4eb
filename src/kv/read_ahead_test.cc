// A large batch on a store that is not in memory: its keys are read by many threads at once.

#include <gtest/gtest.h>
#include <rocksdb/perf_context.h>

#include "kv/command.h"
#include "kv/state_machine.h"
#include "kv/test_records.h"
#include "kv/test_stores.h"

namespace arima::kv {
namespace {

constexpr int kKeys = 4000;

class ReadAhead : public testing::Test {
 protected:
  ReadAhead() { options_.block_cache_bytes = 64 << 20; }

  std::string Key(int i) { return "key" + std::to_string(i * 7919 % kKeys); }

  // Puts keys `first` to `first + count - 1` in one batch; how many blocks this thread read itself.
  uint64_t Put(int first, int count, std::vector<ApplyResult>* results) {
    std::vector<std::string> commands;
    for (int i = first; i < first + count; ++i) {
      commands.push_back(EncodeCommand(PutCommand{.key = Key(i), .value = std::string(200, 'v')}));
    }
    const std::vector<Record> records = NextRecords(*machine_, commands);
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
    rocksdb::get_perf_context()->Reset();
    EXPECT_TRUE(machine_->Apply(records, results));
    return rocksdb::get_perf_context()->block_read_count;
  }
  // Nothing is in memory after that.
  void Reopen() {
    machine_.reset();
    machine_ = Must(StateMachine::Open(Must(OpenRocksEngine(options_)), {}, {}));
  }

  TempDirectory directory_;
  RocksEngineOptions options_ = RocksStore::SmallOptions(directory_.path() / "db");
  std::unique_ptr<StateMachine> machine_;
};

TEST_F(ReadAhead, ALargeBatchWaitsForNoReadOfItsOwn) {
  std::vector<ApplyResult> results;
  Reopen();
  Put(0, kKeys, &results);
  Reopen();
  EXPECT_GT(Put(0, 100, &results), 10u) << "a small batch reads as it goes";
  // The index blocks of a few tables may be seen first by this thread.
  EXPECT_LT(Put(1000, 2000, &results), 10u);
  for (const ApplyResult& result : results) EXPECT_EQ(result.version, 2u);
}

}  // namespace
}  // namespace arima::kv
