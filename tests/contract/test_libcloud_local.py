"""The local driver and Apache Libcloud's local driver in one base directory, each reading what the other wrote.

Needs Debian's python3-libcloud. CONTRACT_DRIVE is the program contract_drive.
"""
import hashlib
import io
import json
import os
import stat
import subprocess
import tempfile
import time

import pytest

pytest.importorskip("libcloud")
from libcloud.storage.providers import get_driver  # noqa: E402
from libcloud.storage.types import ContainerIsNotEmptyError, Provider  # noqa: E402

DRIVE = os.environ["CONTRACT_DRIVE"]
KEYS = ["a", "a-b/c", "d/e/f", "d/e.txt", "d/.hidden", ".hidden", "sp ace/é", "100%", "a+b", "zz"]


class Ours:
    """The storagefs side: one run of contract_drive for each operation."""

    def __init__(self, folder, base, *extra):
        self.config = folder / ("-".join(["ours", *extra]).replace("=", "-").replace("/", "-") + ".conf")
        self.config.write_text("\n".join(["[storage s]", "driver = local", f"path = {base}", *extra]) + "\n")
        self.scratch = folder / "scratch"

    def start(self, *arguments):
        return subprocess.Popen([DRIVE, self.config, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate()
        assert process.returncode in (0, 1), err.decode()
        assert process.returncode == 0, err.decode()
        return out

    def fail(self, *arguments):
        process = self.start(*arguments)
        err = process.communicate()[1].decode()
        assert process.returncode == 1, err
        return err.split(":")[0]

    def put(self, container, key, data, *metadata):
        self.scratch.write_bytes(data)
        self.run("put", container, key, self.scratch, *metadata)

    def list(self, container):
        return self.run("list", container).decode().splitlines()

    def stat(self, container, key):
        return dict(line.split("=", 1) for line in self.run("stat", container, key).decode().splitlines())


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base"
    path.mkdir()
    return path


@pytest.fixture
def theirs(base):
    return get_driver(Provider.LOCAL)(str(base))


@pytest.fixture
def ours(tmp_path, base):
    return Ours(tmp_path, base)


def upload(container, key, data):
    return container.upload_object_via_stream(io.BytesIO(data), key)


def names(container):
    return sorted(item.name for item in container.list_objects())


def read(item):
    return b"".join(item.as_stream())


def test_they_write_we_read(ours, theirs):
    container = theirs.create_container("c")
    for key in KEYS:
        upload(container, key, key.encode() * 100)
    assert ours.run("containers") == b"c\n"
    assert ours.list("c") == sorted(KEYS, key=str.encode) == sorted(names(container), key=str.encode)
    for key in KEYS:
        assert ours.run("get", "c", key) == key.encode() * 100


def test_we_write_they_read(ours, theirs):
    ours.run("create", "c")
    for key in KEYS:
        ours.put("c", key, key.encode() * 100)
    container = theirs.get_container("c")
    assert names(container) == sorted(KEYS)
    for key in KEYS:
        item = container.get_object(key)
        assert item.size == len(key.encode()) * 100
        assert read(item) == key.encode() * 100


def test_overwrites_both_ways(ours, theirs):
    container = theirs.create_container("c")
    upload(container, "k", b"theirs, long")
    ours.put("c", "k", b"ours")
    assert read(container.get_object("k")) == b"ours"
    upload(container, "k", b"theirs again")
    assert ours.run("get", "c", "k") == b"theirs again"


def test_modes(ours, theirs, base):
    container = theirs.create_container("c")
    upload(container, "x/theirs", b"1")
    ours.put("c", "y/ours", b"1")
    for name in ("x/theirs", "y/ours"):
        assert stat.S_IMODE((base / "c" / name).stat().st_mode) == 0o664


def test_same_containers(ours, theirs, base):
    for name in ("plain", ".hidden"):
        (base / name).mkdir()
    (base / "file").write_text("no container")
    (base / "link").symlink_to("plain")
    (base / "dangling").symlink_to("nowhere")
    listed = ours.run("containers").decode().splitlines()
    assert listed == sorted(item.name for item in theirs.list_containers())
    assert listed == [".hidden", "link", "plain"]
    upload(theirs.get_container("link"), "k", b"through the link")
    assert ours.run("get", "link", "k") == b"through the link"
    assert ours.run("get", "plain", "k") == b"through the link"


def test_same_objects_around_hidden_folders(ours, theirs, base):
    container = theirs.create_container("c")
    upload(container, "d/shown", b"1")
    for name in (".lock", ".hash", "d/.lock", "d/.hash"):
        (base / "c" / name).mkdir()
        (base / "c" / name / "not-shown").write_text("x")
    (base / "c" / "empty").mkdir()
    os.mkfifo(base / "c" / "fifo")
    (base / "c" / "link").symlink_to("d/shown")
    (base / "c" / "folder-link").symlink_to("d")
    assert ours.list("c") == names(container) == ["d/shown", "fifo", "link"]


def test_dangling_link_does_not_end_the_listing(ours, base):
    (base / "c").mkdir()
    (base / "c" / "dangling").symlink_to("nowhere")
    (base / "c" / "k").write_text("x")
    assert ours.list("c") == ["k"]


def test_both_prune(ours, theirs, base):
    container = theirs.create_container("c")
    upload(container, "a/b/1", b"1")
    upload(container, "a/b/2", b"2")
    container.get_object("a/b/1").delete()
    assert ours.list("c") == ["a/b/2"]
    ours.run("delete", "c", "a/b/2")
    assert os.listdir(base / "c") == []
    assert names(container) == []


def test_delete_container(ours, theirs, base):
    container = theirs.create_container("c")
    upload(container, "k", b"1")
    assert ours.fail("drop", "c") == "not-empty"
    with pytest.raises(ContainerIsNotEmptyError):
        container.delete()
    ours.run("delete", "c", "k")
    (base / "c" / "empty" / "deep").mkdir(parents=True)
    (base / "c" / ".hash" / "d").mkdir(parents=True)
    (base / "c" / ".hash" / "d" / "f").write_text("left by a program")
    ours.run("drop", "c")
    assert theirs.list_containers() == []


def test_keys_that_lie_in_hidden_folders_are_refused(ours, theirs):
    theirs.create_container("c")
    ours.scratch.write_bytes(b"x")
    for key in (".lock/x", "d/.hash/x", "a//b", "/a", "a/", "../a", "a/./b"):
        assert ours.fail("put", "c", key, ours.scratch) == "bad-name"
    assert ours.list("c") == []


METADATA = {"filename": "Zoë \"q\" \\ 😀\n\x7f.txt", "content_type": "text/plain", "width": 640, "ratio": 1.5,
            "flag": True, "none": None}


def write_as_sqlalchemy_file(container, key, data, metadata):
    """What sqlalchemy_file.storage.StorageManager.save_file does on a local driver."""
    upload(container, f"{key}.metadata.json", json.dumps(metadata).encode())
    upload(container, key, data)


@pytest.fixture
def sidecars(tmp_path, base):
    return Ours(tmp_path, base, "sidecar=sqlalchemy-file")


def test_sidecar_is_read(sidecars, theirs):
    container = theirs.create_container("c")
    write_as_sqlalchemy_file(container, "id", b"content", {**METADATA, "filename": "Zoë.txt"})
    info = sidecars.stat("c", "id")
    assert info["filename"] == "Zoë.txt"
    assert info["width"] == "640" and info["ratio"] == "1.5" and info["flag"] == "true" and info["none"] == "null"


def test_sidecar_is_written(sidecars, theirs, base):
    theirs.create_container("c")
    sidecars.put("c", "id", b"content", f"filename={METADATA['filename']}")
    text = (base / "c" / "id.metadata.json").read_text()
    assert text == json.dumps({"filename": METADATA["filename"]})


def test_sidecar_keeps_what_stays_the_same(sidecars, theirs, base):
    container = theirs.create_container("c")
    write_as_sqlalchemy_file(container, "id", b"content", METADATA)
    kept = [f"{name}={'null' if value is None else 'true' if value is True else value}"
            for name, value in METADATA.items() if name != "ratio"]
    sidecars.run("set", "c", "id", *kept, "added=1")
    expected = {**METADATA, "added": "1"}
    del expected["ratio"]
    assert (base / "c" / "id.metadata.json").read_text() == json.dumps(expected)


def test_sidecar_goes_with_its_object(sidecars, theirs, base):
    container = theirs.create_container("c")
    write_as_sqlalchemy_file(container, "a/id", b"content", METADATA)
    sidecars.run("rename", "c", "a/id", "b/moved")
    assert names(container) == ["b/moved", "b/moved.metadata.json"]
    assert json.loads((base / "c" / "b" / "moved.metadata.json").read_text()) == METADATA
    upload(container, "other", b"without metadata")
    sidecars.run("rename", "c", "other", "b/moved")
    assert names(container) == ["b/moved"]
    sidecars.put("c", "b/moved", b"again", "filename=x")
    assert names(container) == ["b/moved", "b/moved.metadata.json"]
    sidecars.put("c", "b/moved", b"and again")
    assert names(container) == ["b/moved"]
    sidecars.put("c", "b/moved", b"last", "filename=x")
    sidecars.run("delete", "c", "b/moved")
    assert os.listdir(base / "c") == []


def test_sidecar_that_is_no_json(sidecars, theirs):
    container = theirs.create_container("c")
    upload(container, "id", b"content")
    for text in (b"", b"[1]", b"{", b"\xff\xfe"):
        upload(container, "id.metadata.json", text)
        assert sidecars.fail("stat", "c", "id") == "protocol"
        assert sidecars.fail("get", "c", "id") == "protocol"
    sidecars.run("set", "c", "id", "filename=x")
    assert sidecars.stat("c", "id")["filename"] == "x"


def test_waits_for_libclouds_lock(tmp_path, base, theirs):
    import fasteners

    ours = Ours(tmp_path, base, "libcloud_lock = yes", f"libcloud_path = {base}")
    container = theirs.create_container("c")
    upload(container, "k", b"before")
    path = os.path.join(tempfile.gettempdir(), hashlib.sha256(f"{base}/c/k".encode()).hexdigest() + ".lock")
    ours.scratch.write_bytes(b"after")
    lock = fasteners.InterProcessLock(path)
    lock.acquire()
    try:
        process = ours.start("put", "c", "k", ours.scratch)
        wait_until(lambda: process.poll() is not None or has_open(process.pid, path))
        assert process.poll() is None
        assert ours.run("get", "c", "k") == b"before"
    finally:
        lock.release()
    assert process.communicate()[1] == b""
    assert ours.run("get", "c", "k") == b"after"
    os.unlink(path)


def has_open(pid, path):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}") == path:
                return True
        except OSError:
            pass
    return False


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition was not reached"
        time.sleep(0.01)
