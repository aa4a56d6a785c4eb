// What a bad disk does to a file. Test only; for files in memory see env::MemEnv.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace arima {

inline void FlipBit(std::fstream* file, uint64_t offset) {
  file->seekg(static_cast<std::streamoff>(offset));
  const int byte = file->get();
  ASSERT_TRUE(file->good()) << "at " << offset;
  file->seekp(static_cast<std::streamoff>(offset));
  file->put(static_cast<char>(byte ^ 0x10));
  file->flush();
  ASSERT_TRUE(file->good()) << "at " << offset;
}

// Inverts one bit; the file keeps its inode, so whoever has it open sees it too.
inline void FlipBit(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(file.is_open()) << path;
  FlipBit(&file, offset);
}

}  // namespace arima
