"""One container of an S3 server, mounted through a proxy that counts and spoils requests.

s3_case      s3_case(server, options={...}, **keys) gives an S3Case: its mount, proxy, container, and a client beside them
same_bytes   compares megabytes without printing them
errno_of   the errno that something fails with

The client of a case speaks to the server itself: what it does is never counted.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib

import pytest

from harness.mount import Mount
from harness.process import wait_until
from harness.proxy import CountingProxy
from harness.servers import S3Server

__all__ = ["proxies", "s3_case", "S3Case", "LONG", "errno_of", "same_bytes"]

# A freshness that no test outlives: what is known stays known until it is told otherwise.
LONG = "10m"
STORAGE = "store"


def same_bytes(found, wanted):
    """Compares without the megabytes that pytest would print."""
    assert len(found) == len(wanted), f"{len(found)} bytes, wanted {len(wanted)}"
    if found != wanted:
        first = next(i for i, (a, b) in enumerate(zip(found, wanted)) if a != b)
        raise AssertionError(f"the bytes differ from offset {first} on: {found[first:first + 16]!r}, wanted {wanted[first:first + 16]!r}")


def errno_of(action):
    """The errno that action() fails with, 0 if it does not."""
    try:
        action()
    except OSError as error:
        return error.errno
    return 0


@dataclasses.dataclass
class S3Case:
    """A mount whose storage `store` shows one container of `server` through `proxy`."""

    server: S3Server
    proxy: CountingProxy
    container: str
    mount: Mount
    is_probed: bool = False

    def __post_init__(self):
        self.client = self.server.client()

    @property
    def path(self) -> pathlib.Path:
        """The container's directory in the mount."""
        return self.mount.point / STORAGE / self.container

    def settled(self):
        """Lists the container and forgets all counts."""
        if not self.is_probed:
            wait_until(self._has_probed, message="the end of the probe")
            self.is_probed = True
        names = os.listdir(self.path)
        self.proxy.reset()
        return names

    def _has_probed(self):
        """True when nothing goes on by itself any more. The last request of a probe removes the copy of its object; where
        the preset knows what the service does, there is no probe."""
        if self.server.extra_settings.get("conditional_writes") != "probe":
            return self.state()["state"] == "up"
        return any(request["operation"] == "DeleteObject" and "storagefs-probe" in request["target"] and request["status"]
                   and request["target"].endswith("-copy") for request in self.proxy.requests())

    def counts(self):
        """Requests per operation since settled(), without those that did not happen."""
        return {name: count for name, count in self.proxy.counts().items() if count}

    def put(self, key, body=b"", **more):
        """Stores an object behind the mount's back; gives its ETag."""
        return self.client.put_object(Bucket=self.container, Key=key, Body=body, **more)["ETag"]

    def get(self, key):
        """The bytes of an object, as the server has them."""
        return self.client.get_object(Bucket=self.container, Key=key)["Body"].read()

    def head(self, key):
        return self.client.head_object(Bucket=self.container, Key=key)

    def keys(self):
        found = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.container)
        return [entry["Key"] for page in found for entry in page.get("Contents", [])]

    def unfinished(self):
        """Keys with a multi-part upload that nobody has ended."""
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=self.container).get("Uploads", [])]

    def checksum(self, key):
        """MD5 of an object's content, read in pieces."""
        digest = hashlib.md5()
        body = self.client.get_object(Bucket=self.container, Key=key)["Body"]
        for piece in body.iter_chunks(1 << 20):
            digest.update(piece)
        return digest.hexdigest()

    def refresh(self, name=""):
        """Makes the mount forget what it knows of the container, or of one name in it."""
        path = f"{STORAGE}/{self.container}" + (f"/{name}" if name else "")
        self.mount.control("refresh").write_text(path + "\n")

    def state(self):
        """What the mount's status says about the storage."""
        return next(storage for storage in self.mount.status()["storages"] if storage["name"] == STORAGE)

    def parked(self):
        """The uploads that the mount has put into its recovery directory."""
        return [upload for upload in self.mount.status()["uploads"] if upload["state"] == "parked"]

    def wait_injected(self, count=1):
        """Until the proxy's rules have applied `count` times."""
        return wait_until(lambda: len(self.proxy.injected()) >= count and self.proxy.injected(), message="the fault")


@pytest.fixture
def proxies():
    """Gives a proxy in front of a server; all end after the mounts that use them."""
    with contextlib.ExitStack() as ended:
        yield lambda server, options: ended.enter_context(server.counted(**options))


@pytest.fixture
def s3_case(proxies, bucket_of, mount):
    def make(server, options=None, container=None, proxy_options=None, endpoint=None, start=True, more_storages=None,
             environment=None, **keys):
        """container: one that is there, else a new one. endpoint: made from the proxy's {port}. A key None is left out."""
        proxy = proxies(server, proxy_options or {})
        container = container or bucket_of(server)
        address = endpoint.format(port=proxy.port) if endpoint else proxy.endpoint
        section = {**server.settings(address, containers=container), **keys}
        section = {key: value for key, value in section.items() if value is not None}
        made = mount({STORAGE: section, **(more_storages or {})}, options, start=start, environment=environment)
        return S3Case(server, proxy, container, made)

    return make
