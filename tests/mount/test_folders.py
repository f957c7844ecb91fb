"""The folder layout: '/' in keys makes directories; markers, folders that others made, keys that no path can spell."""

import concurrent.futures
import errno
import os
import stat
import subprocess

import pytest

from harness.files import compare_trees, fails_with, random_bytes, read_tree
from harness.process import wait_until
from harness.shared import FOLDERS

pytestmark = FOLDERS


@pytest.fixture
def service(box):
    """The box of a storage that others can reach through a service."""
    if not box.client():
        pytest.skip("nobody else can reach this storage")
    return box


def remake(box):
    """After this nothing is known but what is stored."""
    if box.is_lasting:
        box.mount.remount()
    else:
        box.refresh()


def paths(box):
    return {os.fsdecode(path): entry[0] for path, entry in read_tree(box.path).items()}


def test_nested_directories(box):
    os.makedirs(box.path / "a" / "b" / "c")
    (box.path / "a" / "b" / "c" / "file").write_bytes(b"deep")
    (box.path / "a" / "file").write_bytes(b"shallow")
    wanted = {"a": "directory", "a/b": "directory", "a/b/c": "directory", "a/b/c/file": "file", "a/file": "file"}
    assert paths(box) == wanted
    remake(box)
    assert paths(box) == wanted
    assert (box.path / "a/b/c/file").read_bytes() == b"deep"
    if box.client():
        assert {"a/b/c/file", "a/file"} <= set(box.keys()) and box.get("a/file") == b"shallow"


def test_errors(box):
    path = box.path / "folder"
    path.mkdir()
    fails_with(errno.EEXIST, path.mkdir)
    fails_with(errno.ENOENT, os.mkdir, box.path / "missing" / "below")
    fails_with(errno.ENOENT, (box.path / "missing" / "file").write_bytes, b"")
    fails_with(errno.ENOENT, os.rmdir, box.path / "missing")
    (path / "file").touch()
    fails_with(errno.ENOTEMPTY, path.rmdir)
    fails_with((errno.EISDIR, errno.EPERM), os.unlink, path)
    fails_with(errno.EISDIR, os.open, path, os.O_WRONLY)
    fails_with(errno.ENOTDIR, os.mkdir, path / "file" / "below")
    fails_with(errno.ENOTDIR, os.rmdir, path / "file")
    (path / "sub").mkdir()
    fails_with(errno.EISDIR, os.rename, path / "file", path / "sub")
    fails_with((errno.ENOTEMPTY, errno.EISDIR), os.rename, path / "file", path)
    fails_with(errno.ENOTDIR, os.rename, path / "sub", path / "file")
    (path / "file").unlink()
    fails_with(errno.ENOTEMPTY, path.rmdir)
    (path / "sub").rmdir()
    path.rmdir()
    assert os.listdir(box.path) == []
    if box.client():
        assert box.keys() == []


def test_emptied_folder_stays(box):
    folder = box.path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    (folder / "file").unlink()
    assert os.listdir(folder) == [] and os.listdir(box.path) == ["folder"]
    remake(box)
    assert os.listdir(folder) == [] and os.listdir(box.path) == ["folder"]
    folder.rmdir()
    remake(box)
    assert os.listdir(box.path) == []


def test_marker(service):
    (service.path / "made").mkdir(mode=0o750)
    assert service.keys() == ["made/"]
    head = service.client().head_object(Bucket=service.container, Key="made/")
    assert head["ContentLength"] == 0 and head["ContentType"].split(";")[0] == "application/x-directory"
    (service.path / "made").rmdir()
    assert service.keys() == []


