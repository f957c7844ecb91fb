"""Apache Libcloud's S3 drivers and the mount in the same containers: each reads what the other wrote.

Needs Debian's python3-libcloud.
"""

import email.header
import hashlib
import os
import uuid

import pytest

from harness.files import random_bytes
from harness.s3 import same_bytes
from harness.shared import box_of

pytest.importorskip("libcloud")
from libcloud.storage.providers import get_driver  # noqa: E402
from libcloud.storage.types import ContainerDoesNotExistError, ContainerIsNotEmptyError, Provider  # noqa: E402

pytestmark = box_of("ceph", "ceph-folders", "swift", "moto")

MIB = 1 << 20
SIZES = {"empty": 0, "small": 1000, "multi-part": 12 * MIB}
KEYS = ["plain.txt", "sp ace", "a+b", "100%", "dir/below", "ünï", "日本", "x=1&y=2?z", "quote'\""]


def connect(server):
    """Libcloud's driver for the server; the class keeps its host, so there is one server at a time."""
    place = {"host": "127.0.0.1", "port": server.port, "secure": False}
    if server.name == "ceph":
        return get_driver(Provider.S3_RGW)(server.access_key, server.secret_key, region=server.region, signature_version="4", **place)
    driver = get_driver(Provider.MINIO)(server.access_key, server.secret_key, **place)
    driver.region_name = driver.connection.region_name = server.region
    return driver


@pytest.fixture
def theirs(box):
    return connect(box.server)


def content_of(item):
    return b"".join(item.as_stream()) if item.size else b""


def name_of(key, box):
    return key if box.folders else key.replace("/", "%2F")


def put(driver, container, key, body, **extra):
    return driver.upload_object_via_stream(iter([body]), driver.get_container(container), key, extra=extra)


@pytest.mark.parametrize("size", SIZES)
def test_they_read_what_we_wrote(box, theirs, size):
    body = random_bytes(SIZES[size], 1)
    path = box.path / "cat.png"
    path.write_bytes(body)
    os.setxattr(path, "user.color", b"dark red")
    os.setxattr(path, "user.filename", "é.txt".encode())
    found = theirs.get_object(box.container, "cat.png")
    assert (found.name, found.size, found.extra["content_type"]) == ("cat.png", len(body), "image/png")
    same_bytes(content_of(found), body)
    assert found.meta_data["color"] == "dark red"
    # Headers are ASCII; libcloud hands on the words that carry the rest.
    assert str(email.header.make_header(email.header.decode_header(found.meta_data["filename"]))) == "é.txt"
    assert int(found.meta_data["mode"]) & 0o777 == path.stat().st_mode & 0o777
    if SIZES[size] and size != "multi-part":
        assert found.hash == hashlib.md5(body).hexdigest()


@pytest.mark.parametrize("size", SIZES)
def test_we_read_what_they_wrote(box, theirs, size):
    body = random_bytes(SIZES[size], 2)
    put(theirs, box.container, "their.dat", body, content_type="image/x-theirs", meta_data={"color": "blue", "width": "12"})
    box.refresh()
    path = box.path / "their.dat"
    assert path.stat().st_size == len(body)
    same_bytes(path.read_bytes(), body)
    assert os.getxattr(path, "user.mime_type") == b"image/x-theirs"
    assert (os.getxattr(path, "user.color"), os.getxattr(path, "user.width")) == (b"blue", b"12")
    assert abs(path.stat().st_mtime - box.path.stat().st_mtime) < 86400


def test_a_file_they_upload_and_download(box, theirs, tmp_path):
    """The calls that use a file's name rather than a stream; libcloud guesses the type by it."""
    body = random_bytes(300000, 3)
    (tmp_path / "up.html").write_bytes(body)
    theirs.upload_object(str(tmp_path / "up.html"), theirs.get_container(box.container), "up.html")
    box.refresh()
    same_bytes((box.path / "up.html").read_bytes(), body)
    assert os.getxattr(box.path / "up.html", "user.mime_type") == b"text/html"
    (box.path / "up.html").rename(box.path / "renamed.html")
    theirs.get_object(box.container, "renamed.html").download(str(tmp_path / "down.html"))
    same_bytes((tmp_path / "down.html").read_bytes(), body)
    assert theirs.get_object(box.container, "renamed.html").extra["content_type"] == "text/html"


def test_ranges_they_read(box, theirs):
    body = random_bytes(100000, 4)
    (box.path / "doc").write_bytes(body)
    item = theirs.get_object(box.container, "doc")
    same_bytes(b"".join(theirs.download_object_range_as_stream(item, 1000, 5000)), body[1000:5000])


def test_keys_of_ours(box, theirs):
    for key in KEYS:
        path = box.path / name_of(key, box)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(key.encode())
    listed = {item.name: item.size for item in theirs.get_container(box.container).list_objects()}
    assert {key: size for key, size in listed.items() if not key.endswith("/")} == {key: len(key.encode()) for key in KEYS}
    for key in KEYS:
        assert content_of(theirs.get_object(box.container, key)) == key.encode()


def test_keys_of_theirs(box, theirs):
    for key in KEYS:
        put(theirs, box.container, key, key.encode())
    box.refresh()
    assert sorted(os.listdir(box.path)) == sorted({name_of(key, box).partition("/")[0] for key in KEYS})
    for key in KEYS:
        assert (box.path / name_of(key, box)).read_bytes() == key.encode()


def test_what_is_replaced_and_deleted(box, theirs):
    path = box.path / "doc"
    path.write_bytes(b"ours")
    put(theirs, box.container, "doc", b"theirs, longer")
    box.refresh()
    assert path.read_bytes() == b"theirs, longer"
    path.write_bytes(b"again")
    assert content_of(theirs.get_object(box.container, "doc")) == b"again"
    theirs.get_object(box.container, "doc").delete()
    box.refresh()
    assert not path.exists() and os.listdir(box.path) == []
    path.write_bytes(b"once more")
    path.unlink()
    assert theirs.get_container(box.container).list_objects() == []


@pytest.fixture
def every_container(box, mount):
    """A mount of the same server that shows all containers."""
    return mount({"store": {**box.server.settings(), "folders": box.folders}}, {"freshness": 0}) / "store"


def test_containers(box, theirs, every_container):
    ours, other = (f"{word}-{uuid.uuid4().hex[:12]}" for word in ("ours", "theirs"))
    os.mkdir(every_container / ours)
    assert theirs.get_container(ours).name == ours
    theirs.create_container(other)
    assert {ours, other} <= set(os.listdir(every_container))
    assert {ours, other} <= {container.name for container in theirs.list_containers()}
    (every_container / other / "doc").write_bytes(b"content")
    with pytest.raises(ContainerIsNotEmptyError):
        theirs.delete_container(theirs.get_container(other))
    (every_container / other / "doc").unlink()
    theirs.delete_container(theirs.get_container(other))
    os.rmdir(every_container / ours)
    with pytest.raises(ContainerDoesNotExistError):
        theirs.get_container(ours)
    assert not {ours, other} & set(os.listdir(every_container))
