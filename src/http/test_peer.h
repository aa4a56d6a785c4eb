// Test-only: fake services and a small blocking HTTP client on a raw socket, so that tests say byte
// for byte what is sent and see byte for byte what comes back.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "http/http_server.h"
#include "service/cluster_service.h"
#include "service/kv_service.h"

namespace arima::http {

// A store in memory. Calls finish at once, or, while held, when the test says so.
class FakeKv final : public service::KvService {
 public:
  void Put(service::PutRequest request, service::Done<service::PutResponse> done) override {
    Run("put " + request.key, [this, request, done = std::move(done)]() mutable {
      if (std::optional<Error> error = TakeFailure()) {
        return done(std::unexpected(std::move(*error)));
      }
      service::PutResponse response;
      {
        MutexLock lock(&mutex_);
        last_timeout_ms_ = request.timeout_ms;
        Row& row = rows_[request.key];
        row.mod_revision = ++revision_;
        if (row.version++ == 0) row.create_revision = revision_;
        row.value = request.value;
        response = {row.mod_revision, row.create_revision, row.version};
      }
      done(response);
    });
  }

  void Delete(service::DeleteRequest request,
              service::Done<service::DeleteResponse> done) override {
    Run("delete " + request.key, [this, request, done = std::move(done)]() mutable {
      if (std::optional<Error> error = TakeFailure()) {
        return done(std::unexpected(std::move(*error)));
      }
      service::DeleteResponse response;
      {
        MutexLock lock(&mutex_);
        response.deleted = rows_.erase(request.key) != 0;
        if (response.deleted) ++revision_;
        response.revision = revision_;
      }
      done(response);
    });
  }

  void ReadBarrier(service::BarrierRequest request, service::Done<void> done) override {
    Run("barrier", [this, request, done = std::move(done)]() mutable {
      {
        MutexLock lock(&mutex_);
        last_timeout_ms_ = request.timeout_ms;
      }
      if (std::optional<Error> error = TakeFailure()) {
        return done(std::unexpected(std::move(*error)));
      }
      done(Status());
    });
  }

  Result<service::GetResponse> GetLocal(const service::GetRequest& request) override {
    MutexLock lock(&mutex_);
    service::GetResponse response;
    response.store_revision = revision_;
    if (request.consistency == service::Consistency::kStale) response.staleness_ms = 7;
    const auto found = rows_.find(std::string(request.key));
    if (found == rows_.end()) return response;
    response.found = true;
    response.value = found->second.value;
    response.create_revision = found->second.create_revision;
    response.mod_revision = found->second.mod_revision;
    response.version = found->second.version;
    return response;
  }

  // The next call that can fail does.
  void FailNext(Error error) {
    MutexLock lock(&mutex_);
    failures_.push_back(std::move(error));
  }

  // From now on calls wait for Release.
  void Hold() {
    MutexLock lock(&mutex_);
    holding_ = true;
  }
  // Waits until `count` calls are held, and names them in order.
  std::vector<std::string> WaitForHeld(size_t count) {
    MutexLock lock(&mutex_);
    while (held_.size() < count) changed_.Wait(&mutex_);
    std::vector<std::string> names;
    for (const auto& [name, call] : held_) names.push_back(name);
    return names;
  }
  size_t HeldCount() {
    MutexLock lock(&mutex_);
    return held_.size();
  }
  // Finishes the held call at `position` on the calling thread.
  void Release(size_t position = 0) {
    std::move_only_function<void()> call;
    {
      MutexLock lock(&mutex_);
      call = std::move(held_[position].second);
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(position));
    }
    call();
  }
  // Forgets the held calls without an answer, as a service with a bug would.
  void DropHeld() {
    std::deque<std::pair<std::string, std::move_only_function<void()>>> dropped;
    MutexLock lock(&mutex_);
    dropped.swap(held_);
  }
  void StopHolding() {
    {
      MutexLock lock(&mutex_);
      holding_ = false;
    }
    while (HeldCount() > 0) Release();
  }

  uint64_t last_timeout_ms() {
    MutexLock lock(&mutex_);
    return last_timeout_ms_;
  }

 private:
  struct Row {
    SharedBytes value;
    uint64_t create_revision = 0;
    uint64_t mod_revision = 0;
    uint64_t version = 0;
  };

  void Run(std::string name, std::move_only_function<void()> call) {
    {
      MutexLock lock(&mutex_);
      if (holding_) {
        held_.emplace_back(std::move(name), std::move(call));
        changed_.NotifyAll();
        return;
      }
    }
    call();
  }
  std::optional<Error> TakeFailure() {
    MutexLock lock(&mutex_);
    if (failures_.empty()) return std::nullopt;
    Error error = std::move(failures_.front());
    failures_.pop_front();
    return error;
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Row> rows_ GUARDED_BY(mutex_);
  uint64_t revision_ GUARDED_BY(mutex_) = 1;
  std::deque<Error> failures_ GUARDED_BY(mutex_);
  bool holding_ GUARDED_BY(mutex_) = false;
  std::deque<std::pair<std::string, std::move_only_function<void()>>> held_ GUARDED_BY(mutex_);
  uint64_t last_timeout_ms_ GUARDED_BY(mutex_) = 0;
};

// Answers with what the test put in. Set fields before requests are sent.
class FakeCluster final : public service::ClusterService {
 public:
  void Join(service::JoinRequest request, service::Done<service::JoinResponse> done) override {
    join_request = request;
    if (error) return done(std::unexpected(*error));
    done(service::JoinResponse{caught_up, stats});
  }
  void Remove(service::RemoveRequest request,
              service::Done<service::RemoveResponse> done) override {
    remove_request = request;
    if (error) return done(std::unexpected(*error));
    done(service::RemoveResponse{stats});
  }
  void Transfer(service::TransferRequest request,
                service::Done<service::TransferResponse> done) override {
    transfer_request = request;
    if (error) return done(std::unexpected(*error));
    done(service::TransferResponse{transfer_request->node_id, moved, stats});
  }
  void GetMembers(service::Done<service::Members> done) override { done(members); }
  void GetStats(service::Done<service::Stats> done) override { done(stats); }
  service::NodeView View() override {
    MutexLock lock(&mutex_);
    return view_;
  }
  std::vector<service::Check> Readiness() override { return checks; }
  std::vector<Metric> Metrics() override { return metrics; }

