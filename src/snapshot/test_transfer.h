// What tests of transfers share: a checkpoint of made-up files in memory, a stream that can be cut
// or changed, and one attempt from start to end. Test-only.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/random.h"
#include "env/mem_env.h"
#include "kv/checkpoint.h"
#include "snapshot/receiver.h"
#include "snapshot/sender.h"
#include "testing/memory_pipe.h"

namespace arima::snapshot {

using Files = std::map<std::string, std::string>;

inline constexpr const char* kFrom = "/checkpoint";
inline constexpr const char* kTo = "/recv";

inline std::string RandomBytes(uint64_t seed, size_t size) {
  SeededRandom random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.Next());
  return bytes;
}

inline void WriteDir(env::Env& env, const std::string& dir, const Files& files) {
  ASSERT_TRUE(env::MakeDirs(env, dir));
  for (const auto& [name, bytes] : files) {
    ASSERT_TRUE(env::WriteFileAtomically(env, env::JoinPath(dir, name), bytes)) << name;
  }
}

// Without the stored manifest.
inline Files ReadDir(env::Env& env, const std::string& dir) {
  Files files;
  auto names = env.List(dir);
  if (!names) return files;
  for (const std::string& name : *names) {
    if (name == kStoredManifestName) continue;
    auto bytes = env::ReadFile(env, env::JoinPath(dir, name), 1 << 30);
    if (bytes) files[name] = std::move(*bytes);
  }
  return files;
}

inline Manifest MakeManifest(env::Env& env, const std::string& dir) {
  Manifest manifest;
  manifest.snapshot_id = 7;
  manifest.cluster_id.bytes[3] = 9;
  manifest.index = 100;
  manifest.term = 5;
  manifest.conf = "configuration";
  manifest.engine = kv::EngineName();
  manifest.engine_version = kv::EngineVersion();
  EXPECT_TRUE(DescribeFiles(env, dir, nullptr, &manifest));
  return manifest;
}

inline Expected ExpectedOf(const Manifest& manifest) {
  return {.snapshot_id = manifest.snapshot_id,
          .cluster_id = manifest.cluster_id,
          .index = manifest.index,
          .term = manifest.term};
}

// Lets a test see, change or refuse each Write; the stream ends with one that was made shorter.
// Only the way there ends: the other end reads all that was written, and its own writes are taken,
// so that what it has got does not depend on who is faster.
class TamperedStream final : public ByteStream {
 public:
  using WriteFn = std::function<bool(size_t nth, std::string* bytes)>;
  TamperedStream(testing::PipeEnd& base, WriteFn on_write)
      : base_(base), on_write_(std::move(on_write)) {}

  Status Read(std::span<char> into) override { return base_.Read(into); }
  Status Write(std::string_view bytes) override {
    std::string copy(bytes);
    ++writes_;
    if (on_write_ && !on_write_(writes_, &copy)) {
      base_.CloseWriting();
      return Fail(Code::kUnavailable, "cut by the test");
    }
    Status written = base_.Write(copy);
    if (copy.size() == bytes.size()) return written;
    base_.CloseWriting();
    return Fail(Code::kUnavailable, "cut by the test");
  }
  void Cancel() override { base_.Cancel(); }
  size_t writes() const { return writes_; }

 private:
  testing::PipeEnd& base_;
  const WriteFn on_write_;
  size_t writes_ = 0;
};

// Time passes only by waiting.
class JumpingWaiter final : public Waiter {
 public:
  explicit JumpingWaiter(ManualClock& clock) : clock_(clock) {}
  bool Wait(uint64_t ns) override {
    clock_.Advance(ns);
    return true;
  }

 private:
  ManualClock& clock_;
};

struct Attempt {
  Result<Manifest> received;
  Status sent;
  uint64_t bytes_sent = 0;
  size_t sender_writes = 0;
};

struct AttemptOptions {
  std::string from = kFrom;
  TamperedStream::WriteFn on_sender_write = nullptr;
  VerifyFn verify = [](const std::string&, const Manifest&, const StepFn&) { return Status(); };
  uint64_t free_bytes_min = 0;
};

// Sends `manifest` from one Env to the other and returns what both sides say of it.
inline Attempt Transfer(env::Env& from, env::Env& to, const Manifest& manifest,
                        const std::string& to_dir, AttemptOptions options = {}) {
  ManualClock clock;
  RateLimiter limiter(clock, 1 << 30, 1 << 20);
  JumpingWaiter waiter(clock);
  auto [near, far] = testing::PipeEnd::MakePipe();
  Attempt attempt;
  std::thread sending([&, stream = near.get()] {
    TamperedStream tampered(*stream, options.on_sender_write);
    Sender sender(from, options.from, manifest, limiter, waiter);
    attempt.sent = sender.Serve(tampered);
    attempt.bytes_sent = sender.bytes_sent();
    attempt.sender_writes = tampered.writes();
    stream->CloseWriting();
  });
  Receiver receiver(to, {.dir = to_dir,
                         .expected = ExpectedOf(manifest),
                         .free_bytes_min = options.free_bytes_min,
                         .on_progress = nullptr,
                         .verify = options.verify});
  attempt.received = receiver.Receive(*far);
  far.reset();
  sending.join();
  return attempt;
}

}  // namespace arima::snapshot
