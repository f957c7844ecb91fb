"""Local storages are the file system below them: the same bytes on both sides at once, and no way out of the base."""

import errno
import mmap
import os
import shutil
import stat
import subprocess

import pytest

from harness.files import ask_size, fails_with, random_bytes
from harness.process import wait_until
from harness.shared import box_of

pytestmark = box_of("local", "local-folders", "local-served")


def test_bytes_are_the_files_own(box):
    there = box.base / "file"
    with open(box.path / "file", "w+b", buffering=0) as file:
        file.write(b"from the mount")
        assert there.read_bytes() == b"from the mount"
        with open(there, "r+b", buffering=0) as other:
            other.write(b"FROM")
            other.seek(0, os.SEEK_END)
            other.write(b", and back")
        wait_until(lambda: (box.path / "file").read_bytes() == b"FROM the mount, and back", 10)
    assert (box.path / "file").stat().st_size == there.stat().st_size


def test_changes_below_are_seen(box):
    there = box.base / "file"
    there.write_bytes(b"one")
    assert (box.path / "file").read_bytes() == b"one"
    there.write_bytes(b"two, longer")
    wait_until(lambda: (box.path / "file").read_bytes() == b"two, longer", 10)
    there.unlink()
    wait_until(lambda: not (box.path / "file").exists(), 10)
    assert os.listdir(box.path) == []
    (box.base / "new").write_bytes(b"x")
    assert os.listdir(box.path) == ["new"]


@pytest.mark.parametrize("length", [5009, 4991, 3])
def test_open_file_replaced_below(box, length):
    """Who has the old file open reads the old file, whatever is asked by its name meanwhile."""
    path, there, fresh = box.path / "file", box.base / "file", box.base.parent / "fresh"
    there.write_bytes(b"a" * 5000)
    with open(path, "rb", buffering=0) as file:
        fresh.write_bytes(b"b" * length)
        fresh.rename(there)
        assert ask_size(file.fileno()) == 5000
        assert file.read(8192) == b"a" * 5000
        assert ask_size(file.fileno()) == 5000
    wait_until(lambda: path.read_bytes() == b"b" * length, 10)


def test_attributes_are_the_files_own(box):
    path, there = box.path / "file", box.base / "file"
    path.write_bytes(b"content")
    path.chmod(0o4711)
    os.chown(path, 12, 34)
    path.chmod(0o4711)
    os.utime(path, ns=(1, 10**18 + 1))
    status = there.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, status.st_atime_ns) == (0o4711, 12, 34, 10**18 + 1, 1)
    os.setxattr(path, "user.note", b"here")
    assert os.getxattr(there, "user.note") == b"here"
    os.setxattr(there, "user.other", b"\x00\xff binary")
    assert os.getxattr(path, "user.other") == b"\x00\xff binary"
    assert set(os.listxattr(path)) >= {"user.note", "user.other"}


