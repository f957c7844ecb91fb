"""The mount harness itself, with a stand-in for storagefs that mounts an empty tmpfs: its checks must be able to fail."""

import os
import shlex
import signal
import subprocess
import sys

import pytest
from harness.files import compare_trees, random_bytes
from harness.mount import Mount, MountFailed
from harness.process import SERVERS, CommandFailed, Guard, clear_mount, is_alive, is_mounted, run, wait_until

STAND_IN = """#!/bin/bash
# mount -c FILE [-f] POINT | umount POINT
point=${@: -1}
end() { umount "$point"; echo "ended"; exit ${STAND_IN_CODE:-0}; }
case $1 in
mount)
    [ -z "$STAND_IN_REFUSES" ] || { echo "storagefs.conf:3: no such driver" >&2; exit 2; }
    trap end TERM
    echo "$STAND_IN_SAYS"
    mount -t tmpfs storagefs "$point"
    echo $$ >"$HOME/pid"
    [[ " $* " != *" -f "* ]] || while sleep 0.05; do :; done
    rm "$HOME/pid"
    setsid bash "$0" serve "$point" </dev/null >/dev/null 2>&1 &
    until [ -s "$HOME/pid" ]; do sleep 0.01; done ;;
serve) trap end TERM; echo $$ >"$HOME/pid"; while sleep 0.05; do :; done ;;
umount) kill "$(cat "$HOME/pid")" ;;
esac
"""

STORAGES = {"store": {"driver": "s3", "secret_access_key": "topsecretvalue", "folders": True, "containers": ["a", "b"]}}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the stand-in mounts a tmpfs, which needs root")


@pytest.fixture(scope="session")
def storagefs_binary(tmp_path_factory):
    """In this file every fixture of the harness gets the stand-in."""
    program = tmp_path_factory.mktemp("program") / "stand-in"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return program


@pytest.fixture
def stand_in(storagefs_binary, tmp_path):
    made = []

    def make(**environment):
        made.append(Mount(storagefs_binary, tmp_path / "m", STORAGES, {"freshness": 0}, environment=environment))
        return made[-1]

    yield make
    for mount in made:
        clear_mount(mount.point)


def test_the_configuration_is_private_and_complete(stand_in):
    mount = stand_in()
    assert mount.configuration_file.stat().st_mode & 0o777 == 0o600
    text = mount.configuration_file.read_text()
    assert "[storage store]\ndriver = s3\nsecret_access_key = topsecretvalue\nfolders = yes\ncontainers = a;b\n" in text
    assert "\nfreshness = 0\n" in text and f"\nstate_dir = {mount.directory}/state\n" in text


@pytest.mark.parametrize("background", [False, True])
def test_a_mount_starts_answers_and_ends(stand_in, background):
    mount = stand_in().start(background=background)
    (mount / "file").write_text("x")
    pid = mount.pid
    assert is_mounted(mount.point) and is_alive(pid)
    mount.remount(background=background)
    assert not (mount / "file").exists() and not is_alive(pid)
    mount.close()
    assert not is_mounted(mount.point) and not mount.is_running()


@pytest.mark.parametrize("how", ["command", "signal"])
def test_every_way_to_unmount(stand_in, how):
    mount = stand_in().start()
    mount.umount(how)
    assert "ended" in mount.log()


def test_a_refused_mount_says_why(stand_in):
    with pytest.raises(MountFailed, match="storagefs.conf:3: no such driver") as failure:
        stand_in(STAND_IN_REFUSES="1").start()
    assert failure.value.returncode == 2


def test_an_exit_code_other_than_0_fails(stand_in):
    mount = stand_in(STAND_IN_CODE="23").start()
    with pytest.raises(AssertionError, match="ended with code 23"):
        mount.close()
    assert not is_mounted(mount.point)


@pytest.mark.parametrize("text", ["==1==ERROR: AddressSanitizer: heap-use-after-free", "WARNING: ThreadSanitizer: data race",
                                  "src/a.c:3:4: runtime error: signed integer overflow", "x-CRITICAL **: assertion failed"])
def test_a_report_in_the_log_fails(stand_in, text):
    mount = stand_in(STAND_IN_SAYS=text).start()
    with pytest.raises(AssertionError, match="holds a report"):
        mount.close()
    assert not is_mounted(mount.point)


def test_a_report_in_a_file_of_the_sanitizer_fails(stand_in):
    mount = stand_in().start(background=True)
    assert f"log_path={mount.directory}/sanitizer" in mount.environment["ASAN_OPTIONS"]
    (mount.directory / "sanitizer.77").write_text("==77==ERROR: LeakSanitizer: detected memory leaks")
    with pytest.raises(AssertionError, match="holds a report"):
        mount.close()


