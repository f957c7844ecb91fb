"""Endpoints that answer what was not asked: never wrong bytes, never a crash, never a wait without end."""

import errno
import os
import subprocess
import urllib.parse

import pytest

from harness.files import random_bytes
from harness.process import is_alive, wait_until
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20
SIZE = 6 * MIB
SHORT = {"freshness": LONG, "timeout": "3s"}


@pytest.fixture
def case(s3_case, ceph):
    made = s3_case(ceph, SHORT)
    made.put("doc", random_bytes(SIZE))
    made.settled()
    return made


RANGES = {
    "200 instead of 206": {"ignore_range": True},
    "another range": {"headers": {"Content-Range": f"bytes 0-65535/{SIZE}"}},
    "range without sense": {"headers": {"Content-Range": "bytes 9-3/x"}},
    "no range": {"headers": {"Content-Range": None}},
    "range of a larger object": {"headers": {"Content-Range": f"bytes {SIZE - 100}-{SIZE * 9}/{SIZE * 10}"}},
    "endless": {"endless": 1 << 40},
    "shorter for ever": {"truncate": 10},
    "length not a number": {"headers": {"Content-Length": "many"}},
    "length negative": {"headers": {"Content-Length": "-1"}},
    "length without end": {"headers": {"Content-Length": "99999999999999999999999"}},
    "empty body": {"body": ""},
    "another body": {"body": "<html>Welcome to this hotel's network</html>"},
}


