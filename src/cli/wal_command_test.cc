#include "cli/wal_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "env/posix_env.h"
#include "wal/wal.h"

namespace arima::cli {
namespace {

using testing::HasSubstr;

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

Ran RunWords(const std::vector<std::string>& args) {
  std::ostringstream out;
  std::ostringstream err;
  Ran ran;
  ran.code = RunWal(args, out, err);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

class WalCommandTest : public testing::Test {
 protected:
  WalCommandTest() {
    std::string name = std::filesystem::temp_directory_path() / "arima-wal-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
    options_.dir = path_ + "/wal";
    options_.segment_bytes = wal::kSegmentBytesMin;
    auto made = wal::Wal::Create(env_, options_, {raft::Term(1), raft::Index(1)},
                                 {raft::Term(1), raft::MemberId(), raft::Index(1)});
    EXPECT_TRUE(made.has_value()) << made.error().message;
    std::vector<raft::Entry> entries;
    for (uint64_t i = 2; i < 6; ++i) entries.push_back(Entry(i, raft::EntryKind::kCommand));
    EXPECT_TRUE((*made)->Append({.entries = entries}, true).has_value());
    EXPECT_TRUE((*made)->Close().has_value());
  }
  ~WalCommandTest() override { std::filesystem::remove_all(path_); }

  static raft::Entry Entry(uint64_t index, raft::EntryKind kind) {
    raft::Entry entry;
    entry.term = raft::Term(1);
    entry.index = raft::Index(index);
    entry.kind = kind;
    entry.payload = SharedBytes::Copy("payload");
    entry.checksum = raft::EntryChecksum(kind, "payload");
    return entry;
  }

  std::string path_;
  env::PosixEnv env_;
  wal::WalOptions options_;
};

TEST_F(WalCommandTest, DumpShowsSegmentsFramesAndOnDemandRecords) {
  Ran ran = RunWords({"dump", path_});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("segment 0000000000000001.seg  created"));
  EXPECT_THAT(ran.out, HasSubstr("frame          2  at      12288      4096 bytes      4 records"));
  EXPECT_EQ(ran.out.find("entry"), std::string::npos);
  ran = RunWords({"dump", "--entries", options_.dir});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("index          5  term     1  command            7 bytes"));
}

TEST_F(WalCommandTest, DumpNamesEachKindOfEntryAndRecord) {
  options_.dir = path_ + "/kinds";
  auto made = wal::Wal::Create(env_, options_, {raft::Term(1), raft::Index(1)},
                               {raft::Term(1), raft::MemberId(), raft::Index(1)});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  const std::vector<raft::Entry> entries = {
      Entry(2, raft::EntryKind::kNoop), Entry(3, raft::EntryKind::kCommand),
      Entry(4, raft::EntryKind::kConf), Entry(5, raft::EntryKind::kClockTick)};
  ASSERT_TRUE((*made)->Append({.entries = entries}, true).has_value());
  const raft::HardState later{raft::Term(2), raft::MemberId(), raft::Index(9)};
  const raft::EntryId snapshot_point{raft::Term(2), raft::Index(9)};
  ASSERT_TRUE((*made)->Append({.hard_state = later, .reset = snapshot_point}, true).has_value());
  ASSERT_TRUE((*made)->Close().has_value());
  const Ran ran = RunWords({"dump", "--entries", options_.dir});
  EXPECT_EQ(ran.code, 0) << ran.err;
  for (const char* kind : {"noop", "command", "conf", "clock-tick"}) {
    EXPECT_THAT(ran.out, testing::ContainsRegex("    entry +at +[0-9]+  index .* " +
                                                std::string(kind) + " .*7 bytes"));
  }
  EXPECT_THAT(ran.out, testing::ContainsRegex("    reset +at +[0-9]+  index +9  term +2  - "));
  EXPECT_THAT(ran.out, testing::ContainsRegex("    hard-state +at "));
}

TEST_F(WalCommandTest, VerifyGivesItsVerdictInTheLastLine) {
  Ran ran = RunWords({"verify", path_ + "/"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("sound: raft log holds entries 2 to 5"));
  auto file = env_.Open(options_.dir + "/0000000000000001.seg", env::OpenMode::kReadWrite);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE((*file)->WriteAt(12288 + 100, "rot").has_value());
  ran = RunWords({"verify", options_.dir});
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("damaged: "));
  EXPECT_THAT(ran.out, HasSubstr("0000000000000001.seg at byte 12288"));
  EXPECT_THAT(ran.out, HasSubstr("next step"));
}

TEST_F(WalCommandTest, ADirectoryInUseIsRefusedAndNothingIsMadeInOthers) {
  EXPECT_EQ(RunWords({"verify", path_}).code, 0);
  EXPECT_FALSE(std::filesystem::exists(path_ + "/LOCK"));
  auto lock = env_.Lock(path_ + "/LOCK");
  ASSERT_TRUE(lock.has_value());
  for (const std::string& dir : {path_, options_.dir}) {
    Ran ran = RunWords({"dump", dir});
    EXPECT_EQ(ran.code, 1);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("in use by a running node"));
  }
  lock->reset();
  EXPECT_EQ(RunWords({"verify", path_}).code, 0);
}

TEST_F(WalCommandTest, WhatIsWrongWithTheCommandLineIsSaidInOneLine) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"dumb", path_},
                                             {"dump"},
                                             {"verify"},
                                             {"verify", "--entries", path_},
                                             {"dump", "--all", path_},
                                             {"verify", path_, path_}}) {
    Ran ran = RunWords(args);
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1);
    EXPECT_THAT(ran.err, HasSubstr("arima wal --help"));
  }
  Ran none = RunWords({"verify", path_ + "/none"});
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(std::ranges::count(none.err, '\n'), 1);
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{}, {"--help"}, {"dump", "-h"}}) {
    EXPECT_EQ(RunWords(args).code, 0);
    EXPECT_THAT(RunWords(args).out, HasSubstr("arima wal verify DIR"));
  }
}

}  // namespace
}  // namespace arima::cli
