"""Containers that are not there, or not any more: told at once, and made anew at once."""

import errno
import os
import time
import uuid

import pytest

from harness.process import run, wait_until
from harness.s3 import LONG, errno_of

# Longer than the default freshness; how long look-ups trust in a container is ten times as much.
OLD_SECONDS = 1.5


@pytest.fixture(params=["moto", "ceph"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def open_case(s3_case, server):
    """A storage that shows every container of its account; gives a name that no other test uses."""
    case = s3_case(server, containers=None)
    name = f"gone-{uuid.uuid4().hex[:12]}"
    yield case, case.mount.point / "store" / name
    server.remove_bucket(name)


def test_a_container_that_was_never_there(s3_case, server, bucket_of):
    there, absent = bucket_of(server), f"absent-{uuid.uuid4().hex[:12]}"
    case = s3_case(server, container=there, containers=f"{absent};{there}")
    path = case.mount.point / "store" / absent
    assert there in os.listdir(path.parent)
    assert errno_of(lambda: os.stat(path)) == errno.ENOENT
    assert run("ls", path, check=2).stdout == ""
    assert run("ls", path.parent).stdout.split() == [there]
    try:
        os.mkdir(path)
        assert os.listdir(path) == [] and absent in server.bucket_names()
        os.rmdir(path)
        assert absent not in server.bucket_names() and not path.exists()
    finally:
        server.remove_bucket(absent)


def test_a_configured_name_is_no_answer(s3_case, server, bucket_of):
    """The list of a storage with `containers =` is the configuration: it says nothing of what there is."""
    there, absent = bucket_of(server), f"absent-{uuid.uuid4().hex[:12]}"
    case = s3_case(server, {"freshness": LONG}, container=there, containers=f"{absent};{there}")
    os.listdir(case.mount.point / "store")
    assert errno_of(lambda: os.stat(case.mount.point / "store" / absent)) == errno.ENOENT
    assert os.stat(case.path).st_ino


def test_a_container_that_goes_is_told_when_it_is_opened(open_case, server):
    case, path = open_case
    os.mkdir(path)
    assert os.listdir(path) == []
    server.client().delete_bucket(Bucket=path.name)
    time.sleep(OLD_SECONDS)
    assert "No such file" in run("ls", path, check=2).stderr
    wait_until(lambda: os.mkdir(path) or True, timeout=1, message="the container to be made anew")
    assert path.name in server.bucket_names() and os.listdir(path) == []
    (path / "doc").write_bytes(b"content")
    assert server.client().get_object(Bucket=path.name, Key="doc")["Body"].read() == b"content"


def test_a_container_that_goes_while_it_is_open(open_case, server):
    """readdir(3) takes ENOENT for the end: what cannot be listed any more must not look empty."""
    case, path = open_case
    os.mkdir(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        server.client().delete_bucket(Bucket=path.name)
        time.sleep(OLD_SECONDS)
        assert os.listdir(descriptor) == []  # what was known when it was opened
        assert errno_of(lambda: os.listdir(descriptor)) == errno.ESTALE
    finally:
        os.close(descriptor)
    assert errno_of(lambda: os.stat(path)) == errno.ENOENT
    os.mkdir(path)


def test_rmdir_of_a_container_that_has_gone(open_case, server):
    case, path = open_case
    os.mkdir(path)
    server.client().delete_bucket(Bucket=path.name)
    assert errno_of(lambda: os.rmdir(path)) in (0, errno.ENOENT)
    wait_until(lambda: os.mkdir(path) or True, timeout=1, message="the container to be made anew")
    assert path.name in server.bucket_names()


def test_a_listing_costs_what_it_did(s3_case, server):
    """Seeing that the container is there is the first page of its listing, not one request more."""
    case = s3_case(server)
    case.put("doc", b"x")
    case.settled()
    time.sleep(OLD_SECONDS)
    case.proxy.reset()
    assert os.listdir(case.path) == ["doc"]
    assert case.counts().get("ListObjects", 0) + case.counts().get("ListObjectsV2", 0) == 1
    assert case.counts().get("HeadBucket", 0) == 0
