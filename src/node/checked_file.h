// A small file that must not be lost: two copies, each with generation and checksum.
//
// Write replaces both, one after the other, each atomically; a crash in between leaves the newer
// one whole. Read takes the newest good copy and mends the other. Thread rule: one owner.
//
// Bytes: magic "ARIMAFIL", u32 version, u32 length, u64 generation, u64 XXH3-64 over everything
// before and the content, content.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "env/env.h"

namespace arima::node {

struct CheckedContent {
  std::string bytes;
  uint64_t generation = 0;
  bool mended = false;  // one copy was missing or damaged and has been rewritten
};

// kNotFound: neither copy exists. kCorruption: none is good; names both files.
Result<CheckedContent> ReadCheckedFile(env::Env& env, const std::string& path);

// Durable when it returns ok. `generation` must exceed the one that was read.
Status WriteCheckedFile(env::Env& env, const std::string& path, std::string_view bytes,
                        uint64_t generation);

}  // namespace arima::node
