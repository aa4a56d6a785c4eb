#include "codec/message_codec.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "base/hex.h"
#include "base/random.h"

namespace arima::codec {
namespace {

using raft::EntryKind;
using raft::Index;
using raft::MemberId;
using raft::Message;
using raft::MessageType;
using raft::RejectReason;
using raft::Term;

constexpr uint8_t kFirstType = static_cast<uint8_t>(MessageType::kPreVote);
constexpr uint8_t kLastType = static_cast<uint8_t>(MessageType::kReadIndexResp);

raft::Entry MakeEntry(uint64_t term, uint64_t index, EntryKind kind, std::string payload) {
  raft::Entry entry{Term(term), Index(index), kind, 0, SharedBytes::Take(std::move(payload))};
  entry.checksum = raft::EntryChecksum(kind, entry.payload.view());
  return entry;
}

raft::ForwardedProposal MakeProposal(uint64_t id, EntryKind kind, std::string payload) {
  raft::ForwardedProposal proposal{id, kind, 0, SharedBytes::Take(std::move(payload))};
  proposal.checksum = raft::EntryChecksum(kind, proposal.payload.view());
  return proposal;
}

raft::ConfState TwoMembers() {
  raft::ConfState conf;
  conf.voters = {MemberId(1)};
  conf.learners = {MemberId(2)};
  conf.next_member_id = MemberId(3);
  conf.index = Index(9);
  for (uint64_t id : {1u, 2u}) {
    raft::MemberInfo info;
    info.id = MemberId(id);
    info.name = "n" + std::to_string(id);
    info.raft_address = "127.0.0.1:111" + std::to_string(id);
    conf.members[info.id] = info;
  }
  return conf;
}

// Numbers for the fields of a sample: drawn at random, or counted up for the golden bytes.
class Numbers {
 public:
  virtual ~Numbers() = default;
  virtual uint64_t Next() = 0;
  virtual size_t Count() = 0;  // of entries, proposals, results
  virtual std::string Payload() = 0;
  virtual EntryKind Kind() = 0;
};

class CountedNumbers final : public Numbers {
 public:
  uint64_t Next() override { return ++last_; }
  size_t Count() override { return 2; }
  std::string Payload() override { return "payload " + std::to_string(Next()); }
  EntryKind Kind() override { return EntryKind::kCommand; }

 private:
  uint64_t last_ = 16;
};

class RandomNumbers final : public Numbers {
 public:
  explicit RandomNumbers(uint64_t seed) : random_(seed) {}
  uint64_t Next() override { return random_.Next() >> random_.Below(63); }
  size_t Count() override { return random_.Below(8); }
  std::string Payload() override {
    // Around the border between copied and referenced payloads, and empty ones.
    std::string out(random_.Percent(30) ? random_.Below(3 * MessageEncoder::kReferenceBytesMin)
                                        : random_.Below(40),
                    '\0');
    for (char& c : out) c = static_cast<char>(random_.Next());
    return out;
  }
  EntryKind Kind() override { return static_cast<EntryKind>(random_.Between(1, 4)); }

