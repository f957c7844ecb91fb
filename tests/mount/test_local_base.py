"""The base directory of a local storage may be missing, come, and be another one: seen by the mount as it is."""

import errno
import os
import shutil

import pytest

from harness.process import run, wait_until
from harness.s3 import errno_of


@pytest.fixture
def base(tmp_path):
    return tmp_path / "base"


@pytest.fixture
def case(mount, base, tmp_path):
    """`store` is at `base`; `other` beside it is always there."""
    (tmp_path / "other" / "box").mkdir(parents=True)

    def make(there):
        if there:
            (base / "box").mkdir(parents=True)
            (base / "box" / "note").write_text("first")
        return mount({"store": {"driver": "local", "path": base}, "other": {"driver": "local", "path": tmp_path / "other"}})

    return make


def state_of(mount, name="store"):
    return next(storage for storage in mount.status()["storages"] if storage["name"] == name)


def test_missing_at_mount(case, base):
    mounted = case(False)
    store = mounted.point / "store"
    assert os.listdir(mounted.point / "other") == ["box"]
    assert {"store", "other"} <= set(os.listdir(mounted.point))
    assert state_of(mounted)["state"] == "down" and str(base) in state_of(mounted)["last_error"]
    for action in (lambda: os.listdir(store), lambda: os.stat(store / "box"), lambda: os.mkdir(store / "made"),
                   lambda: (store / "box" / "x").write_text("x")):
        assert errno_of(action) == errno.EIO
    assert run(mounted.binary, "check", "-c", mounted.configuration_file, check=False, env=mounted.environment).returncode != 0
    (base / "box").mkdir(parents=True)
    wait_until(lambda: os.listdir(store) == ["box"], 3, "the storage to heal")
    (store / "box" / "x").write_text("x")
    assert (base / "box" / "x").read_text() == "x" and state_of(mounted)["state"] == "up"


def test_status_alone_finds_it(case, base):
    mounted = case(False)
    assert state_of(mounted)["state"] == "down"
    (base / "box").mkdir(parents=True)
    wait_until(lambda: state_of(mounted)["state"] == "up", 5, "the storage to be up")


def test_remounted_after_it_came(case, base):
    """What was noted of a place that was missing is the place that it is."""
    mounted = case(False)
    (base / "box").mkdir(parents=True)
    mounted.remount()
    assert os.listdir(mounted.point / "store") == ["box"]


def test_a_file_is_no_base(mount, base):
    base.write_text("no directory")
    refused = mount({"store": {"driver": "local", "path": base}}, start=False)
    done = run(refused.binary, "mount", "-c", refused.configuration_file, refused.point, check=False, env=refused.environment)
    assert done.returncode != 0 and "storagefs.conf:" in done.stderr


def test_moved_away_and_made_anew(case, base):
    mounted = case(True)
    box = mounted.point / "store" / "box"
    with open(box / "note", "r+", encoding="ascii") as file:
        assert file.read() == "first"
        moved = base.rename(base.with_name("moved"))
        (base / "new").mkdir(parents=True)
        wait_until(lambda: os.listdir(box.parent) == ["new"], 3, "the new directory")
        wait_until(lambda: errno_of(lambda: os.stat(box)) == errno.ENOENT, 3, "the container to be gone")
        file.seek(0)
        file.write("still")
    assert (moved / "box" / "note").read_text() == "still"
    wait_until(lambda: os.mkdir(box) or True, 1, "the container to be made")
    (box / "note").write_text("second")
    assert (base / "box" / "note").read_text() == "second" and (moved / "box" / "note").read_text() == "still"


def test_replaced_below_a_container_in_use(case, base):
    """Nobody lists the storage itself: its files are looked up in the directory that the path names."""
    mounted = case(True)
    note = mounted.point / "store" / "box" / "note"
    assert note.read_text() == "first"
    base.rename(base.with_name("moved"))
    (base / "box").mkdir(parents=True)
    (base / "box" / "note").write_text("second")
    wait_until(lambda: note.read_text() == "second", 5, "the new file")


def test_removed_and_back(case, base):
    mounted = case(True)
    store = mounted.point / "store"
    assert os.listdir(store / "box") == ["note"]
    shutil.rmtree(base)
    wait_until(lambda: errno_of(lambda: os.listdir(store)) == errno.EIO, 3, "the error")
    assert state_of(mounted)["state"] == "down"
    wait_until(lambda: errno_of(lambda: os.listdir(store / "box")) == errno.EIO, 3, "the error of the container")
    (base / "box").mkdir(parents=True)
    wait_until(lambda: os.listdir(store / "box") == [], 3, "the storage to heal")
    assert os.listdir(store) == ["box"] and state_of(mounted)["state"] == "up"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_mounted_over(case, base):
    mounted = case(True)
    store = mounted.point / "store"
    assert os.listdir(store / "box") == ["note"]
    if run("mount", "-t", "tmpfs", "none", base, check=False).returncode:
        pytest.skip("no tmpfs here")
    try:
        (base / "above").mkdir()
        wait_until(lambda: os.listdir(store) == ["above"], 3, "what was mounted")
    finally:
        run("umount", "-l", base)
    wait_until(lambda: os.listdir(store / "box") == ["note"], 3, "what is below")
