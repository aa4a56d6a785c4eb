// The contract over a real socket: each route, its answers byte for byte, and its errors.

#include "http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "http/base64.h"
#include "http/test_peer.h"

namespace arima::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpOptions options = {}) {
    options.port = 0;
    options.version = "1.2.3";
    Result<std::unique_ptr<HttpServer>> server = HttpServer::Start(options, kv_, cluster_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
  }
  void SetUp() override { Start(); }
  void TearDown() override {
    if (server_) server_->Stop(1'000);
  }

  // On a connection of its own.
  ClientAnswer Ask(std::string_view request) {
    return TestClient(server_->port()).Exchange(request);
  }

  FakeKv kv_;
  FakeCluster cluster_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, PostGetAndDeleteAnswerAsPublished) {
  for (const char* path : {"/store", "/store/"}) {
    const ClientAnswer put = Ask(PostJson(path, R"({"key":"k","value":"v"})"));
    EXPECT_EQ(put.status, 200);
    EXPECT_EQ(put.body, R"({"data":{"key":"k","value":"v"},"message":"success fetching data"})");
    EXPECT_EQ(put.Header("Content-Type"), "application/json");
  }
  const ClientAnswer get = Ask(Get("/store/k"));
  EXPECT_EQ(get.status, 200);
  EXPECT_EQ(get.body, R"({"data":{"key":"k","value":"v"},"message":"success fetching data"})");
  const ClientAnswer removed = Ask(Request("DELETE /store/k"));
  EXPECT_EQ(removed.status, 200);
  EXPECT_EQ(removed.body, R"({"data":{"key":"k","value":null},"message":"success removing data"})");
  EXPECT_EQ(removed.Header("X-Arima-Deleted"), "");
}

TEST_F(HttpServerTest, MissingKeyIs404AndDeletingItIs200WithAHeader) {
  const ClientAnswer get = Ask(Get("/store/none"));
  EXPECT_EQ(get.status, 404);
  EXPECT_EQ(get.body, R"({"error":"there is no key \"none\"","code":"key_not_found"})");
  EXPECT_EQ(get.Header("X-Arima-Revision"), "1");
  const ClientAnswer removed = Ask(Request("DELETE /store/none"));
  EXPECT_EQ(removed.status, 200);
  EXPECT_EQ(removed.body,
            R"({"data":{"key":"none","value":null},"message":"success removing data"})");
  EXPECT_EQ(removed.Header("X-Arima-Deleted"), "0");
  EXPECT_EQ(removed.Header("X-Arima-Revision"), "1");
  EXPECT_EQ(removed.Header("ETag"), "");
}

TEST_F(HttpServerTest, AnswersCarryRevisionETagAndWhereTheLeaderIs) {
  const ClientAnswer put = Ask(PostJson("/store", R"({"key":"k","value":"v"})"));
  EXPECT_EQ(put.Header("ETag"), "\"2\"");
  EXPECT_EQ(put.Header("X-Arima-Revision"), "2");
  Ask(PostJson("/store", R"({"key":"other","value":"v"})"));
  const ClientAnswer get = Ask(Get("/store/k"));
  EXPECT_EQ(get.Header("ETag"), "\"2\"") << "mod revision of the key";
  EXPECT_EQ(get.Header("X-Arima-Revision"), "3") << "revision of the store";
  EXPECT_EQ(get.Header("Cache-Control"), "no-cache");
  EXPECT_EQ(get.Header("Vary"), "Accept");
  EXPECT_EQ(get.Header("X-Arima-Served-By"), "n1");
  EXPECT_EQ(get.Header("X-Arima-Leader"), "n1");
  EXPECT_EQ(get.Header("X-Arima-Leader-Address"), "127.0.0.1:2221");
  EXPECT_THAT(get.Header("Date"), testing::MatchesRegex("..., .. ... .... ..:..:.. GMT"));

  cluster_.SetView({"n2\r\nX-Evil: 1", "", "", 1, false, ""});
  const ClientAnswer lost = Ask(Get("/store/k"));
  EXPECT_EQ(lost.Header("X-Arima-Served-By"), "n2X-Evil: 1") << "one line, whatever the name";
  EXPECT_EQ(lost.Header("X-Arima-Leader"), "");
}

