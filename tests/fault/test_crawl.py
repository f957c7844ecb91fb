"""Servers that do not hang but crawl: a byte now and then keeps nobody for ever. And bodies that stop in their middle."""

import errno
import os
import time

import pytest

from harness.files import random_bytes
from harness.process import wait_until
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20
CRAWL = 4  # bytes a second: what it takes to hold any of these replies for minutes
IN_TIME = 60  # several times the three seconds that are allowed, a part of what the replies would take
LATE = (errno.ETIMEDOUT, errno.EIO)


@pytest.fixture
def case(s3_case, ceph):
    made = s3_case(ceph, {"freshness": LONG, "timeout": "3s"}, part_size="5M")
    made.put("small", random_bytes(5000))
    made.put("large", random_bytes(12 * MIB))
    made.settled()
    return made


def outcome(action):
    """The errno of an action that has to end in time."""
    started = time.monotonic()
    error = errno_of(action)
    assert time.monotonic() - started < IN_TIME
    return error


CRAWLS = {"body": {"rate": CRAWL}, "head": {"head_rate": CRAWL}}
LONG_REFUSAL = {"status": 403, "body": f"<Error><Code>AccessDenied</Code><Message>{'x' * 4000}</Message></Error>", "rate": CRAWL}


@pytest.mark.parametrize("crawl", CRAWLS)
def test_a_reply_to_complete(case, crawl):
    """Nobody knows what became of it, so it is looked for; and it is there."""
    body = random_bytes(12 * MIB, 3)
    with case.proxy.faults({"operation": "CompleteMultipartUpload", **CRAWLS[crawl]}):
        error = outcome(lambda: (case.path / "new").write_bytes(body))
    assert error in (0, *LATE)
    if error:
        wait_until(case.parked, message="the upload that is kept")
    same_bytes(case.get("new"), body)


@pytest.mark.parametrize("operation, action, size", [
    ("PutObject", lambda case: (case.path / "new").write_bytes(b"x"), None),
    ("UploadPart", lambda case: (case.path / "new").write_bytes(bytes(12 * MIB)), None),
    ("GetObject", lambda case: (case.path / "small").read_bytes(), 5000),
    ("GetObject", lambda case: (case.path / "large").read_bytes(), 12 * MIB),
    ("ListObjects", lambda case: os.listdir(case.path), None),
], ids=["PutObject", "UploadPart", "GetObject small", "GetObject large", "ListObjects"])
@pytest.mark.parametrize("crawl", ["refusal", "head", "body"])
def test_a_reply(case, operation, action, size, crawl):
    if operation in ("PutObject", "UploadPart") and crawl == "body":
        pytest.skip("has none")
    case.refresh()
    what = LONG_REFUSAL if crawl == "refusal" else CRAWLS[crawl]
    with case.proxy.faults({"operation": operation, **what}):
        assert outcome(lambda: action(case)) in LATE
    if size:
        same_bytes((case.path / ("small" if size == 5000 else "large")).read_bytes(), random_bytes(size))


def test_a_service_that_works_is_waited_for(case):
    """Blanks before the reply, for longer than silence is borne."""
    body = random_bytes(12 * MIB, 4)
    with case.proxy.faults({"operation": "CompleteMultipartUpload", "blanks": 9}):
        (case.path / "new").write_bytes(body)
    same_bytes(case.get("new"), body)
    assert case.parked() == []


@pytest.mark.parametrize("name, size", [("small", 5000), ("large", 12 * MIB)])
@pytest.mark.parametrize("after", [0, 1000])
def test_a_body_that_stops_is_an_error_in_time(case, name, size, after):
    with case.proxy.faults({"operation": "GetObject", "stall": after}):
        assert outcome(lambda: (case.path / name).read_bytes()) in LATE
    same_bytes((case.path / name).read_bytes(), random_bytes(size))


@pytest.mark.parametrize("name, size", [("small", 5000), ("large", 12 * MIB)])
def test_a_body_that_stops_is_read_again(s3_case, ceph, name, size):
    case = s3_case(ceph, {"freshness": LONG}, stall_timeout="2s")
    case.put(name, random_bytes(size))
    case.settled()
    with case.proxy.faults({"operation": "GetObject", "stall": 1000, "count": 2}):
        same_bytes((case.path / name).read_bytes(), random_bytes(size))
