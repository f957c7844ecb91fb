"""What others change is seen in time, and what they do not change is not fetched again."""

import mmap
import os

import pytest

from harness.files import random_bytes
from harness.process import run, wait_until
from harness.s3 import LONG, same_bytes

MIB = 1 << 20


def see_change(case):
    """A foreign change of a known name, a new name and a removed one."""
    case.put("changed", b"after, and longer")
    case.put("new", b"new")
    case.client.delete_object(Bucket=case.container, Key="removed")


def is_seen(case):
    assert os.stat(case.path / "changed").st_size == 17
    assert (case.path / "changed").read_bytes() == b"after, and longer"
    assert (case.path / "new").read_bytes() == b"new"
    assert not os.path.exists(case.path / "removed")
    assert sorted(os.listdir(case.path)) == ["changed", "new"]
    return True


def is_as_before(case):
    return (os.stat(case.path / "changed").st_size == 6 and (case.path / "changed").read_bytes() == b"before"
            and not os.path.exists(case.path / "new") and os.path.exists(case.path / "removed"))


@pytest.fixture
def changing(s3_case, ceph):
    def make(freshness, **keys):
        case = s3_case(ceph, {"freshness": freshness}, **keys)
        case.put("changed", b"before")
        case.put("removed", b"removed")
        assert sorted(os.listdir(case.path)) == ["changed", "removed"]
        assert is_as_before(case)
        return case

    return make


@pytest.mark.parametrize("attributes", ["exact", "listing"])
def test_without_freshness_a_change_is_seen_at_once(changing, attributes):
    case = changing(0, attributes=attributes)
    see_change(case)
    assert is_seen(case)


def test_a_change_is_seen_when_freshness_has_passed(changing):
    case = changing("500ms")
    see_change(case)
    wait_until(lambda: is_seen(case), message="the change")


def test_until_then_nothing_is_asked(changing):
    case = changing(LONG)
    case.settled()
    is_as_before(case)
    case.proxy.reset()
    see_change(case)
    for _ in range(5):
        assert is_as_before(case)
    assert not case.counts()


def test_refresh_forgets(changing):
    case = changing(LONG)
    see_change(case)
    case.refresh()
    assert is_seen(case)


def test_refresh_of_one_name(changing):
    case = changing(LONG)
    see_change(case)
    case.refresh("changed")
    assert (case.path / "changed").read_bytes() == b"after, and longer"


def test_pages_are_kept_while_the_etag_stays(s3_case, ceph):
    case = s3_case(ceph, {"freshness": 0})
    body = random_bytes(8 * MIB)
    case.put("doc", body)
    same_bytes((case.path / "doc").read_bytes(), body)
    case.proxy.reset()
    for _ in range(3):
        same_bytes((case.path / "doc").read_bytes(), body)
    assert not case.counts().get("GetObject")
    case.refresh()
    case.proxy.reset()
    same_bytes((case.path / "doc").read_bytes(), body)
    assert not case.counts().get("GetObject")


def test_pages_are_dropped_when_it_changes(s3_case, ceph):
    case = s3_case(ceph, {"freshness": 0})
    for turn in range(8):
        body = bytes([65 + turn]) * 3 * MIB
        case.put("doc", body)
        same_bytes((case.path / "doc").read_bytes(), body)


def test_a_mapping_shows_the_new_version_when_it_is_made_anew(s3_case, ceph):
    case = s3_case(ceph, {"freshness": 0})
    for letter in b"AB":
        case.put("doc", bytes([letter]) * MIB)
        with open(case.path / "doc", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            assert set(view[:]) == {letter}


def test_what_is_written_here_survives_a_remount(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG})
    body = random_bytes(7 * MIB)
    (case.path / "doc").write_bytes(body)
    os.utime(case.path / "doc", ns=(10**18 + 5, 10**18 + 5))
    os.chmod(case.path / "doc", 0o604)
    os.symlink("../doc", case.path / "link")
    case.mount.remount()
    same_bytes((case.path / "doc").read_bytes(), body)
    status = os.stat(case.path / "doc")
    assert (status.st_mtime_ns, status.st_mode & 0o7777) == (10**18 + 5, 0o604)
    assert os.readlink(case.path / "link") == "../doc"


def test_a_container_made_elsewhere_is_seen(s3_case, ceph, bucket_of):
    case = s3_case(ceph, {"freshness": 0}, containers=None)
    other = bucket_of(ceph, "elsewhere")
    store = case.mount.point / "store"
    assert other in os.listdir(store) and os.listdir(store / other) == []
    case.client.put_object(Bucket=other, Key="doc", Body=b"x")
    assert run("cat", store / other / "doc").stdout == "x"


def test_an_open_file_has_the_attributes_that_were_fetched_ahead(s3_case, ceph):
    """They come along with a listing, without the rest of the metadata, to a file that was opened for reading before."""
    case = s3_case(ceph, {"freshness": LONG})
    names = [f"name-{number:02}" for number in range(20)]
    for name in names:
        case.put(name, bytes(5000), Metadata={"mode": str(0o100640)})
    case.settled()
    os.listdir(case.path)
    descriptor = os.open(case.path / names[-1], os.O_RDONLY)
    try:
        assert {os.stat(case.path / name).st_mode & 0o777 for name in names[:-1]} == {0o640}
        wait_until(lambda: case.counts().get("HeadObject", 0) >= len(names), message="what is asked ahead")
        assert os.stat(case.path / names[-1]).st_mode & 0o777 == 0o640
        assert os.fstat(descriptor).st_mode & 0o777 == 0o640
    finally:
        os.close(descriptor)
