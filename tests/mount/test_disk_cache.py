"""With cache_size: what was read is read from disk, also by the next mount, and is never anything else than the object."""

import errno
import os
import pathlib
import random

import pytest

from harness.files import random_bytes
from harness.mount import MountFailed
from harness.process import run, wait_until
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20
SIZE = 9 * MIB + 12345


@pytest.fixture
def case(s3_case, ceph):
    return s3_case(ceph, {"freshness": LONG, "cache_size": "64M"})


def objects(case):
    return pathlib.Path(case.mount.options["cache_dir"]) / "objects"


def disk_cache(case):
    return case.mount.status()["disk_cache"]


def drop_page_cache(path):
    """The kernel forgets the file's bytes."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def wait_kept(case, size):
    """Until the cache has written so many bytes since the mount: it does that behind the reader's back."""
    wait_until(lambda: disk_cache(case)["stored_bytes"] >= size, message="the cache to keep what was read")


def read_and_keep(case, name, size):
    """In an order that misses nothing: a cache that cannot follow does not keep."""
    with open(case.path / name, "rb") as file:
        found = file.read()
    wait_until(lambda: disk_cache(case)["stored_bytes"] + disk_cache(case)["dropped_bytes"] >= size, message="the cache to be done")
    return found


def test_a_second_mount_reads_from_disk(case):
    data = random_bytes(SIZE)
    case.put("large", data)
    case.put("small", data[:1000])
    case.settled()
    same_bytes(read_and_keep(case, "large", SIZE), data)
    same_bytes((case.path / "small").read_bytes(), data[:1000])
    wait_kept(case, SIZE + 1000)
    case.mount.remount()
    case.settled()
    same_bytes((case.path / "large").read_bytes(), data)
    counts = case.counts()
    assert counts.pop("HeadObject", 0) <= 1 and counts == {}
    same_bytes((case.path / "small").read_bytes(), data[:1000])
    counts = case.counts()
    assert counts.pop("HeadObject", 0) <= 2 and counts == {}
    found = disk_cache(case)
    assert found["on"] and found["reason"] is None and found["hit_bytes"] >= SIZE and found["stored_bytes"] == 0
    assert found["objects"] == 2 and 0 < found["used_bytes"] <= found["limit_bytes"] == 64 * MIB


def test_the_same_mount_reads_from_disk(case):
    """What the kernel and the daemon had in memory is gone."""
    data = random_bytes(SIZE)
    case.put("large", data)
    case.settled()
    same_bytes(read_and_keep(case, "large", SIZE), data)
    case.proxy.reset()
    case.refresh("large")
    drop_page_cache(case.path / "large")
    same_bytes((case.path / "large").read_bytes(), data)
    counts = case.counts()
    assert counts.pop("HeadObject", 0) <= 1 and counts == {}
    assert disk_cache(case)["hits"] > 0


def test_a_crash_loses_nothing_that_was_kept(case):
    data = random_bytes(SIZE)
    case.put("large", data)
    case.settled()
    same_bytes(read_and_keep(case, "large", SIZE), data)
    case.mount.kill()
    case.mount.start()
    case.settled()
    same_bytes((case.path / "large").read_bytes(), data)
    assert "GetObject" not in case.counts()


