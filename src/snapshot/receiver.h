// Receiver: fetches a snapshot into a directory and answers for what is in it. When Receive returns
// ok, the directory holds exactly the manifest's files, each with the hash it should have, all of
// it durable, a database that opens and whose applied record says what the manifest says, and the
// manifest itself (kStoredManifestName), so that a restart recognises it: finished.h.
//
//   Receiver receiver(env, {.dir = dir, .expected = {...}});
//   Result<Manifest> got = receiver.Receive(stream);      // on a helper thread
//
// After any error or crash the same directory is given to the next Receive, of the same snapshot or
// of another one from another sender: files that have content the new manifest asks for are kept,
// under whatever name they lie there, a file that was cut off goes on where it ends, everything
// else is removed. Nothing that lies there is trusted: it is hashed again.
//
// Thread rule: Receive once, on one thread; progress from any. To stop it, cancel the stream.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/byte_stream.h"
#include "base/error.h"
#include "env/env.h"
#include "snapshot/finished.h"
#include "snapshot/manifest.h"

namespace arima::snapshot {

// What was announced (the Snap message); a manifest that says something else is refused, kConflict.
struct Expected {
  uint64_t snapshot_id = 0;
  Uuid cluster_id;
  uint64_t index = 0;
  uint64_t term = 0;
};

struct Progress {
  uint64_t bytes_done = 0;   // of bytes_total: received or found to be there
  uint64_t bytes_total = 0;  // 0 until the manifest is known
};

struct ReceiverOptions {
  std::string dir;  // made if missing; its parent exists
  Expected expected;
  // Space that must stay free on the disk; a snapshot that would take it is refused, kDiskFull.
  uint64_t free_bytes_min = 512 << 20;
  // Called on the receiving thread after each chunk; may be null.
  std::function<void(const Progress&)> on_progress;
  kv::Databases* databases = &kv::RocksDatabases();
  VerifyFn verify = nullptr;  // null: VerifyDatabase, of `databases`
};

class Receiver {
 public:
  Receiver(env::Env& env, ReceiverOptions options);
  ~Receiver();

  // Errors:
  // kUnavailable  the stream ended; call again on a new one, what is there is used
  // kCorruption   the sender broke the protocol, or files kept arriving wrong, or the finished
  //               database is not what the manifest says (the directory is then emptied)
  // kConflict     this is not the snapshot that was announced
  // kNotSupported another engine or a later format
  // kTooLarge     an absurd manifest
  // kDiskFull     no space; the directory is emptied, so that the node gets its space back
  // kIo           own disk; and whatever the sender gave as its reason to stop
  Result<Manifest> Receive(ByteStream& stream);

  Progress progress() const;

 private:
  class Transfer;

  env::Env& env_;
  const ReceiverOptions options_;
  std::atomic<uint64_t> bytes_done_{0};
  std::atomic<uint64_t> bytes_total_{0};
};

}  // namespace arima::snapshot
