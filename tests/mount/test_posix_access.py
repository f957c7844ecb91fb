"""Who may do what: modes that the kernel checks, umask, read-only mounts and storages."""

import errno
import os
import stat
import subprocess

import pytest

from harness.files import fails_with

NOBODY = 65534


def as_nobody(script, *arguments):
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "bash", "-c", script, "bash", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(params=["memory", "local"])
def two_users(request, public_directory, mount, tmp_path):
    """A mount for everybody, where the kernel therefore checks modes; its container may be written by all."""
    settings = {"driver": "memory", "create_containers": "box"}
    if request.param == "local":
        (tmp_path / "base" / "box").mkdir(parents=True)
        (tmp_path / "base" / "box").chmod(0o777)
        settings = {"driver": "local", "path": tmp_path / "base"}
    made = mount({"store": settings}, mount_options=["allow_other", "umask=000"], point=public_directory / "mnt")
    made.path = made.point / "store" / "box"
    return made


def test_modes_are_checked(two_users):
    path = two_users.path / "file"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    done = as_nobody('cat "$1"', path)
    assert done.returncode != 0 and "denied" in done.stderr
    assert as_nobody('echo x > "$1"', path).returncode != 0
    path.chmod(0o644)
    assert as_nobody('cat "$1"', path).stdout == "secret"
    assert as_nobody('echo x > "$1"', path).returncode != 0
    path.chmod(0o666)
    assert as_nobody('echo x > "$1"', path).returncode == 0
    assert path.read_bytes() == b"x\n"
    assert as_nobody('chmod 777 "$1"', path).returncode != 0
    assert as_nobody('test -r "$1" && test -w "$1" && ! test -x "$1"', path).returncode == 0


def test_files_belong_to_who_made_them(two_users):
    done = as_nobody('echo mine > "$1"; chmod 640 "$1"; cat "$1"', two_users.path / "theirs")
    assert done.stdout == "mine\n", done.stderr
    status = (two_users.path / "theirs").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, NOBODY, NOBODY)


def test_others_are_shut_out_without_allow_other(public_directory, mount, tmp_path):
    (tmp_path / "base" / "box").mkdir(parents=True)
    made = mount({"store": {"driver": "local", "path": tmp_path / "base"}}, point=public_directory / "mnt")
    assert as_nobody('ls "$1"', public_directory).stdout == "mnt\n"
    assert as_nobody('ls "$1"', made.point).returncode != 0


def test_umask_of_the_caller(box):
    for mask, wanted in ((0o022, 0o644), (0o077, 0o600), (0, 0o666)):
        path = box.path / f"file{mask}"
        before = os.umask(mask)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == wanted
        box.refresh()
        assert stat.S_IMODE(path.stat().st_mode) == wanted


def check_read_only(path, containers):
    """Everything that changes something fails with EROFS, everything else works."""
    file = path / "file"
    assert file.read_bytes() == b"content" and os.listdir(path) == ["file"]
    for call, arguments in ((os.open, (file, os.O_WRONLY)), (os.open, (file, os.O_RDWR)), (os.open, (file, os.O_RDONLY | os.O_TRUNC)),
                            (os.open, (path / "new", os.O_WRONLY | os.O_CREAT)), (os.unlink, (file,)), (os.truncate, (file, 1)),
                            (os.rename, (file, path / "new")), (os.symlink, ("x", path / "link")), (os.chmod, (file, 0o600)),
                            (os.utime, (file,)), (os.setxattr, (file, "user.x", b"y")), (os.mkdir, (containers / "new-container",)),
                            (os.rmdir, (path,))):
        fails_with(errno.EROFS, call, *arguments)
    assert not os.access(file, os.W_OK) or os.geteuid() == 0
    assert file.read_bytes() == b"content" and os.listdir(path) == ["file"]


def prepare_read_only(mount, tmp_path, kind, request, bucket_of):
    if kind == "local":
        (tmp_path / "base" / "box").mkdir(parents=True)
        (tmp_path / "base" / "box" / "file").write_bytes(b"content")
        return "box", {"driver": "local", "path": tmp_path / "base"}
    server = request.getfixturevalue(kind)
    bucket = bucket_of(server)
    server.client().put_object(Bucket=bucket, Key="file", Body=b"content")
    return bucket, server.settings(containers=bucket)


