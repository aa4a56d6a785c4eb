#!/usr/bin/env python3
"""Checks that what docs/testing/conformance.md names exists.

    script/check_conformance.py [ROOT]    exit code 1 and one line per broken reference

Every code span of the page is a unit test (Suite.Test), a suite, a line of a golden script
(name.txt:12), a test of real processes (file.Class.test_name) or a path. Every pitfall of
docs/design/raft.md section 2 and every scenario of 3.1 has a row, and each invariant that is named
is checked by the simulator.
"""

import glob
import os
import re
import sys

import house

PAGE = "docs/testing/conformance.md"
DESIGN = "docs/design/raft.md"

TEST = re.compile(r"\b(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)")
SPAN = re.compile(r"`([^`]+)`")
GOLDEN = re.compile(r"(\w+\.txt):(\d+)")
UNIT = re.compile(r"[A-Z]\w*\.[A-Z]\w*")
PROCESS = re.compile(r"([a-z_]+)\.([A-Z]\w*)\.(test_\w+)")
PATH = re.compile(r"(src|tests|script|docs)/[\w./]+")
INVARIANT = re.compile(r"\bI\d{1,2}\b")
# Spans that name no test: words of the text, and names with a slash before the suite.
WORDS = {"next", "match", "arima sim", "Suite.Test", "Scenario/RaftScriptTest"}


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def section(text, begin, end):
    """What stands between two headings."""
    return text.partition(begin)[2].partition(end)[0]


class Known:
    """What exists in the source tree."""

    def __init__(self, root):
        self.root = root
        self.tests = set()
        for path in glob.glob(os.path.join(root, "src", "*", "*_test.cc")):
            self.tests.update(TEST.findall(read(root, path)))
        self.suites = {suite for suite, _ in self.tests}
        self.golden = {}
        pattern = os.path.join(root, "src", "raft", "testdata", "**", "*.txt")
        for path in glob.glob(pattern, recursive=True):
            self.golden[os.path.basename(path)] = read(root, path).splitlines()
        headers = glob.glob(os.path.join(root, "src", "sim", "*.h"))
        self.invariants = set(INVARIANT.findall("".join(read(root, path) for path in headers)))

    def why_not(self, span):
        """None if the span names something that exists, else what is wrong."""
        if span in WORDS or span in self.suites:
            return None
        if match := GOLDEN.fullmatch(span):
            return self.why_not_golden(match[1], int(match[2]))
        if UNIT.fullmatch(span):
            known = tuple(span.split(".")) in self.tests
            return None if known else f"no unit test {span}"
        if match := PROCESS.fullmatch(span):
            return self.why_not_process(*match.groups())
        if PATH.fullmatch(span):
            there = os.path.exists(os.path.join(self.root, span))
            return None if there else f"{span} is not there"
        return f"`{span}` is no test, suite, line of a script or path"

    def why_not_golden(self, name, number):
        lines = self.golden.get(name)
        if lines is None:
            return f"no golden script {name}"
        if number > len(lines) or not lines[number - 1].strip("- "):
            return f"{name}:{number} shows nothing"
        return None

    def why_not_process(self, file, suite, test):
        path = f"tests/test_{file}.py"
        if not os.path.exists(os.path.join(self.root, path)):
            return f"{path} is not there"
        code = section(read(self.root, path), f"\nclass {suite}(", "\nclass ")
        return None if f"def {test}(" in code else f"no test {suite}.{test} in {path}"


def rows(text):
    """First cells of the tables."""
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]


def missing_rows(page, design):
    """Pitfalls and scenarios of the design that have no row."""
    pitfalls = section(design, "\n# 2. ", "\n# 3. ")
    wanted = re.findall(r"^ ?(\d{1,2}b?) \([SLDO]\)", pitfalls, re.MULTILINE)
    have = rows(section(page, "\n## Pitfalls", "\n## Scenarios"))
    for number in wanted:
        if number not in have:
            yield f"pitfall {number} has no row"
    scenarios = section(design, "\n## 3.1 ", "\n## 3.2 ")
    names = re.findall(r"^- (\w+):", scenarios, re.MULTILINE)
    for folder in re.findall(r"^\w+/testdata: ([\w, \n]+)", scenarios, re.MULTILINE):
        names += re.findall(r"[a-z]+_[a-z_]+|update|zero", folder)
    have = rows(section(page, "\n## Scenarios", "\n## Subjects"))
    for name in names:
        if name not in have:
            yield f"scenario {name} has no row"
    if not wanted or not names:
        yield f"{DESIGN} has no list of pitfalls or scenarios any more"


def check(root):
    known = Known(root)
    page = read(root, PAGE)
    problems = []
    for number, line in enumerate(page.splitlines(), 1):
        spans = SPAN.findall(line)
        found = [known.why_not(span) for span in spans]
        if line.startswith("|"):
            found += [f"the simulator's headers do not name {name}"
                      for name in INVARIANT.findall(line) if name not in known.invariants]
        problems += [f"{PAGE}:{number}: {problem}" for problem in found if problem]
    problems += [f"{PAGE}: {problem}" for problem in missing_rows(page, read(root, DESIGN))]
    return problems


if __name__ == "__main__":
    sys.exit(house.main("conformance", check))
