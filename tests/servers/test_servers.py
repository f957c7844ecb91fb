"""The servers start, behave as the tests of storagefs rely on, run side by side, and leave nothing behind."""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from harness.files import random_bytes
from harness.process import SERVERS, is_alive, run, wait_until
from harness.servers import missing_programs

WRONG = '"00000000000000000000000000000000"'
PART = 5 << 20


def status(call, *arguments, **keywords):
    """HTTP status of a call to boto3, whether it succeeds or not."""
    try:
        return call(*arguments, **keywords)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def with_header(client, operation, name, value):
    """Adds a header to every such request; boto3 of older systems does not know the newer conditions."""
    client.meta.events.register(f"before-call.s3.{operation}", lambda params, **_: params["headers"].__setitem__(name, value))
    return client


def put_if(server, bucket, key, name, value):
    client = with_header(server.client(), "PutObject", name, value)
    return status(client.put_object, Bucket=bucket, Key=key, Body=b"new")


def complete_if(server, bucket, key, name, value):
    client = with_header(server.client(), "CompleteMultipartUpload", name, value)
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    etag = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    return status(client.complete_multipart_upload, Bucket=bucket, Key=key, UploadId=upload,
                  MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})


def delete_if(server, bucket, key, value):
    client = with_header(server.client(), "DeleteObject", "If-Match", value)
    return status(client.delete_object, Bucket=bucket, Key=key)


def copy_if(server, bucket, key, value):
    return status(server.client().copy_object, Bucket=bucket, Key=f"{key}-copy", CopySource={"Bucket": bucket, "Key": key},
                  CopySourceIfMatch=value)


@pytest.fixture(params=["ceph", "new_ceph", "swift_s3", "moto"])
def server(request):
    return request.getfixturevalue(request.param)


def test_objects_ranges_metadata_and_pages(server, bucket_of):
    bucket, client = bucket_of(server), server.client()
    content = random_bytes(100000)
    client.put_object(Bucket=bucket, Key="a", Body=content, Metadata={"mtime": "123.456"}, ContentType="x/y")
    head = client.head_object(Bucket=bucket, Key="a")
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (100000, {"mtime": "123.456"}, "x/y")
    ranged = client.get_object(Bucket=bucket, Key="a", Range="bytes=10-19", IfMatch=head["ETag"])
    assert (ranged["ResponseMetadata"]["HTTPStatusCode"], ranged["Body"].read()) == (206, content[10:20])
    assert status(client.get_object, Bucket=bucket, Key="a", IfMatch=WRONG) == 412
    for number in range(5):
        client.put_object(Bucket=bucket, Key=f"p/{number}/x", Body=b"")
    page = client.list_objects_v2(Bucket=bucket, Prefix="p/", Delimiter="/", MaxKeys=3)
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["p/0/", "p/1/", "p/2/"]
    page = client.list_objects_v2(Bucket=bucket, Prefix="p/", Delimiter="/", ContinuationToken=page["NextContinuationToken"])
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["p/3/", "p/4/"]


def test_multipart_with_a_part_copied(server, bucket_of):
    bucket, client = bucket_of(server), server.client()
    content = random_bytes(PART + 10)
    client.put_object(Bucket=bucket, Key="source", Body=content)
    upload = client.create_multipart_upload(Bucket=bucket, Key="whole")["UploadId"]
    one = client.upload_part_copy(Bucket=bucket, Key="whole", UploadId=upload, PartNumber=1, CopySourceRange=f"bytes=10-{PART + 9}",
                                  CopySource={"Bucket": bucket, "Key": "source"})["CopyPartResult"]["ETag"]
    two = client.upload_part(Bucket=bucket, Key="whole", UploadId=upload, PartNumber=2, Body=b"tail")["ETag"]
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    client.complete_multipart_upload(Bucket=bucket, Key="whole", UploadId=upload, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket=bucket, Key="whole")["Body"].read() == content[10:] + b"tail"


def test_conditions_of_ceph(ceph, bucket_of):
    bucket = bucket_of(ceph)
    etag = ceph.client().put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
    assert put_if(ceph, bucket, "k", "If-None-Match", "*") == 412
    assert put_if(ceph, bucket, "new", "If-None-Match", "*") == 200
    assert put_if(ceph, bucket, "k", "If-Match", WRONG.strip('"')) == 412
    assert put_if(ceph, bucket, "k", "If-Match", etag.strip('"')) == 200


def test_what_the_older_gateway_does_not_know(ceph, bucket_of):
    if " 16." not in run("radosgw", "--version").stdout:
        pytest.skip("this machine's gateway is not release 16")
    bucket = bucket_of(ceph)
    etag = ceph.client().put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
    assert put_if(ceph, bucket, "k", "If-Match", etag) == 412, "the quoted ETag is compared with its quotes"
    assert complete_if(ceph, bucket, "k", "If-None-Match", "*") == 200
    assert complete_if(ceph, bucket, "k", "If-Match", WRONG) == 200
    assert copy_if(ceph, bucket, "k", WRONG) == 200
    assert delete_if(ceph, bucket, "k", WRONG) == 204


