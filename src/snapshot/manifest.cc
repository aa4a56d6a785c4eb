#include "snapshot/manifest.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"

namespace arima::snapshot {
namespace {

constexpr std::string_view kMagic = "ARIMASNP";
constexpr uint32_t kVersion = 1;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kFileBytesMin = 4 + 1 + 8 + 16;  // of one file's entry
constexpr uint64_t kTotalBytesMax = uint64_t{1} << 63;
constexpr size_t kHashPieceBytes = 1 << 20;

std::unexpected<Error> Bad(Code code, std::string why) {
  return Fail(code, "snapshot manifest: " + std::move(why));
}

Status CheckLimits(const Manifest& manifest) {
  if (manifest.conf.size() > kConfBytesMax) return Bad(Code::kTooLarge, "configuration");
  if (manifest.engine.size() > kEngineTextBytesMax ||
      manifest.engine_version.size() > kEngineTextBytesMax) {
    return Bad(Code::kTooLarge, "name of the engine");
  }
  if (manifest.files.size() > kManifestFilesMax) return Bad(Code::kTooLarge, "number of files");
  if (manifest.index == 0) return Bad(Code::kCorruption, "index 0");
  uint64_t total = 0;
  std::string_view previous;
  for (const SnapshotFile& file : manifest.files) {
    if (!IsFileName(file.name)) return Bad(Code::kCorruption, "no plain file name");
    if (file.name <= previous) return Bad(Code::kCorruption, "files are not in order");
    if (file.bytes >= kTotalBytesMax - total) return Bad(Code::kTooLarge, "sum of file sizes");
    total += file.bytes;
    previous = file.name;
  }
  return {};
}

void DecodeFiles(ByteReader* reader, uint32_t count, std::vector<SnapshotFile>* files) {
  files->reserve(count);
  for (uint32_t i = 0; i < count && reader->ok(); ++i) {
    SnapshotFile file;
    file.name = reader->Bytes();
    file.bytes = reader->U64();
    file.hash.low = reader->U64();
    file.hash.high = reader->U64();
    files->push_back(std::move(file));
  }
}

}  // namespace

uint64_t Manifest::TotalBytes() const {
  uint64_t total = 0;
  for (const SnapshotFile& file : files) total += file.bytes;
  return total;
}

bool IsFileName(std::string_view name) {
  if (name.empty() || name.size() > kFileNameBytesMax || name.front() == '.') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string EncodeManifest(const Manifest& manifest) {
  const Status within = CheckLimits(manifest);
  ARIMA_ASSERT(within.has_value(), within ? "" : within.error().message);
  std::string out;
  ByteWriter writer(&out);
  writer.Raw(kMagic);
  writer.U32(kVersion);
  writer.U64(manifest.snapshot_id);
  const auto& id = manifest.cluster_id.bytes;
  writer.Raw({reinterpret_cast<const char*>(id.data()), id.size()});
  writer.U64(manifest.index);
  writer.U64(manifest.term);
  writer.Bytes(manifest.conf);
  writer.Bytes(manifest.engine);
  writer.Bytes(manifest.engine_version);
  writer.U32(static_cast<uint32_t>(manifest.files.size()));
  for (const SnapshotFile& file : manifest.files) {
    writer.Bytes(file.name);
    writer.U64(file.bytes);
    writer.U64(file.hash.low);
    writer.U64(file.hash.high);
  }
  writer.U64(Checksum64(out));
  ARIMA_ASSERT(out.size() <= kManifestBytesMax, out.size());
  return out;
}

Result<Manifest> DecodeManifest(std::string_view bytes) {
  if (bytes.size() > kManifestBytesMax) return Bad(Code::kTooLarge, "size");
  if (bytes.size() < kMagic.size() + sizeof kVersion + kChecksumBytes ||
      !bytes.starts_with(kMagic)) {
    return Bad(Code::kCorruption, "not one");
  }
  ByteReader reader(bytes.substr(kMagic.size(), bytes.size() - kMagic.size() - kChecksumBytes));
  if (uint32_t version = reader.U32(); version != kVersion) {
    return Bad(Code::kNotSupported, "unknown version " + std::to_string(version));
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (Checksum64(body) != GetFixed<uint64_t>(bytes.data() + body.size())) {
    return Bad(Code::kCorruption, "checksum mismatch");
  }
  Manifest manifest;
  manifest.snapshot_id = reader.U64();
  const std::string_view id = reader.Raw(manifest.cluster_id.bytes.size());
  std::copy(id.begin(), id.end(), manifest.cluster_id.bytes.begin());
  manifest.index = reader.U64();
  manifest.term = reader.U64();
  manifest.conf = reader.Bytes();
  manifest.engine = reader.Bytes();
  manifest.engine_version = reader.Bytes();
  const uint32_t count = reader.U32();
  if (count > kManifestFilesMax) return Bad(Code::kTooLarge, "number of files");
  if (!reader.ok() || count > reader.remaining() / kFileBytesMin) {
    return Bad(Code::kCorruption, "cut short");
  }
  DecodeFiles(&reader, count, &manifest.files);
  if (!reader.done()) return Bad(Code::kCorruption, "wrong length");
  if (Status within = CheckLimits(manifest); !within) return std::unexpected(within.error());
  return manifest;
}

Result<Hash128> HashFile(env::Env& env, const std::string& path, const StepFn& step) {
  auto file = env.Open(path, env::OpenMode::kReadUncached);
  if (!file) return std::unexpected(file.error());
  Hasher128 hasher;
  std::string piece(kHashPieceBytes, '\0');
  for (uint64_t offset = 0;;) {
    auto got = (*file)->ReadAt(offset, piece.data(), piece.size());
    if (!got) return std::unexpected(got.error());
    hasher.Update({piece.data(), *got});
    offset += *got;
    if (step) {
      if (Status status = step(*got); !status) return std::unexpected(status.error());
    }
    if (*got < piece.size()) return hasher.Get();
  }
}

Status DescribeFiles(env::Env& env, const std::string& dir, const StepFn& step,
                     Manifest* manifest) {
  auto names = env.List(dir);
  if (!names) return std::unexpected(names.error());
  if (names->size() > kManifestFilesMax) {
    return Fail(Code::kTooLarge, "describe snapshot " + dir + ": it has " +
                                     std::to_string(names->size()) + " files");
  }
  manifest->files.clear();
  for (const std::string& name : *names) {
    const std::string path = env::JoinPath(dir, name);
    auto info = env.Stat(path);
    if (!info) return std::unexpected(info.error());
    if (info->is_dir || !IsFileName(name)) {
      return Fail(Code::kNotSupported, "describe snapshot: " + path + " has no place in one");
    }
    auto hash = HashFile(env, path, step);
    if (!hash) return std::unexpected(hash.error());
    manifest->files.push_back({.name = name, .bytes = info->bytes, .hash = *hash});
  }
  return CheckLimits(*manifest);
}

Result<Manifest> DescribeCheckpoint(env::Env& env, const std::string& dir, uint64_t snapshot_id,
                                    const StepFn& step, kv::Databases& databases) {
  auto applied = databases.ReadCheckpoint(dir);
  if (!applied) return std::unexpected(applied.error());
  Manifest manifest;
  manifest.snapshot_id = snapshot_id;
  manifest.cluster_id = applied->cluster_id;
  manifest.index = applied->index;
  manifest.term = applied->term;
  manifest.conf = std::move(applied->conf);
  manifest.engine = databases.engine_name();
  manifest.engine_version = databases.engine_version();
  if (Status status = DescribeFiles(env, dir, step, &manifest); !status) {
    return std::unexpected(status.error());
  }
  return manifest;
}

}  // namespace arima::snapshot
