"""Replies that fail once or for ever: what is transient is repeated, what has happened is not done twice, and what
cannot be had is an error in time."""

import errno
import os
import subprocess

import pytest

from harness.files import random_bytes
from harness.process import wait_until
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20
PART = 5 * MIB
SMALL, LARGE = 5000, 12 * MIB
SHORT = {"freshness": LONG, "timeout": "3s"}

# What goes over by itself. Each comes twice.
TRANSIENT = {
    "500": {"status": 500},
    "502 of a gateway": {"status": 502, "body": "<html>Bad gateway</html>"},
    "503": {"status": 503, "body": "<Error><Code>SlowDown</Code></Error>"},
    "503 with Retry-After": {"status": 503, "headers": {"Retry-After": "1"}},
    "429": {"status": 429, "body": "<Error><Code>TooManyRequests</Code></Error>"},
    "RequestTimeout": {"status": 400, "body": "<Error><Code>RequestTimeout</Code></Error>"},
    "reset": {"reset": -1},
}
BROKEN_READS = {
    "reset at once": {"reset": 0},
    "reset inside": {"reset": 100000},
    "truncated": {"truncate": 100000},
    "too much announced": {"content_length": 1000},
    "too little announced": {"content_length": -1000},
}


@pytest.fixture
def case(s3_case, ceph):
    return s3_case(ceph, {"freshness": LONG}, part_size="5M")


@pytest.mark.parametrize("fault", TRANSIENT)
def test_reading_goes_on(case, fault):
    body = random_bytes(SMALL)
    case.put("doc", body)
    case.settled()
    with case.proxy.faults({"operation": "GetObject", "count": 2, **TRANSIENT[fault]}):
        same_bytes((case.path / "doc").read_bytes(), body)


@pytest.mark.parametrize("fault", BROKEN_READS)
def test_a_broken_body_is_read_again(case, fault):
    body = random_bytes(LARGE)
    case.put("doc", body)
    case.settled()
    with case.proxy.faults({"operation": "GetObject", "count": 3, **BROKEN_READS[fault]}):
        same_bytes((case.path / "doc").read_bytes(), body)


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("operation", ["HeadObject", "ListObjects"])
def test_looking_goes_on(s3_case, ceph, fault, operation):
    if operation == "HeadObject" and fault == "RequestTimeout":
        pytest.skip("a reply to HEAD has no body that could say so")
    case = s3_case(ceph, {"freshness": 0})
    case.put("doc", b"x", Metadata={"mtime": "1000"})
    case.settled()
    case.refresh()
    with case.proxy.faults({"operation": operation, "count": 2, **TRANSIENT[fault]}):
        assert os.listdir(case.path) == ["doc"]
        assert os.stat(case.path / "doc").st_mtime == 1000


WRITES = {
    "PutObject": SMALL,
    "CreateMultipartUpload": LARGE,
    "UploadPart": LARGE,
    "CompleteMultipartUpload": LARGE,
}


@pytest.mark.parametrize("fault", [*TRANSIENT, "upload cut off", "reply lost"])
@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
def test_writing_goes_on(case, fault, operation, there):
    """A lost reply is the hard case: the service has done it, and would refuse the same condition now."""
    if fault == "upload cut off" and operation not in ("PutObject", "UploadPart"):
        pytest.skip("its body is too small to be cut off")
    if there:
        case.put("doc", b"before")
    case.settled()
    body = random_bytes(WRITES[operation], 7)
    what = {"upload cut off": {"reset_upload": 1000, "count": 2}, "reply lost": {"drop_reply": True, "count": 1}}.get(fault)
    with case.proxy.faults({"operation": operation, **(what or {"count": 2, **TRANSIENT[fault]})}):
        (case.path / "doc").write_bytes(body)
    same_bytes(case.get("doc"), body)
    same_bytes((case.path / "doc").read_bytes(), body)
    assert case.parked() == []
    if fault != "reply lost" or operation != "CreateMultipartUpload":
        assert case.unfinished() == []


