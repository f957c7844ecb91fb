"""Content that repeats from run to run, comparing what should be equal, calls that should fail."""

import ctypes
import hashlib
import os
import pathlib
import random
import stat

import pytest


def random_bytes(size, seed=0):
    """The same `size` bytes for the same seed."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def ask_size(descriptor):
    """What fstat(2) says once the kernel has to ask the file system, as it does by the file and not by the open handle."""
    empty_path, force_sync, wants_size, size_at = 0x1000, 0x2000, 0x200, 40
    buffer = (ctypes.c_uint8 * 256)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statx(descriptor, b"", empty_path | force_sync, wants_size, buffer) != 0:
        raise OSError(ctypes.get_errno(), "statx")
    return int.from_bytes(bytes(buffer)[size_at:size_at + 8], "little")


def fails_with(numbers, call, *arguments, **options):
    """Fails unless call(*arguments) raises an OSError with this errno, or one of these."""
    with pytest.raises(OSError) as caught:
        call(*arguments, **options)
    assert caught.value.errno in (numbers if isinstance(numbers, tuple) else (numbers,)), caught.value


def checksum(path):
    """MD5 of a file's content, read in pieces."""
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _describe(path, with_mode, with_mtime):
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return ("directory",) + ((stat.S_IMODE(status.st_mode),) if with_mode else ())
    found = ("file", status.st_size, checksum(path))
    if with_mode:
        found += (stat.S_IMODE(status.st_mode),)
    if with_mtime:
        found += (status.st_mtime_ns,)
    return found


def read_tree(root, with_mode=False, with_mtime=False):
    """Every path below root (relative, as bytes) with what it is: kind, size, checksum, and what else is asked for."""
    root = os.fsencode(root)
    tree = {}
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(directory, name)
            tree[os.path.relpath(path, root)] = _describe(path, with_mode, with_mtime)
    return tree


def compare_trees(wanted, found, with_mode=False, with_mtime=False):
    """Fails, naming up to twenty differences, unless both trees hold the same."""
    left, right = (read_tree(pathlib.Path(root), with_mode, with_mtime) for root in (wanted, found))
    different = [f"{path!r}: {left.get(path)} here, {right.get(path)} there"
                 for path in sorted(left.keys() | right.keys()) if left.get(path) != right.get(path)]
    assert not different, f"{wanted} and {found} differ in {len(different)} places:\n" + "\n".join(different[:20])
