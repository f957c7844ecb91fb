"""One request in twenty fails, at random and in every way: programs see nothing of it.

STORAGEFS_TEST_LOSSY_MIB more to write, STORAGEFS_TEST_SEED another seed.
"""

import os
import shutil

import pytest

from harness.figures import count, long_run
from harness.process import SOURCE, run
from harness.s3 import LONG

MIB = long_run("LOSSY_MIB", 4)
SEED = long_run("SEED", 1)
HARM = [{"status": 503, "body": "<Error><Code>SlowDown</Code></Error>"}, {"status": 500}, {"reset": -1}, {"drop_reply": True}, {"reset": 100}]
# One in a hundred for each way: together five of them.
RULES = [{"probability": 0.01, **harm} for harm in HARM]
GIT = ["git", "-c", "safe.directory=*", "-c", "gc.auto=0", "-c", "user.name=Test", "-c", "user.email=test@example.org"]


@pytest.fixture
def lossy(s3_case, ceph):
    made = s3_case(ceph, {"freshness": LONG, "timeout": "60s"}, folders=True, part_size="5M")
    made.settled()
    made.proxy.set_rules(*RULES)
    yield made
    made.proxy.set_rules()


def tell(case, part):
    requests, faults = case.proxy.stats()["total"]["count"], len(case.proxy.injected())
    assert faults, "no request has failed"
    count(part, requests=requests, faults=faults)


def test_fio_verifies_what_it_wrote(lossy, tmp_path):
    if not shutil.which("fio"):
        pytest.skip("fio is not installed")
    run("fio", "--name=random", f"--directory={lossy.path}", "--rw=randwrite", "--bs=16k", f"--size={MIB}M", "--verify=crc32c",
        "--do_verify=1", "--verify_fatal=1", "--ioengine=psync", "--fsync=16", f"--randseed={SEED}", "--numjobs=2", cwd=tmp_path, timeout=900)
    lossy.mount.remount()
    run("fio", "--name=random", f"--directory={lossy.path}", "--rw=randwrite", "--bs=16k", f"--size={MIB}M", "--verify=crc32c",
        "--verify_only=1", "--verify_fatal=1", "--ioengine=psync", f"--randseed={SEED}", "--numjobs=2", cwd=tmp_path, timeout=900)
    tell(lossy, "fio, 5 % of requests fail")
    lossy.proxy.set_rules()
    assert lossy.parked() == []


def test_a_clone_is_sound(lossy, tmp_path):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    origin = tmp_path / "origin"
    shutil.copytree(SOURCE / "src" / "base", origin / "base")
    for number, folder in enumerate(["scripts", "conf"]):
        shutil.copytree(SOURCE / folder, origin / folder)
        run(*GIT, "init", "-q", origin, env=environment)
        run(*GIT, "add", ".", cwd=origin, env=environment)
        run(*GIT, "commit", "-q", "-m", f"commit {number}", cwd=origin, env=environment)
    run(*GIT, "clone", "-q", "--no-local", origin, lossy.path / "clone", env=environment, timeout=900)
    run(*GIT, "fsck", "--strict", cwd=lossy.path / "clone", env=environment, timeout=300)
    assert run(*GIT, "status", "--porcelain", cwd=lossy.path / "clone", env=environment, timeout=300).stdout == ""
    lossy.mount.remount()
    run(*GIT, "fsck", "--strict", cwd=lossy.path / "clone", env=environment, timeout=300)
    tell(lossy, "git clone and fsck, 5 % of requests fail")
    lossy.proxy.set_rules()
    assert lossy.parked() == [] and lossy.unfinished() == []
