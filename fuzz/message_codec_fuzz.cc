// Any bytes as raft messages: nothing crashes, and what is accepted has exactly one spelling.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "codec/message_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace arima::codec;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (auto message = DecodeMessage(bytes)) ARIMA_ASSERT(EncodeMessage(*message) == bytes);

  // The same bytes as a frame would split them: half meta section, half payload section.
  std::string_view meta = bytes.substr(0, size / 2);
  std::string_view rest = bytes.substr(size / 2);
  auto block = std::make_shared_for_overwrite<char[]>(rest.size());
  rest.copy(block.get(), rest.size());
  (void)DecodeMessages(meta, {block, rest.size()});
  return 0;
}
