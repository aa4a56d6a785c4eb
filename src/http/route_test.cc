#include "http/route.h"

#include <gtest/gtest.h>

namespace arima::http {
namespace {

TEST(Route, KeyIsEverythingBehindStoreSlash) {
  for (std::string_view key : {"k", "a/b", "/", "..", ".", "a/", "%00", ":key"}) {
    const std::string path = "/store/" + std::string(key);
    const Read<Match> match = FindRoute(path, Method::kGet);
    ASSERT_TRUE(match.has_value()) << key;
    EXPECT_EQ(match->route->action, Action::kGetKey);
    EXPECT_EQ(match->encoded_key, key);
  }
}

TEST(Route, StoreTakesPostWithAndWithoutTheSlash) {
  EXPECT_EQ(FindRoute("/store", Method::kPost)->route->action, Action::kPostKey);
  EXPECT_EQ(FindRoute("/store/", Method::kPost)->route->action, Action::kPostKey);
  EXPECT_EQ(FindRoute("/store/", Method::kGet)->route->action, Action::kListKeys);
}

// A transfer runs beside no read of its connection; the list of members is a read.
TEST(Route, MembershipRoutesAreWhatTheySay) {
  const Read<Match> transfer = FindRoute("/raft/transfer", Method::kPost);
  ASSERT_TRUE(transfer.has_value());
  EXPECT_EQ(transfer->route->action, Action::kTransfer);
  EXPECT_EQ(transfer->route->access, Access::kWrite);
  EXPECT_EQ(transfer->route->body, Body::kJson);
  const Read<Match> members = FindRoute("/raft/members", Method::kGet);
  ASSERT_TRUE(members.has_value());
  EXPECT_EQ(members->route->action, Action::kMembers);
  EXPECT_EQ(members->route->access, Access::kRead);
  EXPECT_EQ(members->route->body, Body::kNone);
}

TEST(Route, HeadWorksWhereverGetDoes) {
  for (const Route& route : RouteTable()) {
    if (route.method != Method::kGet) continue;
    EXPECT_EQ(FindRoute(route.path, Method::kHead)->route, &route);
  }
}

TEST(Route, OtherMethodsGet405WithAllow) {
  const Read<Match> post = FindRoute("/store/k", Method::kPost);
  ASSERT_FALSE(post.has_value());
  EXPECT_EQ(post.error().status, 405);
  EXPECT_EQ(post.error().header_lines, "Allow: GET, HEAD, PUT, DELETE\r\n");
  EXPECT_EQ(FindRoute("/store", Method::kDelete).error().header_lines,
            "Allow: GET, HEAD, POST\r\n");
  EXPECT_EQ(FindRoute("/raft/join", Method::kGet).error().header_lines, "Allow: POST\r\n");
  EXPECT_EQ(FindRoute("/raft/transfer", Method::kGet).error().header_lines, "Allow: POST\r\n");
  EXPECT_EQ(FindRoute("/raft/members", Method::kPost).error().header_lines, "Allow: GET, HEAD\r\n");
  EXPECT_EQ(FindRoute("/livez", Method::kOther).error().status, 405);
}

TEST(Route, PathsAreComparedAsTheyCame) {
  for (std::string_view path :
       {"/", "/stores", "//store/k", "/Store/k", "/store%2Fk", "/raft/join/", "/livez/", "/raft"}) {
    const Read<Match> match = FindRoute(path, Method::kGet);
    ASSERT_FALSE(match.has_value()) << path;
    EXPECT_EQ(match.error().status, 404);
  }
}

}  // namespace
}  // namespace arima::http
