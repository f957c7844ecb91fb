"""Where requests go: containers in the host's name, regions that the service teaches, redirects inside its domain.

*.localhost is this machine, so that container names can stand in front of it.
"""

import errno
import os

import pytest

from harness.files import random_bytes
from harness.s3 import LONG, errno_of, same_bytes

MIB = 1 << 20


@pytest.fixture
def virtual(s3_case, ceph):
    def make(**keys):
        return s3_case(ceph, {"freshness": LONG}, proxy_options={"host_suffix": "localhost"}, endpoint="http://localhost:{port}",
                       addressing="virtual", part_size="5M", **keys)

    return make


def hosts_of(case, operations=None):
    return {request["headers"]["host"] for request in case.proxy.requests() if not operations or request["operation"] in operations}


def test_containers_in_the_host(virtual):
    case = virtual()
    case.put("there", b"theirs")
    assert case.settled() == ["there"]
    (case.path / "a b+c%2Fd").write_bytes(b"content")
    assert case.get("a b+c/d") == b"content" and (case.path / "there").read_bytes() == b"theirs"
    body = random_bytes(12 * MIB)
    (case.path / "big").write_bytes(body)
    os.rename(case.path / "big", case.path / "moved")
    same_bytes(case.get("moved"), body)
    os.unlink(case.path / "there")
    assert sorted(case.keys()) == ["a b+c/d", "moved"]
    assert hosts_of(case) == {f"{case.container}.localhost:{case.proxy.port}"}
    assert not [request for request in case.proxy.requests() if case.container in request["target"].partition("?")[0]]
    # The source of a copy is named by its path all the same.
    (copy,) = [request for request in case.proxy.requests() if request["operation"] == "CopyObject"]
    assert copy["headers"]["x-amz-copy-source"] == f"/{case.container}/big"


def test_containers_made_in_the_host(virtual):
    case = virtual(containers=None)
    made = case.mount.point / "store" / f"{case.container}-made"
    os.mkdir(made)
    assert made.name in case.server.bucket_names() and made.name in os.listdir(made.parent)
    (made / "doc").write_bytes(b"content")
    assert errno_of(lambda: os.rmdir(made)) == errno.ENOTEMPTY
    (made / "doc").unlink()
    os.rmdir(made)
    assert made.name not in case.server.bucket_names()
    assert hosts_of(case, ["CreateBucket", "DeleteBucket"]) == {f"{made.name}.localhost:{case.proxy.port}"}
    assert hosts_of(case, ["ListBuckets"]) == {f"localhost:{case.proxy.port}"}


# What a service says to a request that was signed for another region than the container's.
TEACHERS = {
    "301": ({"status": 301, "headers": {"x-amz-bucket-region": "elsewhere-1"},
             "body": "<Error><Code>PermanentRedirect</Code><Endpoint>s3.elsewhere-1.amazonaws.com</Endpoint></Error>"}, "ListObjects"),
    "307": ({"status": 307, "headers": {"x-amz-bucket-region": "elsewhere-1", "Location": "https://s3.elsewhere-1.amazonaws.com/"},
             "body": "<Error><Code>TemporaryRedirect</Code></Error>"}, "ListObjects"),
    "400": ({"status": 400, "body": "<Error><Code>AuthorizationHeaderMalformed</Code><Region>elsewhere-1</Region></Error>"}, "ListObjects"),
    "HEAD 301": ({"status": 301, "headers": {"x-amz-bucket-region": "elsewhere-1"}, "body": ""}, "HeadObject"),
    "HEAD 400": ({"status": 400, "headers": {"x-amz-bucket-region": "elsewhere-1"}, "body": ""}, "HeadObject"),
    "PUT 301": ({"status": 301, "headers": {"x-amz-bucket-region": "elsewhere-1"}, "body": "<Error><Code>PermanentRedirect</Code></Error>"},
                "PutObject"),
}


