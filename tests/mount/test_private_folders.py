"""What the daemon keeps on this machine is its user's alone: private when made, and refused when it is not ours."""

import os
import stat

import pytest

from harness.files import random_bytes
from harness.mount import MountFailed
from harness.s3 import LONG

NOBODY = 65534
WRITES = ["PutObject", "CreateMultipartUpload", "UploadPart"]


@pytest.fixture
def unreachable(mount):
    """An object storage that nobody answers for, in journal mode and with a disk cache: all folders are needed."""
    return mount({"far": {"driver": "s3", "endpoint": "http://127.0.0.1:9", "access_key_id": "key", "secret_access_key": "not-a-secret",
                          "containers": "box", "durability": "journal", "timeout": "1s"}}, options={"cache_size": "10M"}, start=False)


def refuses(made, folder):
    """It is neither used nor changed, and the message names it."""
    before = os.lstat(folder)
    with pytest.raises(MountFailed) as caught:
        made.start()
    assert str(folder) in str(caught.value)
    after = os.lstat(folder)
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


FOLDERS = ["state", "state/journal", "state/recovery", "cache/staging"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_another_user_is_refused(unreachable, name):
    folder = unreachable.directory / name
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    os.chown(folder, NOBODY, NOBODY)
    refuses(unreachable, folder)
    os.chown(folder, os.geteuid(), os.getegid())


@pytest.mark.parametrize("name", FOLDERS[1:])
def test_a_link_is_refused(unreachable, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    folder = unreachable.directory / name
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    if folder.exists():
        folder.rmdir()
    folder.symlink_to(elsewhere)
    refuses(unreachable, folder)
    assert os.listdir(elsewhere) == []
    folder.unlink()


def test_a_state_directory_others_can_write_in_is_refused(unreachable):
    folder = unreachable.directory / "state"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    refuses(unreachable, folder)
    folder.chmod(0o700)
    unreachable.start()


def test_nobody_else_can_read_what_is_kept(s3_case, ceph):
    case = s3_case(ceph, {"freshness": LONG, "timeout": "4s", "cache_size": "10M"}, durability="journal")
    case.settled()
    case.proxy.set_rules({"operation": WRITES, "status": 503})
    for name, size in (("small", 100), ("big", 3 << 20)):
        (case.path / name).write_bytes(random_bytes(size))
    found = set()
    for top in ("state", "cache"):
        for folder, folders, files in os.walk(case.mount.directory / top):
            for name in folders + files:
                status = os.lstat(os.path.join(folder, name))
                found.add(stat.S_IFMT(status.st_mode))
                assert status.st_uid == os.geteuid() and not status.st_mode & 0o077, os.path.join(folder, name)
    assert found == {stat.S_IFDIR, stat.S_IFREG}
    case.proxy.set_rules()