@pytest.mark.parametrize("kind", ["local", "ceph"])
def test_read_only_mount(mount, tmp_path, kind, request, bucket_of):
    container, settings = prepare_read_only(mount, tmp_path, kind, request, bucket_of)
    made = mount({"store": settings}, mount_options=["ro"])
    check_read_only(made.point / "store" / container, made.point / "store")


@pytest.mark.parametrize("kind", ["local", "ceph"])
def test_read_only_storage(mount, tmp_path, kind, request, bucket_of):
    container, settings = prepare_read_only(mount, tmp_path, kind, request, bucket_of)
    made = mount({"store": {**settings, "read_only": True}, "other": {"driver": "memory", "create_containers": "box"}})
    check_read_only(made.point / "store" / container, made.point / "store")
    (made.point / "other" / "box" / "file").write_bytes(b"written")
    fails_with((errno.EXDEV, errno.EROFS), os.rename, made.point / "other" / "box" / "file", made.point / "store" / container / "new")


def test_looking_writes_nothing(mount, ceph, bucket_of):
    """Who only reads leaves no trace; what is tried before the first write is never listed."""
    bucket = bucket_of(ceph)
    ceph.client().put_object(Bucket=bucket, Key="file", Body=b"content")
    with ceph.counted() as proxy:
        made = mount({"store": ceph.settings(proxy.endpoint, containers=bucket)})
        path = made.point / "store" / bucket
        assert os.listdir(path) == ["file"] and (path / "file").read_bytes() == b"content"
        assert not [request for request in proxy.requests() if request["method"] not in ("GET", "HEAD")]
        (path / "new").write_bytes(b"x")
        assert sorted(os.listdir(path)) == ["file", "new"]
        made.close()
    assert {entry["Key"] for entry in ceph.client().list_objects_v2(Bucket=bucket)["Contents"]} == {"file", "new"}


@pytest.mark.parametrize("passthrough", [True, False])
@pytest.mark.parametrize("change", ["write", "append", "truncate", "cut", "direct"])
def test_who_changes_a_file_takes_its_set_user_id_bits(two_users, passthrough, change):
    """As everywhere: a write by who is not root takes them off, root's leaves them, a change of owner always takes them."""
    if not passthrough:
        two_users.mount_options.append("nopassthrough")
        two_users.remount()
        two_users.path.is_dir()
    path = two_users.path / "program"
    path.write_bytes(b"#!/bin/sh\n")
    script = {"write": 'printf x 1<>"$1"', "append": 'printf x >>"$1"', "truncate": 'truncate -s 3 "$1"', "cut": ': >"$1"',
              "direct": 'dd if=/dev/zero of="$1" bs=4096 count=1 oflag=direct conv=notrunc status=none'}[change]
    for mode, wanted in ((0o6777, 0o777), (0o2767, 0o2767), (0o4666, 0o666)):
        path.chmod(mode)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        subprocess.run(["bash", "-c", script, "bash", path], check=True)
        assert stat.S_IMODE(path.stat().st_mode) == mode, "root's change"
        done = as_nobody(script, path)
        assert done.returncode == 0, done.stderr
        assert stat.S_IMODE(path.stat().st_mode) == wanted
    path.chmod(0o6777)
    os.chown(path, 1, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


@pytest.mark.parametrize("passthrough", [True, False])
def test_set_user_id_while_it_is_written(two_users, public_directory, passthrough):
    """The bits are set after the writer has opened the file, and has written to it: the next write takes them all the same."""
    if not passthrough:
        two_users.mount_options.append("nopassthrough")
        two_users.remount()
    path = two_users.path / "program"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o666)
    go, done = public_directory / "go", public_directory / "done"
    for pipe in (go, done):
        os.mkfifo(pipe)
        pipe.chmod(0o666)
    script = 'exec 3<>"$1" && printf x >&3 && echo >"$3" && read -r line <"$2" && printf y >&3 && echo >"$3" && read -r line <"$2"'
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "bash", "-c", script, "bash", path, go, done]
    with subprocess.Popen(command) as writer:
        done.read_text()
        path.chmod(0o6777)
        before = stat.S_IMODE(path.stat().st_mode)
        go.write_text("\n")
        done.read_text()
        after = stat.S_IMODE(path.stat().st_mode)
        go.write_text("\n")
        assert (writer.wait(30), before, after) == (0, 0o6777, 0o777)
    assert path.read_bytes()[:2] == b"xy"
