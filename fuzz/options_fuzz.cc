// Any words as flags, environment and config file of `arima run`, and as a whole command line:
// nothing crashes, what is accepted passes the table's own checks again, what is refused is told in
// one line.
//
// The input is lines; a line "--" ends the flags, the next one the environment; the file follows.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/assert.h"
#include "cli/command_line.h"
#include "node/option_table.h"
#include "node/options.h"

namespace {

using arima::node::Options;
using arima::node::Origin;

std::vector<std::string> TakeLines(std::string_view* text) {
  std::vector<std::string> lines;
  while (!text->empty()) {
    const size_t end = text->find('\n');
    const std::string_view line = text->substr(0, end);
    text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
    if (line == "--") break;
    lines.emplace_back(line);
  }
  return lines;
}

template <class Field>
bool SameField(const Options& a, const Options& b, Field Options::* field) {
  return a.*field == b.*field;
}

void CheckResolved(const arima::node::Resolved& resolved) {
  const auto table = arima::node::OptionTable();
  ARIMA_ASSERT(resolved.values.size() == table.size());
  for (size_t i = 0; i < table.size(); ++i) {
    const arima::node::ResolvedOption& value = resolved.values[i];
    ARIMA_ASSERT(value.spec == &table[i]);
    // An option that is not set has nothing to be checked.
    if (value.origin == Origin::kDefault && value.text.empty()) continue;
    Options again;
    ARIMA_ASSERT(arima::node::StoreOption(table[i], value.text, value.where, &again).has_value(),
                 value.text);
    std::visit(
        [&](auto field) {
          ARIMA_ASSERT(SameField(again, resolved.options, field), table[i].name, value.text);
        },
        table[i].field);
  }
}

void CheckOneLine(const std::string& text) {
  ARIMA_ASSERT(!text.empty());
  for (const char c : text) ARIMA_ASSERT(c != '\n', text);
}

void CheckCommandLine(const std::vector<std::string>& args) {
  int runs = 0;
  const auto run = [&](const std::vector<std::string>&, std::ostream&, std::ostream&) {
    ++runs;
    return 7;
  };
  const std::vector<arima::cli::Command> commands = {{"run", "r", "Run the server", run},
                                                     {"wal", "", "Look at a log", run}};
  std::ostringstream out;
  std::ostringstream err;
  const int code = arima::cli::RunCommandLine(commands, args, out, err);
  ARIMA_ASSERT(code == (runs == 1 ? 7 : out.str().empty() ? 2 : 0), code, runs);
  ARIMA_ASSERT((code == 2) == !err.str().empty(), err.str());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> args = TakeLines(&text);
  CheckCommandLine(args);
  arima::node::OptionSources sources;
  sources.environment = TakeLines(&text);
  sources.read_file = [&](const std::string&) { return arima::Result<std::string>(text); };
  const auto resolved = arima::node::ResolveOptions(args, sources);
  if (!resolved) {
    CheckOneLine(resolved.error().message);
  } else if (!resolved->help) {
    CheckResolved(*resolved);
    for (const std::string& warning : resolved->warnings) CheckOneLine(warning);
  }
  return 0;
}
