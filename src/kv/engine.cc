#include "kv/engine.h"

#include <limits>

#include "base/assert.h"
#include "base/checksum.h"

namespace arima::kv {

void Batch::AppendHead(Kind kind, size_t key_bytes, size_t value_bytes) {
  constexpr size_t kBytesMax = std::numeric_limits<uint32_t>::max();
  ARIMA_ASSERT(key_bytes <= kBytesMax && value_bytes <= kBytesMax, key_bytes, value_bytes);
  ByteWriter writer(&ops_);
  writer.U8(static_cast<uint8_t>(kind));
  writer.U32(static_cast<uint32_t>(key_bytes));
  writer.U32(static_cast<uint32_t>(value_bytes));
  ++count_;
}

void Batch::Put(std::string_view key, std::string_view head, std::string_view body) {
  AppendHead(kPut, key.size(), head.size() + body.size());
  ops_.append(key).append(head).append(body);
}

void Batch::Delete(std::string_view key) {
  AppendHead(kDelete, key.size(), 0);
  ops_.append(key);
}

void Batch::Clear() {
  ops_.clear();
  count_ = 0;
}

Status Engine::Checkpoint(const std::string& dir) {
  return Fail(Code::kNotSupported, "make checkpoint " + dir + ": this engine keeps no files");
}

void Engine::ReadAhead(std::span<const std::string> /*keys*/) const {}

void Engine::ReportCorruption(const Error& /*error*/) {}

Result<uint64_t> ContentDigest(const Engine& engine) {
  uint64_t digest = 0;
  std::unique_ptr<Iterator> it = engine.NewIterator({.fill_cache = false});
  for (it->Seek({}); it->Valid(); it->Next()) {
    // Each hash seeds the next one; lengths are hashed too, so that no byte can change sides.
    std::string lengths;
    ByteWriter writer(&lengths);
    writer.U64(it->key().size());
    writer.U64(it->value().size());
    digest = Checksum64(lengths, digest);
    digest = Checksum64(it->key(), digest);
    digest = Checksum64(it->value(), digest);
  }
  if (Status status = it->status(); !status) return std::unexpected(status.error());
  return digest;
}

}  // namespace arima::kv