def region_of(request):
    return request["headers"]["credential"].split("/")[2]


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_region_is_learned(s3_case, ceph, teacher):
    """One refusal, and everything about this container is signed for its region from then on."""
    rule, operation = TEACHERS[teacher]
    case = s3_case(ceph, {"freshness": 0})
    case.put("doc", b"content", Metadata={"mtime": "1000"})
    case.settled()
    with case.proxy.faults({"operation": operation, "count": 1, **rule}):
        (case.path / "new").write_bytes(b"ours")
        assert sorted(os.listdir(case.path)) == ["doc", "new"] and os.stat(case.path / "doc").st_mtime == 1000
    case.proxy.reset()
    assert (case.path / "doc").read_bytes() == b"content"
    (case.path / "doc").write_bytes(b"replaced")
    assert case.get("doc") == b"replaced" and case.get("new") == b"ours"
    requests = case.proxy.requests()
    assert requests and {region_of(request) for request in requests} == {"elsewhere-1"}
    assert {request["headers"]["host"] for request in requests} == {f"127.0.0.1:{case.proxy.port}"}


def test_each_container_has_its_own_region(s3_case, ceph, bucket_of):
    second = bucket_of(ceph)
    case = s3_case(ceph, {"freshness": 0})
    case.mount.storages["store"]["containers"] = f"{case.container};{second}"
    case.mount.remount()
    wrong = {"operation": "ListObjects", "path": second, "count": 1, "status": 301, "headers": {"x-amz-bucket-region": "elsewhere-1"}, "body": ""}
    with case.proxy.faults(wrong):
        assert os.listdir(case.mount.point / "store" / second) == []
    case.proxy.reset()
    for container in (case.container, second):
        (case.mount.point / "store" / container / "doc").write_bytes(b"content")
    regions = {request["target"].split("/")[1].partition("?")[0]: region_of(request) for request in case.proxy.requests()}
    assert regions[second] == "elsewhere-1" and regions[case.container] == ceph.region


def test_a_region_that_never_ends_is_an_error(s3_case, ceph):
    """A service that sends from one region to the next is not followed for ever."""
    case = s3_case(ceph, {"freshness": 0, "timeout": "3s"})
    case.settled()
    for number in range(3):
        with case.proxy.faults({"operation": "ListObjects", "status": 301, "headers": {"x-amz-bucket-region": f"elsewhere-{number}"},
                                "body": "<Error><Code>PermanentRedirect</Code></Error>"}):
            assert errno_of(lambda: os.listdir(case.path)) == errno.EIO
            assert len(case.proxy.injected()) <= 4
    assert os.listdir(case.path) == []


def redirect_to(host):
    return {"status": 307, "headers": {"Location": f"http://{host}/"}, "body": f"<Error><Code>TemporaryRedirect</Code><Endpoint>{host}</Endpoint></Error>"}


def test_a_redirect_inside_the_service(s3_case, swift_s3):
    """A new container may be served by another region's host of the service until its name is known everywhere."""
    case = s3_case(swift_s3, {"freshness": LONG, "timeout": "10s"}, endpoint="http://{{region}}.store.localhost:{port}")
    case.settled()
    host = f"eu-west-1.store.localhost:{case.proxy.port}"
    with case.proxy.faults({"operation": "PutObject", "count": 1, **redirect_to(host)}):
        (case.path / "doc").write_bytes(b"content")
    assert case.get("doc") == b"content" and (case.path / "doc").read_bytes() == b"content"
    assert host in hosts_of(case, ["PutObject"])


@pytest.mark.parametrize("host", ["two.store.localhost", "two.other.localhost", "store.localhost.example", "evilstore.localhost", "localhost"])
def test_a_redirect_out_of_the_domain(s3_case, swift_s3, host):
    case = s3_case(swift_s3, {"freshness": LONG, "timeout": "10s"}, endpoint="http://one.store.localhost:{port}")
    case.settled()
    with case.proxy.faults({"operation": "PutObject", **redirect_to(f"{host}:{case.proxy.port}")}):
        assert errno_of(lambda: (case.path / "doc").write_bytes(b"content")) == errno.EIO
        assert len(case.proxy.injected()) == 1
    assert hosts_of(case) == {f"one.store.localhost:{case.proxy.port}"} and case.keys() == []
    (case.path / "doc").write_bytes(b"works again")
    assert case.get("doc") == b"works again"
