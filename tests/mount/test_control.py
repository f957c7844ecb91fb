"""MNT/.control and the subcommands that use it."""

import errno
import json
import os
import signal
import stat
import subprocess

import pytest

from harness.mount import MountFailed
from harness.process import is_mounted, run, wait_until


@pytest.fixture
def local(mount, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "box").mkdir(parents=True)
    return mount({name: {"driver": "local", "path": tmp_path / name} for name in ("first", "second")})


def test_directory_is_hidden_and_reachable(local):
    assert ".control" not in os.listdir(local.point)
    assert set(os.listdir(local.point / ".control")) == {
        "default", "storages", "status", "metrics", "uploads", "reload", "refresh"}
    assert stat.S_ISDIR(os.stat(local.point / ".control").st_mode)
    for change in (lambda: os.mkdir(local.point / ".control" / "x"), lambda: os.unlink(local.control("status")),
                   lambda: os.rmdir(local.point / ".control"), lambda: os.mkdir(local.point / ".control"),
                   lambda: os.rename(local.control("status"), local.point / ".control" / "x"),
                   lambda: open(local.point / ".control" / "new", "w").close()):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno in (errno.EPERM, errno.EEXIST, errno.EACCES)


def test_status_is_json(local):
    status = local.status()
    assert [storage["name"] for storage in status["storages"]] == ["first", "second"]
    assert status["default"] == "first" and status["pid"] == local.pid
    assert json.loads(local.command("status", local.point, "--json").stdout)["default"] == "first"
    assert "first" in local.command("status", local.point).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes pid namespaces")
def test_another_pid_namespace(local):
    """The daemon's process number is somebody else's there: it is neither shown nor waited for."""
    inside = ["unshare", "--pid", "--fork", local.binary]
    here = json.loads(local.command("status", local.point, "--json").stdout)
    there = json.loads(run(*inside, "status", local.point, "--json", env=local.environment).stdout)
    assert here["pid"] == local.pid
    assert "pid" not in there and there["mount_point"] == here["mount_point"]
    run(*inside, "umount", local.point, env=local.environment)
    assert not is_mounted(local.point)
    local._wait_end(60)


def test_metrics_are_prometheus_text(local):
    lines = local.control("metrics").read_text().splitlines()
    assert 'storagefs_storage_up{storage="first"} 1' in lines
    for line in lines:
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0


def test_storages_in_order(local):
    names = [line.split("\t")[0] for line in local.control("storages").read_text().splitlines()]
    assert names == ["first", "second"]


def test_read_only_files_refuse_writes(local):
    for name in ("status", "metrics", "uploads", "storages"):
        with pytest.raises(PermissionError):
            os.open(local.control(name), os.O_WRONLY)
    for name in ("reload", "refresh", "journal"):
        with pytest.raises(PermissionError):
            os.open(local.control(name), os.O_RDONLY)


