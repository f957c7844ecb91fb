"""What open files do to each other and to their names: flags of open, many handles, dup, unlink and rename while open."""

import concurrent.futures
import errno
import multiprocessing
import os
import subprocess

import pytest

from harness.files import fails_with, random_bytes


def shell(box, script):
    return subprocess.run(["bash", "-ec", script], cwd=box.path, capture_output=True, text=True, check=False, timeout=60)


def test_open_missing(box):
    fails_with(errno.ENOENT, os.open, box.path / "missing", os.O_RDONLY)
    fails_with(errno.ENOENT, os.open, box.path / "missing", os.O_RDWR | os.O_TRUNC)
    fails_with(errno.ENOENT, os.unlink, box.path / "missing")
    assert os.listdir(box.path) == []


def test_exclusive_create(box):
    path = box.path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    fails_with(errno.EEXIST, os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(descriptor, b"mine")
    os.close(descriptor)
    fails_with(errno.EEXIST, os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    assert path.read_bytes() == b"mine"


def take(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        return 1
    except FileExistsError:
        return 0


def test_exclusive_create_has_one_winner(box):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for number in range(10):
            assert sum(pool.map(take, [box.path / f"lock{number}"] * 8, chunksize=1)) == 1


def test_truncate_on_open(box):
    path = box.path / "file"
    path.write_bytes(b"a long content")
    with open(path, "rb", buffering=0) as reader:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        assert os.fstat(descriptor).st_size == 0
        assert path.stat().st_size == 0
        assert os.pread(reader.fileno(), 100, 0) == b""
        os.write(descriptor, b"short")
        assert os.pread(reader.fileno(), 100, 0) == b"short"
        os.close(descriptor)
    assert path.read_bytes() == b"short"


def test_truncate_on_open_and_nothing_more(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
    assert path.read_bytes() == b""
    box.refresh("file")
    assert path.stat().st_size == 0


def test_access_modes(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    descriptor = os.open(path, os.O_RDONLY)
    fails_with(errno.EBADF, os.write, descriptor, b"x")
    fails_with(errno.EINVAL, os.ftruncate, descriptor, 1)
    os.close(descriptor)
    descriptor = os.open(path, os.O_WRONLY)
    fails_with(errno.EBADF, os.read, descriptor, 1)
    os.close(descriptor)
    fails_with(errno.ENOTDIR, os.open, path, os.O_RDONLY | os.O_DIRECTORY)
    fails_with(errno.ENOTDIR, os.stat, path / "below")
    fails_with(errno.EISDIR, os.open, box.path, os.O_WRONLY)
    assert path.read_bytes() == b"content"


def test_write_to_a_write_only_handle_in_the_middle(box):
    """The rest of the page comes from the storage although the handle may not read."""
    path = box.path / "file"
    data = random_bytes(50000)
    path.write_bytes(data)
    box.refresh("file")
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, b"new", 12345)
    os.close(descriptor)
    assert path.read_bytes() == data[:12345] + b"new" + data[12348:]


def test_read_while_written(box):
    path = box.path / "file"
    with open(path, "wb", buffering=0) as writer:
        writer.write(b"first")
        with open(path, "rb", buffering=0) as reader:
            assert reader.read() == b"first"
            writer.write(b"second")
            assert reader.read() == b"second"
            os.pwrite(writer.fileno(), b"F", 0)
            assert os.pread(reader.fileno(), 20, 0) == b"Firstsecond"
            assert path.stat().st_size == 11


def test_reopen_while_open_for_writing(box):
    path = box.path / "file"
    first = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(first, b"one ")
    second = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(second, b"two ")
    os.close(second)
    os.pwrite(first, b"three", 8)
    assert path.read_bytes() == b"one two three"
    os.close(first)
    assert path.read_bytes() == b"one two three"
    box.refresh("file")
    assert path.read_bytes() == b"one two three"


def test_many_handles(box):
    path = box.path / "file"
    path.write_bytes(random_bytes(100000))
    handles = [os.open(path, os.O_RDWR) for _ in range(200)]
    for number, handle in enumerate(handles):
        os.pwrite(handle, bytes([number]), number * 400)
    for number, handle in enumerate(handles):
        assert os.pread(handle, 1, (199 - number) * 400) == bytes([199 - number])
    for handle in handles:
        os.close(handle)
    content = path.read_bytes()
    assert content[::400][:200] == bytes(range(200)) and len(content) == 100000


def test_many_open_files(box):
    files = [open(box.path / f"file{number}", "w+b", buffering=0) for number in range(150)]
    for number, file in enumerate(files):
        file.write(f"content {number}".encode())
    for file in files:
        file.close()
    assert len(os.listdir(box.path)) == 150
    for number in range(150):
        assert (box.path / f"file{number}").read_bytes() == f"content {number}".encode()


def test_shell_redirections(box):
    done = shell(box, """
        echo one > f; echo two >> f; cat f f > g; : > empty; echo x > empty; > gone; { echo a; echo b >&3; } 3> both > out
        exec 5> five; echo early >&5; (echo child >&5); echo late >&5; exec 5>&-
        cat < f | sort > sorted; head -c 100000 /dev/zero | tee zeros > /dev/null
    """)
    assert done.returncode == 0, done.stderr
    wanted = {"f": "one\ntwo\n", "g": "one\ntwo\none\ntwo\n", "empty": "x\n", "gone": "", "both": "b\n", "out": "a\n",
              "five": "early\nchild\nlate\n", "sorted": "one\ntwo\n", "zeros": "\0" * 100000}
    assert {name: (box.path / name).read_text() for name in os.listdir(box.path)} == wanted


def test_dup(box):
    path = box.path / "file"
    first = os.open(path, os.O_WRONLY | os.O_CREAT)
    second = os.dup(first)
    os.write(first, b"one")
    os.close(first)
    assert path.read_bytes() == b"one"
    os.write(second, b"two")
    os.close(second)
    assert path.read_bytes() == b"onetwo"
    box.refresh("file")
    assert path.read_bytes() == b"onetwo"


def test_dup_of_an_empty_file(box):
    path = box.path / "file"
    first = os.open(path, os.O_WRONLY | os.O_CREAT)
    second = os.dup(first)
    os.close(first)
    os.write(second, b"late")
    os.close(second)
    box.refresh("file")
    assert path.read_bytes() == b"late"


def test_forked_writer(box):
    path = box.path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"parent ")
    child = os.fork()
    if child == 0:
        os.write(descriptor, b"child ")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    os.write(descriptor, b"parent")
    os.close(descriptor)
    assert path.read_bytes() == b"parent child parent"


def test_killed_writer(box):
    """What a killed process has written is there."""
    path = box.path / "file"
    process = subprocess.Popen(["bash", "-c", f"exec 3> '{path}'; echo written >&3; echo ready; sleep 60 3>&-"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    subprocess.run(["sync", "-f", path], check=True)
    assert path.read_bytes() == b"written\n"


def test_unlink_while_open(box):
    path = box.path / "file"
    data = random_bytes(300000)
    path.write_bytes(data)
    with open(path, "r+b", buffering=0) as file:
        path.unlink()
        fails_with(errno.ENOENT, os.stat, path)
        assert os.listdir(box.path) == []
        assert os.fstat(file.fileno()).st_size == 300000
        assert os.pread(file.fileno(), 1000, 200000) == data[200000:201000]
        os.pwrite(file.fileno(), b"written", 250000)
        assert os.pread(file.fileno(), 9, 249999) == data[249999:250000] + b"written" + data[250007:250008]
        os.ftruncate(file.fileno(), 100)
        os.fsync(file.fileno())
        path.write_bytes(b"another file")
        assert os.pread(file.fileno(), 1000, 0) == data[:100]
    assert path.read_bytes() == b"another file"
    box.refresh()
    assert path.read_bytes() == b"another file"


def test_unlink_of_a_new_file_while_open(box):
    path = box.path / "file"
    with open(path, "w+b", buffering=0) as file:
        file.write(b"temporary")
        path.unlink()
        assert os.pread(file.fileno(), 20, 0) == b"temporary"
        file.write(b" and more")
    assert os.listdir(box.path) == []
    box.refresh()
    assert os.listdir(box.path) == []
    if box.client():
        assert box.keys() == []


def test_rename_over_an_open_file(box):
    old, new = box.path / "old", box.path / "new"
    data = random_bytes(300000)
    old.write_bytes(data)
    new.write_bytes(b"the new one")
    with open(old, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 0) == data[:10]
        os.rename(new, old)
        assert old.read_bytes() == b"the new one"
        assert os.pread(file.fileno(), 1000, 250000) == data[250000:251000]
        assert os.fstat(file.fileno()).st_size == 300000
    assert os.listdir(box.path) == ["old"]
    assert old.read_bytes() == b"the new one"


def test_rename_over_a_file_open_for_writing(box):
    old, new = box.path / "old", box.path / "new"
    new.write_bytes(b"the new one")
    with open(old, "w+b", buffering=0) as file:
        file.write(b"will be lost with its name")
        os.rename(new, old)
        file.write(b"!")
        assert os.pread(file.fileno(), 4, 0) == b"will"
    assert old.read_bytes() == b"the new one"
    box.refresh()
    assert old.read_bytes() == b"the new one"


@pytest.mark.parametrize("published", [False, True])
def test_rename_of_an_open_file(box, published):
    """The usual way to save: write under another name, rename, write on."""
    path = box.path / "draft"
    with open(path, "w+b", buffering=0) as file:
        file.write(b"first ")
        if published:
            os.fsync(file.fileno())
        os.rename(path, box.path / "final")
        assert os.listdir(box.path) == ["final"]
        file.write(b"second")
        assert (box.path / "final").read_bytes() == b"first second"
    assert os.listdir(box.path) == ["final"]
    box.refresh()
    assert os.listdir(box.path) == ["final"]
    assert (box.path / "final").read_bytes() == b"first second"


def test_rename_of_a_file_open_for_reading(box):
    path = box.path / "one"
    data = random_bytes(500000)
    path.write_bytes(data)
    with open(path, "rb", buffering=0) as file:
        os.rename(path, box.path / "two")
        assert os.pread(file.fileno(), 100, 400000) == data[400000:400100]
        os.rename(box.path / "two", box.second_path / "three")
        assert os.pread(file.fileno(), 100, 300000) == data[300000:300100]
    assert (box.second_path / "three").read_bytes() == data


def test_append_after_rename(box):
    path = box.path / "log"
    with open(path, "ab", buffering=0) as file:
        file.write(b"before ")
        os.rename(path, box.path / "log.1")
        path.write_bytes(b"new log")
        file.write(b"after")
    assert path.read_bytes() == b"new log"
    assert (box.path / "log.1").read_bytes() == b"before after"


def test_attributes_of_an_open_file(box):
    path = box.path / "file"
    with open(path, "w+b", buffering=0) as file:
        file.write(b"content")
        os.fchmod(file.fileno(), 0o600)
        os.utime(file.fileno(), ns=(10**18, 10**18 + 123456789))
        assert os.fstat(file.fileno()).st_mtime_ns == 10**18 + 123456789
        assert path.stat().st_mode & 0o7777 == 0o600
    assert path.stat().st_mtime_ns == 10**18 + 123456789
    box.refresh("file")
    assert path.stat().st_mtime_ns == 10**18 + 123456789
    assert path.stat().st_mode & 0o7777 == 0o600


def test_inode_numbers(box):
    path = box.path / "file"
    with open(path, "wb") as file:
        inode = os.fstat(file.fileno()).st_ino
        assert path.stat().st_ino == inode
    assert path.stat().st_ino == inode
    other = box.path / "other"
    other.touch()
    assert other.stat().st_ino != inode
    assert {entry.name: entry.inode() for entry in os.scandir(box.path)} == {"file": inode, "other": other.stat().st_ino}


def test_inode_numbers_of_saved_files(box):
    """A new file under the name that another was renamed from is another file: cp and tail -F compare the numbers."""
    draft, saved = box.path / "draft", box.path / "saved"
    draft.write_bytes(b"one")
    os.rename(draft, saved)
    draft.write_bytes(b"two, longer")
    assert not os.path.samefile(draft, saved)
    subprocess.run(["cp", draft, saved], check=True)
    assert saved.read_bytes() == b"two, longer"
    with open(draft, "rb") as file:
        draft.unlink()
        draft.write_bytes(b"three")
        assert os.fstat(file.fileno()).st_ino != draft.stat().st_ino


def test_unlink_right_after_close(box):
    """The kernel tells about a close after close(2) has returned: what is removed meanwhile is gone, and stays gone."""
    for number in range(60):
        path = box.path / "lock"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if number % 2:
            os.write(descriptor, b"x")
        second = os.dup(descriptor)
        os.close(descriptor)
        os.close(second)
        path.unlink()
        assert not path.exists()
    box.refresh()
    assert os.listdir(box.path) == []


def write_lines(path, writer):
    with open(path, "ab", buffering=0) as file:
        for number in range(100):
            file.write(f"{writer} {number} {'x' * (number % 60)}\n".encode())


def test_processes_append_whole_lines(box):
    path = box.path / "log"
    path.touch()
    processes = [multiprocessing.get_context("fork").Process(target=write_lines, args=(path, writer)) for writer in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = path.read_text().splitlines()
    wanted = {f"{writer} {number} {'x' * (number % 60)}" for writer in range(4) for number in range(100)}
    assert len(lines) == 400 and set(lines) == wanted


def test_threads_write_regions_of_one_file(box):
    path = box.path / "file"
    size, count = 60000, 8
    pieces = [random_bytes(size, number) for number in range(count)]

    def write(number):
        with open(path, "r+b", buffering=0) as file:
            for start in range(0, size, 3000):
                os.pwrite(file.fileno(), pieces[number][start:start + 3000], number * size + start)

    path.touch()
    with concurrent.futures.ThreadPoolExecutor(count) as executor:
        list(executor.map(write, range(count)))
    assert path.read_bytes() == b"".join(pieces)


def test_threads_make_and_remove_files(box):
    def work(worker):
        for number in range(15):
            path = box.path / f"{worker}.{number}"
            path.write_bytes(f"{worker} {number}".encode())
            assert path.read_bytes() == f"{worker} {number}".encode()
            os.rename(path, box.path / f"{worker}.{number}.done")
            if number % 2:
                (box.path / f"{worker}.{number}.done").unlink()

    with concurrent.futures.ThreadPoolExecutor(6) as executor:
        list(executor.map(work, range(6)))
    assert set(os.listdir(box.path)) == {f"{worker}.{number}.done" for worker in range(6) for number in range(0, 15, 2)}


def test_reader_follows_a_growing_file(box):
    path = box.path / "log"
    path.write_bytes(b"")
    follower = subprocess.Popen(["tail", "-n", "+1", "-f", "--pid", str(os.getpid()), "-s", "0.05", path], stdout=subprocess.PIPE)
    try:
        with open(path, "ab", buffering=0) as file:
            for number in range(5):
                file.write(f"line {number}\n".encode())
                assert follower.stdout.readline() == f"line {number}\n".encode()
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()
