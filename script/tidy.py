#!/usr/bin/env python3
"""Text rules of the tree that no compiler checks.

    script/tidy.py [ROOT]      exit code 1 and one line per broken rule
"""

import os
import re
import sys

import house

LINE_LENGTH_MAX = 100
FILE_LINES_MAX = 900
TEST_FILE_LINES_MAX = 1200

SKIPPED_FOLDERS = {".git", "build", "arima-data", "__pycache__", "corpus"}
CODE = (".h", ".cc", ".py", ".cmake", ".sh", "CMakeLists.txt")
TEXT = (*CODE, ".md", ".txt", ".json", ".yaml", ".yml", ".toml")

# Written in halves, so that this file obeys itself.
LEFT_OPEN = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATH = re.compile(r"(/ho" r"me/\w|/ro" r"ot/|/wo" r"rk/|/Us" r"ers/)")
NAMED_PATH = re.compile(r"`((?:src|tests|script|docs|fuzz|\.ci)/[\w./-]*\w)/?`")
CLOCK_WAIT = re.compile(r"\b(sleep_" r"for|sleep_" r"until|uslee" r"p|nanoslee" r"p)\b")


def files(root):
    for folder, dirs, names in os.walk(root):
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)
            if path.endswith(TEXT) or is_script(root, path):
                yield path


def is_script(root, path):
    """Files without an ending that start with #!."""
    if "." in os.path.basename(path):
        return False
    with open(os.path.join(root, path), "rb") as file:
        return file.read(2) == b"#!"


def is_test(path):
    return path.endswith("_test.cc") or path.startswith("tests/") or "/testdata/" in path


def check_header(text):
    """A header says first what it is, then #pragma once."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("// "):
        yield 1, "a header starts with a comment that says what it is"
    code = [i for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("//")]
    if not code or lines[code[0] - 1].strip() != "#pragma once":
        yield code[0] if code else 1, "#pragma once is the first line of code of a header"


def check_text(path, text):
    """(line number, problem) of one file."""
    is_code = path.endswith(CODE) or "." not in os.path.basename(path)
    golden = "/testdata/" in path
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    if is_code:
        limit = TEST_FILE_LINES_MAX if is_test(path) else FILE_LINES_MAX
        count = text.count("\n")
        if count > limit:
            yield count, f"{count} lines, {limit} is the most"
    if path.endswith(".h"):
        yield from check_header(text)
    for number, line in enumerate(text.split("\n"), 1):
        if "\r" in line:
            yield number, "carriage return"
        if "\t" in line and not golden:
            yield number, "tab"
        if is_code and line != line.rstrip() and not golden:
            yield number, "space at the end of the line"
        if is_code and len(line) > LINE_LENGTH_MAX:
            yield number, f"{len(line)} columns, {LINE_LENGTH_MAX} is the most"
        if is_code and (match := LEFT_OPEN.search(line)):
            yield number, f"left open: {match.group(0)}"
        if match := MACHINE_PATH.search(line):
            yield number, f"path of one machine: {match.group(0)}"
        if path.endswith("_test.cc") and (match := CLOCK_WAIT.search(line)):
            yield number, f"waits by the clock instead of for a fact: {match.group(0)}"


def check_paths(root, path, text):
    """Documents name files that are there."""
    if not path.endswith(".md") or path.startswith("docs/design/"):
        return
    for number, line in enumerate(text.split("\n"), 1):
        for named in NAMED_PATH.findall(line):
            if not os.path.exists(os.path.join(root, named)):
                yield number, f"names {named}, which is not there"


def check(root):
    problems = []
    for path in files(root):
        try:
            with open(os.path.join(root, path), encoding="utf-8", newline="") as file:
                text = file.read()
        except UnicodeDecodeError as error:
            problems.append(f"{path}: not UTF-8: {error}")
            continue
        found = [*check_text(path, text), *check_paths(root, path, text)]
        problems += [f"{path}:{number}: {problem}" for number, problem in found]
    return problems


if __name__ == "__main__":
    sys.exit(house.main("tidy", check))
