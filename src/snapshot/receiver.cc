// Answers come in the order of the fetches, so one queue of what was asked for is all the state the
// conversation has, and each file is written and hashed front to back. Work on the own disk before
// and after the transfer is accompanied by Busy frames: the sender never waits in silence, and a
// cancelled stream is noticed.
#include "snapshot/receiver.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "snapshot/frame.h"
#include "snapshot/receive_dir.h"

namespace arima::snapshot {
namespace {

// How often one file may arrive whole and wrong.
constexpr int kFileAttemptsMax = 3;
constexpr size_t kDrainPieceBytes = 64 << 10;

struct Fetch {
  size_t file = 0;
  uint64_t offset = 0;
  uint32_t bytes = 0;
};

}  // namespace

// One attempt.
class Receiver::Transfer {
 public:
  Transfer(Receiver& receiver, ByteStream& stream)
      : receiver_(receiver), env_(receiver.env_), options_(receiver.options_), stream_(stream) {}

  Result<Manifest> Run();
  // Tells the sender how it ended, unless it ended it itself, or the stream did.
  void Tell(const Status& outcome);

 private:
  std::unexpected<Error> Fails(Code code, const std::string& why) const {
    return Fail(code, "receive snapshot into " + options_.dir + ": " + why);
  }
  Status Ask(const Request& request) {
    Status status = stream_.Write(EncodeRequest(request));
    if (!status) over_ = true;
    return status;
  }
  void Drain();
  Result<Answer> Hear(FrameType wanted);
  Status GetManifest();
  Status CheckManifest() const;
  Status CheckSpace() const;
  Status Work(uint64_t bytes);
  Status FetchAll();
  Status FillCredit();
  Status StartNextFile();
  Status TakeChunk();
  Status FinishFile(size_t number);
  Status Conclude();
  void Report();

