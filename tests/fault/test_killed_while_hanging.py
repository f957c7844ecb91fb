"""SIGKILL for a daemon whose calls hang: it is gone at once, and whoever waited for it gets an error and not a wait for ever."""

import errno
import os
import subprocess

import pytest

from harness.process import run, wait_until
from harness.s3 import LONG

HANG = 100


@pytest.fixture
def case(s3_case, ceph):
    made = s3_case(ceph, {"freshness": LONG, "timeout": "10m"})
    for number in range(10):
        made.put(f"doc-{number}", b"content %d" % number)
    made.settled()
    os.listdir(made.path)
    return made


def waiting(*command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ends_when_killed(case, waiters):
    try:
        case.mount.kill(clear=False)
    except BaseException:
        # Or a thread that waits in the kernel for its own mount stays for ever, with whom it makes wait.
        subprocess.run(["umount", "-f", case.mount.point], check=False)
        raise
    for waiter in waiters:
        assert waiter.wait(20) != 0
    with pytest.raises(OSError) as caught:
        os.statvfs(case.mount.point)
    assert caught.value.errno == errno.ENOTCONN


def test_with_a_directory_to_be_forgotten(case):
    """The kernel's lock of a directory is held for the call that hangs, and the kernel takes it to forget a name."""
    with case.proxy.faults({"operation": "DeleteObject", "hang": HANG}):
        remover = waiting("rm", "-f", case.path / "doc-0")
        case.wait_injected()
        others = [waiting("rm", "-f", case.path / f"doc-{number}") for number in (1, 2)]
        run("sh", "-c", 'echo "$1" >"$2"', "sh", case.path, case.mount.control("refresh"), timeout=20)
        ends_when_killed(case, [remover, *others])
    case.mount.start()
    assert (case.path / "doc-9").read_bytes() == b"content 9"
