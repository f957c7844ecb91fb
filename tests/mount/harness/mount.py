"""One mount of storagefs: its configuration file, its daemon, its logs.

    mount = Mount(binary, directory, {"first": {"driver": "local", "path": "..."}}, {"freshness": 0})
    mount.start()
    (mount.point / "first" / "box" / "note").write_text("hello")
    mount.remount(); mount.umount()

umount() checks that the daemon ended with code 0 and that its log holds no report of a sanitizer, no failed assertion,
and that none of the secrets of the configuration is in its log, its control files, its state or its cache. close() does the
same and always leaves nothing mounted and nothing running.
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess

from harness.process import Guard, clear_mount, is_alive, is_mounted, run, wait_until

START_SECONDS = 60
END_SECONDS = 120
LIFE_SECONDS = 900
# Of a file in the daemon's own directories: what it writes about is at the beginning, the rest is what users store.
SEARCHED_BYTES = 1 << 18
TELLING = ("status", "uploads", "metrics", "storages")

SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")
REPORTS = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error:|-CRITICAL \*\*|\bERROR:\S+:\d+:\w+: |assertion .* failed")
SECRET_WORDS = re.compile(r"secret|token|password|customer_key", re.IGNORECASE)


class MountFailed(Exception):
    """storagefs mount refused; `returncode` is its exit code, `log` what it said."""

    def __init__(self, returncode, log):
        super().__init__(f"storagefs mount ended with code {returncode}:\n{log}")
        self.returncode, self.log = returncode, log


def _text_of(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ";".join(map(str, value))
    return str(value)


def configuration_text(storages, options):
    """The configuration file for {name: {key: value}} and {key: value}; lists are joined by ';', booleans are yes, no."""
    lines = ["[storagefs]"] + [f"{key} = {_text_of(value)}" for key, value in options.items()]
    for name, keys in storages.items():
        lines += ["", f"[storage {name}]"] + [f"{key} = {_text_of(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def hermetic_environment(directory):
    """This environment without what would lead storagefs to this machine's accounts and proxies; HOME is `directory`."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("AWS_", "XDG_")) and not name.lower().endswith("_proxy")}
    extra = dict(word.partition("=")[::2] for word in shlex.split(os.environ.get("STORAGEFS_TEST_ENV", "")))
    return {**kept, "HOME": str(directory), "AWS_EC2_METADATA_DISABLED": "true", **extra}