  Receiver& receiver_;
  env::Env& env_;
  const ReceiverOptions& options_;
  ByteStream& stream_;
  bool over_ = false;  // nobody is there to tell
  Manifest manifest_;
  std::unique_ptr<ReceiveDir> dir_;
  uint64_t total_bytes_ = 0;
  uint64_t done_bytes_ = 0;
  uint64_t silent_bytes_ = 0;  // of work since the last Busy
  std::string payload_;
  std::deque<size_t> to_fetch_;  // files of which nothing has been asked for yet
  std::deque<Fetch> asked_;      // in order; the answers come in this order
  uint64_t asked_bytes_ = 0;     // sum over asked_; <= kCreditBytes
  bool asked_manifest_ = false;  // it has not come yet
  Fetch next_;                   // of the file being asked for; bytes unused
  bool asking_ = false;          // next_ is meaningful
  std::map<size_t, int> wrong_;  // how often a file was
};

Result<Manifest> Receiver::Transfer::Run() {
  if (Status status = GetManifest(); !status) return std::unexpected(status.error());
  dir_ = std::make_unique<ReceiveDir>(env_, options_.dir, manifest_);
  const StepFn step = [this](uint64_t bytes) { return Work(bytes); };
  if (Status status = dir_->Prepare(step); !status) return std::unexpected(status.error());
  for (size_t i = 0; i < manifest_.files.size(); ++i) {
    done_bytes_ += dir_->has(i) ? manifest_.files[i].bytes : dir_->PartialBytes(i);
    if (!dir_->has(i)) to_fetch_.push_back(i);
  }
  Report();
  if (Status status = CheckSpace(); !status) return std::unexpected(status.error());
  if (Status status = FetchAll(); !status) return std::unexpected(status.error());
  if (Status status = Conclude(); !status) return std::unexpected(status.error());
  return std::move(manifest_);
}

// The next answer, which is to be of the type wanted.
Result<Answer> Receiver::Transfer::Hear(FrameType wanted) {
  auto answer = ReadAnswer(stream_, wanted, &payload_);
  if (!answer) {
    over_ = answer.error().code == Code::kUnavailable;
    return Fails(answer.error().code, answer.error().message);
  }
  if (answer->type == FrameType::kFailed) {
    over_ = true;
    // Trouble of the sender's disk is none of ours: another attempt may find a better sender.
    const Code code = answer->error.code == Code::kNotFound ? Code::kNotFound : Code::kUnavailable;
    return Fails(code, "the sender gave up: " + answer->error.ToString());
  }
  return answer;
}

void Receiver::Transfer::Tell(const Status& outcome) {
  if (over_) return;
  // The snapshot is what it is, whether or not the sender hears of it.
  if (!Ask({.type = FrameType::kDone, .outcome = outcome})) return;
  if (asked_manifest_ || !asked_.empty()) Drain();
}

// Reads what was asked for and is not wanted any more. A sender in the middle of a chunk comes to
// the Done behind it only if the chunk can leave, and a socket closed over unread bytes may take
// the Done with it. Ends where the sender, having read it, closes the stream.
void Receiver::Transfer::Drain() {
  const uint64_t frames = asked_.size() + (asked_manifest_ ? 1 : 0);
  uint64_t left = asked_bytes_ + (asked_manifest_ ? kManifestBytesMax : 0) +
                  frames * (kFrameHeaderBytes + kFrameMetaBytesMax);
  std::string piece(kDrainPieceBytes, '\0');
  while (left > 0) {
    const size_t bytes = std::min<uint64_t>(left, piece.size());
    if (!stream_.Read({piece.data(), bytes})) return;
    left -= bytes;
  }
}

Status Receiver::Transfer::GetManifest() {
  Status asked =
      Ask({.type = FrameType::kGetManifest, .snapshot_id = options_.expected.snapshot_id});
  if (!asked) return asked;
  asked_manifest_ = true;
  if (auto answer = Hear(FrameType::kManifest); !answer) return std::unexpected(answer.error());
  asked_manifest_ = false;
  auto manifest = DecodeManifest(payload_);
  if (!manifest) return Fails(manifest.error().code, manifest.error().message);
  manifest_ = std::move(*manifest);
  payload_ = {};  // large, and not needed at this size again
  total_bytes_ = manifest_.TotalBytes();
  return CheckManifest();
}

Status Receiver::Transfer::CheckManifest() const {
  const Expected& expected = options_.expected;
  if (manifest_.snapshot_id != expected.snapshot_id ||
      manifest_.cluster_id != expected.cluster_id || manifest_.index != expected.index ||
      manifest_.term != expected.term) {
    return Fails(Code::kConflict, "the manifest (index " + std::to_string(manifest_.index) +
                                      ", term " + std::to_string(manifest_.term) +
                                      ") is not that of the snapshot announced " + "(index " +
                                      std::to_string(expected.index) + ", term " +
                                      std::to_string(expected.term) + ")");
  }
  if (manifest_.engine != options_.databases->engine_name()) {
    return Fails(Code::kNotSupported, "it was written by another engine");
  }
  return {};
}

Status Receiver::Transfer::CheckSpace() const {
  auto free_bytes = env_.FreeBytes(options_.dir);
  if (!free_bytes) return std::unexpected(free_bytes.error());
  const uint64_t needed = total_bytes_ - done_bytes_;
  if (needed <= *free_bytes && *free_bytes - needed >= options_.free_bytes_min) return {};
  return Fails(Code::kDiskFull, "it needs " + std::to_string(needed) + " bytes more, " +
                                    std::to_string(*free_bytes) + " are free and " +
                                    std::to_string(options_.free_bytes_min) + " must stay so");
}

// After `bytes` of work on the own disk.
Status Receiver::Transfer::Work(uint64_t bytes) {
  silent_bytes_ += bytes;
  if (silent_bytes_ < kBusyEveryBytes) return {};
  silent_bytes_ = 0;
  return Ask({.type = FrameType::kBusy});
}

void Receiver::Transfer::Report() {
  receiver_.bytes_done_.store(done_bytes_, std::memory_order_relaxed);
  receiver_.bytes_total_.store(total_bytes_, std::memory_order_relaxed);
  if (options_.on_progress) options_.on_progress({done_bytes_, total_bytes_});
}

Status Receiver::Transfer::FetchAll() {
  while (true) {
    if (Status status = FillCredit(); !status) return status;
    if (asked_.empty()) return {};
    if (Status status = TakeChunk(); !status) return status;
  }
}

// Asks for as much as the credit allows.
Status Receiver::Transfer::FillCredit() {
  while (true) {
    if (!asking_) {
      if (to_fetch_.empty()) return {};
      if (Status status = StartNextFile(); !status) return status;
      continue;
    }
    const uint64_t left = manifest_.files[next_.file].bytes - next_.offset;
    const uint64_t bytes = std::min<uint64_t>(left, kChunkBytesMax);
    if (asked_bytes_ + bytes > kCreditBytes || asked_.size() >= kCreditFetches) return {};
    const Fetch fetch{next_.file, next_.offset, static_cast<uint32_t>(bytes)};
    Status asked = Ask({.type = FrameType::kFetch,
                        .file = static_cast<uint32_t>(fetch.file),
                        .offset = fetch.offset,
                        .bytes = fetch.bytes});
    if (!asked) return asked;
    asked_.push_back(fetch);
    asked_bytes_ += bytes;
    next_.offset += bytes;
    asking_ = bytes < left;
  }
}

Status Receiver::Transfer::StartNextFile() {
  next_ = {.file = to_fetch_.front(), .offset = dir_->PartialBytes(to_fetch_.front())};
  to_fetch_.pop_front();
  asking_ = next_.offset < manifest_.files[next_.file].bytes;
  return asking_ ? Status{} : FinishFile(next_.file);  // it lacks no byte, only its name
}

Status Receiver::Transfer::TakeChunk() {
  auto answer = Hear(FrameType::kChunk);
  if (!answer) return std::unexpected(answer.error());
  const Fetch fetch = asked_.front();
  if (answer->file != fetch.file || answer->offset != fetch.offset ||
      payload_.size() != fetch.bytes) {
    return Fails(Code::kCorruption, "a chunk that was not asked for");
  }
  asked_.pop_front();
  asked_bytes_ -= fetch.bytes;
  if (Status status = dir_->Append(fetch.file, payload_); !status) return status;
  done_bytes_ += fetch.bytes;
  if (fetch.offset + fetch.bytes == manifest_.files[fetch.file].bytes) {
    if (Status status = FinishFile(fetch.file); !status) return status;
  }
  Report();
  return {};
}

Status Receiver::Transfer::FinishFile(size_t number) {
  auto right = dir_->Finish(number);
  if (!right) return std::unexpected(right.error());
  if (*right) return {};
  const SnapshotFile& file = manifest_.files[number];
  done_bytes_ -= file.bytes;
  if (++wrong_[number] < kFileAttemptsMax) {
    to_fetch_.push_back(number);
    return {};
  }
  return Fails(Code::kCorruption, "file " + file.name + " arrived with a wrong hash " +
                                      std::to_string(kFileAttemptsMax) + " times");
}

// All files are there under their names.
Status Receiver::Transfer::Conclude() {
  if (Status status = dir_->Sync(); !status) return status;
  const StepFn step = [this](uint64_t bytes) { return Work(bytes); };
  const VerifyFn verify = options_.verify ? options_.verify : VerifyDatabaseOf(options_.databases);
  if (Status status = verify(options_.dir, manifest_, step); !status) {
    const Code code = status.error().code;
    if (code != Code::kUnavailable && code != Code::kIo) {
      // Every file is as the sender described it, so fetching them again would not help.
      if (Status cleared = ReceiveDir::Clear(env_, options_.dir); !cleared) return cleared;
    }
    return status;
  }
  return StoreFinished(env_, options_.dir, manifest_);
}

Receiver::Receiver(env::Env& env, ReceiverOptions options)
    : env_(env), options_(std::move(options)) {}

Receiver::~Receiver() = default;

Result<Manifest> Receiver::Receive(ByteStream& stream) {
  Result<Manifest> result;
  {
    Transfer transfer(*this, stream);
    result = transfer.Run();
    transfer.Tell(result ? Status() : std::unexpected(result.error()));
  }
  if (!result && result.error().code == Code::kDiskFull) {
    if (Status cleared = ReceiveDir::Clear(env_, options_.dir); !cleared) {
      result.error().message += "; and it could not be emptied: " + cleared.error().message;
    }
  }
  return result;
}

Progress Receiver::progress() const {
  return {.bytes_done = bytes_done_.load(std::memory_order_relaxed),
          .bytes_total = bytes_total_.load(std::memory_order_relaxed)};
}

}  // namespace arima::snapshot
