"""A user who is not root: what they mount is theirs, and dead mounts are cleared with what they may do."""

import os
import pathlib
import shutil
import socket
import tempfile

import pytest

from harness.process import run

CONFIGURATION = """
[storage scratch]
driver = local
path = ~/storage
create_path = yes

[storage trial]
driver = memory
create_containers = box
"""

# In namespaces of its own: a device that everybody may open, a fuse.conf that allows nothing, and no process that stays.
# The root of a chroot is no mount point that could be made private; there everything has to be private already.
PREPARE = """
mount --make-rprivate / 2>/dev/null || ! grep -q shared: /proc/self/mountinfo
mount -t proc proc /proc
mount -t tmpfs tmpfs "$1"
mknod -m 666 "$1/fuse" c 10 229 && mount --bind "$1/fuse" /dev/fuse
: >"$1/fuse.conf" && mount --bind "$1/fuse.conf" /etc/fuse.conf
cp "$2" "$1/storagefs"
mkdir -p "$1/home/mnt" "$1/home/.config/storagefs"
printf %s "$3" >"$1/home/.config/storagefs/storagefs.conf"
chown -R nobody "$1/home" && chmod 755 "$1" && cd "$1/home"
exec setpriv --reuid nobody --regid nogroup --clear-groups \
    env -u XDG_CONFIG_HOME -u XDG_STATE_HOME HOME="$1/home" PATH="$1:$PATH" sh -ec "$4"
"""


@pytest.fixture
def as_user(storagefs_binary):
    if os.geteuid() != 0 or not pathlib.Path("/etc/fuse.conf").exists():
        pytest.skip("needs root, to become somebody else, and /etc/fuse.conf")
    home = tempfile.mkdtemp(prefix="storagefs-user-", dir="/tmp")

    def as_user_run(script, **options):
        """Runs a shell script as nobody in an own home, whose configuration is CONFIGURATION; `mnt` is there."""
        return run("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "unchanged", "sh", "-ec", PREPARE,
                   "prepare", home, storagefs_binary, CONFIGURATION, script, **options)

    yield as_user_run
    shutil.rmtree(home)


def test_files_belong_to_the_user(as_user):
    said = as_user("""
        storagefs mount mnt
        mkdir mnt/scratch/box
        echo text >mnt/scratch/box/local
        echo text >mnt/trial/box/remote
        stat -c '%U %a' mnt mnt/scratch mnt/scratch/box/local mnt/trial/box/remote storage/box/local
        ls .local/state/storagefs/*/storages | wc -l
        storagefs umount mnt
        ls -A mnt
    """).stdout.splitlines()
    assert said == ["nobody 755", "nobody 755", "nobody 644", "nobody 644", "nobody 644", "1"]


def test_who_mounts_for_somebody_else_steers(as_user):
    """uid= names another owner of what is shown; the mount stays the one's who made it."""
    said = as_user("""
        storagefs mount -o uid=4242 mnt
        stat -c %u mnt mnt/scratch
        storagefs default mnt trial
        readlink mnt/default
        ln -sfn scratch mnt/default
        readlink mnt/default
        storagefs reload mnt
        storagefs umount mnt
    """).stdout.splitlines()
    assert said == ["4242", "4242", "trial", "scratch"]


def test_allow_other_has_to_be_allowed(as_user):
    refused = as_user("storagefs mount -o allow_other mnt", check=1)
    assert "storagefs: cannot mount at" in refused.stderr and "has /etc/fuse.conf a line user_allow_other?" in refused.stderr


def test_directory_of_somebody_else(as_user):
    refused = as_user("storagefs mount /usr", check=1)
    assert "may you write to the directory?" in refused.stderr


def test_dead_mount_is_cleared(as_user):
    said = as_user("""
        pid() { sed -nE 's/.*"pid" : ([0-9]+).*/\\1/p' mnt/.control/status; }
        storagefs mount mnt
        kill -KILL $(pid)
        while ls mnt >/dev/null 2>&1; do :; done
        storagefs mount mnt
        ls mnt
        kill -KILL $(pid)
        while ls mnt >/dev/null 2>&1; do :; done
        storagefs umount mnt
        ls -A mnt
    """).stdout.splitlines()
    assert said == ["default", "scratch", "trial"]


# Where the kernel lets nobody look into a process, what tells of its memory is root's.
IS_CLOSED = """
is_closed() {
    test "$(stat -c %U "/proc/$1/environ")" = root
    if cat "/proc/$1/environ" 2>/dev/null; then return 1; fi
    grep -q '^Max core file size  *0  *0 ' "/proc/$1/limits"
}
"""


def test_nobody_looks_into_the_daemon(as_user):
    said = as_user(IS_CLOSED + """
        storagefs mount mnt
        pid=$(sed -nE 's/.*"pid" : ([0-9]+).*/\\1/p' mnt/.control/status)
        is_closed "$pid"
        tr '\\0' ' ' <"/proc/$pid/cmdline"
        storagefs umount mnt
    """).stdout
    assert said.strip() == "storagefs mount mnt"


def test_nobody_looks_into_a_check(as_user):
    """While it waits for an endpoint that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        as_user(IS_CLOSED + f"""
            printf '%s\\n' '[storage far]' 'driver = minio' 'endpoint = http://127.0.0.1:{silent.getsockname()[1]}' \
                'access_key_id = AK' 'secret_access_key = sekretsekret' 'timeout = 8s' >far.conf
            chmod 600 far.conf
            storagefs check -c far.conf >said 2>&1 &
            until test "$(stat -c %U "/proc/$!/environ")" = root; do kill -0 $!; sleep 0.1; done
            is_closed $!
            kill -KILL $!
        """, timeout=60)
