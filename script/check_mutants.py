#!/usr/bin/env python3
"""The table of planted bugs and their points in the source belong together.

    script/check_mutants.py [ROOT]      exit code 1 and one line per broken rule

Every row of src/base/mutants.cc that is noticed by something has at least one ARIMA_MUTANT(id)
under src/, a row "none: ..." has none, every point has a row, and points are in product code only.
"""

import os
import re
import sys

import house

TABLE = "src/base/mutants.cc"
ROW = re.compile(r'\{(\d+), "([^"]+)",\s*k(Safety|Liveness),\s*"([^"]+)"\}')
ROW_START = re.compile(r'^ *\{\d+, "', re.M)
POINT = re.compile(r"\bARIMA_MUTANT\((\d+)\)")
# Who may notice: the simulator, at level 0 or 2, or a test program with a filter for googletest;
# several of them with "and" between them, each of which must.
NOTICED_BY = re.compile(r"sim2?$|\w+_test \S+$|none: .+$")


def table(root):
    """Rows {id: (what, "safety" or "liveness", who must notice)}, and what is wrong with them."""
    with open(os.path.join(root, TABLE), encoding="utf-8") as file:
        text = file.read()
    rows = {}
    problems = []
    for number, what, breaks, noticed_by in ROW.findall(text):
        if int(number) in rows:
            problems.append(f"{TABLE}: two rows M{number}")
        absent = noticed_by.startswith("none: ")
        catchers = [noticed_by] if absent else noticed_by.split(" and ")
        if not all(NOTICED_BY.match(catcher) for catcher in catchers):
            problems.append(f"{TABLE}: M{number} is noticed by '{noticed_by}', whoever that is")
        rows[int(number)] = (what, breaks.lower(), catchers)
    if len(ROW_START.findall(text)) != len(ROW.findall(text)):
        problems.append(f"{TABLE}: a row is not of the form that script/mutants reads")
    return rows, problems


def points(root):
    """(id, file:line) of each point."""
    for folder, dirs, names in os.walk(os.path.join(root, "src")):
        dirs.sort()
        for name in sorted(names):
            if not name.endswith((".h", ".cc")) or name.startswith("mutants"):
                continue
            path = os.path.relpath(os.path.join(folder, name), root)
            with open(os.path.join(root, path), encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    for found in POINT.findall(line):
                        yield int(found), f"{path}:{number}"


def check(root):
    rows, problems = table(root)
    seen = set()
    for number, place in points(root):
        seen.add(number)
        name = os.path.basename(place.split(":")[0])
        if name.endswith("_test.cc") or name.startswith("test_"):
            problems.append(f"{place}: a planted bug in a test")
        if number not in rows:
            problems.append(f"{place}: M{number} is not in {TABLE}")
        elif rows[number][2][0].startswith("none"):
            problems.append(f"{place}: M{number} has no place in this code, says {TABLE}")
    for number, (_, _, catchers) in sorted(rows.items()):
        if number not in seen and not catchers[0].startswith("none"):
            problems.append(f"{TABLE}: M{number} has no point in the source")
    return problems


if __name__ == "__main__":
    sys.exit(house.main("check_mutants", check))
