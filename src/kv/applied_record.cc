#include "kv/applied_record.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/coding.h"

namespace arima::kv {
namespace {

constexpr uint8_t kVersion = 2;
constexpr uint8_t kVersionWithoutCompaction = 1;
constexpr size_t kChecksumBytes = 8;

std::unexpected<Error> BadRecord(Code code, std::string why) {
  return Fail(code, "applied record of the state machine: " + std::move(why));
}

}  // namespace

void EncodeApplied(const AppliedState& state, std::string* out) {
  out->clear();
  ByteWriter writer(out);
  writer.U8(kVersion);
  writer.U64(state.index);
  writer.U64(state.term);
  writer.U64(state.revision);
  writer.U64(state.user_op_count);
  writer.U64(state.clock_ms);
  writer.U64(state.compact_revision);
  const auto& id = state.cluster_id.bytes;
  writer.Raw({reinterpret_cast<const char*>(id.data()), id.size()});
  writer.Bytes(state.conf);
  writer.U64(Checksum64(*out));
}

Result<AppliedState> DecodeApplied(std::string_view bytes) {
  if (bytes.size() < 1 + kChecksumBytes) return BadRecord(Code::kCorruption, "cut short");
  std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (Checksum64(body) != GetFixed<uint64_t>(bytes.data() + body.size())) {
    return BadRecord(Code::kCorruption, "checksum mismatch");
  }
  ByteReader reader(body);
  const uint8_t version = reader.U8();
  if (version != kVersion && version != kVersionWithoutCompaction) {
    return BadRecord(Code::kNotSupported, "unknown version " + std::to_string(version));
  }
  AppliedState state;
  state.index = reader.U64();
  state.term = reader.U64();
  state.revision = reader.U64();
  state.user_op_count = reader.U64();
  state.clock_ms = reader.U64();
  if (version != kVersionWithoutCompaction) state.compact_revision = reader.U64();
  std::string_view id = reader.Raw(state.cluster_id.bytes.size());
  std::copy(id.begin(), id.end(), state.cluster_id.bytes.begin());
  state.conf = reader.Bytes();
  if (!reader.done()) return BadRecord(Code::kCorruption, "wrong length");
  if (state.revision == 0) return BadRecord(Code::kCorruption, "revision 0");
  if (state.compact_revision == 0 || state.compact_revision > state.revision) {
    return BadRecord(Code::kCorruption, "compaction revision " +
                                            std::to_string(state.compact_revision) +
                                            " with revision " + std::to_string(state.revision));
  }
  return state;
}

}  // namespace arima::kv
