"""What the usual things cost, in requests counted at the server: one more than is needed is a defect."""

import contextlib
import ctypes
import os
import platform
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.files import random_bytes
from harness.process import run, wait_until
from harness.s3 import LONG, same_bytes

CONTENT = b"some content\n"
MIB = 1 << 20
GETDENTS64 = {"x86_64": 217}.get(platform.machine(), 61)


@pytest.fixture
def case(s3_case, ceph):
    return s3_case(ceph, {"freshness": LONG})


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "new"
    file.write_bytes(CONTENT)
    return file


def extract(source, path):
    with tarfile.open(source.with_suffix(".tar"), "w") as archive:
        archive.add(source, path.name)
    run("tar", "-xf", source.with_suffix(".tar"), "-C", path.parent)


WRITERS = {
    "python": lambda source, path: path.write_bytes(CONTENT),
    "cp": lambda source, path: run("cp", source, path),
    "cp -p": lambda source, path: run("cp", "-p", source, path),
    "shell": lambda source, path: run("sh", "-c", 'cat "$1" >"$2"', "sh", source, path),
    "bash echo": lambda source, path: run("bash", "-c", 'echo some content >"$1"', "bash", path),
    "dd": lambda source, path: run("dd", f"if={source}", f"of={path}", "bs=4", "status=none"),
    "tar": extract,
    "tee": lambda source, path: run("sh", "-c", 'tee "$2" <"$1"', "sh", source, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_small_new_file_is_one_put(case, source, writer):
    assert case.settled() == []
    WRITERS[writer](source, case.path / "new")
    assert case.counts() == {"PutObject": 1}
    assert case.get("new") == CONTENT
    assert (case.path / "new").read_bytes() == CONTENT


def test_an_empty_new_file_is_one_put(case):
    case.settled()
    run("touch", case.path / "new")
    assert case.counts() == {"PutObject": 1}
    assert case.get("new") == b"" and case.settled() == ["new"]


def test_what_is_done_before_close_is_in_the_one_put(case):
    case.settled()
    with open(case.path / "new", "wb") as file:
        file.write(CONTENT)
        file.flush()
        os.fchmod(file.fileno(), 0o640)
        os.utime(file.fileno(), ns=(10**18, 10**18))
        os.fchown(file.fileno(), 12, 34)
    assert case.counts() == {"PutObject": 1}
    stored = case.head("new")["Metadata"]
    assert stored.pop("mtime") in ("1000000000", "1000000000.000000000")
    assert stored == {"mode": "33184", "uid": "12", "gid": "34"}
    status = os.stat(case.path / "new")
    assert (status.st_mode & 0o7777, status.st_mtime_ns, status.st_uid, status.st_gid) == (0o640, 10**18, 12, 34)
    assert case.counts() == {"PutObject": 1}


def test_a_small_file_replaced_is_one_put(case):
    (case.path / "old").write_bytes(b"before")
    case.settled()
    (case.path / "old").write_bytes(CONTENT)
    assert case.counts() == {"PutObject": 1}
    assert case.get("old") == CONTENT


def test_a_small_file_read_is_one_get(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG}, attributes="listing")
    case.put("old", CONTENT)
    assert case.settled() == ["old"]
    assert run("cat", case.path / "old").stdout.encode() == CONTENT
    assert case.counts() == {"GetObject": 1}
    assert case.proxy.bytes_received() == len(CONTENT)


@pytest.mark.parametrize("size", [1, 4000, 5000, 100_000])
def test_a_small_listed_file_read_is_one_get_with_its_attributes(case, size):
    content = random_bytes(size)
    case.put("old", content, Metadata={"mtime": "7.5", "mode": "33152"})
    assert case.settled() == ["old"]
    with open(case.path / "old", "rb") as file:
        assert file.read() == content
    assert case.counts() == {"GetObject": 1}
    assert case.proxy.bytes_received() == size
    status = os.stat(case.path / "old")
    assert status.st_mtime == 7.5 and status.st_mode & 0o777 == 0o600
    assert case.counts() == {"GetObject": 1}


def test_many_small_listed_files_are_one_get_each(case):
    contents = {f"name-{number:02}": random_bytes(100 + number, number) for number in range(40)}
    for key, content in contents.items():
        case.put(key, content)
    case.settled()
    for key in sorted(contents):
        assert (case.path / key).read_bytes() == contents[key]
    assert case.counts() == {"GetObject": 40}


@pytest.fixture(params=["exact", "listing"])
def small_files(request, s3_case, ceph):
    """A mount with sixty listed files, and what is in them."""
    case = s3_case(ceph, {"freshness": LONG}, attributes=request.param)
    contents = {f"name-{number:02}": random_bytes(5000 + number, number) for number in range(60)}
    for key, content in contents.items():
        case.put(key, content)
    case.settled()
    return case, contents


def test_files_opened_in_order_are_one_get_each(small_files):
    """They are fetched ahead; tests/unit/test_tree_order.c shows that."""
    case, contents = small_files
    for key in sorted(contents):
        assert (case.path / key).read_bytes() == contents[key]
    assert case.counts() == {"GetObject": 60}
    assert case.proxy.bytes_received() == sum(len(content) for content in contents.values())


def test_files_opened_by_many_threads_are_one_get_each(small_files):
    case, contents = small_files
    with ThreadPoolExecutor(8) as threads:
        for key, content in zip(sorted(contents), threads.map(lambda key: (case.path / key).read_bytes(), sorted(contents))):
            assert content == contents[key]
    assert case.counts() == {"GetObject": 60}


def test_files_opened_in_another_order_fetch_no_other(small_files):
    case, contents = small_files
    for number in range(20):
        key = f"name-{number * 23 % 60:02}"
        assert (case.path / key).read_bytes() == contents[key]
    assert case.counts() == {"GetObject": 20}


def test_a_small_listed_symlink_is_one_request(case):
    case.put("link", b"target", Metadata={"mode": "41471"})
    case.settled()
    assert os.readlink(case.path / "link") == "target"
    assert sum(case.counts().values()) <= 2


def test_what_is_only_looked_at_is_not_fetched(case):
    """Bodies are fetched in place of HEADs only while files are read."""
    for number in range(100):
        case.put(f"name-{number:02}", b"x" * 1000)
    case.settled()
    for number in range(100):
        assert os.stat(case.path / f"name-{number:02}").st_size == 1000
    counts = case.counts()
    assert counts["GetObject"] + counts["HeadObject"] == 100
    assert counts["GetObject"] <= 10


def test_a_file_read_again_costs_one_look(case):
    content = random_bytes(5 * MIB)
    case.put("old", content)
    case.settled()
    same_bytes((case.path / "old").read_bytes(), content)
    case.refresh("old")
    case.proxy.reset()
    same_bytes((case.path / "old").read_bytes(), content)
    counts = case.counts()
    assert counts.pop("HeadObject", 0) + counts.pop("ListObjects", 0) <= 1 and not counts


def test_a_file_read_again_while_fresh_costs_nothing(case):
    case.put("old", CONTENT)
    case.settled()
    (case.path / "old").read_bytes()
    case.proxy.reset()
    for _ in range(5):
        assert (case.path / "old").read_bytes() == CONTENT
    assert not case.counts()


def test_what_was_written_here_is_known_here(case):
    case.settled()
    (case.path / "new").write_bytes(CONTENT)
    case.proxy.reset()
    assert os.stat(case.path / "new").st_size == len(CONTENT)
    assert os.listdir(case.path) == ["new"]
    counts = case.counts()
    assert counts.pop("ListObjects", 0) <= 1 and not counts


@pytest.fixture(scope="module")
def crowded(ceph):
    """A container with more names than fit into one page."""
    container = ceph.new_bucket("crowded")
    client = ceph.client()
    for number in range(1100):
        client.put_object(Bucket=container, Key=f"name-{number:04}", Body=b"")
    yield container
    ceph.remove_bucket(container)


@pytest.mark.parametrize("attributes", ["listing", "exact"])
def test_names_cost_one_request_a_thousand(s3_case, ceph, crowded, attributes):
    case = s3_case(ceph, {"freshness": LONG}, container=crowded, attributes=attributes)
    case.proxy.reset()
    names = run("ls", "-f", case.path).stdout.split()
    assert sorted(names) == sorted([".", "..", *(f"name-{number:04}" for number in range(1100))])
    counts = case.counts()
    assert counts.pop("ListObjects") <= 2 + 2
    assert counts.pop("HeadBucket", 0) <= 1 and not counts


@pytest.fixture
def throng(ceph):
    """A container whose listing is worth splitting, with names that are not evenly spread."""
    container = ceph.new_bucket("throng")
    client = ceph.client()
    names = [f"{number:x}" for number in range(1900)] + [f"photo-{number:05}" for number in range(1150)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=container, Key=name, Body=b""), names))
    yield container, names
    ceph.remove_bucket(container)


