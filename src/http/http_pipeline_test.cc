// Pipelining, half-closed connections, completions from other threads, stopping.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "http/http_server.h"
#include "http/test_peer.h"

namespace arima::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HttpPipelineTest : public testing::Test {
 protected:
  void Start(HttpOptions options = {}) {
    options.port = 0;
    Result<std::unique_ptr<HttpServer>> server = HttpServer::Start(options, kv_, cluster_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
  }
  void TearDown() override {
    if (server_) server_->Stop(1'000);
  }

  FakeKv kv_;
  FakeCluster cluster_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpPipelineTest, AnswersComeInTheOrderOfRequests) {
  Start();
  TestClient client(server_->port());
  std::string requests;
  for (int i = 0; i < 300; ++i) {
    const std::string n = std::to_string(i);
    switch (i % 4) {
      case 0:
        requests += PutBytes("/store/k" + n, "v" + n);
        break;
      case 1:
        requests += Get("/store/k" + std::to_string(i - 1));
        break;
      case 2:
        requests += Get("/nowhere/" + n);
        break;
      default:
        requests += Get("/store/k" + std::to_string(i - 3) + "?consistency=stale");
        break;
    }
  }
  client.Send(requests);
  for (int i = 0; i < 300; ++i) {
    const ClientAnswer answer = client.ReadAnswer();
    ASSERT_EQ(answer.status, i % 4 == 2 ? 404 : 200) << i;
    const std::string shown =
        i % 4 == 2 ? "/nowhere/" + std::to_string(i) : "\"v" + std::to_string(i - i % 4) + "\"";
    ASSERT_THAT(answer.body, HasSubstr(shown)) << i;
  }
}

TEST_F(HttpPipelineTest, WritesRunTogetherAndAreAnsweredInOrder) {
  Start();
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(PutBytes("/store/a", "1") + PutBytes("/store/b", "2") + PutBytes("/store/c", "3"));
  EXPECT_THAT(kv_.WaitForHeld(3), ElementsAre("put a", "put b", "put c"));
  kv_.Release(2);
  kv_.Release(0);
  kv_.Release(0);
  const char* etags[] = {"\"3\"", "\"4\"", "\"2\""};
  const char* keys[] = {"\"a\"", "\"b\"", "\"c\""};
  for (int i = 0; i < 3; ++i) {
    const ClientAnswer answer = client.ReadAnswer();
    EXPECT_EQ(answer.Header("ETag"), etags[i]) << "c was finished first, then a, then b";
    EXPECT_THAT(answer.body, HasSubstr(keys[i]));
  }
}

TEST_F(HttpPipelineTest, RequestsInWorkAreBoundedPerConnection) {
  HttpOptions options;
  options.pipelined_max = 4;
  Start(options);
  kv_.Hold();
  TestClient client(server_->port());
  std::string requests;
  for (int i = 0; i < 10; ++i) requests += PutBytes("/store/k" + std::to_string(i), "v");
  client.Send(requests);
  kv_.WaitForHeld(4);
  // An answer on another connection shows that the server had time for a fifth.
  EXPECT_EQ(TestClient(server_->port()).Exchange(Get("/livez")).status, 200);
  EXPECT_EQ(kv_.HeldCount(), 4u);
  kv_.Release(0);
  EXPECT_THAT(kv_.WaitForHeld(4), ElementsAre("put k1", "put k2", "put k3", "put k4"));
  kv_.StopHolding();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(HttpPipelineTest, ReadsThatArriveTogetherShareOneBarrier) {
  Start();
  TestClient(server_->port()).Exchange(PutBytes("/store/k", "v"));
  kv_.Hold();
  TestClient client(server_->port());
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += Get("/store/k");
  client.Send(requests);
  kv_.WaitForHeld(1);
  EXPECT_EQ(TestClient(server_->port()).Exchange(Get("/livez")).status, 200);
  EXPECT_LT(kv_.HeldCount(), 20u);
  kv_.StopHolding();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(HttpPipelineTest, FailedBarrierFailsAllReadsThatWaitedForIt) {
  Start();
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(Get("/store/k") + Get("/store/l"));
  const size_t barriers = kv_.WaitForHeld(1).size();
  for (size_t i = 0; i < barriers; ++i) kv_.FailNext({Code::kUnavailable, "no leader"});
  kv_.StopHolding();
  EXPECT_EQ(client.ReadAnswer().status, 503);
  EXPECT_THAT(client.ReadAnswer().status, testing::AnyOf(503, 404));
}

TEST_F(HttpPipelineTest, ReadWaitsForTheWritesBeforeIt) {
  Start();
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(PutBytes("/store/k", "new") + Get("/store/k"));
  EXPECT_THAT(kv_.WaitForHeld(1), ElementsAre("put k"));
  EXPECT_EQ(TestClient(server_->port()).Exchange(Get("/livez")).status, 200);
  EXPECT_EQ(kv_.HeldCount(), 1u) << "no barrier yet";
  kv_.Release(0);
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_THAT(kv_.WaitForHeld(1), ElementsAre("barrier"));
  kv_.StopHolding();
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("\"new\""));
}

TEST_F(HttpPipelineTest, WriteWaitsForTheReadsBeforeIt) {
  Start();
  TestClient client(server_->port());
  client.Exchange(PutBytes("/store/k", "old"));
  kv_.Hold();
  client.Send(Get("/store/k") + PutBytes("/store/k", "new"));
  EXPECT_THAT(kv_.WaitForHeld(1), ElementsAre("barrier"));
  kv_.Release(0);
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("\"old\""));
  EXPECT_THAT(kv_.WaitForHeld(1), ElementsAre("put k"));
  kv_.StopHolding();
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(HttpPipelineTest, HalfClosedClientGetsAllItsAnswers) {
  HttpOptions options;
  options.pipelined_max = 8;
  Start(options);
  TestClient client(server_->port());
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += PutBytes("/store/k" + std::to_string(i), "v");
  client.Send(requests + "GET /store/cut-off HTT");
  client.HalfClose();
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(client.ReadAnswer().body, HasSubstr("\"k" + std::to_string(i) + "\"")) << i;
  }
  EXPECT_TRUE(client.AtEnd()) << "no answer to half a request";
}

TEST_F(HttpPipelineTest, HalfClosedClientWaitsForTheService) {
  Start();
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(PutBytes("/store/k", "v") + Get("/store/k"));
  client.HalfClose();
  kv_.WaitForHeld(1);
  kv_.StopHolding();
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpPipelineTest, NothingIsAnsweredBehindConnectionClose) {
  Start();
  TestClient client(server_->port());
  client.Send(Get("/livez") + Get("/version", "Connection: close\r\n") + Get("/livez"));
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("ok"));
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("arima"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpPipelineTest, MalformedRequestIsAnsweredBehindThoseBeforeIt) {
  Start();
  kv_.Hold();
  TestClient client(server_->port());
  client.Send(PutBytes("/store/k", "v") + "GARBAGE\r\n\r\n" + Get("/livez"));
  kv_.WaitForHeld(1);
  kv_.StopHolding();
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_EQ(client.ReadAnswer().status, 400);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpPipelineTest, EmptyLinesBetweenRequestsAreSkipped) {
  Start();
  TestClient client(server_->port());
  client.Send("\r\n" + Get("/livez") + "\r\n\r\n" + Get("/version"));
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(HttpPipelineTest, RequestsMayArriveByteByByte) {
  Start();
  TestClient client(server_->port());
  const std::string requests = PutBytes("/store/k", "value") + Get("/store/k") +
                               "PUT /store/c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked"
                               "\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n" +
                               Get("/store/c");
  for (char byte : requests) client.Send(std::string_view(&byte, 1));
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("\"value\""));
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("\"abc\""));
}

TEST_F(HttpPipelineTest, LargeAnswersKeepTheirOrderWhenTheSocketIsFull) {
  Start();
  const std::string large(1'000'000, 'x');
  TestClient client(server_->port(), 16 << 10);
  std::string requests = PutBytes("/store/large", large);
  for (int i = 0; i < 20; ++i) requests += Get("/store/large") + Get("/version");
  client.Send(requests);
  EXPECT_EQ(client.ReadAnswer().status, 200);
  for (int i = 0; i < 20; ++i) {
    ASSERT_GT(client.ReadAnswer().body.size(), large.size());
    ASSERT_THAT(client.ReadAnswer().body, HasSubstr("arima"));
  }
}

TEST_F(HttpPipelineTest, CompletionsMayComeFromAnyThread) {
  HttpOptions options;
  options.threads = 3;
  Start(options);
  kv_.Hold();
  constexpr int kClients = 6;
  constexpr int kRequests = 50;
  std::vector<std::thread> finishers;
  std::atomic<int> left = 0;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.push_back(std::make_unique<TestClient>(server_->port()));
    std::string requests;
    for (int i = 0; i < kRequests; ++i) {
      requests += PutBytes("/store/c" + std::to_string(c), "v" + std::to_string(i));
    }
    clients.back()->Send(requests);
  }
  kv_.WaitForHeld(kClients * kRequests);
  left = kClients * kRequests;
  for (int t = 0; t < 3; ++t) {
    finishers.emplace_back([&] {
      while (left.fetch_sub(1) > 0) kv_.Release(0);
    });
  }
  for (const auto& client : clients) {
    for (int i = 0; i < kRequests; ++i) {
      ASSERT_THAT(client->ReadAnswer().body, HasSubstr("\"v" + std::to_string(i) + "\""));
    }
  }
  for (std::thread& finisher : finishers) finisher.join();
}

