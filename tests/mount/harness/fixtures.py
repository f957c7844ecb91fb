"""The fixtures. A conftest.py imports them all: from harness.fixtures import *.

storagefs_binary   path of the program; skips without it
ceph, new_ceph, swift_s3, moto   an S3Server each; skip with the reason where they cannot be had
own_server         own_server("ceph", OSDS="3") gives an S3Server that the test alone uses, and may kill
certificate        a Certificate for localhost and 127.0.0.1
public_directory   a directory to which every user can walk
bucket_of          bucket_of(server) gives a new bucket that is removed after the test
mount              mount(storages={...}, options={...}) gives a started Mount that is ended and checked after the test
storage_case       storage_case(kind, options={...}, **keys) gives a StorageCase of one of STORAGE_KINDS
each_storage       a StorageCase, for every one of STORAGE_KINDS
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

from harness.mount import Mount
from harness.process import SOURCE, is_mounted, run
from harness.servers import S3Server, ServerPool, Unavailable, own_server as start_own_server

__all__ = ["storagefs_binary", "server_pool", "ceph", "new_ceph", "swift_s3", "moto", "own_server", "certificate",
           "public_directory", "bucket_of", "mount", "storage_case", "each_storage", "pytest_collection_modifyitems", "pytest_runtest_makereport"]

# kind: (server or None, folder layout)
STORAGE_KINDS = {"memory": (None, False), "local": (None, False), "ceph": ("ceph", False), "ceph-folders": ("ceph", True),
                 "swift": ("swift", False), "moto": ("moto", False)}
SERVER_FIXTURES = {"ceph": "ceph", "new_ceph": "new_ceph", "swift_s3": "swift", "moto": "moto"}

_wanted_servers = set()


@dataclasses.dataclass
class Certificate:
    """Of a server on loopback, signed by itself: `authority` is what a client trusts, `both` also holds the key."""

    authority: pathlib.Path
    both: pathlib.Path


@dataclasses.dataclass
class StorageCase:
    """A mount with one storage and one empty container in it."""

    kind: str
    mount: Mount
    storage: str
    container: str
    folders: bool
    server: S3Server | None = None

    @property
    def path(self):
        """The container's directory in the mount."""
        return self.mount.point / self.storage / self.container


def pytest_collection_modifyitems(items):
    """Learns which servers the chosen tests will want, so that they can start side by side."""
    for item in items:
        _wanted_servers.update(SERVER_FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in SERVER_FIXTURES)
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        kinds = {str(parameters.get(name)).partition("-")[0] for name in ("each_storage", "shared_storage")}
        _wanted_servers.update(kinds & set(SERVER_FIXTURES.values()))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Lets fixtures see whether the test has failed, so that they can show the daemon's log."""
    report = (yield).get_result()
    if call.when == "call":
        item.has_failed = report.failed


@pytest.fixture(scope="session")
def storagefs_binary():
    binary = pathlib.Path(os.environ.get("STORAGEFS_BINARY") or SOURCE / "build" / "storagefs").resolve()
    if not os.access(binary, os.X_OK):
        pytest.skip(f"no program at {binary} (STORAGEFS_BINARY names it)")
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no /dev/fuse that we may open")
    return binary


@pytest.fixture(scope="session")
def server_pool():
    pool = ServerPool()
    try:
        pool.prepare(sorted(_wanted_servers))
        yield pool
    finally:
        pool.stop()


def _server(pool, name):
    try:
        return pool.get(name)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def ceph(server_pool):
    return _server(server_pool, "ceph")


@pytest.fixture(scope="session")
def new_ceph(server_pool):
    """The gateway of a release that knows every condition: this machine's own, or the one in the chroot."""
    return _server(server_pool, "new_ceph")


@pytest.fixture(scope="session")
def swift_s3(server_pool):
    return _server(server_pool, "swift")


@pytest.fixture(scope="session")
def moto(server_pool):
    return _server(server_pool, "moto")


@pytest.fixture
def own_server(tmp_path_factory):
    with contextlib.ExitStack() as started:
        def make(name, **environment):
            try:
                return started.enter_context(start_own_server(name, tmp_path_factory.mktemp("s"), **environment))
            except Unavailable as reason:
                return pytest.skip(str(reason))

        yield make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    made = Certificate(directory / "certificate.pem", directory / "both.pem")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", directory / "key.pem", "-out", made.authority)
    made.both.write_text(made.authority.read_text() + (directory / "key.pem").read_text())
    return made


@pytest.fixture
def public_directory():
    """Not below the directory of pytest, which any other run that starts meanwhile closes to others again."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="storagefs-public-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    if not any(is_mounted(entry) for entry in directory.iterdir()):
        shutil.rmtree(directory)


@pytest.fixture
def bucket_of():
    made = []

    def make(server, word="test"):
        made.append((server, server.new_bucket(word)))
        return made[-1][1]

    yield make
    for server, name in made:
        server.remove_bucket(name)


@pytest.fixture
def mount(request, storagefs_binary, tmp_path_factory):
    mounts = []

    def make(storages, options=None, start=True, **settings):
        """A Mount; start=False leaves it to the test to start it. Other arguments are Mount's."""
        made = Mount(storagefs_binary, tmp_path_factory.mktemp("mount"), storages, options, **settings)
        mounts.append(made)
        return made.start() if start else made

    yield make
    failures = []
    for made in mounts:
        try:
            made.close()
        except Exception as failure:  # every mount has to be closed before the first failure is shown
            failures.append(failure)
    _show_logs(mounts, bool(failures) or getattr(request.node, "has_failed", True))
    if failures:
        raise failures[0]


def _show_logs(mounts, has_failed):
    """After a failure, the logs go to the test's output; otherwise nothing needs to be kept."""
    for made in mounts:
        if has_failed:
            print(f"--- log of {made.point}\n{made.log_tail()}", file=sys.stderr)
        kept = (has_failed and os.environ.get("STORAGEFS_TEST_KEEP")) or is_mounted(made.point)
        if not kept:
            shutil.rmtree(made.directory, ignore_errors=True)


@pytest.fixture
def storage_case(request, mount, bucket_of, tmp_path):
    def make(kind, options=None, **keys):
        server_name, folders = STORAGE_KINDS[kind]
        case = StorageCase(kind, None, "store", "box", folders)
        if kind == "memory":
            settings = {"driver": "memory", "create_containers": case.container}
        elif kind == "local":
            base = tmp_path / "base"
            (base / case.container).mkdir(parents=True)
            settings = {"driver": "local", "path": base}
        else:
            case.server = request.getfixturevalue("swift_s3" if server_name == "swift" else server_name)
            case.container = bucket_of(case.server)
            settings = case.server.settings(containers=case.container)
        case.mount = mount({case.storage: {**settings, "folders": folders, **keys}}, options)
        return case

    return make


@pytest.fixture(params=STORAGE_KINDS)
def each_storage(request, storage_case):
    return storage_case(request.param)
