"""What is measured: storagefs and its peers, each mounted afresh for every session.

A contestant is made once; `mount(bucket)` mounts it cold and returns the directory that shows the bucket, `unmount()`
ends it. While it is mounted, `pid` is the daemon's (None where there is no daemon).
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

MOUNT_SECONDS = 30
END_SECONDS = 120


def environment(home):
    """Ours without what leads a client to this machine's accounts, settings and proxies."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("AWS_", "XDG_", "RCLONE_")) and not name.lower().endswith("_proxy")}
    return {**kept, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}


class ContestantError(Exception):
    """It did not mount, or did not end."""


class Contestant:
    """label names it in the results; work is a directory of its own, emptied before each mount."""

    network = True

    def __init__(self, label, work):
        self.label, self.work, self.point = label, pathlib.Path(work), pathlib.Path(work) / "mnt"
        self.process = None
        self.pid = None

    def command(self, bucket):
        """The words of a command that mounts and stays in the foreground."""
        raise NotImplementedError

    def directory(self, bucket):
        return self.point

    def mount(self, bucket):
        if self.work.exists():
            shutil.rmtree(self.work)
        self.point.mkdir(parents=True)
        with open(self.work / "log", "wb") as log:
            self.process = subprocess.Popen(self.command(bucket), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment(self.work), start_new_session=True)
        self.pid = self.process.pid
        deadline = time.monotonic() + MOUNT_SECONDS
        while not os.path.ismount(self.point) or not self.directory(bucket).is_dir():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = " ".join(self.log_text().split())
                self.unmount()
                raise ContestantError(f"{self.label} did not mount: {said}")
            time.sleep(0.02)
        return self.directory(bucket)

    def log_text(self):
        return (self.work / "log").read_text(errors="replace")[-2000:].strip()

    def unmount(self):
        """Ends the daemon and waits for it. A daemon that does not end is killed, and that is an error."""
        if not self.process:
            return
        process, self.process, self.pid = self.process, None, None
        deadline = time.monotonic() + END_SECONDS
        late = False
        while os.path.ismount(self.point) or process.poll() is None:
            if time.monotonic() > deadline and not late:
                late = True
                process.kill()
                subprocess.run(["umount", "-l", self.point], check=False, capture_output=True)
            if os.path.ismount(self.point):
                subprocess.run(["fusermount3", "-u", self.point], check=False, capture_output=True)
            time.sleep(0.02)
        if late:
            raise ContestantError(f"{self.label} did not end within {END_SECONDS} s")

    def abandon(self):
        """Ends it at once, after a failure."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            subprocess.run(["umount", "-l", self.point], check=False, capture_output=True)
            self.process.wait()
            self.process = self.pid = None


class StorageFs(Contestant):
    """One storagefs binary over S3, with the bucket as its container. `options` and `keys` are added to its configuration."""

    def __init__(self, label, work, binary, endpoint, options=None, keys=None):
        super().__init__(label, work)
        self.binary, self.endpoint, self.options, self.keys = binary, endpoint, options or {}, keys or {}

    def storage(self, bucket):
        """The keys of its section. The named container is tried out at once, not by what is measured."""
        access, secret = self.endpoint.credentials
        return {"driver": "s3", "endpoint": self.endpoint.url, "region": getattr(self.endpoint, "region", "us-east-1"),
                "containers": bucket, "access_key_id": access, "secret_access_key": secret, "attributes": "listing", "addressing": "path"}

    def command(self, bucket):
        options = {"state_dir": self.work / "state", "cache_dir": self.work / "cache", "log_level": "warning", **self.options}
        lines = ["[storagefs]", *(f"{name} = {value}" for name, value in options.items()), "", "[storage bench]",
                 *(f"{name} = {value}" for name, value in {**self.storage(bucket), **self.keys}.items())]
        configuration = self.work / "storagefs.conf"
        configuration.touch(0o600)
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [self.binary, "mount", "-f", "-c", configuration, self.point]

    def directory(self, bucket):
        return self.point / "bench" / bucket


class StorageFsLocal(StorageFs):
    """The same over a directory of this machine."""

    network = False

    def __init__(self, label, work, binary, base, options=None, keys=None):
        super().__init__(label, work, binary, None, options, keys)
        self.base = base

    def storage(self, _bucket):
        return {"driver": "local", "path": self.base}


class Rclone(Contestant):
    """rclone mount; mode is that of its cache, full or writes."""

    def __init__(self, work, endpoint, mode):
        super().__init__(f"rclone {mode}", work)
        self.endpoint, self.mode = endpoint, mode
        known = "".join(subprocess.run(["rclone", *words], capture_output=True, text=True, check=True).stdout
                        for words in (("help", "flags"), ("mount", "--help")))
        wanted = {"--s3-no-check-bucket": None, "--s3-disable-checksum": None, "--s3-no-head": None,
                  "--s3-use-unsigned-payload": "true", "--s3-upload-concurrency": "4", "--s3-chunk-size": "16M",
                  "--use-server-modtime": None, "--no-checksum": None, "--vfs-fast-fingerprint": None, "--vfs-write-back": "0s",
                  "--dir-cache-time": "1h", "--attr-timeout": "60s", "--poll-interval": "0", "--transfers": "16", "--checkers": "16",
                  "--buffer-size": "16M" if mode == "full" else "32M", "--vfs-read-chunk-size": "128M"}
        self.flags = [f"{flag}={value}" if value else flag for flag, value in wanted.items() if flag in known]

    def command(self, bucket):
        access, secret = self.endpoint.credentials
        configuration = self.work / "rclone.conf"
        configuration.touch(0o600)
        configuration.write_text(
            f"[bench]\ntype = s3\nprovider = Other\naccess_key_id = {access}\nsecret_access_key = {secret}\n"
            f"endpoint = {self.endpoint.url}\nregion = {getattr(self.endpoint, 'region', 'us-east-1')}\nforce_path_style = true\n",
            encoding="utf-8")
        return ["rclone", "mount", f"bench:{bucket}", self.point, "--config", configuration, "--cache-dir", self.work / "cache",
                "--vfs-cache-mode", self.mode, *self.flags]


class S3fs(Contestant):
    """s3fs with parallel requests and a stat cache large enough; with a disk cache only where that is measured."""

    def __init__(self, work, endpoint, cache=False):
        super().__init__("s3fs, cache" if cache else "s3fs", work)
        self.endpoint, self.cache = endpoint, cache

    def command(self, bucket):
        passwords = self.work / "passwords"
        passwords.touch(0o600)
        passwords.write_text(":".join(self.endpoint.credentials), encoding="utf-8")
        options = (f"passwd_file={passwords},url={self.endpoint.url},use_path_request_style,umask=0022,parallel_count=8,"
                   "multipart_size=16,multireq_max=64,enable_noobj_cache,max_stat_cache_size=300000,stat_cache_expire=900")
        if self.cache:
            (self.work / "cache").mkdir()
            options += f",use_cache={self.work / 'cache'}"
        return ["s3fs", bucket, self.point, "-f", "-o", options]


class Place(str):
    """An address that names are added to as to a directory."""

    def __truediv__(self, name):
        return Place(f"{self}/{name}")


class BareClient(Contestant):
    """No file system at all: the same loops as plain requests to the server (workload_http.h). What bounds all the others."""

    def __init__(self, work, endpoint):
        super().__init__("bare client", work)
        self.endpoint = endpoint

    def mount(self, bucket):
        return Place(f"{self.endpoint.url}/{bucket}")


class DiskFile(Contestant):
    """A file where the others keep their disk caches: what reading from it costs them at the least."""

    def __init__(self, work, size):
        super().__init__("file on disk", work)
        self.size = size

    def mount(self, bucket):
        directory = self.work / bucket
        shutil.rmtree(self.work, ignore_errors=True)
        directory.mkdir(parents=True)
        content = os.urandom(1 << 20)
        with open(directory / "big", "wb") as file:
            for _ in range(self.size >> 20):
                file.write(content)
        return directory

    def unmount(self):
        shutil.rmtree(self.work, ignore_errors=True)


class Directory(Contestant):
    """The directory itself, for what a local storage costs."""

    network = False

    def __init__(self, work, base):
        super().__init__("directory", work)
        self.base = pathlib.Path(base)

    def mount(self, bucket):
        return self.base / bucket


class NullFs(Contestant):
    """A FUSE file system that has one file of zeros and forgets what is written: what FUSE itself costs."""

    network = False

    def __init__(self, work, program, size):
        super().__init__("null filesystem", work)
        self.program, self.size = program, size

    def command(self, bucket):
        return [self.program, str(self.size), self.point]

    def mount(self, bucket):
        """With the read-ahead that storagefs asks the kernel for, where that may be set."""
        directory = super().mount(bucket)
        device = os.stat(directory).st_dev
        with contextlib.suppress(PermissionError):
            file = pathlib.Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
            file.write_text("1024", encoding="utf-8")
        return directory
