"""A file that is unlinked while it is open stays unlinked: its object is deleted later, whatever happens to the daemon."""

import contextlib
import errno
import os
import stat

import pytest

from harness.files import fails_with
from harness.process import wait_until
from harness.s3 import LONG, STORAGE

NO_WRITES = {"operation": ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "CopyObject"], "status": 503}
NO_DELETES = {"operation": "DeleteObject", "status": 503}
SETTLES = 15  # seconds


@pytest.fixture
def make(s3_case, ceph):
    def make_case(durability="storage", **keys):
        made = s3_case(ceph, {"freshness": LONG, "timeout": "4s"}, durability=durability, **keys)
        made.settled()
        return made

    return make_case


@pytest.fixture(params=["storage", "journal"])
def case(request, make):
    return make(request.param)


@pytest.fixture
def journal_case(make):
    return make("journal")


@contextlib.contextmanager
def held_open(path, flags=os.O_RDONLY):
    """An open file, which may outlive its daemon."""
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def folder_of(case):
    return case.mount.directory / "state" / "removals"


def records(case):
    return sorted(path.name for path in folder_of(case).glob("*.record"))


def put(case, key="a", body=b"old"):
    case.put(key, body)
    case.refresh()


def kill_with_unlinked(case, path):
    """The daemon dies while the file is open and has no name any more."""
    with held_open(path):
        os.unlink(path)
        case.mount.kill()


def is_absent(case, name="a"):
    assert name not in os.listdir(case.path)
    fails_with(errno.ENOENT, os.stat, case.path / name)
    assert name not in os.listdir(case.path)


def settles(case, keys):
    """In a few seconds the container holds these keys, and nothing is left to be done."""
    wait_until(lambda: case.keys() == keys and records(case) == [], SETTLES, f"the keys {keys} and no record")


def test_stays_unlinked_after_a_crash(case):
    put(case, "b")
    put(case)
    kill_with_unlinked(case, case.path / "a")
    assert case.keys() == ["a", "b"]
    case.mount.start()
    is_absent(case)
    settles(case, ["b"])
    is_absent(case)


def test_is_hidden_until_it_is_deleted(case):
    put(case, "b")
    put(case)
    kill_with_unlinked(case, case.path / "a")
    case.proxy.set_rules(NO_DELETES)
    case.mount.start()
    is_absent(case)
    assert os.listdir(case.path) == ["b"]
    case.refresh()
    is_absent(case)
    fails_with(errno.ENOENT, open, case.path / "a")
    fails_with(errno.ENOENT, os.rename, case.path / "a", case.path / "c")
    assert case.keys() == ["a", "b"] and len(records(case)) == 1
    case.proxy.set_rules()
    settles(case, ["b"])
    is_absent(case)


def test_what_waits_in_the_journal_stays_unlinked(journal_case):
    """Never stored, or replacing what is stored."""
    case = journal_case
    put(case, "old")
    case.proxy.set_rules(NO_WRITES)
    for name in ("new", "old"):
        with held_open(case.path / name, os.O_RDWR | os.O_CREAT) as file:
            os.write(file, b"written")
            os.fsync(file)
            os.unlink(case.path / name)
            assert os.pread(file, 10, 0) == b"written"
            case.mount.kill()
        case.proxy.set_rules()
        case.mount.start()
        is_absent(case, name)
        case.mount.command("sync", case.mount.point)
        settles(case, [] if name == "old" else ["old"])
        is_absent(case, name)
        case.proxy.set_rules(NO_WRITES)
    case.proxy.set_rules()


@pytest.mark.parametrize("deletes", [True, False], ids=["at-once", "later"])
def test_what_arrived_unknown_stays_unlinked(journal_case, deletes):
    """The upload was carried out, and its answer was lost: nobody knows the ETag of what is stored."""
    case = journal_case
    case.proxy.set_rules({"operation": "PutObject", "drop_reply": True})
    with held_open(case.path / "new", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"written")
        os.fsync(file)
        wait_until(lambda: case.keys() == ["new"], message="the upload")
        os.unlink(case.path / "new")
        case.mount.kill()
    case.proxy.set_rules(*([] if deletes else [NO_DELETES]))
    case.mount.start()
    is_absent(case, "new")
    if not deletes:
        assert case.keys() == ["new"]
        case.put("new", b"theirs!")  # of the same size
        case.refresh()
        wait_until(lambda: (case.path / "new").read_bytes() == b"theirs!", message="what another client stored")
        wait_until(lambda: records(case) == [], SETTLES, "the end of the removal")
        case.proxy.set_rules()
    settles(case, [] if deletes else ["new"])


def test_what_another_client_stored_since_stays(case):
    put(case)
    kill_with_unlinked(case, case.path / "a")
    case.put("a", b"theirs")
    case.mount.start()
    assert (case.path / "a").read_bytes() == b"theirs" and os.listdir(case.path) == ["a"]
    settles(case, ["a"])
    case.refresh()
    assert (case.path / "a").read_bytes() == b"theirs" and case.get("a") == b"theirs"


