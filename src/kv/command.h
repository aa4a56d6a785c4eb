// Commands of the state machine and their bytes (kv/FORMAT.md). Versioned: byte 0 is the command
// type, byte 1 its version; a node that meets an unknown one answers kNotSupported in Apply, on
// every node alike.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"

namespace arima::kv {

struct PutCommand {
  std::string_view key;
  std::string_view value;
  uint64_t lease = 0;
};
struct DeleteCommand {
  std::string_view key;
};
// History before `revision` need not be kept any more. Proposed by the node, never by a client.
struct CompactCommand {
  uint64_t revision = 0;
};
using Command = std::variant<PutCommand, DeleteCommand, CompactCommand>;

// Keys have 1..kUserKeyBytesMax bytes (kv/key_schema.h; asserted here, CheckUserKey before).
std::string EncodeCommand(const Command& command);
// Views point into `bytes`. Any input is safe: kNotSupported for an unknown type or version,
// kInvalidArgument for anything else that is wrong; both with a message that depends on `bytes`
// only.
Result<Command> DecodeCommand(std::string_view bytes);

// False for commands after which the data takes no more space than before, once history has ended
// behind them. True for bytes that are no command.
bool MakesDataGrow(std::string_view bytes);

// Payload of a RecordKind::kClock record: cluster time in milliseconds.
std::string EncodeClock(uint64_t clock_ms);
Result<uint64_t> DecodeClock(std::string_view bytes);

}  // namespace arima::kv
