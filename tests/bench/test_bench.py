"""The benchmark works: its server is an S3 server, its counters count, its rows run, its verdicts are right."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import types
import urllib.parse
import xml.etree.ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bench  # noqa: E402
import endpoint  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

BINARY = pathlib.Path(os.environ["STORAGEFS_BINARY"])


@pytest.fixture(scope="session")
def tools():
    """The benchmark's programs, built where storagefs is."""
    if not shutil.which("go"):
        pytest.skip("needs the Go compiler: apt-get install golang-go")
    subprocess.run(["cmake", "--build", BINARY.parent, "--target", "bench_tools"], check=True, capture_output=True)
    return BINARY.parent / "tests" / "bench"


@pytest.fixture
def server(tools):
    with endpoint.OwnEndpoint(tools / "s3server") as own:
        yield own


def ask(server, method, path, headers=None, body=b""):
    return endpoint.exchange(server.url, method, path, headers, body)


def test_objects_and_conditions(server):
    server.clear("box")
    assert ask(server, "GET", "/box/none")[0] == 404
    status, _, headers = ask(server, "PUT", "/box/a", {"x-amz-meta-mtime": "5", "If-None-Match": "*"}, b"0123456789")
    etag = headers["ETag"]
    assert status == 200
    assert ask(server, "PUT", "/box/a", {"If-None-Match": "*"}, b"x")[0] == 412
    assert ask(server, "PUT", "/box/a", {"If-Match": '"other"'}, b"x")[0] == 412
    status, body, headers = ask(server, "GET", "/box/a", {"Range": "bytes=2-4", "If-Match": etag})
    assert (status, body, headers["Content-Range"], headers["x-amz-meta-mtime"]) == (206, b"234", "bytes 2-4/10", "5")
    assert ask(server, "GET", "/box/a", {"Range": "bytes=-3"})[1] == b"789"
    assert ask(server, "GET", "/box/a", {"Range": "bytes=10-"})[0] == 416
    assert ask(server, "GET", "/box/a", {"If-None-Match": etag})[0] == 304
    assert ask(server, "GET", "/box/a", {"If-Match": '"other"'})[0] == 412
    status, _, headers = ask(server, "HEAD", "/box/a")
    assert (status, headers["Content-Length"], headers["ETag"]) == (200, "10", etag)
    assert ask(server, "PUT", "/box/b", {"x-amz-copy-source": "/box/a", "x-amz-copy-source-if-match": etag})[0] == 200
    assert ask(server, "GET", "/box/b")[1] == b"0123456789"
    assert ask(server, "DELETE", "/box/a")[0] == 204 and ask(server, "HEAD", "/box/a")[0] == 404
    assert ask(server, "DELETE", "/box")[0] == 409


def test_parts(server):
    server.clear("box")
    first, second = os.urandom(100_000), os.urandom(70_000)
    ask(server, "PUT", "/box/source", body=second)
    upload = xml.etree.ElementTree.fromstring(ask(server, "POST", "/box/whole?uploads")[1]).findtext("{*}UploadId")
    place = f"/box/whole?uploadId={upload}&partNumber="
    one = ask(server, "PUT", place + "1", body=first)[2]["ETag"]
    answer = ask(server, "PUT", place + "2", {"x-amz-copy-source": "/box/source", "x-amz-copy-source-range": "bytes=10-69999"})[1]
    two = xml.etree.ElementTree.fromstring(answer).findtext("{*}ETag")

    def complete(*tags):
        parts = "".join(f"<Part><PartNumber>{i}</PartNumber><ETag>{tag}</ETag></Part>" for i, tag in enumerate(tags, 1))
        return ask(server, "POST", f"/box/whole?uploadId={upload}", body=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())

    assert complete(one, '"wrong"')[0] == 400 and server.size("box", "whole") == -1
    assert complete(one, two)[0] == 200
    assert ask(server, "GET", "/box/whole")[1] == first + second[10:]
    # Across the border of the parts.
    assert ask(server, "GET", "/box/whole", {"Range": "bytes=99990-100009"})[1] == first[-10:] + second[10:20]
    assert complete(one, two)[0] == 404


def listed(server, **query):
    answer = xml.etree.ElementTree.fromstring(ask(server, "GET", "/box?" + urllib.parse.urlencode(query))[1])
    return ([node.text for node in answer.findall("{*}Contents/{*}Key")],
            [node.text for node in answer.findall("{*}CommonPrefixes/{*}Prefix")], answer.findtext("{*}IsTruncated") == "true",
            answer.findtext("{*}NextContinuationToken"))


def test_listings(server):
    server.clear("box")
    for key in ("a", "b/1", "b/2", "c&d", "e/1"):
        ask(server, "PUT", "/box/" + urllib.parse.quote(key), body=b"x")
    version2 = {"list-type": "2"}
    assert listed(server, **version2)[0] == ["a", "b/1", "b/2", "c&d", "e/1"]
    assert listed(server, **version2, delimiter="/")[:3] == (["a", "c&d"], ["b/", "e/"], False)
    assert listed(server, **version2, **{"start-after": "b/1", "max-keys": "2"})[:3] == (["b/2", "c&d"], [], True)
    assert listed(server, **version2, prefix="b/")[0] == ["b/1", "b/2"]
    assert listed(server, marker="b/2")[0] == ["c&d", "e/1"]
    found, after = [], {}
    for _ in range(5):
        keys, folders, more, token = listed(server, **version2, **{"delimiter": "/", "max-keys": "1"}, **after)
        found += keys + folders
        if not more:
            break
        after = {"continuation-token": token}
    assert found == ["a", "b/", "c&d", "e/"]


