#include "codec/conf_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"

namespace arima::codec {
namespace {

using raft::ConfChange;
using raft::ConfOp;
using raft::ConfState;
using raft::ConfTransition;
using raft::Index;
using raft::MemberId;
using raft::MemberInfo;

MemberInfo Member(uint64_t id) {
  MemberInfo info;
  info.id = MemberId(id);
  info.name = "n" + std::to_string(id);
  info.raft_address = "127.0.0.1:" + std::to_string(7000 + id);
  info.incarnation.bytes[0] = static_cast<uint8_t>(id);
  info.attributes = {{"rack", "a"}, {"zone", "b"}};
  return info;
}

ConfState JointConf() {
  ConfState conf;
  conf.voters = {MemberId(1), MemberId(4)};
  conf.voters_outgoing = {MemberId(1), MemberId(2)};
  conf.learners = {MemberId(3)};
  conf.learners_next = {MemberId(2)};
  conf.auto_leave = true;
  conf.next_member_id = MemberId(5);
  conf.index = Index(77);
  for (uint64_t id : {1u, 2u, 3u, 4u}) conf.members[MemberId(id)] = Member(id);
  return conf;
}

ConfChange Replace() {
  ConfChange change;
  change.transition = ConfTransition::kJointImplicit;
  change.changes = {{ConfOp::kAddVoter, Member(9)}, {ConfOp::kRemove, Member(2)}};
  change.context = std::string("why\0not", 7);
  return change;
}

std::string RandomString(SeededRandom* random, size_t size_max) {
  std::string out(random->Below(size_max + 1), '\0');
  for (char& c : out) c = static_cast<char>(random->Next());
  return out;
}

MemberInfo RandomMember(SeededRandom* random, uint64_t id) {
  MemberInfo info;
  info.id = MemberId(id);
  info.name = RandomString(random, kMemberNameBytesMax);
  info.raft_address = RandomString(random, 40);
  info.http_address = RandomString(random, 40);
  for (auto& byte : info.incarnation.bytes) byte = static_cast<uint8_t>(random->Next());
  for (uint64_t i = random->Below(5); i > 0; --i) {
    info.attributes[RandomString(random, 30)] = RandomString(random, 100);
  }
  return info;
}

std::vector<MemberId> RandomIds(SeededRandom* random) {
  std::vector<MemberId> ids;
  uint64_t id = 0;
  for (uint64_t i = random->Below(6); i > 0; --i) ids.emplace_back(id += random->Between(1, 1000));
  return ids;
}

// Decoding any bytes must end, without a crash, in an error or in a value that encodes to them.
template <class Decode, class Encode>
void ExpectTotal(const std::string& bytes, Decode decode, Encode encode) {
  if (auto value = decode(bytes)) {
    EXPECT_EQ(encode(*value), bytes);
  }
}

template <class Decode, class Encode>
void DamageEveryByte(const std::string& good, Decode decode, Encode encode) {
  for (size_t size = 0; size < good.size(); ++size) {
    auto cut = decode(std::string_view(good).substr(0, size));
    ASSERT_FALSE(cut.has_value()) << "accepted " << size << " of " << good.size() << " bytes";
    EXPECT_EQ(cut.error().code, Code::kCorruption);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ExpectTotal(bad, decode, encode);
  }
  EXPECT_FALSE(decode(good + '\0').has_value());
}

TEST(ConfCodec, ConfStateComesBackEqual) {
  EXPECT_EQ(*DecodeConfState(EncodeConfState(JointConf())), JointConf());
  EXPECT_EQ(*DecodeConfState(EncodeConfState(ConfState{})), ConfState{});
}

TEST(ConfCodec, ConfChangeComesBackEqual) {
  EXPECT_EQ(*DecodeConfChange(EncodeConfChange(Replace())), Replace());
  EXPECT_EQ(*DecodeConfChange(EncodeConfChange(ConfChange{})), ConfChange{});
}

TEST(ConfCodec, MemberInfoComesBackEqual) {
  EXPECT_EQ(*DecodeMemberInfo(EncodeMemberInfo(Member(5))), Member(5));
  EXPECT_EQ(*DecodeMemberInfo(EncodeMemberInfo(MemberInfo{})), MemberInfo{});
}

TEST(ConfCodec, BytesOfVersionOneAreFixed) {
  ConfState conf;
  conf.voters = {MemberId(1)};
  conf.next_member_id = MemberId(2);
  conf.index = Index(1);
  MemberInfo info;
  info.id = MemberId(1);
  info.name = "n1";
  info.attributes = {{"k", "v"}};
  conf.members[info.id] = info;
  std::string expected =
      std::string("\1\0", 2) + std::string("\2\0\0\0\0\0\0\0", 8) +       // next member id
      std::string("\1\0\0\0\0\0\0\0", 8) +                                // index
      std::string("\1\0\0\0\1\0\0\0\0\0\0\0", 12) + std::string(12, 0) +  // voters, three empty
      std::string("\1\0\0\0\1\0\0\0\0\0\0\0", 12) +                       // one member, its id
      std::string("\2\0\0\0n1", 6) + std::string(8, 0) +                  // name, no addresses
      std::string(16, 0) +                                                // incarnation
      std::string("\1\0\1\0\0\0k\1\0\0\0v", 12);
  EXPECT_EQ(EncodeConfState(conf), expected);
}

TEST(ConfCodec, RandomValuesComeBackEqual) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    ConfState conf;
    conf.voters = RandomIds(&random);
    conf.voters_outgoing = RandomIds(&random);
    conf.learners = RandomIds(&random);
    conf.learners_next = RandomIds(&random);
    conf.auto_leave = random.Percent(50);
    conf.next_member_id = MemberId(random.Next());
    conf.index = Index(random.Next());
    for (MemberId id : RandomIds(&random)) conf.members[id] = RandomMember(&random, id.value);
    EXPECT_EQ(*DecodeConfState(EncodeConfState(conf)), conf);

