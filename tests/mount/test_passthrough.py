"""Files of local storages that the kernel reads and writes itself (passthrough), and the same files served by the daemon:
both behave as plain files of a directory do."""

import contextlib
import errno
import mmap
import os
import shutil
import subprocess
import threading

import pytest

from harness.files import fails_with, random_bytes
from harness.process import run, wait_until

MIB = 1 << 20


@pytest.fixture(params=["passthrough", "served"])
def both(request, storage_case, tmp_path):
    """A local container, passed through or not, and a plain directory."""
    case = storage_case("local", {"passthrough": request.param == "passthrough"}, folders=True)
    case.is_on = request.param == "passthrough"
    if case.is_on and not fast_paths(case)["passthrough"]:
        pytest.skip(f"no passthrough here: {fast_paths(case)['passthrough_off_because']}")
    case.base = tmp_path / "base" / case.container
    case.plain = tmp_path / "plain"
    case.plain.mkdir()
    yield case
    # What was opened has been passed through, or not: a test of the one thing must not have tried the other.
    paths = fast_paths(case)
    assert (paths["passthrough_opens"] > 0, paths["passthrough_refusals"]) == (case.is_on, 0)


def fast_paths(case):
    return case.mount.status()["fast_paths"]


def same(case, operations):
    """operations(directory) gives equal results in the mount and in a plain directory."""
    assert operations(case.path) == operations(case.plain)


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_bytes_do_not_go_through_the_daemon(both):
    def moved():
        with open(f"/proc/{both.mount.pid}/io", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(("rchar", "wchar")))

    data = random_bytes(8 * MIB)
    start = moved()
    (both.path / "file").write_bytes(data)
    with open(both.path / "file", "r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert file.read(8 * MIB) == data
        assert mapped[:] == data
    assert (both.base / "file").read_bytes() == data
    if both.is_on:
        assert moved() - start < MIB
    else:
        assert moved() - start > 16 * MIB


def test_a_write_is_one_request(both):
    """The kernel does not ask for security.capability before each of them."""
    def calls():
        with open(f"/proc/{both.mount.pid}/io", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("syscr"))

    with open(both.path / "file", "wb", buffering=0) as file:
        file.write(bytes(4096))
        start = calls()
        for number in range(200):
            file.write(bytes([number]) * 4096)
        count = calls() - start
    assert count < 50 if both.is_on else 200 <= count < 250, count


def test_size_and_times_follow_the_writes(both):
    def operations(directory):
        seen, path = [], directory / "file"
        with opened(path, os.O_RDWR | os.O_CREAT) as file:
            os.utime(path, ns=(1, 1))

            def look(change):
                change()
                status, named = os.fstat(file), os.stat(path)
                assert (status.st_mtime_ns, status.st_size) == (named.st_mtime_ns, named.st_size)
                seen.append((status.st_size, status.st_mtime_ns == 1, os.lseek(file, 0, os.SEEK_END)))
                os.utime(path, ns=(1, 1))

            look(lambda: None)
            look(lambda: os.pwrite(file, b"x" * 5000, 0))
            look(lambda: os.pwrite(file, b"y", 0))
            look(lambda: os.pwrite(file, b"z", 100000))
            look(lambda: os.ftruncate(file, 20000))
            look(lambda: os.truncate(path, 30000))
            look(lambda: os.posix_fallocate(file, 0, 40000))
            look(lambda: os.pwritev(file, [b"more"], 0, os.RWF_APPEND))
        seen.append(os.stat(path).st_size)
        return seen

    same(both, operations)


def test_times_of_mapped_pages(both):
    path = both.path / "file"
    path.write_bytes(bytes(8192))
    os.utime(path, ns=(1, 1))
    assert path.stat().st_mtime_ns == 1
    with opened(path, os.O_RDWR) as file, mmap.mmap(file, 0) as mapped:
        assert os.fstat(file).st_mtime_ns == 1
        assert os.listdir(both.path) == ["file"]  # READDIRPLUS brings attributes, too
        mapped[0] = 1
        mapped.flush()
        assert os.fstat(file).st_mtime_ns > 1 and path.stat().st_mtime_ns > 1
    assert (both.base / "file").read_bytes()[0] == 1 and path.stat().st_mtime_ns == (both.base / "file").stat().st_mtime_ns


def test_attributes_after_the_last_close(both):
    path, there = both.path / "file", both.base / "file"
    for number in range(20):
        with open(path, "ab", buffering=0) as file:
            assert path.stat().st_size == number * 5000
            file.write(bytes(5000))
        status, wanted = path.stat(), there.stat()
        assert (status.st_size, status.st_mtime_ns, status.st_blocks) == (wanted.st_size, wanted.st_mtime_ns, wanted.st_blocks)


def test_opens_of_every_mode_at_once(both):
    def operations(directory):
        seen, path = [], directory / "file"
        path.write_bytes(b"0123456789")
        flags = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_NOATIME)
        with contextlib.ExitStack() as stack:
            reader, writer, both_ways, appender, only, quiet = [stack.enter_context(opened(path, one)) for one in flags]
            os.pwrite(writer, b"w", 0)
            os.pwrite(both_ways, b"b", 1)
            os.write(appender, b"a")
            os.write(only, b"o")
            os.write(appender, b"a")
            seen += [os.pread(one, 100, 0) for one in (reader, both_ways, appender, quiet)]
            for one, call in ((reader, lambda: os.write(reader, b"x")), (writer, lambda: os.read(writer, 1))):
                with pytest.raises(OSError) as caught:
                    call()
                seen.append(caught.value.errno)
            with opened(path, os.O_RDWR | os.O_TRUNC) as fresh:
                seen += [os.pread(reader, 100, 0), os.fstat(reader).st_size, path.stat().st_size]
                os.write(fresh, b"fresh")
                seen += [os.pread(reader, 100, 0), os.fstat(quiet).st_size]
            with opened(path, os.O_RDONLY | os.O_TRUNC):
                seen += [os.pread(reader, 100, 0), path.stat().st_size]
        return seen

    same(both, operations)