class Mount:
    """directory is the mount's own: configuration, log, state, cache and, unless given, the mount point are in it."""

    def __init__(self, binary, directory, storages, options=None, mount_options=(), environment=None, point=None):
        self.binary = pathlib.Path(binary)
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.point = pathlib.Path(point or self.directory / "mnt")
        self.point.mkdir(exist_ok=True)
        self.configuration_file = self.directory / "storagefs.conf"
        self.log_file = self.directory / "storagefs.log"
        self.storages = storages
        self.options = {"state_dir": self.directory / "state", "cache_dir": self.directory / "cache", **(options or {})}
        self.mount_options = list(mount_options)
        self.environment = self._environment(environment or {})
        self.process = None  # the daemon, when it is our child
        self.pid = None
        self.guard = None
        self.write_configuration()

    # --- configuration

    def _environment(self, more):
        environment = {**hermetic_environment(self.directory), **more}
        # A daemon in the background has no stderr, and some reports come after the log is closed: they get files.
        for name in SANITIZERS:
            report = f"log_path={self.directory / 'sanitizer'}"
            environment[name] = ":".join(filter(None, [environment.get(name), report]))
        return environment

    def write_configuration(self, text=None):
        """Writes the configuration file anew, from `storages` and `options` or as the text that is given."""
        if text is None:
            text = configuration_text(self.storages, self.options)
        self.configuration_file.unlink(missing_ok=True)
        descriptor = os.open(self.configuration_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def secrets(self):
        """Values that must not be found in anything that the daemon writes."""
        found = {str(value) for keys in self.storages.values() for key, value in keys.items() if SECRET_WORDS.search(key)}
        found |= {value for name, value in self.environment.items() if name.startswith("AWS_") and SECRET_WORDS.search(name)}
        return {secret for secret in found if len(secret) >= 6}

    # --- life

    def start(self, *arguments, background=False):
        """Mounts and waits until the mount answers. `arguments` go to `storagefs mount`. Raises MountFailed."""
        assert not self.is_running(), "it is mounted already"
        command = [self.binary, "mount", "-c", self.configuration_file, *arguments]
        command += ["-o", ",".join(self.mount_options)] if self.mount_options else []
        if background:
            self._start_background([*command, self.point])
        else:
            self._start_foreground([*command, "-f", self.point])
        kill = f"kill -ABRT {self.pid}; sleep 2; kill -KILL {self.pid}"
        point = shlex.quote(str(self.point))
        self.guard = Guard(f"{kill}; fusermount3 -u {point} || umount -l {point}", timeout=LIFE_SECONDS)
        return self

    def _start_foreground(self, command):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(list(map(os.fspath, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment, cwd="/", start_new_session=True)
        self.pid = self.process.pid
        try:
            wait_until(self._answers, START_SECONDS, "an answer of the mount")
        except (AssertionError, subprocess.TimeoutExpired):
            self.kill()
            raise

    def _answers(self):
        if self.process.poll() is not None:
            code = self.process.returncode
            self._forget()
            clear_mount(self.point)
            raise MountFailed(code, self.log())
        if not is_mounted(self.point):
            return False
        # Where a dead mount is cleared by the new one: a dead one never answers statfs(2), the kernel may still know its
        # attributes; what answers after that is the directory below, of its parent's file system, or the new mount.
        if run("stat", "--file-system", self.point, check=False, timeout=START_SECONDS).returncode:
            return False
        said = run("stat", "--format=%d", self.point, self.point.parent, check=False, timeout=START_SECONDS)
        return said.returncode == 0 and len(set(said.stdout.split())) == 2

    def _start_background(self, command):
        done = run(*command, check=False, timeout=START_SECONDS, env=self.environment)
        with open(self.log_file, "a", encoding="utf-8", errors="surrogateescape") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode:
            raise MountFailed(done.returncode, done.stdout + done.stderr)
        assert is_mounted(self.point), "storagefs mount returned 0 and nothing is mounted"
        self.pid = wait_until(self._find_daemon, message="the process of the daemon")

    def _find_daemon(self):
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if os.fsencode(self.point) in words and os.fsencode(self.binary) in words[:2] and is_alive(entry.name):
                    return int(entry.name)
        return None

    def is_running(self):
        return self.pid is not None

    def remount(self, *arguments, **options):
        """Unmounts with all checks and mounts again, with the configuration as it is now in `storages` and `options`."""
        self.umount()
        self.write_configuration()
        return self.start(*arguments, **options)

    def umount(self, how="command"):
        """Ends the mount by "command" (storagefs umount), "signal" (SIGTERM) or "kernel" (fusermount3 -u); checks the end."""
        self.check_control()
        if how == "command":
            self.command("umount", self.point, timeout=END_SECONDS)
        elif how == "signal":
            os.kill(self.pid, signal.SIGTERM)
        else:
            run("fusermount3", "-u", self.point)
        self._wait_end(END_SECONDS)
        assert not is_mounted(self.point), "the daemon has ended and its mount is still there"
        self.check_log()

    def _wait_end(self, timeout):
        code = 0
        if self.process:
            code = self.process.wait(timeout)
        else:
            wait_until(lambda: not is_alive(self.pid), timeout, "the end of the daemon")
        self._forget()
        if code:
            self.check_log()  # a report says more than the code
        assert code == 0, f"the daemon ended with code {code}:\n{self.log_tail()}"

    def _forget(self):
        self.process = self.pid = None
        if self.guard:
            self.guard.release()
            self.guard = None

    def kill(self, clear=True):
        """Ends the daemon by SIGKILL, as a crash would; clear=False leaves the dead mount point."""
        os.kill(self.pid, signal.SIGKILL)
        if self.process:
            self.process.wait(END_SECONDS)
        else:
            wait_until(lambda: not is_alive(self.pid), END_SECONDS, "the end of the daemon")
        self._forget()
        if clear:
            clear_mount(self.point)

    def close(self):
        """The end of a test: unmounts and checks; whatever fails, nothing stays mounted or running."""
        try:
            if self.is_running():
                self.umount()
            else:
                self.check_log()
        finally:
            if self.is_running():
                self.kill()
            assert clear_mount(self.point), f"cannot unmount {self.point}"

    # --- what it says

    def log(self):
        """All that the daemon has said since the first start, and what the sanitizers have."""
        files = [self.log_file, *sorted(self.directory.glob("sanitizer.*"))]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def log_tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def check_log(self):
        log = self.log()
        if report := REPORTS.search(log):
            raise AssertionError(f"the daemon's log holds a report:\n{log[max(0, report.start() - 500):report.start() + 8000]}")
        self._check_secrets(self.log_file, log)
        self.check_directories()

    def _check_secrets(self, where, text):
        for secret in self.secrets():
            assert secret not in text, f"a secret of the configuration is in {where}"

    def check_control(self):
        """None of the secrets is in what the control files say. A daemon that does not answer is another test's matter."""
        for name in TELLING if self.secrets() else ():
            with contextlib.suppress(OSError):
                self._check_secrets(self.control(name), self.control(name).read_text(errors="replace"))

    def check_directories(self):
        """None of the secrets is in the state and cache directories."""
        for option in ("state_dir", "cache_dir") if self.secrets() else ():
            for directory, _, names in os.walk(self.options[option]):
                for path in (pathlib.Path(directory) / name for name in names):
                    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                        self._check_secrets(path, file.read(SEARCHED_BYTES).decode(errors="replace"))

    def command(self, *arguments, check=True, timeout=120, **options):
        """Runs the binary with these arguments in the mount's environment, to its end."""
        return run(self.binary, *arguments, check=check, timeout=timeout, env=self.environment, **options)

    def control(self, name):
        return self.point / ".control" / name

    def status(self):
        return json.loads(self.control("status").read_text())

    def default(self):
        """What the link `default` names."""
        return os.readlink(self.point / "default")

    def __truediv__(self, path):
        return self.point / path
