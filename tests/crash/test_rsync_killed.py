"""The daemon dies in the middle of `rsync -a` (durability = journal): every file that rsync has reported is in the storage
after the next mount, byte for byte. STORAGEFS_TEST_FILES files instead of the usual number."""

import os
import random
import shutil
import subprocess

import pytest

from checking import files_below, read_object, settle
from harness.figures import count, long_run
from harness.files import random_bytes
from harness.process import clear_mount, wait_until
from harness.s3 import LONG, same_bytes

FILES = long_run("FILES", 250)
SEED = long_run("SEED", 1)


def make_tree(root):
    for number in range(FILES):
        path = root / f"d{number % 11}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(number * 37 % 9000 if number % 100 else 6_000_000, number))


def test_what_rsync_has_reported_survives(s3_case, ceph, tmp_path):
    """With --remove-source-files rsync removes what it knows to be finished at the other side: that is its report."""
    if not shutil.which("rsync"):
        pytest.skip("rsync is not installed")
    kept, source = tmp_path / "kept", tmp_path / "source"
    make_tree(kept)
    shutil.copytree(kept, source)
    case = s3_case(ceph, {"freshness": LONG, "timeout": "20s"}, durability="journal", folders=True, part_size="5M")
    os.listdir(case.path)
    wanted = random.Random(SEED).randint(FILES // 10, FILES // 2)
    command = ["rsync", "-a", "--remove-source-files", f"{source}/", f"{case.path}/"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        wait_until(lambda: len(files_below(source)) <= FILES - wanted, 300, "files that rsync has finished")
        case.mount.kill(clear=False)
        program.wait(60)
    reported = files_below(kept) - files_below(source)
    assert wanted <= len(reported) < FILES, "the daemon did not die in the middle"
    clear_mount(case.mount.point)
    case.mount.start()
    for name in reported:
        same_bytes((case.path / name).read_bytes(), (kept / name).read_bytes())
    settle(case)
    for name in reported:
        same_bytes(read_object(case, name) or b"", (kept / name).read_bytes())
    count("daemon killed in rsync -a, durability = journal", kills=1, files_reported=len(reported))
