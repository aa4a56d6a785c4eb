// Where service calls put finished exchanges for the I/O thread that owns them.
//
// Any thread pushes; the owner takes everything at once. Push tells when the box was empty, so that
// a burst of completions costs one wake-up. Unbounded in form, bounded in fact: an exchange is in
// it at most once, and sessions limit how many there are.
#pragma once

#include "base/mutex.h"
#include "http/exchange.h"

namespace arima::http {

class Mailbox {
 public:
  enum class Pushed : uint8_t {
    kFirst,   // the owner must be woken
    kMore,    // it has been woken already
    kClosed,  // nobody will take it; the exchange stays with the caller
  };
  Pushed Push(Exchange* exchange) EXCLUDES(mutex_);

  // A list in order of arrival through next_in_mailbox; null when empty.
  Exchange* TakeAll() EXCLUDES(mutex_);
  // Refuses further exchanges; gives what was left.
  Exchange* Close() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  Exchange* first_ GUARDED_BY(mutex_) = nullptr;
  Exchange* last_ GUARDED_BY(mutex_) = nullptr;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace arima::http
