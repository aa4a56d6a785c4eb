// The command line: one table of commands, the published help, and who runs what.
//
// Exit codes: 0 done; 1 the command failed (one line on stderr says why); 2 the command line itself
// is wrong (one line on stderr names the word and what to type instead).
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace arima::cli {

struct Command {
  std::string name;
  std::string alias;  // may be empty
  std::string summary;
  // `args` are those behind the command's name.
  std::function<int(const std::vector<std::string>& args, std::ostream& out, std::ostream& err)>
      run;
};

// `args` without the program's name. `help` is answered here, everything else by `commands`.
int RunCommandLine(const std::vector<Command>& commands, const std::vector<std::string>& args,
                   std::ostream& out, std::ostream& err);

// `arima --help`, to the letter of docs/design/http-api.md 1.1.
void PrintHelp(const std::vector<Command>& commands, std::ostream& out);

}  // namespace arima::cli
