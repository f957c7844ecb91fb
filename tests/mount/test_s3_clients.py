"""Two mounts of one container, and a program beside them: nobody's bytes are lost, and versions are never mixed."""

import contextlib
import errno
import json
import os
import random
import threading

import pytest

from harness.files import random_bytes
from harness.process import wait_until
from harness.s3 import errno_of, same_bytes

MIB = 1 << 20
PART = 5 * MIB
SERVERS = ["ceph", "swift_s3", "new_ceph"]
SIZES = {"small": 1000, "multi-part": 12 * MIB}


@pytest.fixture
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def pair(s3_case, server):
    """Two mounts of the same container, each through a proxy of its own."""
    first = s3_case(server, {"freshness": 0}, part_size="5M")
    return first, s3_case(server, {"freshness": 0}, container=first.container, part_size="5M")


def parked_bytes(case, key):
    """What the recovery directory holds of the one upload of this mount that failed."""
    (upload,) = case.parked()
    assert (upload["storage"], upload["container"], upload["key"]) == ("store", case.container, key)
    assert upload["recovery_path"] in case.mount.control("uploads").read_text()
    with open(upload["recovery_path"], "rb") as file:
        content = file.read()
    assert len(content) == upload["size_bytes"]
    return content


@contextlib.contextmanager
def opened(path, flags):
    """A descriptor that is closed whatever happens, so that a failed test leaves a mount that can be ended."""
    file = os.open(path, flags, 0o644)
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            os.close(file)


def close_errno(file):
    return errno_of(lambda: os.close(os.dup(file)))


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize("size", SIZES)
def test_the_second_writer_is_told_and_loses_nothing(pair, size):
    first, second = pair
    bodies = [random_bytes(SIZES[size], seed) for seed in range(3)]
    first.put("doc", bodies[0])
    with opened(first.path / "doc", os.O_WRONLY) as winner, opened(second.path / "doc", os.O_WRONLY) as loser:
        os.write(winner, bodies[1])
        os.write(loser, bodies[2])
        assert close_errno(winner) == 0
        assert close_errno(loser) == errno.ESTALE
    same_bytes(first.get("doc"), bodies[1])
    wait_until(second.parked, message="the upload in the recovery directory")
    same_bytes(parked_bytes(second, "doc"), bodies[2])
    assert first.parked() == [] and first.unfinished() == []
    same_bytes((second.path / "doc").read_bytes(), bodies[1])
    (second.path / "doc").write_bytes(b"again")
    assert first.get("doc") == b"again" and (first.path / "doc").read_bytes() == b"again"


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize("size", SIZES)
def test_a_lost_edit_is_kept_where_it_was_made(pair, size):
    """What was not written here is gone with the version it belonged to: the ranges say what the file holds."""
    first, second = pair
    original, edit = random_bytes(SIZES[size], 1), random_bytes(600, 2)
    first.put("doc", original)
    with opened(first.path / "doc", os.O_RDWR) as winner, opened(second.path / "doc", os.O_RDWR) as loser:
        os.pwrite(winner, edit, 100)
        os.pwrite(loser, edit, 300)
        assert close_errno(winner) == 0
        assert close_errno(loser) == errno.ESTALE
    same_bytes(first.get("doc"), original[:100] + edit + original[700:])
    wait_until(second.parked, message="the upload in the recovery directory")
    kept = parked_bytes(second, "doc")
    assert len(kept) == SIZES[size] and kept[300:900] == edit
    with open(second.parked()[0]["recovery_path"] + ".info", encoding="utf-8") as file:
        ranges = json.load(file)["valid_ranges"]
    assert any(start <= 300 and end >= 900 for start, end in ranges)
    wanted = original[:300] + edit + original[900:]
    for start, end in ranges:
        same_bytes(kept[start:end], wanted[start:end])


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize("size", SIZES)
def test_an_object_made_by_another_meanwhile_is_not_replaced(pair, size):
    first, second = pair
    ours = random_bytes(SIZES[size], 3)
    with opened(second.path / "new", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, ours)
        first.put("new", b"theirs")
        assert close_errno(file) in (errno.ESTALE, errno.EEXIST)
    assert first.get("new") == b"theirs"
    wait_until(second.parked, message="the upload in the recovery directory")
    same_bytes(parked_bytes(second, "new"), ours)


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_an_object_removed_by_another_meanwhile_is_not_made_again(pair):
    first, second = pair
    first.put("doc", b"before")
    with opened(second.path / "doc", os.O_RDWR) as file:
        os.write(file, b"behind")
        first.client.delete_object(Bucket=first.container, Key="doc")
        assert close_errno(file) == errno.ESTALE
    assert first.keys() == []
    wait_until(second.parked, message="the upload in the recovery directory")
    assert parked_bytes(second, "doc") == b"behind"


# Where the service checks and writes in one step, losing shows however late the other one comes.
RACES = [("ceph", "small", "PutObject"), ("new_ceph", "small", "PutObject"), ("new_ceph", "multi-part", "CompleteMultipartUpload")]


