"""A small file system that others fill."""

import contextlib
import os


class SmallDisk:
    """The file system of one node, and the file with which others fill it."""

    def __init__(self, path):
        self.path = path
        self.fill_path = os.path.join(path, "of-others")

    def free_bytes(self):
        space = os.statvfs(self.path)
        return space.f_bavail * space.f_frsize

    def fill_to(self, free_bytes):
        """Takes what is free beyond `free_bytes`; the node may be using space meanwhile."""
        with open(self.fill_path, "ab") as file:
            while (surplus := self.free_bytes() - free_bytes) > 0:
                size = os.fstat(file.fileno()).st_size
                with contextlib.suppress(OSError):  # it was gone by then
                    os.posix_fallocate(file.fileno(), 0, size + surplus)

    def give_back(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.fill_path)
