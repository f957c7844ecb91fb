"""The daemon's memory has a bound, whatever a server sends and however many read."""

import pathlib
import re
import subprocess

import pytest

from harness.files import random_bytes
from harness.s3 import LONG

MIB = 1 << 20
LIMIT = 64 * MIB
# The program itself, its threads' stacks and arenas, libraries, and the kernel's requests in flight.
BESIDE = 96 * MIB


def peak(case):
    """Bytes that the daemon has had in memory at most."""
    status = pathlib.Path(f"/proc/{case.mount.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture
def case(s3_case, ceph):
    made = s3_case(ceph, {"freshness": LONG, "timeout": "5s", "memory_limit": "64M"})
    made.settled()
    return made


def read_all(case, names):
    readers = [subprocess.Popen(["cat", case.path / name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in names]
    return [reader.wait(timeout=120) for reader in readers]


def test_fifty_readers(case):
    for number in range(10):
        case.put(f"doc-{number}", random_bytes(16 * MIB, number))
    case.refresh()
    assert not any(read_all(case, [f"doc-{number % 10}" for number in range(50)]))
    assert peak(case) < LIMIT + BESIDE
    memory = case.mount.status()["memory"]
    assert memory["limit_bytes"] == LIMIT and memory["peak_bytes"] <= LIMIT


@pytest.mark.parametrize("operation", ["GetObject", "ListObjects", "HeadBucket", "PutObject"])
def test_bodies_without_end(case, operation):
    for number in range(8):
        case.put(f"doc-{number}", random_bytes(MIB, number))
    case.refresh()
    with case.proxy.faults({"operation": operation, "endless": 1 << 40}):
        read_all(case, [f"doc-{number}" for number in range(8)])
        subprocess.run(["ls", "-f", case.path], capture_output=True, timeout=60, check=False)
        subprocess.run(["sh", "-c", 'echo x >"$1"', "sh", case.path / "new"], capture_output=True, timeout=60, check=False)
    assert peak(case) < LIMIT + BESIDE
    assert not any(read_all(case, ["doc-0"]))


def test_errors_without_end(case):
    for number in range(8):
        case.put(f"doc-{number}", random_bytes(MIB, number))
    case.refresh()
    with case.proxy.faults({"status": 500, "endless": 1 << 40, "fill": "<Error><Code>x</Code><Message>"}):
        read_all(case, [f"doc-{number}" for number in range(8)])
    assert peak(case) < LIMIT + BESIDE


def test_large_writes(case):
    with open(case.path / "big", "wb", buffering=0) as file:
        for number in range(150):
            file.write(random_bytes(MIB, number % 3))
    assert peak(case) < LIMIT + BESIDE
    assert case.head("big")["ContentLength"] == 150 * MIB