@pytest.mark.parametrize("server, size, operation", RACES, indirect=["server"])
@pytest.mark.parametrize("there", [True, False], ids=["replaced", "created"])
def test_the_last_moment_counts(pair, size, operation, there):
    first, second = pair
    ours = random_bytes(SIZES[size], 4)
    if there:
        first.put("doc", b"before")
    ended = []
    with opened(second.path / "doc", os.O_WRONLY | os.O_CREAT) as file, \
            second.proxy.faults({"operation": operation, "delay": 2.0}):
        os.write(file, ours)
        closing = threading.Thread(target=lambda: ended.append(close_errno(file)))
        closing.start()
        second.wait_injected()
        first.put("doc", b"theirs")
        closing.join(60)
    assert ended[0] in ((errno.ESTALE,) if there else (errno.ESTALE, errno.EEXIST))
    assert first.get("doc") == b"theirs"
    wait_until(second.parked, message="the upload in the recovery directory")
    same_bytes(parked_bytes(second, "doc"), ours)
    assert first.unfinished() == []


@pytest.mark.parametrize("server", ["ceph", "new_ceph"], indirect=True)
def test_exactly_one_creates_exclusively(pair):
    for turn in range(15):
        for case in pair:
            os.listdir(case.path)
        won, start = [], threading.Barrier(len(pair))

        def create(number, case):
            start.wait()
            try:
                with open(case.path / f"lock-{turn}", "x", encoding="ascii") as file:
                    file.write(str(number))
                won.append(number)
            except FileExistsError:
                pass

        racers = [threading.Thread(target=create, args=job) for job in enumerate(pair)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(60)
        assert len(won) == 1, f"turn {turn}: {len(won)} have created it"
        assert pair[0].get(f"lock-{turn}") == str(won[0]).encode()


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_exclusive_creation_looks_at_the_storage(pair):
    first, second = pair
    os.listdir(second.path)
    first.put("there", b"theirs")
    assert errno_of(lambda: open(second.path / "there", "x").close()) == errno.EEXIST
    assert first.get("there") == b"theirs"


@pytest.mark.parametrize("server", ["ceph", "swift_s3"], indirect=True)
def test_a_reader_never_gets_a_mixture(s3_case, server):
    case = s3_case(server, {"freshness": 0})
    size, choose = 12 * MIB, random.Random(1)
    bodies = [bytes([letter]) * size for letter in b"AB"]
    for turn in range(12):
        case.put("doc", bodies[turn % 2])
        limit, seen = choose.randrange(0, size), bytearray()
        error = 0
        file = os.open(case.path / "doc", os.O_RDONLY)
        try:
            while len(seen) < size:
                if len(seen) <= limit < len(seen) + 256 * 1024:
                    case.put("doc", bodies[(turn + 1) % 2])
                piece = os.pread(file, 256 * 1024, len(seen))
                assert piece
                seen += piece
        except OSError as failure:
            error = failure.errno
        finally:
            os.close(file)
        assert len(set(seen)) <= 1, f"turn {turn}: two versions in one file"
        assert error in (0, errno.ESTALE) and (error or len(seen) == size)
        assert set(seen) <= {b"AB"[turn % 2]}


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_two_handles_on_two_versions_do_not_share_pages(s3_case, server):
    """The kernel has one page cache for an inode, however many versions its handles read."""
    case = s3_case(server, {"freshness": 0})
    size = 8 * MIB
    for turn in range(6):
        case.put("doc", b"A" * size)
        old = os.open(case.path / "doc", os.O_RDONLY)
        assert os.pread(old, 65536, 0) == b"A" * 65536
        case.put("doc", b"B" * size)
        new = os.open(case.path / "doc", os.O_RDONLY)
        try:
            assert os.pread(new, 65536, 0) == b"B" * 65536
            for offset in range(65536, size, 256 * 1024):
                try:
                    piece = os.pread(old, 65536, offset)
                    assert set(piece) == {ord("A")}, f"turn {turn}: the old handle reads the new version at {offset}"
                except OSError as failure:
                    assert failure.errno == errno.ESTALE
                assert set(os.pread(new, 65536, offset)) == {ord("B")}, f"turn {turn}: old bytes at {offset}"
        finally:
            os.close(old)
            os.close(new)


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_a_replaced_object_of_another_size_is_read_whole(s3_case, server):
    case = s3_case(server, {"freshness": 0})
    for size in (100, 3 * MIB, 10, 70000, 0, 5):
        body = random_bytes(size, size)
        case.put("doc", body)
        assert os.stat(case.path / "doc").st_size == size
        same_bytes((case.path / "doc").read_bytes(), body)


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_appending_to_what_another_has_replaced(pair):
    """Between open and write nothing is known to change; the loser is told at close, not silently merged."""
    first, second = pair
    first.put("log", b"one\n")
    with opened(second.path / "log", os.O_WRONLY | os.O_APPEND) as file:
        first.put("log", b"one\ntwo\n")
        os.write(file, b"mine\n")
        assert close_errno(file) == errno.ESTALE
    assert first.get("log") == b"one\ntwo\n"


@pytest.mark.parametrize("server", ["ceph", "swift_s3", "new_ceph"], indirect=True)
def test_renaming_onto_what_another_made(pair):
    first, second = pair
    (second.path / "mine").write_bytes(b"mine")
    first.put("target", b"theirs")
    os.rename(second.path / "mine", second.path / "target")
    assert first.get("target") == b"mine" and first.keys() == ["target"]


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_what_one_writes_the_other_reads(s3_case, server):
    first = s3_case(server, {"freshness": 0})
    second = s3_case(server, {"freshness": 0}, container=first.container)
    for turn in range(10):
        body = random_bytes(1000 + turn, turn)
        (first.path / "shared").write_bytes(body)
        assert (second.path / "shared").read_bytes() == body
        assert os.stat(second.path / "shared").st_size == len(body)
    os.unlink(first.path / "shared")
    assert not os.path.exists(second.path / "shared") and os.listdir(second.path) == []
