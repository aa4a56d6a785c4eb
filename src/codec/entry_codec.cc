#include "codec/entry_codec.h"

#include <limits>

#include "base/assert.h"

namespace arima::codec {

static_assert(kEntryHeaderBytes == 8 + 1 + 4 + 4);

bool IsEntryKind(uint8_t kind) {
  return kind >= static_cast<uint8_t>(raft::EntryKind::kNoop) &&
         kind <= static_cast<uint8_t>(raft::EntryKind::kClockTick);
}

EntryHeader HeaderOf(const raft::Entry& entry) {
  ARIMA_ASSERT(entry.payload.size() <= std::numeric_limits<uint32_t>::max(), entry.payload.size());
  return {entry.term, entry.kind, entry.checksum, static_cast<uint32_t>(entry.payload.size())};
}

void PutEntryHeader(const EntryHeader& header, std::string* out) {
  ByteWriter writer(out);
  writer.U64(header.term.value);
  writer.U8(static_cast<uint8_t>(header.kind));
  writer.U32(header.checksum);
  writer.U32(header.payload_bytes);
}

EntryHeader GetEntryHeader(ByteReader* in) {
  EntryHeader header;
  header.term = raft::Term(in->U64());
  header.kind = static_cast<raft::EntryKind>(in->U8());
  header.checksum = in->U32();
  header.payload_bytes = in->U32();
  return header;
}

}  // namespace arima::codec
