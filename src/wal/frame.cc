#include "wal/frame.h"

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "base/mutants.h"

namespace arima::wal {
namespace {

// Attest records are counted by Count.
uint32_t FlagsOf(RecordType type) {
  switch (type) {
    case RecordType::kHardState:
      return kFrameHasHardState;
    case RecordType::kCheckpoint:
      return kFrameHasHardState;
    case RecordType::kReset:
      return kFrameHasReset;
    default:
      return 0;
  }
}

}  // namespace

FrameBuilder::FrameBuilder(uint64_t seq, uint64_t salt, FrameCursor cursor, std::string* out)
    : seq_(seq), salt_(salt), cursor_(cursor), out_(*out) {
  ARIMA_ASSERT(cursor.offset >= kFirstFrameOffset, cursor.offset);
  ARIMA_ASSERT(cursor.offset % kFrameAlign == 0, cursor.offset);
  ARIMA_ASSERT(out->size() % 8 == 0, out->size());
}

void FrameBuilder::Begin() {
  ARIMA_ASSERT(!open_);
  open_ = true;
  frame_start_ = out_.size();
  out_.append(kFrameHeaderBytes, '\0');
  payload_start_ = out_.size();
  records_ = 0;
  flags_ = 0;
  attest_only_ = true;
}

uint64_t FrameBuilder::Add(const Record& record) {
  ARIMA_ASSERT(open_);
  const uint64_t offset = cursor_.offset + (out_.size() - frame_start_);
  AppendRecord(record, &out_);
  Count(record.type);
  return offset;
}

void FrameBuilder::Add(const Checkpoint& checkpoint) {
  ARIMA_ASSERT(open_);
  AppendCheckpoint(checkpoint, &out_);
  Count(RecordType::kCheckpoint);
}

void FrameBuilder::Add(const raft::HardState& hard_state) {
  ARIMA_ASSERT(open_);
  AppendHardState(hard_state, &out_);
  Count(RecordType::kHardState);
}

void FrameBuilder::Count(RecordType type) {
  ++records_;
  flags_ |= FlagsOf(type);
  attest_only_ = attest_only_ && type == RecordType::kAttest;
}

void FrameBuilder::AddRaw(std::string_view payload, uint32_t records, uint32_t flags) {
  ARIMA_ASSERT(open_ && payload.size() % 8 == 0, payload.size());
  out_.append(payload);
  records_ += records;
  flags_ |= flags & ~uint32_t{kFrameAttestOnly};
  attest_only_ = false;
}

void FrameBuilder::End(uint64_t attested, raft::Term term) {
  ARIMA_ASSERT(open_ && records_ > 0, records_);
  open_ = false;
  const std::string_view payload = std::string_view(out_).substr(payload_start_);
  FrameHeader header;
  header.number = cursor_.number;
  header.payload_bytes = payload.size();
  header.attested = attested;
  header.previous_chain = cursor_.chain;
  header.payload_hash = PayloadHash(payload, salt_, cursor_.number);
  header.records = records_;
  header.flags = attest_only_ ? flags_ | kFrameAttestOnly : flags_;
  header.term = term;
  // A frame can only vouch for what was there before it.
  ARIMA_ASSERT(attested <= (Position{seq_, cursor_.offset}.Pack()), attested, cursor_.offset);
  cursor_.chain = EncodeFrameHeader(header, seq_, salt_, out_.data() + frame_start_);
  const uint64_t bytes = FrameBytes(header.payload_bytes);
  out_.resize(frame_start_ + bytes, '\0');
  cursor_.offset += bytes;
  ++cursor_.number;
}

Result<Frame> FrameReader::Read(const FrameCursor& cursor) const {
  auto refuse = [&](std::string_view what) {
    return Fail(Code::kCorruption,
                std::string(what) + " of frame " + std::to_string(cursor.number));
  };
  if (cursor.offset > segment_.size()) return refuse("the segment ends before the header");
  const std::string_view rest = segment_.substr(cursor.offset);
  auto decoded = DecodeFrameHeader(rest, seq_, salt_);
  if (!decoded) return refuse("no valid header");
  const FrameHeader& header = decoded->header;
  if (header.number != cursor.number) return refuse("another number in the header");
  const bool chained = header.previous_chain == cursor.chain || ARIMA_MUTANT(32);
  if (!chained) return refuse("broken chain in the header");
  if (header.payload_bytes > kFramePayloadBytesMax ||
      FrameBytes(header.payload_bytes) > rest.size()) {
    return refuse("impossible length in the header");
  }
  Frame frame;
  frame.header = header;
  frame.chain = decoded->chain;
  frame.offset = cursor.offset;
  frame.end = cursor.offset + FrameBytes(header.payload_bytes);
  frame.payload = rest.substr(kFrameHeaderBytes, header.payload_bytes);
  if (PayloadHash(frame.payload, salt_, header.number) != header.payload_hash) {
    return refuse("hash does not match the payload");
  }
  return frame;
}

FrameTraces FrameReader::Search(uint64_t from, uint64_t number_min) const {
  FrameTraces traces;
  for (uint64_t offset = from; offset < segment_.size(); offset += kFrameAlign) {
    auto decoded = DecodeFrameHeader(segment_.substr(offset), seq_, salt_);
    if (!decoded || decoded->header.number < number_min) continue;
    traces.attested = std::max(traces.attested, decoded->header.attested);
    // The header says how far the write reached, as far as that is possible.
    const uint64_t payload = std::min(decoded->header.payload_bytes, kFramePayloadBytesMax);
    traces.end =
        std::max(traces.end, std::min<uint64_t>(offset + FrameBytes(payload), segment_.size()));
    auto frame = Read({offset, decoded->header.number, decoded->header.previous_chain});
    if (frame) traces.whole.push_back(*frame);
  }
  return traces;
}

Status ForEachRecord(const Frame& frame,
                     const std::function<Status(const Record& record, uint64_t offset)>& visit) {
  std::string_view rest = frame.payload;
  uint64_t offset = frame.offset + kFrameHeaderBytes;
  for (uint32_t i = 0; i < frame.header.records; ++i) {
    size_t size = 0;
    auto record = DecodeRecord(rest, &size);
    if (!record) return std::unexpected(record.error());
    if (auto s = visit(*record, offset); !s) return s;
    rest.remove_prefix(size);
    offset += size;
  }
  if (!rest.empty()) return Fail(Code::kCorruption, "bytes left over behind the last record");
  return {};
}

}  // namespace arima::wal
