"""Disks that are full: one of a few kilobytes, where one may mount it, and one that only says so."""

import contextlib
import errno
import os
import subprocess

import pytest

from afm_hf.models.common import writing_afm


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A file system of that size at `folder`; the test is skipped where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("there is no `mount` here")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(folder, kilobytes):
    """More room on a [`small_disk`]."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)


class FullDisk:
    """
    From the `after`-th write on the disk is full, until `room()`: a file written whole fails when it is brought to
    disk, a line in its midst.
    """

    def __init__(self, monkeypatch, after=0):
        self.left, self.is_full = after, True
        sync, write = writing_afm._sync, writing_afm._write_all

        def full_sync(path):
            self._take()
            sync(path)

        def full_write(file, content):
            try:
                self._take()
            except OSError:
                write(file, content[: len(content) // 2])
                raise
            write(file, content)

        monkeypatch.setattr(writing_afm, "_sync", full_sync)
        monkeypatch.setattr(writing_afm, "_write_all", full_write)

    def _take(self):
        self.left -= 1
        if self.is_full and self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def room(self):
        """Somebody has tidied up."""
        self.is_full = False
