"""The daemon dies by SIGKILL while threads write, and is mounted again, over and over: what was acknowledged is there, byte
for byte; what was not is as before or as it was to be, and nothing of a rename is lost.

STORAGEFS_TEST_KILLS kills in each case instead of the usual number, STORAGEFS_TEST_SEED another seed.
"""

import os
import random
import time

import pytest

from harness.figures import count, long_run
from harness.process import clear_mount, wait_until
from harness.s3 import LONG
from checking import same_in_mount, same_on_server, settle
from manifest import Manifest
from writers import Writers

KILLS = long_run("KILLS", 6)
SEED = long_run("SEED", 1)
DURABILITIES = ["storage", "journal"]


def kill_while_writing(case, writers, numbers):
    """The dead mount point is cleared by the next mount itself, now and then."""
    writers.start()
    time.sleep(numbers.uniform(0.05, 1.2))
    writers.ending.set()
    case.mount.kill(clear=False)
    writers.join()
    assert not writers.failures, writers.failures
    if numbers.random() < 0.7:
        clear_mount(case.mount.point)


@pytest.mark.parametrize("folders", [False, True], ids=["flat", "folders"])
@pytest.mark.parametrize("durability", DURABILITIES)
def test_what_was_acknowledged_survives(s3_case, ceph, durability, folders):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "60s"}, durability=durability, folders=folders, part_size="5M")
    manifest, numbers = Manifest(), random.Random(f"{SEED}/{durability}/{folders}")
    writers = Writers(case.path, manifest, numbers.random(), folders=folders)
    os.listdir(case.path)
    for number in range(KILLS):
        kill_while_writing(case, writers, numbers)
        if durability == "storage":
            same_on_server(case, manifest, f"after kill {number}, seed {SEED}")
        case.mount.start()
        if numbers.random() < 0.2:
            case.mount.kill(clear=False)  # while it finds out what the last one left
            case.mount.start()
        same_in_mount(case, manifest, f"after kill {number}, seed {SEED}")
        manifest.grow_older()
    settle(case)
    same_on_server(case, manifest, "in the end")
    same_in_mount(case, manifest, "in the end")
    # Only an upload whose beginning was never answered has an id that no process knew.
    left = wait_until(lambda: {*case.unfinished()} <= manifest.ever_doubtful and [case.unfinished()], message="the abort of what was left")
    assert manifest.acknowledged > KILLS, "the writers have hardly written"
    count(f"daemon killed, durability = {durability}, {'folders' if folders else 'flat'}", kills=KILLS,
          acknowledged=manifest.acknowledged, operations=writers.operations, uploads_left=len(left[0]))
