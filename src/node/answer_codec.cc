#include "node/answer_codec.h"

#include <optional>
#include <utility>

#include "base/coding.h"

namespace arima::node {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint32_t kStatsMax = 256;

std::unexpected<Error> Malformed() {
  return Fail(Code::kOutcomeUnknown,
              "the leader's answer makes no sense to this release; GET /raft/stats tells what "
              "became of the request");
}

// A code of a newer release is our bug to it: kInternal.
Code CodeOf(std::string_view name) {
  for (int n = 0; n <= static_cast<int>(Code::kInternal); ++n) {
    if (CodeName(static_cast<Code>(n)) == name) return static_cast<Code>(n);
  }
  return Code::kInternal;
}

void WriteStats(ByteWriter& out, const service::Stats& stats) {
  out.U32(static_cast<uint32_t>(stats.size()));
  for (const auto& [name, value] : stats) {
    out.Bytes(name);
    out.Bytes(value);
  }
}

std::optional<service::Stats> ReadStats(ByteReader& in) {
  service::Stats stats;
  uint32_t count = in.U32();
  if (count > kStatsMax) return std::nullopt;
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    std::string name(in.Bytes());
    stats.emplace_back(std::move(name), in.Bytes());
  }
  if (!in.ok()) return std::nullopt;
  return stats;
}

// Head, and the refusal if it is one.
template <class Response>
std::string EncodeHead(const Result<Response>& answer) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kVersion);
  out.U8(answer ? 1 : 0);
  if (!answer) {
    out.Bytes(CodeName(answer.error().code));
    out.Bytes(answer.error().message);
  }
  return bytes;
}

// Ok: the response follows.
Status ReadHead(ByteReader& in) {
  bool known = in.U8() == kVersion;
  bool ok = in.U8() != 0;
  if (!in.ok() || !known) return Malformed();
  if (ok) return {};
  Code code = CodeOf(in.Bytes());
  std::string message(in.Bytes());
  if (!in.ok()) return Malformed();
  return Fail(code, std::move(message));
}

}  // namespace

std::string EncodeJoinAnswer(const Result<service::JoinResponse>& answer) {
  std::string bytes = EncodeHead(answer);
  if (!answer) return bytes;
  ByteWriter out(&bytes);
  out.U8(answer->caught_up ? 1 : 0);
  WriteStats(out, answer->stats);
  return bytes;
}

Result<service::JoinResponse> DecodeJoinAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  if (Status head = ReadHead(in); !head) return std::unexpected(head.error());
  service::JoinResponse response;
  response.caught_up = in.U8() != 0;
  std::optional<service::Stats> stats = ReadStats(in);
  if (!stats) return Malformed();
  response.stats = std::move(*stats);
  return response;
}

std::string EncodeRemoveAnswer(const Result<service::RemoveResponse>& answer) {
  std::string bytes = EncodeHead(answer);
  if (!answer) return bytes;
  ByteWriter out(&bytes);
  WriteStats(out, answer->stats);
  return bytes;
}

Result<service::RemoveResponse> DecodeRemoveAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  if (Status head = ReadHead(in); !head) return std::unexpected(head.error());
  std::optional<service::Stats> stats = ReadStats(in);
  if (!stats) return Malformed();
  return service::RemoveResponse{std::move(*stats)};
}

std::string EncodeTransferAnswer(const Result<service::TransferResponse>& answer) {
  std::string bytes = EncodeHead(answer);
  if (!answer) return bytes;
  ByteWriter out(&bytes);
  out.Bytes(answer->leader);
  out.U8(answer->moved ? 1 : 0);
  WriteStats(out, answer->stats);
  return bytes;
}

Result<service::TransferResponse> DecodeTransferAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  if (Status head = ReadHead(in); !head) return std::unexpected(head.error());
  service::TransferResponse response;
  response.leader = in.Bytes();
  response.moved = in.U8() != 0;
  std::optional<service::Stats> stats = ReadStats(in);
  if (!stats) return Malformed();
  response.stats = std::move(*stats);
  return response;
}

}  // namespace arima::node
