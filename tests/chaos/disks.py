"""Disks of nodes inside the sandbox: small ones that fill up, and ones that lose their power.

A PoweredDisk is a pass-through file system of ours (unsync_fs.cc) over a folder: what was not
synced is gone when it is told so. Its program is built beside the one under test.
"""

import os
import shutil
import socket
import subprocess

import nodes
import small_disk
from harness import wait_until
from sandbox import run


class SmallDisk(nodes.PlainDisk, small_disk.SmallDisk):
    """A tmpfs."""

    can_be_full = True

    def __init__(self, folder, name):
        nodes.PlainDisk.__init__(self, folder, name)
        run(["mount", "-t", "tmpfs", "-o", f"size={nodes.DISK_BYTES}", "arima-chaos", self.path])
        small_disk.SmallDisk.__init__(self, self.path)


class PoweredDisk(SmallDisk):
    can_lose_power = True

    def __init__(self, folder, name, program):
        super().__init__(folder, name)
        mount = os.path.join(folder, f"{name}-mount")
        backing = os.path.join(self.path, "backing")
        os.makedirs(mount)
        os.makedirs(backing)
        self.log_path = os.path.join(folder, f"{name}-disk.log")
        self.control = os.path.join(folder, f"{name}-control")
        self.volume = os.path.join(mount, "volume")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program, backing, mount, self.control],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def mounted():
            assert self.process.poll() is None, f"{program} ended: see {self.log_path}"
            return os.path.exists(self.control) and os.path.ismount(mount)
        wait_until(mounted, f"{mount} is mounted")

    def say(self, command):
        """One command to the file system; what it answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(self.control)
            connection.sendall(command.encode() + b"\n")
            answer = connection.makefile().readline().strip()
        assert answer.startswith("ok"), f"{command}: {answer!r}; see {self.log_path}"
        return answer.removeprefix("ok").strip()

    def lose_power(self, some=None):
        """Call it when the node is down. `some`: a seed, by which a part survives."""
        self.give_back()  # putting old bytes back needs room
        return self.say("drop" if some is None else f"drop-some {some}")

    def lie(self, on):
        """Syncs are answered and do nothing."""
        self.say(f"lie {'on' if on else 'off'}")

    def journal_names(self):
        """Any sync makes all names durable: as ext4 and xfs do it, and not as POSIX says."""
        self.say("journal on")

    def stop(self):
        self.process.kill()
        self.process.wait()
        run(["umount", "-l", os.path.dirname(self.volume)])


def unsync_program(binary):
    """Where the build put it, beside the program under test; None if it is not there."""
    path = os.path.join(os.path.dirname(binary), "unsync_fs")
    return path if os.access(path, os.X_OK) else None


def why_no_power_loss(program):
    """Why there can be no PoweredDisk here, or None."""
    if program is None:
        return "no unsync_fs beside the program: libfuse3-dev (script/setup --ci) was not there " \
               "when it was built"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse on this machine"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be used by this user"
    return None


def keep(paths, folder):
    """Copies logs and history where they outlive the sandbox."""
    os.makedirs(folder, exist_ok=True)
    for path in paths:
        if os.path.exists(path):
            shutil.copy(path, folder)