    ConfChange change;
    change.transition = static_cast<ConfTransition>(random.Below(3));
    for (uint64_t i = random.Below(5); i > 0; --i) {
      change.changes.push_back(
          {static_cast<ConfOp>(random.Between(1, 4)), RandomMember(&random, random.Below(9))});
    }
    change.context = RandomString(&random, 300);
    EXPECT_EQ(*DecodeConfChange(EncodeConfChange(change)), change);
  }
}

TEST(ConfCodec, EveryTruncationIsRefusedAndEveryBitFlipIsSafe) {
  DamageEveryByte(EncodeConfState(JointConf()), DecodeConfState, EncodeConfState);
  DamageEveryByte(EncodeConfChange(Replace()), DecodeConfChange, EncodeConfChange);
  DamageEveryByte(EncodeMemberInfo(Member(3)), DecodeMemberInfo, EncodeMemberInfo);
}

TEST(ConfCodec, RandomBytesAreSafe) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    std::string bytes = RandomString(&random, 200);
    if (!bytes.empty()) bytes[0] = kConfFormatVersion;
    ExpectTotal(bytes, DecodeConfState, EncodeConfState);
    ExpectTotal(bytes, DecodeConfChange, EncodeConfChange);
    ExpectTotal(bytes, DecodeMemberInfo, EncodeMemberInfo);
  }
}

TEST(ConfCodec, NewerVersionIsNotSupported) {
  std::string bytes = EncodeConfState(JointConf());
  bytes[0] = 2;
  EXPECT_EQ(DecodeConfState(bytes).error().code, Code::kNotSupported);
}

TEST(ConfCodec, UnsortedOrRepeatedIdsAreRefused) {
  std::string bytes = EncodeConfState(JointConf());
  const size_t first_voter = 1 + 1 + 8 + 8 + 4;
  bytes[first_voter] = 4;  // 4, 4
  auto repeated = DecodeConfState(bytes);
  ASSERT_FALSE(repeated.has_value());
  EXPECT_EQ(repeated.error().code, Code::kCorruption);
  EXPECT_NE(repeated.error().message.find("voters not ascending"), std::string::npos);
  bytes[first_voter] = 5;  // 5, 4
  EXPECT_FALSE(DecodeConfState(bytes).has_value());
  bytes[first_voter] = 0;  // no member has id 0
  EXPECT_FALSE(DecodeConfState(bytes).has_value());
}

TEST(ConfCodec, UnknownOperationAndTransitionAreRefused) {
  std::string bytes = EncodeConfChange(Replace());
  std::string transition = bytes;
  transition[1] = 3;
  EXPECT_FALSE(DecodeConfChange(transition).has_value());
  std::string op = bytes;
  op[4] = 5;
  EXPECT_FALSE(DecodeConfChange(op).has_value());
  op[4] = 0;
  EXPECT_FALSE(DecodeConfChange(op).has_value());
}

TEST(ConfCodec, HugeCountsCostNothing) {
  std::string bytes = EncodeConfState(ConfState{});
  for (size_t i = 18; i < 22; ++i) bytes[i] = '\xff';  // 4 billion voters in 38 bytes
  EXPECT_FALSE(DecodeConfState(bytes).has_value());
}

TEST(ConfCodec, LimitsNameTheFieldThatIsTooLarge) {
  MemberInfo info = Member(1);
  EXPECT_TRUE(CheckMemberLimits(info).has_value());
  info.attributes["x"] = std::string(kMemberAttributesBytesMax, 'y');
  auto refused = CheckMemberLimits(info);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
  EXPECT_NE(refused.error().message.find("attributes"), std::string::npos);

  ConfChange change = Replace();
  EXPECT_TRUE(CheckConfChangeLimits(change).has_value());
  change.changes[0].info.name = std::string(kMemberNameBytesMax + 1, 'n');
  EXPECT_FALSE(CheckConfChangeLimits(change).has_value());
}

}  // namespace
}  // namespace arima::codec
