"""The systemd unit: its command says when the mount stands and when it ends, and heals the mount of one that was killed."""

import errno
import os
import shlex
import signal
import socket
import subprocess

import pytest

from harness.mount import MountFailed
from harness.process import SOURCE, is_mounted

UNIT = SOURCE / "conf" / "storagefs@.service.in"
SECONDS = 60


def unit_lines():
    return dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#"))


class Manager:
    """The socket of a service manager."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.settimeout(SECONDS)

    def hears(self):
        return self.socket.recv(4096).decode().split("\n")

    def has_heard_nothing(self):
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(4096)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(f"@storagefs-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def local(mount, manager, tmp_path):
    (tmp_path / "first").mkdir()
    return mount({"first": {"driver": "local", "path": tmp_path / "first"}}, start=False, environment={"NOTIFY_SOCKET": manager.address})


def test_the_manager_hears_of_the_beginning_and_the_end(local, manager):
    local.start()
    said = manager.hears()
    assert "READY=1" in said and f"MAINPID={local.pid}" in said
    local.umount()
    assert manager.hears() == ["STOPPING=1"]
    manager.has_heard_nothing()


def test_a_mount_that_is_refused_is_never_ready(local, manager):
    local.write_configuration("[storage first]\ndriver = nonsense\n")
    with pytest.raises(MountFailed):
        local.start()
    manager.has_heard_nothing()


def test_a_mount_in_the_background_says_who_it_is(local, manager):
    local.start(background=True)
    assert f"MAINPID={local.pid}" in manager.hears()


def test_nobody_at_the_address(mount, tmp_path):
    for number, address in enumerate([str(tmp_path / "nobody"), "relative", "/" + 200 * "x", "@"]):
        base = tmp_path / f"base{number}"
        base.mkdir()
        made = mount({"first": {"driver": "local", "path": base}}, environment={"NOTIFY_SOCKET": address})
        assert made.default() == "first" and "service manager is not told" in made.log()


def test_the_command_of_the_unit_heals_what_a_crash_left(local, manager):
    """Killed, as by the kernel without memory; started again by Restart=on-failure, over the dead mount."""
    unit = unit_lines()
    assert unit["Type"] == "notify" and unit["Restart"] == "on-failure"
    words = {"@BINDIR@/storagefs": local.binary, "%f": local.point, "$STORAGEFS_OPTIONS": f"-c {local.configuration_file}"}
    command = [part for word in unit["ExecStart"].split() for part in shlex.split(str(words.get(word, word)))]
    for turn in range(2):
        with subprocess.Popen(command, env=local.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                assert f"MAINPID={process.pid}" in manager.hears(), "the manager would watch another process"
                assert is_mounted(local.point) and local.default() == "first"
                process.send_signal(signal.SIGKILL if turn == 0 else signal.SIGTERM)
                assert process.wait(SECONDS) == (-signal.SIGKILL if turn == 0 else 0)
            finally:
                process.kill()
        if turn == 0:
            with pytest.raises(OSError) as caught:
                os.statvfs(local.point)
            assert caught.value.errno == errno.ENOTCONN
    assert not is_mounted(local.point)


def test_the_kernel_reads_ahead_further_from_the_start(mount, tmp_path):
    """Said by sysfs, for a mount that nobody has asked anything yet."""
    (tmp_path / "first").mkdir()
    made = mount({"first": {"driver": "local", "path": tmp_path / "first"}})
    lines = [line.split() for line in open("/proc/self/mountinfo", encoding="utf-8")]
    number = next(fields[2] for fields in reversed(lines) if fields[4] == str(made.point))
    with open(f"/sys/class/bdi/{number}/read_ahead_kb", encoding="utf-8") as setting:
        assert setting.read() == "1024\n"
    assert made.status()["fast_paths"]["large_read_ahead"]