TEST_F(HttpPipelineTest, ManyClientsOnSeveralThreadsSeeTheirOwnWrites) {
  HttpOptions options;
  options.threads = 3;
  Start(options);
  std::vector<std::thread> clients;
  std::atomic<int> wrong = 0;
  for (uint64_t c = 0; c < 8; ++c) {
    clients.emplace_back([this, c, &wrong] {
      SeededRandom random(c);
      TestClient client(server_->port());
      for (int round = 0; round < 30; ++round) {
        const std::string key = "/store/c" + std::to_string(c) + "-" + std::to_string(round);
        const std::string value(random.Below(3000), 'v');
        const uint64_t reads = random.Between(1, 5);
        std::string requests = PutBytes(key, value);
        for (uint64_t i = 0; i < reads; ++i) {
          requests += Get(key, "Accept: application/octet-stream\r\n");
        }
        client.Send(requests);
        if (client.ReadAnswer().status != 200) ++wrong;
        for (uint64_t i = 0; i < reads; ++i) {
          if (client.ReadAnswer().body != value) ++wrong;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(HttpPipelineTest, StopLetsRequestsInFlightFinish) {
  Start();
  kv_.Hold();
  TestClient idle(server_->port());
  EXPECT_EQ(idle.Exchange(Get("/livez")).status, 200);
  TestClient busy(server_->port());
  busy.Send(PutBytes("/store/a", "v") + PutBytes("/store/b", "v"));
  kv_.WaitForHeld(2);
  std::thread stopper([this] { server_->Stop(20'000); });
  EXPECT_TRUE(idle.AtEnd()) << "idle connections close at once";
  kv_.StopHolding();
  EXPECT_EQ(busy.ReadAnswer().status, 200);
  const ClientAnswer last = busy.ReadAnswer();
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.Header("Connection"), "close");
  EXPECT_TRUE(busy.AtEnd());
  busy.Close();
  stopper.join();
  EXPECT_FALSE(TestClient(server_->port()).connected()) << "nobody listens any more";
}

TEST_F(HttpPipelineTest, StopGivesUpWhenTheTimeIsOver) {
  Start();
  kv_.Hold();
  TestClient stuck(server_->port());
  stuck.Send(PutBytes("/store/a", "v") + PutBytes("/store/b", "v"));
  TestClient reader(server_->port());
  reader.Send(Get("/store/a") + Get("/store/b"));
  kv_.WaitForHeld(3);
  server_->Stop(0);
  EXPECT_EQ(stuck.ReadAnswer().status, 0);
  server_.reset();
  // What comes back now finds nobody and must not touch what is gone.
  kv_.StopHolding();
}

}  // namespace
}  // namespace arima::http
