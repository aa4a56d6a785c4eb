#include "wal/inspect.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "wal/recovery.h"

namespace arima::wal {
namespace {

using State = FoundSegment::State;

void Count(const Record& record, SegmentSummary* summary) {
  if (record.type != RecordType::kEntry) return;
  const raft::Index index(record.index);
  if (summary->entries == 0) summary->first = index;
  summary->first = std::min(summary->first, index);
  summary->last = index;
  ++summary->entries;
}

// Frames up to the seal; without one, as far as they go. Where the newest segment stops, CheckLog
// tells an unfinished write from damage.
Status WalkFrames(const FoundSegment& segment, std::string_view bytes, const LogVisitor& visitor,
                  SegmentSummary* summary) {
  const FrameReader reader(bytes, segment.seq, segment.header.salt);
  FrameCursor cursor{kFirstFrameOffset, segment.header.first_frame, segment.header.previous_chain};
  while (!summary->sealed || cursor.offset < *summary->sealed) {
    auto frame = reader.Read(cursor);
    if (!frame) {
      if (summary->sealed) summary->problem = frame.error().message;
      return {};
    }
    if (visitor.frame) visitor.frame(*frame);
    Status read = ForEachRecord(*frame, [&](const Record& record, uint64_t offset) -> Status {
      Count(record, summary);
      if (visitor.record) visitor.record(record, offset);
      return {};
    });
    if (!read) {
      summary->problem = "frame " + std::to_string(cursor.number) + ": " + read.error().message;
      return {};
    }
    ++summary->frames;
    summary->end = frame->end;
    cursor = {frame->end, cursor.number + 1, frame->chain};
  }
  if (cursor.offset != *summary->sealed) {
    summary->problem = "it does not end where the segment behind it says";
  }
  return {};
}

Status WalkSegment(env::Env& env, const FoundSegment& segment, const FoundSegment* next,
                   const LogVisitor& visitor) {
  if (visitor.segment) visitor.segment(segment);
  SegmentSummary summary;
  if (next != nullptr && next->state == State::kActive &&
      next->header.previous_seq == segment.seq) {
    summary.sealed = next->header.previous_length;
  }
  if (segment.state == State::kActive) {
    auto file = env.Open(segment.path, env::OpenMode::kReadUncached);
    if (!file) return std::unexpected(file.error());
    auto bytes = (*file)->Read(0, segment.file_bytes);
    if (!bytes) return std::unexpected(bytes.error());
    if (auto s = WalkFrames(segment, *bytes, visitor, &summary); !s) return s;
  } else {
    summary.problem = segment.problem;
  }
  if (visitor.segment_end) visitor.segment_end(segment, summary);
  return {};
}

}  // namespace

Result<WalOptions> OptionsOfLog(env::Env& env, const std::string& dir) {
  auto header = ReadNewestHeader(env, dir);
  if (!header) return std::unexpected(header.error());
  WalOptions options;
  options.dir = dir;
  options.cluster_id = header->cluster_id;
  options.incarnation = header->incarnation;
  return options;
}

Status WalkLog(env::Env& env, const WalOptions& options, const LogVisitor& visitor) {
  auto files = FindFiles(env, options);
  if (!files) return std::unexpected(files.error());
  const std::vector<FoundSegment>& segments = files->segments;
  for (size_t i = 0; i < segments.size(); ++i) {
    const FoundSegment* next = i + 1 < segments.size() ? &segments[i + 1] : nullptr;
    if (auto s = WalkSegment(env, segments[i], next, visitor); !s) return s;
  }
  return {};
}

Status CheckLog(env::Env& env, const WalOptions& options, RecoveredLog* out) {
  return ExamineLog(env, options, out);
}

}  // namespace arima::wal
