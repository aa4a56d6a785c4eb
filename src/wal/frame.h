// Building frames into a buffer and reading them back from a segment's bytes.
//
// FrameBuilder is for the writer; FrameReader walks foreign bytes and never asserts on them.
// Neither is thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "raft/types.h"
#include "wal/format.h"

namespace arima::wal {

// Where the next frame goes and what it continues.
struct FrameCursor {
  uint64_t offset = kFirstFrameOffset;  // in the segment
  uint64_t number = 1;
  uint64_t chain = 0;  // of the frame before
};

// Appends whole frames, with their padding, to `out`, whose end corresponds to cursor.offset.
//   builder.Begin(); builder.Add(...); builder.End(attested, term);
class FrameBuilder {
 public:
  FrameBuilder(uint64_t seq, uint64_t salt, FrameCursor cursor, std::string* out);

  void Begin();
  // Returns the offset of the record in the segment.
  uint64_t Add(const Record& record);
  void Add(const Checkpoint& checkpoint);
  void Add(const raft::HardState& hard_state);
  // Records as they stand in another frame.
  void AddRaw(std::string_view payload, uint32_t records, uint32_t flags);
  void End(uint64_t attested, raft::Term term);

  // Payload so far of the frame that is being built.
  uint64_t payload_bytes() const { return out_.size() - payload_start_; }
  const FrameCursor& cursor() const { return cursor_; }

 private:
  void Count(RecordType type);

  const uint64_t seq_;
  const uint64_t salt_;
  FrameCursor cursor_;
  std::string& out_;
  bool open_ = false;
  size_t frame_start_ = 0;    // in out_
  size_t payload_start_ = 0;  // in out_
  uint32_t records_ = 0;
  uint32_t flags_ = 0;       // without kFrameAttestOnly
  bool attest_only_ = true;  // so far
};

struct Frame {
  FrameHeader header;
  uint64_t chain = 0;
  uint64_t offset = 0;  // in the segment
  uint64_t end = 0;     // with padding
  std::string_view payload;
};

// What a search for frame headers behind a damaged place has found.
struct FrameTraces {
  uint64_t attested = 0;     // highest of all headers, 0 = none
  uint64_t end = 0;          // end of the last trace, 0 = none
  std::vector<Frame> whole;  // those whose payload is intact, in order of offset
};

class FrameReader {
 public:
  // `segment`: the bytes of the segment, from its start as far as they are to be read.
  FrameReader(std::string_view segment, uint64_t seq, uint64_t salt)
      : segment_(segment), seq_(seq), salt_(salt) {}

  // The frame at the cursor, or why there is none.
  Result<Frame> Read(const FrameCursor& cursor) const;
  // All frame headers of this use of the segment at or behind `from` with at least this number.
  FrameTraces Search(uint64_t from, uint64_t number_min) const;

 private:
  const std::string_view segment_;
  const uint64_t seq_;
  const uint64_t salt_;
};

// Calls `visit` with each record of the frame and its offset in the segment; stops at the first
// error. kCorruption if the payload is not exactly header.records well-formed records.
Status ForEachRecord(const Frame& frame,
                     const std::function<Status(const Record& record, uint64_t offset)>& visit);

}  // namespace arima::wal
