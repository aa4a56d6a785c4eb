// VersionSieve: the rule by which compactions drop superseded versions (FORMAT.md section 6, rule
// 1). Give it the entries of one compaction in key order. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kv/key_schema.h"

namespace arima::kv {

class VersionSieve {
 public:
  explicit VersionSieve(uint64_t floor) : floor_(floor) {}

  // True: a newer version of the same user key, at or below the floor, was given before this one.
  bool Drops(std::string_view engine_key) {
    std::string_view prefix = FilterPrefix(engine_key);
    if (prefix.empty() || engine_key.size() != prefix.size() + kRevisionBytes) return false;
    if (prefix != prefix_) {
      prefix_ = prefix;
      covered_ = false;
    }
    if (covered_) return true;
    covered_ = RevisionOfVersionKey(engine_key) <= floor_;
    return false;
  }

 private:
  const uint64_t floor_;
  std::string prefix_;
  bool covered_ = false;
};

}  // namespace arima::kv