def test_direct_io_beside_cached(both):
    def operations(directory):
        path = directory / "file"
        block = mmap.mmap(-1, 8192)
        block[:] = random_bytes(8192)
        with opened(path, os.O_RDWR | os.O_CREAT) as cached, opened(path, os.O_RDWR | os.O_DIRECT) as direct:
            os.write(cached, b"c" * 4096)
            os.pwrite(direct, block, 4096)
            seen = [os.pread(cached, 20000, 0)]
            back = mmap.mmap(-1, 16384)
            seen += [os.preadv(direct, [back], 0), back[:12288], os.fstat(direct).st_size]
            os.pwrite(cached, b"end", 12288)
            seen += [os.pread(cached, 3, 12288), path.stat().st_size]
        return seen

    same(both, operations)


def test_mapped_by_two(both):
    def operations(directory):
        path = directory / "file"
        path.write_bytes(b"a" * 10000)
        with opened(path, os.O_RDWR) as one, opened(path, os.O_RDONLY) as two:
            with mmap.mmap(one, 0) as writable, mmap.mmap(two, 0, prot=mmap.PROT_READ) as readable, \
                    mmap.mmap(two, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as private:
                writable[5000:5005] = b"store"
                private[0:4] = b"mine"
                seen = [readable[4999:5006], os.pread(two, 7, 4999), readable[:4]]
                os.pwrite(one, b"write", 9000)
                seen += [readable[8999:9006], private[:4]]
        seen.append(path.read_bytes())
        return seen

    same(both, operations)


def test_a_mapping_outlives_its_descriptor(both):
    path = both.path / "file"
    path.write_bytes(b"a" * 8192)
    with opened(path, os.O_RDWR) as file:
        mapped = mmap.mmap(file, 0)
    with mapped:
        mapped[100:105] = b"later"
        mapped.flush()
        assert path.read_bytes()[100:105] == b"later"
        with open(path, "r+b", buffering=0) as file:
            file.write(b"head")
        assert mapped[:4] == b"head"
    assert (both.base / "file").read_bytes()[:105] == b"head" + b"a" * 96 + b"later"


def test_unlinked_and_renamed_while_open(both):
    def operations(directory):
        seen, path = [], directory / "file"
        with opened(path, os.O_RDWR | os.O_CREAT) as old:
            os.write(old, b"old")
            os.rename(path, directory / "moved")
            os.write(old, b"+moved")
            seen += [(directory / "moved").read_bytes(), path.exists()]
            (directory / "other").write_bytes(b"other")
            with opened(directory / "other", os.O_RDWR) as other:
                os.rename(directory / "moved", directory / "other")
                os.write(old, b"+over")
                os.write(other, b"O")
                seen += [(directory / "other").read_bytes(), os.pread(other, 100, 0), os.pread(old, 100, 0)]
                seen += [os.fstat(other).st_size, os.fstat(old).st_size]
            os.unlink(directory / "other")
            os.pwrite(old, b"gone", 100)
            os.ftruncate(old, 102)
            seen += [os.pread(old, 200, 0), os.fstat(old).st_size, sorted(os.listdir(directory))]
            with opened(f"/proc/self/fd/{old}", os.O_RDWR) as again:
                os.write(again, b"AGAIN")
                seen += [os.pread(old, 10, 0), os.fstat(again).st_size]
            (directory / "other").write_bytes(b"another")
            seen += [(directory / "other").read_bytes(), os.pread(old, 3, 0)]
        seen += [(directory / "other").read_bytes(), sorted(os.listdir(directory))]
        return seen

    same(both, operations)


def test_replaced_below_while_open(both):
    """Another program replaces the file in the directory itself: who has it open keeps it, who opens it now has the new one."""
    path, there = both.path / "file", both.base / "file"
    path.write_bytes(b"the old one")
    with open(path, "r+b", buffering=0) as old:
        for number in range(3):
            wanted = b"the new one, %d" % number
            (both.base / "temporary").write_bytes(wanted)
            os.rename(both.base / "temporary", there)
            with open(path, "r+b", buffering=0) as new:
                assert new.read() == wanted
                new.write(b"!")
            assert there.read_bytes() == wanted + b"!"
            assert os.pread(old.fileno(), 100, 0) == b"the old one"
        old.write(b"THE")
        assert os.pread(old.fileno(), 100, 0) == b"THE old one"
    assert path.read_bytes() == there.read_bytes() == b"the new one, 2!"


def test_changed_below_while_open(both):
    path, there = both.path / "file", both.base / "file"
    path.write_bytes(b"one")
    with open(path, "r+b", buffering=0) as file:
        there.write_bytes(b"two, longer")
        # Pages that the daemon served are kept for as long as `freshness` says.
        wait_until(lambda: os.pread(file.fileno(), 100, 0) == b"two, longer", 0 if both.is_on else 10)
        os.pwrite(file.fileno(), b"2", 0)
        assert there.read_bytes() == b"2wo, longer"


def test_holes_and_copies(both):
    def operations(directory):
        path = directory / "file"
        with opened(path, os.O_RDWR | os.O_CREAT) as file, opened(directory / "copy", os.O_RDWR | os.O_CREAT) as copy:
            os.pwrite(file, b"x" * 65536, 1 << 20)
            seen = [os.lseek(file, 0, os.SEEK_DATA), os.lseek(file, 1 << 20, os.SEEK_HOLE), os.pread(file, 10, 100)]
            seen.append(os.copy_file_range(file, copy, 65536, 1 << 20, 0))
            seen.append(os.sendfile(copy, file, 1 << 20, 1000))
            seen += [os.pread(copy, 100000, 0), os.fstat(copy).st_size]
        subprocess.run(["fallocate", "--punch-hole", "-o", "0", "-l", "4096", directory / "copy"], check=True)
        seen += [(directory / "copy").read_bytes()[:5000], (directory / "copy").stat().st_size]
        return seen

    same(both, operations)


def test_programs_run(both):
    shutil.copy("/bin/true", both.path / "program")
    for _ in range(3):
        assert run(both.path / "program").returncode == 0
    with open(both.path / "program", "rb"):
        assert run(both.base / "program").returncode == 0
    with subprocess.Popen([both.path / "program"]) as process:
        assert process.wait(30) == 0
    shutil.copy("/bin/sleep", both.path / "sleeper")
    with subprocess.Popen([both.path / "sleeper", "60"]) as process:
        fails_with(errno.ETXTBSY, os.open, both.path / "sleeper", os.O_WRONLY)
        process.kill()


def test_readers_do_not_keep_it_from_running_below(both):
    """Once no writer has it open, a program runs, whoever reads it."""
    with open(both.path / "program", "wb", buffering=0) as writer:
        reader = open(both.path / "program", "rb")
        with open("/bin/true", "rb") as source:
            writer.write(source.read())
        os.fchmod(writer.fileno(), 0o755)
    os.sync()
    with reader:
        for _ in range(100):  # RELEASE comes after close() has returned
            with contextlib.suppress(OSError):
                break_if = subprocess.run([both.base / "program"], check=False).returncode
                assert break_if == 0
                return
    raise AssertionError("the program is still busy")


def test_opened_and_closed_by_many(both):
    """Opens of every mode race with last closes: none fails, every byte is there."""
    path, failures = both.path / "file", []
    path.write_bytes(bytes(8 * 4096))

    def work(number):
        try:
            for turn in range(150):
                flags = (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_DIRECT)[turn % 4]
                with opened(path, flags & ~os.O_APPEND) as file:
                    if not flags & os.O_DIRECT:
                        os.pwrite(file, bytes([turn % 256]) * 4096, number * 4096)
                with opened(path, os.O_RDONLY) as file:
                    assert os.pread(file, 4096, number * 4096) in (bytes([turn % 256]) * 4096, bytes([(turn - 1) % 256]) * 4096)
                    os.fstat(file)
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert path.stat().st_size == 8 * 4096


def test_the_mount_ends_while_files_are_open(both):
    both.path.joinpath("file").write_bytes(b"x" * 100)
    with subprocess.Popen(["sh", "-c", 'exec 3<>"$1" && echo kept >&3 && echo open && exec sleep 60', "sh", both.path / "file"],
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        opens = fast_paths(both)["passthrough_opens"]
        both.mount.umount("signal")
        process.kill()
    assert (both.base / "file").read_bytes()[:5] == b"kept\n"
    both.mount.start()
    assert (both.path / "file").read_bytes()[:5] == b"kept\n"
    assert (opens > 0) == both.is_on


# --- where it cannot be had

def without_passthrough(made, path):
    """Everything works, and nothing is passed through."""
    (path / "file").write_bytes(b"content")
    with open(path / "file", "r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0:1] = b"C"
    assert (path / "file").read_bytes() == b"Content"
    assert made.status()["fast_paths"]["passthrough_opens"] == 0


@pytest.mark.parametrize("how", ["key", "option"])
def test_it_can_be_switched_off(mount, tmp_path, how):
    (tmp_path / "base" / "box").mkdir(parents=True)
    made = mount({"store": {"driver": "local", "path": tmp_path / "base"}}, {"passthrough": False} if how == "key" else None,
                 mount_options=["nopassthrough"] if how == "option" else [])
    paths = made.status()["fast_paths"]
    assert (paths["passthrough"], paths["passthrough_off_because"]) == (False, "it is switched off")
    assert "passthrough off: it is switched off" in made.command("status", made.point).stdout
    without_passthrough(made, made / "store/box")


def test_status_says_that_it_is_on(both):
    paths = fast_paths(both)
    (both.path / "file").write_bytes(b"x")
    assert paths["passthrough"] == both.is_on and (paths["passthrough_off_because"] is None) == both.is_on
    assert ("passthrough on" in both.mount.command("status", both.mount.point).stdout) == both.is_on
    opens = [line for line in both.mount.control("metrics").read_text().splitlines() if line.startswith("storagefs_passthrough_opens_total ")]
    assert (int(opens[0].split()[1]) > 0) == both.is_on


def test_a_stacked_file_system_is_served(mount, tmp_path):
    """The kernel passes nothing through to overlayfs, nor to a mount that passes through itself."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    if run("mount", "-t", "overlay", "-o", layers, "overlay", tmp_path / "merged", check=False).returncode:
        pytest.skip("no overlayfs here")
    try:
        (tmp_path / "merged" / "box").mkdir()
        made = mount({"store": {"driver": "local", "path": tmp_path / "merged"}, "plain": {"driver": "local", "path": tmp_path / "lower"}})
        if not made.status()["fast_paths"]["passthrough"]:
            pytest.skip("no passthrough here")
        without_passthrough(made, made / "store/box")
        assert made.status()["fast_paths"]["passthrough_refusals"] == 1
        (tmp_path / "lower" / "box").mkdir()
        (made / "plain/box/file").write_bytes(b"x")
        assert made.status()["fast_paths"]["passthrough_opens"] == 1
        above = mount({"store": {"driver": "local", "path": made / "plain"}})
        without_passthrough(above, above / "store/box")
        assert above.status()["fast_paths"]["passthrough_refusals"] == 1
        above.umount()
        made.umount()
    finally:
        run("umount", "-l", tmp_path / "merged")


def test_other_storages_beside_it(mount, tmp_path):
    (tmp_path / "base" / "box").mkdir(parents=True)
    made = mount({"store": {"driver": "local", "path": tmp_path / "base"}, "trial": {"driver": "memory", "create_containers": "box"}})
    data = random_bytes(MIB)
    for _ in range(3):
        (made / "store/box/file").write_bytes(data)
        shutil.copy(made / "store/box/file", made / "trial/box/file")
        assert (made / "trial/box/file").read_bytes() == data
        shutil.copy(made / "trial/box/file", made / "store/box/copy")
        assert (tmp_path / "base/box/copy").read_bytes() == data


# --- what the disk cache has

@pytest.mark.parametrize("read_only", [True, False])
def test_objects_that_the_disk_cache_has(s3_case, ceph, read_only):
    """Passed through where nobody can write to them: a writer's bytes would not be seen by who reads the cache's file."""
    case = s3_case(ceph, {"freshness": 0, "cache_size": "64M"}, read_only=read_only)
    if not fast_paths(case)["passthrough"]:
        pytest.skip("no passthrough here")
    data, other = random_bytes(3 * MIB + 1234), random_bytes(2 * MIB, seed=1)
    case.put("object", data)
    path = case.path / "object"
    assert path.read_bytes() == data
    wait_until(lambda: case.mount.status()["disk_cache"]["stored_bytes"] >= len(data), message="the cache to keep what was read")
    before = fast_paths(case)["passthrough_opens"]
    with open(path, "rb", buffering=0) as old, open(path, "rb", buffering=0) as again:
        assert fast_paths(case)["passthrough_opens"] - before == (2 if read_only else 0)
        assert old.read() == data and again.read() == data
        with mmap.mmap(again.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == data
        if not read_only:
            with open(path, "r+b", buffering=0) as writer:
                writer.write(b"written")
                assert os.pread(old.fileno(), 10, 0) == b"written" + data[7:10]
            return
        fails_with(errno.EROFS, os.open, path, os.O_RDWR)
        case.put("object", other)
        # Who has it open keeps its version; who opens it now has the new one, whatever the other one has open.
        assert path.read_bytes() == other
        assert os.pread(old.fileno(), len(data), 0) == data
        wait_until(lambda: case.mount.status()["disk_cache"]["stored_bytes"] >= len(data) + len(other), message="the other one")
        assert path.read_bytes() == other and path.stat().st_size == len(other)
        assert os.pread(again.fileno(), len(data), 0) == data
    assert path.read_bytes() == other
    assert fast_paths(case)["passthrough_opens"] - before >= 4
