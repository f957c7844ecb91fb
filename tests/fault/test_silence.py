"""A storage that says nothing: whoever waits for it waits once, together, and it heals as soon as it answers.

The kernel lets those who look up one name wait for each other, so that each of them comes only when the one before him
has failed.
"""

import errno
import os
import signal
import subprocess
import time

import pytest

from harness.process import run, wait_until
from harness.s3 import errno_of

TIMEOUT = 4
HANG = 100


@pytest.fixture
def mute(own_server):
    """A server that can be stopped, so that it takes connections and says nothing."""
    server = own_server("moto")
    yield server
    server.send_signal("moto", signal.SIGCONT)


@pytest.fixture
def case(s3_case, mute):
    made = s3_case(mute, {"timeout": f"{TIMEOUT}s"}, containers=None)
    for number in range(3):
        made.put(f"q{number}", b"x")
    wait_until(lambda: made.state()["state"] == "up", message="the first answer")
    os.listdir(made.path)
    return made


def fall_silent(case):
    """The server stops, and what the kernel and the mount know has grown old."""
    case.server.send_signal("moto", signal.SIGSTOP)
    case.mount.control("refresh").write_text("store\n")
    time.sleep(0.3)  # for the kernel to be told


def failures(commands):
    """Runs all at once; how long each took, and that each failed."""
    start, running = time.monotonic(), [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                                        for command in commands]
    said = [process.communicate(timeout=300)[1] for process in running]
    assert all(process.returncode for process in running) and all(b"timed out" in text or b"put/output" in text for text in said)
    return time.monotonic() - start


@pytest.mark.parametrize("names", [["q1"] * 4, [f"new{number}" for number in range(40)]], ids=["one name", "many names"])
def test_many_wait_as_long_as_one(case, names):
    fall_silent(case)
    assert failures([["stat", case.path / name] for name in names]) < 2 * TIMEOUT
    case.server.send_signal("moto", signal.SIGCONT)
    wait_until(lambda: (case.path / "q1").read_bytes() == b"x", timeout=3, message="the storage to heal")
    assert case.state()["state"] == "up"


def test_names_below_a_known_container(case):
    """Names that are made are looked up with the directory locked, one after the other."""
    case.server.send_signal("moto", signal.SIGSTOP)
    assert failures([["mkdir", case.path.parent / f"absent-{number}"] for number in range(6)]) < 2 * TIMEOUT + 1
    assert failures([["touch", case.path / f"new{number}"] for number in range(6)]) < 2 * TIMEOUT + 1


def test_listings_wait_as_long_as_one(case):
    fall_silent(case)
    assert failures([["ls", case.path.parent] for _ in range(6)]) < 2 * TIMEOUT


def test_one_object_says_nothing_of_the_others(case):
    """A request that hangs beside others that are answered is its own trouble."""
    with case.proxy.faults({"operation": "HeadObject", "path": "q1", "hang": HANG}):
        assert errno_of(lambda: os.stat(case.path / "absent" / "x")) == errno.ENOENT
        case.mount.control("refresh").write_text(f"store/{case.container}\n")
        start = time.monotonic()
        assert errno_of(lambda: os.getxattr(case.path / "q1", "user.mime_type")) == errno.ETIMEDOUT
        assert time.monotonic() - start < TIMEOUT + 1
        assert errno_of(lambda: os.stat(case.path / "never")) == errno.ENOENT
        assert run("stat", case.path / "q2", timeout=TIMEOUT).returncode == 0
