#include "node/answer_codec.h"

#include "base/coding.h"

namespace arima::node {
namespace {

constexpr uint32_t kStatsMax = 256;

std::unexpected<Error> Malformed(const char* what) {
  return Fail(Code::kInvalidArgument, std::string("malformed ") + what + " from the leader");
}

void WriteStats(ByteWriter& out, const service::Stats& stats) {
  out.U32(static_cast<uint32_t>(stats.size()));
  for (const auto& [name, value] : stats) {
    out.Bytes(name);
    out.Bytes(value);
  }
}

service::Stats ReadStats(ByteReader& in) {
  service::Stats stats;
  uint32_t count = in.U32();
  for (uint32_t i = 0; i < count && count <= kStatsMax && in.ok(); ++i) {
    std::string name(in.Bytes());
    stats.emplace_back(std::move(name), in.Bytes());
  }
  return stats;
}

}  // namespace

std::string EncodeJoinAnswer(const service::JoinResponse& response) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(response.caught_up ? 1 : 0);
  WriteStats(out, response.stats);
  return bytes;
}

Result<service::JoinResponse> DecodeJoinAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  service::JoinResponse response;
  response.caught_up = in.U8() != 0;
  response.stats = ReadStats(in);
  if (!in.ok()) return Malformed("join answer");
  return response;
}

std::string EncodeRemoveAnswer(const service::RemoveResponse& response) {
  std::string bytes;
  ByteWriter out(&bytes);
  WriteStats(out, response.stats);
  return bytes;
}

Result<service::RemoveResponse> DecodeRemoveAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  service::RemoveResponse response;
  response.stats = ReadStats(in);
  if (!in.ok()) return Malformed("remove answer");
  return response;
}

}  // namespace arima::node
