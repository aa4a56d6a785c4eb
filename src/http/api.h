// The public API between HTTP and the services: what a request means and what its answer looks
// like, byte for byte (docs/design/http-api.md). Knows no socket.
//
//   Plan    the head: route, key, parameters, limits   -> go on, or an error
//   Begin   the body is there: start the work
//   Answer  the outcome stands: append the answer
//
// Thread rule: const and safe from all I/O threads; an Exchange belongs to one of them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "http/answer_writer.h"
#include "http/counters.h"
#include "http/exchange.h"
#include "http/http_options.h"
#include "http/json_object_reader.h"
#include "http/request_head.h"
#include "service/cluster_service.h"
#include "service/kv_service.h"

namespace arima::http {

class Api {
 public:
  // All must outlive the object.
  Api(const HttpOptions& options, service::KvService& kv, service::ClusterService& cluster,
      const Counters& counters);

  Read<void> Plan(const RequestHead& head, Exchange* exchange) const;

  // Of a planned exchange. What a body may be at most, the error when it is more, and the members
  // of a JSON body.
  uint64_t BodyBytesMax(const Exchange& exchange) const;
  ErrorAnswer BodyTooLarge(const Exchange& exchange) const;
  std::span<const JsonMember> Members(const Exchange& exchange) const;

  enum class Next : uint8_t {
    kReady,    // Answer() may be called
    kBarrier,  // the caller passes it through BeginBarrier first
    kLent,     // comes back through exchange->owner; perhaps it has already
  };
  // `json` holds the body when the route takes JSON; exchange->body when it takes a value.
  // exchange->owner must be set.
  Next Begin(JsonObjectReader* json, const service::NodeView& view, Exchange* exchange) const;

  // Lends `first`; when it comes back, its outcome is that of all reads chained to it.
  void BeginBarrier(Exchange* first) const;

  // The status code written, for the counters.
  int Answer(const Exchange& exchange, AnswerContext* context, std::string* out) const;

 private:
  Read<void> PlanParameters(std::string_view query, Exchange* exchange) const;
  Read<void> PlanBody(const RequestHead& head, const Exchange& exchange) const;
  Read<void> TakeMembers(JsonObjectReader* json, Exchange* exchange) const;

  // Each appends one kind of answer and gives its status.
  int AnswerError(const Exchange& exchange, const ErrorAnswer& error, AnswerContext* context,
                  std::string* out) const;
  int AnswerGet(const Exchange& exchange, AnswerContext* context, std::string* out) const;
  int AnswerPut(const Exchange& exchange, const service::PutResponse& response,
                AnswerContext* context, std::string* out) const;
  int AnswerDelete(const Exchange& exchange, const service::DeleteResponse& response,
                   AnswerContext* context, std::string* out) const;
  int AnswerStats(const Exchange& exchange, int status, std::string_view message,
                  const service::Stats& stats, AnswerContext* context, std::string* out) const;
  int AnswerMembers(const Exchange& exchange, const service::Members& members,
                    AnswerContext* context, std::string* out) const;
  int AnswerReady(const Exchange& exchange, AnswerContext* context, std::string* out) const;
  int AnswerLocal(const Exchange& exchange, AnswerContext* context, std::string* out) const;

  const HttpOptions& options_;
  service::KvService& kv_;
  service::ClusterService& cluster_;
  const Counters& counters_;
  const std::string key_limit_;  // for messages
  const std::string value_limit_;
  const std::array<JsonMember, 4> key_value_members_;
  const std::array<JsonMember, 2> join_members_;
  const std::array<JsonMember, 2> remove_members_;
  const std::array<JsonMember, 1> transfer_members_;
};

}  // namespace arima::http
