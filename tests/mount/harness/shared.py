"""One mount for all tests of a module: for tests that change nothing but what lies in its containers.

box   a SharedStorage whose containers are empty; of every one of KINDS, or of those that the module names with
      pytestmark = box_of("local", "ceph-folders"), or CONTENT: of the usual kinds, and with a disk cache
"""

import dataclasses
import os
import shutil

import pytest

from harness.fixtures import STORAGE_KINDS
from harness.mount import Mount
from harness.process import clear_mount

__all__ = ["shared_storage", "box"]

# "-cached": with a disk cache that is small enough to remove something all the time. "-served": the daemon reads and
# writes the files, the kernel does not (passthrough = no). "-journal": durability = journal.
SHARED_KINDS = [*STORAGE_KINDS, "local-served"]
KINDS = {**STORAGE_KINDS, "local-folders": (None, True), "local-served": (None, False), "ceph-cached": ("ceph", False),
         "ceph-journal": ("ceph", False)}
OTHER = "other"


def box_of(*kinds):
    """A mark: the tests of this module have `box` of these kinds only."""
    return pytest.mark.parametrize("shared_storage", kinds, indirect=True)


CONTENT = box_of(*SHARED_KINDS, "ceph-cached", "ceph-journal")
FOLDERS = box_of("memory-folders", "local-folders", "ceph-folders", "moto-folders")


@dataclasses.dataclass
class SharedStorage:
    """A mount with the storage `store`, two containers in it, and another storage (memory) with one."""

    kind: str
    folders: bool
    mount: Mount
    container: str
    second_container: str
    server: object = None
    _client: object = None

    @property
    def path(self):
        """The first container's directory."""
        return self.mount.point / "store" / self.container

    @property
    def second_path(self):
        return self.mount.point / "store" / self.second_container

    @property
    def other_path(self):
        """A container of another storage."""
        return self.mount.point / OTHER / "box"

    @property
    def is_local(self):
        return self.server is None and "path" in self.mount.storages["store"]

    @property
    def is_lasting(self):
        """Whether what is stored survives the daemon."""
        return not self.kind.startswith("memory")

    @property
    def base(self):
        """The first container's directory on the disk below a local storage."""
        return self.mount.storages["store"]["path"] / self.container

    def client(self):
        """A boto3 client of the service, None for storages without one."""
        if self.server and not self._client:
            self._client = self.server.client()
        return self._client

    def keys(self, prefix=""):
        """The keys that the service itself lists in the first container, without those of a probe that runs."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.container, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [key for key in keys if not key.startswith(".storagefs-probe-")]

    def put(self, key, body=b"", **options):
        self.client().put_object(Bucket=self.container, Key=key, Body=body, **options)

    def get(self, key):
        """What the service has; what only the journal has, is stored first."""
        if self.kind.endswith("-journal"):
            self.mount.command("sync", self.mount.point)
        return self.client().get_object(Bucket=self.container, Key=key)["Body"].read()

    def refresh(self, path=""):
        """Makes the mount forget what it knows about a path below the first container."""
        self.mount.control("refresh").write_text(f"store/{self.container}/{path}".rstrip("/") + "\n")

    def empty(self):
        for container in (self.path, self.second_path, self.other_path):
            for entry in os.scandir(container):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)


def _settings(case, tmp_path_factory):
    containers = [case.container, case.second_container]
    if case.kind.startswith("memory"):
        return {"driver": "memory", "create_containers": containers, "minimum_part": "64K", "part_size": "128K"}
    if case.kind.startswith("local"):
        base = tmp_path_factory.mktemp("base")
        for container in containers:
            (base / container).mkdir()
        return {"driver": "local", "path": base}
    return case.server.settings(containers=containers, part_size="5M")


def _server_of(request, kind):
    name = KINDS.get(kind, (kind.removesuffix("-folders"), True))[0]
    if name in (None, "memory"):
        return None
    return request.getfixturevalue("swift_s3" if name == "swift" else name)


@pytest.fixture(scope="module", params=SHARED_KINDS)
def shared_storage(request, storagefs_binary, tmp_path_factory):
    kind = request.param
    case = SharedStorage(kind, kind.endswith("-folders"), None, "first", "second", _server_of(request, kind))
    if case.server:
        case.container, case.second_container = case.server.new_bucket(), case.server.new_bucket()
    try:
        settings = {**_settings(case, tmp_path_factory), "folders": case.folders}
        if kind.endswith("-journal"):
            settings["durability"] = "journal"
        other = {"driver": "memory", "create_containers": "box"}
        options = {"cache_size": "8M"} if kind.endswith("-cached") else {"passthrough": not kind.endswith("-served")}
        case.mount = Mount(storagefs_binary, tmp_path_factory.mktemp("mount"), {"store": settings, OTHER: other}, options)
        case.mount.start()
        failed = request.session.testsfailed
        yield case
        if request.session.testsfailed > failed:
            case.mount.kill()  # a test that fails may leave files open
        case.mount.close()
        shutil.rmtree(case.mount.directory, ignore_errors=True)
    finally:
        if case.mount and case.mount.is_running():
            case.mount.kill()
        for container in (case.container, case.second_container) if case.server else ():
            case.server.remove_bucket(container)


def _is_answering(case):
    process = case.mount.process
    return case.mount.is_running() and (process is None or process.poll() is None)


@pytest.fixture
def box(request, shared_storage):
    case = shared_storage
    if not _is_answering(case):
        case.mount._forget()
        clear_mount(case.mount.point)
        case.mount.start()
    case.empty()
    seen = len(case.mount.log())
    yield case
    if getattr(request.node, "has_failed", True):
        print(f"--- log of {case.mount.point}\n" + "\n".join(case.mount.log()[seen:].splitlines()[-60:]))
