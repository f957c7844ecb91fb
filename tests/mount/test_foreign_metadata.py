"""File attributes, symlinks and folders as rclone, s3fs, gcsfuse, geesefs and gsutil write them, read through the
mount; and what the mount writes, read by their rules."""

import errno
import os
import re
import stat

import pytest

from harness.files import fails_with
from harness.shared import box_of

pytestmark = box_of("ceph-folders", "moto-folders")

NS = 10**9
S3FS_FILE = {"mtime": "1500000000.000000012", "ctime": "1500000001", "atime": "1500000002.5", "mode": "33188", "uid": "1000", "gid": "100",
             "xattr": "%7B%22user.x%22%3A%22eA%3D%3D%22%7D"}
# writer: (metadata, what stat says of it: mtime in nanoseconds, mode, uid, gid; None is what has no metadata)
FILES = {
    "rclone": ({"mtime": "1500000000.12", "md5chksum": "nhB9nTcrtoJr2B01QqQZ1g=="}, 1500000000120000000, None, None, None),
    "rclone, whole second": ({"mtime": "1500000000"}, 1500000000 * NS, None, None, None),
    "s3fs": (S3FS_FILE, 1500000000 * NS + 12, 0o644, 1000, 100),
    "s3fs, old": ({"mtime": "1500000000", "mode": "33200", "uid": "0", "gid": "0"}, 1500000000 * NS, 0o660, 0, 0),
    "s3sync": ({"permissions": "33152", "owner": "7", "group": "8"}, None, 0o600, 7, 8),
    "geesefs": ({"mtime": "1500000000", "mode": "33261", "uid": "5", "gid": "6", "rdev": "0"}, 1500000000 * NS, 0o755, 5, 6),
    "gsutil": ({"goog-reserved-file-mtime": "1500000001", "goog-reserved-posix-mode": "640", "goog-reserved-posix-uid": "11",
                "goog-reserved-posix-gid": "12", "goog-reserved-file-atime": "1"}, 1500000001 * NS, 0o640, 11, 12),
    "rclone on GCS": ({"mtime": "2017-07-14T02:40:00.25Z", "goog-reserved-file-mtime": "9"}, 1500000000250000000, None, None, None),
    "setuid": ({"mode": "35309"}, None, 0o4755, None, None),
}
LINKS = {
    "s3fs": ("../dir/t\u00e4rget", {"mode": "41471", "mtime": "1500000000"}),
    "gcsfuse": ("target", {"goog-reserved-file-is-symlink": "true"}),
    "geesefs": ("", {"--symlink-target": "target"}),
}
FOLDERS = {
    "s3fs": ("dir/", {"ContentType": "application/x-directory", "Metadata": {"mode": "16872", "mtime": "1500000000", "uid": "3", "gid": "4"}}),
    "rclone": ("dir/", {"ContentType": "application/octet-stream"}),
    "s3fs, no slash": ("dir", {"ContentType": "application/x-directory"}),
    "Jets3t": ("dir", {"ContentType": "application/x-directory; charset=UTF-8"}),
    "Swift": ("dir", {"ContentType": "application/directory"}),
    "cyberduck": ("dir", {"ContentType": "httpd/unix-directory"}),
    "mode": ("dir", {"Metadata": {"mode": "16877"}}),
}
# An object without the slash marks an empty folder; beside a filled one it is the object that it is.
MARKS = [(writer, filled) for writer in FOLDERS for filled in (False, True) if not filled or FOLDERS[writer][0] == "dir/"]


def metadata_of(box, key):
    return {name.lower(): value for name, value in box.client().head_object(Bucket=box.container, Key=key)["Metadata"].items()}


