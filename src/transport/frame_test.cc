#include "transport/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/hex.h"
#include "base/random.h"

namespace arima::transport {
namespace {

std::string Flatten(const OutFrame& frame) {
  std::string out = frame.lead;
  out.append(frame.header.data(), frame.header.size());
  out += frame.meta;
  for (const SharedBytes& part : frame.payload) out += part.view();
  return out;
}

std::string MessagesFrame(const std::string& meta, const std::string& payload) {
  codec::EncodedMessages messages;
  messages.meta = meta;
  // In two parts, as references and copies alternate in reality.
  messages.payload = {SharedBytes::Copy(payload.substr(0, payload.size() / 3)),
                      SharedBytes::Copy(payload.substr(payload.size() / 3))};
  messages.payload_bytes = payload.size();
  return Flatten(MakeFrame(std::move(messages)));
}

struct Seen {
  FrameType type;
  std::string meta;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};

// Feeds `bytes` in pieces of random size up to `piece_max`; stops at the first error.
Status Feed(FrameReader* reader, std::string_view bytes, size_t piece_max, uint64_t seed,
            std::vector<Seen>* seen) {
  SeededRandom random(seed);
  while (!bytes.empty()) {
    std::span<char> space = reader->Space();
    size_t n = std::min({bytes.size(), space.size(), size_t{random.Between(1, piece_max)}});
    std::memcpy(space.data(), bytes.data(), n);
    bytes.remove_prefix(n);
    reader->Filled(n);
    while (true) {
      Result<std::optional<Frame>> frame = reader->Next();
      if (!frame) return std::unexpected(frame.error());
      if (!*frame) break;
      const Frame& f = **frame;
      seen->push_back(
          {f.type, std::string(f.meta), std::string(f.payload.bytes.get(), f.payload.size)});
    }
  }
  return {};
}

Status FeedWhole(std::string_view bytes, std::initializer_list<FrameType> allowed,
                 std::vector<Seen>* seen) {
  FrameReader reader(false);
  reader.Allow(allowed);
  return Feed(&reader, bytes, bytes.size(), 1, seen);
}

TEST(FrameReader, FramesOfAllSizesComeOutHoweverTheyWereCut) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    std::string bytes;
    std::vector<Seen> sent;
    for (int i = 0; i < 12; ++i) {
      // Around the border between small and large frames, and tiny ones.
      size_t meta = random.Percent(30) ? random.Below(2 * kReadBufferBytes) : random.Below(100);
      size_t payload = random.Percent(30) ? random.Below(3 * kReadBufferBytes) : random.Below(100);
      if (random.Percent(10))
        payload = kReadBufferBytes - kFrameHeaderBytes - std::min<size_t>(meta, 100);
      sent.push_back({FrameType::kMessages, std::string(meta, static_cast<char>('a' + i)),
                      std::string(payload, static_cast<char>('A' + i))});
      bytes += MessagesFrame(sent.back().meta, sent.back().payload);
    }
    FrameReader reader(false);
    reader.Allow({FrameType::kMessages});
    std::vector<Seen> seen;
    size_t piece_max = random.Percent(50) ? 64 : 2 * kReadBufferBytes;
    ASSERT_TRUE(Feed(&reader, bytes, piece_max, seed, &seen));
    ASSERT_EQ(seen.size(), sent.size());
    for (size_t i = 0; i < sent.size(); ++i) EXPECT_TRUE(seen[i] == sent[i]) << i;
  }
}

TEST(FrameReader, APayloadOutlivesTheReader) {
  codec::PayloadBlock block;
  {
    FrameReader reader(false);
    reader.Allow({FrameType::kMessages});
    std::string bytes = MessagesFrame("meta", "payload");
    std::memcpy(reader.Space().data(), bytes.data(), bytes.size());
    reader.Filled(bytes.size());
    block = reader.Next().value()->payload;
  }
  EXPECT_EQ(std::string_view(block.bytes.get(), block.size), "payload");
}

TEST(FrameReader, ThePreambleComesFirst) {
  FrameReader reader(true);
  reader.Allow({FrameType::kHello});
  std::vector<Seen> seen;
  std::string bytes = MakePreamble(Purpose::kPeer) + Flatten(MakeFrame(FrameType::kHello, "hi"));
  ASSERT_TRUE(Feed(&reader, bytes, 3, 1, &seen));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], (Seen{FrameType::kPreamble, "\1", ""}));
  EXPECT_EQ(seen[1], (Seen{FrameType::kHello, "hi", ""}));
}

