#include "node/checked_file.h"

#include <array>
#include <optional>

#include "base/checksum.h"
#include "base/coding.h"

namespace arima::node {
namespace {

constexpr std::string_view kMagic = "ARIMAFIL";
constexpr uint32_t kVersion = 1;
constexpr uint64_t kBytesMax = 1 << 20;

std::array<std::string, 2> Copies(const std::string& path) { return {path, path + ".copy"}; }

std::string Frame(std::string_view content, uint64_t generation) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.Raw(kMagic);
  out.U32(kVersion);
  out.U32(static_cast<uint32_t>(content.size()));
  out.U64(generation);
  out.U64(Checksum64(content, Checksum64(bytes)));
  out.Raw(content);
  return bytes;
}

std::optional<CheckedContent> Parse(std::string_view bytes) {
  ByteReader in(bytes);
  std::string_view magic = in.Raw(kMagic.size());
  uint32_t version = in.U32();
  uint32_t length = in.U32();
  uint64_t generation = in.U64();
  if (!in.ok()) return std::nullopt;
  std::string_view head = bytes.substr(0, bytes.size() - in.remaining());
  uint64_t checksum = in.U64();
  std::string_view content = in.Raw(length);
  if (!in.done() || magic != kMagic || version != kVersion) return std::nullopt;
  if (checksum != Checksum64(content, Checksum64(head))) return std::nullopt;
  return CheckedContent{std::string(content), generation, false};
}

}  // namespace

Result<CheckedContent> ReadCheckedFile(env::Env& env, const std::string& path) {
  std::optional<CheckedContent> best;
  int found = 0;
  int good = 0;
  bool equal = true;
  for (const std::string& copy : Copies(path)) {
    Result<std::string> bytes = env::ReadFile(env, copy, kBytesMax);
    if (!bytes && bytes.error().code == Code::kNotFound) continue;
    if (!bytes && bytes.error().code != Code::kTooLarge) return std::unexpected(bytes.error());
    ++found;
    std::optional<CheckedContent> content = bytes ? Parse(*bytes) : std::nullopt;
    if (!content) continue;
    ++good;
    equal = equal && (!best || best->generation == content->generation);
    if (!best || content->generation > best->generation) best = std::move(content);
  }
  if (found == 0) return Fail(Code::kNotFound, path + " does not exist");
  if (!best) {
    return Fail(Code::kCorruption, path + " and " + path +
                                       ".copy are both damaged; restore one of them, or start with "
                                       "an empty volume directory and join again");
  }
  if (good == 2 && equal) return std::move(*best);
  std::string frame = Frame(best->bytes, best->generation);
  for (const std::string& copy : Copies(path)) {
    if (Status written = env::WriteFileAtomically(env, copy, frame); !written) {
      return std::unexpected(written.error());
    }
  }
  best->mended = true;
  return std::move(*best);
}

Status WriteCheckedFile(env::Env& env, const std::string& path, std::string_view bytes,
                        uint64_t generation) {
  std::string frame = Frame(bytes, generation);
  for (const std::string& copy : Copies(path)) {
    if (Status written = env::WriteFileAtomically(env, copy, frame); !written) return written;
  }
  return {};
}

}  // namespace arima::node
