#include "env/env.h"

#include <algorithm>
#include <utility>

namespace arima::env {
namespace {

constexpr uint64_t kZeroStepBytes = 1 << 20;

}  // namespace

Status File::Append(std::string_view bytes) {
  auto size = Size();
  if (!size) return std::unexpected(size.error());
  return WriteAt(*size, bytes);
}

Result<std::string> File::Read(uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  auto got = ReadAt(offset, bytes.data(), size);
  if (!got) return std::unexpected(got.error());
  if (*got != size) {
    return Fail(Code::kCorruption, "file ends at byte " + std::to_string(offset + *got) +
                                       ", expected " + std::to_string(offset + size));
  }
  return bytes;
}

std::string JoinPath(std::string_view dir, std::string_view name) {
  std::string path(dir);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  return path.append(name);
}

std::string ParentDir(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

Result<bool> Exists(Env& env, const std::string& path) {
  auto info = env.Stat(path);
  if (info) return true;
  if (info.error().code == Code::kNotFound) return false;
  return std::unexpected(info.error());
}

Result<std::string> ReadFile(Env& env, const std::string& path, uint64_t bytes_max) {
  auto file = env.Open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  auto size = (*file)->Size();
  if (!size) return std::unexpected(size.error());
  if (*size > bytes_max) {
    return Fail(Code::kTooLarge, "read " + path + ": " + std::to_string(*size) +
                                     " bytes, the limit is " + std::to_string(bytes_max));
  }
  return (*file)->Read(0, *size);
}

Status WriteFileAtomically(Env& env, const std::string& path, std::string_view bytes) {
  const std::string tmp = path + ".tmp";
  {
    auto file = env.Open(tmp, OpenMode::kCreateTruncate);
    if (!file) return std::unexpected(file.error());
    if (auto s = (*file)->WriteAt(0, bytes); !s) return s;
    if (auto s = (*file)->Sync(); !s) return s;
  }
  if (auto s = env.Rename(tmp, path); !s) return s;
  return env.SyncDir(ParentDir(path));
}

Status WriteZeros(File& file, uint64_t from, uint64_t to) {
  const std::string zeros(std::min(kZeroStepBytes, to > from ? to - from : 0), '\0');
  for (uint64_t offset = from; offset < to;) {
    uint64_t step = std::min<uint64_t>(zeros.size(), to - offset);
    if (auto s = file.WriteAt(offset, std::string_view(zeros).substr(0, step)); !s) return s;
    offset += step;
  }
  return {};
}

Status MakeDirs(Env& env, const std::string& path) {
  const std::string parent = ParentDir(path);
  auto info = env.Stat(path);
  if (info && !info->is_dir) {
    return Fail(Code::kAlreadyExists, "make directory " + path + ": a file has that name");
  }
  if (!info) {
    if (info.error().code != Code::kNotFound) return std::unexpected(info.error());
    if (auto s = MakeDirs(env, parent); !s) return s;
    if (auto s = env.MakeDir(path); !s && s.error().code != Code::kAlreadyExists) return s;
  } else if (!env.List(parent)) {
    return {};  // only whoever made it there can sync its name
  }
  return env.SyncDir(parent);
}

Status RemoveTree(Env& env, const std::string& path, const std::function<bool()>& stop) {
  auto info = env.Stat(path);
  if (!info) {
    if (info.error().code == Code::kNotFound) return {};
    return std::unexpected(info.error());
  }
  if (stop && stop()) return Fail(Code::kUnavailable, "remove " + path + ": stopped");
  if (!info->is_dir) return env.Unlink(path);
  auto names = env.List(path);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (auto s = RemoveTree(env, JoinPath(path, name), stop); !s) return s;
  }
  return env.RemoveDir(path);
}

}  // namespace arima::env
