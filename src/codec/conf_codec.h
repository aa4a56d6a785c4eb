// Bytes of configurations and membership changes: Conf entries in the log, snapshot metadata, the
// applied record of the state machine and peer messages all carry exactly these bytes.
//
// Pure functions, any thread. Encode is canonical: equal values give equal bytes, and what Decode
// accepts encodes to the same bytes again. Decode trusts nothing: every length is checked, id lists
// must be strictly ascending without 0, unknown versions are kNotSupported, anything else that is
// wrong is kCorruption with the byte offset. What Decode does not judge is sense: callers with
// foreign bytes run raft::CheckConfState or raft::ApplyConfChange on the result.
//
// Format v1, little-endian; string = u32 length + bytes, list = u32 count + that many u64 ids:
//   MemberInfo := version u8, member
//   member     := id u64, name string, raft_address string, http_address string,
//                 incarnation 16 bytes, attribute count u16, {key string, value string}*  (keys
//                 strictly ascending)
//   ConfState  := version u8, flags u8 (bit 0: auto_leave), next_member_id u64, index u64,
//                 voters list, voters_outgoing list, learners list, learners_next list,
//                 member count u32, member* (ids strictly ascending)
//   ConfChange := version u8, transition u8, item count u16, {op u8, member}*, context string
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "raft/conf_change.h"
#include "raft/types.h"

namespace arima::codec {

inline constexpr uint8_t kConfFormatVersion = 1;

// Limits in bytes. An id list or member list has no limit of its own: it cannot be longer than the
// bytes that hold it.
inline constexpr size_t kMemberNameBytesMax = 255;
inline constexpr size_t kMemberAddressBytesMax = 512;
inline constexpr size_t kMemberAttributesBytesMax = 1024;  // all keys and values together
inline constexpr size_t kConfChangeItemsMax = 256;
inline constexpr size_t kConfContextBytesMax = 64 << 10;

// Whether a value is within the limits, i.e. can be encoded; kTooLarge names the field if not. Who
// takes a value from a user or an operator asks this first; Encode asserts it.
Status CheckMemberLimits(const raft::MemberInfo& info);
Status CheckConfChangeLimits(const raft::ConfChange& change);

std::string EncodeMemberInfo(const raft::MemberInfo& info);
Result<raft::MemberInfo> DecodeMemberInfo(std::string_view bytes);

// `conf` keeps its id lists strictly ascending and members[id].id == id (asserted).
std::string EncodeConfState(const raft::ConfState& conf);
Result<raft::ConfState> DecodeConfState(std::string_view bytes);

std::string EncodeConfChange(const raft::ConfChange& change);
Result<raft::ConfChange> DecodeConfChange(std::string_view bytes);

}  // namespace arima::codec
