"""A server that hangs: the wait ends with the deadline or with the waiting process, and nothing else waits with it."""

import errno
import os
import signal
import subprocess
import threading

import pytest

from harness.files import random_bytes
from harness.process import run, wait_until
from harness.s3 import LONG, errno_of

HANG = 100  # longer than any wait of these tests


@pytest.fixture
def case(s3_case, ceph, tmp_path):
    """A storage behind the proxy with three seconds of patience, and a local one beside it."""
    (tmp_path / "base" / "box").mkdir(parents=True)
    made = s3_case(ceph, {"freshness": LONG, "timeout": "3s"}, more_storages={"other": {"driver": "local", "path": tmp_path / "base"}})
    for number in range(40):
        made.put(f"doc-{number}", random_bytes(1000, number))
    made.settled()
    return made


def others_work(case):
    """What has to work while the storage hangs. Each with a limit of its own, so that a hang is seen as one."""
    other = case.mount.point / "other" / "box" / "note"
    run("sh", "-c", 'echo hello >"$1" && cat "$1" && rm "$1"', "sh", other, timeout=20)
    run("ls", case.mount.point, timeout=20)
    run("df", case.mount.point, timeout=20)
    run("df", case.path, timeout=20)
    case.mount.command("status", case.mount.point, timeout=20)
    case.mount.command("default", case.mount.point, "other", timeout=20)
    case.mount.command("default", case.mount.point, "store", timeout=20)


