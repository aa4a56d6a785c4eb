#include "kv/visible_digest.h"

#include <memory>
#include <string>

#include "base/checksum.h"
#include "base/coding.h"
#include "kv/applied_record.h"
#include "kv/key_schema.h"
#include "kv/value_record.h"

namespace arima::kv {
namespace {

class Digest {
 public:
  // Lengths are hashed too, so that no byte can change sides.
  void Add(std::string_view key, std::string_view value) {
    std::string lengths;
    ByteWriter writer(&lengths);
    writer.U64(key.size());
    writer.U64(value.size());
    sum_ = Checksum64(lengths, sum_);
    sum_ = Checksum64(key, sum_);
    sum_ = Checksum64(value, sum_);
  }
  uint64_t sum() const { return sum_; }

 private:
  uint64_t sum_ = 0;
};

Status AddVersions(const Engine& engine, uint64_t oldest, Digest* digest) {
  std::unique_ptr<Iterator> it = engine.NewIterator({.lower = "k", .upper = "l"});
  std::string prefix;
  bool below = false;  // the newest version at or below `oldest` was seen
  for (it->Seek({}); it->Valid(); it->Next()) {
    Result<ValueRecord> record = DecodeValue(it->key(), it->value());
    if (!record) return std::unexpected(record.error());
    if (FilterPrefix(it->key()) != prefix) {
      prefix = FilterPrefix(it->key());
      below = false;
    }
    if (below) continue;
    below = RevisionOfVersionKey(it->key()) <= oldest;
    // A deletion that ends history looks like a key that never was.
    if (below && record->deleted) continue;
    digest->Add(it->key(), it->value());
  }
  return it->status();
}

Status AddDeletions(const Engine& engine, uint64_t oldest, Digest* digest) {
  std::unique_ptr<Iterator> it =
      engine.NewIterator({.lower = DeletionsFrom(oldest + 1), .upper = "e"});
  for (it->Seek({}); it->Valid(); it->Next()) digest->Add(it->key(), it->value());
  return it->status();
}

}  // namespace

Result<uint64_t> VisibleDigest(const Engine& engine) {
  std::string bytes;
  Result<bool> found = engine.Get(kAppliedKey, &bytes);
  if (!found) return std::unexpected(found.error());
  if (!*found) return Fail(Code::kCorruption, "digest: there is no applied record");
  Result<AppliedState> applied = DecodeApplied(bytes);
  if (!applied) return std::unexpected(applied.error());
  Digest digest;
  digest.Add(kAppliedKey, bytes);
  Status status = AddVersions(engine, applied->compact_revision, &digest);
  if (status) status = AddDeletions(engine, applied->compact_revision, &digest);
  if (!status) return std::unexpected(status.error());
  return digest.sum();
}

}  // namespace arima::kv
