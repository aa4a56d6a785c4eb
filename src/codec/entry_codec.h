// The header of a log entry as it stands beside (never inside) its payload: term, kind, checksum
// and size. Its index follows from its place.
//
// Pure functions, any thread. Format: term u64, kind u8, checksum u32, payload_bytes u32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/coding.h"
#include "raft/types.h"

namespace arima::codec {

inline constexpr size_t kEntryHeaderBytes = 17;

struct EntryHeader {
  raft::Term term;
  raft::EntryKind kind = raft::EntryKind::kNoop;
  uint32_t checksum = 0;
  uint32_t payload_bytes = 0;
  friend bool operator==(const EntryHeader&, const EntryHeader&) = default;
};

// Whether a kind read from foreign bytes is one this version knows.
bool IsEntryKind(uint8_t kind);

EntryHeader HeaderOf(const raft::Entry& entry);
void PutEntryHeader(const EntryHeader& header, std::string* out);
// Short input fails the reader; an unknown kind is returned as it is: ask IsEntryKind.
EntryHeader GetEntryHeader(ByteReader* in);

}  // namespace arima::codec
