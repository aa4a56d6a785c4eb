// Bytes of raft messages: compact, versioned, safe to decode from anyone.
//
// Many messages become two byte runs: the meta section (headers of messages and entries, one
// contiguous string) and the payload section (the entries' and proposals' bytes, back to back).
// The sender lists large payloads by reference, so they are never copied on their way to a socket;
// the receiver reads the payload section into one block, and the decoded payloads are views into
// it. The carrier (transport/frame.h) guards the meta section with a checksum; payloads are
// guarded by the checksums of their entries, which travel in the meta section and are verified
// here, so no byte is hashed twice.
//
// Thread rule: functions are pure; a MessageEncoder belongs to one thread.
//
// Format v2, little-endian (v1 had no disk and sync_us in HeartbeatResp and is not understood):
//   meta    := version u8 (2), message*
//   message := type u8, flags u8 (1: reject, 2: force), group u64, from u64, to u64, term u64,
//              then the fields of the type:
//     PreVote, Vote          last_index u64, last_term u64, commit u64, commit_term u64
//     PreVoteResp, VoteResp  commit u64, commit_term u64
//     App                    index u64, log_term u64, commit u64, round u64, clocks, entries
//     AppResp                index u64, hint_index u64, hint_term u64, round u64, echo_ns u64,
//                            peer_ns u64, apply_lag u64, window u32
//     Heartbeat              commit u64, commit_term u64, match u64, round u64, clocks
//     HeartbeatResp          round u64, echo_ns u64, peer_ns u64, last_index u64, sync_us u32,
//                            disk u8 (raft::DiskLevel)
//     Snap                   index u64, term u64, snapshot_id u64, total_bytes u64, conf bytes
//     SnapProgress           snapshot_id u64, received_bytes u64
//     TimeoutNow             last_index u64, last_term u64, transfer_id u64
//     TransferReq            target u64
//     Propose                count u32, {id u64, kind u8, checksum u32, payload_bytes u32}*
//     ProposeResp            count u32, {id u64, reason u8, index u64, term u64}*
//     ReadIndex              read id
//     ReadIndexResp          read id, index u64, reason u8
//   clocks  := send_ns u64, confirmed_ns u64, confirmed_commit u64, echo_peer_ns u64,
//              echo_received_ns u64
//   entries := count u32, {term u64, kind u8, checksum u32, payload_bytes u32}*; their indexes
//              follow App.index without a gap
//   read id := origin u64, life u64, counter u64
//   conf bytes: u32 length, codec/conf_codec.h
// Fields that are not listed for a type do not travel; a message that has one set is a
// programmer's error (checked with ARIMA_CHECK_INVARIANTS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/shared_bytes.h"
#include "raft/message.h"

namespace arima::codec {

inline constexpr uint8_t kMessageFormatVersion = 2;

// Messages on their way out.
struct EncodedMessages {
  std::string meta;
  std::vector<SharedBytes> payload;  // parts in order; together payload_bytes long
  size_t payload_bytes = 0;
  size_t count = 0;  // of messages
};

// Encodes, and remembers the entries of the last few Apps: the same entries for another peer cost
// one copy of their headers and a reference to their bytes.
//
// Entries are recognised by the address of their payloads. So Forget must be called before a
// message is appended that did not exist yet, with its payloads, at the first Append: one encoder
// pass over all queues, then Forget.
class MessageEncoder {
 public:
  // Payloads below this are copied together, larger ones are listed by reference.
  static constexpr size_t kReferenceBytesMin = 1024;

  // Appends to `out`. In an App entries[i].index must be index + 1 + i (asserted).
  void Append(const raft::Message& message, EncodedMessages* out);

  void Forget() { recent_.clear(); }

 private:
  struct EntriesBlock;
  std::shared_ptr<const EntriesBlock> BlockFor(const std::vector<raft::Entry>& entries);

  std::vector<std::shared_ptr<const EntriesBlock>> recent_;
};

// What Append adds to the sections, the version byte included; for limits on frames and queues.
size_t EncodedMetaBytes(const raft::Message& message);
size_t EncodedPayloadBytes(const raft::Message& message);

// The payload section as it was received.
struct PayloadBlock {
  std::shared_ptr<const char[]> bytes;
  size_t size = 0;
};

struct DecodedMessages {
  std::vector<raft::Message> messages;
  // Messages left out because an entry's or proposal's bytes do not match its checksum.
  uint64_t damaged = 0;
  std::string damage;  // which one was the first, in words
};

// Payloads of the result are views that keep `payload` alive. Takes any bytes: kNotSupported for
// an unknown version, type or entry kind, kCorruption for all else that does not fit together.
// Memory used is at most proportional to the input.
Result<DecodedMessages> DecodeMessages(std::string_view meta, const PayloadBlock& payload);

// One message as one string: u32 meta length, meta section, payload section. For the simulator,
// scripts and tests; a damaged message is an error (kCorruption) here.
std::string EncodeMessage(const raft::Message& message);
Result<raft::Message> DecodeMessage(std::string_view bytes);

}  // namespace arima::codec
