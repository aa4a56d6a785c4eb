#include "http/exchange.h"

namespace arima::http {

void Exchange::Recycle() {
  constexpr size_t kKeptBytesMax = 16 << 10;
  route = nullptr;
  method = Method::kOther;
  http_1_0 = false;
  last = false;
  value = {};
  consistency = service::Consistency::kLinearizable;
  timeout_ms = 0;
  wants_bytes = false;
  verbose = false;
  force = false;
  body_bytes = 0;
  started_ns = 0;
  running = false;
  ready = false;
  outcome = std::monostate{};
  owner = nullptr;
  next_in_mailbox = nullptr;
  next_in_barrier = nullptr;
  for (std::string* text : {&key, &if_match, &if_none_match, &node_id, &raft_address, &body}) {
    text->clear();
    if (text->capacity() > kKeptBytesMax) text->shrink_to_fit();
  }
}

}  // namespace arima::http