TEST_F(HttpServerTest, KeysAreBytesOfThePathWithoutNormalisation) {
  const std::pair<std::string_view, std::string> rows[] = {{"a%20b", "a b"},
                                                           {"100%25", "100%"},
                                                           {"a/b/c", "a/b/c"},
                                                           {"a%2Fb", "a/b"},
                                                           {"%22quoted%22", "\"quoted\""},
                                                           {"%E2%82%AC", "\xE2\x82\xAC"},
                                                           {"a+b", "a+b"},
                                                           {"..", ".."},
                                                           {".", "."},
                                                           {"/", "/"},
                                                           {"//x//", "//x//"},
                                                           {"dir/", "dir/"},
                                                           {"a/../b", "a/../b"},
                                                           {"%00", std::string(1, '\0')},
                                                           {"q%3Fx", "q?x"},
                                                           {"h%23x", "h#x"},
                                                           {"\xC3\xA9", "\xC3\xA9"}};
  for (const auto& [encoded, key] : rows) {
    const std::string target = "/store/" + std::string(encoded);
    ASSERT_EQ(Ask(PutBytes(target, "value of " + key)).status, 200) << encoded;
    const ClientAnswer get = Ask(Get(target));
    const boost::json::value body = boost::json::parse(get.body);
    EXPECT_EQ(body.at("data").at("key").as_string(), key);
    EXPECT_EQ(body.at("data").at("value").as_string(), "value of " + key);
  }
  EXPECT_EQ(Ask(Get("/store/a%2fb")).Header("ETag"), Ask(Get("/store/a/b")).Header("ETag"));
}

TEST_F(HttpServerTest, ValuesWithControlCharactersComeBackEscaped) {
  const ClientAnswer put = Ask(
      PostJson("/store", R"({"key":"k","value":"\u0000\u0001\n\t\"\\\u001f\u007f\ud83d\ude00"})"));
  EXPECT_EQ(put.body,
            "{\"data\":{\"key\":\"k\",\"value\":\"\\u0000\\u0001\\n\\t\\\"\\\\\\u001f\x7F"
            "\xF0\x9F\x98\x80\"},\"message\":\"success fetching data\"}");
  EXPECT_EQ(Ask(Get("/store/k")).body, put.body);
}

