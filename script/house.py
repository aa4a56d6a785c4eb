"""What the checkers of the house share: their command line."""

import os
import sys


def main(name, check):
    """Prints the problems of the tree that is named, or of this one; the exit code."""
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    problems = check(root)
    for problem in problems:
        print(problem)
    print(f"{name}: {len(problems)} problems")
    return 1 if problems else 0