def test_a_hanging_read_ends_with_the_deadline(case):
    with case.proxy.faults({"operation": "GetObject", "hang": HANG}):
        reader = subprocess.Popen(["cat", case.path / "doc-0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        case.wait_injected()
        others_work(case)
        assert b"timed out" in reader.communicate(timeout=30)[1]
    assert (case.path / "doc-0").read_bytes() == random_bytes(1000, 0)
    assert case.state()["last_error"]


@pytest.mark.parametrize("operation, action", [
    ("PutObject", lambda case: (case.path / "new").write_bytes(b"x")),
    ("ListObjects", lambda case: os.listdir(case.path)),
    ("HeadObject", lambda case: os.stat(case.path / "doc-39")),
    ("DeleteObject", lambda case: os.unlink(case.path / "doc-1")),
    ("CopyObject", lambda case: os.rename(case.path / "doc-2", case.path / "moved")),
], ids=["PutObject", "ListObjects", "HeadObject", "DeleteObject", "CopyObject"])
def test_every_call_ends_with_the_deadline(case, operation, action):
    case.refresh()
    with case.proxy.faults({"operation": operation, "hang": HANG}):
        assert errno_of(lambda: action(case)) == errno.ETIMEDOUT
        others_work(case)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("operation", ["GetObject", "PutObject", "ListObjects"])
def test_a_signal_ends_the_wait(s3_case, ceph, operation, number):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "10m"})
    case.put("doc", b"content")
    case.settled()
    case.refresh()
    commands = {"GetObject": 'exec cat "$1/doc"', "PutObject": 'exec dd if=/dev/zero of="$1/new" bs=1k count=1 status=none',
                "ListObjects": 'exec ls -f "$1"'}
    with case.proxy.faults({"operation": operation, "hang": HANG}):
        waiting = subprocess.Popen(["sh", "-c", commands[operation], "sh", case.path], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        case.wait_injected()
        waiting.send_signal(number)
        waiting.wait(timeout=20)  # its code is its own: dd takes SIGINT for a wish to end
    assert (case.path / "doc").read_bytes() == b"content"


def test_a_look_up_that_hangs_stops_no_other(s3_case, ceph):
    """The kernel itself may look the names of one directory up side by side."""
    case = s3_case(ceph, {"freshness": LONG, "timeout": "10m"})
    case.put("slow", b"x")
    case.put("quick", b"quick")
    case.refresh()
    with case.proxy.faults({"operation": "HeadObject", "path": "slow", "hang": HANG}):
        waiting = subprocess.Popen(["stat", case.path / "slow"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        case.wait_injected()
        assert run("cat", case.path / "quick", timeout=15).stdout == "quick"
        assert waiting.poll() is None
        waiting.kill()
        waiting.wait(timeout=20)


def test_what_a_killed_reader_waited_for_is_not_waited_for_by_the_next(s3_case, ceph, tmp_path):
    """The kernel interrupts no read-ahead, and makes who reads the same pages wait for it: 30 s, the stall limit."""
    case = s3_case(ceph, {"freshness": LONG, "timeout": "10m"})
    (tmp_path / "doc").write_bytes(random_bytes(8 << 20))
    case.put("doc", (tmp_path / "doc").read_bytes())
    case.settled()
    with case.proxy.faults({"operation": "GetObject", "hang": HANG}):
        reader = subprocess.Popen(["cat", case.path / "doc"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        case.wait_injected()
        reader.kill()
        reader.wait(timeout=20)
    run("cmp", case.path / "doc", tmp_path / "doc", timeout=15)


@pytest.mark.parametrize("calls", [10, 40])
def test_many_hanging_calls_stop_nobody(s3_case, ceph, tmp_path, calls):
    (tmp_path / "base" / "box").mkdir(parents=True)
    case = s3_case(ceph, {"freshness": LONG, "timeout": "10m"}, more_storages={"other": {"driver": "local", "path": tmp_path / "base"}})
    # Larger than what a look-up would fetch: it is their reads that hang.
    content = random_bytes(200_000)
    for number in range(calls):
        case.put(f"doc-{number}", content)
    case.settled()
    with case.proxy.faults({"operation": "GetObject", "hang": HANG}):
        readers = [subprocess.Popen(["cat", case.path / f"doc-{number}"], stdout=subprocess.DEVNULL) for number in range(calls)]
        case.wait_injected(min(calls, 10))
        others_work(case)
        assert all(reader.poll() is None for reader in readers)
        # What needs no request needs no thread of the storage either.
        run("stat", case.path / "doc-0", timeout=20)
        for reader in readers:
            reader.kill()
        for reader in readers:
            reader.wait(timeout=20)
    assert (case.path / "doc-0").read_bytes() == content


def test_the_mount_ends_while_the_server_hangs(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "10m"})
    case.put("doc", b"content")
    case.settled()
    case.proxy.set_rules({"operation": "GetObject", "hang": HANG})
    reader = subprocess.Popen(["cat", case.path / "doc"], stdout=subprocess.DEVNULL)
    case.wait_injected()
    reader.kill()
    reader.wait(timeout=20)
    run(case.mount.binary, "umount", case.mount.point, timeout=40)
    wait_until(lambda: case.mount.process.poll() is not None, message="the end of the daemon")
    case.mount._wait_end(20)
    case.proxy.set_rules()


def test_a_slow_server_is_waited_for(s3_case, ceph):
    """Slow is not dead: as long as bytes come, a read may take longer than it would take to give up."""
    case = s3_case(ceph, {"freshness": LONG})
    body = random_bytes(300_000)
    case.put("doc", body)
    case.settled()
    with case.proxy.faults({"operation": "GetObject", "rate": 150_000}):
        assert (case.path / "doc").read_bytes() == body


def test_a_writer_waits_for_nobody_else(case):
    """One upload hangs; another file of the same storage is written meanwhile."""
    with case.proxy.faults({"operation": "PutObject", "path": "slow", "hang": HANG}):
        ended = []
        slow = threading.Thread(target=lambda: ended.append(errno_of(lambda: (case.path / "slow").write_bytes(b"x"))))
        slow.start()
        case.wait_injected()
        run("sh", "-c", 'echo x >"$1"', "sh", case.path / "quick", timeout=20)
        slow.join(60)
    assert ended == [errno.ETIMEDOUT] and case.get("quick") == b"x\n"
    assert [upload["key"] for upload in wait_until(case.parked, message="the upload in the recovery directory")] == ["slow"]