def test_folder_made_by_others(service):
    service.put("photos/2026/a.jpg", b"a")
    service.put("photos/2026/b.jpg", b"b")
    service.put("marked/")
    service.refresh()
    assert paths(service) == {"photos": "directory", "photos/2026": "directory", "photos/2026/a.jpg": "file",
                              "photos/2026/b.jpg": "file", "marked": "directory"}
    assert (service.path / "photos/2026/b.jpg").read_bytes() == b"b"
    fails_with(errno.ENOTEMPTY, os.rmdir, service.path / "photos")
    fails_with(errno.EEXIST, os.mkdir, service.path / "photos")
    (service.path / "marked").rmdir()
    assert service.keys() == ["photos/2026/a.jpg", "photos/2026/b.jpg"]


def test_folder_of_others_stays_when_emptied_here(service):
    service.put("photos/2026/a.jpg", b"a")
    service.refresh()
    (service.path / "photos/2026/a.jpg").unlink()
    assert paths(service) == {"photos": "directory", "photos/2026": "directory"}
    remake(service)
    assert paths(service) == {"photos": "directory", "photos/2026": "directory"}
    (service.path / "photos/2026").rmdir()
    assert paths(service) == {"photos": "directory"}
    (service.path / "photos").rmdir()
    remake(service)
    assert paths(service) == {} and service.keys() == []


def test_folder_of_others_vanishes_with_its_objects(service):
    service.put("photos/a.jpg", b"a")
    service.refresh()
    assert paths(service) == {"photos": "directory", "photos/a.jpg": "file"}
    service.client().delete_object(Bucket=service.container, Key="photos/a.jpg")
    wait_until(lambda: paths(service) == {}, 10, "the end of the folder")


def test_moving_the_last_file_out_keeps_the_folder(box):
    os.makedirs(box.path / "from")
    os.makedirs(box.path / "to")
    (box.path / "from" / "file").write_bytes(b"x")
    os.rename(box.path / "from" / "file", box.path / "to" / "file")
    remake(box)
    assert paths(box) == {"from": "directory", "to": "directory", "to/file": "file"}


@pytest.mark.parametrize("marker, options", [
    ("dir/", {"ContentType": "application/x-directory"}), ("dir/", {"ContentType": "httpd/unix-directory"}),
    ("dir/", {"ContentType": "binary/octet-stream"}), ("dir", {"ContentType": "application/x-directory"}),
    ("dir", {"Metadata": {"hdi_isfolder": "true"}}), ("dir", {"Metadata": {"mode": str(stat.S_IFDIR | 0o755)}})], ids=str)
def test_foreign_markers(service, marker, options):
    service.put(marker, b"", **options)
    service.put("beside", b"x")
    stored = service.client().head_object(Bucket=service.container, Key=marker)["Metadata"]
    if stored != options.get("Metadata", {}):
        pytest.skip("this service renames metadata with an underscore")
    service.refresh()
    folder = service.path / "dir"
    assert folder.is_dir() and os.listdir(folder) == []
    (folder / "file").write_bytes(b"x")
    remake(service)
    assert os.listdir(folder) == ["file"] and folder.is_dir()
    assert sorted(os.listdir(service.path)) in (["beside", "dir"], ["beside", "dir", "dir%00"])


def test_old_markers_are_files(service):
    """`dir_$folder$` beside what it stands for: shown as the object that it is, so that it can be removed."""
    service.put("dir_$folder$")
    service.put("dir/file", b"x")
    service.refresh()
    assert paths(service) == {"dir_$folder$": "file", "dir": "directory", "dir/file": "file"}
    (service.path / "dir_$folder$").unlink()
    assert service.keys() == ["dir/file"]


def test_object_beside_a_folder(service):
    service.put("a", b"the object")
    service.put("a/b", b"below")
    service.refresh()
    assert paths(service) == {"a": "directory", "a/b": "file", "a%00": "file"}
    assert (service.path / "a%00").read_bytes() == b"the object" and (service.path / "a/b").read_bytes() == b"below"
    (service.path / "a%00").write_bytes(b"written here")
    assert service.get("a") == b"written here"
    os.rename(service.path / "a%00", service.path / "moved")
    assert sorted(service.keys()) == ["a/b", "moved"] and service.get("moved") == b"written here"


