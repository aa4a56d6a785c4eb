#include "http/target.h"

#include <algorithm>

namespace arima::http {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Drops "http://authority" in front of a path; RFC 9112 section 3.2.2 asks servers to take it.
std::string_view WithoutAuthority(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (!target.starts_with(kScheme)) return target;
  const size_t path = target.find_first_of("/?", kScheme.size());
  return path == std::string_view::npos ? "/" : target.substr(path);
}

}  // namespace

Read<Target> SplitTarget(std::string_view target) {
  target = WithoutAuthority(target);
  if (!target.starts_with('/')) {
    return Refuse(400, "bad_target", "the request target must be a path that starts with /");
  }
  if (target.find('#') != std::string_view::npos) {
    return Refuse(400, "bad_target", "# cannot stand in a request target; write %23");
  }
  const size_t mark = target.find('?');
  if (mark == std::string_view::npos) return Target{target, {}};
  return Target{target.substr(0, mark), target.substr(mark + 1)};
}

Read<void> PercentDecode(std::string_view encoded, std::string* out) {
  out->clear();
  size_t position = 0;
  while (position < encoded.size()) {
    const size_t percent = std::min(encoded.find('%', position), encoded.size());
    out->append(encoded.substr(position, percent - position));
    if (percent == encoded.size()) break;
    const int high = percent + 1 < encoded.size() ? HexValue(encoded[percent + 1]) : -1;
    const int low = percent + 2 < encoded.size() ? HexValue(encoded[percent + 2]) : -1;
    if (high < 0 || low < 0) {
      return Refuse(400, "bad_target",
                    "% at byte " + std::to_string(percent) +
                        " of the key or parameter is not followed by two hex digits; a plain % is "
                        "written %25");
    }
    out->push_back(static_cast<char>(high << 4 | low));
    position = percent + 3;
  }
  return {};
}

Read<std::vector<Parameter>> ParseQuery(std::string_view query) {
  std::vector<Parameter> parameters;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view part = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (part.empty()) continue;
    const size_t equals = std::min(part.find('='), part.size());
    Parameter parameter;
    if (Read<void> name = PercentDecode(part.substr(0, equals), &parameter.name); !name) {
      return std::unexpected(std::move(name.error()));
    }
    const std::string_view value = part.substr(std::min(equals + 1, part.size()));
    if (Read<void> decoded = PercentDecode(value, &parameter.value); !decoded) {
      return std::unexpected(std::move(decoded.error()));
    }
    if (std::ranges::find(parameters, parameter.name, &Parameter::name) != parameters.end()) {
      return Refuse(400, "bad_parameter", "query parameter " + parameter.name + " comes twice");
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace arima::http
