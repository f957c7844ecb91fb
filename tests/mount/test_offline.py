"""durability = journal while the storage does not answer: files are made, replaced and added to from what is known of
them, however old that is, and stored when it is back. Nothing that was not known is replaced."""

import contextlib
import errno
import os
import pathlib
import signal
import time

import pytest

from harness.files import fails_with, random_bytes
from harness.process import SERVERS, run, wait_until
from harness.s3 import STORAGE, errno_of, same_bytes

MIB = 1 << 20
OPTIONS = {"freshness": "500ms", "timeout": "8s"}
DOWN = {"refusing": {"reset": -1}, "silent": {"hang": 600}}
NO_ANSWER = (errno.EIO, errno.ETIMEDOUT)
down = pytest.mark.parametrize("how", DOWN)


@pytest.fixture
def case(s3_case, ceph):
    made = s3_case(ceph, OPTIONS, durability="journal")
    made.settled()
    return made


def age():
    """What is known gets older than `freshness`."""
    time.sleep(1)


def fall(case, how="refusing"):
    age()
    case.proxy.set_rules(DOWN[how])


@contextlib.contextmanager
def within(seconds):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def uploads(case, *states):
    return [upload for upload in case.mount.status()["uploads"] if not states or upload["state"] in states]


def wait_stored(case):
    case.mount.command("sync", case.mount.point)
    wait_until(lambda: uploads(case) == [], message="an empty journal")


@down
def test_files_are_written_and_stored_in_the_end(case, how):
    big, unread = random_bytes(6 * MIB), random_bytes(2 * MIB)
    case.put("stated", b"before", Metadata={"mode": str(0o100600), "who": "them"}, ContentType="text/x-old")
    case.put("listed", b"before", Metadata={"mode": str(0o100640), "who": "them"}, ContentType="text/x-old")
    case.put("log", b"first\n")
    case.put("unread", unread)
    age()
    assert sorted(os.listdir(case.path)) == ["listed", "log", "stated", "unread"]
    assert os.stat(case.path / "stated").st_mode & 0o777 == 0o600
    fall(case, how)
    with within(12):
        (case.path / "new").write_bytes(b"new")
    with within(3):
        (case.path / "big").write_bytes(big)
        (case.path / "stated").write_bytes(b"after")
        (case.path / "listed").write_bytes(b"after, too")
        with open(case.path / "log", "ab") as file:
            file.write(b"second\n")
            os.fsync(file.fileno())
        assert (case.path / "new").read_bytes() == b"new" and (case.path / "stated").read_bytes() == b"after"
        same_bytes((case.path / "big").read_bytes(), big)
        assert sorted(os.listdir(case.path)) == ["big", "listed", "log", "new", "stated", "unread"]
        assert os.stat(case.path / "log").st_size == 13 and os.stat(case.path / "unread").st_size == 2 * MIB
        assert not (case.path / "nothing").exists()
    fails_with(NO_ANSWER, (case.path / "unread").read_bytes)
    assert {upload["key"] for upload in uploads(case)} == {"big", "listed", "log", "new", "stated"}
    assert case.keys() == ["listed", "log", "stated", "unread"]
    case.proxy.set_rules()
    wait_stored(case)
    assert case.get("new") == b"new" and case.get("log") == b"first\nsecond\n"
    same_bytes(case.get("big"), big)
    assert case.get("stated") == b"after" and case.get("listed") == b"after, too"
    for key, mode in (("stated", 0o100600), ("listed", 0o100640)):
        found = case.head(key)
        assert found["Metadata"]["mode"] == str(mode) and found["Metadata"]["who"] == "them"
        assert found["ContentType"] == "text/x-old"
    same_bytes(wait_until((case.path / "unread").read_bytes, message="the storage to heal"), unread)


@down
def test_a_fresh_mount_that_never_had_an_answer(case, how):
    case.put("stored", b"unknown to a new mount")
    fall(case, how)
    case.mount.kill()
    case.mount.start()
    assert os.listdir(case.mount.point / STORAGE) == [case.container]
    fails_with(NO_ANSWER, os.listdir, case.path)
    with within(12):
        (case.path / "first").write_bytes(b"one")
    with within(3):
        (case.path / "second").write_bytes(b"two")
    case.mount.kill()
    case.mount.start()
    with within(12):
        (case.path / "third").write_bytes(b"three")
        assert (case.path / "first").read_bytes() == b"one" and (case.path / "second").read_bytes() == b"two"
    case.proxy.set_rules()
    wait_stored(case)
    assert [case.get(key) for key in ("first", "second", "third")] == [b"one", b"two", b"three"]
    wait_until(lambda: sorted(os.listdir(case.path)) == ["first", "second", "stored", "third"], message="what is stored")


def test_a_crash_keeps_what_was_written_over_an_old_version(case):
    """Of `listed` only the version is known: what else it has is fetched when it is stored, whoever does that."""
    case.put("listed", b"0123456789", Metadata={"mode": str(0o100600), "who": "them"})
    age()
    assert os.listdir(case.path) == ["listed"]
    fall(case)
    with open(case.path / "listed", "r+b") as file:
        file.seek(4)
        file.write(b"__")
    case.mount.kill()
    case.mount.start()
    with open(case.path / "listed", "ab") as file:
        file.write(b"!")
    case.proxy.set_rules()
    wait_stored(case)
    assert case.get("listed") == b"0123__6789!"
    assert case.head("listed")["Metadata"]["mode"] == str(0o100600) and case.head("listed")["Metadata"]["who"] == "them"


