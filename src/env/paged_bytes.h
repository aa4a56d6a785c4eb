// PagedBytes: the content of an in-memory file as copy-on-write pages of 4096 bytes, so that
// copying a whole file system per simulated crash costs pointers, not bytes. A page of zeros is not
// stored. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace arima::env {

class PagedBytes {
 public:
  static constexpr uint64_t kPageBytes = 4096;

  uint64_t size() const { return size_; }
  // Bytes between the old and a larger size are zeros.
  void Resize(uint64_t size);

  // Up to `size` bytes from `offset`; fewer where the content ends.
  size_t Read(uint64_t offset, char* out, size_t size) const;
  void Write(uint64_t offset, std::string_view bytes);

  // Makes page number `page` equal to that of `other`, without copying it; both must have the page.
  void SharePage(const PagedBytes& other, uint64_t page) { pages_[page] = other.pages_[page]; }

  // Pages that hold other bytes than zeros.
  uint64_t stored_pages() const;

 private:
  using Page = std::array<char, kPageBytes>;

  // The page as a block that nobody shares.
  Page& Own(uint64_t page);

  uint64_t size_ = 0;
  std::vector<std::shared_ptr<Page>> pages_;  // null: zeros
};

}  // namespace arima::env
