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
        self.directory = None  # where its processes have their pid files
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

    def send_signal(self, process, number):
        """Sends a signal to one process of a server of the test's own: "rgw", "osd.0", "proxy", "moto"."""
        os.kill(int((self.directory / f"{process}.pid").read_text().split()[0]), number)


def missing_programs(*programs):
    """What to say when one of these programs is absent; None if all are there."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [program for program in programs if not shutil.which(program, path=path)]
    return f"not installed: {', '.join(absent)} (scripts/lib/install test)" if absent else None


CEPH_PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")


def _ceph_missing():
    return missing_programs(*CEPH_PROGRAMS)


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
    return missing_programs("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server",
                    "swift-ring-builder", "memcached")


def _moto_missing():
    if run(SERVERS / "moto.sh", "find", check=False).returncode:
        return "no moto_server here and no chroot (tests/servers/forky.sh build)"
    return None


def _ceph(port):
    return S3Server("ceph", port + 2, "TESTKEY", "TESTSECRET", "default", "ceph")


# The preset of AWS, but without names per bucket, and what it knows about conditions is its own.
NOT_QUITE_AWS = {"addressing": "path", "conditional_writes": "probe"}


def _swift(port):
    return S3Server("swift", port, "test:tester", "TESTERSECRET", "us-east-1", "swift_s3", {"conditional_writes": "probe"})


def _moto(port):
    return S3Server("moto", port, "motokey", "motosecret", "us-east-1", "s3", NOT_QUITE_AWS)


# name: (script, environment, what is missing, the server at a first port)
KINDS = {
    "ceph": ("ceph.sh", {}, _ceph_missing, _ceph),
    "new_ceph": ("ceph.sh", {"FORKY": "1"}, _new_ceph_missing, _ceph),
    "swift": ("swift.sh", {}, _swift_missing, _swift),
    "moto": ("moto.sh", {}, _moto_missing, _moto),
}


def _environment_of(name):
    """What the start script needs besides this environment; in the chroot the newer gateway is the machine's own."""
    return {} if name == "new_ceph" and _ceph_release() >= 20 else KINDS[name][1]


def _server_in(directory, name):
    server = KINDS[name][3](int((directory / "port").read_text()))
    server.directory = directory
    return server


@contextlib.contextmanager
def own_server(name, directory, **environment):
    """A server for one test alone, which may stop, kill and configure it; `environment` as its script describes."""
    script, _, missing, _ = KINDS[name]
    if reason := missing():
        raise Unavailable(f"{name}: {reason}")
    stop = shlex.join([str(SERVERS / script), "stop", str(directory)])
    guard = Guard(stop)
    try:
        run(SERVERS / script, "start", directory, env={**os.environ, **_environment_of(name), **environment}, timeout=180)
        yield _server_in(directory, name)
    finally:
        run("bash", "-c", stop)
        guard.release()
        shutil.rmtree(directory, ignore_errors=True)


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
        directory, script = self.directory / name, KINDS[name][0]
        # The lock makes the second user of a shared directory wait for the first one's start.
        command = 'exec 9>"$1.lock"; flock 9; compgen -G "$1/*.pid" >/dev/null || "$2" start "$1" 9>&-'
        return subprocess.Popen(["bash", "-c", command, "start", directory, SERVERS / script], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                env={**os.environ, **_environment_of(name)})

    def get(self, name):
        """The server of this name, running. Raises Unavailable, or AssertionError with the logs if it does not start."""
        if name not in self.servers:
            if reason := KINDS[name][2]():
                raise Unavailable(f"{name}: {reason}")
            self.prepare([name])
            _, said = self.starting[name].communicate(timeout=180)
            if self.starting[name].returncode:
                raise AssertionError(f"{name} did not start:\n{said}")
            self.servers[name] = _server_in(self.directory / name, name)
        return self.servers[name]

    def stop(self):
        for process in self.starting.values():
            process.wait()
        if self.is_shared:
            return
        run(SERVERS / "stop-all.sh", self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.guard.release()