def test_random_reads_are_kept_as_pages(case):
    data = random_bytes(64 * MIB)
    case.put("large", data)
    case.settled()
    # Far enough from each other that none looks like the next of another.
    offsets = [(number * 37 % 41) * (3 * MIB // 2) for number in range(40)]

    def read():
        with open(case.path / "large", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for offset in offsets:
                same_bytes(os.pread(file.fileno(), 4096, offset), data[offset:offset + 4096])

    read()
    moved = case.proxy.bytes_received()
    assert moved <= 40 * 20000
    wait_kept(case, 40 * 4096)
    case.mount.remount()
    case.settled()
    read()
    assert "GetObject" not in case.counts()
    assert disk_cache(case)["used_bytes"] <= moved + 256 * 1024


def test_a_replaced_object_is_never_the_old_one(s3_case, ceph):
    case = s3_case(ceph, {"freshness": 0, "cache_size": "64M"})
    for round_ in range(12):
        data = random_bytes(200_000 + round_ % 2, seed=round_)
        case.put("object", data)
        for _ in range(2):
            same_bytes((case.path / "object").read_bytes(), data)
        if round_ % 4 == 3:
            case.mount.remount()


def test_an_open_file_is_one_version(case):
    old, new = random_bytes(SIZE, 1), random_bytes(SIZE, 2)
    case.put("object", old)
    case.settled()
    same_bytes(read_and_keep(case, "object", SIZE), old)
    case.mount.remount()
    with open(case.path / "object", "rb", buffering=0) as file:
        same_bytes(file.read(MIB), old[:MIB])
        case.put("object", new)
        file.seek(5 * MIB)
        same_bytes(file.read(MIB), old[5 * MIB:6 * MIB])
        case.refresh("object")
        same_bytes((case.path / "object").read_bytes(), new)


def test_what_was_written_here_is_read_right(case):
    """Written, read, edited in the middle and at the end, renamed, copied: what the cache has of before is not taken."""
    case.settled()
    data = bytearray(random_bytes(SIZE))
    (case.path / "a").write_bytes(data)
    for step in range(4):
        same_bytes((case.path / "a").read_bytes(), bytes(data))
        with open(case.path / "a", "r+b") as file:
            file.seek(step * MIB)
            file.write(b"edited")
            data[step * MIB:step * MIB + 6] = b"edited"
            file.seek(0, os.SEEK_END)
            file.write(b"more")
            data += b"more"
        case.refresh("a")
    case.mount.remount()
    same_bytes((case.path / "a").read_bytes(), bytes(data))
    os.rename(case.path / "a", case.path / "b")
    same_bytes((case.path / "b").read_bytes(), bytes(data))
    run("cp", case.path / "b", case.path / "a")
    case.mount.remount()
    same_bytes((case.path / "a").read_bytes(), bytes(data))
    same_bytes((case.path / "b").read_bytes(), bytes(data))


def test_a_cache_that_is_too_small(s3_case, ceph):
    """Something is removed for each read, and all bytes are right."""
    case = s3_case(ceph, {"freshness": LONG, "cache_size": "8M"})
    numbers = random.Random(2)
    contents = {f"o{number}": random_bytes(numbers.randrange(1, 4 * MIB), seed=number) for number in range(8)}
    for name, data in contents.items():
        case.put(name, data)
    case.settled()
    for round_ in range(120):
        name = numbers.choice(list(contents))
        data = contents[name]
        start = numbers.randrange(len(data))
        length = numbers.choice([1, 4096, 300_000, len(data)])
        drop_page_cache(case.path / name)
        with open(case.path / name, "rb", buffering=0) as file:
            same_bytes(os.pread(file.fileno(), length, start), data[start:start + length])
    found = disk_cache(case)
    assert found["used_bytes"] <= 8 * MIB
    assert found["evictions"] > 0 and found["damaged"] == 0
    taken = int(run("du", "--block-size=1", "--summarize", objects(case)).stdout.split()[0])
    assert taken <= 8 * MIB + 4096 * 260  # the 256 directories


def test_damaged_bytes_are_fetched_again(case):
    data = random_bytes(SIZE)
    case.put("large", data)
    case.settled()
    same_bytes(read_and_keep(case, "large", SIZE), data)
    case.mount.umount()
    (file,) = [path for path in objects(case).glob("??/*") if path.suffix != ".map"]
    assert file.read_bytes() == data
    with open(file, "r+b") as damaged:
        damaged.seek(5 * MIB)
        damaged.write(bytes(10))
    case.mount.start()
    case.settled()
    same_bytes((case.path / "large").read_bytes(), data)
    assert disk_cache(case)["damaged"] == 1
    assert case.proxy.bytes_received() <= 2 * MIB


def test_files_are_private_and_off_leaves_none(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG, "cache_size": 0})
    case.put("object", b"content")
    assert (case.path / "object").read_bytes() == b"content"
    assert not objects(case).exists()
    found = disk_cache(case)
    assert not found["on"] and found["reason"] is None and found["hits"] == found["misses"] == 0
    case.mount.options["cache_size"] = "8M"
    case.mount.remount()
    assert (case.path / "object").read_bytes() == b"content"
    wait_kept(case, 7)
    assert os.stat(objects(case)).st_mode & 0o7777 == 0o700
    for path in objects(case).glob("??/*"):
        assert os.stat(path).st_mode & 0o7777 == 0o600
    assert "storagefs_disk_cache_objects 1\n" in case.mount.control("metrics").read_text()
    assert "disk cache" in case.mount.command("status", case.mount.point).stdout


def test_a_second_mount_of_the_same_directory_goes_without(case, mount):
    case.put("object", b"content")
    assert (case.path / "object").read_bytes() == b"content"
    second = mount(case.mount.storages, {"cache_size": "64M", "cache_dir": case.mount.options["cache_dir"]})
    assert (second.point / "store" / case.container / "object").read_bytes() == b"content"
    found = second.status()["disk_cache"]
    assert not found["on"] and "another mount" in found["reason"]
    assert "another mount" in second.command("status", second.point).stdout
    assert disk_cache(case)["on"]


def test_a_directory_that_is_not_ours_is_refused(s3_case, ceph):
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    case = s3_case(ceph, {"cache_size": "64M"}, start=False)
    objects(case).mkdir(parents=True)
    os.chown(objects(case), 12345, 12345)
    with pytest.raises(MountFailed) as refused:
        case.mount.start()
    assert "objects" in str(refused.value) and "not a directory of this user" in str(refused.value)


def test_a_full_disk_only_ends_keeping(s3_case, ceph, tmp_path):
    if os.geteuid():
        pytest.skip("only root can mount a file system that is small")
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "none", disk)
    try:
        case = s3_case(ceph, {"freshness": LONG, "cache_size": "64M", "cache_dir": disk})
        data = random_bytes(SIZE)
        case.put("large", data)
        case.settled()
        run("dd", "if=/dev/zero", f"of={disk}/other", "bs=1M", "count=5", "status=none")
        same_bytes(read_and_keep(case, "large", SIZE), data)
        found = disk_cache(case)
        assert not found["on"] and "No space left" in found["reason"] and found["dropped_bytes"] > 0
        assert case.mount.log().count("nothing is kept until that ends") == 1
        drop_page_cache(case.path / "large")
        same_bytes((case.path / "large").read_bytes(), data)
        case.mount.umount()
    finally:
        run("umount", "--lazy", disk)


def test_what_is_written_comes_before_what_is_cached(s3_case, ceph, tmp_path):
    if os.geteuid():
        pytest.skip("only root can mount a file system that is small")
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "none", disk)
    try:
        case = s3_case(ceph, {"freshness": LONG, "cache_size": "256M", "cache_dir": disk})
        names = [f"read-{i}" for i in range(6)]
        for name in names:
            case.put(name, random_bytes(8 * MIB))
        case.settled()
        for name in names:
            read_and_keep(case, name, 8 * MIB)
        assert disk_cache(case)["used_bytes"] > 30 * MIB
        data = random_bytes(30 * MIB)
        with open(case.path / "written", "wb") as file:
            file.write(data)
            same_bytes((case.path / "written").read_bytes(), data)
        same_bytes(case.get("written"), data)
        found = disk_cache(case)
        assert found["on"] and found["evictions"] > 0
        case.mount.umount()
    finally:
        run("umount", "--lazy", disk)


