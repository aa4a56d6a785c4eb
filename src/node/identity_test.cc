#include "node/identity.h"

#include <gtest/gtest.h>

#include <string>

namespace arima::node {
namespace {

Identity Some() {
  Identity identity;
  identity.cluster_id.bytes.fill(7);
  identity.member_id = raft::MemberId(42);
  identity.name = "n1";
  identity.incarnation.bytes.fill(9);
  identity.state = IdentityState::kMember;
  identity.generation = 5;
  identity.data_ready = true;
  identity.seed_conf = std::string("\0conf", 5);
  return identity;
}

TEST(Identity, RoundTrips) {
  for (IdentityState state : {IdentityState::kStandalone, IdentityState::kJoining,
                              IdentityState::kMember, IdentityState::kRemoved}) {
    Identity identity = Some();
    identity.state = state;
    identity.data_ready = state != IdentityState::kJoining;
    auto decoded = DecodeIdentity(EncodeIdentity(identity));
    ASSERT_TRUE(decoded) << decoded.error().ToString();
    EXPECT_EQ(*decoded, identity);
  }
}

TEST(Identity, BytesAreTheFormatOfVersion1) {
  std::string bytes = EncodeIdentity(Some());
  // version, state, data_ready, generation, member, cluster, incarnation, name, seed_conf
  EXPECT_EQ(bytes.size(), 1u + 1 + 1 + 8 + 8 + 16 + 16 + (4 + 2) + (4 + 5));
  EXPECT_EQ(bytes.substr(0, 3), std::string("\x01\x03\x01", 3));
  EXPECT_EQ(bytes[3], 5);
  EXPECT_EQ(bytes[11], 42);
}

TEST(Identity, RefusesWhatIsCutOffOrTooLong) {
  std::string bytes = EncodeIdentity(Some());
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    auto decoded = DecodeIdentity(std::string_view(bytes).substr(0, cut));
    ASSERT_FALSE(decoded) << cut;
    EXPECT_EQ(decoded.error().code, Code::kCorruption) << cut;
  }
  EXPECT_FALSE(DecodeIdentity(bytes + "x"));
}

TEST(Identity, RefusesAnUnknownVersionOrState) {
  std::string bytes = EncodeIdentity(Some());
  bytes[0] = 3;
  EXPECT_EQ(DecodeIdentity(bytes).error().code, Code::kNotSupported);
  bytes = EncodeIdentity(Some());
  for (int state : {0, 5, 255}) {
    bytes[1] = static_cast<char>(state);
    EXPECT_EQ(DecodeIdentity(bytes).error().code, Code::kCorruption) << state;
  }
}

TEST(Identity, ADamagedOneIsOfAVersionThatReleasesWithoutTheStateRefuse) {
  Identity identity = Some();
  identity.state = IdentityState::kDamaged;
  identity.damage = "wal/1.seg at byte 4096: rot";
  std::string bytes = EncodeIdentity(identity);
  EXPECT_EQ(bytes[0], 2);
  auto decoded = DecodeIdentity(bytes);
  ASSERT_TRUE(decoded) << decoded.error().ToString();
  EXPECT_EQ(*decoded, identity);
  // Neither version may be taken for the other.
  bytes[0] = 1;
  EXPECT_FALSE(DecodeIdentity(bytes));
  bytes = EncodeIdentity(Some());
  bytes[0] = 2;
  EXPECT_FALSE(DecodeIdentity(bytes));
}

TEST(Identity, StatesHaveNames) {
  EXPECT_EQ(IdentityStateName(IdentityState::kStandalone), "standalone");
  EXPECT_EQ(IdentityStateName(IdentityState::kJoining), "joining");
  EXPECT_EQ(IdentityStateName(IdentityState::kMember), "member");
  EXPECT_EQ(IdentityStateName(IdentityState::kRemoved), "removed");
  EXPECT_EQ(IdentityStateName(IdentityState::kDamaged), "damaged");
}

}  // namespace
}  // namespace arima::node
