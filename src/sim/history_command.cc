#include "sim/history_command.h"

#include <fstream>

#include "base/error.h"
#include "check/history_file.h"
#include "check/linearizability.h"

namespace arima::sim {

int CheckHistoryFile(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (args.size() != 1) {
    err << "arima sim: --check-history takes one file\nusage: arima sim --check-history FILE\n";
    return 2;
  }
  const std::string& path = args.front();
  std::ifstream in(path);
  if (!in) {
    err << "arima sim: history " << path << " cannot be opened; is the path right?\n";
    return 2;
  }
  const Result<std::vector<check::Operation>> history = check::ReadHistory(in);
  if (!history) {
    err << "arima sim: history " << path << ": " << history.error().message
        << "; the format is told in docs/testing/linearizability.md\n";
    return 2;
  }
  const check::Report report = check::CheckHistory(*history);
  out << report.Text();
  switch (report.judgement) {
    case check::Judgement::kLinearizable:
      return 0;
    case check::Judgement::kViolated:
      return 1;
    case check::Judgement::kUndecided:
      break;
  }
  err << "arima sim: history " << path
      << " could not be judged: give every write a value of its own, or use more keys\n";
  return 2;
}

}  // namespace arima::sim
