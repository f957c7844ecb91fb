"""The workload table: what is measured, on what, and what is to be reached.

A session is one cold mount of one bucket on which some rows are measured in turn. A row's action does the work through
the mount and returns the figure in the row's unit; what it raises is a failure of that contestant at that row.
"""

import dataclasses
import os
import subprocess
import time
from typing import Callable, Optional

MIB = 1 << 20
LARGE, SMALL, TEN, HUNDRED, MILLION, OUT = "bench-large", "bench-small", "bench-ten", "bench-hundred", "bench-million", "bench-out"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much: bytes of the large object, files and reads. Titles of rows name them in braces."""

    large: int = 1 << 30
    small: int = 1000
    small_late: int = 200  # with latency
    random: int = 1000
    ten: int = 10_000
    hundred: int = 100_000
    million: int = 1_000_000

    def title(self, row):
        large = f"{self.large >> 30} GiB" if self.large >= 1 << 30 else f"{self.large >> 20} MiB"
        return row.title.format(**{**{name: f"{value:,}" for name, value in dataclasses.asdict(self).items()}, "large": large})


@dataclasses.dataclass(frozen=True)
class Target:
    """What storagefs is to reach: `ratio` times the best peer, or `value` itself; and a bound of bytes or requests."""

    ratio: Optional[float] = None
    value: Optional[float] = None
    most_bytes: Optional[int] = None
    most_requests: Optional[int] = None

    def text(self, row):
        sign = "≥" if row.better == "more" else "≤"
        words = [f"≥ {self.ratio:g}x" if self.ratio else f"{sign} {self.value:g} {row.unit}"]
        words += [f"≤ {self.most_bytes / 1e6:g} MB"] if self.most_bytes else []
        words += [f"≤ {self.most_requests} requests"] if self.most_requests else []
        return ", ".join(words)


@dataclasses.dataclass(frozen=True)
class Row:
    """title is for people; better is "more" or "less" of unit. With `memory` the daemon's peak is judged too, as a row."""

    name: str
    title: str
    unit: str
    action: Callable
    target: Optional[Target] = None
    better: str = "more"
    memory: Optional["Row"] = None

    @property
    def names(self):
        """The names of all rows that come of this one."""
        return (self.name, self.memory.name) if self.memory else (self.name,)


@dataclasses.dataclass(frozen=True)
class Session:
    """`against` are the labels that the first of `subjects` is compared with; empty: all peers. `limit`: "server" where the
    actions can be done by bare requests too, "disk" where a file beside the caches bounds them; measured to show how far off it is."""

    bucket: str
    rows: tuple
    latency: int = 0
    subjects: tuple = ("storagefs",)
    against: tuple = ()
    peers: bool = True
    limit: str = ""


# --- actions: c is a bench.Measurement

def read_file(c):
    result = c.workload("read", MIB, c.directory / "big")
    return result["bytes"] / 1e6 / result["seconds"]


def read_streams(c):
    result = c.workload("read", MIB, *(c.directory / f"q{i}" for i in range(4)))
    return result["bytes"] / 1e6 / result["seconds"]


def read_random(threads):
    def action(c):
        result = c.workload("random", 4096, c.sizes.random, threads, c.directory / "big")
        return result["done"] / result["seconds"]
    return action


def write_file(c):
    begin = time.monotonic()
    c.workload("write", MIB, c.sizes.large, c.directory / "new")
    c.wait_size("new", c.sizes.large)
    return c.sizes.large / 1e6 / (time.monotonic() - begin)


def create_files(threads, late=False):
    def action(c):
        count = c.sizes.small_late if late else c.sizes.small
        begin = time.monotonic()
        c.workload("create", 4096, count, threads, c.directory)
        c.wait_count(count)
        return count / (time.monotonic() - begin)
    return action


def read_files(threads, late=False):
    def action(c):
        result = c.workload("small", 4096, c.sizes.small_late if late else c.sizes.small, threads, c.directory)
        return result["done"] / result["seconds"]
    return action


