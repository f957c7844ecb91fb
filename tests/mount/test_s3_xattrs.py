"""`storagefs.*` attributes: what the service says of an object, and a URL that needs no credentials. And how much metadata
a service keeps."""

import errno
import os
import subprocess

import pytest

from harness.files import fails_with, random_bytes
from harness.process import run
from harness.s3 import LONG

MIB = 1 << 20
SERVERS = ["ceph", "swift_s3", "moto"]
NAMES = ["storagefs.etag", "storagefs.key", "storagefs.storage_class", "storagefs.url", "storagefs.version"]


@pytest.fixture
def case(s3_case, request):
    return s3_case(request.getfixturevalue(request.param), {"freshness": LONG}, part_size="5M")


def get(path, name):
    return os.getxattr(path, f"storagefs.{name}").decode()


def fetch(url, *options):
    """With curl, which knows nothing of us; gives status and body."""
    done = subprocess.run(["curl", "--silent", "--noproxy", "*", "--write-out", "%{http_code}", *options, url], capture_output=True, check=True,
                          timeout=60, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    return int(done.stdout[-3:]), done.stdout[:-3]


@pytest.mark.parametrize("case", SERVERS, indirect=True)
def test_what_the_service_says(case):
    for key, body in (("dir/sm\u00e4ll file", b"content"), ("large", random_bytes(12 * MIB))):
        path = case.path / key.replace("/", "%2F")
        path.write_bytes(body)
        assert get(path, "key") == key and get(path, "etag") == case.head(key)["ETag"].strip('"')
        path.write_bytes(body + b"more")
        assert get(path, "etag") == case.head(key)["ETag"].strip('"')
        assert not [name for name in os.listxattr(path) if name.startswith("storagefs.")]
        for name in NAMES:
            fails_with((errno.ENOTSUP, errno.EPERM, errno.EACCES), os.setxattr, path, name, b"x")
            fails_with((errno.ENOTSUP, errno.EPERM, errno.EACCES), os.removexattr, path, name)
        fails_with(errno.ENODATA, os.getxattr, path, "storagefs.nonsense")
        fails_with(errno.ENODATA, os.getxattr, path, "storagefs.version")


@pytest.mark.parametrize("case", ["ceph", "moto"], indirect=True)
def test_versions(case):
    case.client.put_bucket_versioning(Bucket=case.container, VersioningConfiguration={"Status": "Enabled"})
    path = case.path / "doc"
    versions = []
    for body in (b"one", b"two"):
        path.write_bytes(body)
        versions.append(case.head("doc")["VersionId"])
        assert get(path, "version") == versions[-1]
    os.utime(path, ns=(5, 5))
    assert get(path, "version") == case.head("doc")["VersionId"] not in versions
    for version in case.client.list_object_versions(Bucket=case.container)["Versions"]:
        case.client.delete_object(Bucket=case.container, Key=version["Key"], VersionId=version["VersionId"])


@pytest.mark.parametrize("case", SERVERS, indirect=True)
def test_a_url_without_credentials(case):
    for key in ("doc", "dir/b", "sp ace+\u00fc%?#&=", "100%", "a//b", "quote'\"", "~*()!"):
        path = case.path / key.replace("/", "%2F")
        path.write_bytes(key.encode())
        url = get(path, "url")
        assert case.server.secret_key not in url and url.startswith(case.proxy.endpoint + "/")
        assert fetch(url) == (200, key.encode())
        assert fetch(url, "--range", "1-2") == (206, key.encode()[1:3])
    if case.server.name == "moto":
        return  # it checks no signature
    status, _ = fetch(url.partition("?")[0])
    assert status in (400, 403)
    assert fetch(url, "--request", "DELETE")[0] == 403 and case.head(key)["ContentLength"] == len(key.encode())
    other = get(case.path / "doc", "url")
    assert fetch(other.replace("/doc?", "/dir/b?"))[0] == 403


def test_a_url_that_has_expired(s3_case, ceph):
    case = s3_case(ceph, url_lifetime="1s")
    (case.path / "doc").write_bytes(b"content")
    url = get(case.path / "doc", "url")
    run("sleep", "2.1")
    assert fetch(url)[0] == 403 and fetch(get(case.path / "doc", "url")) == (200, b"content")


def test_a_url_of_an_unfinished_file_is_of_what_is_stored(s3_case, ceph):
    case = s3_case(ceph)
    (case.path / "doc").write_bytes(b"content")
    with open(case.path / "doc", "ab") as file:
        file.write(b" and more")
        assert fetch(get(case.path / "doc", "url")) == (200, b"content")
    assert fetch(get(case.path / "doc", "url")) == (200, b"content and more")


# --- how much there may be. server: (bytes of one value, of a name, of all)
LIMITS = {"ceph": (None, None, 2048), "swift_s3": (256, 128, 2048)}


@pytest.mark.parametrize("case", LIMITS, indirect=True)
def test_metadata_has_limits(case):
    """What the service would not keep is refused at once and by name; it never sees the request."""
    value_bytes, name_bytes, all_bytes = LIMITS["swift_s3" if case.server.name == "swift" else case.server.name]
    path = case.path / "doc"
    path.write_bytes(b"content")
    case.settled()
    if value_bytes:
        os.setxattr(path, "user.value", b"x" * value_bytes)
        os.setxattr(path, "user.words", "\u00fc".encode() * 60)
        case.proxy.reset()
        fails_with(errno.ENOSPC, os.setxattr, path, "user.value", b"x" * (value_bytes + 1))
        # As it is sent, in words of ASCII, it is longer.
        fails_with(errno.ENOSPC, os.setxattr, path, "user.words", "\u00fc".encode() * 120)
        fails_with(errno.ENOSPC, os.setxattr, path, "user." + "n" * (name_bytes + 1), b"x")
        os.setxattr(path, "user." + "n" * name_bytes, b"x")
    step = value_bytes or 250
    stored = 0
    with pytest.raises(OSError) as caught:
        for number in range(40):
            os.setxattr(path, f"user.fill-{number:02}", b"y" * (step - 10))
            stored += 1
    assert caught.value.errno == errno.ENOSPC and (all_bytes - 1000) // step <= stored <= all_bytes // (step - 10)
    metadata = case.head("doc")["Metadata"]
    assert len([name for name in metadata if name.startswith("fill-")]) == stored
    assert {request["status"] for request in case.proxy.requests()} <= {200, 204}
    with open(path, "ab") as file:
        fails_with(errno.ENOSPC, os.setxattr, path, "user.late", b"z" * 3000)
        file.write(b" and more")
    assert case.get("doc") == b"content and more"
