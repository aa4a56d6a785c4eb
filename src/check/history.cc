#include "check/history.h"

namespace arima::check {

std::string Misfit(const Operation& operation) {
  const bool read = operation.kind == Kind::kRead;
  const bool cas = operation.kind == Kind::kCompareAndSet;
  const bool ok = operation.outcome == Outcome::kOk;
  const bool answered = ok || operation.outcome == Outcome::kMismatch;
  if (operation.key.empty()) return "the key is empty";
  if ((operation.kind == Kind::kPut || cas) && !operation.value) return "a write needs a value";
  if (operation.kind == Kind::kDelete && operation.value) return "a delete has no value";
  if (operation.expected && !cas) return "only a compare-and-set expects a value";
  if (operation.outcome == Outcome::kMismatch && !cas) return "only a compare-and-set mismatches";
  if (operation.stale && !read) return "only a read can be stale";
  if (operation.deleted && !(operation.kind == Kind::kDelete && ok)) {
    return "only a delete that is ok can say whether there was a key";
  }
  if (operation.store_revision && !(read && ok)) {
    return "only a read that is ok has a store revision";
  }
  if (operation.revision && !ok) return "only what is ok has a revision";
  if (operation.revision && read && !operation.value) return "an absent key has no revision";
  if (answered && operation.end_ns == kNever) return "what was answered needs an end";
  if (operation.end_ns < operation.start_ns) return "it ends before it starts";
  return {};
}

}  // namespace arima::check