def test_names_listed_side_by_side_cost_a_quarter_more_at_most(s3_case, ceph, throng):
    container, names = throng
    case = s3_case(ceph, {"freshness": LONG}, container=container, proxy_options={"latency": 0.02})
    case.proxy.reset()
    assert run("ls", "-f", case.path).stdout.split()[2:] == sorted(names)
    counts = case.counts()
    assert counts.pop("ListObjects") <= (4 + 2) * 1.25
    assert counts.pop("HeadBucket", 0) <= 1 and not counts


def test_long_listing_by_the_listing_alone(s3_case, ceph, crowded):
    case = s3_case(ceph, {"freshness": LONG}, container=crowded, attributes="listing")
    case.settled()
    assert len(run("ls", "-l", case.path).stdout.splitlines()) == 1101
    counts = case.counts()
    assert counts.pop("ListObjects", 0) <= 2 + 2 and not counts


def test_a_directory_first_answers_with_names(s3_case, ceph, crowded):
    """Not with . and .. alone: the kernel asks for attributes along with the names in its first request."""
    case = s3_case(ceph, {"freshness": LONG}, container=crowded, attributes="listing")
    case.settled()
    case.refresh()
    descriptor = os.open(case.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        buffer = ctypes.create_string_buffer(1 << 15)
        length = ctypes.CDLL(None).syscall(GETDENTS64, descriptor, buffer, len(buffer))
    finally:
        os.close(descriptor)
    assert length > 0 and b"name-0000" in buffer.raw[:length]


def test_exact_attributes_are_fetched_side_by_side_and_once(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG}, proxy_options={"latency": 0.02})
    for number in range(40):
        case.put(f"name-{number}", b"", Metadata={"mtime": f"{number}.5"})
    case.settled()
    run("ls", "-l", case.path)
    assert case.counts().pop("HeadObject") <= 40
    assert {os.stat(case.path / f"name-{number}").st_mtime for number in range(40)} == {number + 0.5 for number in range(40)}
    assert case.counts()["HeadObject"] <= 40
    case.proxy.reset()
    run("ls", "-l", case.path)
    assert not case.counts().get("HeadObject")