@pytest.mark.parametrize("writer", FILES)
def test_files_of_others(box, writer):
    metadata, mtime_ns, mode, uid, gid = FILES[writer]
    box.put("plain", b"content")
    box.put("doc", b"content", Metadata=metadata)
    box.refresh()
    plain, found = os.stat(box.path / "plain"), os.stat(box.path / "doc")
    assert stat.S_ISREG(found.st_mode) and found.st_size == 7
    assert stat.S_IMODE(found.st_mode) == (stat.S_IMODE(plain.st_mode) if mode is None else mode)
    assert found.st_uid == (plain.st_uid if uid is None else uid) and found.st_gid == (plain.st_gid if gid is None else gid)
    if mtime_ns is None:
        assert abs(found.st_mtime - plain.st_mtime) < 600
    else:
        assert found.st_mtime_ns == mtime_ns
    assert os.listxattr(box.path / "doc") == ["user.mime_type"]


@pytest.mark.parametrize("writer", FILES)
@pytest.mark.parametrize("change", ["chmod", "touch", "setxattr", "rename", "removexattr"])
def test_a_change_keeps_what_others_wrote(box, writer, change):
    """Their spelling of what is changed gives way to ours; everything else of theirs stays."""
    metadata = {**FILES[writer][0], "note": "theirs"}
    box.put("doc", b"content", Metadata=metadata)
    box.refresh()
    path = box.path / "doc"
    before = os.stat(path)
    if change == "chmod":
        path.chmod(0o751)
    elif change == "touch":
        os.utime(path, ns=(5 * NS, 5 * NS))
    elif change == "setxattr":
        os.setxattr(path, "user.new", b"ours")
    elif change == "removexattr":
        os.removexattr(path, "user.note")
    else:
        path = path.rename(box.path / "moved")
    now = metadata_of(box, path.name)
    assert now.get("note") == (None if change == "removexattr" else "theirs")
    for name in ("xattr", "md5chksum", "ctime", "atime", "rdev", "goog-reserved-file-atime"):
        assert now.get(name) == metadata.get(name), name
    box.refresh()
    after = os.stat(path)
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == (0o751 if change == "chmod" else stat.S_IMODE(before.st_mode))
    if FILES[writer][1] is not None:
        assert after.st_mtime_ns == (5 * NS if change == "touch" else before.st_mtime_ns)


def test_new_content_has_no_old_checksum(box):
    """rclone compares a multi-part object with its md5chksum: one that is of older bytes makes the object look damaged."""
    box.put("doc", b"content", Metadata={"md5chksum": "nhB9nTcrtoJr2B01QqQZ1g==", "mtime": "1500000000", "note": "kept"})
    box.refresh()
    with open(box.path / "doc", "ab") as file:
        file.write(b" and more")
    now = metadata_of(box, "doc")
    assert "md5chksum" not in now and now["note"] == "kept" and box.get("doc") == b"content and more"


def test_new_content_has_no_old_checksum_when_it_was_not_read(box):
    box.put("doc", b"content", Metadata={"md5chksum": "nhB9nTcrtoJr2B01QqQZ1g=="})
    box.refresh()
    (box.path / "doc").write_bytes(b"other")
    assert "md5chksum" not in metadata_of(box, "doc")


@pytest.mark.parametrize("writer", LINKS)
def test_symlinks_of_others(box, writer):
    body, metadata = LINKS[writer]
    box.put("link", body.encode(), Metadata=metadata, ContentType="application/octet-stream")
    box.refresh()
    target = body or "target"
    (entry,) = os.scandir(box.path)
    assert entry.is_symlink() and os.readlink(box.path / "link") == target
    assert os.lstat(box.path / "link").st_size == len(target.encode())
    os.rename(box.path / "link", box.path / "moved")
    os.utime(box.path / "moved", ns=(NS, NS), follow_symlinks=False)
    os.chown(box.path / "moved", 1, 2, follow_symlinks=False)
    box.refresh()
    assert os.readlink(box.path / "moved") == target
    status = os.lstat(box.path / "moved")
    assert (status.st_mtime_ns, status.st_uid, status.st_gid) == (NS, 1, 2) and stat.S_ISLNK(status.st_mode)
    os.unlink(box.path / "moved")
    assert box.keys() == []


@pytest.mark.parametrize("writer, filled", MARKS)
def test_folders_of_others(box, writer, filled):
    key, options = FOLDERS[writer]
    box.put(key, **options)
    if filled:
        box.put("dir/file", b"content")
    box.refresh()
    path = box.path / "dir"
    for look in ("by name", "listed"):
        assert stat.S_ISDIR(os.lstat(path).st_mode), look
        assert os.listdir(path) == (["file"] if filled else [])
        assert [(entry.name, entry.is_dir()) for entry in os.scandir(box.path)] == [("dir", True)]
    if options.get("Metadata", {}).get("uid"):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime, status.st_uid, status.st_gid) == (0o750, 1500000000, 3, 4)
    fails_with(errno.EEXIST, os.mkdir, path)
    fails_with((errno.EISDIR, errno.EEXIST), os.open, path, os.O_WRONLY | os.O_CREAT)
    if filled:
        fails_with(errno.ENOTEMPTY, os.rmdir, path)
        (path / "file").unlink()
    assert os.listdir(path) == [] and os.listdir(box.path) == ["dir"]
    box.refresh()
    assert os.listdir(path) == [] and os.listdir(box.path) == ["dir"]
    os.rmdir(path)
    assert box.keys() == [] and os.listdir(box.path) == []


@pytest.mark.parametrize("writer, filled", MARKS)
def test_folders_of_others_move(box, writer, filled):
    key, options = FOLDERS[writer]
    box.put(key, **options)
    if filled:
        box.put("dir/file", b"content")
    box.refresh()
    os.rename(box.path / "dir", box.path / "moved")
    assert os.listdir(box.path) == ["moved"] and os.listdir(box.path / "moved") == (["file"] if filled else [])
    assert not [found for found in box.keys() if not found.startswith("moved")]
    if filled:
        assert (box.path / "moved" / "file").read_bytes() == b"content"
        (box.path / "moved" / "file").unlink()
    box.refresh()
    assert os.listdir(box.path) == ["moved"]
    os.rmdir(box.path / "moved")
    assert box.keys() == []


# --- the other way

def test_files_of_ours(box):
    path = box.path / "doc.txt"
    path.write_bytes(b"content")
    path.chmod(0o640)
    os.chown(path, 17, 18)
    for mtime_ns in (1500000000 * NS + 12, 1500000000 * NS, 1500000000120000000):
        os.utime(path, ns=(mtime_ns, mtime_ns))
        metadata = metadata_of(box, "doc.txt")
        # s3fs: seconds, then a count of nanoseconds; rclone: a decimal fraction. Nine digits are both.
        seconds, _, digits = metadata["mtime"].partition(".")
        assert int(seconds) * NS + int(digits or "0") == mtime_ns and (not digits or len(digits) == 9)
        assert re.fullmatch(r"-?\d+(\.\d{9})?", metadata["mtime"])
        # s3fs: st_mode in decimal with its type; ids by strtol with base 0, which takes 017 for octal.
        assert int(metadata["mode"]) == stat.S_IFREG | 0o640
        assert (int(metadata["uid"], 0), int(metadata["gid"], 0)) == (17, 18)
    assert box.client().head_object(Bucket=box.container, Key="doc.txt")["ContentType"] == "text/plain"


def test_symlinks_and_folders_of_ours(box):
    os.symlink("../t\u00e4rget", box.path / "link")
    os.mkdir(box.path / "dir", 0o750)
    link = box.client().head_object(Bucket=box.container, Key="link")
    assert box.get("link") == "../t\u00e4rget".encode() and stat.S_ISLNK(int(link["Metadata"]["mode"]))
    folder = box.client().head_object(Bucket=box.container, Key="dir/")
    assert folder["ContentType"] == "application/x-directory" and folder["ContentLength"] == 0
    assert stat.S_ISDIR(int(folder["Metadata"]["mode"])) and sorted(box.keys()) == ["dir/", "link"]