def list_names(which, *options):
    def action(c):
        begin = time.monotonic()
        lines = c.run("ls", *options, c.directory).count(b"\n")
        seconds = time.monotonic() - begin
        if lines < getattr(c.sizes, which):
            raise RuntimeError(f"ls shows {lines} of {getattr(c.sizes, which)} names")
        return seconds
    return action


def walk(c):
    begin = time.monotonic()
    lines = c.run("find", c.directory, "-type", "f", "-size", "-1000k", "-printf", "%s\\n").count(b"\n")
    if lines != c.sizes.million:
        raise RuntimeError(f"find shows {lines} of {c.sizes.million} files")
    return time.monotonic() - begin


def copy_file(c):
    begin = time.monotonic()
    c.run("cp", c.directory / "big", c.directory / "copy")
    c.wait_size("copy", c.sizes.large)
    return c.sizes.large / 1e6 / (time.monotonic() - begin)


def rename_file(c):
    begin = time.monotonic()
    os.rename(c.directory / "copy", c.directory / "renamed")
    seconds = time.monotonic() - begin
    c.wait_size("renamed", c.sizes.large)
    return seconds * 1000


def idle(c):
    time.sleep(1)
    return 1.0


def local_write(c):
    result = c.workload("write", MIB, c.sizes.large, c.directory / "new")
    (c.directory / "new").unlink()
    return result["bytes"] / 1e6 / result["seconds"]


# --- the table

def bounded(value, **more):
    return Target(value=value, **more)


def times(ratio, **more):
    return Target(ratio=ratio, **more)


def memory(name, title, most=None):
    return Row(name, title, "MiB", None, bounded(most) if most else None, "less")


def rows_of_reading():
    yield Session(LARGE, (Row("read", "sequential read of {large}, one stream", "MB/s", read_file, times(1.6),
                              memory=memory("rss-read", "memory, one stream", 64)),
                          Row("reread", "the same {large} again, same mount", "MB/s", read_file, times(3))))
    yield Session(LARGE, (Row("read4", "sequential read, four streams, {large} together", "MB/s", read_streams, times(1.6)),), limit="server")
    yield Session(LARGE, (Row("random", "random 4 KiB reads", "IOPS", read_random(1), times(4, most_bytes=20_000_000)),),
                  limit="server")
    yield Session(LARGE, (Row("fill-cache", "sequential read into the disk cache", "MB/s", read_file),
                          Row("disk-cache", "read from the disk cache", "MB/s", lambda c: (c.drop_caches(), read_file(c))[1],
                              times(4))), subjects=("storagefs, cache",), limit="disk")
    for threads, target in ((1, times(3)), (16, times(2))):
        yield Session(SMALL, (Row(f"small{threads}", f"read {{small}} small files, {threads} thread{'s'[:threads - 1]}", "files/s",
                                  read_files(threads), target),), limit="server")


def rows_of_writing():
    yield Session(OUT, (Row("write", "write {large} until it is on the server", "MB/s", write_file, times(2)),), limit="server")
    yield Session(OUT, (Row("create1", "create {small} x 4 KiB until on the server, 1 thread", "files/s", create_files(1),
                            times(2.5, most_requests=1100)),), limit="server")
    yield Session(OUT, (Row("create16", "create {small} x 4 KiB until on the server, 16 threads", "files/s", create_files(16), times(4)),),
                  limit="server")
    yield Session(LARGE, (Row("copy", "cp {large} inside the mount until it is on the server", "MB/s", copy_file, times(50)),
                          Row("rename", "rename of a {large} object", "ms", rename_file, bounded(10), "less")))


def rows_of_listing():
    yield Session(TEN, (Row("ls-f", "ls -f of {ten} names", "s", list_names("ten", "-f"), bounded(0.15), "less"),))
    yield Session(TEN, (Row("ls-l", "ls -l of {ten} names", "s", list_names("ten", "-ln"), bounded(0.3), "less"),))
    yield Session(HUNDRED, (Row("ls-f-100k", "ls -f of {hundred} names", "s", list_names("hundred", "-f"), bounded(1), "less"),))
    yield Session(HUNDRED, (Row("ls-l-100k", "ls -l of {hundred} names", "s", list_names("hundred", "-ln"), bounded(2), "less",
                                memory("rss-names", "memory, {hundred} names known")),))


