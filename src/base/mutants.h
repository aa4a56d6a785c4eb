// Planted bugs, to prove that the tests would find real ones (docs/testing/mutants.md).
//
//   if (quorum <= commit || (TermAt(quorum) != term_ && !ARIMA_MUTANT(1))) return;
//
// stands at the very line that a bug would break: with mutant 1 chosen that line is wrong. Only the
// preset `mutants` (CMake option ARIMA_MUTANTS) has them; everywhere else ARIMA_MUTANT is a
// constant `false` in the compiler's front end already, and such a line compiles to what it would
// be without it.
//
// mutants.cc holds the table of all of them; script/check_mutants.py compares it with the points in
// the source. A process has one mutant at most: from the environment variable ARIMA_MUTANT ("M7"),
// or from ChooseMutant, which comes before any thread.
#pragma once

#ifdef ARIMA_MUTANTS

#include <string_view>

namespace arima {

inline constexpr const char* kMutantVariable = "ARIMA_MUTANT";

// "M7" or "7". False: there is no such mutant, or it has no place in this code.
bool ChooseMutant(std::string_view name);

namespace internal {
extern int chosen_mutant;  // 0 = none
}

inline bool IsMutant(int id) { return internal::chosen_mutant == id; }

}  // namespace arima

#else

namespace arima {
consteval bool IsMutant(int) { return false; }
}  // namespace arima

#endif

#define ARIMA_MUTANT(id) ::arima::IsMutant(id)
