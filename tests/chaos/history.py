"""What the clients did and heard, one JSON object a line: docs/testing/linearizability.md."""

import json
import re
import subprocess
import threading

FORMAT = {"arima_history": 1}
# What is stored is longer than what the history says of it: "c3-17.200:" and 200 letters.
STORED = re.compile(r"(c\d+-\d+)\.(\d+):(x*)")


def stored(name, padding):
    return f"{name}.{padding}:{'x' * padding}"


def name_of(text):
    """The name of a stored value; of one that nobody wrote, all of it."""
    if text is None:
        return None
    match = STORED.fullmatch(text)
    return match.group(1) if match and len(match.group(3)) == int(match.group(2)) else text


class History:
    """Thread-safe. Counts by operation and outcome."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")  # noqa: SIM115 (close() closes it)
        self.path = path
        self.lock = threading.Lock()
        self.counts = {}
        self.keys = set()
        self.file.write(json.dumps(FORMAT) + "\n")

    def add(self, operation):
        kind = operation["op"]
        if operation.get("consistency") == "stale":
            kind = "stale read"
        line = json.dumps(operation, separators=(",", ":"))
        with self.lock:
            count = self.counts.setdefault(kind, {})
            count[operation["outcome"]] = count.get(operation["outcome"], 0) + 1
            self.keys.add(operation["key"])
            if kind not in ("read", "stale read") or operation["outcome"] == "ok":
                self.file.write(line + "\n")

    def acknowledged(self):
        with self.lock:
            return sum(count.get("ok", 0) for kind, count in self.counts.items()
                       if kind in ("put", "delete", "cas"))

    def flush(self):
        if not self.file.closed:
            self.file.flush()

    def close(self):
        self.file.close()

    def summary(self):
        parts = []
        for kind, count in sorted(self.counts.items()):
            outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(count.items()))
            parts.append(f"{kind}: {outcomes}")
        return "; ".join(parts)


class Verdict:
    def __init__(self, code, text):
        self.code = code
        self.text = text

    @property
    def word(self):
        return {0: "linearizable", 1: "VIOLATED"}.get(self.code, "NOT JUDGED")


def check(checker, path, timeout_s=300):
    """What `arima sim --check-history` says."""
    command = [checker, "sim", "--check-history", path]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Verdict(2, f"{' '.join(command)}: no end within {timeout_s} s")
    return Verdict(done.returncode, (done.stdout + done.stderr).strip())