@pytest.mark.parametrize("body", [b"old", b"other"], ids=["same", "other"])
def test_the_same_name_made_again_stays(case, body):
    """The same bytes have the same ETag: what was removed must be gone before."""
    put(case)
    kill_with_unlinked(case, case.path / "a")
    case.mount.start()
    with open(case.path / "a", "xb") as file:
        file.write(body)
    case.mount.command("sync", case.mount.point)
    settles(case, ["a"])
    assert case.get("a") == body and (case.path / "a").read_bytes() == body
    case.mount.remount()
    assert case.get("a") == body and (case.path / "a").read_bytes() == body


def test_what_another_client_stored_may_become_the_same(case):
    """Written here with the bytes of the removed version, while that removal was not finished."""
    put(case)
    kill_with_unlinked(case, case.path / "a")
    case.put("a", b"theirs")
    case.proxy.set_rules({"operation": ["DeleteObject", "HeadObject"], "status": 503})
    case.mount.start()
    assert os.listdir(case.path) == ["a"]
    case.proxy.set_rules(NO_DELETES)
    (case.path / "a").write_bytes(b"old")
    case.proxy.set_rules()
    case.mount.command("sync", case.mount.point)
    settles(case, ["a"])
    assert case.get("a") == b"old"


@pytest.mark.parametrize("end", ["killed", "unmounted"])
def test_a_service_that_was_down_at_the_last_close(case, end):
    put(case)
    case.proxy.set_rules(NO_DELETES)
    with held_open(case.path / "a"):
        os.unlink(case.path / "a")
    case.wait_injected()
    if end == "killed":
        case.mount.kill()
    else:
        case.mount.umount()
    assert case.keys() == ["a"]
    case.proxy.set_rules()
    case.mount.start()
    is_absent(case)
    settles(case, [])


def test_a_close_leaves_no_record(case):
    put(case)
    with held_open(case.path / "a", os.O_RDWR) as file:
        os.unlink(case.path / "a")
        record, = folder_of(case).glob("*.record")
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder_of(case).stat().st_mode) == 0o700
        os.pwrite(file, b"goes nowhere", 0)
        os.fsync(file)
        assert os.pread(file, 20, 0) == b"goes nowhere"
    settles(case, [])
    with held_open(case.path / "b", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"never stored")
        os.unlink(case.path / "b")
        assert records(case) == []
    settles(case, [])


def test_a_folder_keeps_its_place(make):
    """Of a directory whose only file was removed, and which is removed, renamed, or used again after the crash."""
    case = make(folders=True)
    for name in ("gone", "moved", "used"):
        (case.path / name).mkdir()
        (case.path / name / "a").write_bytes(b"old")
    with contextlib.ExitStack() as opened:
        for name in ("gone", "moved", "used"):
            opened.enter_context(held_open(case.path / name / "a"))
            os.unlink(case.path / name / "a")
        case.mount.kill()
    case.proxy.set_rules(NO_DELETES)
    case.mount.start()
    assert sorted(os.listdir(case.path)) == ["gone", "moved", "used"]
    assert [os.listdir(case.path / name) for name in ("gone", "moved", "used")] == [[], [], []]
    case.proxy.set_rules()
    os.rmdir(case.path / "gone")
    os.rename(case.path / "moved", case.path / "there")
    (case.path / "used/a").write_bytes(b"new")
    settles(case, ["there/", "used/", "used/a"])
    assert os.listdir(case.path / "there") == [] and case.get("used/a") == b"new"


def test_a_damaged_record_is_set_aside_and_told(case):
    put(case)
    kill_with_unlinked(case, case.path / "a")
    name, = records(case)
    record = folder_of(case) / name
    record.write_bytes(record.read_bytes()[:-1])
    case.mount.start()
    assert not record.exists() and (folder_of(case) / "unreadable" / name).exists()
    assert "damaged journal record" in case.mount.log()
    assert os.listdir(case.path) == ["a"]


def test_a_storage_that_is_gone_or_elsewhere_keeps_its_removals(make, bucket_of, ceph):
    case = make()
    put(case)
    kill_with_unlinked(case, case.path / "a")
    section = case.mount.storages.pop(STORAGE)
    case.mount.storages["other"] = {"driver": "memory"}
    case.mount.write_configuration()
    case.mount.start()
    wait_until(lambda: "the storage of this name is not configured" in case.mount.log(), message="the word of it")
    case.mount.umount()
    case.mount.storages[STORAGE] = {"driver": "memory"}
    case.mount.write_configuration()
    case.mount.start("--accept-moved", STORAGE)
    wait_until(lambda: "the storage of this name is another place now" in case.mount.log(), message="the word of it")
    case.mount.umount()
    assert case.keys() == ["a"] and len(records(case)) == 1
    case.mount.storages = {STORAGE: section}
    case.mount.write_configuration()
    case.mount.start("--accept-moved", STORAGE)
    is_absent(case)
    settles(case, [])
