# The rules of the house as tests: layering, text rules, the table of conformance, planted bugs and
# their table, headers that compile alone, and the tests of the checkers themselves.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(house ${CMAKE_SOURCE_DIR}/script)

add_test(NAME house_includes COMMAND ${Python3_EXECUTABLE} ${house}/check_includes.py)
add_test(NAME house_tidy COMMAND ${Python3_EXECUTABLE} ${house}/tidy.py)
add_test(NAME house_conformance COMMAND ${Python3_EXECUTABLE} ${house}/check_conformance.py)
add_test(NAME house_mutants COMMAND ${Python3_EXECUTABLE} ${house}/check_mutants.py)
add_test(NAME house_checkers COMMAND ${Python3_EXECUTABLE} ${house}/checkers_test.py)
add_test(NAME house_headers COMMAND ${Python3_EXECUTABLE} ${house}/check_headers.py
                                    --compiler ${CMAKE_CXX_COMPILER})
add_test(NAME house_harness COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/harness_test.py)
set_tests_properties(house_headers PROPERTIES TIMEOUT 900)
