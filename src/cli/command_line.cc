#include "cli/command_line.h"

#include <algorithm>
#include <string_view>

namespace arima::cli {
namespace {

constexpr size_t kNameColumn = 9;  // as published

bool IsHelpFlag(std::string_view word) { return word == "--help" || word == "-h"; }
bool IsHelpCommand(std::string_view word) { return word == "help" || word == "h"; }

void PrintCommand(std::string_view name, std::string_view alias, std::string_view summary,
                  std::ostream& out) {
  std::string names(name);
  if (!alias.empty()) names.append(", ").append(alias);
  names.resize(std::max(names.size() + 1, kNameColumn), ' ');
  out << "   " << names << summary << "\n";
}

const Command* Find(const std::vector<Command>& commands, std::string_view word) {
  auto found = std::ranges::find_if(commands, [word](const Command& command) {
    return command.name == word || (!command.alias.empty() && command.alias == word);
  });
  return found == commands.end() ? nullptr : &*found;
}

int Unknown(std::string_view what, std::string_view word, std::ostream& err) {
  err << "arima: unknown " << what << " \"" << word << "\"; arima --help lists what there is\n";
  return 2;
}

}  // namespace

void PrintHelp(const std::vector<Command>& commands, std::ostream& out) {
  out << "NAME:\n"
         "   arima - A simple fault tolerant key-value store\n"
         "\n"
         "USAGE:\n"
         "   arima [global options] command [command options] [arguments...]\n"
         "\n"
         "DESCRIPTION:\n"
         "   A distributed fault-tolerant key-value store which uses Raft for consensus.\n"
         "\n"
         "COMMANDS:\n";
  for (const Command& command : commands) {
    PrintCommand(command.name, command.alias, command.summary, out);
  }
  PrintCommand("help", "h", "Shows a list of commands or help for one command", out);
  out << "\n"
         "GLOBAL OPTIONS:\n"
         "   --help, -h  show help (default: false)\n";
}

int RunCommandLine(const std::vector<Command>& commands, const std::vector<std::string>& args,
                   std::ostream& out, std::ostream& err) {
  if (args.empty() || IsHelpFlag(args[0])) {
    PrintHelp(commands, out);
    return 0;
  }
  if (IsHelpCommand(args[0])) {
    if (args.size() == 1 || IsHelpFlag(args[1]) || IsHelpCommand(args[1])) {
      PrintHelp(commands, out);
      return 0;
    }
    const Command* command = Find(commands, args[1]);
    return command == nullptr ? Unknown("command", args[1], err)
                              : command->run({"--help"}, out, err);
  }
  const Command* command = Find(commands, args[0]);
  if (command == nullptr) {
    return Unknown(args[0].starts_with('-') ? "option" : "command", args[0], err);
  }
  return command->run({args.begin() + 1, args.end()}, out, err);
}

}  // namespace arima::cli
