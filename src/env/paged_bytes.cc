#include "env/paged_bytes.h"

#include <algorithm>
#include <cstring>

namespace arima::env {

namespace {

// Each byte equals the one before it, and the first is zero: one call of memcmp, which is fast.
bool AllZeros(std::string_view bytes) {
  return bytes.front() == '\0' &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

void PagedBytes::Resize(uint64_t size) {
  if (size < size_ && size % kPageBytes != 0 && pages_[size / kPageBytes] != nullptr) {
    // What a later growth uncovers must read as zeros.
    const uint64_t kept = size % kPageBytes;
    std::memset(Own(size / kPageBytes).data() + kept, 0, kPageBytes - kept);
  }
  pages_.resize((size + kPageBytes - 1) / kPageBytes);
  size_ = size;
}

size_t PagedBytes::Read(uint64_t offset, char* out, size_t size) const {
  if (offset >= size_) return 0;
  size = std::min<uint64_t>(size, size_ - offset);
  for (size_t done = 0; done < size;) {
    const uint64_t page = (offset + done) / kPageBytes;
    const uint64_t from = (offset + done) % kPageBytes;
    const size_t step = std::min<uint64_t>(kPageBytes - from, size - done);
    if (pages_[page] == nullptr) {
      std::memset(out + done, 0, step);
    } else {
      std::memcpy(out + done, pages_[page]->data() + from, step);
    }
    done += step;
  }
  return size;
}

void PagedBytes::Write(uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (offset + bytes.size() > size_) Resize(offset + bytes.size());
  while (!bytes.empty()) {
    const uint64_t page = offset / kPageBytes;
    const uint64_t from = offset % kPageBytes;
    const std::string_view part = bytes.substr(0, kPageBytes - from);
    if (AllZeros(part) && (pages_[page] == nullptr || part.size() == kPageBytes)) {
      pages_[page] = nullptr;
    } else {
      std::memcpy(Own(page).data() + from, part.data(), part.size());
    }
    offset += part.size();
    bytes.remove_prefix(part.size());
  }
}

uint64_t PagedBytes::stored_pages() const {
  return static_cast<uint64_t>(std::count_if(pages_.begin(), pages_.end(),
                                             [](const auto& page) { return page != nullptr; }));
}

PagedBytes::Page& PagedBytes::Own(uint64_t page) {
  if (pages_[page] == nullptr) {
    pages_[page] = std::make_shared<Page>();
    pages_[page]->fill('\0');
  } else if (pages_[page].use_count() > 1) {
    pages_[page] = std::make_shared<Page>(*pages_[page]);
  }
  return *pages_[page];
}

}  // namespace arima::env
