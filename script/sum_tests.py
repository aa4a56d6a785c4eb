#!/usr/bin/env python3
"""Adds up the reports of ctest, the GoogleTest programs and tests/run.py.

    script/sum_tests.py REPORTS     prints "N passed, N failed"; exit code 1 unless all passed

A GoogleTest program counts with its cases, any other test of ctest as one. A program that ended
badly without a failed case (a crash, a time-out) counts as one failure; a missing report likewise.
"""

import os
import sys
import xml.etree.ElementTree as ElementTree


def cases(path):
    """(name, failed, skipped) of each test case of a JUnit-like report."""
    for case in ElementTree.parse(path).iter("testcase"):
        failed = (case.find("failure") is not None or case.find("error") is not None
                  or case.get("status") in ("fail", "failed"))
        skipped = (case.find("skipped") is not None or case.get("status") in ("notrun", "disabled")
                   or case.get("result") == "suppressed")
        yield f"{case.get('classname', '')}.{case.get('name')}", failed, skipped and not failed


class Sum:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = 0

    def add(self, name, failed, skipped=False):
        if failed:
            self.failed.append(name)
        elif skipped:
            self.skipped += 1
        else:
            self.passed += 1


def add_ctest(reports, total):
    path = os.path.join(reports, "ctest.xml")
    if not os.path.exists(path):
        total.add("ctest: no report", True)
        return
    for case in ElementTree.parse(path).iter("testcase"):
        name = case.get("name")
        failed = case.get("status") != "run"
        detail = os.path.join(reports, "gtest", f"{name}.xml")
        if not os.path.exists(detail):
            total.add(name, failed)
            continue
        failed_before = len(total.failed)
        for inner in cases(detail):
            total.add(*inner)
        if failed and len(total.failed) == failed_before:
            total.add(f"{name}: ended badly", True)


def add_process_tests(reports, total):
    path = os.path.join(reports, "process.xml")
    if not os.path.exists(path):
        total.add("tests/run.py: no report", True)
        return
    for case in cases(path):
        total.add(*case)


def main():
    reports = sys.argv[1]
    total = Sum()
    add_ctest(reports, total)
    add_process_tests(reports, total)
    for name in total.failed:
        print(f"FAILED {name}")
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    if "SUM_FILE" in os.environ:  # .ci/run adds up several of these
        with open(os.environ["SUM_FILE"], "a", encoding="ascii") as file:
            file.write(f"{total.passed} {len(total.failed)}\n")
    print(f"{total.passed} passed, {len(total.failed)} failed{skipped}")
    return 0 if not total.failed and total.passed else 1


if __name__ == "__main__":
    sys.exit(main())
