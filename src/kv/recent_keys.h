// RecentKeys: what a write must know of a key's newest version, for the keys used last; a lookup in
// the engine costs more than the write itself. Bounded in bytes; a key that is not here is read
// from the engine, so nothing depends on what is kept.
//
// Open addressing with linear probing over 16-byte slots; eviction is CLOCK (second chance). A hit
// costs two cache misses. The clock hand jumps about the table: one that went from slot to slot
// would leave few entries behind it and so many before it that slots without a gap filled half of
// the table, and each lookup there would walk through them. Nothing is evicted between two calls of
// EvictOverflow: entries changed since the last batch was written exist nowhere else.
//
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace arima::kv {

// Of a key's newest version. All zero: the key does not exist (never did, or is deleted).
struct KeyState {
  uint64_t create_revision = 0;
  uint64_t mod_revision = 0;
  uint64_t version = 0;

  bool exists() const { return version != 0; }
};

class RecentKeys {
 public:
  // `hash_seed` keeps clients from choosing keys that collide; it has no effect on any answer.
  RecentKeys(uint64_t bytes_max, uint64_t hash_seed);
  ~RecentKeys();
  RecentKeys(const RecentKeys&) = delete;
  RecentKeys& operator=(const RecentKeys&) = delete;

  // Null: unknown. Pointers stay valid until the key is erased or evicted.
  KeyState* Find(std::string_view key);
  // The key is not there yet.
  KeyState* Insert(std::string_view key, const KeyState& state);
  void Erase(std::string_view key);
  // Shrinks to the limit, least recently used first (roughly).
  void EvictOverflow();

  size_t size() const { return size_; }
  // Used slots in a row, at most: what a lookup may have to pass. Looks at all slots; for tests.
  size_t LongestRun() const;
  uint64_t bytes() const { return entry_bytes_ + slot_count_ * sizeof(Slot); }

 private:
  struct Entry;
  struct Slot {
    Entry* entry;   // null: free
    uint32_t hash;  // low 32 bits
    uint32_t used;  // 1: found again since it was inserted or the clock hand passed
  };
  struct Free {
    void operator()(Slot* slots) const;
  };

  uint32_t Hash(std::string_view key) const;
  size_t Next(size_t slot) const { return (slot + 1) & (slot_count_ - 1); }
  // The key's slot, or the free one where it belongs.
  size_t Locate(std::string_view key, uint32_t hash) const;
  void EraseSlot(size_t slot);
  // Where the clock hand points.
  size_t HandSlot() const;
  void Allocate(size_t slot_count);
  void Grow();

  const uint64_t bytes_max_;
  const uint64_t hash_seed_;
  std::unique_ptr<Slot[], Free> slots_;  // slot_count_ of them, a power of two, never full
  size_t slot_count_ = 0;
  size_t size_ = 0;
  size_t hand_ = 0;  // steps of the clock hand, below slot_count_
  uint64_t entry_bytes_ = 0;
};

}  // namespace arima::kv
