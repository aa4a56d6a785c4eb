// A directory that a running node has open is refused: the node writes while one reads, and half a
// write would look like damage. While the command runs it holds the lock itself, so no node starts.
#include "cli/wal_command.h"

#include <algorithm>
#include <memory>
#include <string_view>

#include "base/hex.h"
#include "base/units.h"
#include "env/posix_env.h"
#include "wal/inspect.h"

namespace arima::cli {
namespace {

using wal::FoundSegment;

constexpr std::string_view kHelp =
    "NAME:\n"
    "   arima wal - Look at the raft log of a stopped node; nothing is changed\n"
    "\n"
    "USAGE:\n"
    "   arima wal dump [--entries] DIR   Show segments and frames, with --entries each record\n"
    "   arima wal verify DIR             Read everything, say what is damaged and what to do\n"
    "\n"
    "   DIR is a volume directory or the wal directory in it.\n"
    "\n"
    "EXIT CODES:\n"
    "   0 the log is sound; 1 it is damaged, in use or not readable; 2 wrong command line\n";

std::string Left(std::string text, size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}
std::string Right(uint64_t number, size_t width) {
  std::string text = std::to_string(number);
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string_view ReasonName(wal::SegmentReason reason) {
  switch (reason) {
    case wal::SegmentReason::kNone:
      return "prepared";
    case wal::SegmentReason::kCreated:
      return "created";
    case wal::SegmentReason::kRoll:
      return "roll";
    case wal::SegmentReason::kRecovery:
      return "recovery";
  }
  return "unknown";
}

std::string_view RecordName(wal::RecordType type) {
  switch (type) {
    case wal::RecordType::kEntry:
      return "entry";
    case wal::RecordType::kHardState:
      return "hard-state";
    case wal::RecordType::kReset:
      return "reset";
    case wal::RecordType::kTruncatePrefix:
      return "truncate";
    case wal::RecordType::kCheckpoint:
      return "checkpoint";
    case wal::RecordType::kAttest:
      return "attest";
    case wal::RecordType::kGroupRemoved:
      return "group-removed";
  }
  return "unknown";
}

std::string KindName(const wal::Record& record) {
  if (record.type != wal::RecordType::kEntry) return "-";
  switch (static_cast<raft::EntryKind>(record.sub_type)) {
    case raft::EntryKind::kNoop:
      return "noop";
    case raft::EntryKind::kCommand:
      return "command";
    case raft::EntryKind::kConf:
      return "conf";
    case raft::EntryKind::kClockTick:
      return "clock-tick";
  }
  return "kind-" + std::to_string(record.sub_type);
}

std::string FlagNames(uint32_t flags) {
  std::string names;
  for (auto [flag, name] : {std::pair{wal::kFrameAttestOnly, "attest-only"},
                            std::pair{wal::kFrameHasHardState, "hard-state"},
                            std::pair{wal::kFrameHasReset, "reset"}}) {
    if ((flags & flag) == 0) continue;
    if (!names.empty()) names += ",";
    names += name;
  }
  return names.empty() ? "-" : names;
}

std::string NameOf(const FoundSegment& segment) { return wal::SegmentName(segment.seq); }

std::string HeaderLine(const FoundSegment& segment) {
  std::string line = "segment " + NameOf(segment) + "  ";
  if (segment.state == FoundSegment::State::kDamaged) return line + "damaged: " + segment.problem;
  const wal::SegmentHeader& header = segment.header;
  line += Left(std::string(ReasonName(header.reason)), 8) + "  " + Right(segment.file_bytes, 10) +
          " bytes  salt " + ToHex(header.salt);
  if (segment.state == FoundSegment::State::kPrepared) return line;
  line += "  first frame " + std::to_string(header.first_frame);
  if (header.previous_seq == 0) return line + "  no previous";
  return line + "  previous " + wal::SegmentName(header.previous_seq) + " up to byte " +
         std::to_string(header.previous_length);
}

// Where the log is, with the volume directory locked if there is one.
struct Opened {
  std::string dir;
  std::unique_ptr<env::FileLock> lock;
  wal::WalOptions options;
};

Result<Opened> OpenLog(env::Env& env, const std::string& given, std::ostream& err) {
  Opened opened;
  opened.dir = given;
  std::string lock_path = env::JoinPath(given, "../LOCK");
  const std::string inner = env::JoinPath(given, "wal");
  if (auto info = env.Stat(inner); info && info->is_dir) {
    opened.dir = inner;
    lock_path = env::JoinPath(given, "LOCK");
  }
  // A directory without the file was never a node's, or is a copy: nothing is made in it.
  if (auto exists = env::Exists(env, lock_path); exists && *exists) {
    auto lock = env.Lock(lock_path);
    if (lock) {
      opened.lock = std::move(*lock);
    } else if (lock.error().code == Code::kConflict) {
      return Fail(Code::kConflict, given +
                                       " is in use by a running node; stop it, or look at a copy "
                                       "of the directory");
    } else {
      err << "arima: " << lock.error().message << "; make sure that no node uses it\n";
    }
  }
  auto options = wal::OptionsOfLog(env, opened.dir);
  if (!options) return std::unexpected(options.error());
  opened.options = std::move(*options);
  return opened;
}

int Dump(env::Env& env, const Opened& log, bool entries, std::ostream& out, std::ostream& err) {
  out << "cluster " << ToHex(log.options.cluster_id) << "  incarnation "
      << ToHex(log.options.incarnation) << "\n";
  wal::LogVisitor visitor;
  visitor.segment = [&](const FoundSegment& segment) { out << HeaderLine(segment) << "\n"; };
  visitor.frame = [&](const wal::Frame& frame) {
    out << "  frame " << Right(frame.header.number, 10) << "  at " << Right(frame.offset, 10)
        << "  " << Right(frame.end - frame.offset, 8) << " bytes  "
        << Right(frame.header.records, 5) << " records  term " << Right(frame.header.term.value, 5)
        << "  " << FlagNames(frame.header.flags) << "\n";
  };
  if (entries) {
    visitor.record = [&](const wal::Record& record, uint64_t offset) {
      out << "    " << Left(std::string(RecordName(record.type)), 10) << "  at "
          << Right(offset, 10) << "  index " << Right(record.index, 10) << "  term "
          << Right(record.term, 5) << "  " << Left(KindName(record), 10) << "  "
          << Right(record.body.size(), 8) << " bytes\n";
    };
  }
  visitor.segment_end = [&](const FoundSegment&, const wal::SegmentSummary& summary) {
    if (summary.problem.empty()) return;
    out << "  stops at byte " << summary.end << ": " << summary.problem << "\n";
  };
  if (Status walked = wal::WalkLog(env, log.options, visitor); !walked) {
    err << "arima: " << walked.error().message << "\n";
    return 1;
  }
  return 0;
}

std::string SummaryLine(const FoundSegment& segment, const wal::SegmentSummary& summary) {
  std::string line = NameOf(segment) + "  ";
  if (segment.state == FoundSegment::State::kPrepared) return line + "prepared, nothing in it";
  if (segment.state == FoundSegment::State::kDamaged) return line + "DAMAGED: " + summary.problem;
  line += Right(summary.frames, 8) + " frames  " + Right(summary.entries, 9) + " entries";
  if (summary.entries > 0) {
    line += " " + std::to_string(summary.first.value) + " to " + std::to_string(summary.last.value);
  }
  line += "  up to byte " + std::to_string(summary.end);
  if (summary.sealed) line += " of " + std::to_string(*summary.sealed);
  if (!summary.problem.empty()) line += "  DAMAGED: " + summary.problem;
  return line;
}

int Verify(env::Env& env, const Opened& log, std::ostream& out, std::ostream& err) {
  wal::LogVisitor visitor;
  visitor.segment_end = [&](const FoundSegment& segment, const wal::SegmentSummary& summary) {
    out << SummaryLine(segment, summary) << "\n";
  };
  if (Status walked = wal::WalkLog(env, log.options, visitor); !walked) {
    err << "arima: " << walked.error().message << "\n";
    return 1;
  }
  wal::RecoveredLog found;
  if (Status sound = wal::CheckLog(env, log.options, &found); !sound) {
    out << "damaged: " << sound.error().message << "\n";
    return 1;
  }
  out << "sound: " << found.text;
  if (found.ending == wal::Ending::kTornTail) {
    out << ", which is harmless: the next start does so by itself";
  }
  out << "\n";
  return 0;
}

int Wrong(std::string_view problem, std::ostream& err) {
  err << "arima: " << problem << "; arima wal --help shows how it is used\n";
  return 2;
}

}  // namespace

int RunWal(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (args.empty() || std::ranges::any_of(args, [](const std::string& word) {
        return word == "--help" || word == "-h";
      })) {
    out << kHelp;
    return 0;
  }
  const std::string& verb = args[0];
  if (verb != "dump" && verb != "verify") {
    return Wrong("unknown command \"wal " + verb + "\"", err);
  }
  bool entries = false;
  std::string dir;
  for (size_t i = 1; i < args.size(); ++i) {
    if (args[i] == "--entries" && verb == "dump") {
      entries = true;
    } else if (args[i].starts_with('-')) {
      return Wrong("unknown option \"" + args[i] + "\" of wal " + verb, err);
    } else if (!dir.empty()) {
      return Wrong("wal " + verb + " takes one directory, not also \"" + args[i] + "\"", err);
    } else {
      dir = args[i];
    }
  }
  if (dir.empty()) return Wrong("wal " + verb + " needs a directory", err);
  env::PosixEnv env;
  auto log = OpenLog(env, dir, err);
  if (!log) {
    err << "arima: " << log.error().message << "\n";
    return 1;
  }
  return verb == "dump" ? Dump(env, *log, entries, out, err) : Verify(env, *log, out, err);
}

}  // namespace arima::cli
