#include "transport/hello.h"

#include "transport/fields.h"

namespace arima::transport {

std::string_view RefuseReasonName(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::kProtocol:
      return "protocol";
    case RefuseReason::kWrongCluster:
      return "wrong_cluster";
    case RefuseReason::kWrongMember:
      return "wrong_member";
    case RefuseReason::kWrongIncarnation:
      return "wrong_incarnation";
    case RefuseReason::kNotMember:
      return "not_member";
    case RefuseReason::kBusy:
      return "busy";
    case RefuseReason::kNotReady:
      return "not_ready";
  }
  return "unknown";  // of a later version
}

std::string EncodeHello(const Hello& hello) {
  std::string out;
  ByteWriter to(&out);
  to.U16(hello.protocol_min);
  to.U16(hello.protocol_max);
  PutUuid(hello.cluster_id, &to);
  to.U64(hello.from.value);
  PutUuid(hello.from_incarnation, &to);
  to.U64(hello.to.value);
  to.Bytes(hello.name);
  to.Bytes(hello.address);
  return out;
}

Result<Hello> DecodeHello(std::string_view bytes) {
  ByteReader in(bytes);
  Hello hello;
  hello.protocol_min = in.U16();
  hello.protocol_max = in.U16();
  hello.cluster_id = GetUuid(&in);
  hello.from = raft::MemberId(in.U64());
  hello.from_incarnation = GetUuid(&in);
  hello.to = raft::MemberId(in.U64());
  hello.name = GetString(&in);
  hello.address = GetString(&in);
  if (!in.ok()) return Fail(Code::kCorruption, "Hello: ends early");
  return hello;
}

std::string EncodeHelloOk(const HelloOk& answer) {
  std::string out;
  ByteWriter to(&out);
  to.U16(answer.protocol);
  to.U64(answer.member.value);
  PutUuid(answer.incarnation, &to);
  to.Bytes(answer.name);
  return out;
}

Result<HelloOk> DecodeHelloOk(std::string_view bytes) {
  ByteReader in(bytes);
  HelloOk answer;
  answer.protocol = in.U16();
  answer.member = raft::MemberId(in.U64());
  answer.incarnation = GetUuid(&in);
  answer.name = GetString(&in);
  if (!in.ok()) return Fail(Code::kCorruption, "HelloOk: ends early");
  return answer;
}

std::string EncodeRefuse(const Refuse& refuse) {
  std::string out;
  ByteWriter to(&out);
  to.U8(static_cast<uint8_t>(refuse.reason));
  to.U64(refuse.next_member_id.value);
  to.U64(refuse.conf_index.value);
  to.Bytes(refuse.text);
  return out;
}

// A reason of a later version is kept as it is: it is a refusal all the same.
Result<Refuse> DecodeRefuse(std::string_view bytes) {
  ByteReader in(bytes);
  Refuse refuse;
  refuse.reason = static_cast<RefuseReason>(in.U8());
  refuse.next_member_id = raft::MemberId(in.U64());
  refuse.conf_index = raft::Index(in.U64());
  refuse.text = GetString(&in);
  if (!in.ok()) return Fail(Code::kCorruption, "Refuse: ends early");
  return refuse;
}

}  // namespace arima::transport
