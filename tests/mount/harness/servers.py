"""Real S3 servers, each started once per session by the scripts in tests/servers.

`ServerPool.prepare()` begins to start several at once; `get()` waits for one. A server whose programs are missing raises
`Unavailable`, which the fixtures turn into a skip with its reason.
"""

import contextlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import uuid

import boto3
import botocore.config
import botocore.exceptions

from harness.process import SERVERS, Guard, run
from harness.proxy import CountingProxy


class Unavailable(Exception):
    """A server cannot be had on this machine; the text says what is missing."""


class S3Server:
    """A running server: where it is, how to authenticate, clients and buckets for a test."""

    def __init__(self, name, port, access_key, secret_key, region, preset, settings=None):
        self.name, self.port, self.region, self.preset = name, port, region, preset
        self.access_key, self.secret_key = access_key, secret_key
        self.upstream = f"127.0.0.1:{port}"
        self.endpoint = f"http://{self.upstream}"
        self.extra_settings = settings or {}

    def settings(self, endpoint=None, **more):
        """The keys of a [storage ...] section for this server, or for the proxy whose endpoint is given."""
        return {"driver": self.preset, "endpoint": endpoint or self.endpoint, "region": self.region,
                "access_key_id": self.access_key, "secret_access_key": self.secret_key, **self.extra_settings, **more}

    def client(self, endpoint=None, access_key=None, secret_key=None, **config):
        """A boto3 client that makes no retries and adds no checksums of its own."""
        config.setdefault("retries", {"total_max_attempts": 1})
        config.setdefault("s3", {"addressing_style": "path"})
        if "request_checksum_calculation" in botocore.config.Config.OPTION_DEFAULTS:
            config.setdefault("request_checksum_calculation", "when_required")
            config.setdefault("response_checksum_validation", "when_required")
        return boto3.session.Session().client(
            "s3", endpoint_url=endpoint or self.endpoint, region_name=self.region, aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            config=botocore.config.Config(signature_version="s3v4", connect_timeout=10, read_timeout=60, proxies={}, **config))

    def counted(self, **options):
        """A CountingProxy in front of this server."""
        return CountingProxy(self.upstream, **options)

    def new_bucket(self, word="test"):
        """Creates a bucket with a name of its own and returns the name."""
        name = f"{word}-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def remove_bucket(self, name):
        """Removes a bucket with all that is in it; what cannot be removed stays."""
        client = self.client()
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
                client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            while found := client.list_objects_v2(Bucket=name).get("Contents"):
                for entry in found:
                    client.delete_object(Bucket=name, Key=entry["Key"])
            client.delete_bucket(Bucket=name)

    def bucket_names(self):
        return {bucket["Name"] for bucket in self.client().list_buckets()["Buckets"]}


def _missing(*programs):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [program for program in programs if not shutil.which(program, path=path)]
    return f"not installed: {', '.join(absent)} (scripts/lib/install test)" if absent else None


CEPH_PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")


def _ceph_missing():
    return _missing(*CEPH_PROGRAMS)


def _new_ceph_missing():
    if _ceph_release() >= 20:
        return None
    done = run(SERVERS / "forky.sh", "path", check=False)
    return done.stderr.strip() if done.returncode else None


def _ceph_release():
    """Major version of this machine's own gateway, 0 without one."""
    if _ceph_missing():
        return 0
    words = run("radosgw", "--version").stdout.split()
    return int(words[2].split(".")[0])


def _swift_missing():
    return _missing("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server",
                    "swift-ring-builder", "memcached")


def _moto_missing():
    if run(SERVERS / "moto.sh", "find", check=False).returncode:
        return "no moto_server here and no chroot (tests/servers/forky.sh build)"
    return None


def _ceph(port):
    return S3Server("ceph", port + 2, "TESTKEY", "TESTSECRET", "default", "ceph")


def _swift(port):
    return S3Server("swift", port, "test:tester", "testing", "us-east-1", "s3")


def _moto(port):
    return S3Server("moto", port, "motokey", "motosecret", "us-east-1", "s3")


# name: (script, environment, what is missing, the server at a first port)
KINDS = {
    "ceph": ("ceph.sh", {}, _ceph_missing, _ceph),
    "new_ceph": ("ceph.sh", {"FORKY": "1"}, _new_ceph_missing, _ceph),
    "swift": ("swift.sh", {}, _swift_missing, _swift),
    "moto": ("moto.sh", {}, _moto_missing, _moto),
}


class ServerPool:
    """The servers of this session, in one directory; or those of STORAGEFS_TEST_SERVERS, which others use too."""

    def __init__(self):
        shared = os.environ.get("STORAGEFS_TEST_SERVERS")
        self.is_shared = bool(shared)
        self.directory = pathlib.Path(shared or tempfile.mkdtemp(prefix="storagefs-servers-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.guard = None
        self.starting = {}
        self.servers = {}
        if not shared:
            directory = shlex.quote(str(self.directory))
            self.guard = Guard(f"{shlex.quote(str(SERVERS / 'stop-all.sh'))} {directory}; rm -rf {directory}")

    def prepare(self, names):
        """Begins to start these servers, all at once, where they can be had."""
        for name in names:
            if name not in self.starting and not KINDS[name][2]():
                self.starting[name] = self._begin(name)

    def _begin(self, name):
        script, environment, _, _ = KINDS[name]
        if name == "new_ceph" and _ceph_release() >= 20:
            environment = {}
        directory = self.directory / name
        # The lock makes the second user of a shared directory wait for the first one's start.
        command = 'exec 9>"$1.lock"; flock 9; compgen -G "$1/*.pid" >/dev/null || "$2" start "$1" 9>&-'
        return subprocess.Popen(["bash", "-c", command, "start", directory, SERVERS / script], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                env={**os.environ, **environment})

    def get(self, name):
        """The server of this name, running. Raises Unavailable, or AssertionError with the logs if it does not start."""
        if name not in self.servers:
            if reason := KINDS[name][2]():
                raise Unavailable(f"{name}: {reason}")
            self.prepare([name])
            _, said = self.starting[name].communicate(timeout=180)
            if self.starting[name].returncode:
                raise AssertionError(f"{name} did not start:\n{said}")
            self.servers[name] = KINDS[name][3](int((self.directory / name / "port").read_text()))
        return self.servers[name]

    def stop(self):
        if self.is_shared:
            return
        for process in self.starting.values():
            process.wait()
        run(SERVERS / "stop-all.sh", self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.guard.release()
