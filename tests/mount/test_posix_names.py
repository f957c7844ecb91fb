"""Names and directories as POSIX wants them: listing, rename, links, what is refused, access, read-only."""

import contextlib
import ctypes
import errno
import os
import stat
import subprocess

import pytest

from harness.files import fails_with, random_bytes
from harness.process import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4


def rename2(source, target, flags):
    if LIBC.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# --- rename

def test_rename(box):
    one, two = box.path / "one", box.path / "two"
    one.write_bytes(b"1")
    os.rename(one, two)
    assert os.listdir(box.path) == ["two"] and two.read_bytes() == b"1"
    fails_with(errno.ENOENT, os.stat, one)
    fails_with(errno.ENOENT, os.rename, one, two)
    one.write_bytes(b"another")
    os.rename(one, two)
    assert os.listdir(box.path) == ["two"] and two.read_bytes() == b"another"
    os.rename(two, two)
    assert two.read_bytes() == b"another"


def test_rename_to_another_container(box):
    (box.path / "file").write_bytes(b"content")
    os.rename(box.path / "file", box.second_path / "moved")
    assert os.listdir(box.path) == [] and (box.second_path / "moved").read_bytes() == b"content"


def test_rename_keeps_attributes(box):
    path = box.path / "file"
    path.write_bytes(random_bytes(1000))
    path.chmod(0o640)
    os.setxattr(path, "user.note", b"kept")
    os.utime(path, ns=(10**18, 10**18 + 5))
    os.rename(path, box.second_path / "moved.bin")
    box.refresh()
    status = (box.second_path / "moved.bin").stat()
    assert (status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (1000, 10**18 + 5, 0o640)
    assert os.getxattr(box.second_path / "moved.bin", "user.note") == b"kept"


def test_rename_noreplace(box):
    one, two = box.path / "one", box.path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    fails_with(errno.EEXIST, rename2, one, two, RENAME_NOREPLACE)
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    rename2(one, box.path / "three", RENAME_NOREPLACE)
    assert sorted(os.listdir(box.path)) == ["three", "two"]
    fails_with(errno.EINVAL, rename2, two, box.path / "four", RENAME_NOREPLACE | RENAME_EXCHANGE)
    assert subprocess.run(["mv", "-n", two, box.path / "three"], check=False).returncode in (0, 1)
    assert (box.path / "three").read_bytes() == b"1"


def test_rename_exchange(box):
    one, two = box.path / "one", box.path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    if box.is_local:
        rename2(one, two, RENAME_EXCHANGE)
        assert (one.read_bytes(), two.read_bytes()) == (b"2", b"1")
    else:
        fails_with((errno.EINVAL, errno.ENOTSUP), rename2, one, two, RENAME_EXCHANGE)
        assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")


def test_rename_whiteout_is_refused(box):
    """It would leave a device node."""
    one, two = box.path / "one", box.path / "two"
    one.write_bytes(b"1")
    for flags in (RENAME_WHITEOUT, RENAME_WHITEOUT | RENAME_NOREPLACE):
        fails_with(errno.EINVAL, rename2, one, two, flags)
    assert os.listdir(box.path) == ["one"] and one.read_bytes() == b"1"


def test_rename_between_storages(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    fails_with(errno.EXDEV, os.rename, path, box.other_path / "file")
    assert path.read_bytes() == b"content" and os.listdir(box.other_path) == []
    subprocess.run(["mv", path, box.other_path / "file"], check=True)
    assert os.listdir(box.path) == [] and (box.other_path / "file").read_bytes() == b"content"


def test_containers_and_storages_keep_their_names(box):
    fails_with(errno.EXDEV, os.rename, box.path, box.path.parent / "renamed-container")
    fails_with((errno.EXDEV, errno.EPERM), os.rename, box.path.parent, box.mount.point / "renamed")
    (box.path / "file").touch()
    fails_with((errno.EXDEV, errno.EPERM), os.rename, box.path / "file", box.path.parent / "file")
    fails_with(errno.EPERM, os.rmdir, box.path.parent)
    assert box.path.is_dir() and (box.path / "file").exists()


def test_files_lie_in_containers_only(box):
    for directory in (box.mount.point, box.path.parent):
        fails_with((errno.EPERM, errno.EACCES), (directory / "file").write_bytes, b"")
        # In MNT itself a link can only be meant for `default`, and this one names no storage.
        fails_with((errno.EPERM, errno.EACCES, errno.ENOENT), os.symlink, "target", directory / "link")


# --- what is not offered

def test_hard_links_are_refused(box):
    (box.path / "file").touch()
    fails_with(errno.EPERM, os.link, box.path / "file", box.path / "link")
    assert os.listdir(box.path) == ["file"]


def test_special_files_are_refused(box):
    fails_with(errno.EPERM, os.mkfifo, box.path / "fifo")
    fails_with(errno.EPERM, os.mknod, box.path / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert os.listdir(box.path) == []


def test_mknod_of_a_file(box):
    os.mknod(box.path / "file", stat.S_IFREG | 0o600)
    assert (box.path / "file").read_bytes() == b""
    fails_with(errno.EEXIST, os.mknod, box.path / "file", stat.S_IFREG | 0o600)


def test_directories_are_not_files(box):
    fails_with((errno.EISDIR, errno.EPERM), os.unlink, box.path)
    (box.path / "file").touch()
    fails_with(errno.ENOTDIR, os.rmdir, box.path / "file")
    fails_with(errno.ENOTDIR, os.listdir, box.path / "file")
    fails_with(errno.ENOTDIR, os.mkdir, box.path / "file" / "below")
    fails_with(errno.EEXIST, os.mkdir, box.path / "file")


# --- symlinks

def test_symlink(box):
    link = box.path / "link"
    os.symlink("target", link)
    assert os.readlink(link) == "target" and link.is_symlink() and not link.exists()
    assert link.lstat().st_size == len("target")
    (box.path / "target").write_bytes(b"content")
    assert link.read_bytes() == b"content"
    fails_with(errno.EEXIST, os.symlink, "x", link)
    fails_with(errno.ELOOP, os.open, link, os.O_RDONLY | os.O_NOFOLLOW)
    assert sorted(entry.name for entry in os.scandir(box.path) if entry.is_symlink()) == ["link"]
    box.refresh()
    assert os.readlink(link) == "target"
    os.rename(link, box.path / "moved")
    assert os.readlink(box.path / "moved") == "target"
    (box.path / "moved").unlink()
    assert os.listdir(box.path) == ["target"]


@pytest.mark.parametrize("target", ["../../other/box/x", "/etc/hostname", "ä ö/ü", "x" * 1000, "dangling\nline"], ids=["relative", "absolute", "unicode", "long", "line"])
def test_symlink_targets(box, target):
    os.symlink(target, box.path / "link")
    box.refresh()
    assert os.readlink(box.path / "link") == target


def test_link_through_the_default(box):
    (box.path / "file").write_bytes(b"content")
    assert (box.mount.point / "default" / box.container / "file").read_bytes() == b"content"


# --- listing

def test_listing_of_thousands(box):
    count = {"memory": 3000, "local": 5000, "moto": 1100}.get(box.kind, 1500)
    names = {f"file {number:05}" for number in range(count)}
    for name in names:
        if box.client():
            box.put(name, b"x")
        else:
            (box.path / name).write_bytes(b"x")
    box.refresh()
    assert sorted(os.listdir(box.path)) == sorted(names)
    assert sorted(os.listdir(box.path)) == sorted(names)
    done = subprocess.run(["ls", "-l", box.path], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == count + 1


def test_listing_while_files_come_and_go(box):
    """What is there from beginning to end is listed exactly once."""
    steady = {f"steady{number:03}" for number in range(300)}
    for name in steady:
        (box.path / name).touch()
    for number in range(30):
        (box.path / f"old{number}").touch()
    seen = []
    with os.scandir(box.path) as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number % 10 == 0:
                (box.path / f"new{number}").touch()
                with contextlib.suppress(FileNotFoundError):
                    (box.path / f"old{number // 10}").unlink()
    assert sorted(set(seen)) == sorted(seen)
    assert steady <= set(seen)


def test_removing_all_while_listing(box):
    for number in range(400):
        (box.path / f"file{number}").touch()
    for entry in os.scandir(box.path):
        os.unlink(entry.path)
    assert os.listdir(box.path) == []


class Directory:
    """opendir(3) and what belongs to it."""

    class _Entry(ctypes.Structure):
        _fields_ = [("inode", ctypes.c_uint64), ("offset", ctypes.c_int64), ("length", ctypes.c_uint16),
                    ("type", ctypes.c_uint8), ("name", ctypes.c_char * 1025)]

    def __init__(self, path):
        LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
        LIBC.telldir.restype = ctypes.c_long
        self.stream = ctypes.c_void_p(LIBC.opendir(os.fsencode(path)))
        assert self.stream.value

    def read(self):
        found = LIBC.readdir(self.stream)
        return ctypes.cast(found, ctypes.POINTER(self._Entry)).contents.name if found else None

    def read_all(self):
        return list(iter(self.read, None))

    def tell(self):
        return LIBC.telldir(self.stream)

    def seek(self, position):
        LIBC.seekdir(self.stream, ctypes.c_long(position))

    def rewind(self):
        LIBC.rewinddir(self.stream)

    def close(self):
        LIBC.closedir(self.stream)


def test_seekdir_and_rewinddir(box):
    for number in range(250):
        (box.path / f"file{number:03}").touch()
    directory = Directory(box.path)
    names, positions = [], []
    while True:
        positions.append(directory.tell())
        name = directory.read()
        if name is None:
            break
        names.append(name)
    assert len(names) == len(set(names)) == 252 and {b".", b".."} <= set(names)
    for index in (0, 1, 100, 251, 37):
        directory.seek(positions[index])
        assert directory.read_all() == names[index:]
    (box.path / "later").touch()
    directory.rewind()
    assert sorted(directory.read_all()) == sorted([*names, b"later"])
    directory.close()


def test_listing_of_an_empty_container(box):
    directory = Directory(box.path)
    assert sorted(directory.read_all()) == [b".", b".."]
    directory.close()


def test_new_names_are_listed_at_once(box):
    for number in range(5):
        (box.path / f"file{number}").touch()
        assert len(os.listdir(box.path)) == number + 1
        fails_with(errno.ENOENT, os.stat, box.path / f"file{number + 1}")
    for number in range(5):
        (box.path / f"file{number}").unlink()
        assert len(os.listdir(box.path)) == 4 - number


def test_parent_and_self(box):
    assert os.path.samefile(box.path / ".", box.path)
    assert os.path.samefile(box.path / "..", box.path.parent)
    assert os.path.samefile(box.path / ".." / "..", box.mount.point)
    subprocess.run(["bash", "-ec", "echo x > f; cat ./f ../*/f; cd ..; pwd -P"], cwd=box.path, check=True, capture_output=True)


def test_find_sees_every_entry(box):
    for number in range(20):
        (box.path / f"file{number}").write_bytes(b"x" * number)
    done = subprocess.run(["find", box.path, "-type", "f", "-printf", "%f %s\\n"], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()) == {f"file{number} {number}" for number in range(20)}


def test_filesystem_numbers(box):
    numbers = os.statvfs(box.path)
    assert numbers.f_bsize > 0 and numbers.f_blocks > 0 and numbers.f_bavail > 0
    assert numbers.f_namemax >= 255
    subprocess.run(["df", box.path], check=True, capture_output=True)


def test_foreign_objects_appear_and_vanish(box):
    """Changes that others make are seen, at last when what was known is as old as `freshness` allows."""
    if not box.client():
        pytest.skip("nobody else can reach this storage; local storages have tests of their own")
    assert os.listdir(box.path) == []
    box.put("foreign", b"one")
    wait_until(lambda: os.listdir(box.path) == ["foreign"], 10, "the new object")
    assert (box.path / "foreign").read_bytes() == b"one"
    box.put("foreign", b"two, longer")
    wait_until(lambda: (box.path / "foreign").read_bytes() == b"two, longer", 10, "the new content")
    assert (box.path / "foreign").stat().st_size == 11
    box.client().delete_object(Bucket=box.container, Key="foreign")
    wait_until(lambda: not (box.path / "foreign").exists(), 10, "the end of the object")
    wait_until(lambda: os.listdir(box.path) == [], 10, "the end of the name")