def test_the_newer_gateway_knows_every_condition(new_ceph, bucket_of):
    bucket = bucket_of(new_ceph)
    etag = new_ceph.client().put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
    assert put_if(new_ceph, bucket, "k", "If-None-Match", "*") == 412
    assert put_if(new_ceph, bucket, "k", "If-Match", WRONG) == 412
    assert complete_if(new_ceph, bucket, "k", "If-None-Match", "*") == 412
    assert complete_if(new_ceph, bucket, "k", "If-Match", WRONG) == 412
    assert copy_if(new_ceph, bucket, "k", WRONG) == 412
    assert delete_if(new_ceph, bucket, "k", WRONG) == 412
    assert put_if(new_ceph, bucket, "k", "If-Match", etag) == 200


def test_conditions_of_swift(swift_s3, bucket_of):
    bucket = bucket_of(swift_s3)
    swift_s3.client().put_object(Bucket=bucket, Key="k", Body=b"old")
    assert put_if(swift_s3, bucket, "k", "If-None-Match", "*") == 501
    assert put_if(swift_s3, bucket, "k", "If-Match", WRONG) == 501
    assert complete_if(swift_s3, bucket, "k", "If-None-Match", "*") == 412
    assert complete_if(swift_s3, bucket, "k", "If-Match", WRONG) == 412
    assert copy_if(swift_s3, bucket, "k", WRONG) == 412
    assert delete_if(swift_s3, bucket, "k", WRONG) == 412


def test_conditions_of_moto(moto, bucket_of):
    bucket = bucket_of(moto)
    moto.client().put_object(Bucket=bucket, Key="k", Body=b"old")
    assert put_if(moto, bucket, "k", "If-None-Match", "*") == 412
    assert put_if(moto, bucket, "k", "If-Match", WRONG) == 412
    assert complete_if(moto, bucket, "k", "If-None-Match", "*") == 412


def test_only_one_of_eight_racing_writers_creates_the_object(ceph, bucket_of):
    bucket = bucket_of(ceph)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: put_if(ceph, bucket, "race", "If-None-Match", "*"), range(8)))
    assert statuses.count(200) == 1


def test_a_wrong_secret_is_refused(ceph, swift_s3):
    for server in (ceph, swift_s3):
        assert status(server.client(secret_key="wrong").list_buckets) == 403


def test_buckets_are_removed_with_what_is_in_them(server):
    name = server.new_bucket()
    client = server.client()
    client.put_object(Bucket=name, Key="a/b", Body=b"1")
    client.create_multipart_upload(Bucket=name, Key="begun")
    assert name in server.bucket_names()
    server.remove_bucket(name)
    assert name not in server.bucket_names()


def test_a_command_runs_with_a_server_and_its_settings(moto):
    done = run(SERVERS / "with_server.py", "moto", "echo", "@driver@", "at=@endpoint@", "@settings@", "@secret_key@")
    words = done.stdout.split()
    assert words[0] == "s3" and words[1].startswith("at=http://127.0.0.1:") and words[-1] == moto.secret_key
    assert f"access_key_id={moto.access_key}" in words and "addressing=path" in words
    assert run(SERVERS / "with_server.py", "moto", "sh", "-c", "exit 5", check=5)


# --- the scripts


def pids_of(directory):
    return [int(file.read_text().split()[0]) for file in pathlib.Path(directory).glob("*.pid")]


PROGRAMS = {"ceph.sh": ["radosgw"], "swift.sh": ["swift-proxy-server"], "nginx.sh": ["nginx"]}


@pytest.fixture
def start(tmp_path_factory):
    """start(script, **environment): runs `script start` in a new directory, which is stopped after the test."""
    started = []
    # Else two threads that ask at once make two of them.
    tmp_path_factory.getbasetemp()

    def begin(script, *arguments, check=True, **environment):
        if reason := missing_programs(*PROGRAMS[script]):
            pytest.skip(reason)
        directory = tmp_path_factory.mktemp("s")
        started.append((script, directory))
        done = run(SERVERS / script, "start", directory, *arguments, check=check, env={**os.environ, **environment})
        return directory if check is True else (directory, done)

    yield begin
    for script, directory in started:
        pids = pids_of(directory)
        run(SERVERS / script, "stop", directory)
        assert not any(map(is_alive, pids)) and not pids_of(directory)
        shutil.rmtree(directory)


def http_get(port, path="/"):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def port_of(directory):
    return int((directory / "port").read_text())


def test_two_clusters_run_side_by_side(start):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: start("ceph.sh"), range(2))
    assert port_of(one) != port_of(two)
    assert [http_get(port_of(directory) + 2)[0] for directory in (one, two)] == [200, 200]


def test_a_process_lives_as_long_as_its_last_thread():
    """Its first thread ends, which makes it a zombie, while another still holds what it has open."""
    program = ("import ctypes, threading; thread = threading.Thread(target=lambda: print(input(), flush=True)); thread.start(); "
               "ctypes.CDLL(None).pthread_exit(None)")
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        state = pathlib.Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: ") Z " in state.read_text(), message="the end of the first thread")
        in_shell = ["bash", "-c", '. "$1" && is_alive "$2"', "bash", SERVERS / "lib.sh", process.pid]
        assert is_alive(process.pid)
        run(*in_shell)
        process.stdin.write("end\n")
        process.stdin.flush()
        wait_until(lambda: not is_alive(process.pid), message="the end of the last thread")
        run(*in_shell, check=1)