 private:
  SeededRandom random_;
};

void FillClocks(Numbers* numbers, Message* m) {
  m->send_ns = numbers->Next();
  m->confirmed_ns = numbers->Next();
  m->confirmed_commit = Index(numbers->Next());
  m->echo_peer_ns = numbers->Next();
  m->echo_received_ns = numbers->Next();
}

void FillReplication(Numbers* numbers, Message* m) {
  switch (m->type) {
    case MessageType::kApp: {
      m->index = Index(numbers->Next());
      m->log_term = Term(numbers->Next());
      m->commit = Index(numbers->Next());
      m->round = numbers->Next();
      FillClocks(numbers, m);
      size_t count = numbers->Count();
      for (size_t i = 1; i <= count; ++i) {
        // One after the other: compilers differ in which argument they evaluate first.
        const std::string payload = numbers->Payload();
        const EntryKind kind = numbers->Kind();
        m->entries.push_back(MakeEntry(numbers->Next(), (m->index + i).value, kind, payload));
      }
      return;
    }
    case MessageType::kAppResp:
      m->reject = numbers->Next() % 2 == 1;
      m->index = Index(numbers->Next());
      m->hint_index = Index(numbers->Next());
      m->hint_term = Term(numbers->Next());
      m->round = numbers->Next();
      m->echo_ns = numbers->Next();
      m->peer_ns = numbers->Next();
      m->apply_lag = numbers->Next();
      m->window = static_cast<uint32_t>(numbers->Next());
      return;
    case MessageType::kHeartbeat:
      m->commit = Index(numbers->Next());
      m->commit_term = Term(numbers->Next());
      m->match = Index(numbers->Next());
      m->round = numbers->Next();
      return FillClocks(numbers, m);
    case MessageType::kHeartbeatResp:
      m->round = numbers->Next();
      m->echo_ns = numbers->Next();
      m->peer_ns = numbers->Next();
      m->last_index = Index(numbers->Next());
      m->sync_us = static_cast<uint32_t>(numbers->Next());
      m->disk = static_cast<raft::DiskLevel>(numbers->Next() % 4);
      return;
    default:
      ADD_FAILURE() << "no sample of type " << static_cast<int>(m->type);
  }
}

void FillForwarded(Numbers* numbers, Message* m) {
  size_t count = numbers->Count();
  for (size_t i = 0; i < count; ++i) {
    if (m->type == MessageType::kPropose) {
      const std::string payload = numbers->Payload();
      const EntryKind kind = numbers->Kind();
      m->proposals.push_back(MakeProposal(numbers->Next(), kind, payload));
    } else {
      m->results.push_back({numbers->Next(), static_cast<RejectReason>(numbers->Next() % 13),
                            Index(numbers->Next()), Term(numbers->Next())});
    }
  }
}

// A message of `type` with every field of the type set.
Message Sample(MessageType type, Numbers* numbers) {
  Message m;
  m.type = type;
  m.group = raft::GroupId(numbers->Next());
  m.from = MemberId(numbers->Next());
  m.to = MemberId(numbers->Next());
  m.term = Term(numbers->Next());
  switch (type) {
    case MessageType::kVote:
      m.force = numbers->Next() % 2 == 1;
      [[fallthrough]];
    case MessageType::kPreVote:
      m.last_index = Index(numbers->Next());
      m.last_term = Term(numbers->Next());
      m.commit = Index(numbers->Next());
      m.commit_term = Term(numbers->Next());
      break;
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp:
      m.reject = numbers->Next() % 2 == 1;
      m.commit = Index(numbers->Next());
      m.commit_term = Term(numbers->Next());
      break;
    case MessageType::kSnap:
      m.snapshot = {Index(numbers->Next()), Term(numbers->Next()), TwoMembers(), numbers->Next(),
                    numbers->Next()};
      break;
    case MessageType::kSnapProgress:
      m.reject = numbers->Next() % 2 == 1;
      m.snapshot.snapshot_id = numbers->Next();
      m.received_bytes = numbers->Next();
      break;
    case MessageType::kTimeoutNow:
      m.last_index = Index(numbers->Next());
      m.last_term = Term(numbers->Next());
      m.transfer_id = numbers->Next();
      break;
    case MessageType::kTransferReq:
      m.target = MemberId(numbers->Next());
      break;
    case MessageType::kPropose:
    case MessageType::kProposeResp:
      FillForwarded(numbers, &m);
      break;
    case MessageType::kReadIndexResp:
      m.reject = numbers->Next() % 2 == 1;
      m.reason = static_cast<RejectReason>(numbers->Next() % 13);
      m.index = Index(numbers->Next());
      [[fallthrough]];
    case MessageType::kReadIndex:
      m.read_id = {MemberId(numbers->Next()), numbers->Next(), numbers->Next()};
      break;
    default:
      FillReplication(numbers, &m);
  }
  return m;
}

Message CountedSample(uint8_t type) {
  CountedNumbers numbers;
  return Sample(static_cast<MessageType>(type), &numbers);
}

// In a block of exactly its size, so that a sanitizer sees a read past the end.
Result<Message> DecodeExactly(std::string_view bytes) {
  auto block = std::make_unique<char[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), block.get());
  return DecodeMessage({block.get(), bytes.size()});
}

PayloadBlock Join(const EncodedMessages& encoded) {
  auto block = std::make_shared<char[]>(encoded.payload_bytes);
  size_t used = 0;
  for (const SharedBytes& part : encoded.payload) {
    std::copy(part.view().begin(), part.view().end(), block.get() + used);
    used += part.size();
  }
  EXPECT_EQ(used, encoded.payload_bytes);
  return {block, used};
}

// ---------------------------------------------------------------- round trips

TEST(MessageCodec, EveryTypeComesBackAsItWas) {
  for (uint8_t type = kFirstType; type <= kLastType; ++type) {
    Message sample = CountedSample(type);
    Result<Message> back = DecodeMessage(EncodeMessage(sample));
    ASSERT_TRUE(back) << back.error().ToString();
    EXPECT_EQ(*back, sample) << static_cast<int>(type);
  }
}

TEST(MessageCodec, RandomBatchesComeBackAsTheyWere) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomNumbers numbers(seed);
    std::vector<Message> batch;
    for (size_t i = numbers.Count() * 3; i > 0; --i) {
      batch.push_back(Sample(static_cast<MessageType>(numbers.Next() % kLastType + 1), &numbers));
    }
    MessageEncoder encoder;
    EncodedMessages encoded;
    size_t meta_bytes = 1;
    size_t payload_bytes = 0;
    for (const Message& m : batch) {
      encoder.Append(m, &encoded);
      meta_bytes += EncodedMetaBytes(m) - 1;
      payload_bytes += EncodedPayloadBytes(m);
    }
    if (batch.empty()) continue;
    EXPECT_EQ(encoded.count, batch.size());
    EXPECT_EQ(encoded.meta.size(), meta_bytes);
    EXPECT_EQ(encoded.payload_bytes, payload_bytes);
    Result<DecodedMessages> decoded = DecodeMessages(encoded.meta, Join(encoded));
    ASSERT_TRUE(decoded) << decoded.error().ToString();
    EXPECT_EQ(decoded->messages, batch);
    EXPECT_EQ(decoded->damaged, 0u);
  }
}

