#include "http/mailbox.h"

#include <utility>

#include "base/assert.h"

namespace arima::http {

Mailbox::Pushed Mailbox::Push(Exchange* exchange) {
  ARIMA_ASSERT(exchange->next_in_mailbox == nullptr);
  MutexLock lock(&mutex_);
  if (closed_) return Pushed::kClosed;
  const bool was_empty = first_ == nullptr;
  (was_empty ? first_ : last_->next_in_mailbox) = exchange;
  last_ = exchange;
  return was_empty ? Pushed::kFirst : Pushed::kMore;
}

Exchange* Mailbox::TakeAll() {
  MutexLock lock(&mutex_);
  last_ = nullptr;
  return std::exchange(first_, nullptr);
}

Exchange* Mailbox::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
  last_ = nullptr;
  return std::exchange(first_, nullptr);
}

}  // namespace arima::http
