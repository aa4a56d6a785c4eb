#include "wal/segment_files.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"

namespace arima::wal {
namespace {

using State = FoundSegment::State;

// A header counts only under the name it was written for: a recycled file still shows the one of
// its earlier use.
Result<SegmentHeader> HeaderOf(std::string_view block, uint64_t seq) {
  auto header = DecodeSegmentHeader(block);
  if (header && header->seq != seq) {
    return Fail(Code::kCorruption, "header of segment " + std::to_string(header->seq));
  }
  return header;
}

Status CheckIdentity(const SegmentHeader& header, const WalOptions& options,
                     const std::string& path) {
  if (header.cluster_id == options.cluster_id && header.incarnation == options.incarnation) {
    return {};
  }
  return Fail(Code::kConflict,
              "log segment " + path + " belongs to cluster " + ToHex(header.cluster_id) +
                  " incarnation " + ToHex(header.incarnation) + ", this node is of cluster " +
                  ToHex(options.cluster_id) + " incarnation " + ToHex(options.incarnation));
}

Status Judge(const Result<SegmentHeader>& first, const Result<SegmentHeader>& second,
             const WalOptions& options, FoundSegment* segment) {
  const bool first_active = first && first->kind == BlockKind::kActive;
  const bool second_active = second && second->kind == BlockKind::kActive;
  if (second_active && (!first || first->salt == second->salt)) {
    segment->state = State::kActive;
    segment->header = *second;
  } else if (first_active) {
    segment->state = State::kActive;
    segment->header = *first;
  } else if (first) {
    segment->state = State::kPrepared;
    segment->header = *first;
  } else {
    for (const auto* header : {&first, &second}) {
      if (!*header && header->error().code == Code::kNotSupported) {
        return Fail(Code::kNotSupported, segment->path + ": " + header->error().message);
      }
    }
    segment->problem = "both segment headers are damaged (" + first.error().message + ")";
    return {};
  }
  return CheckIdentity(segment->header, options, segment->path);
}

struct HeaderBlocks {
  uint64_t file_bytes = 0;
  Result<SegmentHeader> first;
  Result<SegmentHeader> second;
};

Result<HeaderBlocks> ReadBlocks(env::Env& env, const std::string& path, uint64_t seq) {
  auto file = env.Open(path, env::OpenMode::kReadUncached);
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->Size();
  if (!size) return std::unexpected(size.error());
  std::string blocks(2 * kBlockBytes, '\0');
  auto got = (*file)->ReadAt(0, blocks.data(), blocks.size());
  if (!got) return std::unexpected(got.error());
  blocks.resize(*got);
  const std::string_view view(blocks);
  return HeaderBlocks{*size, HeaderOf(view.substr(0, kBlockBytes), seq),
                      HeaderOf(view.substr(std::min<size_t>(kBlockBytes, view.size())), seq)};
}

Status ReadHeaders(env::Env& env, const WalOptions& options, FoundSegment* segment) {
  auto blocks = ReadBlocks(env, segment->path, segment->seq);
  if (!blocks) return std::unexpected(blocks.error());
  segment->file_bytes = blocks->file_bytes;
  return Judge(blocks->first, blocks->second, options, segment);
}

}  // namespace

Result<FoundFiles> FindFiles(env::Env& env, const WalOptions& options) {
  auto names = env.List(options.dir);
  if (!names) return std::unexpected(names.error());
  FoundFiles found;
  for (const std::string& name : *names) {
    const FileName parsed = ParseFileName(name);
    const std::string path = env::JoinPath(options.dir, name);
    switch (parsed.kind) {
      case FileKind::kSegment: {
        FoundSegment segment;
        segment.seq = parsed.number;
        segment.path = path;
        if (auto s = ReadHeaders(env, options, &segment); !s) return std::unexpected(s.error());
        found.segments.push_back(std::move(segment));
        break;
      }
      case FileKind::kFree:
        found.free_files.push_back(parsed.number);
        break;
      case FileKind::kTemporary:
        found.temporary.push_back(path);
        break;
      case FileKind::kPoison:
        found.poison = path;
        break;
      case FileKind::kOther:
        break;
    }
  }
  std::sort(found.segments.begin(), found.segments.end(),
            [](const FoundSegment& a, const FoundSegment& b) { return a.seq < b.seq; });
  return found;
}

Result<SegmentHeader> ReadNewestHeader(env::Env& env, const std::string& dir) {
  auto names = env.List(dir);
  if (!names) return std::unexpected(names.error());
  std::optional<Error> problem;
  // Sorted as their numbers are.
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    const FileName parsed = ParseFileName(*name);
    if (parsed.kind != FileKind::kSegment) continue;
    const std::string path = env::JoinPath(dir, *name);
    auto blocks = ReadBlocks(env, path, parsed.number);
    if (!blocks) return std::unexpected(blocks.error());
    for (const auto* header : {&blocks->second, &blocks->first}) {
      if (*header) return *header;
      if (!problem) problem = Error{header->error().code, path + ": " + header->error().message};
    }
  }
  if (problem) return std::unexpected(*problem);
  return Fail(Code::kNotFound, "there is no raft log in " + dir);
}

}  // namespace arima::wal
