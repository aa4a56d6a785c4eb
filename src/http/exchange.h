// One request and its answer on their way through the server.
//
// Life: made by a session on its I/O thread when the first byte of a request arrives; filled by
// Api::Plan and Api::Begin; lent to a service call, which hands it back through a Completion from
// any thread; answered in the order of requests; returned to the thread's pool.
//
// Ownership: the session's queue owns it. While it is lent, `owner` keeps the session alive.
// Between the loan and its return only the completing thread touches it, and only `outcome`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/shared_bytes.h"
#include "http/error_answer.h"
#include "http/method.h"
#include "http/route.h"
#include "service/cluster_service.h"
#include "service/kv_service.h"

namespace arima::http {

struct Exchange;

// Where a lent exchange goes back to.
class ExchangeOwner {
 public:
  virtual ~ExchangeOwner() = default;
  // Any thread. `self` is what kept this object alive during the loan.
  virtual void TakeBack(Exchange* exchange, std::shared_ptr<ExchangeOwner> self) = 0;
};

// Nothing yet, refused here, failed in the service, or the service's answer.
using Outcome =
    std::variant<std::monostate, ErrorAnswer, Error, service::PutResponse, service::DeleteResponse,
                 service::JoinResponse, service::RemoveResponse, service::TransferResponse,
                 service::Members, service::Stats>;

struct Exchange {
  // From the head.
  const Route* route = nullptr;  // null until a route was found
  Method method = Method::kOther;
  bool http_1_0 = false;
  bool last = false;  // the connection closes after this answer

  // What is asked.
  std::string key;
  SharedBytes value;
  service::Consistency consistency = service::Consistency::kLinearizable;
  uint64_t timeout_ms = 0;
  bool wants_bytes = false;  // Accept: application/octet-stream
  bool verbose = false;
  std::string if_match;  // empty: no condition
  std::string if_none_match;
  std::string node_id;
  std::string raft_address;
  bool force = false;

  // Progress.
  std::string body;         // raw, while it arrives
  uint64_t body_bytes = 0;  // counted against HttpOptions::held_body_bytes_max
  uint64_t started_ns = 0;
  bool running = false;  // counted among the session's running reads or writes
  bool ready = false;    // outcome stands, or is made when the answer is written
  Outcome outcome;

  // While lent.
  std::shared_ptr<ExchangeOwner> owner;
  Exchange* next_in_mailbox = nullptr;
  Exchange* next_in_barrier = nullptr;  // reads that wait for the same barrier

  // Ready for another request; keeps the strings' memory unless it is large.
  void Recycle();
};

// The receiving end of a service call: a Done<T> of any T. Calls back exactly once, even if the
// service forgets to: then the outcome is unknown. Eight bytes, so that no std::function allocates.
class Completion {
 public:
  // `exchange->owner` must be set.
  explicit Completion(Exchange* exchange) : exchange_(exchange) {}
  Completion(Completion&& other) noexcept : exchange_(std::exchange(other.exchange_, nullptr)) {}
  Completion& operator=(Completion&&) = delete;
  ~Completion() {
    if (exchange_ != nullptr) {
      Return(Error{Code::kOutcomeUnknown, "the request was dropped before it was answered"});
    }
  }

  template <class T>
  void operator()(Result<T> result) {
    if (!result) {
      Return(std::move(result.error()));
    } else if constexpr (std::is_void_v<T>) {
      Return(std::monostate{});
    } else {
      Return(std::move(*result));
    }
  }

 private:
  void Return(Outcome outcome) {
    Exchange* exchange = std::exchange(exchange_, nullptr);
    exchange->outcome = std::move(outcome);
    std::shared_ptr<ExchangeOwner> owner = std::move(exchange->owner);
    ExchangeOwner& target = *owner;
    target.TakeBack(exchange, std::move(owner));
  }

  Exchange* exchange_;
};

}  // namespace arima::http