@pytest.mark.parametrize("arrived", [False, True], ids=["lost", "arrived"])
def test_a_crash_while_an_old_version_is_replaced(case, arrived):
    case.put("listed", b"before", Metadata={"mode": str(0o100600), "who": "them"})
    age()
    assert os.listdir(case.path) == ["listed"]
    fall(case)
    (case.path / "listed").write_bytes(b"after")
    fault = {"drop_reply": True} if arrived else {"hang": 600}
    case.proxy.reset()
    case.proxy.set_rules({"operation": "PutObject", **fault})
    case.mount.command("uploads", "--retry", case.mount.point)
    wait_until(lambda: case.proxy.injected(), message="the request that is cut off")
    case.mount.kill()
    case.proxy.set_rules()
    case.mount.start()
    wait_stored(case)
    assert case.get("listed") == b"after"
    assert case.head("listed")["Metadata"]["mode"] == str(0o100600) and case.head("listed")["Metadata"]["who"] == "them"


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "seen-before"])
def test_what_others_have_stored_is_not_replaced(case, tmp_path, known):
    if known:
        case.put("name", b"seen")
        age()
        assert os.stat(case.path / "name").st_size == 4
    fall(case)
    (case.path / "name").write_bytes(b"mine")
    case.put("name", b"theirs")
    case.proxy.set_rules()
    case.mount.command("uploads", "--retry", case.mount.point)
    wait_until(lambda: uploads(case, "parked"), message="the conflict")
    assert case.get("name") == b"theirs" and (case.path / "name").read_bytes() == b"mine"
    name = f"{STORAGE}/{case.container}/name"
    assert name in case.mount.control("uploads").read_text()
    saved = case.mount.command("uploads", "--export", tmp_path / "saved", case.mount.point, name).stdout.strip()
    assert pathlib.Path(saved).read_bytes() == b"mine"
    case.mount.command("uploads", "--drop", case.mount.point, name)
    wait_until(lambda: (case.path / "name").read_bytes() == b"theirs", message="the stored content")


def test_files_are_saved_by_renaming(case):
    case.put("text", b"before")
    age()
    assert os.stat(case.path / "text").st_size == 6
    fall(case)
    for name in ("text", "other"):
        (case.path / "new~").write_bytes(name.encode())
        os.rename(case.path / "new~", case.path / name)
    assert sorted(os.listdir(case.path)) == ["other", "text"]
    case.proxy.set_rules()
    wait_stored(case)
    assert sorted(case.keys()) == ["other", "text"] and case.get("text") == b"text" and case.get("other") == b"other"


def test_files_are_made_in_folders_that_are_known(s3_case, ceph):
    case = s3_case(ceph, OPTIONS, durability="journal", folders=True)
    case.put("2026/may/old", b"old")
    age()
    assert os.listdir(case.path / "2026/may") == ["old"]
    fall(case)
    (case.path / "2026/may/new").write_bytes(b"new")
    with within(3):
        assert sorted(os.listdir(case.path / "2026/may")) == ["new", "old"]
    fails_with(NO_ANSWER, os.mkdir, case.path / "2026/june")
    fails_with(NO_ANSWER, os.unlink, case.path / "2026/may/old")
    case.proxy.set_rules()
    wait_stored(case)
    assert case.get("2026/may/new") == b"new" and case.get("2026/may/old") == b"old"


def test_without_a_journal_nothing_is_made_up(s3_case, ceph):
    case = s3_case(ceph, {**OPTIONS, "timeout": "2s"})
    case.put("old", b"old")
    case.settled()
    assert os.stat(case.path / "old").st_size == 3
    fall(case)
    for action in ((case.path / "new").touch, lambda: (case.path / "old").write_bytes(b"over"), lambda: os.stat(case.path / "old"),
                   lambda: os.listdir(case.path), lambda: os.stat(case.path / "nothing")):
        assert errno_of(action) in NO_ANSWER
    case.proxy.set_rules()
    wait_until(lambda: (case.path / "old").read_bytes() == b"old", message="the storage to heal")
    assert case.keys() == ["old"]


def test_a_server_that_is_stopped_and_started_again(s3_case, own_server):
    server = own_server("ceph")
    case = s3_case(server, {"timeout": "1m"}, durability="journal", endpoint=server.settings()["endpoint"])
    case.put("old", b"old")
    wait_until(lambda: os.listdir(case.path) == ["old"], message="the stored object")
    age()
    server.send_signal("rgw", signal.SIGKILL)
    bodies = {f"file-{number}": random_bytes(number * 1000, number) for number in range(1, 30)}
    with within(25):
        (case.path / "old").write_bytes(b"over")
        for name, body in bodies.items():
            (case.path / name).write_bytes(body)
        for name, body in bodies.items():
            same_bytes((case.path / name).read_bytes(), body)
        assert sorted(os.listdir(case.path)) == sorted([*bodies, "old"])
    run(SERVERS / "ceph.sh", "restart-rgw", server.directory)
    wait_stored(case)
    assert case.get("old") == b"over" and sorted(case.keys()) == sorted([*bodies, "old"])
    for name, body in bodies.items():
        same_bytes(case.get(name), body)
    # It is known to be back without anybody's help.
    case.put("later", b"later")
    wait_until(lambda: (case.path / "later").exists(), message="what another client stores")
