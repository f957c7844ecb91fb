"""What goes on by itself when a storage is mounted: nothing that writes on a read-only mount, and no probe twice."""

import errno

import pytest

from harness.process import wait_until
from harness.s3 import STORAGE, errno_of

# The service's own name is not told, so what it does with conditions has to be tried.
UNKNOWN = {"driver": "s3", "addressing": "path", "conditional_writes": "probe"}


@pytest.fixture
def case(s3_case, ceph):
    return s3_case(ceph, start=False, **UNKNOWN)


def start(case):
    case.proxy.reset()
    case.mount.start()
    wait_until(lambda: case.state()["state"] == "up", message="the storage")


def probes(case):
    """The requests about objects of our own, when a write has waited for the last of them."""
    (case.path / "first").write_bytes(b"text")
    return [request for request in case.proxy.requests() if "storagefs-probe" in request["target"]]


def test_a_probe_is_not_repeated_by_the_next_mount(case):
    start(case)
    assert probes(case)
    case.mount.umount()
    start(case)
    assert not probes(case)
    # What was learned then holds: no look before the write.
    case.settled()
    (case.path / "new").write_bytes(b"text")
    assert case.counts() == {"PutObject": 1}
    case.mount.umount()
    for kept in (case.mount.directory / "state").glob("learned-*"):
        kept.unlink()
    start(case)
    assert probes(case)


@pytest.mark.parametrize("how", ["-o ro", "read_only"])
def test_a_read_only_mount_only_reads(case, how):
    case.put("there", b"text")
    keys = case.mount.storages[STORAGE]
    keys.update(containers=[case.container, "never-made"], create_containers="never-made")
    if how == "-o ro":
        case.mount.mount_options.append("ro")
    else:
        keys["read_only"] = True
    case.mount.write_configuration()
    start(case)
    assert (case.path / "there").read_bytes() == b"text"
    assert errno_of(lambda: (case.path / "new").write_bytes(b"text")) == errno.EROFS
    case.mount.umount()
    assert {request["method"] for request in case.proxy.requests()} <= {"GET", "HEAD"}
    assert case.keys() == ["there"]
