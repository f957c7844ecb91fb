"""A file that is longer than the memory for what is not sent yet: its bytes are in memory, on disk and on their way at a
time, and are the right ones for whoever reads, sends or saves them."""

import errno
import os

import pytest

from harness.files import fails_with, random_bytes
from harness.process import wait_until
from harness.s3 import same_bytes

MIB = 1 << 20
SIZE = 56 * MIB + 4321
LIMIT = 64 * MIB
EDITS = [(0, 5000), (7 * MIB - 100, 3 * MIB), (31 * MIB + 17, 200), (50 * MIB, 5 * MIB)]


@pytest.fixture
def case(s3_case, ceph):
    """A quarter of the memory is for what is written: 16 MiB, of which half is given back as parts are sent."""
    return s3_case(ceph, {"freshness": 0, "memory_limit": "64M"}, part_size="5M")


def write_forward(file, body):
    for at in range(0, len(body), MIB):
        assert os.write(file, body[at:at + MIB]) == len(body[at:at + MIB])


def edit(file, body):
    """Overwrites ranges that were sent, are in memory, or both; the body has them as well."""
    for number, (offset, length) in enumerate(EDITS):
        change = random_bytes(length, 100 + number)
        assert os.pwrite(file, change, offset) == length
        body[offset:offset + length] = change


def read_back(file, body):
    """Not from the kernel's pages."""
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    for at in range(0, len(body), 4 * MIB):
        same_bytes(os.pread(file, 4 * MIB, at), bytes(body[at:at + 4 * MIB]))


def memory(case):
    return case.mount.status()["memory"]


def test_what_is_read_before_close_and_stored_by_it(case):
    body = bytearray(random_bytes(SIZE, 1))
    file = os.open(case.path / "long", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write_forward(file, body)
        read_back(file, body)
        edit(file, body)
        read_back(file, body)
    finally:
        os.close(file)
    same_bytes(case.get("long"), bytes(body))
    assert case.unfinished() == []
    assert memory(case)["peak_bytes"] <= LIMIT


def test_a_file_that_is_cut_after_parts_were_sent(case):
    """This service commits an upload only by the names of all parts that it has."""
    body = random_bytes(SIZE, 3)
    file = os.open(case.path / "cut", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write_forward(file, body)
        wait_until(lambda: case.counts()["UploadPart"] > 2, message="parts")
        os.ftruncate(file, 6 * MIB)
        os.pwrite(file, b"behind a gap", 12 * MIB)
        body = body[:6 * MIB] + bytes(6 * MIB) + b"behind a gap"
        read_back(file, body)
    finally:
        os.close(file)
    same_bytes(case.get("cut"), body)
    assert case.unfinished() == []


def test_what_could_not_be_committed_is_kept_whole(case):
    """Parts that were sent have given their memory back: they are saved all the same."""
    body = bytearray(random_bytes(SIZE, 2))
    file = os.open(case.path / "long", os.O_WRONLY | os.O_CREAT, 0o644)
    with case.proxy.faults({"operation": "CompleteMultipartUpload", "status": 403}):
        write_forward(file, body)
        edit(file, body)
        fails_with(errno.EACCES, os.close, file)
        wait_until(case.parked, message="the upload in the recovery directory")
    (upload,) = case.parked()
    with open(upload["recovery_path"], "rb") as saved:
        same_bytes(saved.read(), bytes(body))
    assert memory(case)["peak_bytes"] <= LIMIT
    assert case.keys() == []


def test_writers_share_the_memory(case):
    bodies = [random_bytes(20 * MIB + number, 10 + number) for number in range(4)]
    files = [os.open(case.path / f"f{number}", os.O_WRONLY | os.O_CREAT, 0o644) for number in range(len(bodies))]
    try:
        for at in range(0, 21 * MIB, MIB):
            for file, body in zip(files, bodies):
                os.write(file, body[at:at + MIB])
    finally:
        for file in files:
            os.close(file)
    for number, body in enumerate(bodies):
        same_bytes(case.get(f"f{number}"), body)
    assert memory(case)["peak_bytes"] <= LIMIT
