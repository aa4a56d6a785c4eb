// Manifest: what a snapshot consists of, as the sender of one says it and as the receiver keeps it.
// Bytes: FORMAT.md section 2.
//
// The metadata (index, term, configuration, cluster) come out of the checkpoint itself and nowhere
// else (docs/design/raft.md 5.3). Files are named by their content: the hash, not the name, says
// whether two are the same.
//
// Pure functions but for Describe*, which read files and may block for long. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "base/error.h"
#include "base/random.h"
#include "env/env.h"
#include "kv/databases.h"

namespace arima::snapshot {

inline constexpr size_t kManifestBytesMax = 16 << 20;
inline constexpr size_t kManifestFilesMax = 1 << 18;
inline constexpr size_t kFileNameBytesMax = 128;
inline constexpr size_t kConfBytesMax = 4 << 20;
inline constexpr size_t kEngineTextBytesMax = 64;

struct SnapshotFile {
  std::string name;
  uint64_t bytes = 0;
  Hash128 hash;
  friend bool operator==(const SnapshotFile&, const SnapshotFile&) = default;
};

struct Manifest {
  uint64_t snapshot_id = 0;  // chosen by the sender; names this checkpoint of this sender only
  Uuid cluster_id;
  uint64_t index = 0;
  uint64_t term = 0;
  std::string conf;                 // codec/conf_codec.h ConfState, opaque here
  std::string engine;               // kv::Databases::engine_name of the sender
  std::string engine_version;       // its engine_version
  std::vector<SnapshotFile> files;  // strictly ascending by name

  uint64_t TotalBytes() const;  // of all files; what Decode and Describe give does not overflow
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

// Letters, digits, '.', '_' and '-', not starting with '.', at most kFileNameBytesMax: no such name
// leads out of its directory or meets a file that the receiver keeps for itself.
bool IsFileName(std::string_view name);

// `manifest` keeps the limits above (asserted).
std::string EncodeManifest(const Manifest& manifest);
// Foreign bytes: kCorruption, kTooLarge over a limit, kNotSupported for a later version.
Result<Manifest> DecodeManifest(std::string_view bytes);

// Told after each piece of long work how many bytes it was; an error ends the work and is returned.
using StepFn = std::function<Status(uint64_t bytes)>;

// Hash of a whole file as it is on the disk: the page cache is passed by where possible, and
// spared.
Result<Hash128> HashFile(env::Env& env, const std::string& path, const StepFn& step = nullptr);

// Fills `files` with all files of `dir`, reading each byte. kNotSupported if there is a directory
// or a name that IsFileName refuses.
Status DescribeFiles(env::Env& env, const std::string& dir, const StepFn& step, Manifest* manifest);

// What the checkpoint in `dir` is: opens it read-only for the metadata, then DescribeFiles.
Result<Manifest> DescribeCheckpoint(env::Env& env, const std::string& dir, uint64_t snapshot_id,
                                    const StepFn& step = nullptr,
                                    kv::Databases& databases = kv::RocksDatabases());

}  // namespace arima::snapshot
