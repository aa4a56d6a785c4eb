#include "transport/control.h"

#include <gtest/gtest.h>

namespace arima::transport {
namespace {

ProbeAnswer Somebody() {
  ProbeAnswer answer;
  answer.protocol_min = 1;
  answer.protocol_max = 2;
  answer.software = "arima 0.1.0";
  answer.format = 3;
  answer.name = "n2";
  answer.cluster_id.bytes = {1};
  answer.incarnation.bytes = {2};
  answer.member = raft::MemberId(1);
  answer.state = NodeState::kStandalone;
  answer.pristine = true;
  answer.user_operations = 5;
  answer.members = 1;
  answer.next_member_id = raft::MemberId(2);
  answer.leader = raft::MemberId(1);
  answer.raft_address = "127.0.0.1:1112";
  answer.http_address = "127.0.0.1:2222";
  return answer;
}

AbsorbRequest Absorb() {
  AbsorbRequest request;
  request.cluster_id.bytes = {1};
  request.member = raft::MemberId(2);
  request.expected_incarnation.bytes = {3};
  request.expected_cluster_id.bytes = {4};
  request.conf.voters = {raft::MemberId(1)};
  request.conf.next_member_id = raft::MemberId(3);
  request.conf.members[raft::MemberId(1)].id = raft::MemberId(1);
  return request;
}

template <class T, class Decode>
void ExpectRoundTrip(const T& value, const std::string& bytes, Decode decode) {
  auto back = decode(bytes);
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_EQ(*back, value);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size))) << size;
  }
  EXPECT_TRUE(decode(bytes + "fields of a later version"));
}

TEST(Control, RequestsAndBodiesComeBackAsTheyWere) {
  ControlRequest request{ControlKind::kAdmin, 9, Uuid{{1}}, 2500, "body"};
  ExpectRoundTrip(request, EncodeControlRequest(request), DecodeControlRequest);
  ExpectRoundTrip(Somebody(), EncodeProbeAnswer(Somebody()), DecodeProbeAnswer);
  ExpectRoundTrip(Absorb(), EncodeAbsorbRequest(Absorb()), DecodeAbsorbRequest);
  JoinForward join{"n2", "127.0.0.1:1112"};
  ExpectRoundTrip(join, EncodeJoinForward(join), DecodeJoinForward);
  RemoveForward remove{"n2", true};
  ExpectRoundTrip(remove, EncodeRemoveForward(remove), DecodeRemoveForward);
  TransferForward transfer{"n2"};
  ExpectRoundTrip(transfer, EncodeTransferForward(transfer), DecodeTransferForward);
}

TEST(Control, EveryCodeTravels) {
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    ControlAnswer answer = Fail(static_cast<Code>(code), "why");
    Result<ControlAnswer> back = DecodeControlAnswer(EncodeControlAnswer(answer));
    ASSERT_TRUE(back);
    ASSERT_FALSE(*back);
    EXPECT_EQ(back->error().code, static_cast<Code>(code)) << CodeName(static_cast<Code>(code));
    EXPECT_EQ(back->error().message, "why");
  }
  EXPECT_EQ(**DecodeControlAnswer(EncodeControlAnswer("fine")), "fine");
}

TEST(Control, AnUnknownCodeIsAnErrorAllTheSame) {
  std::string bytes = EncodeControlAnswer("fine");
  bytes[0] = 99;
  EXPECT_EQ(DecodeControlAnswer(bytes)->error().code, Code::kInternal);
}

// Whether a node's data may be discarded hangs on these.
TEST(Control, AProbeAnswerWithAnUnknownStateIsRefused) {
  ProbeAnswer answer = Somebody();
  answer.state = static_cast<NodeState>(9);
  EXPECT_FALSE(DecodeProbeAnswer(EncodeProbeAnswer(answer)));
  answer.state = static_cast<NodeState>(0);
  EXPECT_FALSE(DecodeProbeAnswer(EncodeProbeAnswer(answer)));
}

}  // namespace
}  // namespace arima::transport
