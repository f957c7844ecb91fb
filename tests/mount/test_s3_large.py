"""An object of one GiB: copied, renamed and edited on the server, not through this machine."""

import concurrent.futures
import hashlib
import os
import random

import pytest

from harness.files import random_bytes
from harness.process import run
from harness.s3 import LONG

MIB = 1 << 20
PART = 64 * MIB
PARTS = 16
SIZE = PART * PARTS
KEY = "giant"


@pytest.fixture(scope="module")
def giant(ceph):
    """A container with an object of one GiB, made on the server of two different parts."""
    client, container = ceph.client(), ceph.new_bucket("large")
    bodies = [random_bytes(PART, seed) for seed in range(2)]
    for number, body in enumerate(bodies):
        client.put_object(Bucket=container, Key=f"seed-{number}", Body=body)
    upload = client.create_multipart_upload(Bucket=container, Key=KEY)["UploadId"]
    same = {"Bucket": container, "Key": KEY, "UploadId": upload}
    parts = []
    for number in range(1, PARTS + 1):
        source = f"{container}/seed-{number % 2}"
        made = client.upload_part_copy(**same, PartNumber=number, CopySource=source, CopySourceRange=f"bytes=0-{PART - 1}")
        parts.append({"PartNumber": number, "ETag": made["CopyPartResult"]["ETag"]})
    client.complete_multipart_upload(**same, MultipartUpload={"Parts": parts})
    for number in range(2):
        client.delete_object(Bucket=container, Key=f"seed-{number}")
    yield container, [hashlib.md5(bodies[number % 2]).hexdigest() for number in range(1, PARTS + 1)]
    ceph.remove_bucket(container)


@pytest.fixture
def case(s3_case, ceph, giant):
    made = s3_case(ceph, {"freshness": LONG}, container=giant[0])
    made.settled()
    return made


def spots(count, length):
    """Offsets of pages all over the object, in no order, each with the bytes that are there."""
    generator = random.Random(3)
    bodies = [random_bytes(PART, seed) for seed in range(2)]
    for page in generator.sample(range(SIZE // 4096), count):
        part, start = divmod(page * 4096, PART)
        yield page * 4096, bodies[(part + 1) % 2][start:start + length]


def read_spots(path, wanted):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for offset, content in wanted:
            assert os.pread(descriptor, len(content), offset) == content
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("threads", [1, 16])
def test_random_reads_move_what_they_read(case, threads):
    """A thousand pages of 4 KiB are 4 MB; a request and its answer's head are what may come on top of each."""
    wanted = list(spots(1000, 4096))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        shares = [pool.submit(read_spots, case.path / KEY, wanted[number::threads]) for number in range(threads)]
        for share in shares:
            share.result()
    assert case.proxy.bytes_received() <= 20_000_000
    counts = case.counts()
    assert counts.pop("GetObject") <= 1100
    assert sum(counts.values()) <= 1


def part_sums(case, key, numbers=range(PARTS)):
    """MD5 of each range of one part's length, read at the server."""
    sums = []
    for number in numbers:
        reply = case.client.get_object(Bucket=case.container, Key=key, Range=f"bytes={number * PART}-{(number + 1) * PART - 1}")
        sums.append(hashlib.md5(reply["Body"].read()).hexdigest())
    return sums


def moved(case):
    return case.proxy.bytes_sent() + case.proxy.bytes_received()


def test_cp_and_mv_move_no_bytes_through_this_machine(case, giant):
    run("cp", case.path / KEY, case.path / "copy")
    assert moved(case) < MIB
    assert case.head("copy")["ContentLength"] == SIZE
    case.proxy.reset()
    run("mv", case.path / "copy", case.path / "moved")
    assert moved(case) < MIB
    assert sorted(case.keys()) == [KEY, "moved"]
    assert sorted(os.listdir(case.path)) == [KEY, "moved"]
    assert part_sums(case, "moved", (0, 7, PARTS - 1)) == [giant[1][number] for number in (0, 7, PARTS - 1)]
    os.unlink(case.path / "moved")


def test_cp_between_containers_moves_no_bytes_through_this_machine(s3_case, ceph, giant, bucket_of):
    other = bucket_of(ceph)
    case = s3_case(ceph, {"freshness": LONG}, container=giant[0], containers=[giant[0], other])
    case.settled()
    target = case.mount.point / "store" / other / "copy"
    run("cp", case.path / KEY, target)
    assert moved(case) < MIB
    assert os.stat(target).st_size == SIZE
    assert case.client.head_object(Bucket=other, Key="copy")["ContentLength"] == SIZE


@pytest.mark.parametrize("offset", [0, SIZE // 2 + 12345, SIZE - 4096], ids=["begin", "middle", "end"])
def test_a_small_edit_sends_two_parts_at_most(case, giant, offset):
    edit = random_bytes(4096, offset)
    descriptor = os.open(case.path / KEY, os.O_WRONLY)
    try:
        assert os.pwrite(descriptor, edit, offset) == len(edit)
    finally:
        os.close(descriptor)
    counts = case.counts()
    assert counts["UploadPart"] <= 2 and counts["CompleteMultipartUpload"] == 1 and "PutObject" not in counts
    assert case.proxy.bytes_sent() <= 2 * PART
    assert case.proxy.bytes_sent() + case.proxy.bytes_received() < 3 * PART
    assert case.unfinished() == []
    assert case.head(KEY)["ContentLength"] == SIZE

    number, start = divmod(offset, PART)
    body = bytearray(random_bytes(PART, (number + 1) % 2))
    body[start:start + len(edit)] = edit
    giant[1][number] = hashlib.md5(body).hexdigest()
    looked_at = sorted({max(number - 1, 0), number, min(number + 1, PARTS - 1)})
    assert part_sums(case, KEY, looked_at) == [giant[1][other] for other in looked_at]
    descriptor = os.open(case.path / KEY, os.O_RDONLY)
    try:
        assert os.pread(descriptor, 4096, offset) == edit
        before = max(offset - 8192, 0)
        assert os.pread(descriptor, 4096, before) == bytes(body)[before - number * PART:][:4096]
    finally:
        os.close(descriptor)


def test_appending_sends_what_is_appended(case, giant):
    with open(case.path / KEY, "ab") as file:
        file.write(b"more")
    assert case.proxy.bytes_sent() <= PART
    assert case.counts()["UploadPart"] <= 2
    assert case.head(KEY)["ContentLength"] == SIZE + 4
    with open(case.path / KEY, "rb") as file:
        file.seek(-6, os.SEEK_END)
        tail = file.read()
    assert tail[2:] == b"more"
    os.truncate(case.path / KEY, SIZE)
    assert case.head(KEY)["ContentLength"] == SIZE
    assert part_sums(case, KEY, [PARTS - 1]) == [giant[1][PARTS - 1]]