TEST(MessageCodec, OnlyTheFieldsOfTheTypeTravel) {
  Message sample = CountedSample(static_cast<uint8_t>(MessageType::kTransferReq));
  EXPECT_EQ(EncodeMessage(sample).size(), 4u + 1u + 34u + 8u);
}

// A field that the wire forgets would work in the simulator and nowhere else.
TEST(MessageCodecDeathTest, SettingAFieldThatDoesNotTravelIsCaught) {
#ifdef ARIMA_CHECK_INVARIANTS
  Message sample = CountedSample(static_cast<uint8_t>(MessageType::kTransferReq));
  sample.commit = Index(1);
  EXPECT_DEATH(EncodeMessage(sample), "HasOnlyItsFields");
#else
  GTEST_SKIP() << "checked with ARIMA_CHECK_INVARIANTS only";
#endif
}

TEST(MessageCodecDeathTest, EntriesWithAGapAreCaught) {
  Message app = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  ++app.entries.back().index;
  EXPECT_DEATH(EncodeMessage(app), "entries.back");
}

// ---------------------------------------------------------------- copies

TEST(MessageEncoder, LargePayloadsAreReferredToAndSmallOnesCopiedTogether) {
  Message app;
  app.type = MessageType::kApp;
  std::string large(MessageEncoder::kReferenceBytesMin, 'x');
  app.entries = {
      MakeEntry(1, 1, EntryKind::kCommand, "a"), MakeEntry(1, 2, EntryKind::kCommand, "b"),
      MakeEntry(1, 3, EntryKind::kCommand, large), MakeEntry(1, 4, EntryKind::kCommand, "c")};
  MessageEncoder encoder;
  EncodedMessages encoded;
  encoder.Append(app, &encoded);
  ASSERT_EQ(encoded.payload.size(), 3u);
  EXPECT_EQ(encoded.payload[0].view(), "ab");
  EXPECT_EQ(encoded.payload[1].view().data(), app.entries[2].payload.view().data());
  EXPECT_EQ(encoded.payload[2].view(), "c");
}