def test_others_may_not_write(public_directory, mount, tmp_path):
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}}, mount_options=["allow_other"], point=public_directory / "mnt")

    def as_nobody(script, name):
        return subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", script, "sh",
                               made.control(name)], capture_output=True, text=True)

    for name in ("default", "storages", "status", "metrics", "uploads"):
        done = as_nobody('cat "$1"', name)
        assert done.returncode == 0 and bool(done.stdout) == bool(made.control(name).read_text()), name
    for name in sorted(os.listdir(made.point / ".control")):
        for script in ('echo first >"$1"', 'echo first >>"$1"', 'echo first 1<>"$1"', ': >"$1"', 'chmod 666 "$1"'):
            done = as_nobody(script, name)
            assert done.returncode != 0 and ("denied" in done.stderr.lower() or "not permitted" in done.stderr.lower()), (name, done.stderr)
    made.control("default").write_text("first\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("umask", ["022", "000"])
def test_the_owner_named_by_uid_may_write(public_directory, mount, tmp_path, umask):
    """Root, the daemon's user and the one of uid= steer the mount, by .control as by links; nobody else does, whatever the mode bits say."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    made = mount({name: {"driver": "local", "path": tmp_path / name} for name in ("first", "second")}, point=public_directory / "mnt",
                 mount_options=["allow_other", "uid=1000", "gid=1001", f"umask={umask}"])
    shown = os.stat(made.control("default"))
    assert (shown.st_uid, shown.st_gid, stat.S_IMODE(shown.st_mode)) == (1000, 1001, 0o644)

    def steer(script, uid, gid):
        words = [] if uid == 0 else ["setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups"]
        done = subprocess.run([*words, "sh", "-c", script, "sh", made.point, "second"], capture_output=True, text=True)
        said, chosen = done.stderr.lower(), made.default()
        made.control("default").write_text("first\n")
        return done.returncode == 0 and chosen == "second" or ("denied" in said or "not permitted" in said) and chosen == "first" and "refused"

    for script in ('echo "$2" >"$1/.control/default"', 'ln -sfn "$2" "$1/default"', 'rm "$1/default" && ln -s "$2" "$1/default"'):
        assert steer(script, 1000, 1001) is True, script
        assert steer(script, 0, 0) is True, script
        for uid, gid in ((65534, 65534), (65534, 1001)):
            assert steer(script, uid, gid) == "refused", script
    assert made.default() == "first"


def test_reload(local, tmp_path):
    third = tmp_path / "third"
    (third / "box").mkdir(parents=True)
    with open(local.point / "first" / "box" / "open", "w") as file:
        local.storages = {"second": local.storages["second"], "third": {"driver": "local", "path": third}}
        local.write_configuration()
        local.command("reload", local.point)
        assert set(os.listdir(local.point)) == {"second", "third", "default"}
        assert local.default() == "second"
        assert not (local.point / "first").exists()
        file.write("still written")
    assert (tmp_path / "first" / "box" / "open").read_text() == "still written"
    (local.point / "third" / "box" / "note").write_text("hello")
    assert (third / "box" / "note").read_text() == "hello"


def test_bad_reload_changes_nothing(local):
    local.write_configuration("[storage a]\ndriver = memori\n")
    done = local.command("reload", local.point, check=False)
    assert done.returncode != 0 and "storagefs.conf:2" in done.stderr
    assert set(os.listdir(local.point)) == {"first", "second", "default"}


S3 = {"driver": "s3_other", "endpoint": "http://127.0.0.1:9", "region": "us-east-1", "access_key_id": "AKEXAMPLEKEY",
      "secret_access_key": "sekretsekret", "timeout": "2s"}
# what is wrong: the keys of a storage, and what the refusal says
REFUSED_STORAGES = {
    "scheme": ({**S3, "endpoint": "ftp://h"}, "http://"),
    "no endpoint": ({key: S3[key] for key in S3 if key != "endpoint"}, "endpoint"),
    "half a key": ({key: S3[key] for key in S3 if key != "secret_access_key"}, "go together"),
    "container": ({**S3, "create_containers": "a/b"}, "a/b"),
    "no journal": ({**S3, "durability": "journal"}, "without a journal"),
}


def refused_reload(local):
    done = local.command("reload", local.point, check=False)
    assert done.returncode == 1 and "nothing was changed" in done.stderr and "log" not in done.stderr, done.stderr
    assert "sekretsekret" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("what", REFUSED_STORAGES)
def test_a_refused_reload_says_why(local, what):
    keys, reason = REFUSED_STORAGES[what]
    assert local.status()["reload_error"] is None
    local.storages = {**local.storages, "new": keys}
    local.write_configuration()
    assert reason in refused_reload(local)
    told = local.status()["reload_error"]
    assert reason in told and "sekretsekret" not in told
    assert told in local.command("status", local.point).stdout
    local.storages.pop("new")
    local.write_configuration()
    local.command("reload", local.point)
    assert local.status()["reload_error"] is None
    assert told not in local.command("status", local.point).stdout


def test_a_reload_does_not_move_a_name(local, tmp_path):
    local.storages["first"] = {"driver": "local", "path": tmp_path / "second"}
    local.write_configuration()
    said = refused_reload(local)
    assert str(tmp_path / "first") in said and str(tmp_path / "second") in said and "mount --accept-moved first" in said


def test_a_reload_without_a_file(local):
    local.configuration_file.unlink()
    assert str(local.configuration_file) in refused_reload(local)


def test_a_read_only_mount_cannot_be_steered(mount, tmp_path):
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}}, mount_options=["ro"])
    for words in (["default", made.point, "first"], ["reload", made.point]):
        done = made.command(*words, check=False)
        assert done.returncode == 1 and f"{made.point} is mounted read-only" in done.stderr and "mount it again" in done.stderr, done.stderr
        assert "log" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert made.command("default", made.point).stdout == "first\n"
    made.command("sync", made.point)
    made.command("umount", "--force", made.point)
    made._wait_end(60)


def test_refresh_shows_foreign_changes(local, tmp_path):
    (local.point / "first" / "box" / "note").write_text("one")
    (tmp_path / "first" / "box" / "note").write_text("three")
    local.control("refresh").write_text("first/box/note\n")
    assert (local.point / "first" / "box" / "note").read_text() == "three"
    with pytest.raises(FileNotFoundError):
        local.control("refresh").write_text("nope/box\n")


@pytest.mark.parametrize("path", ["", "/", ".", "default", "default/", "default/box/note", "./second/box", "first/./box//note", "first/../second/box",
                                  "{mnt}", "{mnt}/default/box/note", "{mnt}/./second", "{link}", "{link}/first/box/note", "{deep}/note",
                                  "{link}/../mnt/first", "{mnt}/../mnt/first/box"])
def test_refresh_takes_paths_as_people_write_them(local, tmp_path, path):
    local.command("default", local.point, "second")
    link, deep = tmp_path / "link", tmp_path / "deep"
    link.symlink_to(local.point)
    deep.symlink_to(os.path.relpath(local.point / "first" / "box", tmp_path))
    local.control("refresh").write_text(path.format(mnt=local.point, link=link, deep=deep) + "\n")


@pytest.mark.parametrize("path", ["nope", "./nope/box", "first/../nope", "default/../nope", "{mnt}/nope", "{link}/nope", "{out}/first", "{loop}/first"])
def test_refresh_refuses_what_is_no_storage(local, tmp_path, path):
    names = {name: tmp_path / name for name in ("link", "out", "loop")}
    names["link"].symlink_to(local.point)
    names["out"].symlink_to(tmp_path)
    names["loop"].symlink_to("loop")
    with pytest.raises(FileNotFoundError):
        local.control("refresh").write_text(path.format(mnt=local.point, **names) + "\n")


def test_refresh_follows_the_default(s3_case, moto):
    case = s3_case(moto, {"freshness": "1h"})
    case.put("note", b"one")
    assert (case.path / "note").read_bytes() == b"one"
    case.put("note", b"three")
    case.mount.control("refresh").write_text(f"default/{case.container}/note\n")
    assert (case.path / "note").read_bytes() == b"three"


@pytest.mark.parametrize("how", ["command", "signal", "kernel"])
def test_ways_to_unmount(local, how):
    (local.point / "first" / "box" / "note").write_text("hello")
    local.umount(how)
    assert not is_mounted(local.point)


def test_signal_while_a_file_is_open(mount):
    made = mount({"store": {"driver": "memory", "create_containers": "box"}})
    file = open(made.point / "store" / "box" / "note", "w")
    file.write("written, not closed")
    file.flush()
    os.kill(made.pid, signal.SIGTERM)
    made._wait_end(60)
    assert not is_mounted(made.point)
    with pytest.raises(OSError):
        file.close()


def test_umount_says_who_is_in_the_way(local):
    with open(local.point / "first" / "box" / "note", "w"):
        done = local.command("umount", local.point, check=False)
        assert done.returncode != 0 and "in use" in done.stderr
        assert is_mounted(local.point)


def test_umount_although_another_namespace_has_a_copy(local):
    """A container or unshare(1) that started meanwhile keeps the file system in being; the daemon ends all the same."""
    ready = "echo ready; exec sleep 600"
    other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", ready], stdout=subprocess.PIPE)
    try:
        if other.stdout.readline() != b"ready\n":
            pytest.skip("no mount namespace can be made here, or / is not a mount point (chroot)")
        (local.point / "first" / "box" / "note").write_text("hello")
        local.umount()
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_dead_mount_is_cleared(local):
    local.kill(clear=False)
    with pytest.raises(OSError) as caught:
        os.statvfs(local.point)
    assert caught.value.errno == errno.ENOTCONN
    local.start()
    assert local.default() == "first"


def test_background(mount, tmp_path):
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}}, start=False)
    made.start(background=True)
    assert made.default() == "first"
    made.umount()


def test_mounted_twice_is_refused(local):
    done = local.command("mount", "-c", local.configuration_file, local.point, check=False)
    assert done.returncode != 0 and "mounted already" in done.stderr


def test_mount_point_must_be_a_directory(local, tmp_path):
    (tmp_path / "file").write_text("")
    for point in (tmp_path / "file", tmp_path / "missing"):
        done = local.command("mount", "-c", local.configuration_file, point, check=False)
        assert done.returncode != 0 and str(point) in done.stderr


def test_mount_helper(mount, storagefs_binary, tmp_path):
    """As mount(8) calls it for a line of /etc/fstab: a file system type with a helper of its own."""
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}}, start=False)
    helper = tmp_path / "mount.storagefs"
    helper.symlink_to(storagefs_binary)
    subprocess.run([helper, made.configuration_file, made.point, "-o", "rw,noauto,_netdev,x-systemd.requires=x,umask=077"],
                   check=True, env=made.environment)
    try:
        assert os.readlink(made.point / "default") == "first"
        source, kind = next(line.split()[0:3:2] for line in open("/proc/mounts") if f" {made.point} " in line)
        assert (source, kind) == (str(made.configuration_file), "fuse.storagefs")
    finally:
        made.command("umount", made.point)
    refused = subprocess.run([helper, made.configuration_file, made.point, "-o", "nonsense"], env=made.environment)
    assert refused.returncode == 1


def test_command_line_help(local):
    assert "mount" in local.command("--help").stdout
    assert local.command("--version").stdout.startswith("storagefs ")
    for word in ("mount", "umount", "default", "status", "sync", "uploads", "check", "reload"):
        assert f"storagefs {word}" in local.command(word, "--help").stdout
    done = local.command("mout", check=False)
    assert done.returncode == 2 and "did you mean 'mount'" in done.stderr


def test_short_help_and_version(local, storagefs_binary, tmp_path):
    assert local.command("-h").stdout == local.command("--help").stdout
    assert local.command("-V").stdout == local.command("--version").stdout
    assert local.command("umount", "-h").stdout == local.command("umount", "--help").stdout
    helper = tmp_path / "mount.storagefs"
    helper.symlink_to(storagefs_binary)
    for words, text in ((["-V"], "storagefs "), (["--version"], "storagefs "), (["-h"], "usage: mount.storagefs"), (["--help"], "usage: mount.storagefs")):
        assert text in run(helper, *words).stdout


@pytest.mark.parametrize("words", [["-c{conf}", "-oro,umask=077"], ["-c", "{conf}", "-oro", "-oumask=077"], ["-oumask=077", "-o", "ro", "-c{conf}"],
                                   ["--config={conf}", "--options", "ro,umask=077"], ["-o", "ro", "-oumask=077", "-c", "{conf}", "--"]])
def test_glued_option_values(mount, tmp_path, words):
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}}, start=False)
    made.command("mount", *[word.format(conf=made.configuration_file) for word in words], made.point)
    try:
        assert stat.S_IMODE(os.stat(made.point).st_mode) == 0o700
        assert os.statvfs(made.point).f_flag & os.ST_RDONLY
        done = made.command("check", f"-c{made.configuration_file}")
        assert "first: " in done.stdout
    finally:
        made.command("umount", made.point)


def test_glued_option_values_of_the_helper(mount, storagefs_binary, tmp_path):
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}}, start=False)
    helper = tmp_path / "mount.storagefs"
    helper.symlink_to(storagefs_binary)
    run(helper, made.configuration_file, made.point, "-snoro", "-o", "umask=077,user=somebody,nonempty", env=made.environment)
    try:
        assert stat.S_IMODE(os.stat(made.point).st_mode) == 0o700
        assert os.statvfs(made.point).f_flag & os.ST_RDONLY
    finally:
        made.command("umount", made.point)


def test_words_that_say_nothing(local):
    done = local.command("default", local.point, "", check=False)
    assert done.returncode != 0 and "empty" in done.stderr
    assert local.default() == "first"
    done = local.command("uploads", local.point, "nosuch", check=False)
    assert done.returncode == 1 and "nosuch: nothing waits" in done.stderr
    assert local.command("uploads", local.point).stdout == ""


def test_sync_with_nothing_to_wait_for(local):
    local.command("sync", local.point)


def test_no_storage_at_all(mount):
    made = mount({})
    assert os.listdir(made.point) == []
    with pytest.raises(FileNotFoundError):
        os.readlink(made.point / "default")
    assert made.control("default").read_text() == ""


def test_unreachable_storage_does_not_block_the_others(mount, tmp_path):
    (tmp_path / "good" / "box").mkdir(parents=True)
    made = mount({"bad": {"driver": "s3_other", "endpoint": "http://127.0.0.1:9", "region": "us-east-1",
                          "access_key_id": "AKEXAMPLEKEY", "secret_access_key": "sekretsekret", "timeout": "2s"},
                  "good": {"driver": "local", "path": tmp_path / "good"}})
    assert set(os.listdir(made.point)) == {"bad", "good", "default"}
    (made.point / "good" / "box" / "note").write_text("hello")
    with pytest.raises(OSError) as caught:
        os.listdir(made.point / "bad")
    assert caught.value.errno in (errno.EIO, errno.ETIMEDOUT)
    wait_until(lambda: made.status()["storages"][0]["state"] == "down", 30, "the storage to be down")


def test_world_readable_secret_is_refused(mount):
    made = mount({"s": {"driver": "minio", "endpoint": "http://127.0.0.1:9", "access_key_id": "AK",
                        "secret_access_key": "sekretsekret"}}, start=False)
    os.chmod(made.configuration_file, 0o644)
    with pytest.raises(MountFailed) as caught:
        made.start()
    assert "chmod 600" in caught.value.log and "sekretsekret" not in caught.value.log


PROXIES = ["http://u:passw0rd@127.0.0.1:9", "u:passw0rd@127.0.0.1:9", "socks5h://passw0rd@127.0.0.1:9", "http://:passw0rd@127.0.0.1:9"]


@pytest.mark.parametrize("proxy", PROXIES)
def test_world_readable_password_of_a_proxy_is_refused(mount, proxy):
    made = mount({"s": {"driver": "s3_other", "endpoint": "http://127.0.0.1:9", "signature": "none", "proxy": proxy, "timeout": "2s"}}, start=False)
    os.chmod(made.configuration_file, 0o644)
    with pytest.raises(MountFailed) as caught:
        made.start()
    done = made.command("check", "-c", made.configuration_file, check=False)
    assert done.returncode == 1
    for said in (caught.value.log, done.stdout + done.stderr):
        assert "proxy" in said and "chmod 600" in said and "passw0rd" not in said


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://127.0.0.1:9/@", ""])
def test_a_proxy_without_a_password_is_no_secret(mount, proxy):
    made = mount({"s": {"driver": "s3_other", "endpoint": "http://127.0.0.1:9", "signature": "none", "proxy": proxy, "timeout": "2s"}}, start=False)
    os.chmod(made.configuration_file, 0o644)
    made.start()
    made.umount()
