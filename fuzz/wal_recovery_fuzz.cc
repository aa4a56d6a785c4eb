// Any bytes as the content of a log directory: recovery neither crashes nor asserts, and what it
// accepts it accepts again. Checksums would keep a fuzzer out for ever, so half of the inputs are
// taken as the payloads of frames that are then sealed properly: hostile records in sound frames.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "env/mem_env.h"
#include "wal/format.h"
#include "wal/frame.h"
#include "wal/wal.h"

namespace {

using namespace arima;
using namespace arima::wal;

constexpr uint64_t kSalt = 7;

WalOptions Options() {
  WalOptions options;
  options.dir = "/wal";
  options.segment_bytes = kSegmentBytesMin;
  options.salt = [salt = kSalt]() mutable { return ++salt; };
  return options;
}

void WriteSegment(env::MemEnv* mem, uint64_t seq, std::string_view bytes, uint64_t file_bytes) {
  auto file = mem->Open("/wal/" + SegmentName(seq), env::OpenMode::kCreateTruncate);
  ARIMA_ASSERT(file.has_value());
  ARIMA_ASSERT((*file)->WriteAt(0, bytes).has_value());
  if (bytes.size() < file_bytes) ARIMA_ASSERT((*file)->Truncate(file_bytes).has_value());
}

// Sound segments whose frames carry what the input says: {u16 size, u8 records, u8 control,
// bytes}*. control: bit 0 starts a new segment, bit 1 attests what is there, bits 2.. give the seal
// a twist.
void WriteSealed(env::MemEnv* mem, std::string_view input) {
  ByteReader in(input);
  SegmentHeader header;
  header.kind = BlockKind::kActive;
  header.segment_bytes = kSegmentBytesMin;
  header.reason = SegmentReason::kRecovery;
  header.seq = 1;
  header.salt = kSalt;
  header.first_frame = 1;
  FrameCursor cursor;
  std::string frames;
  auto finish = [&] {
    const std::string block = EncodeSegmentHeader(header);
    WriteSegment(mem, header.seq, block + block + frames, header.segment_bytes);
  };
  while (in.remaining() > 4) {
    const uint16_t size = in.U16();
    const uint8_t records = std::max<uint8_t>(in.U8(), 1);
    const uint8_t control = in.U8();
    std::string payload(in.Raw(std::min<size_t>(size, in.remaining())));
    payload.resize(AlignUp(payload.size(), 8), '\0');
    if ((control & 1) != 0 && header.seq < 4) {
      finish();
      header.previous_seq = header.seq++;
      header.previous_length = cursor.offset + ((control & 4) != 0 ? kFrameAlign : 0);
      header.previous_chain = cursor.chain;
      header.first_frame = cursor.number;
      cursor.offset = kFirstFrameOffset;
      frames.clear();
    }
    if (cursor.offset + FrameBytes(payload.size()) > header.segment_bytes) break;
    FrameBuilder builder(header.seq, kSalt, cursor, &frames);
    builder.Begin();
    builder.AddRaw(payload, records, control >> 3);
    builder.End((control & 2) != 0 ? Position{header.seq, cursor.offset}.Pack() : 0, raft::Term(0));
    cursor = builder.cursor();
  }
  finish();
}

void WriteRaw(env::MemEnv* mem, std::string_view input) {
  for (uint64_t seq = 1; seq <= 3 && !input.empty(); ++seq) {
    const size_t size = std::min<size_t>(input.size(), 20'000);
    WriteSegment(mem, seq, input.substr(0, size), kSegmentBytesMin);
    input.remove_prefix(size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  env::MemEnv mem;
  ARIMA_ASSERT(mem.MakeDir("/wal").has_value());
  const bool sealed = (input[0] & 1) != 0;
  input.remove_prefix(1);
  if (sealed) {
    WriteSealed(&mem, input);
  } else {
    WriteRaw(&mem, input);
  }

  RecoveredLog found;
  auto log = Wal::Open(mem, Options(), &found);
  if (!log) return 0;
  const raft::Index last = found.last;
  const raft::HardState hard_state = found.hard_state;
  (void)(*log)->Read(found.snapshot_index + 1, last + 1, 1 << 20);
  log->reset();
  log = Wal::Open(mem, Options(), &found);
  ARIMA_ASSERT(log.has_value(), found.text);
  ARIMA_ASSERT(found.last == last && found.hard_state == hard_state, found.last, last);
  return 0;
}
