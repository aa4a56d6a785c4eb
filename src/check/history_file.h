// Histories as files of JSON lines, format 1: docs/testing/linearizability.md. Written by the
// harness of real processes (tests/chaos), read here. Pure functions, any thread.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "base/error.h"
#include "check/history.h"

namespace arima::check {

// Errors: kInvalidArgument, naming the line and what is wrong with it.
Result<std::vector<Operation>> ReadHistory(std::istream& in);

// The same format, header line first; for tests, and for the simulator to leave a history behind.
std::string FormatHistory(const std::vector<Operation>& history);

}  // namespace arima::check
