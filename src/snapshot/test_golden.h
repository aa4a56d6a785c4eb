// Bytes that must not change: lines "name hex" in testdata/, and the seeds of the fuzzers, which
// are such bytes too. A test says what the encoder makes; whoever changes a format on purpose runs
// it with ARIMA_WRITE_GOLDEN=1 and reads the difference. Test-only.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

namespace arima::snapshot {

using Named = std::map<std::string, std::string>;

inline bool WritesGolden() { return std::getenv("ARIMA_WRITE_GOLDEN") != nullptr; }

inline std::string HexOf(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (char c : bytes) {
    hex += kDigits[static_cast<unsigned char>(c) >> 4];
    hex += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

// The file holds exactly `made`.
inline void ExpectGolden(const std::string& path, const Named& made) {
  if (WritesGolden()) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream out(path);
    for (const auto& [key, bytes] : made) out << key << ' ' << HexOf(bytes) << '\n';
  }
  Named golden;
  std::ifstream in(path);
  for (std::string key, hex; in >> key >> hex;) golden[key] = hex;
  Named hex_of_made;
  for (const auto& [key, bytes] : made) hex_of_made[key] = HexOf(bytes);
  EXPECT_EQ(golden, hex_of_made) << path;
}

// The directory, a folder of fuzz/corpus/, holds exactly the files `made`.
inline void ExpectSeeds(const std::filesystem::path& dir, const Named& made) {
  if (WritesGolden()) {
    std::filesystem::create_directories(dir);
    for (const auto& [name, bytes] : made) std::ofstream(dir / name, std::ios::binary) << bytes;
  }
  Named seeds;
  ASSERT_TRUE(std::filesystem::is_directory(dir)) << dir;
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    std::ifstream in(file.path(), std::ios::binary);
    seeds[file.path().filename()] = {std::istreambuf_iterator<char>(in), {}};
  }
  EXPECT_TRUE(seeds == made) << dir << " differs from what the encoder makes";
}

}  // namespace arima::snapshot
