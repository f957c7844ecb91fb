"""Random operations on files, compared after each with the same operations on plain files: no difference, ever.

Two names with several handles each; sizes around the edges of pages, blocks and parts. A failure names the seed and the
operations that led to it; STORAGEFS_TEST_SEED runs one seed, STORAGEFS_TEST_SEEDS that many.
"""

import mmap
import os
import random

import pytest

from harness.shared import CONTENT

pytestmark = CONTENT

# kind: (operations of each seed, largest file)
SIZES = {"memory": (4000, 900_000), "local": (4000, 900_000), "local-served": (4000, 900_000), "ceph": (1000, 900_000),
         "ceph-folders": (1000, 900_000), "ceph-cached": (1000, 900_000), "ceph-journal": (1000, 900_000),
         "swift": (400, 900_000), "moto": (500, 900_000)}
LARGE = {"memory": (250, 3_000_000), "ceph": (120, 17_000_000), "ceph-cached": (120, 17_000_000), "ceph-journal": (120, 17_000_000),
         "moto": (100, 17_000_000)}
EDGES = [0, 1, 4096, 65536, 131072, 262144, 524288]
HANDLES = 3


class Difference(AssertionError):
    pass


class Pair:
    """The same operations on a file of the mount and on a plain one; every result is compared."""

    def __init__(self, numbers, mounted, plain, limit):
        self.numbers, self.limit = numbers, limit
        self.roots = (mounted, plain)
        self.handles = []  # (name, descriptor in the mount, plain descriptor, flags)
        self.log = None

    def say(self, *words):
        print(*words, file=self.log)

    def show(self, handle):
        return f"{handle[1]} ({handle[0]}{', appends' if handle[3] & os.O_APPEND else ''})"

    def both(self, call):
        """call(root or descriptor index) on both sides; equal results, or equal errors."""
        results = []
        for side in (0, 1):
            try:
                results.append(call(side))
            except OSError as error:
                results.append(("error", error.errno))
        if results[0] != results[1]:
            raise Difference(f"mount {describe(results[0])}, plain {describe(results[1])}, first at {first_difference(*results)}")
        return results[1]

    def path(self, side, name):
        return self.roots[side] / name

    def name(self):
        return self.numbers.choice(["one", "two"])

    def offset(self, most=None):
        most = self.limit if most is None else most
        if self.numbers.random() < 0.5:
            return min(most, max(0, self.numbers.choice(EDGES) * self.numbers.randint(1, 4) + self.numbers.randint(-3, 3)))
        return self.numbers.randint(0, most)

    def data(self):
        size = self.numbers.choice([1, 2, 100, 4096, 5000, 70000, self.numbers.randint(1, self.limit // 4)])
        return self.numbers.randbytes(size)

    def handle(self, writable):
        wanted = [handle for handle in self.handles if not writable or handle[3] & (os.O_WRONLY | os.O_RDWR)]
        wanted = [handle for handle in wanted if writable or not handle[3] & os.O_WRONLY]
        return self.numbers.choice(wanted) if wanted else None

    # --- operations

    def open(self):
        if len(self.handles) >= HANDLES * 2:
            self.close()
        name = self.name()
        flags = self.numbers.choice([os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_TRUNC])
        flags |= os.O_CREAT if self.numbers.random() < 0.7 else 0
        self.say("open", name, oct(flags))
        descriptors = [None, None]

        def call(side):
            descriptors[side] = os.open(self.path(side, name), flags, 0o644)
            return "opened"

        if self.both(call) == "opened":
            self.handles.append((name, *descriptors, flags))

    def close(self):
        if self.handles:
            handle = self.handles.pop(self.numbers.randrange(len(self.handles)))
            self.say("close", self.show(handle))
            self.both(lambda side: os.close(handle[1 + side]))

    def write(self):
        if handle := self.handle(True):
            data, offset = self.data(), self.offset()
            self.say("write", self.show(handle), offset, len(data))
            if handle[3] & os.O_APPEND and os.fstat(handle[2]).st_size + len(data) > self.limit * 2:
                return
            self.both(lambda side: os.pwrite(handle[1 + side], data, offset))

    def sequential(self):
        if handle := self.handle(True):
            data, offset = self.data() * 3, self.offset(self.limit // 2)
            data = data[:self.limit // 2]
            self.say("sequential", self.show(handle), offset, len(data))
            if handle[3] & os.O_APPEND:
                return
            for start in range(0, len(data), 30011):
                piece = data[start:start + 30011]
                self.both(lambda side, piece=piece, start=start: os.pwrite(handle[1 + side], piece, offset + start))

    def read(self):
        if handle := self.handle(False):
            offset, size = self.offset(), self.numbers.choice([1, 4096, 5000, 131072, self.limit])
            self.say("read", self.show(handle), offset, size)
            self.both(lambda side: os.pread(handle[1 + side], size, offset))

    def truncate(self):
        size = self.offset()
        if self.numbers.random() < 0.5 and (handle := self.handle(True)):
            self.say("ftruncate", self.show(handle), size)
            self.both(lambda side: os.ftruncate(handle[1 + side], size))
        else:
            name = self.name()
            self.say("truncate", name, size)
            self.both(lambda side: os.truncate(self.path(side, name), size))

    def map(self):
        handle = self.handle(True)
        if not handle or handle[3] & os.O_WRONLY or not (size := os.fstat(handle[2]).st_size):
            return
        start = self.numbers.randrange(size)
        data = self.numbers.randbytes(min(size - start, self.numbers.choice([1, 10, 5000])))
        flush = self.numbers.random() < 0.5
        self.say("map", self.show(handle), start, len(data), "flush" if flush else "")

        def call(side):
            with mmap.mmap(handle[1 + side], 0) as mapped:
                mapped[start:start + len(data)] = data
                if flush:
                    mapped.flush()
                return bytes(mapped[max(0, start - 100):start + len(data) + 100])

        self.both(call)

    def sync(self):
        if handle := self.handle(True):
            self.say("sync", self.show(handle))
            self.both(lambda side: os.fsync(handle[1 + side]))

    def allocate(self):
        if handle := self.handle(True):
            offset, size = self.offset(), self.numbers.randint(1, 5000)
            self.say("allocate", self.show(handle), offset, size)
            self.both(lambda side: os.posix_fallocate(handle[1 + side], offset, size))

    def copy_range(self):
        source, target = self.handle(False), self.handle(True)
        if not source or not target or target[3] & os.O_APPEND:
            return
        size = os.fstat(source[2]).st_size
        start, to = self.offset(max(0, size)), self.offset(self.limit // 2)
        length = min(max(0, size - start), self.numbers.choice([1, 4096, 100000, self.limit]))
        if source[0] == target[0] and start < to + length and to < start + length:
            return  # overlapping ranges of one file are refused by the kernel
        self.say("copy_range", self.show(source), start, self.show(target), to, length)

        def call(side):
            done = 0
            while done < length and (moved := os.copy_file_range(source[1 + side], target[1 + side], length - done, start + done, to + done)):
                done += moved
            return done

        self.both(call)

    def rename(self):
        one, two = self.numbers.sample(["one", "two"], 2)
        self.say("rename", one, two)
        if self.both(lambda side: os.rename(self.path(side, one), self.path(side, two))) is None:
            self.handles = [(two if name == one else "gone", *rest) for name, *rest in self.handles]

    def unlink(self):
        name = self.name()
        self.say("unlink", name)
        self.both(lambda side: os.unlink(self.path(side, name)))
        self.handles = [("gone" if handle[0] == name else handle[0], *handle[1:]) for handle in self.handles]

    def stat(self):
        name = self.name()
        self.say("stat", name)
        self.both(lambda side: os.stat(self.path(side, name)).st_size)
        self.both(lambda side: sorted(os.listdir(self.roots[side])))
        for handle in self.handles:
            self.both(lambda side, handle=handle: os.fstat(handle[1 + side]).st_size)

    def check(self):
        name = self.name()
        self.say("check", name)
        self.both(lambda side: self.path(side, name).read_bytes())

    def step(self):
        operations = {self.open: 12, self.close: 8, self.write: 22, self.sequential: 3, self.read: 22, self.truncate: 6, self.map: 6, self.sync: 3,
                      self.allocate: 2, self.copy_range: 5, self.rename: 2, self.unlink: 1, self.stat: 5, self.check: 3}
        self.numbers.choices(list(operations), operations.values())[0]()

    def finish(self):
        while self.handles:
            self.close()
        for name in ("one", "two"):
            self.both(lambda side, name=name: self.path(side, name).read_bytes())


def describe(result):
    return f"{len(result)} bytes" if isinstance(result, bytes) else repr(result)


def first_difference(left, right):
    """None when they are equal, else where and what."""
    if left == right or not isinstance(left, bytes) or not isinstance(right, bytes):
        return None
    at = next((at for at in range(min(len(left), len(right))) if left[at] != right[at]), min(len(left), len(right)))
    return f"{at}: {left[at:at + 16]!r} and {right[at:at + 16]!r}"


def run_operations(pair, count, log):
    """In a process of its own, because a mapped page that cannot be read is a SIGBUS."""
    pair.log = log.open("w", buffering=1)
    try:
        for _ in range(count):
            pair.step()
        pair.finish()
    except Exception as difference:
        pair.say(f"differs: {difference!r}")
        os._exit(1)
    os._exit(0)


def run_random(box, plain, seed, count, limit):
    plain.mkdir()
    pair = Pair(random.Random(seed), box.path, plain, limit)
    log = plain.parent / "operations"
    child = os.fork()
    if child == 0:
        run_operations(pair, count, log)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        lines = log.read_text().splitlines()
        last = "\n".join(lines[-60:])
        raise AssertionError(f"{box.kind}, seed {seed}, operation {len(lines)}, " + (f"signal {-code}" if code < 0 else lines[-1]) + f"\n{last}")
    for again in (box.refresh, box.mount.remount if box.is_lasting else box.refresh):
        again()
        for name in os.listdir(plain):
            assert first_difference((box.path / name).read_bytes(), (plain / name).read_bytes()) is None, f"{box.kind}, seed {seed}, {name}"
        assert sorted(os.listdir(box.path)) == sorted(os.listdir(plain))


def seeds():
    if seed := os.environ.get("STORAGEFS_TEST_SEED"):
        return [int(seed)]
    return range(int(os.environ.get("STORAGEFS_TEST_SEEDS", 2)))


@pytest.mark.parametrize("seed", seeds())
def test_small_files(box, tmp_path, seed):
    count, limit = SIZES[box.kind]
    run_random(box, tmp_path / "plain", seed, count, limit)


@pytest.mark.parametrize("seed", seeds())
def test_files_of_several_parts(box, tmp_path, seed):
    if box.kind not in LARGE:
        pytest.skip("the others have no parts, or no others than these")
    count, limit = LARGE[box.kind]
    run_random(box, tmp_path / "plain", 1000 + seed, count, limit)