def test_mapped_pages(box):
    (box.base / "file").write_bytes(bytes(8192))
    with open(box.path / "file", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[100:107] = b"written"
        mapped.flush()
        assert (box.base / "file").read_bytes()[100:107] == b"written"


def test_rename_is_the_kernels(box):
    (box.path / "one").write_bytes(b"1")
    inode = (box.base / "one").stat().st_ino
    os.rename(box.path / "one", box.path / "two")
    assert (box.base / "two").stat().st_ino == inode and not (box.base / "one").exists()
    os.rename(box.path / "two", box.second_path / "three")
    assert (box.base.parent / box.second_container / "three").stat().st_ino == inode


def test_holes_stay_holes(box):
    with open(box.path / "file", "wb") as file:
        file.truncate(100 << 20)
    assert (box.base / "file").stat().st_blocks == 0
    with open(box.path / "file", "r+b") as file:
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 0
        fails_with(errno.ENXIO, os.lseek, file.fileno(), 0, os.SEEK_DATA)


def test_punched_holes(box):
    (box.path / "file").write_bytes(b"x" * 65536)
    below = subprocess.run(["fallocate", "--punch-hole", "-o", "0", "-l", "4096", shutil.copy(box.base / "file", box.base / "probe")],
                           capture_output=True, check=False)
    done = subprocess.run(["fallocate", "--punch-hole", "-o", "0", "-l", "4096", box.path / "file"], capture_output=True, check=False)
    assert done.returncode == below.returncode
    assert (box.path / "file").read_bytes() == (box.base / "probe").read_bytes()


def test_links_are_not_followed(box, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    os.symlink(outside, box.base / "out")
    os.symlink(outside / "secret", box.base / "file-out")
    os.symlink("../../outside", box.base / "up")
    for name, target in (("out", str(outside)), ("file-out", str(outside / "secret")), ("up", "../../outside")):
        assert os.readlink(box.path / name) == target
    # The kernel follows links by itself, as everywhere; the daemon must never do it in the kernel's stead.
    for name in () if box.folders else ("out%2Fsecret", "up%2Fsecret"):
        fails_with((errno.ENOENT, errno.EINVAL, errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.EACCES), os.stat, box.path / name)
        fails_with((errno.ENOENT, errno.EINVAL, errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.EACCES, errno.EPERM), (box.path / name).write_bytes, b"x")
    assert (outside / "secret").read_bytes() == b"secret"
    (box.path / "file-out").unlink()
    assert (outside / "secret").exists() and not os.path.lexists(box.base / "file-out")


def test_swapped_for_a_link(box, tmp_path):
    """What was a file, and is known as one, becomes a link out of the base: it is not written through."""
    outside = tmp_path / "victim"
    outside.write_bytes(b"untouched")
    (box.path / "file").write_bytes(b"x")
    assert (box.path / "file").stat().st_size == 1
    (box.base / "file").unlink()
    os.symlink(outside, box.base / "file")
    try:
        descriptor = os.open(box.path / "file", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        os.write(descriptor, b"overwritten")
        os.close(descriptor)
    except OSError:
        pass
    assert outside.read_bytes() == b"untouched"


@pytest.mark.parametrize("name", ["..%2Fvictim", "..", "../victim", "%2E%2E%2Fvictim", "%2E%2E"])
def test_names_do_not_leave_the_base(box, name):
    victim = box.base.parent.parent / "victim"
    try:
        (box.path / name).write_bytes(b"x")
    except OSError:
        pass
    assert not victim.exists() and not (box.base.parent / "victim").exists()


def test_special_files_are_listed_and_not_opened(box):
    os.mkfifo(box.base / "fifo")
    assert os.listdir(box.path) == ["fifo"]
    # Opened by the kernel itself, a FIFO would be one of this machine; the daemon must not block on it.
    status = os.lstat(box.path / "fifo")
    assert not stat.S_ISREG(status.st_mode)
    (box.path / "fifo").unlink()
    assert not os.path.lexists(box.base / "fifo")


def test_containers_are_directories(box):
    parent, base = box.path.parent, box.base.parent
    os.mkdir(parent / "made")
    assert stat.S_ISDIR((base / "made").stat().st_mode)
    (base / "made" / "file").write_bytes(b"x")
    fails_with(errno.ENOTEMPTY, os.rmdir, parent / "made")
    (parent / "made" / "file").unlink()
    os.rmdir(parent / "made")
    assert not (base / "made").exists()
    (base / "below").mkdir()
    (base / "plain-file").write_bytes(b"not a container")
    wait_until(lambda: "below" in os.listdir(parent), 10)
    assert "plain-file" not in os.listdir(parent)
    (base / "plain-file").unlink()
    os.rmdir(parent / "below")


def test_keys_with_slashes(box):
    (box.base / "a" / "b").mkdir(parents=True)
    (box.base / "a" / "b" / "c").write_bytes(b"deep")
    if box.folders:
        assert os.listdir(box.path / "a") == ["b"] and (box.path / "a/b/c").read_bytes() == b"deep"
        return
    box.refresh()
    assert os.listdir(box.path) == ["a%2Fb%2Fc"] and (box.path / "a%2Fb%2Fc").read_bytes() == b"deep"
    (box.path / "x%2Fy").write_bytes(b"made here")
    assert (box.base / "x" / "y").read_bytes() == b"made here"
    (box.path / "a%2Fb%2Fc").unlink()
    (box.path / "x%2Fy").unlink()
    assert os.listdir(box.base) == []


def test_file_beside_a_folder_is_an_error(box):
    if box.folders:
        pytest.skip("names cannot collide there")
    (box.path / "a").write_bytes(b"file")
    fails_with((errno.EEXIST, errno.EINVAL, errno.ENOTDIR, errno.EIO), (box.path / "a%2Fb").write_bytes, b"x")
    assert (box.path / "a").read_bytes() == b"file" and os.listdir(box.path) == ["a"]


def test_libcloud_reads_and_writes(box):
    from libcloud.storage.drivers.local import LocalStorageDriver
    driver = LocalStorageDriver(str(box.base.parent))
    container = driver.get_container(box.container)
    (box.path / "ours").write_bytes(b"from the mount")
    assert b"".join(driver.get_object(box.container, "ours").as_stream()) == b"from the mount"
    driver.upload_object_via_stream(iter([b"from ", b"libcloud"]), container, "theirs")
    wait_until(lambda: (box.path / "theirs").read_bytes() == b"from libcloud", 10)
    assert sorted(found.name for found in driver.list_container_objects(container)) == sorted(os.listdir(box.path)) == ["ours", "theirs"]
    driver.delete_object(driver.get_object(box.container, "ours"))
    wait_until(lambda: os.listdir(box.path) == ["theirs"], 10)


def test_large_file_in_place(box):
    data = random_bytes(8 << 20)
    (box.base / "file").write_bytes(data)
    assert (box.path / "file").read_bytes() == data
    subprocess.run(["cp", box.path / "file", box.path / "copy"], check=True)
    assert (box.base / "copy").read_bytes() == data