TEST(MessageEncoder, TheSameEntriesForAnotherPeerAreEncodedOnce) {
  Message to_two = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  Message to_three = to_two;
  to_three.to = MemberId(3);
  Message other = to_two;  // equal place, other bytes
  other.entries[1] = MakeEntry(other.entries[1].term.value, other.entries[1].index.value,
                               EntryKind::kCommand, "another 33");
  MessageEncoder encoder;
  EncodedMessages first, second, third;
  encoder.Append(to_two, &first);
  encoder.Append(to_three, &second);
  encoder.Append(other, &third);
  ASSERT_EQ(first.payload.size(), 1u);
  EXPECT_EQ(first.payload[0].view().data(), second.payload[0].view().data());
  for (auto& [encoded, message] : {std::pair(&second, &to_three), std::pair(&third, &other)}) {
    Result<DecodedMessages> decoded = DecodeMessages(encoded->meta, Join(*encoded));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->messages.front(), *message);
  }
}

TEST(MessageCodec, DecodedPayloadsAreViewsIntoTheReceivedBlock) {
  Message app = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  MessageEncoder encoder;
  EncodedMessages encoded;
  encoder.Append(app, &encoded);
  PayloadBlock block = Join(encoded);
  const char* begin = block.bytes.get();
  Result<DecodedMessages> decoded = DecodeMessages(encoded.meta, block);
  ASSERT_TRUE(decoded);
  block = {};  // the views keep it
  const std::vector<raft::Entry>& entries = decoded->messages.front().entries;
  EXPECT_EQ(entries[0].payload.view().data(), begin);
  EXPECT_EQ(entries[1].payload.view().data(), begin + entries[0].payload.size());
  EXPECT_EQ(entries, app.entries);
}

// ---------------------------------------------------------------- damage

TEST(MessageCodec, EveryTruncationIsRefused) {
  for (uint8_t type = kFirstType; type <= kLastType; ++type) {
    std::string bytes = EncodeMessage(CountedSample(type));
    for (size_t size = 0; size < bytes.size(); ++size) {
      Result<Message> back = DecodeExactly(std::string_view(bytes).substr(0, size));
      ASSERT_FALSE(back) << static_cast<int>(type) << " cut to " << size;
    }
    EXPECT_FALSE(DecodeExactly(bytes + "x")) << static_cast<int>(type);
  }
}

TEST(MessageCodec, EveryBitFlipIsRefusedOrAnotherMessage) {
  for (uint8_t type = kFirstType; type <= kLastType; ++type) {
    std::string bytes = EncodeMessage(CountedSample(type));
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      Result<Message> back = DecodeExactly(flipped);
      // What is accepted has exactly one spelling.
      if (back) {
        ASSERT_EQ(EncodeMessage(*back), flipped) << static_cast<int>(type) << " bit " << bit;
      }
    }
  }
}

TEST(MessageCodec, RandomBytesAreSafe) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    std::string meta(1 + random.Below(200), '\0');
    for (char& c : meta) c = static_cast<char>(random.Percent(60) ? 0 : random.Next());
    meta[0] = 1;
    if (meta.size() > 1) meta[1] = static_cast<char>(random.Between(0, kLastType + 1));
    auto block = std::make_shared<char[]>(64);
    Result<DecodedMessages> decoded = DecodeMessages(meta, {block, random.Below(65)});
    if (decoded) {
      EXPECT_LE(decoded->messages.size() * 35, meta.size());
    }
  }
}

