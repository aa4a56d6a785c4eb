// Sender: serves one receiver, over one stream, the files of one checkpoint. The receiver says what
// it wants and when (FORMAT.md section 3); the sender holds one chunk in memory and answers in
// order.
//
//   Sender sender(env, dir, manifest, limiter, waiter);
//   Status done = sender.Serve(stream);     // on a helper thread, until the receiver is finished
//
// Thread rule: Serve once, on one thread; bytes_sent from any. To stop it from outside, cancel the
// stream and the waiter. `dir` must stay until Serve has returned.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/byte_stream.h"
#include "base/error.h"
#include "env/env.h"
#include "snapshot/manifest.h"
#include "snapshot/rate_limiter.h"

namespace arima::snapshot {

struct Request;

class Sender {
 public:
  // All references must outlive this. `manifest` describes the files of `dir`.
  Sender(env::Env& env, std::string dir, const Manifest& manifest, RateLimiter& limiter,
         Waiter& waiter);
  ~Sender();

  // Ok: the receiver has the whole snapshot and found it sound. Errors: kUnavailable (the stream
  // ended or was cancelled; the receiver may come again), kCorruption (the receiver broke the
  // protocol, or the own files are not what the manifest says), kIo (own disk); whatever else the
  // receiver gave as its reason to stop, e.g. kDiskFull. Errors of the own disk were told to the
  // receiver too.
  Status Serve(ByteStream& stream);

  uint64_t bytes_sent() const { return bytes_sent_.load(std::memory_order_relaxed); }

 private:
  // Tells the receiver why there will be no answer, and returns the reason.
  Status GiveUp(ByteStream& stream, Error error);
  Status SendManifest(ByteStream& stream, uint64_t snapshot_id);
  Status SendChunk(ByteStream& stream, const Request& request);
  // Reads into chunk_; errors are those of the own disk.
  Status ReadChunk(const Request& request);

  env::Env& env_;
  const std::string dir_;
  const Manifest& manifest_;
  RateLimiter& limiter_;
  Waiter& waiter_;
  std::unique_ptr<env::File> file_;  // the one read last
  size_t file_number_ = 0;           // of file_
  std::string chunk_;
  std::atomic<uint64_t> bytes_sent_{0};
};

}  // namespace arima::snapshot
