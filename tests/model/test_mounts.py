"""Random operations through the kernel against plain files: every kind of storage in one mount, in both layouts and both
durabilities, with and without disk cache and passthrough, several threads in each, beside another client of the service.

What differs is made short and printed. STORAGEFS_TEST_SEED gives other operations, STORAGEFS_TEST_OPERATIONS that many times
as many.
"""

import concurrent.futures
import itertools
import threading
import traceback

import pytest

from harness.figures import count, long_run
from harness.mount import Mount
from operations import make_operations, shrink
from places import LocalPlace, Place, S3Place
from sharing import Sharing
from twins import Twin

SEED = long_run("SEED", 1)
TIMES = long_run("OPERATIONS", 1)
THREADS = 2
# By driver: operations of each thread on its own files, and on shared ones.
SIZES = {"memory": (200, 60), "local": (200, 60), "ceph": (80, 48), "swift": (30, 18)}
PATIENCE_S = 180 + 60 * TIMES
OPTIONS = {"plain": {}, "cached": {"cache_size": "8M"}, "served": {"passthrough": False},
           "cached-served": {"cache_size": "8M", "passthrough": False}}


class Run:
    """A sequence of operations in fresh directories of a place."""

    numbers = itertools.count(1)

    def __init__(self, place, plain, operations):
        self.place, self.operations = place, operations
        self.word = f"r{next(self.numbers)}"
        separator = "/" if place.folders else "-"
        self.prefix = self.word + separator
        self.twins = {thread: Twin(place, f"{self.word}t{thread}{separator}", plain / self.word / str(thread))
                      for thread in sorted({operation.thread for operation in operations})}
        self.failed = threading.Event()

    def _run_thread(self, thread):
        """Gives what differs, or None."""
        operation = None
        twin = self.twins[thread]
        try:
            for operation in self.operations:
                if self.failed.is_set():
                    break
                if operation.thread == thread:
                    twin.apply(operation)
            operation = "the end"
            twin.close_all()
        except Exception as difference:
            self.failed.set()
            if not isinstance(difference, (AssertionError, OSError)):
                traceback.print_exc()
            return f"{difference!r} at {operation}"
        finally:
            _close_hard(twin)
        return None

    def run(self):
        """Gives what differs, or None."""
        with concurrent.futures.ThreadPoolExecutor(len(self.twins) or 1) as pool:
            return next(filter(None, pool.map(self._run_thread, self.twins, timeout=PATIENCE_S)), None)

    def check(self, with_store=False):
        """What the mount, and the store, have now; gives what differs, or None."""
        try:
            for twin in self.twins.values():
                if with_store:
                    self.place.wait_stored(twin.prefix)
                    if self.place.stored(twin.prefix) is not None:
                        twin.check_store()
                twin.check_all()
        except (AssertionError, OSError) as difference:
            return f"{difference!r} at the check {'of the store' if with_store else 'of the mount'}"
        return None


def _close_hard(twin):
    """After a difference; no file may stay open."""
    for number in range(len(twin.slots)):
        try:
            twin.close_slot(number)
        except (AssertionError, OSError):
            pass


def attempt(place, plain, operations):
    """All of it once, on its own."""
    run = Run(place, plain, operations)
    difference = run.run() or run.check(with_store=True)
    if not difference:
        place.refresh()
        difference = run.check()
    return difference


def tell(place, plain, run, difference):
    """The message of a failure: what differs, and a short sequence that leads to it."""
    again = attempt(place, plain, run.operations)
    if not again:
        return f"{place.storage}, seed {SEED}: {difference}\n(not when it was run again, alone)"
    operations, shortest = shrink(lambda rest: attempt(place, plain, rest), run.operations, again)
    lines = "\n  ".join(map(str, operations))
    return f"{place.storage}, seed {SEED}: {difference}\nalone: {shortest}\nthe shortest sequence found:\n  {lines}"