KEYS = {"a//b": "a/%2F/b", "/leading": "%2F/leading", "//": "%2F/%2F", "x/./y": "x/%2E/y", "x/../z": "x/%2E%2E/z", ".": "%2E",
        "with space/ä ö": "with space/ä ö", "100%/50%": "100%/50%", "p/%25": "p/%2525", "p/%2F": "p/%252F", "p/%2E": "p/%252E", "p/q%2Fr": "p/q%2Fr",
        "deep/" * 20 + "end": "deep/" * 20 + "end", "n" * 900: "n" * 900, "c\tontrol/\x01": "c\tontrol/\x01"}


def test_keys_that_no_path_spells(service):
    for key in KEYS:
        service.put(key, key.encode() if not key.endswith("/") else b"")
    service.refresh()
    found = paths(service)
    for key, path in KEYS.items():
        assert path in found, (key, sorted(found))
        if not key.endswith("/"):
            assert (service.path / path).read_bytes() == key.encode()
    assert sum(kind == "file" for kind in found.values()) == sum(not key.endswith("/") for key in KEYS)


def test_keys_that_no_path_spells_written_here(service):
    files = {key: path for key, path in KEYS.items() if not key.endswith("/")}
    for key, path in files.items():
        os.makedirs((service.path / path).parent, exist_ok=True)
        (service.path / path).write_bytes(key.encode())
    assert {key for key in service.keys() if not key.endswith("/")} == set(files)
    for key in files:
        assert service.get(key) == key.encode()


def test_object_that_ends_in_a_slash(service):
    """With content it is an object, not a marker, and stays reachable."""
    service.put("folder/", b"content")
    service.put("folder/file", b"x")
    service.refresh()
    assert paths(service) == {"folder": "directory", "folder/file": "file", "folder/%00": "file"}
    assert (service.path / "folder/%00").read_bytes() == b"content"


def test_rename_of_a_folder(box):
    os.makedirs(box.path / "old" / "sub" / "empty")
    contents = {f"old/file{number}": random_bytes(number * 10, number) for number in range(60)}
    contents |= {f"old/sub/file{number}": random_bytes(number, number) for number in range(20)}
    for path, content in contents.items():
        (box.path / path).write_bytes(content)
    os.utime(box.path / "old/file1", ns=(10**18, 10**18))
    os.rename(box.path / "old", box.path / "new")
    for again in (False, True):
        assert not (box.path / "old").exists() and os.listdir(box.path) == ["new"]
        assert sorted(os.listdir(box.path / "new/sub")) == sorted(["empty", *(f"file{number}" for number in range(20))])
        assert os.listdir(box.path / "new/sub/empty") == []
        for path, content in contents.items():
            assert (box.path / path.replace("old", "new", 1)).read_bytes() == content
        assert (box.path / "new/file1").stat().st_mtime_ns == 10**18
        if not again:
            remake(box)
    if box.client():
        assert not [key for key in box.keys() if key.startswith("old")]


def test_rename_of_a_folder_with_thousands(service):
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda number: service.put(f"old/{number:04}", str(number).encode()), range(1200)))
    service.refresh()
    os.rename(service.path / "old", service.path / "new")
    assert sorted(os.listdir(service.path / "new")) == [f"{number:04}" for number in range(1200)]
    keys = service.keys()
    assert sorted(key for key in keys if not key.endswith("/")) == [f"new/{number:04}" for number in range(1200)]
    assert service.get("new/0777") == b"777"


def test_rename_over_folders(box):
    for name in ("full", "empty", "source"):
        (box.path / name).mkdir()
    (box.path / "full" / "file").write_bytes(b"full")
    (box.path / "source" / "file").write_bytes(b"source")
    fails_with((errno.ENOTEMPTY, errno.EEXIST), os.rename, box.path / "source", box.path / "full")
    os.rename(box.path / "source", box.path / "empty")
    assert paths(box) == {"full": "directory", "full/file": "file", "empty": "directory", "empty/file": "file"}
    fails_with(errno.EINVAL, os.rename, box.path / "full", box.path / "full" / "below")
    os.rename(box.path / "full", box.path / "empty" / "below")
    assert paths(box) == {"empty": "directory", "empty/file": "file", "empty/below": "directory", "empty/below/file": "file"}


