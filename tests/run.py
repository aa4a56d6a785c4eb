#!/usr/bin/env python3
"""Runs the tests of real processes: tests/test_*.py.

    tests/run.py [--binary build/release/arima] [--short] [--slow FACTOR] [--jobs N] [NAME...]

NAME is a part of "file.Class.test"; several mean any of them. --short runs the list for the slow
sanitizer builds, with fewer rounds; --slow multiplies every deadline. Prints the time of each test
and "N passed, N failed"; shows what the nodes logged when a test fails.
"""

import argparse
import collections
import contextlib
import dataclasses
import faulthandler
import fnmatch
import multiprocessing
import os
import signal
import sys
import time
import traceback
import unittest
import xml.etree.ElementTree as ElementTree
from concurrent import futures

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
    """What came out of one test."""

    def __init__(self):
        super().__init__()
        self.problem = None
        self.skip_reason = None

    def startTest(self, test):
        super().startTest(test)
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


@dataclasses.dataclass
class Report:
    name: str
    seconds: float = 0
    problem: str = None
    skip_reason: str = None
    remark: str = ""

    def verdict(self):
        return "FAILED" if self.problem else "skipped" if self.skip_reason else "ok"

    def line(self):
        remark = f" ({self.skip_reason})" if self.skip_reason else self.remark
        return f"{self.name} ... {self.verdict()} {self.seconds:.1f} s{remark}"


def run_one(test):
    """Runs in a worker process, in its main thread: the alarm of the time limit goes there."""
    result = Result()
    started = time.monotonic()
    try:
        test.run(result)
    except TookTooLong:  # outside of the test's own code; it was ended all the same
        result.note(test, sys.exc_info())
    return Report(name_of(test), time.monotonic() - started, result.problem,
                  None if result.problem else result.skip_reason, getattr(test, "remark", ""))


def become_worker(numbers, workers):
    harness.PORTS = harness.PORTS[numbers.get()::workers]  # no port is another worker's


def reports_of(tests, workers):
    """Yields the report of each test as it ends. What takes long begins first, so that no worker
    has it left alone in the end."""
    fork = multiprocessing.get_context("fork")
    numbers = fork.SimpleQueue()
    for number in range(workers):
        numbers.put(number)
    tests = sorted(tests, key=lambda test: -getattr(test, "timeout_s", 60))
    with futures.ProcessPoolExecutor(workers, fork, become_worker, (numbers, workers)) as pool:
        running = {pool.submit(run_one, test): test for test in tests}
        try:
            for future in futures.as_completed(running):
                try:
                    yield future.result()
                except futures.process.BrokenProcessPool as error:
                    yield Report(name_of(running[future]), problem=f"a worker died: {error}")
        finally:
            pool.shutdown(cancel_futures=True)


def write_junit(path, reports):
    suite = ElementTree.Element("testsuite", name="process")
    for report in reports:
        case = ElementTree.SubElement(suite, "testcase", name=report.name, classname="process",
                                      time=f"{report.seconds:.3f}")
        if report.problem:
            # XML cannot hold control characters, and the nodes may log any byte.
            clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in report.problem)
            ElementTree.SubElement(case, "failure").text = clean
        elif report.skip_reason:
            ElementTree.SubElement(case, "skipped").text = report.skip_reason
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--binary", default=harness.Settings.binary)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--slow", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=1, help="how many tests run beside each other")
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
    started = time.monotonic()
    reports = []
    for report in reports_of(tests, args.jobs):
        reports.append(report)
        print(f"[{len(reports)}/{len(tests)}] {report.line()}", flush=True)
        if report.problem:
            print(report.problem, flush=True)
            if args.fail_fast:
                break
    if args.junit:
        write_junit(args.junit, reports)
    verdicts = collections.Counter(report.verdict() for report in reports)
    for report in reports:
        if report.problem:
            print(f"FAILED {report.name}")
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{verdicts['ok']} passed, {verdicts['FAILED']} failed"
          + (f", {verdicts['skipped']} skipped" if verdicts["skipped"] else ""))
    return 0 if reports and not verdicts["FAILED"] else 1


if __name__ == "__main__":
    sys.exit(main())