@pytest.mark.parametrize("lie", RANGES)
def test_a_range_that_is_not_what_was_asked_for(case, lie):
    body = random_bytes(SIZE)
    with case.proxy.faults({"operation": "GetObject", **RANGES[lie]}):
        descriptor = os.open(case.path / "doc", os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            piece = os.pread(descriptor, 4096, 5 * MIB)
            same_bytes(piece, body[5 * MIB:5 * MIB + 4096])  # right bytes in spite of the lie are as good
        except OSError as error:
            assert error.errno in (errno.EIO, errno.ETIMEDOUT)
        finally:
            os.close(descriptor)
    same_bytes((case.path / "doc").read_bytes(), body)


def test_another_version_than_was_asked_for(case):
    """A server that ignores If-Match, or a cache in between."""
    case.put("doc", b"\xaa" * SIZE)
    with case.proxy.faults({"operation": "GetObject", "headers": {"ETag": '"0123456789abcdef0123456789abcdef"'}}):
        case.refresh()
        assert errno_of((case.path / "doc").read_bytes) in (errno.ESTALE, errno.EIO)


def page(entries, more=""):
    contents = "".join(f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>"
                       f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>" for key, size in entries)
    return ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>b</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{contents}</ListBucketResult>")


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(12))
LISTINGS = {
    "no XML": "this is no XML",
    "HTML": "<html><body>Sign in</body></html>",
    "nothing": "",
    "cut off": page([("a", 1)])[:-40],
    "deep": "<a>" * 200000,
    "deep and closed": "<a>" * 100000 + "</a>" * 100000,
    "entities": f"<!DOCTYPE x [{ENTITIES}]><ListBucketResult><Contents><Key>&e11;</Key></Contents></ListBucketResult>",
    "another document": "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>",
    "an error": "<Error><Code>InternalError</Code></Error>",
    "bytes of no encoding": page([("a", 1)]).replace("<Key>a", "<Key>\udc80".encode("utf-8", "replace").decode()),
    "size negative": page([("a", -5)]),
    "size without end": page([("a", 10**40)]),
    "no size": page([("a", "")]),
    "key without end": page([("k" * 5_000_000, 1)]),
    "empty key": page([("", 1)]),
    "key with a zero": page([("a%00b", 1)]),
    "out of order": page([("b", 1), ("a", 1)]),
    "twice": page([("a", 1), ("a", 1)]),
    "more without a marker": page([("a", 1)], "<NextMarker></NextMarker>"),
}


@pytest.mark.parametrize("lie", LISTINGS)
def test_a_listing_that_is_none(s3_case, ceph, lie):
    case = s3_case(ceph, SHORT)
    case.put("doc", b"content")
    case.settled()
    case.refresh()
    with case.proxy.faults({"operation": "ListObjects", "body": LISTINGS[lie]}):
        done = subprocess.run(["ls", "-f", case.path], capture_output=True, timeout=60, check=False)
        assert done.returncode != 0 or len(done.stdout) < 2000
    assert is_alive(case.mount.pid)
    case.refresh()
    assert os.listdir(case.path) == ["doc"] and (case.path / "doc").read_bytes() == b"content"


def test_a_page_that_comes_again_and_again(s3_case, ceph):
    case = s3_case(ceph, SHORT)
    for number in range(3):
        case.put(f"name-{number}", b"x")
    case.settled()
    case.refresh()
    with case.proxy.faults({"operation": "ListObjects", "repeat_page": True}):
        done = subprocess.run(["ls", "-f", case.path], capture_output=True, timeout=60, check=False)
        assert done.returncode != 0 and case.counts()["ListObjects"] < 20
    case.refresh()
    assert len(os.listdir(case.path)) == 3


HOSTILE = [b"..", b".", b"/", b"//", b"/etc/passwd", b"../../x", b"a/../b", b"%2E%2E", b"a%2Fb", b"-rf", b" ", b"\t", b"\r\n", b"%",
           b"%%", b"%2", b".hidden", b"*", "é".encode(), "e\u0301".encode(), "\u202egnp".encode(), b"\xff\xfe", b"\xc0\xaf",
           b"x" * 1024, b"%" * 300, b"/" * 400, b"default", b".control", b"a\nb", b"\x01\x02\x7f"]


def test_names_that_mean_harm(s3_case, ceph):
    case = s3_case(ceph, SHORT)
    case.put("doc", b"content")
    case.settled()
    case.refresh()
    entries = [(urllib.parse.quote(key, safe=""), number) for number, key in enumerate(sorted(HOSTILE))]
    with case.proxy.faults({"operation": "ListObjects", "body": page(entries)}):
        names = os.listdir(os.fsencode(case.path))
        assert not [name for name in names if b"/" in name or name in (b".", b"..") or not name or len(name) > 1024]
        assert len(set(names)) == len(names)
        run = subprocess.run(["ls", "-lab", case.path], capture_output=True, timeout=60, check=False)
        assert b"Assertion" not in run.stderr
    assert is_alive(case.mount.pid)


METADATA = {
    "mtime of no number": {"x-amz-meta-mtime": "yesterday"},
    "mtime without end": {"x-amz-meta-mtime": "9" * 400},
    "mtime negative": {"x-amz-meta-mtime": "-99999999999999999999.5"},
    "mtime not finite": {"x-amz-meta-mtime": "nan"},
    "mode without sense": {"x-amz-meta-mode": "0777777777777777777777"},
    "mode of a device": {"x-amz-meta-mode": str(0o060644)},
    "mode of a folder": {"x-amz-meta-mode": str(0o040755)},
    "owner negative": {"x-amz-meta-uid": "-1", "x-amz-meta-gid": "4294967296"},
    "much": {f"x-amz-meta-n{n}": "v" * 1000 for n in range(60)},
    "length without end": {"Content-Length": "99999999999999999999999"},
    "length negative": {"Content-Length": "-5"},
    "no length": {"Content-Length": None},
    "no ETag": {"ETag": None},
    "bytes of no encoding": {"x-amz-meta-name": "\x80\xff", "Content-Type": "\xfe"},
    "time without sense": {"Last-Modified": "the 31st of February"},
    "a word of mail": {"x-amz-meta-name": "=?UTF-8?B?" + "A" * 5000 + "?="},
}


@pytest.mark.parametrize("lie", METADATA)
def test_attributes_without_sense(case, lie):
    case.refresh()
    with case.proxy.faults({"operation": "HeadObject", "headers": METADATA[lie]}):
        assert errno_of(lambda: os.stat(case.path / "doc")) in (0, errno.EIO)
        errno_of(lambda: os.listxattr(case.path / "doc"))
        subprocess.run(["getfattr", "-d", "-m", "-", case.path / "doc"], capture_output=True, timeout=60, check=False)
    assert is_alive(case.mount.pid)
    case.refresh()
    assert os.stat(case.path / "doc").st_size == SIZE


REPLIES = {
    "no upload id": ("CreateMultipartUpload", {"body": "<InitiateMultipartUploadResult/>"}),
    "upload id without end": ("CreateMultipartUpload", {
        "body": f"<InitiateMultipartUploadResult><UploadId>{'u' * 100000}</UploadId></InitiateMultipartUploadResult>"}),
    "part without ETag": ("UploadPart", {"headers": {"ETag": None}}),
    "complete without XML": ("CompleteMultipartUpload", {"body": "done"}),
    "PUT with another ETag": ("PutObject", {"headers": {"ETag": '"x"'}}),
    "PUT without ETag": ("PutObject", {"headers": {"ETag": None}}),
}


@pytest.mark.parametrize("lie", REPLIES)
def test_writes_that_are_answered_strangely(s3_case, ceph, lie):
    """Success may be reported only for what the server really has."""
    case = s3_case(ceph, SHORT, part_size="5M")
    case.settled()
    operation, what = REPLIES[lie]
    body = random_bytes(1000 if operation == "PutObject" else 12 * MIB)
    with case.proxy.faults({"operation": operation, **what}):
        error = errno_of(lambda: (case.path / "new").write_bytes(body))
    if not error:
        same_bytes(case.get("new"), body)
        case.refresh()
        same_bytes((case.path / "new").read_bytes(), body)
    else:
        assert error in (errno.EIO, errno.ESTALE)
        wait_until(case.parked, message="the upload in the recovery directory")
    assert is_alive(case.mount.pid)


def test_a_redirect_is_not_followed_anywhere(s3_case, ceph, tmp_path):
    """Credentials and data go to the endpoint of the configuration alone."""
    case = s3_case(ceph, SHORT)
    case.put("doc", b"content")
    case.settled()
    (tmp_path / "file").write_bytes(b"of this machine")
    for where in ("http://127.0.0.1:1/steal", f"file://{tmp_path}/file", "//evil.example/x"):
        with case.proxy.faults({"operation": "GetObject", "status": 302, "headers": {"Location": where}}):
            assert errno_of((case.path / "doc").read_bytes) == errno.EIO
