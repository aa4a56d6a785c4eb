"""A place of the test's own: network, mounts and processes that end with it.

enter() starts the program again inside new network, mount and process namespaces. Nothing made
there (bridges, mounts, processes) is seen from outside, and all of it goes with the first process
of the namespaces, however that ends: there is nothing to clean up after a kill -9.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile

MARK = "CHAOS_SANDBOX"  # not ARIMA_...: those are settings of nodes
NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
AS_ROOT_OF_ITS_OWN = ["--user", "--map-root-user"]  # where ordinary users may do that
PR_SET_PDEATHSIG = 1
LEFT_OVER = "arima-chaos-"


def inside():
    return MARK in os.environ


def unshare_command():
    """The command that makes the namespaces, or None where that is not allowed."""
    if shutil.which("unshare") is None:
        return None
    for extra in ([], AS_ROOT_OF_ITS_OWN):
        command = ["unshare", *extra, *NAMESPACES]
        done = subprocess.run([*command, "true"], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)
        if done.returncode == 0:
            return command
    return None


def enter(arguments):
    """Runs this program inside; returns its exit code, or None if that cannot be done here."""
    command = unshare_command()
    if command is None:
        return None
    environment = {**os.environ, MARK: "1"}
    # -B: nothing is written into the tree by a root that is another one outside.
    libc = ctypes.CDLL(None)
    child = subprocess.Popen([*command, sys.executable, "-B", *arguments], env=environment,
                             preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

    def pass_on(number, _frame):
        # unshare itself takes no signals while it waits; the program below it does.
        with contextlib.suppress(OSError):
            path = f"/proc/{child.pid}/task/{child.pid}/children"
            with open(path, encoding="ascii") as file:
                for pid in file.read().split():
                    os.kill(int(pid), number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the whole group
    try:
        return child.wait()
    finally:
        child.kill()


def settle_in():
    """Inside, once: a /run of our own; returns the folder for everything of this run."""
    def stop(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)  # the first process of a namespace has no defaults
    if not inside():
        return tempfile.mkdtemp(prefix=f"{LEFT_OVER}{os.getpid()}-")
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "arima-chaos", "/run"])
    os.makedirs("/run/netns")
    os.makedirs("/run/chaos")
    return "/run/chaos"


def remove_left_overs():
    """Folders that runs without namespaces left behind when they were killed."""
    for name in os.listdir(tempfile.gettempdir()):
        path = os.path.join(tempfile.gettempdir(), name)
        pid = name.removeprefix(LEFT_OVER).split("-")[0]
        if not name.startswith(LEFT_OVER) or not pid.isdigit() or os.path.exists(f"/proc/{pid}"):
            continue
        if os.stat(path).st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)


def run(command, **more):
    """A command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          **({} if "input" in more else {"stdin": subprocess.DEVNULL}), **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout
