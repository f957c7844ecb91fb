"""Times, modes, owners and extended attributes: kept, also over a remount, and read where others wrote them."""

import errno
import os
import stat
import subprocess

import pytest

from harness.files import fails_with, random_bytes
from harness.process import wait_until


def seen(path):
    status = os.lstat(path)
    return (status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def test_kept_over_a_remount(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    os.utime(path, ns=(10**18 + 1, 1234567890123456789))
    path.chmod(0o4751)
    os.chown(path, 1234, 4321)
    path.chmod(0o4751)
    (box.path / "plain").write_bytes(b"plain")
    wanted = {name: seen(box.path / name) for name in ("file", "plain")}
    assert wanted["file"] == (7, 1234567890123456789, 0o4751, 1234, 4321)
    if box.is_lasting:
        box.mount.remount()
    else:
        box.refresh()
    assert {name: seen(box.path / name) for name in ("file", "plain")} == wanted
    assert path.read_bytes() == b"content"


def test_content_and_attributes_together(box):
    path = box.path / "file"
    path.write_bytes(b"one")
    path.chmod(0o600)
    path.write_bytes(b"two, longer")
    os.utime(path, ns=(5, 5))
    box.refresh()
    assert seen(path)[:3] == (11, 5, 0o600) and path.read_bytes() == b"two, longer"


def test_time_moves_with_writes(box):
    path = box.path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(10**9, 10**9))
    with open(path, "ab") as file:
        file.write(b"two")
    assert path.stat().st_mtime_ns > 10**18
    os.utime(path, ns=(10**9, 10**9))
    os.truncate(path, 2)
    assert path.stat().st_mtime_ns > 10**18
    os.utime(path, ns=(10**9, 10**9))
    path.read_bytes()
    path.chmod(0o644)
    assert path.stat().st_mtime_ns == 10**9


@pytest.mark.parametrize("time", [0, 1, 999999999, 10**9, 4294967296 * 10**9 + 1, -1500000000])
def test_times(box, time):
    path = box.path / "file"
    path.touch()
    os.utime(path, ns=(time, time))
    box.refresh()
    assert path.stat().st_mtime_ns == time


def test_touch(box):
    path = box.path / "file"
    for command in (["touch", path], ["touch", "-d", "2001-02-03 04:05:06.789 UTC", path], ["touch", "-m", path], ["touch", "-a", path]):
        subprocess.run(command, check=True)
        if "-d" in command:
            assert path.stat().st_mtime_ns == 981173106789000000
    assert path.stat().st_mtime_ns > 10**18


def test_symlink_attributes(box):
    os.symlink("target", box.path / "link")
    os.utime(box.path / "link", ns=(10**18, 10**18), follow_symlinks=False)
    box.refresh()
    assert os.lstat(box.path / "link").st_mtime_ns == 10**18
    os.chown(box.path / "link", 1, 2, follow_symlinks=False)
    assert seen(box.path / "link")[3:] == (1, 2)
    assert os.readlink(box.path / "link") == "target"


def test_containers_have_times(box):
    status = box.path.stat()
    assert stat.S_ISDIR(status.st_mode) and status.st_mtime > 0 and status.st_nlink >= 1


def test_blocks(box):
    path = box.path / "file"
    path.write_bytes(random_bytes(100000))
    status = path.stat()
    assert status.st_blocks * 512 >= 100000 and status.st_blksize >= 4096 and status.st_nlink == 1
    assert int(subprocess.run(["du", "-B1", "--apparent-size", path], capture_output=True, text=True, check=True).stdout.split()[0]) == 100000


# --- extended attributes

def test_user_attributes(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    values = {"user.note": b"text", "user.number-1": b"12", "user.long": b"x" * 200, "user.utf8": "é ü 日本".encode(), "user.space": b" a  b "}
    for name, value in values.items():
        os.setxattr(path, name, value)
    for again in (False, True):
        assert {name: os.getxattr(path, name) for name in values} == values
        assert set(values) <= set(os.listxattr(path))
        assert not [name for name in os.listxattr(path) if name.startswith("storagefs.")]
        if again:
            break
        if box.is_lasting:
            box.mount.remount()
        else:
            box.refresh()
    os.removexattr(path, "user.note")
    assert "user.note" not in os.listxattr(path)
    fails_with(errno.ENODATA, os.getxattr, path, "user.note")
    fails_with(errno.ENODATA, os.removexattr, path, "user.note")
    assert path.read_bytes() == b"content"


def test_attributes_of_an_open_new_file(box):
    path = box.path / "file"
    with open(path, "wb") as file:
        os.setxattr(path, "user.early", b"1")
        file.write(b"content")
        os.setxattr(file.fileno(), "user.late", b"2")
    box.refresh()
    assert (os.getxattr(path, "user.early"), os.getxattr(path, "user.late"), path.read_bytes()) == (b"1", b"2", b"content")


def test_attributes_survive_a_rewrite(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    os.setxattr(path, "user.note", b"kept")
    path.write_bytes(b"other")
    with open(path, "ab") as file:
        file.write(b" and more")
    box.refresh()
    assert os.getxattr(path, "user.note") == b"kept" and path.read_bytes() == b"other and more"


def test_create_and_replace(box):
    path = box.path / "file"
    path.touch()
    fails_with(errno.ENODATA, os.setxattr, path, "user.note", b"1", os.XATTR_REPLACE)
    os.setxattr(path, "user.note", b"1", os.XATTR_CREATE)
    fails_with(errno.EEXIST, os.setxattr, path, "user.note", b"2", os.XATTR_CREATE)
    os.setxattr(path, "user.note", b"3", os.XATTR_REPLACE)
    assert os.getxattr(path, "user.note") == b"3"


def test_empty_value(box):
    path = box.path / "file"
    path.touch()
    os.setxattr(path, "user.empty", b"")
    assert os.getxattr(path, "user.empty") == b"" and "user.empty" in os.listxattr(path)


def test_other_names_are_refused(box):
    path = box.path / "file"
    path.touch()
    fails_with(errno.ENOTSUP, os.setxattr, path, "trusted.note", b"1") if not box.is_local else None
    fails_with((errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EROFS), os.setxattr, path, "storagefs.etag", b"1")
    fails_with((errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EROFS), os.removexattr, path, "storagefs.key")
    fails_with((errno.ENODATA, errno.ENOTSUP), os.getxattr, path, "storagefs.nonsense")
    # ls -l and cp ask for these of every file, unless the first answer is that there are none on this device.
    for name in ("security.capability", "security.selinux", "system.posix_acl_access"):
        fails_with(errno.ENOTSUP, os.getxattr, path, name)


def test_reserved_names(box):
    """What a service or storagefs itself uses is not offered as user data."""
    if box.is_local:
        pytest.skip("on a disk the names are the file system's")
    path = box.path / "file"
    path.touch()
    for name in ("user.mtime", "user.mode", "user.uid", "user.gid", "user.bad name", "user.colon:", "user."):
        fails_with((errno.EINVAL, errno.ENOTSUP), os.setxattr, path, name, b"1")
    assert [name for name in os.listxattr(path) if name != "user.mime_type"] == []


def test_too_much(box):
    if not box.client():
        pytest.skip("no limit of a service to meet")
    path = box.path / "file"
    path.touch()
    fails_with((errno.ENOSPC, errno.E2BIG), os.setxattr, path, "user.big", b"x" * 60000)
    assert path.read_bytes() == b""


def test_content_type(box):
    if box.is_local:
        pytest.skip("a disk knows no types but those that are set")
    for name, wanted in (("picture.png", "image/png"), ("page.html", "text/html"), ("text.txt", "text/plain"), ("data.json", "application/json")):
        (box.path / name).write_bytes(b"x")
        assert os.getxattr(box.path / name, "user.mime_type").decode().split(";")[0] == wanted
        if box.client():
            assert box.client().head_object(Bucket=box.container, Key=name)["ContentType"].split(";")[0] == wanted
    path = box.path / "picture.png"
    os.setxattr(path, "user.mime_type", b"application/x-own")
    box.refresh()
    assert os.getxattr(path, "user.mime_type") == b"application/x-own" and path.read_bytes() == b"x"
    if box.client():
        assert box.client().head_object(Bucket=box.container, Key="picture.png")["ContentType"] == "application/x-own"
    with open(path, "ab") as file:
        file.write(b"y")
    assert os.getxattr(path, "user.mime_type") == b"application/x-own"


def test_content_type_on_a_disk(box):
    if not box.is_local:
        pytest.skip("for storages without a type of their own")
    path = box.path / "picture.png"
    path.touch()
    os.setxattr(path, "user.mime_type", b"image/x-own")
    assert os.getxattr(path, "user.mime_type") == b"image/x-own"


def test_facts_of_the_storage(box):
    path = box.path / "file"
    path.write_bytes(b"content")
    if not box.is_local:
        assert os.getxattr(path, "storagefs.key") == b"file"
    if box.client():
        head = box.client().head_object(Bucket=box.container, Key="file")
        assert os.getxattr(path, "storagefs.etag").decode().strip('"') == head["ETag"].strip('"')
        first = os.getxattr(path, "storagefs.etag")
        path.write_bytes(b"other")
        assert os.getxattr(path, "storagefs.etag") != first


def test_metadata_of_others(box):
    """What boto3 stores is read, what is stored here boto3 reads."""
    if not box.client():
        pytest.skip("nobody else can reach this storage")
    box.put("file", b"content", Metadata={"note": "theirs", "mtime": "1000000000.5", "mode": str(stat.S_IFREG | 0o640), "uid": "12", "gid": "34"},
            ContentType="text/x-theirs")
    box.refresh()
    path = box.path / "file"
    assert seen(path) == (7, 1000000000500000000, 0o640, 12, 34)
    assert os.getxattr(path, "user.note") == b"theirs" and os.getxattr(path, "user.mime_type") == b"text/x-theirs"
    os.setxattr(path, "user.ours", b"value")
    path.chmod(0o600)
    found = box.client().head_object(Bucket=box.container, Key="file")
    metadata = {name.lower(): value for name, value in found["Metadata"].items()}
    assert metadata["ours"] == "value" and metadata["note"] == "theirs" and int(metadata["mode"]) == stat.S_IFREG | 0o600
    assert metadata["uid"] == "12" and metadata["gid"] == "34" and float(metadata["mtime"]) == 1000000000.5
    assert found["ContentType"] == "text/x-theirs"


@pytest.mark.parametrize("metadata, wanted", [
    ({"mtime": "1500000000"}, 1500000000000000000),
    ({"mtime": "1500000000.123456789"}, 1500000000123456789),
    ({"mtime": "1500000000.12"}, 1500000000120000000),
    ({"mtime": "2017-07-14T02:40:00Z"}, 1500000000000000000),
    ({"goog-reserved-file-mtime": "1500000001"}, 1500000001000000000),
    ({"gcsfuse_mtime": "2017-07-14T02:40:00.5Z"}, 1500000000500000000),
])
def test_times_of_others(box, metadata, wanted):
    if box.kind != "ceph":
        pytest.skip("one service is enough for a pure function")
    box.put("file", b"x", Metadata=metadata)
    if box.client().head_object(Bucket=box.container, Key="file")["Metadata"] != metadata:
        pytest.skip("this service renames metadata with an underscore")
    box.refresh()
    assert (box.path / "file").stat().st_mtime_ns == wanted


@pytest.mark.parametrize("metadata", [{"mtime": "nonsense", "mode": "rwx", "uid": "-5", "gid": "99999999999999999999"}, {"mtime": "1e400", "mode": "-1"}])
def test_nonsense_of_others(box, metadata):
    if box.kind != "ceph":
        pytest.skip("one service is enough for a pure function")
    box.put("file", b"x", Metadata=metadata)
    box.refresh()
    status = (box.path / "file").stat()
    assert stat.S_ISREG(status.st_mode) and abs(status.st_mtime - box.path.stat().st_ctime) < 10**9
    assert (box.path / "file").read_bytes() == b"x"


def test_listing_attributes(mount, ceph, bucket_of):
    """attributes = listing: what the listing says is what stat says, without a HEAD for each object."""
    bucket = bucket_of(ceph)
    client = ceph.client()
    for number in range(30):
        client.put_object(Bucket=bucket, Key=f"file{number}", Body=b"x" * number, Metadata={"mode": str(stat.S_IFREG | 0o600), "mtime": "5"})
    with ceph.counted() as proxy:
        made = mount({"store": ceph.settings(proxy.endpoint, containers=bucket, attributes="listing")})
        found = {entry.name: entry.stat() for entry in os.scandir(made.point / "store" / bucket)}
        assert {name: status.st_size for name, status in found.items()} == {f"file{number}": number for number in range(30)}
        assert all(status.st_mtime > 10**9 for status in found.values())
        assert proxy.counts()["HeadObject"] == 0
        made.close()


def test_new_attributes_are_seen_through_handles(box):
    path = box.path / "file"
    path.write_bytes(b"x")
    with open(path, "rb") as file:
        path.chmod(0o611)
        os.utime(path, ns=(7, 7))
        wait_until(lambda: stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o611, 5)
        assert os.fstat(file.fileno()).st_mtime_ns == 7


def test_set_right_after_close(box):
    """The kernel tells about a close only after close(2) has returned; what is set meanwhile must not be lost."""
    for number in range(40):
        path = box.path / f"file{number}"
        path.write_bytes(b"content")
        os.utime(path, ns=(10**18 + number, 10**18 + number))
        path.chmod(0o604)
        os.setxattr(path, "user.note", b"kept")
    for again in (False, True):
        for number in range(40):
            path = box.path / f"file{number}"
            assert seen(path)[:3] == (7, 10**18 + number, 0o604) and os.getxattr(path, "user.note") == b"kept"
        if not again:
            box.refresh()


def test_set_while_somebody_reads(box):
    """A change by name is stored when the call returns, not when the reader goes."""
    path = box.path / "file"
    path.write_bytes(b"content")
    with open(path, "rb") as reader:
        path.chmod(0o640)
        os.setxattr(path, "user.note", b"kept")
        os.truncate(path, 3)
        if box.client():
            found = box.client().head_object(Bucket=box.container, Key="file")
            metadata = {name.lower(): value for name, value in found["Metadata"].items()}
            assert int(metadata["mode"]) == stat.S_IFREG | 0o640 and metadata["note"] == "kept" and found["ContentLength"] == 3
        assert reader.read() == b"con"


def test_copied_by_rsync(box, tmp_path):
    """rsync -X copies what is listed and fails when it cannot: attributes that are ours are not listed."""
    path = box.path / "file"
    path.write_bytes(b"content")
    os.setxattr(path, "user.note", b"kept")
    subprocess.run(["rsync", "-aX", path, tmp_path / "copy"], check=True)
    assert os.getxattr(tmp_path / "copy", "user.note") == b"kept"
    subprocess.run(["rsync", "-aX", path, box.path / "second"], check=True)
    assert os.getxattr(box.path / "second", "user.note") == b"kept"
