"""What a user of a storage manager with named containers and a default expects, step by step: two storages, `first`
and `second`, with one container `att` in both, on a local disk and on an S3 service."""

import errno
import os
import subprocess
import sys

import boto3  # noqa: F401  (its absence would hide the S3 half)
import pytest

from harness.mount import MountFailed
from harness.process import is_mounted

CONTAINER = "att"


def local_settings(tmp_path, name):
    base = tmp_path / name
    (base / CONTAINER).mkdir(parents=True)
    return {"driver": "local", "path": base}


@pytest.fixture(params=["local", "ceph", "ceph-journal"])
def pair(request, mount, tmp_path, bucket_of):
    """A mount of `first` and `second`; container(name) is the container's directory below a storage."""
    if request.param == "local":
        made = mount({name: local_settings(tmp_path, name) for name in ("first", "second")})
        made.container = {"first": CONTAINER, "second": CONTAINER}
    else:
        server = request.getfixturevalue("ceph")
        buckets = {name: bucket_of(server, CONTAINER) for name in ("first", "second")}
        more = {"durability": "journal"} if request.param.endswith("-journal") else {}
        made = mount({name: server.settings(containers=bucket, **more) for name, bucket in buckets.items()})
        made.container = buckets
        made.server = server
    return made


def box(made, storage="first"):
    return made.point / storage / made.container[storage]


def write_default(made, name):
    with open(made.control("default"), "w") as file:
        file.write(name + "\n")


def test_first_is_default(pair):
    assert pair.default() == "first"
    assert pair.control("default").read_text() == "first\n"
    assert pair.command("default", pair.point).stdout == "first\n"


READER = """
import os, sys
for line in sys.stdin:
    print(os.readlink(sys.argv[1]), flush=True)
"""