def described(case, count, version):
    """Stores objects with user metadata, none so small that it could be a symlink."""
    body = random_bytes(5000, version)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: case.put(f"name-{number:03}", body, Metadata={"colour": f"{version}-{number}", "mtime": f"{number}.5"}),
                      range(count)))


@contextlib.contextmanager
def held(*paths):
    """The kernel forgets no node of these meanwhile, whatever else goes on in the machine."""
    descriptors = [os.open(path, os.O_PATH) for path in paths]
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def long_list(case, stats=True):
    """What newer `ls -l` asks for, and `getfattr -d` after it; gives the colours in the order of the names."""
    colours = []
    with os.scandir(case.path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if stats:
                assert os.lstat(entry.path).st_size == 5000
            names = os.listxattr(entry.path, follow_symlinks=False)
            assert sorted(names) == ["user.colour", "user.mime_type"]
            colours.append(os.getxattr(entry.path, "user.colour", follow_symlinks=False).decode())
    return colours


def test_extended_attributes_come_with_the_others(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG})
    described(case, 200, 1)
    with held(case.path):
        case.settled()
        assert long_list(case) == [f"1-{number}" for number in range(200)]
        counts = case.counts()
        assert counts.pop("HeadObject") <= 200
        assert counts.pop("ListObjects", 0) <= 2 and not counts
        case.proxy.reset()
        assert long_list(case) == [f"1-{number}" for number in range(200)]
        assert not case.counts()


@pytest.mark.parametrize("attributes", ["exact", "listing"])
def test_extended_attributes_are_fetched_side_by_side(s3_case, ceph, attributes):
    """Without a stat, too, as by getfattr."""
    case = s3_case(ceph, {"freshness": LONG}, attributes=attributes, proxy_options={"latency": 0.05})
    described(case, 200, 1)
    case.settled()
    started = time.monotonic()
    assert long_list(case, stats=False) == [f"1-{number}" for number in range(200)]
    assert time.monotonic() - started < 200 * 0.05 / 2
    counts = case.counts()
    assert counts.pop("HeadObject") <= 200
    assert counts.pop("ListObjects", 0) <= 2 and not counts


