#include "kv/recent_keys.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/assert.h"
#include "base/checksum.h"

namespace arima::kv {
namespace {

constexpr size_t kSlotCountMin = 64;
// Sizing guess for the slots, made once: a 16-byte key with its entry and its share of slots.
// Larger keys meet the limit in bytes first, smaller ones the limit in slots.
constexpr uint64_t kBytesPerKeyGuess = 96;
// The clock hand goes through so many neighbours (two cache lines), then on to a far place. The
// stride is odd, so every place is visited once a round.
constexpr size_t kHandBlock = 8;
constexpr size_t kHandStride = 0x9E3779B97F4A7C15;
constexpr uint64_t kMallocGrain = 16;
constexpr uint64_t kMallocHead = 8;

// Evicting keeps the table under 5/8, growing under 7/8; what lies between is room for the batch
// that is being applied, so that a table of a sensible size never grows.
bool WantsEviction(size_t size, size_t slot_count) { return size > slot_count / 8 * 5; }
bool WantsGrowth(size_t size, size_t slot_count) { return size >= slot_count / 8 * 7; }

}  // namespace

// Followed in memory by the key's bytes.
struct RecentKeys::Entry {
  KeyState state;
  size_t key_bytes = 0;

  char* data() { return reinterpret_cast<char*>(this + 1); }
  std::string_view key() { return {data(), key_bytes}; }

  static Entry* New(std::string_view key, const KeyState& state) {
    void* memory = ::operator new(sizeof(Entry) + key.size());
    Entry* entry = new (memory) Entry{.state = state, .key_bytes = key.size()};
    std::memcpy(entry->data(), key.data(), key.size());
    return entry;
  }
  static void Delete(Entry* entry) { ::operator delete(entry); }

  uint64_t bytes() const {
    return (sizeof(Entry) + key_bytes + kMallocHead + kMallocGrain - 1) / kMallocGrain *
           kMallocGrain;
  }
};

void RecentKeys::Free::operator()(Slot* slots) const { std::free(slots); }

RecentKeys::RecentKeys(uint64_t bytes_max, uint64_t hash_seed)
    : bytes_max_(bytes_max), hash_seed_(hash_seed) {
  Allocate(std::bit_floor(std::max<size_t>(kSlotCountMin, bytes_max / kBytesPerKeyGuess)));
}

RecentKeys::~RecentKeys() {
  for (size_t i = 0; size_ > 0; ++i) {
    if (slots_[i].entry == nullptr) continue;
    Entry::Delete(slots_[i].entry);
    --size_;
  }
}

void RecentKeys::Allocate(size_t slot_count) {
  // calloc: zero pages come as they are first touched, a large empty table costs nothing.
  slots_.reset(static_cast<Slot*>(std::calloc(slot_count, sizeof(Slot))));
  if (slots_ == nullptr) throw std::bad_alloc();
  slot_count_ = slot_count;
  hand_ = 0;
}

uint32_t RecentKeys::Hash(std::string_view key) const { return Checksum32(key, hash_seed_); }

size_t RecentKeys::Locate(std::string_view key, uint32_t hash) const {
  size_t slot = hash & (slot_count_ - 1);
  while (slots_[slot].entry != nullptr &&
         (slots_[slot].hash != hash || slots_[slot].entry->key() != key)) {
    slot = Next(slot);
  }
  return slot;
}

KeyState* RecentKeys::Find(std::string_view key) {
  Slot& slot = slots_[Locate(key, Hash(key))];
  if (slot.entry == nullptr) return nullptr;
  slot.used = 1;
  return &slot.entry->state;
}

KeyState* RecentKeys::Insert(std::string_view key, const KeyState& state) {
  if (WantsGrowth(size_ + 1, slot_count_)) Grow();
  uint32_t hash = Hash(key);
  Slot& slot = slots_[Locate(key, hash)];
  ARIMA_ASSERT(slot.entry == nullptr);
  slot = {.entry = Entry::New(key, state), .hash = hash, .used = 0};
  ++size_;
  entry_bytes_ += slot.entry->bytes();
  return &slot.entry->state;
}

void RecentKeys::Grow() {
  std::unique_ptr<Slot[], Free> old = std::move(slots_);
  const size_t old_count = slot_count_;
  Allocate(old_count * 2);
  for (size_t i = 0; i < old_count; ++i) {
    if (old[i].entry == nullptr) continue;
    size_t slot = old[i].hash & (slot_count_ - 1);
    while (slots_[slot].entry != nullptr) slot = Next(slot);
    slots_[slot] = old[i];
  }
}

void RecentKeys::Erase(std::string_view key) {
  size_t slot = Locate(key, Hash(key));
  if (slots_[slot].entry != nullptr) EraseSlot(slot);
}

// Closes the gap: each follower of the same run moves into it unless that would put the follower
// before its home slot, where Locate would not look.
void RecentKeys::EraseSlot(size_t slot) {
  entry_bytes_ -= slots_[slot].entry->bytes();
  --size_;
  Entry::Delete(slots_[slot].entry);
  const size_t mask = slot_count_ - 1;
  size_t gap = slot;
  for (size_t i = Next(gap); slots_[i].entry != nullptr; i = Next(i)) {
    size_t from_home = (i - slots_[i].hash) & mask;
    size_t from_gap = (i - gap) & mask;
    if (from_home < from_gap) continue;
    slots_[gap] = slots_[i];
    gap = i;
  }
  slots_[gap] = {};
}

size_t RecentKeys::HandSlot() const {
  const size_t block = hand_ / kHandBlock * kHandStride;
  return (block * kHandBlock + hand_ % kHandBlock) & (slot_count_ - 1);
}

void RecentKeys::EvictOverflow() {
  while (size_ > 0 && (bytes() > bytes_max_ || WantsEviction(size_, slot_count_))) {
    const size_t at = HandSlot();
    Slot& slot = slots_[at];
    if (slot.entry != nullptr && slot.used == 0) {
      EraseSlot(at);  // the hand stays: another entry may have moved here
    } else {
      slot.used = 0;
      hand_ = Next(hand_);
    }
  }
}

size_t RecentKeys::LongestRun() const {
  size_t longest = 0;
  size_t run = 0;
  for (size_t i = 0; i < 2 * slot_count_ && run < slot_count_; ++i) {  // twice: a run may wrap
    run = slots_[i & (slot_count_ - 1)].entry == nullptr ? 0 : run + 1;
    longest = std::max(longest, run);
  }
  return longest;
}

}  // namespace arima::kv
