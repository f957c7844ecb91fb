"""The proxy counts what really passed and injects what its rules say, in front of a real server."""

import http.client
import time
import urllib.parse

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from harness.files import random_bytes
from harness.process import is_alive, wait_until

BROKEN = (ConnectionClosedError, EndpointConnectionError, ReadTimeoutError)
PART = 5 << 20


@pytest.fixture
def proxy(ceph):
    with ceph.counted() as made:
        yield made


@pytest.fixture
def bucket(ceph, bucket_of):
    return bucket_of(ceph)


@pytest.fixture
def client(ceph, proxy):
    return ceph.client(proxy.endpoint)


@pytest.fixture
def get(ceph, proxy, bucket):
    """get(key, range) of an object with 100000 known bytes: (status, headers, body so far, exception or None)."""
    content = random_bytes(100000)
    ceph.client().put_object(Bucket=bucket, Key="big", Body=content)
    url = ceph.client(proxy.endpoint).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "big"})
    parts = urllib.parse.urlsplit(url)

    def fetch(ranged=None, timeout=20):
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}", headers={"Range": f"bytes={ranged}"} if ranged else {})
            reply = connection.getresponse()
            body, error = b"", None
            try:
                while piece := reply.read1(65536):
                    body += piece
                if reply.length:
                    error = http.client.IncompleteRead(body, reply.length)
            except (OSError, http.client.HTTPException) as failure:
                error = failure
            return reply.status, reply.headers, body, error
        finally:
            connection.close()

    fetch.content = content
    return fetch


def test_every_operation_is_counted_by_its_name(client, proxy, bucket):
    proxy.reset()
    client.put_object(Bucket=bucket, Key="a", Body=b"12345")
    client.head_object(Bucket=bucket, Key="a")
    client.get_object(Bucket=bucket, Key="a")["Body"].read()
    client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    client.list_objects_v2(Bucket=bucket)
    client.list_objects(Bucket=bucket)
    client.list_buckets()
    client.head_bucket(Bucket=bucket)
    client.delete_object(Bucket=bucket, Key="a")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}]})
    assert proxy.counts() == {"PutObject": 1, "HeadObject": 1, "GetObject": 1, "CopyObject": 1, "ListObjects": 2,
                              "ListBuckets": 1, "HeadBucket": 1, "DeleteObject": 1, "DeleteObjects": 1}
    assert proxy.counts()["UploadPart"] == 0


def test_a_multipart_upload_is_counted_with_its_bytes(client, proxy, bucket):
    content = random_bytes(PART)
    client.put_object(Bucket=bucket, Key="source", Body=content)
    proxy.reset()
    upload = client.create_multipart_upload(Bucket=bucket, Key="whole")["UploadId"]
    one = client.upload_part(Bucket=bucket, Key="whole", UploadId=upload, PartNumber=1, Body=content)["ETag"]
    two = client.upload_part_copy(Bucket=bucket, Key="whole", UploadId=upload, PartNumber=2,
                                  CopySource={"Bucket": bucket, "Key": "source"})["CopyPartResult"]["ETag"]
    client.list_parts(Bucket=bucket, Key="whole", UploadId=upload)
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    client.complete_multipart_upload(Bucket=bucket, Key="whole", UploadId=upload, MultipartUpload={"Parts": parts})
    assert proxy.counts() == {"CreateMultipartUpload": 1, "UploadPart": 1, "UploadPartCopy": 1, "ListParts": 1,
                              "CompleteMultipartUpload": 1}
    operations = proxy.stats()["operations"]
    assert operations["UploadPart"]["sent"] == PART
    assert operations["UploadPartCopy"]["sent"] == 0
    other = client.create_multipart_upload(Bucket=bucket, Key="other")["UploadId"]
    client.abort_multipart_upload(Bucket=bucket, Key="other", UploadId=other)
    assert proxy.counts()["AbortMultipartUpload"] == 1


def test_bytes_are_counted_in_both_directions_and_per_key(client, proxy, bucket):
    proxy.reset()
    client.put_object(Bucket=bucket, Key="dir/ä b", Body=b"x" * 1000)
    client.get_object(Bucket=bucket, Key="dir/ä b", Range="bytes=0-99")["Body"].read()
    key = proxy.stats()["keys"][f"{bucket}/dir/ä b"]
    assert key["PutObject"] == {"count": 1, "errors": 0, "sent": 1000, "received": 0}
    assert key["GetObject"] == {"count": 1, "errors": 0, "sent": 0, "received": 100}
    assert proxy.bytes_sent() == 1000
    assert proxy.bytes_received() == 100
    assert [request["range"] for request in proxy.requests()] == [None, "bytes=0-99"]


def test_errors_and_statuses_are_counted(client, proxy, bucket):
    proxy.reset()
    with pytest.raises(ClientError):
        client.get_object(Bucket=bucket, Key="absent")
    stats = proxy.stats()
    assert stats["operations"]["GetObject"]["errors"] == 1
    assert stats["statuses"] == {"404": 1}
    assert stats["active"] == 0


