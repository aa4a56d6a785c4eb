// Two ends of a pipe in memory: a ByteStream without sockets for tests of long transfers.
//
// What one end writes the other reads; Write waits while more than the capacity is under way. An
// end that is destroyed or cancelled lets the other read what is still there, then fails it; one
// that closed its writing still takes what the other writes. There
// is no time limit: a test that hangs has a partner that neither reads, writes nor goes away.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "base/byte_stream.h"
#include "base/mutex.h"

namespace arima::testing {

class PipeEnd final : public ByteStream {
 public:
  static std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> MakePipe(
      size_t capacity_bytes = 64 << 10);
  ~PipeEnd() override;

  Status Read(std::span<char> into) override;
  Status Write(std::string_view bytes) override;
  void Cancel() override;
  // Nothing more is written; the other end reads to the end of what there is. As for Write, on the
  // thread that uses this end.
  void CloseWriting();

 private:
  // Bytes of one direction.
  struct Channel {
    explicit Channel(size_t capacity) : capacity_bytes(capacity) {}
    const size_t capacity_bytes;
    Mutex mutex;
    CondVar changed;
    std::string bytes GUARDED_BY(mutex);
    bool reader_gone GUARDED_BY(mutex) = false;
    bool writer_gone GUARDED_BY(mutex) = false;
  };
  PipeEnd(std::shared_ptr<Channel> in, std::shared_ptr<Channel> out)
      : in_(std::move(in)), out_(std::move(out)) {}

  const std::shared_ptr<Channel> in_;
  const std::shared_ptr<Channel> out_;
};

}  // namespace arima::testing
