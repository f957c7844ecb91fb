"""Bytes that change on their way: what is read is read again, what is written is refused and sent again."""

import base64
import errno
import os

import pytest

from harness.files import random_bytes
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20
SIZES = {"small": 5000, "one megabyte": MIB}


@pytest.fixture
def case(s3_case, ceph):
    return s3_case(ceph, {"freshness": LONG}, part_size="5M")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2])
def test_a_wrong_byte_is_not_delivered(case, size, count):
    """Twice, but not the same one: the second rule applies when the first is used up."""
    body = random_bytes(SIZES[size])
    case.put("doc", body)
    case.settled()
    rules = [{"operation": "GetObject", "corrupt": 1000 + number, "count": 1} for number in range(count)]
    with case.proxy.faults(*rules):
        same_bytes((case.path / "doc").read_bytes(), body)
        assert len(case.proxy.injected()) == count and case.counts()["GetObject"] == count + 1


def test_each_file_of_many(case):
    bodies = {f"doc-{number}": random_bytes(2000, number) for number in range(40)}
    for name, body in bodies.items():
        case.put(name, body)
    case.settled()
    with case.proxy.faults(*({"operation": "GetObject", "path": f"{name}$", "corrupt": 77, "count": 1} for name in bodies)):
        for name, body in bodies.items():
            same_bytes((case.path / name).read_bytes(), body)
        assert case.proxy.injected()


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
def test_a_checksum_that_the_service_tells(case, for_ever):
    """It is one and no guess as the ETag is: the wrong bytes are an error however often they come."""
    body = random_bytes(5000)
    case.put("doc", body)
    case.settled()
    told = {"operation": "GetObject", "headers": {"x-amz-checksum-crc32c": crc32c(body)}}
    with case.proxy.faults({**told, "corrupt": 1000, **({} if for_ever else {"count": 1})}, told):
        if for_ever:
            assert errno_of((case.path / "doc").read_bytes) == errno.EIO
        else:
            same_bytes((case.path / "doc").read_bytes(), body)
    same_bytes((case.path / "doc").read_bytes(), body)


@pytest.mark.parametrize("operation, size", [("PutObject", 5000), ("UploadPart", 12 * MIB)])
@pytest.mark.parametrize("checksum", ["md5", "crc32c", "sha256"])
def test_a_wrong_byte_is_not_stored(s3_case, ceph, operation, size, checksum):
    keys = {"sign_payload": "yes"} if checksum == "sha256" else {"checksum": checksum}
    case = s3_case(ceph, {"freshness": LONG}, part_size="5M", **keys)
    case.settled()
    body = random_bytes(size, 9)
    with case.proxy.faults({"operation": operation, "corrupt_upload": 1000, "count": 1}):
        (case.path / "new").write_bytes(body)
    same_bytes(case.get("new"), body)
    assert os.stat(case.path / "new").st_size == size and case.parked() == []
