// The bytes of format v1, frozen: what the program must be able to read for ever
// (testdata/format_v1.txt), and what it writes today with fixed salts (testdata/writer_v1.txt).
// Both list, for each file, the 16-byte lines that are not zero. After a deliberate change of where
// or how much is written, within the format, the second is written anew with
// ARIMA_REWRITE_GOLDEN=1; a change of the format is a new version with a file of its own.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "base/hex.h"
#include "wal/format.h"
#include "wal/wal.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using raft::EntryKind;
using raft::Index;

constexpr size_t kLineBytes = 16;

// Written by the first program of this format; never written again.
std::string FrozenPath() { return std::string(ARIMA_SOURCE_DIR) + "/testdata/format_v1.txt"; }
// What the program writes today. It may choose differently where a segment ends.
std::string WriterPath() { return std::string(ARIMA_SOURCE_DIR) + "/testdata/writer_v1.txt"; }

std::string Content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

std::string Dump(env::MemEnv& mem) {
  std::ostringstream out;
  const auto names = mem.List("/wal");
  for (const std::string& name : *names) {
    const std::string bytes = *env::ReadFile(mem, "/wal/" + name, 1 << 30);
    out << "file " << name << " " << bytes.size() << "\n";
    for (size_t offset = 0; offset < bytes.size(); offset += kLineBytes) {
      const std::string line = bytes.substr(offset, kLineBytes);
      if (line.find_first_not_of('\0') == std::string::npos) continue;
      out << ToHex(static_cast<uint64_t>(offset)).substr(8) << " " << ToHex(line) << "\n";
    }
  }
  return out.str();
}

void Restore(const std::string& dump, env::MemEnv* mem) {
  ASSERT_TRUE(mem->MakeDir("/wal").has_value());
  std::istringstream in(dump);
  std::unique_ptr<env::File> file;
  std::string word;
  std::string value;
  while (in >> word >> value) {
    if (word == "file") {
      uint64_t size = 0;
      in >> size;
      file = std::move(*mem->Open("/wal/" + value, env::OpenMode::kCreate));
      ASSERT_TRUE(file->Truncate(size).has_value());
      continue;
    }
    std::string bytes;
    for (size_t i = 0; i < value.size(); i += 2) {
      bytes.push_back(static_cast<char>(std::stoi(value.substr(i, 2), nullptr, 16)));
    }
    ASSERT_TRUE(file->WriteAt(std::stoull(word, nullptr, 16), bytes).has_value());
  }
}

// Every kind of record, a roll, a prepared and a recycled file.
void WriteLog(const std::vector<raft::Entry>& big, env::MemEnv* mem) {
  auto wal = *Wal::Create(*mem, TestOptions(), Point(1, 1), Hard(1, 0, 1));
  auto append = [&](const Batch& batch, bool sync) {
    ASSERT_TRUE(wal->Append(batch, sync).has_value());
  };
  const std::vector<raft::Entry> first = {MakeEntry(2, 1, "", EntryKind::kNoop),
                                          MakeEntry(3, 1, "put a=1"),
                                          MakeEntry(4, 1, "a configuration", EntryKind::kConf),
                                          MakeEntry(5, 1, "12345678", EntryKind::kClockTick)};
  append({.hard_state = Hard(1, 1, 2), .entries = first}, true);
  const auto overwriting = MakeEntries(5, 7, 2, 24);
  append({.hard_state = Hard(2, 3, 4), .entries = overwriting}, true);
  ASSERT_TRUE(wal->CompactTo(Index(3)).has_value());
  append({.hard_state = Hard(2, 3, 6)}, false);
  append({.hard_state = Hard(3, 0, 10), .reset = Point(10, 3)}, true);
  ASSERT_TRUE(wal->Attest().has_value());
  ASSERT_TRUE(wal->preparer().PrepareOne().has_value());
  // Of zeros: it takes room in the segment, not in the golden file.
  append({.entries = big}, true);
  const auto rolled = MakeEntries(12, 14, 4, 30);
  append({.hard_state = Hard(4, 2, 11), .entries = rolled}, true);
  ASSERT_TRUE(wal->preparer().PrepareOne().has_value());
  ASSERT_TRUE(wal->Close().has_value());
}

void ExpectRead(const std::string& dump, const std::vector<raft::Entry>& big) {
  env::MemEnv mem;
  Restore(dump, &mem);
  RecoveredLog found;
  auto wal = Wal::Open(mem, TestOptions(2), &found);
  ASSERT_TRUE(wal.has_value()) << wal.error().message;
  EXPECT_EQ(found.ending, Ending::kClosed);
  EXPECT_EQ(found.hard_state, Hard(4, 2, 11));
  EXPECT_EQ(found.snapshot_index, Index(10));
  EXPECT_EQ(found.snapshot_term, raft::Term(3));
  EXPECT_EQ(found.last, Index(13));
  auto entries = (*wal)->Read(Index(11), Index(14), UINT64_MAX);
  ASSERT_TRUE(entries.has_value());
  std::vector<raft::Entry> expected = big;
  for (const raft::Entry& entry : MakeEntries(12, 14, 4, 30)) expected.push_back(entry);
  EXPECT_EQ(*entries, expected);
}

TEST(WalGolden, WriterProducesTheGoldenBytes) {
  const std::vector<raft::Entry> big = {MakeEntry(11, 3, std::string(30'000, '\0'))};
  env::MemEnv mem;
  WriteLog(big, &mem);
  const std::string written = Dump(mem);
  if (std::getenv("ARIMA_REWRITE_GOLDEN") != nullptr) std::ofstream(WriterPath()) << written;
  EXPECT_EQ(written, Content(WriterPath()));
  ExpectRead(written, big);
}

TEST(WalGolden, FrozenBytesAreReadable) {
  ExpectRead(Content(FrozenPath()), {MakeEntry(11, 3, std::string(40'000, '\0'))});
}

}  // namespace
}  // namespace arima::wal
