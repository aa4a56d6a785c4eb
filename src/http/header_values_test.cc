#include "http/header_values.h"

#include <gtest/gtest.h>

namespace arima::http {
namespace {

TEST(HeaderValues, JsonContentTypesAreJsonAndPlusJson) {
  for (std::string_view type :
       {"application/json", "Application/JSON", "application/json;charset=utf-8",
        "application/json ; x=y", "application/merge-patch+json"}) {
    EXPECT_TRUE(IsJsonContentType(type)) << type;
  }
  for (std::string_view type :
       {"", "text/plain", "text/json", "application/x-www-form-urlencoded", "application/jsonx",
        "application/+json", "application/octet-stream"}) {
    EXPECT_FALSE(IsJsonContentType(type)) << type;
  }
}

TEST(HeaderValues, JsonUnlessOctetStreamIsPreferred) {
  for (std::string_view accept :
       {"", "*/*", "application/json", "application/*", "text/html, */*;q=0.8",
        "application/octet-stream;q=0.5, application/json", "application/octet-stream;q=0",
        "application/octet-stream, application/json",
        "application/octet-stream;q=0.000, */*;q=0.1"}) {
    EXPECT_FALSE(PrefersOctetStream(accept)) << accept;
  }
  for (std::string_view accept :
       {"application/octet-stream", "APPLICATION/Octet-Stream", "application/octet-stream, */*",
        "application/json;q=0.5,application/octet-stream",
        "*/*;q=0.1, application/octet-stream;q=0.2", "application/*, application/json;q=0.3"}) {
    EXPECT_TRUE(PrefersOctetStream(accept)) << accept;
  }
}

TEST(HeaderValues, EntityTagsCompareStronglyOrWeakly) {
  EXPECT_TRUE(MatchesEntityTag("\"5\"", 5, Comparison::kStrong));
  EXPECT_TRUE(MatchesEntityTag("\"4\", \"5\"", 5, Comparison::kStrong));
  EXPECT_TRUE(MatchesEntityTag("*", 5, Comparison::kStrong));
  EXPECT_TRUE(MatchesEntityTag("W/\"5\"", 5, Comparison::kWeak));
  EXPECT_FALSE(MatchesEntityTag("W/\"5\"", 5, Comparison::kStrong));
  EXPECT_FALSE(MatchesEntityTag("\"55\"", 5, Comparison::kWeak));
  EXPECT_FALSE(MatchesEntityTag("5", 5, Comparison::kWeak));
  EXPECT_FALSE(MatchesEntityTag("", 5, Comparison::kWeak));
}

}  // namespace
}  // namespace arima::http
