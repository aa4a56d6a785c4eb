#!/usr/bin/env python3
"""Each header under src/ compiles alone, so that the order of includes never matters.

The build proves it already for a header that is the first include of its own .cc or _test.cc file;
only the others are compiled here.

    script/check_headers.py [--compiler g++] [--root ROOT] [HEADER...]
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys

FLAGS = ["-std=c++23", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only"]


def headers(src):
    for folder, dirs, names in os.walk(src):
        dirs.sort()
        for name in sorted(names):
            if name.endswith(".h"):
                yield os.path.relpath(os.path.join(folder, name), src)


def is_proven(src, header):
    """Some file of the same name starts with this header."""
    stem = os.path.join(src, header.removesuffix(".h"))
    for path in (stem + ".cc", stem + "_test.cc"):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                includes = [line for line in file if line.startswith("#include")]
            if includes and includes[0].split() == ["#include", f'"{header}"']:
                return True
    return False


def compile_alone(compiler, src, header):
    """What the compiler says about a file that holds nothing but this include; empty: fine."""
    result = subprocess.run([compiler, *FLAGS, f"-I{src}", "-x", "c++", "-"], text=True,
                            input=f'#include "{header}"\n', capture_output=True, check=False)
    if result.returncode == 0:
        return ""
    return f"src/{header} does not compile alone:\n{result.stderr}"


def check(root, compiler, names=()):
    src = os.path.join(root, "src")
    names = list(names) or [h for h in headers(src) if not is_proven(src, h)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(lambda header: compile_alone(compiler, src, header), names)
    return len(names), [answer for answer in answers if answer]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("headers", nargs="*", help="relative to src/; default: all that need it")
    args = parser.parse_args()
    count, problems = check(args.root, args.compiler, args.headers)
    for problem in problems:
        print(problem)
    print(f"check_headers: {count} headers, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
