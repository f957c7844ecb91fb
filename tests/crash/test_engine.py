"""A distributed engine behind a storage: three OSDs, of which some are killed, stopped and restarted while programs work on a
mount. While the pool can serve, no program sees an error or a wrong byte; when it cannot, calls fail as documented after
their deadline; it heals without a new mount.

STORAGEFS_TEST_ENGINE_ROUNDS rounds instead of the usual number, STORAGEFS_TEST_SEED another seed.
"""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import threading

import pytest

from checking import read_object, same_in_mount, same_on_server, settle
from harness.figures import count, long_run
from harness.files import random_bytes
from harness.process import SERVERS, Errands, wait_until
from harness.s3 import LONG, errno_of, same_bytes
from harness.servers import Unavailable, own_server
from manifest import Manifest
from writers import Writers

ROUNDS = long_run("ENGINE_ROUNDS", 1)
SEED = long_run("SEED", 1)
OSDS = 3
PART = "5M"
MIB = 1 << 20

# Copies files in, compares them through the mount, copies the tree with rsync, and removes it again.
PROGRAMS = """
set -e
while [ ! -e "$3" ]; do
    rm -rf "$2/copy" "$2/rsync"
    cp -r "$1" "$2/copy"
    diff -r "$1" "$2/copy"
    ! command -v rsync >/dev/null || rsync -a "$1/" "$2/rsync/"
    diff -r "$1" "$2/${RSYNC:-copy}"
    echo turn
done
"""


class Programs:
    """A shell that works on a mount, over and over, until it is told to end."""

    def __init__(self, path, tmp_path):
        self.source, self.ending = tmp_path / "source", tmp_path / "ending"
        self.source.mkdir()
        for number in range(12):
            (self.source / f"file-{number}").write_bytes(random_bytes(number * 9000, number))
        (self.source / "large").write_bytes(random_bytes(7 * MIB))
        environment = {**os.environ, **({"RSYNC": "rsync"} if shutil.which("rsync") else {})}
        self.process = subprocess.Popen(["bash", "-c", PROGRAMS, "programs", self.source, path, self.ending], text=True, env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def end(self):
        """Fails unless every program has ended well; gives the number of turns."""
        self.ending.touch()
        said, _ = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, said
        return said.count("turn\n")


class Engine:
    """The cluster. Its OSDs are killed and restarted by a shell that has none of our files open."""

    def __init__(self, server, errands):
        self.server, self.errands = server, errands
        self.script = SERVERS / "ceph.sh"
        self.actions = 0

    def _osd(self, what, osd):
        self.errands.run(self.script, what, self.server.directory, osd)
        self.actions += 1

    def kill(self, osd):
        self._osd("kill-osd", osd)

    def restart(self, osd):
        self._osd("start-osd", osd)

    def freeze(self, osd):
        self.server.send_signal(f"osd.{osd}", signal.SIGSTOP)
        self.actions += 1

    def thaw(self, osd):
        self.server.send_signal(f"osd.{osd}", signal.SIGCONT)
        self.actions += 1

    def sees(self, count_up):
        self.errands.run("bash", "-c", f'for i in $(seq 600); do ceph -c "$1" osd stat | grep -q " {count_up} up" && exit 0; sleep 0.1; done; exit 1',
                         "sees", self.server.directory / "ceph.conf")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Three copies of everything; two must be there."""
    with contextlib.ExitStack() as ended:
        errands = ended.enter_context(Errands())  # before any file is open
        try:
            server = ended.enter_context(own_server("ceph", tmp_path_factory.mktemp("s"), OSDS=str(OSDS), STORE="bluestore",
                                                    POOL_SIZE="3", MIN_SIZE="2"))
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield Engine(server, errands)


def work_through(turns, writers, change):
    """Waits until the writers have done more, then changes the cluster: each state of it meets work."""
    before = writers.operations
    wait_until(lambda: writers.operations >= before + turns or writers.failures, 120, "work on the mount")
    change()


def test_programs_do_not_see_that_osds_die(s3_case, engine, tmp_path):
    case = s3_case(engine.server, {"freshness": LONG, "timeout": "2m"}, folders=True, part_size=PART)
    manifest, numbers = Manifest(), random.Random(f"{SEED}/engine")
    for name in ("threads", "programs"):
        (case.path / name).mkdir()
    writers = Writers(case.path / "threads", manifest, f"{SEED}/engine", threads=3, folders=True, ends=())
    writers.start()
    programs = Programs(case.path / "programs", tmp_path)
    try:
        for _ in range(ROUNDS):
            dead, frozen = numbers.sample(range(OSDS), 2)
            work_through(5, writers, lambda: engine.kill(dead))
            work_through(5, writers, lambda: engine.restart(dead))
            work_through(5, writers, lambda: engine.freeze(frozen))
            engine.sees(OSDS - 1)
            work_through(5, writers, lambda: engine.thaw(frozen))
            engine.sees(OSDS)
    finally:
        writers.ending.set()
        turns = programs.end()
        writers.join(240)
    assert not writers.failures, writers.failures
    assert not manifest.doubts and turns > 0
    settle(case)
    same_on_server(case, manifest, f"seed {SEED}", "threads/")
    same_in_mount(case, manifest, f"seed {SEED}", "threads/")
    assert case.unfinished() == [] and case.parked() == []
    count("OSDs killed, stopped, restarted", actions=engine.actions, operations=writers.operations, turns_of_programs=turns)


def test_too_few_osds_are_an_error_in_time(s3_case, engine):
    """With one copy of three the pool takes and gives nothing: no answer at all, which is ETIMEDOUT."""
    case = s3_case(engine.server, {"freshness": LONG, "timeout": "3s"}, folders=True, part_size=PART)
    body, new = random_bytes(MIB, 1), random_bytes(MIB, 2)
    (case.path / "doc").write_bytes(body)
    case.mount.remount()
    assert "doc" in case.settled()
    victims = random.Random(f"{SEED}/few").sample(range(OSDS), 2)
    for osd in victims:
        engine.kill(osd)
    engine.sees(1)
    assert errno_of((case.path / "doc").read_bytes) == errno.ETIMEDOUT
    assert errno_of(lambda: (case.path / "new").write_bytes(new)) == errno.ETIMEDOUT
    case.mount.command("status", case.mount.point, timeout=20)
    os.statvfs(case.path)
    case.refresh()
    assert errno_of(lambda: os.listdir(case.path)) == errno.ETIMEDOUT
    for osd in victims:
        engine.restart(osd)
    wait_until(lambda: (case.path / "doc").read_bytes() == body, 90, "the storage to heal")
    for upload in case.parked():
        with open(upload["recovery_path"], "rb") as kept:
            same_bytes(kept.read(), new)
    # The gateway may have gone on with what nobody waits for any more.
    assert read_object(case, "new") in (None, new)
    (case.path / "after").write_bytes(new)
    same_bytes(case.get("after"), new)
    assert case.state()["state"] == "up"
