#include "http/json_text.h"

#include <boost/json/serializer.hpp>

#include "http/base64.h"
#include "http/utf8.h"

namespace arima::http {
namespace {

bool NeedsEscape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

bool NeedsEscape(std::string_view text) {
  for (char c : text) {
    if (NeedsEscape(c)) return true;
  }
  return false;
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  if (!NeedsEscape(text)) {
    out->append(1, '"').append(text).append(1, '"');
    return;
  }
  boost::json::serializer serializer;
  serializer.reset(boost::json::string_view(text.data(), text.size()));
  char buffer[4096];
  while (!serializer.done()) {
    const boost::json::string_view piece = serializer.read(buffer);
    out->append(piece.data(), piece.size());
  }
}

void AppendJsonMessage(std::string_view text, std::string* out) {
  const bool utf8 = IsUtf8(text);
  std::string clean(text);
  for (char& c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (!utf8 && byte >= 0x80)) c = '?';
  }
  AppendJsonString(clean, out);
}

void AppendJsonBytes(std::string_view name, std::string_view bytes, std::string* out) {
  out->append(1, '"').append(name);
  if (IsUtf8(bytes)) {
    out->append("\":");
    AppendJsonString(bytes, out);
    return;
  }
  out->append("\":null,\"").append(name).append("_base64\":\"");
  AppendBase64(bytes, out);
  out->append(1, '"');
}

}  // namespace arima::http