  void SetView(service::NodeView view) {
    MutexLock lock(&mutex_);
    view_ = std::move(view);
  }

  std::optional<Error> error;
  bool caught_up = true;
  bool moved = true;
  service::Members members;
  std::optional<service::TransferRequest> transfer_request;
  service::Stats stats = {{"state", "Leader"}, {"term", "2"}};
  std::vector<service::Check> checks = {{"leader_known", true, ""}, {"log_writable", true, ""}};
  std::vector<Metric> metrics;
  service::JoinRequest join_request;
  service::RemoveRequest remove_request;

 private:
  Mutex mutex_;
  service::NodeView view_ GUARDED_BY(mutex_) = {"n1", "n1", "127.0.0.1:2221", 1, false, ""};
};

struct ClientAnswer {
  int status = 0;  // 0: the connection ended instead
  std::string reason;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  // Of the first header of that name, as the server spells it.
  std::string Header(std::string_view name) const {
    for (const auto& [header, value] : headers) {
      if (header == name) return value;
    }
    return "";
  }
};

// One connection. Reads wait at most ten seconds, so that a broken server fails the test.
class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer_bytes = 0) {
    Open(AF_INET, receive_buffer_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  // By way of ::1; not connected where this machine has no IPv6.
  static std::unique_ptr<TestClient> OverIpv6(uint16_t port) {
    std::unique_ptr<TestClient> client(new TestClient());
    client->Open(AF_INET6, 0);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    client->connected_ = ::connect(client->socket_, reinterpret_cast<const sockaddr*>(&address),
                                   sizeof address) == 0;
    return client;
  }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;
  ~TestClient() { Close(); }

  bool connected() const { return connected_; }

  // False when the server has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void HalfClose() { ::shutdown(socket_, SHUT_WR); }
  void Close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  // The connection ends with a reset instead of an orderly end.
  void Reset() {
    const linger off{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &off, sizeof off);
    Close();
  }

  // `head_only`: the answer to HEAD.
  ClientAnswer ReadAnswer(bool head_only = false) {
    ClientAnswer answer;
    size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return answer;
    }
    ParseHead(std::string_view(input_).substr(0, end), &answer);
    input_.erase(0, end + 4);
    const std::string length = answer.Header("Content-Length");
    const size_t size = head_only || length.empty() ? 0 : std::stoul(length);
    while (input_.size() < size) {
      if (!Fill()) return {};
    }
    answer.body = input_.substr(0, size);
    input_.erase(0, size);
    return answer;
  }
  // Everything until the server closes.
  std::string ReadToEnd() {
    while (Fill()) {
    }
    return std::exchange(input_, {});
  }
  // The server closed and sent nothing more.
  bool AtEnd() { return input_.empty() && !Fill() && ended_; }

  ClientAnswer Exchange(std::string_view request) {
    Send(request);
    return ReadAnswer(request.starts_with("HEAD "));
  }

 private:
  TestClient() = default;

  void Open(int family, int receive_buffer_bytes) {
    socket_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes != 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                   sizeof receive_buffer_bytes);
    }
    const timeval limit{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  static void ParseHead(std::string_view head, ClientAnswer* answer) {
    size_t line_end = std::min(head.find("\r\n"), head.size());
    const std::string_view status_line = head.substr(0, line_end);
    answer->status = std::stoi(std::string(status_line.substr(9, 3)));
    answer->reason = status_line.substr(std::min<size_t>(13, status_line.size()));
    while (line_end < head.size()) {
      head.remove_prefix(line_end + 2);
      line_end = std::min(head.find("\r\n"), head.size());
      const std::string_view line = head.substr(0, line_end);
      const size_t colon = line.find(": ");
      answer->headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
  }
  bool Fill() {
    char buffer[16384];
    const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
    if (got == 0) ended_ = true;
    if (got <= 0) return false;
    input_.append(buffer, static_cast<size_t>(got));
    return true;
  }

  int socket_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string input_;
};

// Requests in one line each.
inline std::string Request(std::string_view method_and_target, std::string_view headers = "",
                           std::string_view body = "") {
  std::string text(method_and_target);
  text.append(" HTTP/1.1\r\nHost: test\r\n").append(headers);
  if (!body.empty()) text.append("Content-Length: " + std::to_string(body.size()) + "\r\n");
  return text.append("\r\n").append(body);
}
inline std::string Get(std::string_view target, std::string_view headers = "") {
  return Request("GET " + std::string(target), headers);
}
inline std::string PostJson(std::string_view target, std::string_view body,
                            std::string_view headers = "") {
  return Request("POST " + std::string(target),
                 "Content-Type: application/json\r\n" + std::string(headers), body);
}
inline std::string PutBytes(std::string_view target, std::string_view body,
                            std::string_view headers = "") {
  std::string all_headers(headers);
  if (body.empty()) all_headers.append("Content-Length: 0\r\n");
  return Request("PUT " + std::string(target), all_headers, body);
}

}  // namespace arima::http
