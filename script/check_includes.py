#!/usr/bin/env python3
"""Checks who includes whom (docs/design/architecture.md section 3).

    script/check_includes.py [ROOT]      exit code 1 and one line per broken rule

Four rules, each one table below: which folders of src/ a folder may include, which folders may
see a third-party library, what the deterministic folders must not call, and what the folders that
the simulator runs must not do past its runtime.
"""

import os
import re
import sys

import house

# Data types of the core that the formats share; codec and the rest of the disk side see no more.
RAFT_TYPES = ["raft/types.h", "raft/message.h", "raft/conf_change.h"]
BELOW_NODE = ["base", "env", "raft", "codec", "wal", "kv", "snapshot", "transport", "service"]

# folder -> folders or single headers it may include besides its own.
ALLOWED = {
    "base": [],
    "env": ["base"],
    "raft": ["base"],
    "codec": ["base", *RAFT_TYPES],
    "wal": ["base", "env", "codec", *RAFT_TYPES],
    "kv": ["base"],
    "snapshot": ["base", "env", "kv", "codec"],
    "transport": ["base", "codec", *RAFT_TYPES],
    "service": ["base"],
    "node": BELOW_NODE,
    "http": ["base", "service"],
    "client": ["base", "service"],
    "check": ["base"],
    "sim": [*BELOW_NODE, "node", "check"],
    "simserver": [*BELOW_NODE, "node", "sim", "check"],
    "testing": ["base", "raft"],
    "cli": ["base", "client"],
}
# Single files with wider rights: the composition root chooses the concrete classes.
ALLOWED_FILES = {
    "cli/run_command": [*BELOW_NODE, "node", "http", "client"],
    "cli/wal_command": ["env", "wal", *RAFT_TYPES],  # reads the log of a stopped node
    "cli/arima_main": ["sim", "simserver"],  # the verbs
    # RocksDB on a disk in memory that loses power.
    "kv/test_env_fs": ["env"],
    "kv/test_crash_disk": ["env"],
    "kv/rocks_crash": ["env"],
}
# Unit tests may use these besides what their folder may.
ALLOWED_IN_TESTS = ["testing"]

# include prefix -> folders (or file prefixes) that may name it. *_test.cc may also use TEST_ONLY.
THIRD_PARTY = {
    "boost/asio": ["transport", "http", "client", "node/asio_runtime", "cli/run_command"],
    "boost/beast": ["http", "client"],
    "boost/context": ["simserver/fiber"],
    "boost/json": ["http", "client", "cli", "node", "check"],
    "boost/url": ["http", "client"],
    "boost/": ["transport", "http", "client", "cli", "node"],
    "rocksdb/": ["kv"],
    "xxhash": ["base"],
    "prometheus/": ["http"],
    "spdlog/": ["node", "cli"],
    "toml++/": ["node/options"],
    "CLI/": ["cli", "node/options"],
    "jemalloc/": ["cli", "kv"],
}
TEST_ONLY = ["gtest/", "gmock/"]

# No thread, clock, file, socket or chance in a pure function of (state, input, now).
IMPURE_HEADERS = re.compile(
    r"^(thread|stop_token|mutex|shared_mutex|condition_variable|future|atomic|semaphore|latch"
    r"|barrier|chrono|ctime|time\.h|random|filesystem|fstream|iostream|cstdio|stdio\.h|syncstream"
    r"|csignal|coroutine|unistd\.h|fcntl\.h|poll\.h|pthread\.h|signal\.h|netdb\.h"
    r"|(sys|net|netinet|arpa)/.*"
    r"|base/(mutex|bounded_queue|clock)\.h)$")
IMPURE_FOLDERS = ["raft"]
# Time, chance and surroundings come in through interfaces only.
IMPURE_CALLS = re.compile(
    r"(::now\s*\(|\bclock_gettime\b|\bgettimeofday\b|\btime\s*\(\s*(NULL|nullptr|0|&)"
    r"|\bs?rand\s*\(|\brand_r\s*\(|\bdrand48\b|\brandom_device\b|\bmt19937|\bgetenv\s*\("
    r"|\bsleep_for\b|\bsleep_until\b|\busleep\s*\(|\bstd::this_thread\b)")
IMPURE_CALL_FOLDERS = ["raft", "wal", "kv"]

# What the simulator runs in its own time, with its own threads, files and chance: all of that goes
# through base/runtime.h, base/clock.h and env/. Exceptions by the begin of their path, and why.
SIMULATED_FOLDERS = ["base", "raft", "codec", "wal", "kv", "snapshot", "transport", "node",
                     "service", "sim", "simserver"]
SIMULATED_EXCEPTIONS = {
    "base/thread.": "the door to threads",
    "base/mutex.": "the door to locks",
    "base/clock.": "the door to the clock",
    "base/random.": "the door to chance",
    "kv/rocks_": "RocksDB has threads and files of its own; the simulator has another engine",
    "node/logger.": "the log of production; the simulator has one of its own",
    "node/options.": "reads the configuration file before there is a node",
    "sim/history_command.": "reads files for people, and runs nothing",
    "simserver/fiber.": "stacks",
    "transport/asio_stream.": "a socket; the simulator has connections of its own",
    "transport/io_context.": "the door to sockets",
    "transport/listener.": "a socket",
    "transport/side_stream.": "a socket and its thread",
}
UNSIMULATED_HEADERS = re.compile(
    r"^(thread|stop_token|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier"
    r"|random|filesystem|fstream|ctime|time\.h|sys/(time|random|socket|mman)\.h|unistd\.h"
    r"|fcntl\.h|poll\.h|pthread\.h)$")