@pytest.mark.parametrize("server", ["swift_s3", "new_ceph"])
@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
def test_a_lost_reply_elsewhere(s3_case, request, server, operation, there):
    case = s3_case(request.getfixturevalue(server), {"freshness": LONG}, part_size="5M")
    if there:
        case.put("doc", b"before")
    case.settled()
    body = random_bytes(WRITES[operation], 8)
    with case.proxy.faults({"operation": operation, "drop_reply": True, "count": 1}):
        (case.path / "doc").write_bytes(body)
    same_bytes(case.get("doc"), body)
    assert case.parked() == []


@pytest.mark.parametrize("fault", ["503", "reset", "reply lost"])
def test_changes_of_names_go_on(case, fault):
    what = {"drop_reply": True, "count": 1} if fault == "reply lost" else {"count": 2, **TRANSIENT[fault]}
    case.put("doc", b"content")
    case.settled()
    with case.proxy.faults({"operation": "CopyObject", **what}):
        os.rename(case.path / "doc", case.path / "moved")
    assert case.keys() == ["moved"] and os.listdir(case.path) == ["moved"]
    with case.proxy.faults({"operation": "DeleteObject", **what}):
        os.unlink(case.path / "moved")
    assert case.keys() == [] and os.listdir(case.path) == []


@pytest.mark.parametrize("fault", ["503", "reset", "reply lost"])
def test_changes_of_containers_go_on(s3_case, ceph, fault):
    what = {"drop_reply": True, "count": 1} if fault == "reply lost" else {"count": 2, **TRANSIENT[fault]}
    case = s3_case(ceph, {"freshness": LONG}, containers=None)
    made = case.mount.point / "store" / f"{case.container}-made"
    with case.proxy.faults({"operation": "CreateBucket", **what}):
        os.mkdir(made)
    assert made.name in case.server.bucket_names() and os.listdir(made) == []
    with case.proxy.faults({"operation": "DeleteBucket", **what}):
        os.rmdir(made)
    assert made.name not in case.server.bucket_names() and not made.exists()


def test_a_lost_reply_to_a_copy_of_parts(s3_case, ceph):
    """More than one request may copy: a part that was copied twice is still one part."""
    case = s3_case(ceph, {"freshness": LONG}, part_size="5M", maximum_copy_size="6M")
    body = random_bytes(LARGE, 3)
    case.put("doc", body)
    case.settled()
    with case.proxy.faults({"operation": "UploadPartCopy", "drop_reply": True, "count": 1}):
        os.rename(case.path / "doc", case.path / "moved")
    same_bytes(case.get("moved"), body)
    assert case.keys() == ["moved"] and case.unfinished() == []


def test_changed_metadata_survives_a_lost_reply(case):
    case.put("doc", b"content", ContentType="text/plain", Metadata={"color": "red"})
    case.settled()
    with case.proxy.faults({"operation": "CopyObject", "drop_reply": True, "count": 1}):
        os.chmod(case.path / "doc", 0o600)
    assert os.stat(case.path / "doc").st_mode & 0o777 == 0o600
    head = case.head("doc")
    assert head["Metadata"]["color"] == "red" and head["ContentType"] == "text/plain"
    assert (case.path / "doc").read_bytes() == b"content"


# --- for ever

FOR_EVER = {
    "500": ({"status": 500}, {errno.EIO}),
    "503": ({"status": 503, "body": "<Error><Code>SlowDown</Code></Error>"}, {errno.EBUSY}),
    "403": ({"status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"}, {errno.EACCES}),
    "409": ({"status": 409, "body": "<Error><Code>Strange</Code></Error>"}, {errno.EIO}),
    "reset": ({"reset": -1}, {errno.EIO, errno.ETIMEDOUT}),
    "hang": ({"hang": 60}, {errno.ETIMEDOUT}),
    "418": ({"status": 418, "body": "short and stout"}, {errno.EIO}),
}


