// ReceiveDir: the directory a snapshot is received into, between attempts and during one. Knows
// which files of a manifest are there, what can be reused, and how a file becomes whole.
//
// A name is never believed: what lies there is hashed, from the disk and not from the page cache,
// which after a failed sync may show what the disk does not have. Layout and order: FORMAT.md
// section 4. Thread rule: one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/error.h"
#include "env/env.h"
#include "snapshot/manifest.h"

namespace arima::snapshot {

class ReceiveDir {
 public:
  // `env` and `manifest` must outlive this.
  ReceiveDir(env::Env& env, std::string dir, const Manifest& manifest);
  ~ReceiveDir();

  // Makes the directory if it is missing; then keeps of it what this manifest has, under the right
  // names, and removes everything else. A finished snapshot becomes raw material too. After a crash
  // anywhere in it, the next Prepare finds the same files.
  Status Prepare(const StepFn& step);

  bool has(size_t number) const { return has_[number]; }
  // Where the file that is not there yet goes on; 0 without a partial one.
  uint64_t PartialBytes(size_t number) const;

  // Writes the next bytes of file `number`, whose earlier bytes are there; one file after another.
  Status Append(size_t number, std::string_view bytes);
  // File `number` has all its bytes. True: it is whole, synced, and has its name. False: it had the
  // wrong hash and is gone.
  Result<bool> Finish(size_t number);

  // All names durable.
  Status Sync() { return env_.SyncDir(dir_); }

  // Removes everything in `dir`; ok if there is no such directory.
  static Status Clear(env::Env& env, const std::string& dir);

 private:
  struct Writing {
    uint64_t bytes = 0;  // that are there
    uint64_t unsynced_bytes = 0;
    Hasher128 hasher;                 // of all of them
    std::unique_ptr<env::File> file;  // null until bytes are added
  };

  std::string PathOf(std::string_view name) const { return env::JoinPath(dir_, name); }
  std::string PartPath(size_t number) const;
  Status MakeDir();
  Status TakeStock(const std::string& name, const StepFn& step);
  Status TakeStockOfPart(const std::string& name, uint64_t bytes, const StepFn& step);
  Status GiveNames();
  Status StartWriting(size_t number);
  // A file whose sync failed is given up: what it shows need not be on the disk.
  Status SyncOrDrop(size_t number, env::File& file);

  env::Env& env_;
  const std::string dir_;
  const Manifest& manifest_;
  std::vector<bool> has_;
  std::set<uint64_t> sizes_;  // of the manifest's files: others need not be hashed
  std::multimap<Hash128, size_t> numbers_;
  std::set<Hash128> waiting_;           // content that lies under its `.have-` name
  std::map<size_t, Writing> partials_;  // by file number
};

}  // namespace arima::snapshot
