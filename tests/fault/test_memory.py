"""The daemon's memory has a bound, whatever a server sends and however many read."""

import concurrent.futures
import pathlib
import re
import subprocess

import pytest

from harness.files import random_bytes
from harness.s3 import LONG, same_bytes

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


def write_all(path, content, count):
    """Writes `count` files side by side, all open until the last is written; gives their names."""
    names = [f"new-{number}" for number in range(count)]
    files = [open(path / name, "wb", buffering=0) for name in names]
    try:
        for start in range(0, len(content), MIB // 2):
            for file in files:
                file.write(content[start:start + MIB // 2])
    finally:
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda file: file.close(), files))
    return names


def test_a_burst_in_little_memory(s3_case, ceph, tmp_path):
    """200 open readers and 50 writers share 16 MiB: they wait for each other, none fails, all bytes are right."""
    limit = 16 * MIB
    case = s3_case(ceph, {"freshness": LONG, "memory_limit": "16M"})
    contents = {f"doc-{number}": random_bytes(3 * MIB + number, number) for number in range(10)}
    for name, content in contents.items():
        case.put(name, content)
        (tmp_path / name).write_bytes(content)
    case.settled()
    readers = [subprocess.Popen(["cmp", case.path / f"doc-{number % 10}", tmp_path / f"doc-{number % 10}"], stderr=subprocess.PIPE)
               for number in range(200)]
    written = random_bytes(2 * MIB + 7)
    names = write_all(case.path, written, 50)
    failed = [text for reader in readers for text in [reader.communicate(timeout=300)[1]] if reader.returncode]
    assert failed == []
    for name in names:
        same_bytes(case.get(name), written)
    memory = case.mount.status()["memory"]
    assert memory["limit_bytes"] == limit and memory["peak_bytes"] <= limit
    assert peak(case) < limit + BESIDE


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