def test_signatures_stay_valid_and_are_checked_by_the_server(ceph, proxy, bucket):
    ceph.client(proxy.endpoint).put_object(Bucket=bucket, Key="signed", Body=b"1")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        ceph.client(proxy.endpoint, secret_key="wrong").put_object(Bucket=bucket, Key="signed", Body=b"2")


def test_virtual_host_addressing_is_understood(ceph, bucket):
    with ceph.counted(host_suffix="localhost") as proxy:
        client = ceph.client(f"http://localhost:{proxy.port}", s3={"addressing_style": "virtual"})
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
        assert url.startswith(f"http://{bucket}.localhost:")
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
        connection.request("GET", "/k", headers={"Host": f"{bucket}.localhost:{proxy.port}"})
        connection.getresponse().read()
        connection.close()
        assert f"{bucket}/k" in proxy.stats()["keys"]


def test_a_misspelt_rule_is_refused_and_changes_nothing(proxy):
    proxy.set_rules({"operation": "GetObject", "status": 503})
    for wrong in ({"status": 500, "metod": "GET"}, {"method": "GET"}, {"status": "500"}, {"path": "(", "status": 500}, 7):
        with pytest.raises(ValueError):
            proxy.set_rules(wrong)
    assert proxy.injected() == []


def test_status_answers_without_the_server_and_count_ends_it(get, proxy):
    proxy.set_rules({"operation": "GetObject", "status": 503, "headers": {"Retry-After": "7"}, "body": "<no/>", "count": 2})
    for _ in range(2):
        status, headers, body, _ = get()
        assert (status, headers["Retry-After"], body) == (503, "7", b"<no/>")
    assert get()[2] == get.content
    assert [entry["operation"] for entry in proxy.injected()] == ["GetObject"] * 2


def test_skip_lets_requests_pass_first(get, proxy):
    proxy.set_rules({"operation": ["GetObject"], "skip": 1, "status": 500})
    assert [get()[0], get()[0]] == [200, 500]


def test_probability_decides_by_chance(get, proxy):
    proxy.set_rules({"path": "big", "probability": 0.0, "status": 500})
    assert get()[0] == 200
    proxy.set_rules({"path": "big", "probability": 1.0, "status": 500})
    assert get()[0] == 500


def test_truncate_ends_the_body_early_and_in_order(get, proxy):
    with proxy.faults({"operation": "GetObject", "truncate": 5000}):
        status, headers, body, error = get()
    assert (status, headers["Content-Length"], body) == (200, "100000", get.content[:5000])
    assert isinstance(error, http.client.IncompleteRead)


def test_reset_in_the_body(get, proxy):
    with proxy.faults({"operation": "GetObject", "reset": 5000}):
        _, _, body, error = get()
    assert body == get.content[:5000]
    assert isinstance(error, ConnectionResetError)


def test_reset_before_the_reply(get, proxy):
    with proxy.faults({"operation": "GetObject", "reset": -1}), pytest.raises(ConnectionResetError):
        get()


def test_corrupt_inverts_one_byte(get, proxy):
    with proxy.faults({"operation": "GetObject", "corrupt": 70000}):
        _, _, body, error = get()
    assert error is None
    assert [at for at in range(100000) if body[at] != get.content[at]] == [70000]


def test_corrupt_upload_is_refused_by_its_signature(ceph, client, proxy, bucket):
    with proxy.faults({"operation": "PutObject", "corrupt_upload": 70000}), pytest.raises(ClientError, match="SHA256Mismatch"):
        client.put_object(Bucket=bucket, Key="spoiled", Body=b"x" * 100000)
    assert "Contents" not in ceph.client().list_objects_v2(Bucket=bucket)


def test_stall_is_silence_in_the_body(get, proxy):
    with proxy.faults({"operation": "GetObject", "stall": 5000}):
        status, headers, body, error = get(timeout=1)
    assert (status, headers["Content-Length"], body) == (200, "100000", get.content[:5000])
    assert isinstance(error, TimeoutError)


def test_blanks_come_before_the_body(get, proxy):
    with proxy.faults({"operation": "GetObject", "blanks": 1}):
        _, headers, body, _ = get()
    assert (headers["Content-Length"], body) == (None, b"   " + get.content)


def test_head_rate_slows_the_head(get, proxy):
    started = time.monotonic()
    with proxy.faults({"operation": "GetObject", "head_rate": 400}):
        assert get()[2] == get.content
    assert time.monotonic() - started > 0.5


def test_ignore_range_gives_the_whole_object_with_the_range_in_its_place(get, proxy):
    with proxy.faults({"ranged": True, "ignore_range": True}):
        status, headers, body, error = get("1000-1999")
    assert (status, headers["Content-Length"], len(body), error) == (200, "100000", 100000, None)
    assert headers["Content-Range"] is None
    assert body[1000:2000] == get.content[1000:2000]
    assert body[:1000] != get.content[:1000]


def test_ranged_tells_requests_apart(get, proxy):
    proxy.set_rules({"ranged": True, "status": 500})
    assert get()[0] == 200
    assert get("0-9")[0] == 500


