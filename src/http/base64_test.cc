#include "http/base64.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace arima::http {
namespace {

std::string Encode(std::string_view bytes) {
  std::string out;
  AppendBase64(bytes, &out);
  return out;
}

// RFC 4648 section 10.
TEST(Base64, PublishedVectors) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"},
                                                                   {"\xFF\xFE\xFD", "//79"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(Encode(bytes), text);
    EXPECT_EQ(DecodeBase64(text), bytes);
  }
}

TEST(Base64, AnyBytesComeBack) {
  const uint64_t seed = 4;
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  for (size_t size = 0; size < 200; ++size) {
    std::string bytes;
    while (bytes.size() < size) bytes.push_back(static_cast<char>(random.Below(256)));
    EXPECT_EQ(DecodeBase64(Encode(bytes)), bytes);
  }
}

TEST(Base64, OtherSpellingsAreRefused) {
  for (std::string_view text : {"Zg", "Zg=", "Zg===", "Z", "Zm9v\n", " Zm9", "Zh==", "Zm9=", "Zm-_",
                                "====", "=", "Zg==Zg==", "Z=g=", "Zm9\0"}) {
    EXPECT_EQ(DecodeBase64(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace arima::http
