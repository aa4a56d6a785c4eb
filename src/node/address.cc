#include "node/address.h"

#include <charconv>

namespace arima::node {
namespace {

std::unexpected<Error> Bad(std::string_view text, const char* why) {
  return Fail(Code::kInvalidArgument, "\"" + std::string(text) + "\" is not an address: " + why +
                                          "; expected host:port, e.g. 127.0.0.1:1111");
}

bool HostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_' || c == ':' || c == '%';
}

}  // namespace

Result<HostPort> ParseHostPort(std::string_view text) {
  if (text.size() > 300) return Bad(text.substr(0, 60), "it is too long");
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Bad(text, "the port is missing");
  std::string_view host = text.substr(0, colon);
  std::string_view port_text = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return Bad(text, "an IPv6 host needs brackets");
  }
  if (host.empty()) return Bad(text, "the host is missing");
  for (char c : host) {
    if (!HostCharacter(c)) return Bad(text, "the host holds a character that no host name has");
  }
  unsigned port = 0;
  auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size() || port == 0 ||
      port > 65535) {
    return Bad(text, "the port is not a number between 1 and 65535");
  }
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

}  // namespace arima::node
