// Header values that need more than a comparison: Accept, Content-Type, entity tags.
#pragma once

#include <cstdint>
#include <string_view>

namespace arima::http {

// Case-insensitive for ASCII.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// application/json or application/<anything>+json, with any parameters.
bool IsJsonContentType(std::string_view content_type);

// The client wants application/octet-stream rather than JSON (RFC 9110 section 12.5.1): it has
// the higher quality, or the same by a more specific range. No header, or */* alone, means JSON.
bool PrefersOctetStream(std::string_view accept);

// Does a list of entity tags, or *, name the current one? RFC 9110 section 13.1.
enum class Comparison : uint8_t { kStrong, kWeak };
bool MatchesEntityTag(std::string_view list, uint64_t mod_revision, Comparison comparison);

}  // namespace arima::http
