#include "snapshot/sender.h"

#include <utility>

#include "base/checksum.h"
#include "snapshot/frame.h"

namespace arima::snapshot {
namespace {

std::unexpected<Error> BrokenRule(const std::string& dir, const std::string& why) {
  return Fail(Code::kCorruption, "send snapshot " + dir + ": the receiver " + why);
}

}  // namespace

Sender::Sender(env::Env& env, std::string dir, const Manifest& manifest, RateLimiter& limiter,
               Waiter& waiter)
    : env_(env), dir_(std::move(dir)), manifest_(manifest), limiter_(limiter), waiter_(waiter) {}

Sender::~Sender() = default;

Status Sender::Serve(ByteStream& stream) {
  bool has_manifest = false;
  while (true) {
    auto request = ReadRequest(stream);
    if (!request) {
      return Fail(request.error().code, "send snapshot " + dir_ + ": " + request.error().message);
    }
    if (request->type == FrameType::kBusy) continue;
    if (request->type == FrameType::kDone) {
      if (request->outcome) return {};
      const Error& error = request->outcome.error();
      return Fail(error.code, "send snapshot " + dir_ + ": the receiver gave up: " + error.message);
    }
    Status status;
    if (request->type == FrameType::kGetManifest) {
      if (has_manifest) return BrokenRule(dir_, "asked for the manifest twice");
      has_manifest = true;
      status = SendManifest(stream, request->snapshot_id);
    } else {
      if (!has_manifest) return BrokenRule(dir_, "asked for a file before the manifest");
      status = SendChunk(stream, *request);
    }
    if (!status) return status;
  }
}

// The own trouble comes first; whether the receiver could still be told changes nothing. What it
// has asked for meanwhile is read: a socket closed over unread bytes may take the Failed with it.
// The receiver closes the stream when it has read it.
Status Sender::GiveUp(ByteStream& stream, Error error) {
  if (stream.Write(EncodeAnswer({.type = FrameType::kFailed, .error = error}, 0))) {
    for (size_t i = 0; i < kCreditFetches; ++i) {
      if (!ReadRequest(stream)) break;
    }
  }
  return std::unexpected(std::move(error));
}

Status Sender::SendManifest(ByteStream& stream, uint64_t snapshot_id) {
  if (snapshot_id != manifest_.snapshot_id) {
    return GiveUp(stream, {.code = Code::kNotFound,
                           .message = "there is no snapshot " + std::to_string(snapshot_id)});
  }
  const std::string bytes = EncodeManifest(manifest_);
  if (Status status = stream.Write(EncodeAnswer(
          {.type = FrameType::kManifest, .checksum = Checksum64(bytes)}, bytes.size()));
      !status) {
    return status;
  }
  return stream.Write(bytes);
}

Status Sender::SendChunk(ByteStream& stream, const Request& request) {
  if (request.file >= manifest_.files.size()) {
    return BrokenRule(dir_, "asked for file number " + std::to_string(request.file));
  }
  const uint64_t file_bytes = manifest_.files[request.file].bytes;
  if (request.offset > file_bytes || request.bytes > file_bytes - request.offset) {
    return BrokenRule(dir_, "asked for bytes behind the end of a file");
  }
  if (Status read = ReadChunk(request); !read) return GiveUp(stream, read.error());
  if (Status status = limiter_.Take(chunk_.size(), waiter_); !status) return status;
  const Answer answer{.type = FrameType::kChunk,
                      .file = request.file,
                      .offset = request.offset,
                      .checksum = Checksum64(chunk_)};
  if (Status status = stream.Write(EncodeAnswer(answer, chunk_.size())); !status) return status;
  if (Status status = stream.Write(chunk_); !status) return status;
  bytes_sent_.fetch_add(chunk_.size(), std::memory_order_relaxed);
  return {};
}

Status Sender::ReadChunk(const Request& request) {
  if (file_ == nullptr || file_number_ != request.file) {
    const std::string path = env::JoinPath(dir_, manifest_.files[request.file].name);
    auto file = env_.Open(path, env::OpenMode::kRead);
    if (!file) return std::unexpected(file.error());
    file_ = std::move(*file);
    file_number_ = request.file;
  }
  auto bytes = file_->Read(request.offset, request.bytes);
  if (!bytes) return std::unexpected(bytes.error());
  chunk_ = std::move(*bytes);
  return {};
}

}  // namespace arima::snapshot
