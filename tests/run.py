#!/usr/bin/env python3
"""Runs the tests of real processes: tests/test_*.py.

    tests/run.py [--binary build/release/arima] [--short] [--slow FACTOR] [NAME...]

NAME is a part of "file.Class.test"; several mean any of them. --short runs the list for the slow
sanitizer builds, with fewer rounds; --slow multiplies every deadline. Prints the time of each test
and "N passed, N failed"; shows what the nodes logged when a test fails.
"""

import argparse
import contextlib
import faulthandler
import fnmatch
import os
import signal
import sys
import time
import traceback
import unittest
import xml.etree.ElementTree as ElementTree

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, TESTS)
import harness  # noqa: E402


class TookTooLong(BaseException):
    """Not an Exception: no handler inside a test may swallow it."""


def all_tests(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from all_tests(item)
        else:
            yield item


def name_of(test):
    return test.id().removeprefix("test_")


def chosen(test, args):
    method = getattr(test, getattr(test, "_testMethodName", ""), None)
    if args.short and not getattr(method, "is_short", False):
        return False
    return not args.names or any(fnmatch.fnmatch(name_of(test), f"*{n}*") for n in args.names)


class Result(unittest.TestResult):
    def __init__(self, count):
        super().__init__()
        self.count = count
        self.reports = []  # (name, seconds, problem or None, skipped)
        self.problem = None
        self.skip_reason = None

    def startTest(self, test):
        super().startTest(test)
        self.problem = None
        self.skip_reason = None
        self.started = time.monotonic()
        print(f"[{self.testsRun}/{self.count}] {name_of(test)} ...", end=" ", flush=True)
        limit = getattr(test, "timeout_s", 60) * harness.Settings.slow

        def on_alarm(_number, _frame):
            raise TookTooLong(f"no end within {limit:.0f} s")

        signal.signal(signal.SIGALRM, on_alarm)
        signal.alarm(int(limit) + 1)

    def note(self, test, error, part=""):
        text = part + "".join(traceback.format_exception(*error))
        if self.problem is None and hasattr(test, "describe_nodes"):
            with contextlib.suppress(Exception):
                text += test.describe_nodes()
        self.problem = (self.problem or "") + text
        signal.alarm(0)

    def addError(self, test, err):
        self.note(test, err)

    def addFailure(self, test, err):
        self.note(test, err)

    def addSkip(self, test, reason):
        self.skip_reason = reason

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.note(test, err, f"--- {subtest._subDescription()}\n")

    def stopTest(self, test):
        super().stopTest(test)
        signal.alarm(0)
        took = time.monotonic() - self.started
        verdict = "FAILED" if self.problem else "skipped" if self.skip_reason else "ok"
        remark = f" ({self.skip_reason})" if self.skip_reason else getattr(test, "remark", "")
        print(f"{verdict} {took:.1f} s{remark}", flush=True)
        if self.problem:
            print(self.problem, flush=True)
        self.reports.append((name_of(test), took, self.problem, self.skip_reason))

    def wasSuccessful(self):
        return all(problem is None for _, _, problem, _ in self.reports)


def write_junit(path, reports):
    suite = ElementTree.Element("testsuite", name="process")
    for name, took, problem, skipped in reports:
        case = ElementTree.SubElement(suite, "testcase", name=name, classname="process",
                                      time=f"{took:.3f}")
        if problem:
            # XML cannot hold control characters, and the nodes may log any byte.
            clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in problem)
            ElementTree.SubElement(case, "failure").text = clean
        elif skipped:
            ElementTree.SubElement(case, "skipped").text = skipped
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--binary", default=harness.Settings.binary)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--slow", type=float, default=1.0)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--fail-fast", action="store_true")
    parser.add_argument("--junit", metavar="FILE")
    return parser.parse_args()


def main():
    args = parse()
    faulthandler.enable()
    harness.Settings.binary = os.path.abspath(args.binary)
    harness.Settings.slow = args.slow
    harness.Settings.short = args.short
    suite = unittest.defaultTestLoader.discover(TESTS, pattern="test_*.py")
    tests = [test for test in all_tests(suite) if chosen(test, args)]
    if args.list:
        print("\n".join(name_of(test) for test in tests))
        return 0
    if not os.access(harness.Settings.binary, os.X_OK):
        print(f"tests/run.py: no program at {args.binary}; script/build makes it", file=sys.stderr)
        return 2
    result = Result(len(tests))
    started = time.monotonic()
    for test in tests:
        try:
            test.run(result)
        except TookTooLong:  # outside of the test's own code; it was ended all the same
            result.note(test, sys.exc_info())
        if args.fail_fast and not result.wasSuccessful():
            break
    if args.junit:
        write_junit(args.junit, result.reports)
    failed = [name for name, _, problem, _ in result.reports if problem]
    skipped = sum(1 for _, _, problem, skip in result.reports if skip and not problem)
    for name in failed:
        print(f"FAILED {name}")
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{len(result.reports) - len(failed) - skipped} passed, {len(failed)} failed"
          + (f", {skipped} skipped" if skipped else ""))
    return 0 if not failed and result.reports else 1


if __name__ == "__main__":
    sys.exit(main())