TEST(MessageCodec, AMessageWithADamagedEntryIsLeftOutAndItsNeighboursStand) {
  Message before = CountedSample(static_cast<uint8_t>(MessageType::kHeartbeat));
  Message app = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  Message propose = CountedSample(static_cast<uint8_t>(MessageType::kPropose));
  Message after = CountedSample(static_cast<uint8_t>(MessageType::kVote));
  for (size_t byte : {size_t{0}, app.entries[0].payload.size() + 2, size_t{20}, size_t{30}}) {
    MessageEncoder encoder;
    EncodedMessages encoded;
    for (const Message* m : {&before, &app, &propose, &after}) encoder.Append(*m, &encoded);
    PayloadBlock block = Join(encoded);
    const_cast<char*>(block.bytes.get())[byte] ^= 1;
    Result<DecodedMessages> decoded = DecodeMessages(encoded.meta, block);
    ASSERT_TRUE(decoded) << decoded.error().ToString();
    EXPECT_EQ(decoded->damaged, 1u);
    EXPECT_NE(decoded->damage.find("does not match its checksum"), std::string::npos);
    const Message& left = byte < 20 ? propose : app;
    EXPECT_EQ(decoded->messages, (std::vector{before, left, after}));
  }
}

TEST(MessageCodec, UnknownVersionsTypesAndKindsAreNotSupported) {
  Message app = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  std::string bytes = EncodeMessage(app);
  const std::vector<raft::Entry> entries = app.entries;
  size_t kind = bytes.size() - entries[0].payload.size() - entries[1].payload.size() - 4 - 4 - 1;
  const std::vector<std::pair<size_t, char>> spoiled = {
      {4, 1}, {4, kMessageFormatVersion + 1}, {5, kLastType + 1}, {kind, 9}};
  for (const auto& [place, value] : spoiled) {
    std::string wrong = bytes;
    wrong[place] = value;
    Result<Message> back = DecodeMessage(wrong);
    ASSERT_FALSE(back) << place;
    EXPECT_EQ(back.error().code, Code::kNotSupported) << back.error().ToString();
  }
}

TEST(MessageCodec, UnknownDiskLevelsAreNotSupported) {
  std::string bytes =
      EncodeMessage(CountedSample(static_cast<uint8_t>(MessageType::kHeartbeatResp)));
  bytes.back() = 4;
  Result<Message> back = DecodeMessage(bytes);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Code::kNotSupported) << back.error().ToString();
}

TEST(MessageCodec, AnAbsurdCountCostsNoMemory) {
  Message app = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  app.entries.clear();
  std::string bytes = EncodeMessage(app);
  SetFixed<uint32_t>(bytes.data() + bytes.size() - 4, 0xFFFFFFFF);
  Result<Message> back = DecodeMessage(bytes);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Code::kCorruption);
}

TEST(MessageCodec, IndexesDoNotWrapAround) {
  Message app = CountedSample(static_cast<uint8_t>(MessageType::kApp));
  std::string bytes = EncodeMessage(app);
  SetFixed<uint64_t>(bytes.data() + 4 + 1 + 34, UINT64_MAX - 1);  // App.index
  Result<Message> back = DecodeMessage(bytes);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Code::kCorruption);
}

// ---------------------------------------------------------------- golden

// One line a type: its number and the bytes of its counted sample. If this fails, nodes of
// different builds do not understand each other: raise kMessageFormatVersion.
TEST(MessageCodec, BytesOfVersionTwoStayWhatTheyAre) {
  std::ifstream file(ARIMA_SOURCE_DIR "/testdata/messages_v2.txt");
  int type = 0;
  std::string hex;
  int lines = 0;
  while (file >> type >> hex) {
    ++lines;
    EXPECT_EQ(ToHex(EncodeMessage(CountedSample(static_cast<uint8_t>(type)))), hex) << type;
  }
  EXPECT_EQ(lines, kLastType);
}

}  // namespace
}  // namespace arima::codec
