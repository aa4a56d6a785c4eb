// Entries that lie close together are fetched with one read of at most kReadBytes; one that does
// not fit is fetched alone, by the length in its record header. Record headers carry no checksum of
// their own, so everything in them is compared with what is known otherwise: index and term with
// the index in memory, kind and payload with the entry's checksum.

#include "wal/entry_reader.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "wal/format.h"
#include "wal/wal.h"

namespace arima::wal {
namespace {

constexpr uint64_t kReadBytes = 1 << 20;

using raft::Entry;
using raft::EntryId;
using raft::Index;

std::unexpected<Error> Damaged(const SegmentFile& segment, uint64_t offset, Index index,
                               std::string_view what) {
  return Fail(Code::kCorruption, "read log entry " + std::to_string(index.value) + " from " +
                                     segment.path + " at byte " + std::to_string(offset) + ": " +
                                     std::string(what));
}

// Body length that the record header at `bytes` states.
uint64_t BodyBytes(std::string_view bytes) { return GetFixed<uint32_t>(bytes.data() + 4); }

Result<Entry> ParseEntry(const SegmentFile& segment, uint64_t offset, std::string_view bytes,
                         EntryId id) {
  size_t size = 0;
  auto record = DecodeRecord(bytes, &size);
  if (!record) return Damaged(segment, offset, id.index, record.error().message);
  if (record->type != RecordType::kEntry || record->index != id.index.value ||
      record->term != id.term.value) {
    return Damaged(segment, offset, id.index, "another record lies there");
  }
  Entry entry;
  entry.term = id.term;
  entry.index = id.index;
  entry.kind = static_cast<raft::EntryKind>(record->sub_type);
  entry.checksum = record->checksum;
  if (raft::EntryChecksum(entry.kind, record->body) != entry.checksum) {
    return Damaged(segment, offset, id.index, "its checksum does not match");
  }
  entry.payload = SharedBytes::Copy(record->body);
  return entry;
}

Result<std::string> ReadRange(const SegmentFile& segment, uint64_t offset, uint64_t bytes) {
  auto got = segment.file->Read(offset, bytes);
  if (!got) got.error().message += " (" + segment.path + ")";
  return got;
}

// The first entry of `places` when it does not lie within one ordinary read.
Result<Entry> ReadLongEntry(const EntryPlaces& places) {
  const uint64_t offset = places.offsets.front();
  const EntryId id{places.terms.front(), places.first};
  auto header = ReadRange(*places.segment, offset, kRecordHeaderBytes);
  if (!header) return std::unexpected(header.error());
  const uint64_t bytes = RecordBytes(BodyBytes(*header));
  if (bytes > RecordBytes(kEntryPayloadBytesMax) || offset + bytes > places.segment->bytes) {
    return Damaged(*places.segment, offset, id.index, "its length is impossible");
  }
  auto record = ReadRange(*places.segment, offset, bytes);
  if (!record) return std::unexpected(record.error());
  return ParseEntry(*places.segment, offset, *record, id);
}

// Appends entries of `places` until `bytes_left` is used up; false when it is.
Result<bool> ReadPlaces(const EntryPlaces& places, uint64_t* bytes_left,
                        std::vector<Entry>* entries) {
  const uint64_t base = places.offsets.front();
  ARIMA_ASSERT(base < places.end, base, places.end);
  auto chunk = ReadRange(*places.segment, base, std::min(places.end - base, kReadBytes));
  if (!chunk) return std::unexpected(chunk.error());
  for (size_t i = 0; i < places.offsets.size(); ++i) {
    const uint64_t at = places.offsets[i] - base;
    const EntryId id{places.terms[i], places.first + i};
    std::string_view bytes;
    if (at + kRecordHeaderBytes <= chunk->size()) bytes = std::string_view(*chunk).substr(at);
    const bool whole = !bytes.empty() && RecordBytes(BodyBytes(bytes)) <= bytes.size();
    if (!whole && i > 0) return true;  // the next round starts with this one
    auto entry =
        whole ? ParseEntry(*places.segment, places.offsets[i], bytes, id) : ReadLongEntry(places);
    if (!entry) return std::unexpected(entry.error());
    const bool full = *bytes_left == 0 || entry->payload.size() > *bytes_left;
    if (full && !entries->empty()) return false;
    *bytes_left -= std::min<uint64_t>(*bytes_left, entry->payload.size());
    entries->push_back(std::move(*entry));
  }
  return true;
}

}  // namespace

Result<std::vector<Entry>> ReadEntries(const EntryIndex& index, Index low, Index high,
                                       uint64_t bytes_max) {
  std::vector<Entry> entries;
  uint64_t bytes_left = bytes_max;
  while (true) {
    auto places = index.Find(low + entries.size(), high, kReadBytes);
    if (!places) {
      // Cut by the compactor while it was being read: what was read is still right.
      if (!entries.empty()) return entries;
      return std::unexpected(places.error());
    }
    if (places->offsets.empty()) return entries;
    auto more = ReadPlaces(*places, &bytes_left, &entries);
    if (!more) return std::unexpected(more.error());
    if (!*more) return entries;
  }
}

}  // namespace arima::wal