TEST_F(HttpServerTest, BytesThatAreNotTextTravelInBase64) {
  const ClientAnswer put =
      Ask(PostJson("/store", R"({"key_base64":"//4=","value_base64":"AP8="})"));
  EXPECT_EQ(put.status, 200);
  EXPECT_EQ(put.body,
            R"({"data":{"key":null,"key_base64":"//4=","value":null,"value_base64":"AP8="},)"
            R"("message":"success fetching data"})");
  EXPECT_EQ(Ask(Get("/store/%FF%FE")).body, put.body);
  const ClientAnswer removed = Ask(Request("DELETE /store/%FF%FE"));
  EXPECT_EQ(removed.body, R"({"data":{"key":null,"key_base64":"//4=","value":null},)"
                          R"("message":"success removing data"})");
}

TEST_F(HttpServerTest, PutTakesAndOctetStreamGivesTheBytesThemselves) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  EXPECT_EQ(Ask(PutBytes("/store/b", bytes)).status, 200);
  const ClientAnswer raw = Ask(Get("/store/b", "Accept: application/octet-stream\r\n"));
  EXPECT_EQ(raw.status, 200);
  EXPECT_EQ(raw.body, bytes);
  EXPECT_EQ(raw.Header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(raw.Header("ETag"), "\"2\"");
  const ClientAnswer json = Ask(Get("/store/b"));
  std::string encoded;
  AppendBase64(bytes, &encoded);
  EXPECT_EQ(boost::json::parse(json.body).at("data").at("value_base64").as_string(), encoded);

  EXPECT_EQ(Ask(PutBytes("/store/empty", "")).status, 200);
  EXPECT_EQ(Ask(Get("/store/empty")).body,
            R"({"data":{"key":"empty","value":""},"message":"success fetching data"})");
  const ClientAnswer missing = Ask(Get("/store/none", "Accept: application/octet-stream\r\n"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.Header("Content-Type"), "application/json") << "errors are always JSON";
}

TEST_F(HttpServerTest, HeadIsGetWithoutTheBody) {
  Ask(PutBytes("/store/k", "value"));
  TestClient client(server_->port());
  const ClientAnswer get = client.Exchange(Get("/store/k"));
  const ClientAnswer head = client.Exchange(Request("HEAD /store/k"));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), std::to_string(get.body.size()));
  EXPECT_EQ(head.Header("ETag"), get.Header("ETag"));
  for (const char* target :
       {"/store/none", "/livez", "/readyz", "/metrics", "/version", "/raft/stats", "/nowhere"}) {
    const ClientAnswer answer = client.Exchange(Request("HEAD " + std::string(target)));
    EXPECT_NE(answer.status, 0) << target;
    EXPECT_NE(answer.Header("Content-Length"), "0") << target;
  }
  EXPECT_EQ(client.Exchange(Get("/livez")).status, 200) << "no stray body upset the order";
}

TEST_F(HttpServerTest, ConditionsOnGetFollowRfc9110) {
  Ask(PutBytes("/store/k", "v"));
  const ClientAnswer unchanged = Ask(Get("/store/k", "If-None-Match: \"1\", W/\"2\"\r\n"));
  EXPECT_EQ(unchanged.status, 304);
  EXPECT_EQ(unchanged.Header("ETag"), "\"2\"");
  EXPECT_EQ(unchanged.body, "");
  EXPECT_EQ(Ask(Get("/store/k", "If-None-Match: *\r\n")).status, 304);
  EXPECT_EQ(Ask(Get("/store/k", "If-None-Match: \"1\"\r\n")).status, 200);
  EXPECT_EQ(Ask(Get("/store/k", "If-Match: \"2\"\r\n")).status, 200);
  const ClientAnswer failed = Ask(Get("/store/k", "If-Match: \"1\"\r\n"));
  EXPECT_EQ(failed.status, 412);
  EXPECT_EQ(failed.Header("ETag"), "\"2\"");
  EXPECT_EQ(Ask(Get("/store/none", "If-Match: *\r\n")).status, 412);
  EXPECT_EQ(Ask(Get("/store/none", "If-None-Match: *\r\n")).status, 404);
}

TEST_F(HttpServerTest, ConditionsOnWritesAreRefusedRatherThanIgnored) {
  for (const char* header :
       {"If-Match: \"1\"\r\n", "If-None-Match: *\r\n", "Idempotency-Key: abc\r\n"}) {
    for (const std::string& request : {PutBytes("/store/k", "v", header),
                                       PostJson("/store", R"({"key":"k","value":"v"})", header),
                                       Request("DELETE /store/k", header)}) {
      EXPECT_EQ(Ask(request).status, 501) << request;
    }
  }
  EXPECT_EQ(Ask(Get("/store/k")).status, 404) << "nothing was written";
}

TEST_F(HttpServerTest, StaleReadsNeedNoBarrierAndTellTheirAge) {
  kv_.Hold();  // a barrier would wait for ever
  const ClientAnswer stale = Ask(Get("/store/k?consistency=stale"));
  EXPECT_EQ(stale.status, 404);
  EXPECT_EQ(stale.Header("X-Arima-Staleness-Ms"), "7");
  EXPECT_EQ(kv_.HeldCount(), 0u);
  kv_.StopHolding();
  EXPECT_EQ(Ask(Get("/store/k?consistency=linearizable")).Header("X-Arima-Staleness-Ms"), "");
}

TEST_F(HttpServerTest, TimeoutsReachTheService) {
  Ask(PutBytes("/store/k", "v"));
  EXPECT_EQ(kv_.last_timeout_ms(), 5000u);
  Ask(PutBytes("/store/k?timeout=250ms", "v"));
  EXPECT_EQ(kv_.last_timeout_ms(), 250u);
  Ask(Get("/store/k?timeout=2s&consistency=linearizable"));
  EXPECT_EQ(kv_.last_timeout_ms(), 2000u);
  Ask(PostJson("/raft/join", R"({"node_id":"n2","raft_address":"127.0.0.1:1112"})"));
  EXPECT_EQ(cluster_.join_request.timeout_ms, 30'000u);
  for (const char* bad : {"5", "0", "0ms", "-1s", "", "1h", "abc", "5%20s"}) {
    const ClientAnswer answer = Ask(Get("/store/k?timeout=" + std::string(bad)));
    EXPECT_EQ(answer.status, 400) << bad;
    EXPECT_THAT(answer.body, HasSubstr("between 1ms and 10m"));
  }
}

TEST_F(HttpServerTest, UnknownParametersAreRefused) {
  for (const char* target :
       {"/store/k?ttl=5s", "/store/k?consistency=fast", "/store/k?Timeout=5s", "/livez?x",
        "/store/k?timeout=1s&timeout=2s", "/store/k?consistency=%zz"}) {
    const ClientAnswer answer = Ask(Get(target));
    EXPECT_EQ(answer.status, 400) << target;
    EXPECT_THAT(answer.body, HasSubstr("\"code\":\"bad_"));
  }
  EXPECT_EQ(Ask(PutBytes("/store/k?consistency=stale", "v")).status, 400);
}

TEST_F(HttpServerTest, ServiceErrorsBecomeTheDocumentedAnswers) {
  struct Row {
    Code code;
    int status;
    std::string_view outcome;
    std::string_view retry_after;
  };
  const Row rows[] = {
      {Code::kUnavailable, 503, "not_applied", "1"},   {Code::kOverloaded, 429, "not_applied", "1"},
      {Code::kOutcomeUnknown, 504, "unknown", ""},     {Code::kDiskFull, 507, "not_applied", ""},
      {Code::kRemoved, 410, "not_applied", ""},        {Code::kTooLarge, 413, "", ""},
      {Code::kInvalidArgument, 400, "", ""},           {Code::kCorruption, 500, "unknown", ""},
      {Code::kPeerUnreachable, 502, "not_applied", ""}};
  for (const Row& row : rows) {
    for (const std::string& request :
         {PutBytes("/store/k", "v"), PostJson("/store", R"({"key":"k","value":"v"})"),
          Request("DELETE /store/k")}) {
      kv_.FailNext({row.code, "what was tried"});
      const ClientAnswer answer = Ask(request);
      EXPECT_EQ(answer.status, row.status);
      EXPECT_EQ(answer.Header("Retry-After"), row.retry_after);
      const boost::json::object body = boost::json::parse(answer.body).as_object();
      EXPECT_EQ(body.at("error").as_string(), "what was tried");
      EXPECT_EQ(body.at("code").as_string(), CodeName(row.code));
      if (row.outcome.empty()) {
        EXPECT_FALSE(body.contains("outcome"));
      } else {
        EXPECT_EQ(body.at("outcome").as_string(), row.outcome);
      }
    }
  }
  kv_.FailNext({Code::kUnavailable, "no leader for 5s"});
  const ClientAnswer read = Ask(Get("/store/k"));
  EXPECT_EQ(read.status, 503);
  EXPECT_EQ(read.body, R"({"error":"no leader for 5s","code":"unavailable"})");
  EXPECT_EQ(read.Header("Retry-After"), "1");
}

TEST_F(HttpServerTest, CallThatTheServiceForgetsIsAnsweredUnknown) {
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(PutBytes("/store/k", "v"));
  kv_.WaitForHeld(1);
  kv_.DropHeld();
  const ClientAnswer answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 504);
  EXPECT_THAT(answer.body, HasSubstr("\"outcome\":\"unknown\""));
}

TEST_F(HttpServerTest, RemovedNodeAnswers410OnStoreAndKeepsTheRest) {
  cluster_.SetView({"n1", "", "", 1, true, ""});
  for (const std::string& request :
       {Get("/store/k"), Get("/store/k?consistency=stale"), PutBytes("/store/k", "v"),
        PostJson("/store", R"({"key":"k","value":"v"})"), Request("DELETE /store/k")}) {
    const ClientAnswer answer = Ask(request);
    EXPECT_EQ(answer.status, 410) << request;
    EXPECT_THAT(answer.body, HasSubstr("\"code\":\"removed\""));
  }
  EXPECT_EQ(Ask(Get("/livez")).status, 200);
  EXPECT_EQ(Ask(Get("/metrics")).status, 200);
  EXPECT_EQ(Ask(Get("/raft/stats")).status, 200);
}

TEST_F(HttpServerTest, MembershipRoutesAnswerAsPublished) {
  const ClientAnswer join =
      Ask(PostJson("/raft/join", R"({ "node_id": "n2", "raft_address": "127.0.0.1:1112" })"));
  EXPECT_EQ(join.status, 200);
  EXPECT_EQ(join.body, R"({"message":"node n2 at 127.0.0.1:1112 joined successfully",)"
                       R"("data":{"state":"Leader","term":"2"}})");
  EXPECT_EQ(cluster_.join_request.node_id, "n2");
  EXPECT_EQ(cluster_.join_request.raft_address, "127.0.0.1:1112");

  cluster_.caught_up = false;
  const ClientAnswer slow =
      Ask(PostJson("/raft/join?timeout=1s", R"({"raft_address":"127.0.0.2:1113","node_id":"n3"})"));
  EXPECT_EQ(slow.status, 202);
  EXPECT_EQ(slow.body, R"({"message":"node n3 at 127.0.0.2:1113 is catching up",)"
                       R"("data":{"state":"Leader","term":"2"}})");
  EXPECT_EQ(cluster_.join_request.timeout_ms, 1000u);

  const ClientAnswer removed = Ask(PostJson("/raft/remove", R"({"node_id":"n2"})"));
  EXPECT_EQ(removed.status, 200);
  EXPECT_EQ(removed.body,
            R"({"message":"node n2 removed successfully","data":{"state":"Leader","term":"2"}})");
  EXPECT_FALSE(cluster_.remove_request.force);
  Ask(PostJson("/raft/remove", R"({"node_id":"n2","force":true})"));
  EXPECT_TRUE(cluster_.remove_request.force);

  const ClientAnswer stats = Ask(Get("/raft/stats"));
  EXPECT_EQ(stats.body,
            R"({"message":"Here is the raft status","data":{"state":"Leader","term":"2"}})");
}

TEST_F(HttpServerTest, ATransferAnswersWhoLeadsNow) {
  const ClientAnswer moved = Ask(PostJson("/raft/transfer", R"({"node_id":"n2"})"));
  EXPECT_EQ(moved.status, 200);
  EXPECT_EQ(moved.body,
            R"({"message":"leadership transferred to n2","data":{"state":"Leader","term":"2"}})");
  EXPECT_EQ(cluster_.transfer_request->node_id, "n2");
  EXPECT_EQ(cluster_.transfer_request->timeout_ms, 5000u) << "not the long one of a join";
  cluster_.moved = false;
  EXPECT_THAT(Ask(PostJson("/raft/transfer?timeout=7s", R"({"node_id":"n2"})")).body,
              HasSubstr(R"("message":"node n2 leads already")"));
  EXPECT_EQ(cluster_.transfer_request->timeout_ms, 7000u);
  EXPECT_EQ(Ask(PostJson("/raft/transfer", "{}")).status, 200);
  EXPECT_EQ(cluster_.transfer_request->node_id, "") << "any voter";

  cluster_.transfer_request.reset();
  for (const char* body : {R"({"node_id":""})", R"({"node_id":null})", R"({"node_id":2})",
                           R"({"node":"n2"})", R"([])"}) {
    EXPECT_EQ(Ask(PostJson("/raft/transfer", body)).status, 400) << body;
  }
  EXPECT_FALSE(cluster_.transfer_request.has_value());
  cluster_.error = Error{Code::kUnavailable, "leadership stays with n1"};
  const ClientAnswer stays = Ask(PostJson("/raft/transfer", R"({"node_id":"n2"})"));
  EXPECT_EQ(stays.status, 503);
  EXPECT_THAT(stays.body, HasSubstr("leadership stays with n1"));
}

TEST_F(HttpServerTest, MembersAreAListWithWhatTheLeaderKnows) {
  EXPECT_EQ(Ask(Get("/raft/members")).body, R"({"message":"Here are the members","data":[]})");
  service::MemberView leader{1, "n1", "127.0.0.1:1111", "127.0.0.1:2221", "voter", true, 0, {}};
  service::MemberView learner{4,
                              "n2",
                              "127.0.0.1:1112",
                              "",
                              "learner",
                              false,
                              2,
                              service::MemberProgress{7, 8, "probe", "12.5ms", true, false}};
  cluster_.members = {leader, learner};
  const ClientAnswer answer = Ask(Get("/raft/members"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            R"({"message":"Here are the members","data":[)"
            R"({"id":"1","name":"n1","raft_address":"127.0.0.1:1111",)"
            R"("http_address":"127.0.0.1:2221","role":"voter","is_leader":true},)"
            R"({"id":"4","name":"n2","raft_address":"127.0.0.1:1112","http_address":"",)"
            R"("role":"learner","is_leader":false,"replaces":"2","match":"7","next":"8",)"
            R"("state":"probe","last_contact":"12.5ms","reachable":true,"damaged":false}]})");
}

TEST_F(HttpServerTest, MembershipErrorsKeepTheirStatus) {
  const std::pair<Code, int> rows[] = {
      {Code::kPeerUnreachable, 502}, {Code::kConflict, 409},       {Code::kNotFound, 404},
      {Code::kUnavailable, 503},     {Code::kOutcomeUnknown, 504}, {Code::kInvalidArgument, 400}};
  for (const auto& [code, status] : rows) {
    cluster_.error = Error{code, "details"};
    EXPECT_EQ(Ask(PostJson("/raft/join", R"({"node_id":"n2","raft_address":"h:1"})")).status,
              status);
    EXPECT_EQ(Ask(PostJson("/raft/remove", R"({"node_id":"n2"})")).status, status);
    EXPECT_EQ(Ask(PostJson("/raft/transfer", R"({"node_id":"n2"})")).status, status);
  }
  cluster_.error.reset();
  for (const char* body : {R"({"node_id":"n2"})", R"({"raft_address":"h:1"})", R"({})",
                           R"({"node_id":2,"raft_address":"h:1"})",
                           R"({"node_id":"n2","raft_address":"h:1","x":""})"}) {
    EXPECT_EQ(Ask(PostJson("/raft/join", body)).status, 400) << body;
  }
}

TEST_F(HttpServerTest, OperatingRoutesTellHowTheNodeIs) {
  EXPECT_EQ(Ask(Get("/livez")).body, R"({"status":"ok"})");
  EXPECT_EQ(Ask(Get("/version")).body, R"({"name":"arima","version":"1.2.3"})");
  EXPECT_EQ(Ask(Get("/readyz")).body, R"({"status":"ok"})");
  EXPECT_EQ(Ask(Get("/readyz?verbose")).body,
            R"({"status":"ok","checks":[{"name":"leader_known","ok":true,"detail":""},)"
            R"({"name":"log_writable","ok":true,"detail":""}]})");
  cluster_.checks[0] = {"leader_known", false, "no leader for 3s"};
  const ClientAnswer down = Ask(Get("/readyz"));
  EXPECT_EQ(down.status, 503);
  EXPECT_EQ(down.body, R"({"error":"this node is not ready: leader_known: no leader for 3s",)"
                       R"("code":"not_ready"})");
  EXPECT_THAT(Ask(Get("/readyz?verbose")).body,
              HasSubstr(R"({"name":"log_writable","ok":true,"detail":""})"));
  EXPECT_EQ(Ask(Get("/livez")).status, 200) << "never fails for want of a leader";
}

TEST_F(HttpServerTest, MetricsShowTheNodesFiguresAndTheServersOwn) {
  cluster_.metrics = {{"arima_raft_term", "Current term.", false, 7, {}},
                      {"arima_raft_messages_total", "Messages sent.", true, 3, {{"kind", "vote"}}},
                      {"arima_raft_messages_total", "Messages sent.", true, 4, {{"kind", "app"}}}};
  Ask(Get("/store/none"));
  const ClientAnswer answer = Ask(Get("/metrics"));
  EXPECT_EQ(answer.Header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body, HasSubstr("# TYPE arima_raft_term gauge\narima_raft_term 7\n"));
  EXPECT_THAT(answer.body, HasSubstr("arima_raft_messages_total{kind=\"vote\"} 3\n"
                                     "arima_raft_messages_total{kind=\"app\"} 4\n"));
  EXPECT_THAT(answer.body,
              HasSubstr("arima_http_requests_total{route=\"/store/:key\",method=\"GET\","
                        "code=\"404\"} 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("arima_http_request_duration_seconds_count{route=\"/store/"
                                     ":key\",method=\"GET\"} 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("le=\"+Inf\"} 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("arima_http_connections_opened_total 2\n"));
}

TEST_F(HttpServerTest, UnknownRoutesAndMethodsSayWhatThereIs) {
  const ClientAnswer nowhere = Ask(Get("/nowhere"));
  EXPECT_EQ(nowhere.status, 404);
  EXPECT_THAT(nowhere.body, HasSubstr("\"code\":\"route_not_found\""));
  const ClientAnswer method = Ask(Request("PATCH /store/k"));
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.Header("Allow"), "GET, HEAD, PUT, DELETE");
  EXPECT_EQ(Ask(Request("DELETE /store")).status, 405);
  EXPECT_EQ(Ask(Get("/raft/join")).Header("Allow"), "POST");
  EXPECT_EQ(Ask(Request("OPTIONS /livez")).status, 405);
  const ClientAnswer list = Ask(Get("/store?prefix=a"));
  EXPECT_EQ(list.status, 501);
  EXPECT_THAT(list.body, HasSubstr("\"code\":\"not_supported\""));
  EXPECT_EQ(Ask(Get("/store/")).status, 501);
}

TEST_F(HttpServerTest, PostTakesJsonOnlyAndSaysWhichHeaderToAdd) {
  const std::string body = R"({"key":"k","value":"v"})";
  for (const char* header : {"", "Content-Type: text/plain\r\n",
                             "Content-Type: application/x-www-form-urlencoded\r\n"}) {
    const ClientAnswer answer = Ask(Request("POST /store", header, body));
    EXPECT_EQ(answer.status, 415);
    EXPECT_THAT(answer.body, HasSubstr("add the header Content-Type: application/json"));
  }
  EXPECT_EQ(Ask(Request("POST /store", "Content-Type: application/vnd.x+json\r\n", body)).status,
            200);
  EXPECT_EQ(Ask(PutBytes("/store/k", "zipped", "Content-Encoding: gzip\r\n")).status, 415);
}

TEST_F(HttpServerTest, BodiesOfPostThatAreWrongAre400WithTheReason) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {R"({"key":"k"})", "member \\\"value\\\" is missing"},
      {R"({"value":"v"})", "member \\\"key\\\" is missing"},
      {R"({"key":"k","value":"v","ttl":"5s"})", "unknown member"},
      {R"({"key":"k","value":"v","value":"w"})", "comes twice"},
      {R"({"key":"k","value":1})", "must be a string"},
      {R"({"key":"k","value":null})", "must be a string"},
      {R"({"key":"k","value":{"a":1}})", "must be a string"},
      {R"({"key":"","value":"v"})", "the key is empty"},
      {R"({"key":"k","key_base64":"aw==","value":"v"})", "exclude each other"},
      {R"({"key_base64":"aw=","value":"v"})", "is not base64"},
      {R"(["key","value"])", "must be a JSON object"},
      {R"({"key":"k","value":"v"} {})", "not valid JSON"},
      {R"({"key":"k","value":"v")", "it ends too early"},
      {"not json", "not valid JSON"},
      {"{\"key\":\"k\",\"value\":\"\xFF\"}", "not valid JSON"}};
  for (const auto& [body, reason] : rows) {
    const ClientAnswer answer = Ask(PostJson("/store", body));
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(answer.body, HasSubstr(reason)) << body;
    boost::json::parse(answer.body);  // throws when it is not JSON
  }
  EXPECT_EQ(
      Ask(Request("POST /store", "Content-Type: application/json\r\nContent-Length: 0\r\n")).status,
      400);
  EXPECT_EQ(Ask(Get("/store/k")).status, 404) << "nothing was written";
}

TEST_F(HttpServerTest, ListensOnBothLoopbackAddressesAndOnNothingElse) {
  const auto listen = [this](std::string address, uint16_t port) {
    HttpOptions options;
    options.address = std::move(address);
    options.port = port;
    return HttpServer::Start(options, kv_, cluster_);
  };
  const Result<std::unique_ptr<HttpServer>> again = listen("", server_->port());
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Code::kIo);
  EXPECT_EQ(again.error().message, "cannot listen on 127.0.0.1:" + std::to_string(server_->port()) +
                                       " for HTTP: Address already in use");
  const Result<std::unique_ptr<HttpServer>> nameless = listen("no such host", 0);
  ASSERT_FALSE(nameless.has_value());
  EXPECT_THAT(nameless.error().message, StartsWith("cannot listen on no such host for HTTP"));
  EXPECT_TRUE(listen("127.0.0.1", 0).has_value());
}

TEST_F(HttpServerTest, Ipv6LoopbackIsServedToo) {
  const int probe = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool has_ipv6 =
      ::bind(probe, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) == 0;
  ::close(probe);
  if (!has_ipv6) GTEST_SKIP() << "this machine has no ::1";
  EXPECT_EQ(TestClient::OverIpv6(server_->port())->Exchange(Get("/livez")).status, 200);
}

TEST_F(HttpServerTest, AbsoluteFormAndHttp10AreUnderstood) {
  EXPECT_EQ(Ask("GET http://localhost:2221/livez HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  TestClient once(server_->port());
  const ClientAnswer answer = once.Exchange("GET /livez HTTP/1.0\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_TRUE(once.AtEnd());
  TestClient kept(server_->port());
  EXPECT_EQ(
      kept.Exchange("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").Header("Connection"),
      "keep-alive");
  EXPECT_EQ(kept.Exchange(Get("/livez")).Header("Connection"), "");
  EXPECT_EQ(kept.Exchange(Get("/livez", "Connection: close\r\n")).Header("Connection"), "close");
  EXPECT_TRUE(kept.AtEnd());
}

}  // namespace
}  // namespace arima::http