@pytest.mark.parametrize("fault", FOR_EVER)
def test_what_cannot_be_read_is_an_error_in_time(s3_case, ceph, fault):
    case = s3_case(ceph, SHORT)
    body = random_bytes(SMALL)
    case.put("doc", body)
    case.settled()
    what, wanted = FOR_EVER[fault]
    with case.proxy.faults({"operation": "GetObject", **what}):
        assert errno_of((case.path / "doc").read_bytes) in wanted
    same_bytes((case.path / "doc").read_bytes(), body)
    assert "store" in case.mount.log() and "doc" in case.mount.log()


QUOTA = {
    "413": ({"status": 413, "body": "<Error><Code>EntityTooLarge</Code></Error>"}, errno.EFBIG),
    "507": ({"status": 507, "body": "<Error><Code>XMinioStorageFull</Code></Error>"}, errno.ENOSPC),
    "quota": ({"status": 403, "body": "<Error><Code>QuotaExceeded</Code></Error>"}, errno.ENOSPC),
    **{name: (what, sorted(wanted)[0]) for name, (what, wanted) in FOR_EVER.items() if name in ("403", "500", "503", "hang")},
}


@pytest.mark.parametrize("fault", QUOTA)
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "multi-part"])
def test_what_cannot_be_stored_is_an_error_and_kept(s3_case, ceph, fault, size):
    case = s3_case(ceph, SHORT, part_size="5M")
    case.settled()
    body = random_bytes(size, 5)
    what, wanted = QUOTA[fault]
    with case.proxy.faults({"operation": ["PutObject", "UploadPart", "CreateMultipartUpload"], **what}):
        file = os.open(case.path / "doc", os.O_WRONLY | os.O_CREAT, 0o644)
        error = errno_of(lambda: os.write(file, body)) or 0
        error = errno_of(lambda: os.close(file)) or error
    assert error == wanted
    (upload,) = wait_until(case.parked, message="the upload in the recovery directory")
    with open(upload["recovery_path"], "rb") as kept:
        same_bytes(kept.read(), body)
    assert upload["last_error"] and case.keys() == []
    (case.path / "doc").write_bytes(b"works again")
    assert case.get("doc") == b"works again"


def test_fsync_reports_too(s3_case, ceph):
    case = s3_case(ceph, SHORT)
    case.settled()
    with open(case.path / "doc", "wb", buffering=0) as file:
        file.write(b"content")
        with case.proxy.faults({"operation": "PutObject", "status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"}):
            assert errno_of(lambda: os.fsync(file.fileno())) == errno.EACCES
        os.fsync(file.fileno())
        assert case.get("doc") == b"content"
    assert case.parked() == []


def test_a_failed_rename_loses_nothing(s3_case, ceph):
    case = s3_case(ceph, SHORT)
    case.put("doc", b"content")
    case.put("target", b"old")
    case.settled()
    with case.proxy.faults({"operation": "CopyObject", "status": 500}):
        assert errno_of(lambda: os.rename(case.path / "doc", case.path / "target")) == errno.EIO
    assert (case.path / "doc").read_bytes() == b"content" and (case.path / "target").read_bytes() == b"old"
    with case.proxy.faults({"operation": "DeleteObject", "status": 500}):
        assert errno_of(lambda: os.rename(case.path / "doc", case.path / "target")) == errno.EIO
    assert case.get("target") in (b"content", b"old") and case.get("doc") == b"content"
    case.refresh()
    assert sorted(os.listdir(case.path)) == ["doc", "target"]


def test_a_failed_rename_that_has_happened_is_seen(s3_case, ceph):
    """The copy is there, and nobody could tell: what was known of both names is not believed any more."""
    case = s3_case(ceph, SHORT)
    case.put("doc", b"content")
    case.settled()
    with case.proxy.faults({"operation": "CopyObject", "drop_reply": True}, {"operation": "HeadObject", "path": "/moved$", "reset": -1}):
        assert errno_of(lambda: os.rename(case.path / "doc", case.path / "moved")) in (errno.EIO, errno.ETIMEDOUT)
    assert sorted(case.keys()) == ["doc", "moved"]
    assert (case.path / "moved").read_bytes() == b"content"
    assert sorted(os.listdir(case.path)) == ["doc", "moved"]


