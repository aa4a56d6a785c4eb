#include "http/request_parser.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace arima::http {
namespace {

class Collector final : public BodySink {
 public:
  bool Write(std::string_view piece) override {
    body.append(piece);
    return true;
  }
  std::string body;
};

// Feeds `bytes`, cut where `cut` says, as a connection would, and tells in one line what was read.
// `cut(offered)` gives how many further bytes arrive.
template <class Cut>
std::string Parse(std::string_view bytes, Cut cut) {
  RequestParser parser;
  Collector sink;
  std::string pending;
  bool head_done = false;
  for (;;) {
    const RequestParser::Step step =
        head_done ? parser.ParseBody(pending, &sink) : parser.ParseHead(pending);
    pending.erase(0, step.consumed);
    if (step.progress == RequestParser::Progress::kFault) {
      return std::to_string(parser.fault().status);
    }
    if (step.progress == RequestParser::Progress::kDone && head_done) break;
    if (step.progress == RequestParser::Progress::kDone) {
      head_done = true;
      continue;
    }
    if (bytes.empty()) return "incomplete";
    const size_t arriving = std::min<size_t>(cut(), bytes.size());
    pending.append(bytes.substr(0, arriving));
    bytes.remove_prefix(arriving);
  }
  const RequestHead& head = parser.head();
  return std::string(MethodName(head.method)) + " " + std::string(head.target) +
         (head.keep_alive ? " keep" : " close") + (head.chunked ? " chunked" : "") +
         (head.expects_continue ? " expect" : "") + " type=" + std::string(head.content_type) +
         " accept=" + std::string(head.accept) + " body=" + sink.body +
         " rest=" + std::to_string(pending.size() + bytes.size());
}

std::string ParseWhole(std::string_view bytes) {
  return Parse(bytes, [&] { return bytes.size(); });
}

TEST(RequestParser, HeadAndBodyComeOut) {
  EXPECT_EQ(ParseWhole("GET /store/k?x=%20 HTTP/1.1\r\nHost: h\r\n\r\n"),
            "GET /store/k?x=%20 keep type= accept= body= rest=0");
  EXPECT_EQ(ParseWhole("PUT /store/k HTTP/1.1\r\nhost:h\r\nCONTENT-LENGTH: 5\r\n"
                       "content-type:  text/plain \r\nAccept: a\r\nAccept: b\r\n\r\nhelloGET"),
            "PUT /store/k keep type=text/plain accept=a, b body=hello rest=3");
  EXPECT_EQ(ParseWhole("DELETE /k HTTP/1.0\r\n\r\n"), "DELETE /k close type= accept= body= rest=0");
}

TEST(RequestParser, ChunkedBodiesAreJoinedAndTrailersDropped) {
  EXPECT_EQ(ParseWhole("PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "5;name=value\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n0\r\n"
                       "Content-Type: from/trailer\r\nX: y\r\n\r\nnext"),
            "PUT /k keep chunked type= accept= body=hello world rest=4");
}

const std::string_view kRequests[] = {
    "GET /store/k HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept: a/b,\r\n c/d\r\n\r\n",
    "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\nhello world",
    "PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=\"y;z\"\r\n"
    "0123456789\r\n0\r\n\r\n",
    "PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n",
    "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
    "BREW /pot HTTP/1.1\r\nHost: h\r\nX: \xC3\xA9\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/3.0\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost h\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
};

TEST(RequestParser, WhereTheBytesAreCutMakesNoDifference) {
  const uint64_t seed = 7;
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  for (std::string_view request : kRequests) {
    const std::string whole = ParseWhole(request);
    EXPECT_EQ(Parse(request, [] { return size_t{1}; }), whole) << request;
    for (int round = 0; round < 200; ++round) {
      EXPECT_EQ(Parse(request, [&] { return random.Between(1, 20); }), whole) << request;
    }
  }
}

TEST(RequestParser, NoBytesEndTheProcess) {
  const uint64_t seed = 20'240'601;
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string request(kRequests[random.Below(std::size(kRequests))]);
    const uint64_t changes = random.Below(4);
    for (uint64_t i = 0; i < changes; ++i) {
      const size_t place = random.Below(request.size());
      switch (random.Below(3)) {
        case 0:
          request[place] = static_cast<char>(random.Below(256));
          break;
        case 1:
          request.erase(place, random.Between(1, 8));
          break;
        default:
          request.insert(place, request.substr(random.Below(request.size()), 8));
          break;
      }
      if (request.empty()) request = "x";
    }
    EXPECT_FALSE(Parse(request, [&] { return random.Between(1, 12); }).empty());
  }
}

TEST(RequestParser, HeadsBeyondTheLimitsAreRefusedHoweverTheyArrive) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  std::string many;
  while (many.size() < 40'000) many += "X: y\r\n";
  for (size_t piece : {size_t{1}, size_t{100}, size_t{100'000}}) {
    const auto cut = [piece] { return piece; };
    EXPECT_EQ(Parse(start + many + "\r\n", cut), "431") << piece;
    EXPECT_EQ(Parse(start + "X: " + std::string(40'000, 'x') + "\r\n\r\n", cut), "431") << piece;
    EXPECT_EQ(Parse("GET /" + std::string(16 << 10, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", cut),
              "414")
        << piece;
    EXPECT_EQ(Parse("GET /" + std::string(100'000, 'x'), cut), "414") << piece;
    EXPECT_EQ(Parse("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                        std::string(100'000, 'x'),
                    cut),
              "400")
        << piece;
    EXPECT_EQ(Parse("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " +
                        std::string(100'000, 'x'),
                    cut),
              "400")
        << piece;
  }
}

TEST(RequestParser, StoppedSinkStopsTheParser) {
  class Refuser final : public BodySink {
   public:
    bool Write(std::string_view) override { return false; }
  };
  RequestParser parser;
  const std::string_view request = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  const RequestParser::Step head = parser.ParseHead(request);
  ASSERT_EQ(head.progress, RequestParser::Progress::kDone);
  Refuser sink;
  EXPECT_EQ(parser.ParseBody(request.substr(head.consumed), &sink).progress,
            RequestParser::Progress::kStopped);
  parser.Reset();
  EXPECT_EQ(parser.ParseHead("GET / HTTP/1.1\r\nHost: h\r\n\r\n").progress,
            RequestParser::Progress::kDone);
}

}  // namespace
}  // namespace arima::http
