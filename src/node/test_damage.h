// What a bad disk does to files. Test only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "testing/bad_disk.h"

namespace arima::node {

inline void Truncate(const std::string& path, uint64_t bytes) {
  std::filesystem::resize_file(path, bytes);
}

// The files of `dir` whose names begin or end so, in the order of their names.
inline std::vector<std::string> FilesLike(const std::string& dir, const std::string& part) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(part) || name.ends_with(part)) found.push_back(entry.path().string());
  }
  std::ranges::sort(found);
  return found;
}

// One bit in every `step` bytes of every table. One that a compaction deletes meanwhile is left
// out.
inline void DamageTables(const std::string& dir, uint64_t step) {
  bool any = false;
  for (const std::string& table : FilesLike(dir, ".sst")) {
    std::error_code gone;
    const uint64_t bytes = std::filesystem::file_size(table, gone);
    if (gone) continue;
    std::fstream file(table, std::ios::in | std::ios::out | std::ios::binary);
    for (uint64_t offset = step / 2; file.is_open() && offset < bytes; offset += step) {
      FlipBit(&file, offset);
      any = true;
    }
  }
  ASSERT_TRUE(any) << "no table in " << dir << " was damaged";
}

}  // namespace arima::node
