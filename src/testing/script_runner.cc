// The file is cut into chunks: text that is copied unchanged (comments, blank lines, commands) and
// expected outputs. Rewriting is then the same walk with the actual outputs in place of the
// expected ones, so that a rewritten file that already passed is unchanged byte for byte.

#include "testing/script_runner.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

namespace arima::testing {
namespace {

constexpr std::string_view kSeparator = "----";

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

// Splits at blanks outside of parentheses.
Result<std::vector<std::string>> SplitWords(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  int depth = 0;
  for (char c : line) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (depth < 0) return Fail(Code::kInvalidArgument, "unbalanced ) in: " + std::string(line));
    if (c == ' ' && depth == 0) {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else {
      word += c;
    }
  }
  if (depth != 0) return Fail(Code::kInvalidArgument, "unbalanced ( in: " + std::string(line));
  if (!word.empty()) words.push_back(word);
  return words;
}

ScriptArg ParseArg(std::string_view word) {
  ScriptArg arg;
  size_t equals = word.find('=');
  size_t paren = word.find('(');
  if (equals != std::string_view::npos && equals < paren) {
    arg.key = word.substr(0, equals);
    word.remove_prefix(equals + 1);
  }
  if (word.size() >= 2 && word.front() == '(' && word.back() == ')') {
    std::istringstream in{std::string(word.substr(1, word.size() - 2))};
    for (std::string value; std::getline(in, value, ',');) {
      std::erase(value, ' ');
      if (!value.empty()) arg.values.push_back(value);
    }
  } else {
    arg.values.emplace_back(word);
  }
  return arg;
}

// One walk over a file: feeds blocks to the handler, collects the new text and the differences.
class Walk {
 public:
  Walk(std::string path, std::vector<std::string> lines, const ScriptHandler& handler)
      : path_(std::move(path)), lines_(std::move(lines)), handler_(handler) {}

  Status Run() {
    while (at_ < lines_.size()) {
      const std::string& line = lines_[at_];
      if (IsBlank(line) || line.front() == '#') {
        Copy();
      } else if (Status s = RunBlock(); !s) {
        return s;
      }
    }
    return {};
  }

  const std::string& rewritten() const { return rewritten_; }
  const std::string& differences() const { return differences_; }

 private:
  void Copy() { rewritten_ += lines_[at_++] + "\n"; }

  Status RunBlock() {
    Result<ScriptCommand> command = ParseScriptCommand(lines_[at_]);
    if (!command) return Fail(Code::kInvalidArgument, Place(at_) + command.error().message);
    command->line = static_cast<int>(at_) + 1;
    Copy();
    for (; at_ < lines_.size() && lines_[at_] != kSeparator; Copy()) {
      if (IsBlank(lines_[at_])) return Fail(Code::kInvalidArgument, Place(at_) + "no ---- before");
      command->input.push_back(lines_[at_]);
    }
    if (at_ == lines_.size())
      return Fail(Code::kInvalidArgument, Place(at_) + "no ---- at the end");
    Copy();
    std::string expected;
    for (; at_ < lines_.size() && !IsBlank(lines_[at_]); ++at_) expected += lines_[at_] + "\n";

    std::string actual = handler_(*command);
    if (!actual.empty() && actual.back() != '\n') actual += '\n';
    for (const std::string& line : SplitLines(actual)) {
      if (IsBlank(line)) {
        return Fail(Code::kInvalidArgument,
                    Place(static_cast<size_t>(command->line) - 1) + "output has a blank line");
      }
    }
    rewritten_ += actual;
    if (actual != expected) {
      differences_ += Place(static_cast<size_t>(command->line) - 1) + command->name +
                      "\n  expected:\n" + expected + "  actual:\n" + actual;
    }
    return {};
  }

  std::string Place(size_t line) const { return path_ + ":" + std::to_string(line + 1) + ": "; }

  const std::string path_;
  const std::vector<std::string> lines_;
  const ScriptHandler& handler_;
  size_t at_ = 0;
  std::string rewritten_;
  std::string differences_;
};

bool RewriteWanted() {
  const char* value = std::getenv("ARIMA_REWRITE");
  return value != nullptr && std::string_view(value) == "1";
}

}  // namespace

std::vector<std::string> ScriptCommand::Positional() const {
  std::vector<std::string> found;
  for (const ScriptArg& arg : args) {
    if (arg.key.empty()) found.insert(found.end(), arg.values.begin(), arg.values.end());
  }
  return found;
}

const std::vector<std::string>* ScriptCommand::Find(std::string_view key) const {
  for (const ScriptArg& arg : args) {
    if (arg.key == key) return &arg.values;
  }
  return nullptr;
}

std::string ScriptCommand::Get(std::string_view key, std::string_view fallback) const {
  const std::vector<std::string>* values = Find(key);
  return values == nullptr || values->empty() ? std::string(fallback) : values->front();
}

uint64_t ScriptCommand::Number(std::string_view key, uint64_t fallback) const {
  return ParseNumber(Get(key)).value_or(fallback);
}

bool ScriptCommand::Flag(std::string_view key, bool fallback) const {
  return Get(key, fallback ? "true" : "false") == "true";
}

Result<ScriptCommand> ParseScriptCommand(std::string_view line) {
  Result<std::vector<std::string>> words = SplitWords(line);
  if (!words) return std::unexpected(words.error());
  if (words->empty()) return Fail(Code::kInvalidArgument, "no command");
  ScriptCommand command;
  command.name = words->front();
  for (size_t i = 1; i < words->size(); ++i) command.args.push_back(ParseArg((*words)[i]));
  return command;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status RunScriptFile(const std::string& path, const ScriptHandler& handler) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Fail(Code::kNotFound, "cannot read script " + path);
  std::string text(std::istreambuf_iterator<char>(in), {});
  Walk walk(path, SplitLines(text), handler);
  if (Status s = walk.Run(); !s) return s;
  if (RewriteWanted()) {
    if (walk.rewritten() == text) return {};
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << walk.rewritten();
    if (!out.flush()) return Fail(Code::kIo, "cannot rewrite script " + path);
    return {};
  }
  if (!walk.differences().empty()) return Fail(Code::kInternal, walk.differences());
  return {};
}

std::vector<std::string> ScriptFiles(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace arima::testing
