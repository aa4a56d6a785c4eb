#include "testing/memory_pipe.h"

#include <algorithm>

namespace arima::testing {

std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> PipeEnd::MakePipe(
    size_t capacity_bytes) {
  auto there = std::make_shared<Channel>(capacity_bytes);
  auto back = std::make_shared<Channel>(capacity_bytes);
  return {std::unique_ptr<PipeEnd>(new PipeEnd(back, there)),
          std::unique_ptr<PipeEnd>(new PipeEnd(there, back))};
}

PipeEnd::~PipeEnd() { Cancel(); }

Status PipeEnd::Read(std::span<char> into) {
  Channel& in = *in_;
  MutexLock lock(&in.mutex);
  while (!into.empty()) {
    while (in.bytes.empty() && !in.reader_gone && !in.writer_gone) in.changed.Wait(&in.mutex);
    if (in.reader_gone) return Fail(Code::kUnavailable, "read from a pipe: cancelled");
    if (in.bytes.empty()) return Fail(Code::kUnavailable, "read from a pipe: no other end");
    const size_t n = std::min(into.size(), in.bytes.size());
    std::copy_n(in.bytes.begin(), n, into.begin());
    in.bytes.erase(0, n);
    into = into.subspan(n);
    in.changed.NotifyAll();
  }
  return {};
}

Status PipeEnd::Write(std::string_view bytes) {
  Channel& out = *out_;
  MutexLock lock(&out.mutex);
  while (!bytes.empty()) {
    while (out.bytes.size() >= out.capacity_bytes && !out.reader_gone && !out.writer_gone) {
      out.changed.Wait(&out.mutex);
    }
    if (out.writer_gone) return Fail(Code::kUnavailable, "write to a pipe: cancelled");
    if (out.reader_gone) return Fail(Code::kUnavailable, "write to a pipe: the other end is gone");
    const size_t n = std::min(bytes.size(), out.capacity_bytes - out.bytes.size());
    out.bytes.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    out.changed.NotifyAll();
  }
  return {};
}

void PipeEnd::Cancel() {
  {
    MutexLock lock(&in_->mutex);
    in_->reader_gone = true;
  }
  in_->changed.NotifyAll();
  CloseWriting();
}

void PipeEnd::CloseWriting() {
  {
    MutexLock lock(&out_->mutex);
    out_->writer_gone = true;
  }
  out_->changed.NotifyAll();
}

}  // namespace arima::testing