def _make_places(base, servers):
    for folders in (False, True):
        layout = "folders" if folders else "flat"
        yield LocalPlace(f"local-{layout}", base / layout, folders)
        for journal in (False, True):
            word = f"{layout}-{'journal' if journal else 'storage'}"
            yield Place(f"memory-{word}", "box", folders, journal)
            for name, (server, client) in servers.items():
                yield S3Place(f"{name}-{word}", server, client, folders, journal)


def _settings(place):
    keys = {"folders": place.folders}
    if isinstance(place, LocalPlace):
        return {"driver": "local", "path": place.base, **keys}
    keys["durability"] = "journal" if place.journal else "storage"
    if isinstance(place, S3Place):
        return place.server.settings(containers=place.container, part_size="5M", **keys)
    return {"driver": "memory", "create_containers": place.container, "minimum_part": "16K", "part_size": "64K", **keys}


@pytest.fixture(scope="module")
def places(ceph, swift_s3, tmp_path_factory):
    servers = {server.name: (server, server.client(max_pool_connections=32)) for server in (ceph, swift_s3)}
    made = []
    try:
        made.extend(_make_places(tmp_path_factory.mktemp("base"), servers))
        yield made
    finally:
        for place in made:
            if isinstance(place, S3Place):
                place.remove()


def _operations(place, options):
    own, shared = SIZES[place.storage.partition("-")[0]]
    return make_operations(f"{SEED}/{place.storage}/{options}", THREADS, own * TIMES, place.folders), shared * TIMES


def _start(places, plain, options):
    started = []
    for place in places:
        operations, rounds = _operations(place, options)
        run = Run(place, plain / place.storage, operations)
        sharing = Sharing(place, f"{run.word}shared{'/' if place.folders else '-'}", THREADS, rounds, f"{SEED}/{options}")
        started.append((place, run, sharing))
    for _, _, sharing in started:
        sharing.start()
    return started


def _check(started, plain):
    """All that differs, as texts."""
    for place, run, sharing in started:
        difference = run.check(with_store=True)
        if not difference:
            place.refresh()
            difference = run.check()
        if difference:
            yield tell(place, plain / place.storage, run, difference)
        try:
            place.wait_stored(sharing.prefix)
            sharing.check_end()
        except (AssertionError, OSError) as difference:
            yield f"{place.storage}, seed {SEED}, shared names: {difference!r}"
        if left := place.unfinished():
            yield f"{place.storage}: uploads that nobody has ended: {left}"


@pytest.mark.parametrize("options", OPTIONS)
def test_no_difference(storagefs_binary, places, tmp_path, options):
    plain = tmp_path / "plain"
    mount = Mount(storagefs_binary, tmp_path / "mount", {place.storage: _settings(place) for place in places}, OPTIONS[options])
    for place in places:
        place.mount = mount
    try:
        mount.start()
        started = _start(places, plain, options)
        with concurrent.futures.ThreadPoolExecutor(len(started)) as pool:
            differences = list(pool.map(lambda one: one[1].run(), started))
        for _, _, sharing in started:
            sharing.join(PATIENCE_S)
        failures = [tell(place, plain / place.storage, run, difference)
                    for (place, run, _), difference in zip(started, differences) if difference]
        failures += [] if failures else _check(started, plain)
        if failures:
            pytest.fail("\n".join(failures) + f"\n--- log\n{mount.log_tail(30)}")
        mount.remount()
        lasting = [(place, run) for place, run, _ in started if place.has_foreigner]
        failures = [f"{place.storage}, seed {SEED}, mounted again: {difference}" for place, run in lasting if (difference := run.check())]
        assert not failures, "\n".join(failures)
        _count(started)
    finally:
        if mount.is_running() and (mount.process is None or mount.process.poll() is None):
            mount.close()


def _count(started):
    own = sum(twin.done for _, run, _ in started for twin in run.twins.values())
    shared = sum(sharing.done for _, _, sharing in started)
    assert own > 500 and shared > 200, "hardly anything was done"
    count("random operations, mounted", operations=own, shared=shared, foreign_writes=sum(sharing.foreign_writes for _, _, sharing in started))
