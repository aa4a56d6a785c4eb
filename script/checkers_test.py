#!/usr/bin/env python3
"""Proof that the checkers of the house fail on what they are there to find."""

import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_conformance  # noqa: E402
import check_headers  # noqa: E402
import check_includes  # noqa: E402
import check_mutants  # noqa: E402
import tidy  # noqa: E402

GOOD_HEADER = ("// What it is.\n#pragma once\n\n#include <string>\n\n"
               "inline std::string F() { return {}; }\n")


class Tree(unittest.TestCase):
    """A small source tree in a temporary directory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        for header in ["base/error.h", "base/clock.h", "raft/types.h", "raft/core.h", "env/env.h",
                       "wal/wal.h", "kv/kv.h", "service/kv_service.h", "node/node.h",
                       "http/server.h", "testing/tools.h"]:
            self.write("src/" + header, GOOD_HEADER)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8", newline="") as file:
            file.write(text)


class CheckIncludes(Tree):
    def assert_found(self, path, line, expected):
        self.write(path, f"// Comment.\n{line}\n")
        problems = check_includes.check(self.root)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(expected, problems[0])
        self.assertTrue(problems[0].startswith(f"{path}:2:"), problems[0])

    def assert_fine(self, path, line):
        self.write(path, f"// Comment.\n{line}\n")
        self.assertEqual(check_includes.check(self.root), [])

    def test_what_the_table_allows_is_fine(self):
        self.assertEqual(check_includes.check(self.root), [])
        self.assert_fine("src/wal/a.cc", '#include "raft/types.h"')
        self.assert_fine("src/raft/a.cc", '#include "base/error.h"')
        self.assert_fine("src/cli/run_command.cc", '#include "http/server.h"')
        self.assert_fine("src/kv/rocks.cc", "#include <rocksdb/db.h>")
        self.assert_fine("src/raft/a_test.cc", '#include "testing/tools.h"')
        self.assert_fine("src/raft/b_test.cc", "#include <gtest/gtest.h>")

    def test_an_upward_include_is_found(self):
        self.assert_found("src/raft/a.cc", '#include "wal/wal.h"', "raft/ may not include")

    def test_a_front_end_that_reaches_into_the_node_is_found(self):
        self.assert_found("src/http/a.cc", '#include "node/node.h"', "http/ may not include")

    def test_more_of_raft_than_its_types_is_found(self):
        self.assert_found("src/wal/a.cc", '#include "raft/core.h"', "wal/ may not include")

    def test_only_the_composition_root_sees_everything(self):
        self.assert_found("src/cli/main.cc", '#include "http/server.h"', "cli/ may not include")

    def test_test_helpers_in_the_product_are_found(self):
        self.assert_found("src/kv/a.cc", '#include "testing/tools.h"', "kv/ may not include")
        os.remove(os.path.join(self.root, "src/kv/a.cc"))
        self.assert_found("src/kv/b.cc", "#include <gtest/gtest.h>", "*_test.cc")

    def test_libraries_outside_their_folder_are_found(self):
        for header in ["rocksdb/db.h", "boost/asio.hpp", "boost/beast/http.hpp", "spdlog/spdlog.h"]:
            self.assert_found("src/raft/a.cc", f"#include <{header}>", "may appear in")
        os.remove(os.path.join(self.root, "src/raft/a.cc"))
        self.assert_found("src/node/node.cc", "#include <boost/asio.hpp>", "may appear in")

    def test_threads_clocks_and_files_in_raft_are_found(self):
        for header in ["<thread>", "<mutex>", "<chrono>", "<fstream>", "<random>", "<sys/socket.h>",
                       '"base/clock.h"']:
            self.assert_found("src/raft/a.cc", f"#include {header}", "pure function")

    def test_calls_of_clock_and_chance_are_found(self):
        for call in ["auto t = std::chrono::steady_clock::now();", "int r = rand();",
                     'const char* home = getenv("HOME");', "std::random_device device;"]:
            for folder in ["raft", "wal", "kv"]:
                self.assert_found(f"src/{folder}/a.cc", call, "takes time, chance and settings")
                os.remove(os.path.join(self.root, f"src/{folder}/a.cc"))

    def test_what_the_simulator_could_not_run_is_found(self):
        for line in ["std::thread thread_;", "std::promise<void> done;", "auto n = steady_clock();",
                     "std::this_thread::sleep_for(pause);", "int fd = ::open(path, 0);",
                     "#include <mutex>", "#include <fstream>"]:
            for folder in ["node", "snapshot", "service"]:
                self.assert_found(f"src/{folder}/a.cc", line, "runs in the simulator")
                os.remove(os.path.join(self.root, f"src/{folder}/a.cc"))
        self.assert_fine("src/node/logger.cc", "clock_gettime(CLOCK_REALTIME, &now);")
        self.assert_fine("src/node/a_test.cc", "std::thread thread_;")
        self.assert_fine("src/kv/rocks_a.cc", "std::vector<std::jthread> threads;")
        self.assert_fine("src/http/a.cc", "std::thread thread_;")

    def test_calls_named_in_comments_and_strings_are_fine(self):
        self.assert_fine("src/raft/a.cc", "// never calls rand() or steady_clock::now()")
        self.assert_fine("src/raft/b.cc", 'const char* text = "getenv(x)";')

    def test_a_missing_file_and_angle_brackets_are_found(self):
        self.assert_found("src/raft/a.cc", '#include "raft/nothing.h"', "no file under src/")
        self.assert_found("src/raft/a.cc", "#include <raft/types.h>", "angle brackets")

    def test_an_unknown_folder_is_found(self):
        self.write("src/misc/a.cc", "int a;\n")
        self.assertIn("no row for this folder", check_includes.check(self.root)[0])

    def test_cmake_dependencies_beyond_the_table_are_found(self):
        self.write("src/kv/CMakeLists.txt", "arima_library(NAME kv DEPS base raft LIBS x)\n")
        self.assertEqual(check_includes.check(self.root),
                         ["src/kv/CMakeLists.txt: kv may not depend on raft"])
        self.write("src/kv/CMakeLists.txt", "arima_library(NAME kv DEPS base LIBS raft)\n")
        self.assertEqual(check_includes.check(self.root), [])


class Tidy(Tree):
    def assert_found(self, path, text, expected):
        self.write(path, text)
        problems = tidy.check(self.root)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(expected, problems[0])
        os.remove(os.path.join(self.root, path))

    def test_a_clean_tree_is_fine(self):
        self.write("src/base/a.cc", '#include "base/error.h"\n')
        self.write("README.md", "x" * 300 + "\n")
        self.write("src/raft/testdata/a.txt", "spaces at the end \t\n")
        self.assertEqual(tidy.check(self.root), [])

    def test_each_rule_finds_its_case(self):
        left_open = "TO" + "DO"
        home = "/ho" + "me/someone"
        for text, expected in [("int a = 1;" + " " * 91 + "//\n", "columns"), ("\tint a;\n", "tab"),
                               ("int a; \n", "space at the end"), ("int a;", "no newline"),
                               ("int a;\r\n", "carriage return"), ("int a;\n" * 1201, "1201 lines"),
                               (f"// {left_open}: later\n", "left open"),
                               (f"// {home}\n", "path of one machine"),
                               ("std::this_thread::sleep_" + "for(1s);\n", "waits by the clock")]:
            with self.subTest(expected):
                problems = [p for _, p in tidy.check_text("src/base/a_test.cc", text)]
                self.assertTrue(any(expected in p for p in problems), problems)

    def test_tests_may_be_longer(self):
        self.write("src/base/a_test.cc", "int a;\n" * 1200)
        self.assertEqual(tidy.check(self.root), [])
        self.assert_found("src/base/a_test.cc", "int a;\n" * 1201, "1201 lines")

    def test_headers_say_what_they_are(self):
        self.assert_found("src/base/a.h", "#pragma once\nint a;\n", "starts with a comment")
        self.assert_found("src/base/a.h", "// A thing.\nint a;\n", "#pragma once")
        self.assert_found("src/base/a.h", "// A thing.\n#include <a>\n#pragma once\n", "once")

    def test_documents_that_name_missing_files_are_found(self):
        self.write("docs/fine.md", "see `src/base/error.h`, `src/base` and `src/base/`\n")
        self.assertEqual(tidy.check(self.root), [])
        self.assert_found("docs/a.md", "see `src/base/gone.cc`\n", "names src/base/gone.cc")

    def test_machine_paths_in_texts_are_found(self):
        self.assert_found("docs/a.md", "see /ro" + "ot/notes\n", "path of one machine")

    def test_scripts_without_an_ending_are_read(self):
        self.assert_found("script/x", "#!/bin/sh\n\techo\n", "tab")


class CheckHeaders(Tree):
    def test_a_header_that_needs_another_include_is_found(self):
        self.write("src/base/needy.h", "// Needs <string>.\n#pragma once\nstd::string F();\n")
        count, problems = check_headers.check(self.root, "g++", ["base/error.h", "base/needy.h"])
        self.assertEqual(count, 2)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("src/base/needy.h does not compile alone", problems[0])

    def test_only_headers_that_the_build_does_not_prove_are_compiled(self):
        every = check_headers.check(self.root, "true")[0]
        self.write("src/base/error.cc", '// Why.\n#include "base/error.h"\n\n#include <map>\n')
        self.assertEqual(check_headers.check(self.root, "true")[0], every - 1)
        self.write("src/base/error.cc", '#include <map>\n#include "base/error.h"\n')
        self.assertEqual(check_headers.check(self.root, "true")[0], every)


class CheckConformance(Tree):
    PITFALLS = ("\n# 2. Pitfalls\n 1 (S) A vote is durable.\n1b (S) Its request too.\n"
                "\n# 3. Suite\n\n## 3.1 Files\n- campaign: an election.\n"
                "confchange/testdata: joint_safety, zero (tables).\n\n## 3.2 Units\n")

    def setUp(self):
        super().setUp()
        self.write("docs/design/raft.md", self.PITFALLS)
        self.write("src/raft/a_test.cc",
                   "TEST(Election, IsWon) {}\nTYPED_TEST(\n    Log, Ends) {}\n")
        self.write("src/raft/testdata/campaign.txt", "# Fact.\ncampaign 1\n----\nleader\n")
        self.write("src/sim/checker.h", "//   I1 one leader\n")
        self.write("tests/test_restart.py", "\nclass Alone(T):\n    def test_back(self):\n")
        self.page()

    def page(self, cell="`Election.IsWon`, `Log.Ends`, `campaign.txt:4`; I1", pitfalls=("1", "1b"),
             scenarios=("campaign", "joint_safety", "zero")):
        text = "\n## Pitfalls\n" + "".join(f"| {n} | rule | {cell} |\n" for n in pitfalls)
        text += "\n## Scenarios\n" + "".join(f"| {name} | fact |\n" for name in scenarios)
        self.write(check_conformance.PAGE, text + "\n## Subjects\n")

    def assert_found(self, expected, **page):
        self.page(**page)
        problems = check_conformance.check(self.root)
        self.assertTrue(problems, "nothing found")
        self.assertIn(expected, problems[0])

    def test_what_exists_is_fine(self):
        self.assertEqual(check_conformance.check(self.root), [])
        self.page("suite `Election` in `src/raft/a_test.cc`, `restart.Alone.test_back`")
        self.assertEqual(check_conformance.check(self.root), [])

    def test_what_does_not_exist_is_found(self):
        for cell in ["`Election.IsLost`", "`campaign.txt:3`", "`campaign.txt:9`", "`gone.txt:1`",
                     "`restart.Alone.test_gone`", "`restart.Other.test_back`",
                     "`gone.Alone.test_back`", "`src/raft/gone.cc`", "`some words`", "I99"]:
            with self.subTest(cell):
                self.assert_found("", cell=cell)

    def test_what_has_no_row_is_found(self):
        self.assert_found("pitfall 1b has no row", pitfalls=("1",))
        self.assert_found("scenario zero has no row", scenarios=("campaign", "joint_safety"))


class Coverage(unittest.TestCase):
    """script/coverage: what it counts, and when it says no."""

    @classmethod
    def setUpClass(cls):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "coverage")
        loader = importlib.machinery.SourceFileLoader("coverage_script", path)
        spec = importlib.util.spec_from_loader("coverage_script", loader)
        cls.script = importlib.util.module_from_spec(spec)
        sys.dont_write_bytecode = True  # nothing is left beside the script
        loader.exec_module(cls.script)

    def lcov(self, **files):
        text = ""
        for name, lines in files.items():
            path = os.path.join(self.script.ROOT, "src", "raft", name)
            text += f"SF:{path}\n" + "".join(f"DA:{n},{hits}\n" for n, hits in lines.items())
        return text.replace("_cc", ".cc") + "end_of_record\n"

    def test_lines_of_the_product_count_once_if_anything_reached_them(self):
        text = self.lcov(core_cc={1: 0, 2: 5}) + self.lcov(core_cc={1: 3, 2: 0, 3: 0})
        text += self.lcov(core_test_cc={1: 9}) + "SF:/usr/include/map\nDA:1,1\n"
        self.assertEqual(self.script.read_lcov(text),
                         {"raft/core.cc": {1: True, 2: True, 3: False}})

    def test_a_folder_below_its_aim_fails(self):
        def reached(share):
            lines = {n: n < share for n in range(100)}
            with open(os.devnull, "w", encoding="ascii") as nothing:
                stdout, sys.stdout = sys.stdout, nothing
                try:
                    return self.script.report({"raft/core.cc": lines})
                finally:
                    sys.stdout = stdout
        self.assertTrue(reached(95))
        self.assertFalse(reached(94))


class CheckMutants(Tree):
    ROW = '    {1, "a vote is lost", kSafety, "sim"},\n'
    POINT = "if (ARIMA_MUTANT(1)) return;\n"

    def assert_problems(self, rows, point, expected):
        self.write("src/base/mutants.cc", f"constexpr Mutant kMutants[] = {{\n{rows}}};\n")
        self.write("src/raft/a.cc", point)
        problems = check_mutants.check(self.root)
        self.assertEqual(len(problems), len(expected), problems)
        for problem, text in zip(problems, expected):
            self.assertIn(text, problem)

    def test_a_row_with_its_points_is_fine(self):
        self.assert_problems(self.ROW, self.POINT + self.POINT, [])
        harmless = '    {1, "no leases",\n     kSafety, "none: there are none"},\n'
        self.assert_problems(harmless, "", [])

    def test_points_and_rows_that_stand_alone_are_found(self):
        self.assert_problems(self.ROW, "", ["M1 has no point"])
        self.assert_problems("", self.POINT, ["src/raft/a.cc:1: M1 is not in"])
        self.assert_problems('    {1, "x", kSafety, "none: harmless"},\n', self.POINT,
                             ["has no place in this code"])

    def test_rows_that_cannot_be_read_are_found(self):
        self.assert_problems(self.ROW + self.ROW, self.POINT, ["two rows M1"])
        self.assert_problems('    {1, "x", kSafety, "somebody"},\n', self.POINT, ["whoever"])
        self.assert_problems(self.ROW + '    {2, "x", Breaks::kSafety, "sim"},\n', self.POINT,
                             ["not of the form"])

    def test_a_planted_bug_in_a_test_is_found(self):
        self.assert_problems(self.ROW, self.POINT, [])
        self.write("src/raft/a_test.cc", self.POINT)
        self.assertIn("in a test", check_mutants.check(self.root)[0])


if __name__ == "__main__":
    unittest.main()