def rows_of_memory():
    yield Session(SMALL, (Row("idle", "mounted, then nothing", "s", idle, None, "less", memory("rss-idle", "memory, idle")),))
    yield Session(MILLION, (Row("ls-f-1m", "ls -f of {million} names", "s", list_names("million", "-f"), None, "less"),
                            Row("walk-1m", "find through {million} names", "s", walk, None, "less",
                                memory("rss-1m", "memory, {million} names listed and walked", 256))), peers=False)


def rows_of_latency(latency):
    def row(name, title, unit, action, target, better="more"):
        return Row(f"{name}@{latency}", title, unit, action, target if latency == 10 else None, better)
    for threads, target in ((1, bounded(90)), (16, bounded(1200))):
        yield Session(OUT, (row(f"create{threads}", f"create {{small_late}} x 4 KiB until on the server, {threads} thread{'s'[:threads - 1]}",
                                "files/s", create_files(threads, True), target),), latency, limit="server")
    for threads, target in ((1, bounded(400)), (16, bounded(1500))):
        yield Session(SMALL, (row(f"small{threads}", f"read {{small_late}} small files, {threads} thread{'s'[:threads - 1]}", "files/s",
                                  read_files(threads, True), target),), latency, limit="server")
    for threads, target in ((1, bounded(95, most_bytes=20_000_000)), (16, bounded(1400, most_bytes=20_000_000))):
        yield Session(LARGE, (row(f"random{threads}", f"random 4 KiB reads, {threads} thread{'s'[:threads - 1]}", "IOPS",
                                  read_random(threads), target),), latency, limit="server")
    yield Session(LARGE, (row("read", "sequential read of {large}, one stream", "MB/s", read_file, times(1.6)),), latency, limit="server")
    yield Session(TEN, (row("ls-f", "ls -f of {ten} names", "s", list_names("ten", "-f"), bounded(0.2), "less"),), latency)
    yield Session(TEN, (row("ls-l", "ls -l of {ten} names", "s", list_names("ten", "-ln"), bounded(0.3), "less"),), latency)


def rows_of_local():
    for suffix, title, subject, reference in (("", "passthrough", "local", "directory"),
                                              ("-daemon", "through the daemon", "local, no passthrough", "null filesystem")):
        yield Session(LARGE, (Row(f"local-read{suffix}", f"local storage, {title}: read", "MB/s", read_file, times(0.9)),
                              Row(f"local-write{suffix}", f"local storage, {title}: write", "MB/s", local_write, times(0.9))),
                      subjects=(subject,), against=(reference,))


def sessions(latencies):
    """Every session of the table, in the order in which they are measured."""
    if 0 in latencies:
        yield from rows_of_reading()
        yield from rows_of_writing()
        yield from rows_of_listing()
        yield from rows_of_memory()
    for latency in latencies:
        if latency > 0:
            yield from rows_of_latency(latency)
    if 0 in latencies:
        yield from rows_of_local()


def prepare(endpoint, bucket, sizes):
    """The objects of a bucket are there, without what an earlier session left."""
    if bucket == OUT:
        endpoint.clear(OUT)
    elif bucket == LARGE:
        for key in ("new", "copy", "renamed"):
            endpoint.delete(LARGE, key)
        endpoint.ensure(LARGE, "big", 1, sizes.large)
        for i in range(4):
            endpoint.ensure(LARGE, f"q{i}", 1, sizes.large // 4)
    else:
        count = {SMALL: max(sizes.small, sizes.small_late), TEN: sizes.ten, HUNDRED: sizes.hundred, MILLION: sizes.million}[bucket]
        endpoint.ensure(bucket, "f%06d", count, 4096 if bucket == SMALL else 64)


def command_output(words, limit):
    """Standard output of a command that must succeed within `limit` seconds."""
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"more than {limit} s") from None
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace").strip()[-300:] or f"exit code {done.returncode}")
    return done.stdout
