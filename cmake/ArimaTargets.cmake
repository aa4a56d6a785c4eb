# One way to declare a folder of src/ as a library, its unit tests and a program.
#
#   arima_library(NAME raft DEPS base)        all *.cc of the folder but *_test.cc -> arima_raft
#   arima_library(... LIBS RocksDB::rocksdb)  third-party libraries, private to the folder
#   arima_test(NAME raft DEPS testing)        all *_test.cc of the folder -> raft_test, run by ctest
#   arima_test(... SHARDS 3)                  run as three, node_test, node_test_2 and node_test_3,
#                                             beside each other: for tests that mostly wait
#
# DEPS names the folders this one may include (docs/design/architecture.md section 3);
# script/check_includes.py checks the #include lines against the same list.

set(ARIMA_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_COVERAGE "-O1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")

add_library(arima_flags INTERFACE)
target_compile_options(arima_flags INTERFACE ${ARIMA_WARNINGS})
target_include_directories(arima_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(ARIMA_WERROR)
  target_compile_options(arima_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12 calls a function that it declares deprecated itself (std::stable_sort), and clang
  # says so at each use; that alone must not fail the build.
  target_compile_options(arima_flags INTERFACE -Wthread-safety
                                               -Wno-error=deprecated-declarations)
endif()
if(ARIMA_SANITIZE)
  add_compile_options(-fsanitize=${ARIMA_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ARIMA_SANITIZE})
endif()
# Planted bugs, one of which is chosen at run time: no build but `mutants` has them.
if(ARIMA_MUTANTS)
  target_compile_definitions(arima_flags INTERFACE ARIMA_MUTANTS=1)
endif()
# Coverage feedback for the fuzzers in everything they link.
if(ARIMA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# Whole-state invariants run after each event wherever speed is not the point.
if(NOT CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_definitions(arima_flags INTERFACE ARIMA_CHECK_INVARIANTS=1)
endif()

function(arima_library)
  cmake_parse_arguments(ARG "" "NAME" "DEPS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$|_main\\.cc$")
  list(TRANSFORM ARG_DEPS PREPEND arima_)
  add_library(arima_${ARG_NAME} STATIC ${sources})
  target_link_libraries(arima_${ARG_NAME} PUBLIC arima_flags ${ARG_DEPS} PRIVATE ${ARG_LIBS})
endfunction()

function(arima_test)
  cmake_parse_arguments(ARG "" "NAME;SHARDS" "DEPS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *_test.cc)
  if(NOT sources)
    return()
  endif()
  list(TRANSFORM ARG_DEPS PREPEND arima_)
  add_executable(${ARG_NAME}_test ${sources})
  target_link_libraries(${ARG_NAME}_test PRIVATE arima_${ARG_NAME} ${ARG_DEPS} ${ARG_LIBS}
                                                 GTest::gmock GTest::gtest_main)
  target_compile_definitions(${ARG_NAME}_test
                             PRIVATE ARIMA_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  # What sanitizers add makes optimizing a file of tests take four times as long; the time is spent
  # in the code under test.
  target_compile_options(${ARG_NAME}_test PRIVATE $<$<CONFIG:Sanitize>:-O0>)
  if(NOT ARG_SHARDS)
    set(ARG_SHARDS 1)
  endif()
  foreach(shard RANGE 1 ${ARG_SHARDS})
    set(test ${ARG_NAME}_test)
    if(shard GREATER 1)
      string(APPEND test _${shard})
    endif()
    math(EXPR index "${shard} - 1")
    add_test(NAME ${test} COMMAND ${ARG_NAME}_test)
    set(environment GTEST_TOTAL_SHARDS=${ARG_SHARDS} GTEST_SHARD_INDEX=${index}
        GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/reports/gtest/${test}.xml)
    set_tests_properties(${test} PROPERTIES TIMEOUT 1500 ENVIRONMENT "${environment}")
  endforeach()
endfunction()
