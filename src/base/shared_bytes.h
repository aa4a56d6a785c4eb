// SharedBytes: an immutable run of bytes inside a reference-counted block.
//
// An entry's payload is received once (from a socket or a client) and then shared, uncopied, by
// the entry cache, the log writer, the peers' messages and the applier. Copies are cheap (one
// reference count); the bytes never change, so any thread may read them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace arima {

class SharedBytes {
 public:
  SharedBytes() = default;

  static SharedBytes Take(std::string bytes) {
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    const char* data = owner->data();
    size_t size = owner->size();
    return SharedBytes(std::shared_ptr<const char>(std::move(owner), data), size);
  }
  static SharedBytes Copy(std::string_view bytes) { return Take(std::string(bytes)); }

  // A view into a block that `owner` keeps alive.
  template <class Owner>
  static SharedBytes Inside(std::shared_ptr<Owner> owner, std::string_view bytes) {
    return SharedBytes(std::shared_ptr<const char>(std::move(owner), bytes.data()), bytes.size());
  }

  std::string_view view() const { return {data_.get(), size_}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  friend bool operator==(const SharedBytes& a, const SharedBytes& b) {
    return a.view() == b.view();
  }

 private:
  SharedBytes(std::shared_ptr<const char> data, size_t size)
      : data_(std::move(data)), size_(size) {}

  std::shared_ptr<const char> data_;
  size_t size_ = 0;
};

}  // namespace arima
