// Golden scripts: a text file of commands with their expected output, one scenario a file.
//
//   # A comment: what happens here and why it must.
//   propose 1 hello
//   ----
//   1: accepted at 12/1
//
// A block is comment lines, one command line, optional input lines, a line `----`, the expected
// output, and a blank line or the end of the file. The handler gets each command in turn and
// answers with the output; a scenario's state lives in the handler. Comments and blank lines may
// stand anywhere between blocks.
//
// Arguments are separated by blanks: `3`, `index=10`, `voters=(1,2,3)`. Parentheses may contain
// blanks.
//
// With ARIMA_REWRITE=1 in the environment the file is written anew with the actual output; read the
// difference before committing it. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace arima::testing {

struct ScriptArg {
  std::string key;                  // of key=value; empty for a positional argument
  std::vector<std::string> values;  // one, or those in parentheses
};

class ScriptCommand {
 public:
  std::string name;
  std::vector<ScriptArg> args;
  std::vector<std::string> input;  // lines between the command and `----`
  int line = 0;                    // of the command in its file

  // Positional arguments in order.
  std::vector<std::string> Positional() const;
  // Values of `key`; nullptr when absent.
  const std::vector<std::string>* Find(std::string_view key) const;
  // The single value of `key`, or `fallback`.
  std::string Get(std::string_view key, std::string_view fallback = "") const;
  uint64_t Number(std::string_view key, uint64_t fallback) const;
  bool Flag(std::string_view key, bool fallback = false) const;
};

// Parses one command line (without its input lines).
Result<ScriptCommand> ParseScriptCommand(std::string_view line);

// Decimal digits only.
std::optional<uint64_t> ParseNumber(std::string_view text);

using ScriptHandler = std::function<std::string(const ScriptCommand&)>;

// Runs or rewrites one file. The error text lists each block whose output differs. Output must not
// contain blank lines: a blank line ends a block.
Status RunScriptFile(const std::string& path, const ScriptHandler& handler);

// The files of a directory that end in .txt, sorted.
std::vector<std::string> ScriptFiles(const std::string& directory);

}  // namespace arima::testing