def test_three_osds_survive_the_death_of_one(start):
    directory = start("ceph.sh", OSDS="3", STORE="bluestore", POOL_SIZE="2")
    victim = int((directory / "osd.1.pid").read_text().split()[0])
    run(SERVERS / "ceph.sh", "kill-osd", directory, 1)
    assert not is_alive(victim)
    assert http_get(port_of(directory) + 2)[0] == 200
    run(SERVERS / "ceph.sh", "start-osd", directory, 1)
    assert len(pids_of(directory)) == 5


def test_tls_of_the_gateway_and_of_the_proxy(own_server, certificate):
    server = own_server("ceph", TLS=str(certificate.both))
    run("curl", "--silent", "--fail", "--cacert", certificate.authority, f"https://localhost:{server.port + 1}/")
    with server.counted(tls_file=certificate.both) as proxy:
        run("curl", "--silent", "--fail", "--cacert", certificate.authority, proxy.endpoint)
        assert proxy.counts() == {"ListBuckets": 1}


def test_a_gateway_of_the_tests_own_can_be_stopped_and_killed(own_server):
    server = own_server("ceph")
    name = server.new_bucket()
    server.send_signal("rgw", signal.SIGSTOP)
    run("curl", "--silent", "--max-time", 0.5, server.endpoint, check=28)
    server.send_signal("rgw", signal.SIGCONT)
    assert name in server.bucket_names()
    run(SERVERS / "ceph.sh", "restart-rgw", server.directory)
    assert name in server.bucket_names()


def test_nginx_serves_files_and_canned_errors(start):
    directory = start("nginx.sh")
    (directory / "root" / "f").write_bytes(b"0123456789")
    port = port_of(directory)
    assert run("curl", "--silent", "--range", "2-4", f"http://127.0.0.1:{port}/f").stdout == "234"
    assert [http_get(port, path)[0] for path in ("/f", "/e503", "/e500")] == [200, 503, 500]
    run("curl", "--silent", f"http://127.0.0.1:{port}/drop", check=52)


def test_a_swift_token_expires(start):
    port = port_of(start("swift.sh", TOKEN_LIFE="1"))
    request = urllib.request.Request(f"http://127.0.0.1:{port}/auth/v1.0",
                                     headers={"X-Auth-User": "test:tester", "X-Auth-Key": "TESTERSECRET"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        url, token = reply.headers["X-Storage-Url"], reply.headers["X-Auth-Token"]

    def account():
        return run("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", f"X-Auth-Token: {token}",
                   url).stdout

    wait_until(lambda: account() == "401", message="the end of the token")


def test_a_start_that_fails_shows_the_log_and_leaves_nothing(start):
    directory, done = start("swift.sh", check=False, MINSEG="nonsense")
    assert done.returncode == 1
    assert "proxy has ended" in done.stderr and "ValueError" in done.stderr
    assert pids_of(directory) == []


def test_a_port_that_is_taken_is_refused(start):
    first = start("nginx.sh")
    directory, done = start("nginx.sh", port_of(first), check=False)
    assert done.returncode == 1 and "listens on port" in done.stderr
    assert pids_of(directory) == []


def test_a_directory_is_not_started_twice(start):
    first = start("nginx.sh")
    done = run(SERVERS / "nginx.sh", "start", first, check=False)
    assert done.returncode == 1 and "not stopped" in done.stderr
    assert http_get(port_of(first))[0] == 200


def test_the_port_block_is_free_again_after_the_stop(start):
    first = start("nginx.sh")
    port = port_of(first)
    only = f"{port}-{port + 99}"
    _, done = start("nginx.sh", check=False, STORAGEFS_TEST_PORTS=only)
    assert done.returncode == 1 and "no 100 free ports" in done.stderr
    run(SERVERS / "nginx.sh", "stop", first)
    assert port_of(start("nginx.sh", STORAGEFS_TEST_PORTS=only)) == port


def test_servers_end_when_the_tests_are_killed(tmp_path):
    script = f"""
import sys, time
sys.path.insert(0, {str(SERVERS.parent / 'mount')!r})
from harness.servers import ServerPool
pool = ServerPool()
pool.get("ceph")
print(pool.directory, flush=True)
time.sleep(600)
"""
    environment = {name: value for name, value in os.environ.items() if name != "STORAGEFS_TEST_SERVERS"}
    tests = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**environment, "TMPDIR": "/tmp"})
    directory = pathlib.Path(tests.stdout.readline().strip())
    tests.stdout.close()
    pids = pids_of(directory / "ceph")
    assert len(pids) == 3 and all(map(is_alive, pids))
    tests.kill()
    tests.wait()
    wait_until(lambda: not any(map(is_alive, pids)) and not directory.exists(), message="the end of the servers")