UNSIMULATED_CALLS = re.compile(
    r"(\bstd::(jthread|thread|this_thread|mutex|recursive_mutex|shared_mutex|timed_mutex"
    r"|condition_variable(_any)?|future|promise|packaged_task|async|call_once|random_device"
    r"|[io]?fstream)\b|\b(steady|system|high_resolution)_clock\b|\bsleep_(for|until)\b"
    r"|\busleep\s*\(|\bclock_gettime\b|\bgettimeofday\b|\bgetrandom\b|::open\s*\("
    r"|\bfopen\s*\(|\btime\s*\(\s*(NULL|nullptr|0|&))")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CMAKE_DEPS = re.compile(r"arima_library\(\s*NAME\s+(\w+)[^)]*?DEPS\s+([^)]*?)(?:LIBS|\))")
COMMENT_OR_STRING = re.compile(r'//.*$|"(\\.|[^"\\])*"')


def sources(src):
    for folder, dirs, files in os.walk(src):
        dirs.sort()
        for name in sorted(files):
            if name.endswith((".h", ".cc")):
                yield os.path.relpath(os.path.join(folder, name), src)


def is_test(path):
    name = os.path.basename(path)
    return path.endswith("_test.cc") or name.startswith("test_") or "_test_" in name


def may_include(path, target):
    folder = path.split("/")[0]
    allowed = [folder, *ALLOWED.get(folder, [])]
    stem = re.sub(r"(_test)?\.(h|cc)$", "", path)
    allowed += ALLOWED_FILES.get(stem, [])
    if is_test(path):
        allowed += ALLOWED_IN_TESTS
    return target in allowed or target.split("/")[0] in allowed


def check_third_party(path, header):
    folder = path.split("/")[0]
    if any(header.startswith(p) for p in TEST_ONLY):
        if not is_test(path) and folder != "testing":
            return f"<{header}> belongs into *_test.cc, test_*.h and testing/ only"
        return None
    # The longest prefix that matches is the rule.
    for prefix in sorted(THIRD_PARTY, key=len, reverse=True):
        if header.startswith(prefix):
            for place in THIRD_PARTY[prefix]:
                if folder == place or path.startswith(place):
                    return None
            return f"<{header}> may appear in {', '.join(THIRD_PARTY[prefix])} only"
    return None


def is_simulated(path):
    if path.split("/")[0] not in SIMULATED_FOLDERS or is_test(path):
        return False
    return not any(path.startswith(begin) for begin in SIMULATED_EXCEPTIONS)


def check_line(path, line, src):
    """The broken rules of one line of src/<path>."""
    folder = path.split("/")[0]
    in_test = is_test(path)
    match = INCLUDE.match(line)
    if match:
        quote, header = match.groups()
        if folder in IMPURE_FOLDERS and not in_test and IMPURE_HEADERS.match(header):
            yield f"{folder}/ is a pure function: no {header}"
        elif quote == "<" and is_simulated(path) and UNSIMULATED_HEADERS.match(header):
            yield f"{folder}/ runs in the simulator: no <{header}>"
        ours = header.split("/")[0] in ALLOWED
        if quote == '"':
            if not os.path.exists(os.path.join(src, header)):
                yield f'"{header}" is no file under src/'
            elif not may_include(path, header):
                yield f'{folder}/ may not include "{header}"'
        elif ours and os.path.exists(os.path.join(src, header)):
            yield f"own header <{header}> in angle brackets"
        else:
            broken = check_third_party(path, header)
            if broken:
                yield broken
    elif not in_test:
        code = COMMENT_OR_STRING.sub("", line)
        impure = IMPURE_CALLS.search(code) if folder in IMPURE_CALL_FOLDERS else None
        if impure:
            yield f"{folder}/ takes time, chance and settings from outside: no {impure.group(0)}"
        elif is_simulated(path) and (call := UNSIMULATED_CALLS.search(code)):
            yield f"{folder}/ runs in the simulator: no {call.group(0)}"


def check_cmake(src):
    """The DEPS of each folder's targets say no more than the table."""
    for folder in sorted(ALLOWED):
        path = os.path.join(src, folder, "CMakeLists.txt")
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"#.*", "", file.read())
        for name, deps in CMAKE_DEPS.findall(text):
            allowed = {a.split("/")[0] for a in ALLOWED[folder]}
            if folder == "cli":
                allowed |= {a for wide in ALLOWED_FILES.values() for a in wide}
            for dep in deps.split():
                if dep not in allowed and dep != folder:
                    yield f"src/{folder}/CMakeLists.txt: {name} may not depend on {dep}"


def check_table():
    """The table itself: every folder named exists in it, and there is no cycle."""
    state = {}

    def visit(folder, trail):
        if state.get(folder) == "done":
            return
        if state.get(folder) == "open":
            raise SystemExit(f"check_includes.py: cycle in ALLOWED: {' > '.join([*trail, folder])}")
        state[folder] = "open"
        for target in ALLOWED[folder]:
            visit(target.split("/")[0], [*trail, folder])
        state[folder] = "done"

    for folder in ALLOWED:
        visit(folder, [])


def check(root):
    check_table()
    src = os.path.join(root, "src")
    problems = []
    for path in sources(src):
        if "/" not in path:
            problems.append(f"src/{path}: sources live in folders")
            continue
        if path.split("/")[0] not in ALLOWED:
            problems.append(f"src/{path}: no row for this folder in script/check_includes.py")
            continue
        with open(os.path.join(src, path), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                problems += [f"src/{path}:{number}: {p}" for p in check_line(path, line, src)]
    return problems + list(check_cmake(src))


if __name__ == "__main__":
    sys.exit(house.main("check_includes", check))