def test_a_failed_change_that_has_happened_is_seen(s3_case, ceph):
    """No reply ever comes, but the service has done it: what was known is not believed any more."""
    case = s3_case(ceph, SHORT, folders="yes")
    lost = (errno.EIO, errno.ETIMEDOUT)
    case.put("doc", b"content")
    case.put("kept", b"content")
    case.settled()
    os.mkdir(case.path / "old")
    assert sorted(os.listdir(case.path)) == ["doc", "kept", "old"] and not (case.path / "new").exists()
    assert os.stat(case.path / "kept").st_mode & 0o777 == 0o644
    with case.proxy.faults({"operation": "DeleteObject", "drop_reply": True}):
        assert errno_of(lambda: os.unlink(case.path / "doc")) in lost
        assert errno_of(lambda: os.rmdir(case.path / "old")) in lost
    assert errno_of(lambda: os.stat(case.path / "doc")) == errno.ENOENT
    assert errno_of(lambda: os.stat(case.path / "old")) == errno.ENOENT
    asking = {"operation": "HeadObject", "reset": -1}
    with case.proxy.faults({"operation": "PutObject", "drop_reply": True}, asking):
        assert errno_of(lambda: os.mkdir(case.path / "new")) in lost
    # A request that the deadline met may be carried out a moment after it.
    wait_until(lambda: "new/" in case.keys(), message="the mark of the directory")
    assert (case.path / "new").is_dir()
    os.getxattr(case.path / "kept", "user.mime_type")
    with case.proxy.faults({"operation": "CopyObject", "drop_reply": True}, {"skip": 1, **asking}):
        assert errno_of(lambda: os.chmod(case.path / "kept", 0o600)) in lost
    assert int(case.head("kept")["Metadata"]["mode"]) & 0o777 == 0o600
    assert os.stat(case.path / "kept").st_mode & 0o777 == 0o600
    assert sorted(os.listdir(case.path)) == ["kept", "new"]


def test_an_error_inside_success_is_an_error(s3_case, ceph):
    """Some requests take so long that the service says 200 first, and only then that it has failed."""
    case = s3_case(ceph, SHORT, part_size="5M")
    case.put("doc", b"content")
    case.settled()
    lie = {"status": 200, "body": "  \n<Error><Code>InternalError</Code><Message>late</Message></Error>"}
    with case.proxy.faults({"operation": "CopyObject", "count": 1, **lie}):
        os.rename(case.path / "doc", case.path / "moved")
    assert case.keys() == ["moved"]
    with case.proxy.faults({"operation": "CompleteMultipartUpload", "count": 1, **lie}):
        (case.path / "big").write_bytes(b"x" * LARGE)
    assert case.head("big")["ContentLength"] == LARGE
    with case.proxy.faults({"operation": "CopyObject", **lie}):
        assert errno_of(lambda: os.rename(case.path / "moved", case.path / "back")) == errno.EIO
    assert sorted(case.keys()) == ["big", "moved"]


def test_an_object_that_vanishes_while_it_is_read(case):
    body = random_bytes(LARGE)
    case.put("doc", body)
    case.settled()
    with open(case.path / "doc", "rb", buffering=0) as file:
        assert file.read(1000) == body[:1000]
        case.client.delete_object(Bucket=case.container, Key="doc")
        case.mount.control("refresh").write_text("\n")
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        error = errno_of(lambda: [os.pread(file.fileno(), 4096, offset) for offset in range(0, LARGE, MIB)])
        assert error in (0, errno.ESTALE, errno.ENOENT)
    assert errno_of(lambda: os.stat(case.path / "doc")) == errno.ENOENT


def test_404_in_the_middle_of_reading(s3_case, ceph):
    case = s3_case(ceph, SHORT)
    body = random_bytes(LARGE)
    case.put("doc", body)
    case.settled()
    missing = {"status": 404, "body": "<Error><Code>NoSuchKey</Code></Error>"}
    with case.proxy.faults({"operation": "GetObject", "skip": 1, **missing}):
        done = subprocess.run(["cat", case.path / "doc"], capture_output=True, check=False)
    assert done.returncode != 0 and body.startswith(done.stdout) and len(done.stdout) < len(body)
