#include "kv/command.h"

#include "base/assert.h"
#include "base/coding.h"
#include "kv/key_schema.h"

namespace arima::kv {
namespace {

enum class CommandType : uint8_t { kPut = 1, kDelete = 2, kCompact = 3 };
constexpr uint8_t kCommandVersion = 1;
constexpr uint8_t kClockVersion = 1;

std::string Head(CommandType type, size_t rest_bytes) {
  std::string out;
  out.reserve(2 + rest_bytes);
  ByteWriter writer(&out);
  writer.U8(static_cast<uint8_t>(type));
  writer.U8(kCommandVersion);
  return out;
}

std::string Encode(const PutCommand& put) {
  ARIMA_ASSERT(CheckUserKey(put.key).has_value(), put.key.size());
  std::string out = Head(CommandType::kPut, 12 + put.key.size() + put.value.size());
  ByteWriter writer(&out);
  writer.U64(put.lease);
  writer.Bytes(put.key);
  writer.Raw(put.value);
  return out;
}

std::string Encode(const DeleteCommand& erase) {
  ARIMA_ASSERT(CheckUserKey(erase.key).has_value(), erase.key.size());
  std::string out = Head(CommandType::kDelete, erase.key.size());
  out += erase.key;
  return out;
}

std::string Encode(const CompactCommand& compact) {
  std::string out = Head(CommandType::kCompact, 8);
  ByteWriter(&out).U64(compact.revision);
  return out;
}

Result<Command> DecodePut(ByteReader reader) {
  PutCommand put;
  put.lease = reader.U64();
  put.key = reader.Bytes();
  put.value = reader.Raw(reader.remaining());
  if (!reader.ok()) return Fail(Code::kInvalidArgument, "put command is cut short");
  if (Status status = CheckUserKey(put.key); !status) return std::unexpected(status.error());
  return put;
}

Result<Command> DecodeDelete(ByteReader reader) {
  DeleteCommand erase{.key = reader.Raw(reader.remaining())};
  if (Status status = CheckUserKey(erase.key); !status) return std::unexpected(status.error());
  return erase;
}

Result<Command> DecodeCompact(ByteReader reader) {
  CompactCommand compact{.revision = reader.U64()};
  if (!reader.done()) {
    return Fail(Code::kInvalidArgument, "compact command has a wrong length");
  }
  return compact;
}

}  // namespace

std::string EncodeCommand(const Command& command) {
  return std::visit([](const auto& c) { return Encode(c); }, command);
}

Result<Command> DecodeCommand(std::string_view bytes) {
  ByteReader reader(bytes);
  uint8_t type = reader.U8();
  uint8_t version = reader.U8();
  if (!reader.ok()) return Fail(Code::kInvalidArgument, "command has no type and version");
  if (version == kCommandVersion) {
    switch (static_cast<CommandType>(type)) {
      case CommandType::kPut:
        return DecodePut(reader);
      case CommandType::kDelete:
        return DecodeDelete(reader);
      case CommandType::kCompact:
        return DecodeCompact(reader);
    }
  }
  return Fail(Code::kNotSupported, "command type " + std::to_string(type) + " version " +
                                       std::to_string(version) + " is unknown here");
}

bool MakesDataGrow(std::string_view bytes) {
  if (bytes.empty()) return true;
  const auto type = static_cast<CommandType>(bytes.front());
  return type != CommandType::kDelete && type != CommandType::kCompact;
}

std::string EncodeClock(uint64_t clock_ms) {
  std::string out;
  ByteWriter writer(&out);
  writer.U8(kClockVersion);
  writer.U64(clock_ms);
  return out;
}

Result<uint64_t> DecodeClock(std::string_view bytes) {
  ByteReader reader(bytes);
  uint8_t version = reader.U8();
  if (reader.ok() && version != kClockVersion) {
    return Fail(Code::kNotSupported,
                "cluster time version " + std::to_string(version) + " is unknown here");
  }
  uint64_t clock_ms = reader.U64();
  if (!reader.done()) return Fail(Code::kInvalidArgument, "cluster time has a wrong length");
  return clock_ms;
}

}  // namespace arima::kv