def test_content_length_is_declared_wrong(get, proxy):
    with proxy.faults({"operation": "GetObject", "content_length": 10}):
        _, headers, body, error = get()
    assert headers["Content-Length"] == "100010"
    assert body == get.content and isinstance(error, http.client.IncompleteRead)


def test_headers_are_replaced_and_removed(get, proxy):
    with proxy.faults({"operation": "GetObject", "headers": {"ETag": None, "Content-Type": "a/b"}}):
        _, headers, body, _ = get()
    assert (headers["ETag"], headers["Content-Type"], body) == (None, "a/b", get.content)


def test_endless_body_ends_only_with_the_connection(get, proxy):
    with proxy.faults({"operation": "GetObject", "endless": 3_000_000, "fill": "ab"}):
        _, headers, body, _ = get()
    assert headers["Content-Length"] is None
    assert len(body) == 3_100_000 and body.endswith(b"ababab")


def test_body_that_is_not_xml(client, proxy, bucket):
    with proxy.faults({"operation": "ListObjects", "body": "<html>It works!<br>"}), pytest.raises(Exception) as failure:
        client.list_objects_v2(Bucket=bucket)
    assert "parse" in str(failure.value).lower()


def test_a_page_that_does_not_advance(ceph, client, proxy, bucket):
    for key in ("a", "b"):
        ceph.client().put_object(Bucket=bucket, Key=key, Body=b"")
    with proxy.faults({"operation": "ListObjects", "repeat_page": True}):
        first = client.list_objects_v2(Bucket=bucket)
        again = client.list_objects_v2(Bucket=bucket, ContinuationToken=first["NextContinuationToken"])
    assert first["IsTruncated"] and again["IsTruncated"]
    assert [entry["Key"] for entry in again["Contents"]] == ["a", "b"]
    assert again["NextContinuationToken"] == first["NextContinuationToken"]


def test_drop_reply_after_the_server_has_acted(ceph, client, proxy, bucket):
    with proxy.faults({"operation": "PutObject", "drop_reply": True, "count": 1}), pytest.raises(BROKEN):
        client.put_object(Bucket=bucket, Key="did-it", Body=b"yes")
    assert ceph.client().get_object(Bucket=bucket, Key="did-it")["Body"].read() == b"yes"


def test_reset_upload_leaves_no_object(ceph, client, proxy, bucket):
    with proxy.faults({"operation": "PutObject", "reset_upload": 40000}), pytest.raises(BROKEN):
        client.put_object(Bucket=bucket, Key="half", Body=b"x" * 100000)
    assert proxy.stats()["operations"]["PutObject"]["sent"] == 40000
    assert "Contents" not in ceph.client().list_objects_v2(Bucket=bucket)


def test_hang_then_reset_and_the_server_sees_nothing(ceph, client, proxy, bucket):
    with proxy.faults({"operation": "PutObject", "hang": 0.2}), pytest.raises(BROKEN):
        client.put_object(Bucket=bucket, Key="never", Body=b"x")
    assert "Contents" not in ceph.client().list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("rule", [{"delay": 600}, {"ttfb": 600}, {"hang": 600}])
def test_slow_replies_are_waited_for_in_vain(get, proxy, rule):
    with proxy.faults({"operation": "GetObject", **rule}), pytest.raises(TimeoutError):
        get(timeout=0.5)


def test_rate_lets_bytes_through_one_by_one(get, proxy):
    with proxy.faults({"operation": "GetObject", "rate": 0.01}):
        _, _, body, error = get(timeout=0.5)
    assert body == get.content[:1] and isinstance(error, TimeoutError)


@pytest.mark.parametrize("rule", [{"delay": 0.01}, {"ttfb": 0.01}, {"rate": 10_000_000}])
def test_slow_replies_are_complete(get, proxy, rule):
    with proxy.faults({"operation": "GetObject", **rule}):
        assert get()[2] == get.content


def test_latency_holds_for_every_request(get, proxy):
    proxy.set_latency(600)
    with pytest.raises(TimeoutError):
        get(timeout=0.5)
    assert proxy.injected() == []


def test_close_after_the_reply(get, proxy):
    with proxy.faults({"operation": "GetObject", "close": True}):
        _, headers, body, _ = get()
    assert headers["Connection"] == "close" and body == get.content


def test_parallel_requests_and_connections_are_seen(proxy):
    proxy.reset()
    proxy.set_latency(600)
    connections = [http.client.HTTPConnection("127.0.0.1", proxy.port) for _ in range(4)]
    for connection in connections:
        connection.request("GET", "/")
    wait_until(lambda: proxy.stats()["active"] == 4, message="four requests at once")
    stats = proxy.stats()
    assert stats["max_parallel"] == 4 and stats["connections"] == 4
    for connection in connections:
        connection.close()


def test_the_proxy_ends_with_its_owner(ceph):
    proxy = ceph.counted()
    pid = proxy.process.pid
    proxy.process.stdin.close()
    wait_until(lambda: not is_alive(pid), message="the end of the proxy")
    proxy.process.wait()
    proxy.process.stdout.close()