@pytest.fixture
def running_reader(pair):
    """A process that has been running since before any switch."""
    process = subprocess.Popen([sys.executable, "-c", READER, pair.point / "default"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def read():
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    assert read() == "first"
    yield read
    process.stdin.close()
    process.wait()
    process.stdout.close()


def remove_and_link(pair, name):
    """`ln -sfn` of busybox, and of whoever else removes before he makes."""
    (pair.point / "default").unlink()
    (pair.point / "default").symlink_to(name)


@pytest.mark.parametrize("way", ["control", "link", "removed first", "command"])
def test_switch(pair, running_reader, way):
    if way == "control":
        write_default(pair, "second")
    elif way == "link":
        subprocess.run(["ln", "-sfn", "second", pair.point / "default"], check=True)
    elif way == "removed first":
        remove_and_link(pair, "second")
    else:
        pair.command("default", pair.point, "second")
    assert running_reader() == "second"
    assert pair.default() == "second"
    assert os.listdir(pair.point).count("default") == 1
    assert set(os.listdir(pair.point)) == {"first", "second", "default"}


def test_unknown_default_changes_nothing(pair):
    with pytest.raises(FileNotFoundError):
        write_default(pair, "nope")
    assert pair.default() == "first"
    assert subprocess.run(["ln", "-sfn", "nope", pair.point / "default"], capture_output=True).returncode != 0
    assert pair.default() == "first"
    with pytest.raises(FileNotFoundError):
        remove_and_link(pair, "nope")
    assert pair.default() == "first"
    assert pair.command("default", pair.point, "nope", check=False).returncode != 0
    for path in ("nope", "nope/att/x"):
        with pytest.raises(FileNotFoundError):
            os.stat(pair.point / path)


@pytest.mark.parametrize("text", ["", "a/b", "first\nsecond\n", "\0"])
def test_malformed_default_is_refused(pair, text):
    descriptor = os.open(pair.control("default"), os.O_WRONLY)
    try:
        if text:
            with pytest.raises(OSError) as caught:
                os.write(descriptor, text.encode())
            assert caught.value.errno == errno.EINVAL
    finally:
        os.close(descriptor)
    assert pair.default() == "first"


BAD_SECTIONS = {
    "duplicate": ("[storage first]\ndriver = memory\n[storage first]\ndriver = memory\n", ":3", "first"),
    "default": ("[storage default]\ndriver = memory\n", ":1", "default ="),
    "empty": ("[storage ]\ndriver = memory\n", ":1", "name"),
    "dotted": ("[storage .x]\ndriver = memory\n", ":1", ".x"),
    "slash": ("[storage a/b]\ndriver = memory\n", ":1", "a/b"),
    "dot": ("[storage ..]\ndriver = memory\n", ":1", ".."),
    "unknown key": ("[storage a]\ndriver = memory\nread_onli = yes\n", ":3", "read_only"),
    "unknown section": ("[storge a]\ndriver = memory\n", ":1", "storage"),
    "unknown driver": ("[storage a]\ndriver = memori\n", ":2", "memory"),
    "no such default": ("[storagefs]\ndefault = b\n[storage a]\ndriver = memory\n", ":2", "b"),
}


@pytest.mark.parametrize("case", BAD_SECTIONS)
def test_bad_configuration_is_refused(mount, case):
    text, line, word = BAD_SECTIONS[case]
    made = mount({}, start=False)
    made.write_configuration(text)
    with pytest.raises(MountFailed) as caught:
        made.start()
    assert f"storagefs.conf{line}" in caught.value.log and word in caught.value.log
    assert not is_mounted(made.point)
    checked = made.command("check", "-c", made.configuration_file, check=False)
    assert checked.returncode != 0 and f"storagefs.conf{line}" in checked.stderr


def test_storages_are_separate(pair):
    through_default = pair.point / "default" / pair.container["first"] / "id"
    through_default.write_bytes(b"content")
    assert os.path.realpath(through_default) == str(box(pair) / "id")
    assert not (box(pair, "second") / "id").exists()


def test_recorded_path_survives_a_switch(pair):
    (box(pair) / "id").write_bytes(b"content")
    recorded = os.path.realpath(pair.point / "default" / pair.container["first"] / "id")
    write_default(pair, "second")
    with open(recorded, "rb") as file:
        assert file.read() == b"content"
    assert not (pair.point / "default" / pair.container["second"] / "id").exists()


def test_open_file_stays_where_it_was_opened(pair):
    with open(pair.point / "default" / pair.container["first"] / "id", "wb") as file:
        file.write(b"one")
        file.flush()
        write_default(pair, "second")
        file.write(b"two")
    assert (box(pair) / "id").read_bytes() == b"onetwo"
    assert not (box(pair, "second") / "id").exists()


def test_replace_and_remove(pair):
    path = box(pair) / "id"
    path.write_bytes(b"a long first content")
    path.write_bytes(b"short")
    assert path.read_bytes() == b"short" and path.stat().st_size == 5
    path.unlink()
    with pytest.raises(FileNotFoundError):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()


def test_existing_container(pair):
    with pytest.raises(FileExistsError):
        os.mkdir(box(pair))
    pair.storages["first"]["create_containers"] = pair.container["first"]
    pair.remount()
    (box(pair) / "id").write_bytes(b"1")


def test_metadata_survives_a_remount(pair):
    path = box(pair) / "id"
    path.write_bytes(b"1")
    os.setxattr(path, "user.filename", "é.txt".encode())
    pair.remount()
    assert os.getxattr(path, "user.filename") == "é.txt".encode()
    assert os.listdir(box(pair)) == ["id"]


def test_remove_container(pair):
    made = pair.point / "first" / "storagefs-acceptance-new"
    if "containers" in pair.storages["first"]:
        del pair.storages["first"]["containers"]
        pair.remount()
    os.mkdir(made)
    (made / "id").write_bytes(b"1")
    with pytest.raises(OSError) as caught:
        os.rmdir(made)
    assert caught.value.errno == errno.ENOTEMPTY
    (made / "id").unlink()
    os.rmdir(made)
    assert not made.exists()


def test_a_name_keeps_its_place(mount, tmp_path):
    made = mount({name: local_settings(tmp_path, name) for name in ("first", "second")})
    made.umount()
    other = tmp_path / "elsewhere"
    other.mkdir()
    made.storages["first"]["path"] = other
    made.write_configuration()
    with pytest.raises(MountFailed) as caught:
        made.start()
    assert "first" in caught.value.log and "--accept-moved" in caught.value.log
    assert not is_mounted(made.point)
    made.start("--accept-moved", "first")
    assert os.listdir(made.point / "first") == []
    made.remount()


def test_choice_survives_a_remount_until_edited(pair):
    write_default(pair, "second")
    pair.remount()
    assert pair.default() == "second"
    pair.options["default"] = "first"
    pair.remount()
    assert pair.default() == "first"
    write_default(pair, "second")
    pair.remount()
    assert pair.default() == "second"


def test_names_that_are_not_ours_to_make(pair):
    for path in (pair.point / "x", box(pair) / "x", box(pair) / "x" / "y"):
        with pytest.raises(OSError) as caught:
            os.mkdir(path)
        assert caught.value.errno in ((errno.EPERM,) if path.parent.exists() else (errno.ENOENT,))
    with pytest.raises(PermissionError):
        os.rmdir(pair.point / "first")
    with pytest.raises(OSError):
        (pair.point / "x").write_bytes(b"")
