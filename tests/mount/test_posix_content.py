"""What is written is what is read: every way to write a file, every way to read it, on every kind of storage."""

import ctypes
import errno
import mmap
import os
import subprocess

import pytest

from harness.files import checksum, fails_with, random_bytes
from harness.shared import CONTENT

pytestmark = CONTENT
MIB = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


def write_at(descriptor, data, offset=0):
    """pwrite of all of it."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def test_create_and_read(box):
    path = box.path / "file"
    path.write_bytes(b"hello\n")
    assert path.read_bytes() == b"hello\n"
    assert path.stat().st_size == 6
    assert os.listdir(box.path) == ["file"]


def test_empty_file(box):
    path = box.path / "empty"
    path.touch()
    assert path.stat().st_size == 0
    assert path.read_bytes() == b""
    assert os.listdir(box.path) == ["empty"]
    path.write_bytes(b"x")
    path.write_bytes(b"")
    assert path.read_bytes() == b""


@pytest.mark.parametrize("sizes", [(100000, 7), (7, 100000), (4096, 4096), (1, 0), (131072, 131073)])
def test_overwrite(box, sizes):
    path = box.path / "file"
    for seed, size in enumerate(sizes):
        data = random_bytes(size, seed)
        path.write_bytes(data)
        assert path.read_bytes() == data
        assert path.stat().st_size == size


def test_append(box):
    path = box.path / "log"
    lines = [f"line {number}\n".encode() for number in range(50)]
    for line in lines:
        with open(path, "ab") as file:
            file.write(line)
    assert path.read_bytes() == b"".join(lines)


def test_append_from_two_handles(box):
    path = box.path / "log"
    first = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    second = os.open(path, os.O_WRONLY | os.O_APPEND)
    wanted = b""
    for number in range(40):
        piece = random_bytes(number * 37 + 1, number)
        os.write((first, second)[number % 2], piece)
        wanted += piece
    assert path.read_bytes() == wanted
    os.close(first)
    os.write(second, b"end")
    os.close(second)
    assert path.read_bytes() == wanted + b"end"


def test_append_ignores_the_offset(box):
    path = box.path / "log"
    path.write_bytes(b"0123456789")
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    os.lseek(descriptor, 2, os.SEEK_SET)
    os.write(descriptor, b"ab")
    os.ftruncate(descriptor, 5)
    os.write(descriptor, b"cd")
    os.close(descriptor)
    assert path.read_bytes() == b"01234cd"


def test_pwrite_and_pread(box):
    wanted = bytearray(random_bytes(300000))
    path = box.path / "file"
    path.write_bytes(wanted)
    descriptor = os.open(path, os.O_RDWR)
    for number, (offset, size) in enumerate([(0, 1), (299999, 1), (4095, 2), (131071, 4097), (100, 100000), (65536, 65536)]):
        data = random_bytes(size, number + 1)
        write_at(descriptor, data, offset)
        wanted[offset:offset + size] = data
        for at, length in ((0, 10), (offset, size), (max(0, offset - 3), size + 6), (299000, 5000)):
            assert os.pread(descriptor, length, at) == wanted[at:at + length]
    os.close(descriptor)
    assert path.read_bytes() == wanted


def test_write_beyond_the_end_leaves_zeros(box):
    path = box.path / "file"
    path.write_bytes(b"begin")
    descriptor = os.open(path, os.O_RDWR)
    write_at(descriptor, b"end", 200000)
    assert os.pread(descriptor, 10, 100000) == bytes(10)
    os.close(descriptor)
    assert path.read_bytes() == b"begin" + bytes(199995) + b"end"


@pytest.mark.parametrize("way", ["path", "descriptor"])
def test_truncate(box, way):
    path = box.path / "file"
    wanted = random_bytes(400000)
    path.write_bytes(wanted)
    for size in (399999, 131072, 131073, 0, 5, 262144, 100):
        if way == "path":
            os.truncate(path, size)
        else:
            with open(path, "r+b") as file:
                file.truncate(size)
                assert os.fstat(file.fileno()).st_size == size
        wanted = wanted[:size] + bytes(max(0, size - len(wanted)))
        assert path.stat().st_size == size
        assert path.read_bytes() == wanted


def test_truncate_by_path_while_open(box):
    path = box.path / "file"
    with open(path, "w+b", buffering=0) as file:
        file.write(b"0123456789")
        os.truncate(path, 4)
        assert os.fstat(file.fileno()).st_size == 4
        assert os.pread(file.fileno(), 10, 0) == b"0123"
        os.truncate(path, 6)
        assert os.pread(file.fileno(), 10, 0) == b"0123\0\0"
        os.pwrite(file.fileno(), b"x", 7)
    assert path.read_bytes() == b"0123\0\0\0x"


def test_truncate_needs_a_file_and_a_length(box):
    with pytest.raises(FileNotFoundError):
        os.truncate(box.path / "missing", 1)
    with pytest.raises(IsADirectoryError):
        os.truncate(box.path, 1)
    (box.path / "file").write_bytes(b"abc")
    with pytest.raises(OSError) as caught:
        os.truncate(box.path / "file", -1)
    assert caught.value.errno == errno.EINVAL


def test_direct(box):
    path = box.path / "file"
    data = random_bytes(64 * 4096)
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    assert os.pwritev(descriptor, [buffer], 0) == len(data)
    other = mmap.mmap(-1, 8192)
    assert os.preadv(descriptor, [other], 4096) == 8192
    assert other[:] == data[4096:12288]
    assert os.pwritev(descriptor, [other], 0) == 8192
    assert os.preadv(descriptor, [buffer], len(data) - 4096) == 4096
    os.close(descriptor)
    wanted = data[4096:12288] + data[8192:]
    assert path.read_bytes() == wanted
    subprocess.run(["dd", f"if={path}", f"of={path}.copy", "bs=64k", "iflag=direct", "oflag=direct", "status=none"], check=True)
    assert (box.path / "file.copy").read_bytes() == wanted


def test_vectors(box):
    path = box.path / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    pieces = [random_bytes(size, size) for size in (1, 4096, 3, 70000, 0, 5)]
    assert os.pwritev(descriptor, pieces, 10) == sum(map(len, pieces))
    into = [bytearray(size) for size in (10, 5000, 1, 69099)]
    assert os.preadv(descriptor, into, 0) == 74110
    assert b"".join(into) == (bytes(10) + b"".join(pieces))[:74110]
    os.close(descriptor)


def test_mmap_shared_write(box):
    path = box.path / "file"
    wanted = bytearray(random_bytes(200000))
    path.write_bytes(wanted)
    descriptor = os.open(path, os.O_RDWR)
    with mmap.mmap(descriptor, 0) as mapped:
        for offset, text in ((0, b"begin"), (4094, b"across"), (100000, b"middle"), (199997, b"end")):
            mapped[offset:offset + len(text)] = wanted[offset:offset + len(text)] = text
        mapped.flush()
        assert os.pread(descriptor, 200000, 0) == wanted
        mapped[50000:50005] = wanted[50000:50005] = b"after"
    os.close(descriptor)
    assert path.read_bytes() == wanted


def test_mmap_outlives_its_descriptor(box):
    path = box.path / "file"
    path.write_bytes(bytes(10000))
    descriptor = os.open(path, os.O_RDWR)
    mapped = mmap.mmap(descriptor, 0)
    os.close(descriptor)
    mapped[5000:5004] = b"late"
    mapped.flush()
    mapped.close()
    assert path.read_bytes() == bytes(5000) + b"late" + bytes(4996)


def test_mmap_sees_writes(box):
    path = box.path / "file"
    path.write_bytes(bytes(20000))
    with open(path, "r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert mapped[9999] == 0
        os.pwrite(file.fileno(), b"written", 9999)
        assert mapped[9999:10006] == b"written"


def test_mmap_beside_an_appending_handle(box):
    """The kernel writes mapped pages back through any handle: one that appends must not move them to the end."""
    path = box.path / "file"
    path.write_bytes(bytes(10000))
    with open(path, "ab", buffering=0) as log, open(path, "r+b", buffering=0) as file:
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[100:106] = b"mapped"
            mapped.flush()
            mapped[9990:9995] = b"later"
        log.write(b"appended")
    assert path.read_bytes() == bytes(100) + b"mapped" + bytes(9884) + b"later" + bytes(5) + b"appended"


def test_mmap_private_changes_nothing(box):
    path = box.path / "file"
    path.write_bytes(b"original")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:3] = b"new"
        assert mapped[:] == b"newginal"
    assert path.read_bytes() == b"original"


def test_mmap_of_a_program(box):
    """Running a file maps it; and a running file may not be written."""
    path = box.path / "program"
    path.write_bytes(open("/bin/true", "rb").read())
    path.chmod(0o755)
    assert subprocess.run([path], check=False).returncode == 0


def test_sequential_pieces(box):
    path = box.path / "file"
    data = random_bytes(700001)
    with open(path, "wb", buffering=0) as file:
        for start in range(0, len(data), 10007):
            file.write(data[start:start + 10007])
    with open(path, "rb", buffering=0) as file:
        assert b"".join(iter(lambda: file.read(4099), b"")) == data


def test_backward_write(box):
    path = box.path / "file"
    data = random_bytes(300000)
    with open(path, "wb", buffering=0) as file:
        for start in range(299000, -1, -1000):
            write_at(file.fileno(), data[start:start + 1000], start)
    assert path.read_bytes() == data


def test_read_at_and_past_the_end(box):
    path = box.path / "file"
    path.write_bytes(b"12345")
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 5) == b""
        assert os.pread(file.fileno(), 10, 6) == b""
        assert os.pread(file.fileno(), 10, 1 << 40) == b""
        assert os.pread(file.fileno(), 10, 4) == b"5"


def test_allocate(box):
    path = box.path / "file"
    path.write_bytes(b"data")
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 2, 10000)
        assert os.fstat(file.fileno()).st_size == 10002
        os.posix_fallocate(file.fileno(), 0, 100)
        assert os.fstat(file.fileno()).st_size == 10002
    assert path.read_bytes() == b"data" + bytes(9998)


KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32
ALLOCATIONS = (KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE)


def allocate(descriptor, mode, offset, length):
    """fallocate(2) with a mode."""
    if LIBC.fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def test_other_allocations_are_refused(box):
    if box.is_local:
        pytest.skip("a local storage does what the file system below it can")
    path = box.path / "file"
    path.write_bytes(b"data" * 4096)
    with open(path, "r+b") as file:
        for mode in ALLOCATIONS:
            fails_with(errno.EOPNOTSUPP, allocate, file.fileno(), mode, 0, 4096)
        assert path.read_bytes() == b"data" * 4096
        allocate(file.fileno(), 0, 0, 20000)
    assert path.stat().st_size == 20000


def test_seek_data_and_hole(box):
    path = box.path / "file"
    path.write_bytes(random_bytes(10000))
    with open(path, "rb") as file:
        descriptor = file.fileno()
        assert os.lseek(descriptor, 0, os.SEEK_DATA) == 0
        assert os.lseek(descriptor, 5000, os.SEEK_DATA) == 5000
        assert os.lseek(descriptor, 0, os.SEEK_HOLE) == 10000
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            with pytest.raises(OSError) as caught:
                os.lseek(descriptor, 10000, whence)
            assert caught.value.errno == errno.ENXIO


def test_seek_never_calls_data_a_hole(box):
    path = box.path / "file"
    with open(path, "w+b", buffering=0) as file:
        descriptor = file.fileno()
        os.ftruncate(descriptor, 3 * MIB)
        write_at(descriptor, b"x" * 4096, MIB)
        assert os.lseek(descriptor, 0, os.SEEK_DATA) <= MIB
        assert os.lseek(descriptor, MIB, os.SEEK_DATA) == MIB
        assert os.lseek(descriptor, MIB, os.SEEK_HOLE) >= MIB + 4096
        assert os.lseek(descriptor, 0, os.SEEK_HOLE) in (0, 3 * MIB)
    subprocess.run(["cp", "--sparse=always", path, box.path / "copy"], check=True)
    assert (box.path / "copy").read_bytes() == bytes(MIB) + b"x" * 4096 + bytes(2 * MIB - 4096)


def test_sync(box):
    path = box.path / "file"
    with open(path, "wb", buffering=0) as file:
        for number in range(5):
            file.write(bytes([number]) * 1000)
            (os.fsync, os.fdatasync)[number % 2](file.fileno())
            assert path.stat().st_size == 1000 * (number + 1)
            if box.client():
                assert len(box.get("file")) == 1000 * (number + 1)
    directory = os.open(box.path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)


@pytest.mark.parametrize("access", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_DIRECT],
                         ids=["wronly", "rdwr", "append", "direct"])
@pytest.mark.parametrize("how", [os.O_SYNC, os.O_DSYNC, 0], ids=["sync", "dsync", "rwf_dsync"])
def test_synchronous_writes(box, access, how):
    """What a synchronous write has written is stored when it returns."""
    buffer = mmap.mmap(-1, 4096)
    descriptor = os.open(box.path / "file", access | how | os.O_CREAT, 0o644)
    for number in range(3):
        buffer[:] = bytes([65 + number]) * 4096
        assert os.pwritev(descriptor, [buffer], 4096 * number, 0 if how else os.RWF_DSYNC) == 4096
        if box.client():
            assert box.get("file") == b"".join(bytes([65 + each]) * 4096 for each in range(number + 1))
    os.close(descriptor)


def test_who_has_a_file_mapped_sees_who_only_writes(box):
    """A writer that goes past the page cache takes out of it what others have read."""
    path = box.path / "file"
    wanted = bytearray(random_bytes(3 * MIB))
    path.write_bytes(wanted)
    reader, writer = os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY)
    with mmap.mmap(reader, 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == os.pread(reader, 3 * MIB, 0) == wanted
        for turn, (offset, length) in enumerate(((0, 4096), (10, 5), (MIB - 100, 300), (2 * MIB, MIB), (4095, 2))):
            wanted[offset:offset + length] = data = random_bytes(length, turn)
            write_at(writer, data, offset)
            assert os.pread(reader, 3 * MIB, 0) == wanted
            assert mapped[:] == wanted
        write_at(writer, b"longer", 3 * MIB)
        assert os.pread(reader, 100, 3 * MIB - 1) == wanted[-1:] + b"longer"
    os.close(reader)
    os.close(writer)
    assert path.read_bytes() == wanted + b"longer"


def test_copy_range(box):
    data = random_bytes(600000)
    (box.path / "from").write_bytes(data)
    for target in (box.path / "to", box.second_path / "to"):
        with open(box.path / "from", "rb") as source, open(target, "w+b") as copy:
            offset = 0
            while done := os.copy_file_range(source.fileno(), copy.fileno(), 1 << 30, offset, offset):
                offset += done
            assert offset == len(data)
            assert os.copy_file_range(source.fileno(), copy.fileno(), 1000, 5000, 100) == 1000
            assert os.pread(copy.fileno(), 1200, 0) == data[:100] + data[5000:6000] + data[1100:1200]
        assert target.read_bytes() == data[:100] + data[5000:6000] + data[1100:]


def test_copy_range_from_unpublished_bytes(box):
    with open(box.path / "from", "w+b", buffering=0) as source, open(box.path / "to", "w+b", buffering=0) as copy:
        source.write(b"0123456789" * 1000)
        os.ftruncate(source.fileno(), 20000)
        assert os.copy_file_range(source.fileno(), copy.fileno(), 15000, 5, 3) == 15000
        os.pwrite(source.fileno(), b"changed", 5)
        assert os.pread(copy.fileno(), 13, 0) == b"\0\0\0" + b"5678901234"
    assert (box.path / "to").read_bytes() == bytes(3) + (b"0123456789" * 1000)[5:] + bytes(5005)


@pytest.mark.parametrize("change", ["write", "truncate", "replace", "unlink", "unlinked before"])
def test_copy_range_then_the_source_changes(box, change):
    """A copy has the bytes of the moment of the copy."""
    source, target = box.path / "source", box.path / "target"
    data = random_bytes(300000)
    source.write_bytes(data)
    (box.path / "other").write_bytes(b"other")
    with open(source, "rb", buffering=0) as reader, open(target, "w+b", buffering=0) as copy:
        if change == "unlinked before":
            source.unlink()
        assert os.copy_file_range(reader.fileno(), copy.fileno(), 250000, 0, 10) == 250000
        if change == "write":
            source.write_bytes(random_bytes(300000, 1))
        elif change == "truncate":
            os.truncate(source, 0)
        elif change == "replace":
            os.rename(box.path / "other", source)
        elif change == "unlink":
            source.unlink()
        assert os.pread(copy.fileno(), 300000, 0) == bytes(10) + data[:250000]
    assert target.read_bytes() == bytes(10) + data[:250000]
    box.refresh()
    assert target.read_bytes() == bytes(10) + data[:250000]


def test_copy_range_to_another_storage(box):
    data = random_bytes(100000)
    (box.path / "from").write_bytes(data)
    subprocess.run(["cp", box.path / "from", box.other_path / "to"], check=True)
    assert (box.other_path / "to").read_bytes() == data
    subprocess.run(["cp", box.other_path / "to", box.path / "back"], check=True)
    assert (box.path / "back").read_bytes() == data


EDGES = {"page": 4096, "kernel block": 128 << 10, "small part": 256 << 10, "block": MIB}
LARGE_EDGES = {"smallest part": 5 * MIB, "two parts": 10 * MIB, "part": 16 * MIB}


@pytest.mark.parametrize("difference", [-1, 0, 1])
@pytest.mark.parametrize("edge", EDGES)
def test_size_at_an_edge(box, edge, difference):
    check_size(box, EDGES[edge] + difference)


@pytest.mark.parametrize("difference", [-1, 0, 1])
@pytest.mark.parametrize("edge", LARGE_EDGES)
def test_large_size_at_an_edge(box, edge, difference):
    check_size(box, LARGE_EDGES[edge] + difference)


def check_size(box, size):
    path = box.path / "file"
    data = random_bytes(size)
    path.write_bytes(data)
    assert path.stat().st_size == size
    box.refresh("file")
    assert path.read_bytes() == data
    with open(path, "r+b", buffering=0) as file:
        write_at(file.fileno(), b"edit", size // 2)
        file.seek(0, os.SEEK_END)
        file.write(b"more")
    box.refresh("file")
    assert path.read_bytes() == data[:size // 2] + b"edit" + data[size // 2 + 4:] + b"more"


def test_64_mib(box):
    source = box.mount.directory / "64M"
    source.write_bytes(random_bytes(64 * MIB))
    try:
        subprocess.run(["cp", source, box.path / "file"], check=True)
        box.refresh("file")
        assert checksum(box.path / "file") == checksum(source)
        subprocess.run(["cmp", source, box.path / "file"], check=True)
    finally:
        source.unlink()


def test_sparse(box):
    path = box.path / "sparse"
    with open(path, "w+b", buffering=0) as file:
        file.truncate(24 * MIB)
        write_at(file.fileno(), b"one", 7 * MIB - 1)
        write_at(file.fileno(), b"two", 20 * MIB)
    box.refresh("sparse")
    assert path.stat().st_size == 24 * MIB
    with open(path, "rb") as file:
        content = file.read()
    wanted = bytearray(24 * MIB)
    wanted[7 * MIB - 1:7 * MIB + 2] = b"one"
    wanted[20 * MIB:20 * MIB + 3] = b"two"
    assert content == wanted


def test_far_offset_of_a_file_that_is_removed(box):
    """Far beyond what would fit: nothing is uploaded, because the name is gone before the last close."""
    path = box.path / "far"
    with open(path, "w+b", buffering=0) as file:
        write_at(file.fileno(), b"far", 1 << 36)
        assert os.fstat(file.fileno()).st_size == (1 << 36) + 3
        assert os.pread(file.fileno(), 8, (1 << 36) - 4) == b"\0\0\0\0far"
        assert os.pread(file.fileno(), 4096, 1 << 35) == bytes(4096)
        path.unlink()
    assert os.listdir(box.path) == []
