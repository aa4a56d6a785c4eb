// Malformed, oversized, slow and broken clients: each gets a clear answer and costs nothing
// lasting.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/http_server.h"
#include "http/test_peer.h"

namespace arima::http {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class HttpLimitsTest : public testing::Test {
 protected:
  void Start(HttpOptions options = {}) {
    options.port = 0;
    Result<std::unique_ptr<HttpServer>> server = HttpServer::Start(options, kv_, cluster_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
  }
  void TearDown() override {
    if (!server_) return;
    EXPECT_EQ(TestClient(server_->port()).Exchange(Get("/livez")).status, 200) << "still alive";
    server_->Stop(1'000);
  }
  ClientAnswer Ask(std::string_view request) {
    return TestClient(server_->port()).Exchange(request);
  }

  // Asks until the server's own figure has the value; the client's time limit bounds it.
  void WaitForMetric(std::string_view line) {
    TestClient client(server_->port());
    for (;;) {
      const ClientAnswer answer = client.Exchange(Get("/metrics"));
      ASSERT_EQ(answer.status, 200);
      if (answer.body.find(line) != std::string::npos) return;
    }
  }

  FakeKv kv_;
  FakeCluster cluster_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpLimitsTest, MalformedRequestsGetAStatusAndTheConnectionCloses) {
  Start();
  const std::string host = "Host: h\r\n";
  const std::string chunked =
      "PUT /store/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  struct Row {
    std::string name;
    std::string request;
    int status;
  };
  const Row rows[] = {
      {"garbage", "GARBAGE\r\n\r\n", 400},
      {"nothing but a method", "GET \r\n\r\n", 400},
      {"no version", "GET /livez\r\n" + host + "\r\n", 400},
      {"HTTP/2", "GET /livez HTTP/2.0\r\n" + host + "\r\n", 505},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"HTTP/0.9", "GET /livez HTTP/0.9\r\n" + host + "\r\n", 505},
      {"version of another protocol", "GET /livez HTTPS/1.1\r\n" + host + "\r\n", 505},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n", 15), 400},
      {"no Host", "GET /livez HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET /livez HTTP/1.1\r\n" + host + host + "\r\n", 400},
      {"space in target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 505},
      {"control character in target", "GET /a\x01 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"tab instead of space", "GET\t/livez HTTP/1.1\r\n" + host + "\r\n", 400},
      {"leading space", " GET /livez HTTP/1.1\r\n" + host + "\r\n", 400},
      {"space before colon", "GET /livez HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"no colon", "GET /livez HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", 400},
      {"empty field name", "GET /livez HTTP/1.1\r\n" + host + ": x\r\n\r\n", 400},
      {"NUL in a field", "GET /livez HTTP/1.1\r\n" + host + std::string("X: a\0b\r\n\r\n", 10),
       400},
      {"control in a field",
       "GET /livez HTTP/1.1\r\n" + host +
           "X: a\x02"
           "b\r\n\r\n",
       400},
      {"bare line feeds", "GET /livez HTTP/1.1\nHost: h\n\n\r\n\r\n", 505},
      {"length is no number", "PUT /store/k HTTP/1.1\r\n" + host + "Content-Length: abc\r\n\r\n",
       400},
      {"negative length", "PUT /store/k HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
      {"length beyond 64 bits",
       "PUT /store/k HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"two lengths",
       "PUT /store/k HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
       400},
      {"length and chunked",
       "PUT /store/k HTTP/1.1\r\n" + host +
           "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"chunked and length",
       "PUT /store/k HTTP/1.1\r\n" + host +
           "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
       400},
      {"gzip transfer coding",
       "PUT /store/k HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
       501},
      {"chunked not last",
       "PUT /store/k HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
       501},
      {"chunked with HTTP/1.0",
       "PUT /store/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
      {"chunk size is no number", chunked + "xyz\r\nabc\r\n0\r\n\r\n", 400},
      {"chunk longer than said", chunked + "1\r\nabc\r\n0\r\n\r\n", 400},
      {"chunk size beyond 64 bits", chunked + "11111111111111111\r\n", 400},
      {"unknown expectation",
       "PUT /store/k HTTP/1.1\r\n" + host + "Expect: a-miracle\r\nContent-Length: 1\r\n\r\nx", 417},
  };
  for (const Row& row : rows) {
    TestClient client(server_->port());
    client.Send(row.request);
    const ClientAnswer answer = client.ReadAnswer();
    EXPECT_EQ(answer.status, row.status) << row.name;
    EXPECT_EQ(answer.Header("Connection"), "close") << row.name;
    EXPECT_THAT(answer.body, StartsWith("{\"error\":\"")) << row.name;
    EXPECT_TRUE(client.AtEnd()) << row.name;
  }
  EXPECT_EQ(Ask(Get("/store/k")).status, 404) << "nothing was written";
}

TEST_F(HttpLimitsTest, BadTargetsAre400AndTheConnectionGoesOn) {
  Start();
  TestClient client(server_->port());
  for (const char* target : {"/store/%", "/store/%4", "/store/%zz", "/store/a#b", "*", "store/k",
                             "/store/k?timeout=%", "ftp://h/store/k"}) {
    EXPECT_EQ(client.Exchange(Get(target)).status, 400) << target;
  }
  EXPECT_EQ(client.Exchange(Get("/livez")).status, 200);
}

TEST_F(HttpLimitsTest, KeysHoldOneByteTo4KiB) {
  Start();
  const std::string longest(4096, 'k');
  EXPECT_EQ(Ask(PutBytes("/store/" + longest, "v")).status, 200);
  EXPECT_EQ(Ask(Get("/store/" + longest)).status, 200);
  const ClientAnswer path = Ask(Get("/store/" + longest + "k"));
  EXPECT_EQ(path.status, 414);
  EXPECT_THAT(path.body, HasSubstr("at most 4096"));
  const ClientAnswer json =
      Ask(PostJson("/store", "{\"key\":\"" + longest + "k\",\"value\":\"\"}"));
  EXPECT_EQ(json.status, 413);
  EXPECT_THAT(json.body, HasSubstr("4096 bytes"));
  // Percent-encoded, the longest key just fits the target.
  std::string encoded;
  for (int i = 0; i < 4096; ++i) encoded += "%01";
  EXPECT_EQ(Ask(PutBytes("/store/" + encoded, "v")).status, 200);
}

TEST_F(HttpLimitsTest, HeadAndTargetBeyondTheirLimitsAre431And414) {
  Start();
  EXPECT_EQ(Ask(Get("/livez", "X: " + std::string(33'000, 'x') + "\r\n")).status, 431);
  std::string many;
  for (int i = 0; i < 4000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(Ask(Get("/livez", many)).status, 431);
  EXPECT_EQ(Ask(Get("/store/" + std::string(17'000, 'k'))).status, 414);
  EXPECT_EQ(Ask("GET /" + std::string(40'000, 'k')).status, 414);
  EXPECT_EQ(Ask(Get("/livez", "X: " + std::string(30'000, 'x') + "\r\n")).status, 200);
}

TEST_F(HttpLimitsTest, ValuesBeyondTheLimitAre413NamingTheFlag) {
  HttpOptions options;
  options.value_bytes_max = 1000;
  options.body_bytes_max = 3000;
  Start(options);
  const std::string fits(1000, 'v');
  EXPECT_EQ(Ask(PutBytes("/store/k", fits)).status, 200);
  const ClientAnswer put = Ask(PutBytes("/store/k", fits + "v"));
  EXPECT_EQ(put.status, 413);
  EXPECT_THAT(put.body, HasSubstr("1000B (--max-value-bytes)"));

  EXPECT_EQ(Ask(PostJson("/store", "{\"key\":\"k\",\"value\":\"" + fits + "\"}")).status, 200);
  const ClientAnswer post = Ask(PostJson("/store", "{\"key\":\"k\",\"value\":\"" + fits + "v\"}"));
  EXPECT_EQ(post.status, 413);
  EXPECT_THAT(post.body, HasSubstr("--max-value-bytes"));
  EXPECT_EQ(
      Ask(PostJson("/store", "{\"key\":\"k\",\"value_base64\":\"" + std::string(1336, 'A') + "\"}"))
          .status,
      413)
      << "1002 bytes";
  const ClientAnswer body = Ask(PostJson("/store", std::string(3001, ' ')));
  EXPECT_EQ(body.status, 413);
  EXPECT_THAT(body.body, HasSubstr("--max-body-bytes"));
  EXPECT_EQ(Ask(PostJson("/raft/join", std::string(70'000, ' '))).status, 413);
}

TEST_F(HttpLimitsTest, OversizedBodyIsRefusedBeforeItIsSent) {
  Start();
  for (const char* expect : {"", "Expect: 100-continue\r\n"}) {
    TestClient client(server_->port());
    client.Send(Request("POST /store",
                        "Content-Type: application/json\r\nContent-Length: 33554432"
                        "\r\n" +
                            std::string(expect)));
    const ClientAnswer answer = client.ReadAnswer();
    EXPECT_EQ(answer.status, 413) << "not 100";
    EXPECT_EQ(answer.Header("Connection"), "close");
  }
}

TEST_F(HttpLimitsTest, ClientThatSendsOnSeesThe413BecauseTheRestIsDrained) {
  HttpOptions options;
  options.drain_bytes_max = 4 << 20;
  Start(options);
  TestClient client(server_->port());
  client.Send("PUT /store/k HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
  EXPECT_TRUE(client.Send(std::string(2'000'000, 'x')));
  EXPECT_EQ(client.ReadAnswer().status, 413);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpLimitsTest, DrainingEndsAfterItsBytesOrItsTime) {
  HttpOptions options;
  options.drain_bytes_max = 1000;
  options.drain_ms_max = 50;
  Start(options);
  TestClient endless(server_->port());
  endless.Send("PUT /store/k HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
  while (endless.Send(std::string(100'000, 'x'))) {
  }
  TestClient silent(server_->port());
  silent.Send("GARBAGE\r\n\r\n");
  EXPECT_EQ(silent.ReadAnswer().status, 400);
  WaitForMetric("arima_http_connections 1\n");
}

TEST_F(HttpLimitsTest, ChunkedBodyIsCountedAsItArrives) {
  HttpOptions options;
  options.value_bytes_max = 10;
  Start(options);
  const std::string head = "PUT /store/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(Ask(head + "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n").status, 200);
  EXPECT_EQ(Ask(head + "5\r\nhello\r\n6\r\nworlds\r\n0\r\n\r\n").status, 413);
  EXPECT_EQ(Ask(Get("/store/k", "Accept: application/octet-stream\r\n")).body, "helloworld");
}

TEST_F(HttpLimitsTest, BodyWithoutALengthIs411) {
  Start();
  TestClient client(server_->port());
  EXPECT_EQ(client.Exchange(Request("PUT /store/k")).status, 411);
  EXPECT_EQ(client.Exchange(Request("POST /store", "Content-Type: application/json\r\n")).status,
            411);
  EXPECT_EQ(client.Exchange(Get("/store/k")).status, 404);
}

TEST_F(HttpLimitsTest, ContinueIsSentWhenTheBodyIsWanted) {
  Start();
  TestClient client(server_->port());
  client.Send(
      "PUT /store/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 100);
  client.Send("hello");
  EXPECT_EQ(client.ReadAnswer().status, 200);
  // A client that does not wait gets no 100.
  client.Send(
      "PUT /store/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
      "Expect: 100-continue\r\n\r\nworld");
  EXPECT_EQ(client.ReadAnswer().status, 200);
  // A refusal comes instead of the 100.
  client.Send(
      "PUT /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 404);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpLimitsTest, SmallBodyOfARefusedRequestIsSkipped) {
  Start();
  TestClient client(server_->port());
  EXPECT_EQ(client.Exchange(PostJson("/nowhere", "{\"GET /livez HTTP/1.1\":1}")).status, 404);
  EXPECT_EQ(client.Exchange(Request("DELETE /store/k", "", std::string(1000, 'x'))).status, 200);
  EXPECT_EQ(client.Exchange(PutBytes("/store/k", "v", "Content-Encoding: gzip\r\n")).status, 415);
  EXPECT_EQ(client.Exchange(Get("/livez")).status, 200);
}

TEST_F(HttpLimitsTest, SlowHeadIs408) {
  HttpOptions options;
  options.head_timeout_ms = 50;
  Start(options);
  TestClient client(server_->port());
  client.Send("GET /livez HTTP/1.1\r\nHos");
  const ClientAnswer answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpLimitsTest, SlowBodyIs408) {
  HttpOptions options;
  options.transfer_grace_ms = 50;
  Start(options);
  TestClient client(server_->port());
  client.Send("PUT /store/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhello");
  EXPECT_EQ(client.ReadAnswer().status, 408);
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(Ask(Get("/store/k")).status, 404) << "nothing was written";
}

TEST_F(HttpLimitsTest, IdleConnectionIsClosedWithoutAWord) {
  HttpOptions options;
  options.idle_timeout_ms = 50;
  Start(options);
  TestClient fresh(server_->port());
  EXPECT_TRUE(fresh.AtEnd());
  TestClient used(server_->port());
  EXPECT_EQ(used.Exchange(Get("/livez")).status, 200);
  EXPECT_TRUE(used.AtEnd());
}

TEST_F(HttpLimitsTest, WaitingForTheServiceIsNotIdle) {
  HttpOptions options;
  options.idle_timeout_ms = 20;
  options.head_timeout_ms = 20;
  Start(options);
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(PutBytes("/store/k", "v"));
  kv_.WaitForHeld(1);
  // Another connection that does idle, started later, is gone before this one is answered.
  EXPECT_TRUE(TestClient(server_->port()).AtEnd());
  kv_.StopHolding();
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(HttpLimitsTest, ClientThatTakesNoAnswersIsDropped) {
  HttpOptions options;
  options.transfer_grace_ms = 50;
  options.transfer_bytes_per_second_min = 1 << 30;
  Start(options);
  Ask(PutBytes("/store/large", std::string(1'500'000, 'v')));
  TestClient lazy(server_->port(), 4096);
  for (int i = 0; i < 20; ++i) lazy.Send(Get("/store/large"));
  WaitForMetric("arima_http_connections 1\n");
}

TEST_F(HttpLimitsTest, ConnectionsBeyondTheLimitAreTold503) {
  HttpOptions options;
  options.connections_max = 2;
  Start(options);
  auto first = std::make_unique<TestClient>(server_->port());
  TestClient second(server_->port());
  EXPECT_EQ(first->Exchange(Get("/livez")).status, 200);
  EXPECT_EQ(second.Exchange(Get("/livez")).status, 200);
  TestClient third(server_->port());
  const ClientAnswer refused = third.ReadAnswer();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Header("Retry-After"), "1");
  EXPECT_THAT(refused.body, HasSubstr("--max-connections"));
  EXPECT_TRUE(third.AtEnd());
  first.reset();
  // The place becomes free when the server has seen the end of the first.
  int status = 0;
  while (status != 200) {
    status = Ask(Get("/livez")).status;
    ASSERT_TRUE(status == 200 || status == 503 || status == 0);
  }
  second.Close();
  while (Ask(Get("/livez")).status != 200) {
  }
}

TEST_F(HttpLimitsTest, BytesOfRequestsBeingReadAreBoundedForAllConnectionsTogether) {
  HttpOptions options;
  options.held_body_bytes_max = 10'000;
  Start(options);
  kv_.Hold();
  TestClient first(server_->port());
  first.Send(PutBytes("/store/k", std::string(8'000, 'v')));
  kv_.WaitForHeld(1);
  const ClientAnswer refused = Ask(PutBytes("/store/l", std::string(8'000, 'v')));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.Header("Retry-After"), "1");
  EXPECT_THAT(refused.body, HasSubstr("\"outcome\":\"not_applied\""));
  kv_.StopHolding();
  EXPECT_EQ(first.ReadAnswer().status, 200);
  first.Close();
  EXPECT_EQ(Ask(PutBytes("/store/l", std::string(8'000, 'v'))).status, 200);

  // A client that goes away gives its share back too.
  kv_.Hold();
  TestClient gone(server_->port());
  gone.Send(PutBytes("/store/k", std::string(8'000, 'v')));
  kv_.WaitForHeld(1);
  gone.Reset();
  WaitForMetric("arima_http_connections 1\n");
  kv_.StopHolding();
  while (Ask(PutBytes("/store/l", std::string(8'000, 'v'))).status != 200) {
  }
}

TEST_F(HttpLimitsTest, BrokenClientsLeaveNothingBehind) {
  Start();
  kv_.Hold();
  for (std::string_view sent : {"", "G", "GET /store/k HTTP/1.1\r\n", "\r\n\r\n"}) {
    TestClient closes(server_->port());
    closes.Send(sent);
    closes.Close();
    TestClient resets(server_->port());
    resets.Send(sent);
    resets.Reset();
  }
  {
    TestClient waits(server_->port());
    waits.Send(PutBytes("/store/a", "v"));
    kv_.WaitForHeld(1);
    waits.Reset();
  }
  {
    TestClient mid_body(server_->port());
    mid_body.Send("PUT /store/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf");
    mid_body.Reset();
  }
  WaitForMetric("arima_http_connections 1\n");
  kv_.StopHolding();
  EXPECT_EQ(Ask(Get("/store/a")).status, 200) << "the write of the client that went away";
}

}  // namespace
}  // namespace arima::http