def fill_up(path):
    """To the last byte that the file system gives."""
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


@pytest.mark.parametrize("size", [5000, 3 * MIB])
@pytest.mark.parametrize("durability", ["journal", "storage"])
def test_what_was_acknowledged_comes_before_what_is_cached(s3_case, ceph, tmp_path, durability, size):
    """The journal, and the recovery directory where the storage refuses, get the room that the cache has."""
    if os.geteuid():
        pytest.skip("only root can mount a file system that is small")
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "none", disk)
    try:
        case = s3_case(ceph, {"freshness": LONG, "cache_size": "256M", "cache_dir": disk / "cache", "state_dir": disk / "state",
                              "timeout": "3s"}, durability=durability)
        for name in ("read-0", "read-1"):
            case.put(name, random_bytes(8 * MIB))
        case.settled()
        for name in ("read-0", "read-1"):
            read_and_keep(case, name, 8 * MIB)
        body = random_bytes(size)
        with case.proxy.faults({"operation": "PutObject", "status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"}):
            file = os.open(case.path / "written", os.O_WRONLY | os.O_CREAT, 0o644)
            assert os.write(file, body) == size
            fill_up(disk / "other")
            error = errno_of(lambda: os.fsync(file)) or 0
            error = errno_of(lambda: os.close(file)) or error
            assert error == (0 if durability == "journal" else errno.EACCES)
            if durability == "storage":
                (upload,) = wait_until(case.parked, message="the bytes in the recovery directory")
                with open(upload["recovery_path"], "rb") as kept:
                    same_bytes(kept.read(), body)
            else:
                wait_until(case.proxy.injected, message="the first try to store it")
        if durability == "journal":
            case.mount.kill()
            case.mount.start()
            same_bytes((case.path / "written").read_bytes(), body)
            case.mount.command("uploads", case.mount.point, "--retry")
            case.mount.command("sync", case.mount.point)
            same_bytes(case.get("written"), body)
        case.mount.umount()
    finally:
        run("umount", "--lazy", disk)