def test_extended_attributes_that_change_are_seen(s3_case, ceph):
    """Here at once, elsewhere after the freshness; the rest costs a listing where the versions are the same."""
    case = s3_case(ceph, {"freshness": "3s"})
    described(case, 40, 1)
    case.settled()
    wanted = [f"1-{number}" for number in range(40)]
    assert long_list(case) == wanted
    os.setxattr(case.path / "name-007", "user.colour", b"ours")
    wanted[7] = "ours"
    assert long_list(case) == wanted
    case.put("name-011", random_bytes(5000, 2), Metadata={"colour": "theirs"})
    wanted[11] = "theirs"
    with held(*(case.path / f"name-{number:03}" for number in range(40))):
        time.sleep(3.1)
        case.proxy.reset()
        assert long_list(case) == wanted
    assert case.counts()["HeadObject"] <= 4


def test_many_names_are_looked_at_by_one_listing(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG}, attributes="listing")
    for number in range(60):
        case.put(f"name-{number}", b"x" * number)
    case.settled()
    case.refresh()
    case.proxy.reset()
    assert [os.stat(case.path / f"name-{number}").st_size for number in range(60)] == list(range(60))
    counts = case.counts()
    # Refreshing has made even the directory unknown: some names are asked for one by one before it is worth a listing.
    assert counts.pop("ListObjects") <= 5
    assert counts.pop("HeadBucket", 0) <= 1 and not counts


def test_a_name_that_is_not_listed_costs_nothing(case):
    case.put("there", b"")
    case.settled()
    for number in range(50):
        assert not os.path.exists(case.path / f"absent-{number}")
    assert not case.counts()


def test_an_absence_is_remembered(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG})
    assert not os.path.exists(case.path / "absent")
    case.proxy.reset()
    for _ in range(5):
        assert not os.path.exists(case.path / "absent")
    assert not case.counts()


def test_parts_go_out_while_writing_goes_on(case):
    case.settled()
    piece, pieces = random_bytes(MIB), 200
    with open(case.path / "big", "wb") as file:
        for _ in range(pieces):
            file.write(piece)
        file.flush()
        wait_until(lambda: case.counts().get("UploadPart"), message="a part sent before close")
    assert case.counts()["CompleteMultipartUpload"] == case.counts()["CreateMultipartUpload"] == 1
    assert case.proxy.bytes_sent() < (pieces + 1) * MIB, "something was sent twice"
    assert case.head("big")["ContentLength"] == pieces * MIB
    same_bytes(case.get("big"), piece * pieces)
    assert case.unfinished() == []


def test_nothing_is_left_of_an_upload_whose_file_was_removed(case):
    case.settled()
    with open(case.path / "big", "wb") as file:
        for _ in range(60):
            file.write(random_bytes(MIB))
        file.flush()
        wait_until(lambda: case.counts().get("UploadPart"), message="a part sent before close")
        os.unlink(case.path / "big")
    wait_until(lambda: case.unfinished() == [], message="the end of the upload")
    assert case.keys() == []


def test_removing_is_one_delete(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG}, attributes="listing")
    for number in range(5):
        case.put(f"name-{number}", CONTENT)
    case.settled()
    for number in range(5):
        os.unlink(case.path / f"name-{number}")
    assert case.counts() == {"DeleteObject": 5}
    assert case.keys() == [] and os.listdir(case.path) == []


def test_statfs_costs_nothing(case):
    case.settled()
    run("df", case.path)
    assert not case.counts()


def test_random_reads_move_little_more_than_they_ask_for(case):
    content = random_bytes(32 * MIB)
    case.put("big", content)
    case.settled()
    descriptor = os.open(case.path / "big", os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in (20 * MIB, 3 * MIB, 29 * MIB, 11 * MIB, 7 * MIB):
            assert os.pread(descriptor, 4096, offset) == content[offset:offset + 4096]
    finally:
        os.close(descriptor)
    assert case.proxy.bytes_received() <= 5 * MIB + 4096


def test_readers_of_one_object_share_what_is_fetched(case):
    content = random_bytes(16 * MIB)
    case.put("big", content)
    case.settled()
    readers = [subprocess.Popen(["md5sum", case.path / "big"], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    sums = {reader.communicate()[0].split()[0] for reader in readers}
    assert len(sums) == 1
    assert case.proxy.bytes_received() <= 20 * MIB