def test_counters_and_latency(server, tools):
    server.ensure("box", "f%06d", 3, 100_000)
    assert server.count("box") == 3 and server.size("box", "f000002") == 100_000
    with endpoint.Counted(tools / "s3server", "-proxy", server.url) as proxy:
        for counted in (server, proxy):
            server.reset()
            counted.set_latency(30)
            begin = time.monotonic()
            assert len(ask(counted, "GET", "/box/f000001")[1]) == 100_000
            assert time.monotonic() - begin >= 0.03
            counted.set_latency(0)
            ask(counted, "PUT", "/box/new", body=bytes(50_000))
            stats = counted.stats()
            assert stats["requests"] == {"GetObject": 1, "PutObject": 1}
            assert 100_000 < stats["sent"] < 110_000 and 50_000 < stats["received"] < 60_000


def test_foreign_endpoint(server, tools):
    """The client for foreign endpoints lays out, counts, and takes away what it made. Its signature is not judged here."""
    with endpoint.ForeignEndpoint(tools / "s3server", server.url, ("key", "secret"), "us-east-1") as foreign:
        foreign.ensure("box", "f%06d", 20, 10)
        assert foreign.keys("box") == [f"f{i:06d}" for i in range(20)] and foreign.size("box", "f000019") == 10
        foreign.finish()
    assert ask(server, "HEAD", "/box")[0] == 404


def test_workload_fails_when_a_file_is_wrong(tools, tmp_path):
    run = lambda *words: subprocess.run([tools / "workload", *map(str, words)], capture_output=True, text=True, check=False)  # noqa: E731
    assert json.loads(run("create", 4096, 10, 3, tmp_path).stdout)["done"] == 10
    assert json.loads(run("small", 4096, 10, 3, tmp_path).stdout)["bytes"] == 40960
    (tmp_path / "f000004").write_bytes(b"short")
    failed = run("small", 4096, 10, 3, tmp_path)
    assert failed.returncode == 1 and not failed.stdout and "f000004" in failed.stderr
    assert run("create", 4096, 10, 1, tmp_path).returncode == 1


def test_rows(tools, tmp_path):
    """A tiny run through the kernel: every figure is there, the counters say what the operations must have cost."""
    result = tmp_path / "result.json"
    done = subprocess.run([sys.executable, HERE / "bench.py", "--tiny", "--peers", "none", "--runs", "1", "--latency", "0,1",
                           "--rows", "^(read|create16|copy|rename|ls-l|rss-idle|random16@1|local-read-daemon)$", "--against", BINARY,
                           "--data", tmp_path, "--binary", BINARY, "--tools", tools, "--output", result],
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = {row["name"]: row for row in json.loads(result.read_text())["rows"]}
    for name, row in found.items():
        for label, cell in row.get("results", {}).items():
            assert "error" not in cell and cell["value"] > 0, (name, label, cell)
    own = {name: row["results"]["storagefs"] for name, row in found.items() if "storagefs" in row.get("results", {})}
    assert set(own) == {"read", "rss-read", "create16", "copy", "rename", "ls-l", "idle", "rss-idle", "random16@1", "rss-worst"}
    assert own["rss-idle"]["value"] == own["idle"]["rss_mib"] > 1
    assert own["read"]["sent_bytes"] >= 1 << 24 and own["read"]["rss_mib"] > 1
    assert own["create16"]["requests"]["PutObject"] == 50
    assert own["copy"]["sent_bytes"] + own["copy"]["received_bytes"] < 1 << 20
    assert "against" in found["read"]["results"] and found["read"]["against_ratio"] > 0
    drawn = xml.etree.ElementTree.parse(result.with_suffix(".svg")).getroot()
    assert len(drawn.findall("{*}rect")) > len(own)
    assert subprocess.run(["findmnt", "-n", "-o", "TARGET"], capture_output=True, text=True, check=False).stdout.count("storagefs-bench-") == 0


def cell(value, **more):
    return {"value": value, **more}


@pytest.mark.parametrize("better, own, other, ratio, met", [("more", 200, 100, 2.0, True), ("more", 150, 100, 1.5, False),
                                                           ("less", 1, 3, 3.0, True), ("less", 3, 1, 1 / 3, False)])
def test_ratios(better, own, other, ratio, met):
    row = types.SimpleNamespace(better=better, target=rows.times(1.6))
    found, best = report.advantage(row, cell(own), {"a": cell(other), "b": {"error": "failed"}})
    assert found == pytest.approx(ratio) and best == "a"
    assert report.verdict(row, cell(own), found)["met"] is met


def test_bounds():
    row = types.SimpleNamespace(better="more", target=rows.bounded(10, most_bytes=1000, most_requests=5))
    good = cell(11, sent_bytes=500, received_bytes=400, requests={"GetObject": 5})
    assert report.verdict(row, good, None)["met"]
    assert not report.verdict(row, {**good, "value": 9}, None)["met"]
    assert not report.verdict(row, {**good, "sent_bytes": 900}, None)["met"]
    assert not report.verdict(row, {**good, "requests": {"GetObject": 6}}, None)["met"]
    assert report.verdict(row, {"error": "failed"}, None) is None


def test_each_comes_first_in_turn():
    orders = [bench.rotated(["a", "b", "c"], steps) for steps in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_medians():
    runs = [cell(3, cpu_seconds=3), {"error": "failed"}, cell(1, cpu_seconds=1), cell(2, cpu_seconds=2)]
    found = report.summary(runs)
    assert (found["value"], found["least"], found["most"], found["cpu_seconds"], found["failed"]) == (2, 1, 3, 2, 1)
    assert report.summary([{"error": "why"}]) == {"error": "why"}
