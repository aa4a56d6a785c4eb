#include "http/header_values.h"

#include <algorithm>
#include <optional>
#include <string>

namespace arima::http {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes the part before `separator` off the front of `rest`.
std::string_view TakePart(std::string_view* rest, char separator) {
  const size_t end = std::min(rest->find(separator), rest->size());
  const std::string_view part = Trim(rest->substr(0, end));
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return part;
}

// "q=0.8" in thousandths; 1000 when there is none or it makes no sense.
uint32_t Quality(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view parameter = TakePart(&parameters, ';');
    if (parameter.size() < 3 || Lower(parameter[0]) != 'q' || parameter[1] != '=') continue;
    parameter.remove_prefix(2);
    if (parameter[0] != '0' || (parameter.size() > 1 && parameter[1] != '.')) return 1000;
    uint32_t value = 0;
    uint32_t weight = 100;
    for (char c : parameter.substr(std::min<size_t>(2, parameter.size()))) {
      if (c < '0' || c > '9') return 1000;
      value += static_cast<uint32_t>(c - '0') * weight;
      weight /= 10;
    }
    return value;
  }
  return 1000;
}

// How a media type fares under an Accept header: the most specific range that covers it decides.
struct Preference {
  uint32_t specificity = 0;  // 0 not covered, 1 */*, 2 type/*, 3 exact
  uint32_t quality = 0;      // thousandths
};

Preference PreferenceFor(std::string_view accept, std::string_view media_type) {
  Preference best;
  while (!accept.empty()) {
    std::string_view entry = TakePart(&accept, ',');
    const std::string_view range = TakePart(&entry, ';');
    uint32_t specificity = 0;
    if (EqualsIgnoringCase(range, media_type)) {
      specificity = 3;
    } else if (EqualsIgnoringCase(range, "application/*")) {
      specificity = 2;
    } else if (range == "*/*") {
      specificity = 1;
    }
    if (specificity > best.specificity) best = {specificity, Quality(entry)};
  }
  return best;
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return Lower(x) == Lower(y); });
}

bool IsJsonContentType(std::string_view content_type) {
  const std::string_view type = TakePart(&content_type, ';');
  if (EqualsIgnoringCase(type, "application/json")) return true;
  constexpr std::string_view kPrefix = "application/";
  constexpr std::string_view kSuffix = "+json";
  return type.size() > kPrefix.size() + kSuffix.size() &&
         EqualsIgnoringCase(type.substr(0, kPrefix.size()), kPrefix) &&
         EqualsIgnoringCase(type.substr(type.size() - kSuffix.size()), kSuffix);
}

bool PrefersOctetStream(std::string_view accept) {
  if (accept.empty()) return false;
  const Preference bytes = PreferenceFor(accept, "application/octet-stream");
  const Preference json = PreferenceFor(accept, "application/json");
  if (bytes.quality != json.quality) return bytes.quality > json.quality;
  return bytes.quality > 0 && bytes.specificity > json.specificity;
}

bool MatchesEntityTag(std::string_view list, uint64_t mod_revision, Comparison comparison) {
  const std::string current = "\"" + std::to_string(mod_revision) + "\"";
  // Tags of this server are digits in quotes, so no comma can hide inside one that matches.
  while (!list.empty()) {
    std::string_view tag = TakePart(&list, ',');
    if (tag == "*") return true;
    if (tag.starts_with("W/")) {
      if (comparison == Comparison::kStrong) continue;
      tag.remove_prefix(2);
    }
    if (tag == current) return true;
  }
  return false;
}

}  // namespace arima::http