def test_rename_of_a_folder_to_another_container(box):
    os.makedirs(box.path / "folder" / "sub")
    (box.path / "folder" / "sub" / "file").write_bytes(b"x")
    os.rename(box.path / "folder", box.second_path / "moved")
    assert os.listdir(box.path) == [] and (box.second_path / "moved/sub/file").read_bytes() == b"x"
    if box.client():
        assert box.keys() == []


def test_rename_of_a_folder_with_open_files(box):
    (box.path / "old").mkdir()
    (box.path / "old" / "read").write_bytes(b"to read")
    with open(box.path / "old" / "written", "wb", buffering=0) as writer, open(box.path / "old" / "read", "rb", buffering=0) as reader:
        writer.write(b"before ")
        os.rename(box.path / "old", box.path / "new")
        writer.write(b"after")
        assert reader.read() == b"to read"
        assert (box.path / "new" / "written").read_bytes() == b"before after"
    assert not (box.path / "old").exists()
    remake(box)
    assert (box.path / "new" / "written").read_bytes() == b"before after"
    assert paths(box) == {"new": "directory", "new/read": "file", "new/written": "file"}


def test_unlink_while_open_below_folders(box):
    (box.path / "folder").mkdir()
    with open(box.path / "folder" / "file", "w+b", buffering=0) as file:
        file.write(b"content")
        os.fsync(file.fileno())
        (box.path / "folder" / "file").unlink()
        (box.path / "folder").rmdir()
        assert os.pread(file.fileno(), 10, 0) == b"content"
    remake(box)
    assert paths(box) == {}


def test_attributes_of_folders(box):
    folder = box.path / "folder"
    folder.mkdir(mode=0o751)
    os.chown(folder, 12, 34)
    os.utime(folder, ns=(10**18, 10**18))
    remake(box)
    status = folder.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns) == (0o751, 12, 34, 10**18)
    folder.chmod(0o700)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_attributes_of_a_folder_without_marker(service):
    service.put("folder/file", b"x")
    service.refresh()
    (service.path / "folder").chmod(0o711)
    remake(service)
    assert stat.S_IMODE((service.path / "folder").stat().st_mode) == 0o711 and os.listdir(service.path / "folder") == ["file"]


def test_remove_tree(box):
    for number in range(40):
        os.makedirs(box.path / f"tree/{number % 5}/{number}")
        (box.path / f"tree/{number % 5}/{number}/file").write_bytes(b"x")
    subprocess.run(["rm", "-r", box.path / "tree"], check=True)
    assert os.listdir(box.path) == []
    remake(box)
    assert paths(box) == {}


def test_container_with_folders_is_not_empty(box):
    (box.path / "folder").mkdir()
    fails_with(errno.ENOTEMPTY, box.path.rmdir)
    assert (box.path / "folder").is_dir()


def test_deep_tree_and_listing(box, tmp_path):
    for root in (box.path, tmp_path / "plain"):
        for number in range(60):
            path = root / f"d{number % 3}" / f"e{number % 7}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random_bytes(number * 7, number))
    compare_trees(tmp_path / "plain", box.path)
    remake(box)
    compare_trees(tmp_path / "plain", box.path)


def test_names_order(service):
    """'-' sorts before '/', so listings of `a-` and `a/` interleave; nothing is lost or doubled."""
    keys = [f"a{middle}{number}" for middle in ("-", "/", "", ".", "0", "-/", "//") for number in range(3)]
    for key in keys:
        service.put(key, b"x")
    service.refresh()
    assert sum(kind == "file" for kind in paths(service).values()) == len(keys)