def test_a_secret_in_the_log_fails_and_is_not_shown(stand_in):
    mount = stand_in(STAND_IN_SAYS="key topsecretvalue").start()
    with pytest.raises(AssertionError, match="a secret of the configuration") as failure:
        mount.close()
    assert "topsecretvalue" not in str(failure.value)


def test_a_daemon_that_was_killed_needs_no_clean_end(stand_in):
    mount = stand_in().start()
    pid = mount.pid
    mount.kill()
    assert not is_alive(pid) and not is_mounted(mount.point)
    mount.close()


def test_each_storage_is_mounted_with_a_container_that_is_ready(each_storage):
    case, keys = each_storage, each_storage.mount.storages["store"]
    assert is_mounted(case.mount.point) and case.path == case.mount.point / "store" / case.container
    assert f"folders = {'yes' if case.kind == 'ceph-folders' else 'no'}\n" in case.mount.configuration_file.read_text()
    if case.kind == "memory":
        assert keys["create_containers"] == case.container
    elif case.kind == "local":
        assert (keys["path"] / case.container).is_dir()
    else:
        assert case.server.name in case.kind and keys["endpoint"] == case.server.endpoint
        assert case.container in case.server.bucket_names()
        assert case.mount.secrets() == {case.server.secret_key}


@pytest.fixture
def ended_mounts():
    """Filled by a test; after the test and its mounts, none of them runs any more."""
    mounts = []
    yield mounts
    assert mounts and not any(mount.is_running() or is_mounted(mount.point) or mount.directory.exists() for mount in mounts)


def test_all_mounts_of_a_test_are_ended(ended_mounts, mount):
    ended_mounts += [mount(STORAGES), mount(STORAGES, start=False), mount(STORAGES, options={"freshness": "2s"})]
    assert [made.is_running() for made in ended_mounts] == [True, False, True]


def test_the_environment_is_hermetic_and_takes_what_is_asked_for(stand_in, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    monkeypatch.setenv("https_proxy", "http://proxy")
    monkeypatch.setenv("STORAGEFS_TEST_ENV", "TSAN_OPTIONS='a=1 b' OTHER=2")
    environment = stand_in(AWS_PROFILE="test").environment
    assert "AWS_SECRET_ACCESS_KEY" not in environment and "https_proxy" not in environment
    assert environment["OTHER"] == "2" and environment["AWS_PROFILE"] == "test"
    assert environment["TSAN_OPTIONS"].startswith("a=1 b:log_path=")


def test_a_mount_is_cleared_when_the_tests_are_killed(tmp_path, stand_in):
    mount = stand_in()
    script = f"""
import sys, time
sys.path.insert(0, {str(SERVERS.parent / 'mount')!r})
from harness.mount import Mount
mount = Mount({str(mount.binary)!r}, {str(mount.directory)!r}, {STORAGES!r}).start()
print(mount.pid, flush=True)
time.sleep(600)
"""
    tests = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(tests.stdout.readline())
    assert is_mounted(mount.point)
    tests.kill()
    tests.wait()
    tests.stdout.close()
    wait_until(lambda: not is_alive(pid) and not is_mounted(mount.point), message="the end of the mount")


def test_a_guard_acts_after_its_time_and_not_once_released(tmp_path):
    acted, released = tmp_path / "acted", tmp_path / "released"
    first, second = Guard(f"touch {shlex.quote(str(acted))}", timeout=1), Guard(f"touch {shlex.quote(str(released))}", timeout=1)
    second.release()
    wait_until(acted.exists, message="the guard")
    first.release()
    assert not released.exists()


def test_run_wants_its_exit_code():
    assert run("echo", 1).stdout == "1\n"
    assert run("false", check=False).returncode == 1
    assert run("false", check=1).returncode == 1
    with pytest.raises(CommandFailed):
        run("false")
    with pytest.raises(CommandFailed):
        run("true", check=1)


def test_wait_until_gives_the_result_or_fails_with_the_last_reason():
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers)) == 7

    def refuse():
        raise OSError("refused")

    with pytest.raises(AssertionError, match="the port did not come .*refused"):
        wait_until(refuse, timeout=0.05, message="the port")


def test_trees_are_compared_by_names_kinds_and_content(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    for root in (one, two):
        (root / "d").mkdir(parents=True)
        (root / "d" / "f").write_bytes(random_bytes(1000))
        (root / "l").symlink_to("d/f")
    compare_trees(one, two)
    (two / "d" / "f").write_bytes(random_bytes(1000, seed=1))
    with pytest.raises(AssertionError, match="differ in 1 places"):
        compare_trees(one, two)
    (two / "d" / "g").mkdir()
    with pytest.raises(AssertionError, match="differ in 2 places"):
        compare_trees(one, two)


def test_a_zombie_counts_as_gone():
    process = subprocess.Popen(["sleep", "600"])
    assert is_alive(process.pid)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(process.pid), message="the end of the process")
    process.wait()