TEST(FrameReader, AStrangerIsKnownByItsFirstBytes) {
  for (std::string_view bytes : {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "ARMF", "a"}) {
    FrameReader reader(true);
    std::vector<Seen> seen;
    EXPECT_FALSE(Feed(&reader, bytes, 1, 1, &seen)) << bytes;
  }
}

TEST(FrameReader, EveryBitFlipBeforeThePayloadIsFound) {
  std::string bytes = MessagesFrame("the meta section", "payload");
  for (size_t bit = 0; bit < (bytes.size() - 7) * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    std::vector<Seen> seen;
    // Enough behind it for most sizes that a flip can make up; never is it taken for a frame.
    (void)FeedWhole(flipped + std::string(70000, 'x'), {FrameType::kMessages}, &seen);
    ASSERT_TRUE(seen.empty()) << bit;
  }
}

TEST(FrameReader, AFrameThatIsNotExpectedIsRefusedByItsHeader) {
  std::string bytes = Flatten(MakeFrame(FrameType::kHello, std::string(1000, 'h')));
  std::vector<Seen> seen;
  EXPECT_FALSE(FeedWhole(std::string_view(bytes).substr(0, kFrameHeaderBytes),
                         {FrameType::kMessages, FrameType::kRefuse}, &seen));
}

TEST(FrameReader, SizesOverTheLimitAreRefusedByTheHeader) {
  struct Case {
    FrameType type;
    uint32_t meta_bytes, payload_bytes;
    bool good;
  };
  for (const Case& c : {Case{FrameType::kHello, kGreetingBytesMax, 0, true},
                        Case{FrameType::kHello, kGreetingBytesMax + 1, 0, false},
                        Case{FrameType::kHello, 1, 1, false},
                        Case{FrameType::kControlRequest, kControlFrameBytesMax, 0, true},
                        Case{FrameType::kControlRequest, kControlFrameBytesMax + 1, 0, false},
                        Case{FrameType::kMessages, kMessagesMetaBytesMax, 1, true},
                        Case{FrameType::kMessages, kMessagesMetaBytesMax + 1, 0, false},
                        Case{FrameType::kMessages, 1, kMessagesPayloadBytesMax, true},
                        Case{FrameType::kMessages, 1, kMessagesPayloadBytesMax + 1, false},
                        Case{FrameType::kMessages, 0xFFFFFFFF, 0xFFFFFFFF, false}}) {
    std::string header = Flatten(MakeFrame(c.type, "")).substr(0, kFrameHeaderBytes);
    SetFixed<uint32_t>(header.data() + 8, c.meta_bytes);
    SetFixed<uint32_t>(header.data() + 12, c.payload_bytes);
    std::vector<Seen> seen;
    Status status = FeedWhole(
        header, {FrameType::kHello, FrameType::kControlRequest, FrameType::kMessages}, &seen);
    EXPECT_EQ(status.has_value(), c.good) << c.meta_bytes << " + " << c.payload_bytes;
  }
}

TEST(FrameReader, RandomBytesAreSafe) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    std::string bytes = MessagesFrame(std::string(random.Below(80000), 'm'), "payload");
    for (uint64_t i = random.Between(1, 5); i > 0; --i) {
      bytes[random.Below(std::min<size_t>(bytes.size(), 60))] = static_cast<char>(random.Next());
    }
    FrameReader reader(random.Percent(30));
    reader.Allow({FrameType::kMessages});
    std::vector<Seen> seen;
    Status status = Feed(&reader, bytes, 5000, seed, &seen);
    EXPECT_LE(seen.size(), 1u) << status.has_value();
  }
}

// If this fails, nodes of different builds do not understand each other.
TEST(Frame, BytesOfVersionOneStayWhatTheyAre) {
  EXPECT_EQ(ToHex(MakePreamble(Purpose::kControl)), "4152494d41000102");
  EXPECT_EQ(ToHex(MessagesFrame("meta", "payload")),
            "41524d46"          // magic
            "01040000"          // version, type, reserved
            "0400000007000000"  // sizes
            "dbce0f1e2790ff44"  // checksum
            "6d657461"          // "meta"
            "7061796c6f6164");
}

}  // namespace
}  // namespace arima::transport
