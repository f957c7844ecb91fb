"""Keys that no file name could be, put by a plain S3 client: listed, read, rewritten, renamed and deleted in both layouts.

`storagefs.key` says which key a file has, so nothing here knows how names are spelt; test_names.py and test_folders.py do.
"""

import os

import botocore.exceptions
import pytest

from harness.shared import box_of

pytestmark = box_of("ceph", "ceph-folders")

TEXT = ["a b", " lead", "trail ", "a+b", "+", "%", "100%", "%2F", "%25", "%00", "a%2Fb", "\u00e9", "e\u0301", "\u212b", "\u00c5", "A\u030a",
        "\ufb01", "\u1e9b\u0323", "\u200b", "\u202e", "\U0001f600", "\uff0f", "&amp;", "<x>", "]]>", "'\"", "\\", "?x=1", "#frag", "*", "~",
        "C:", "-rf", "a,b;c", "a=b", "[x]", "{x}", "|", "^", "`", "$HOME", "a//b", "//", "///", "/", "/lead", "trail/", "a/./b", "a/../b",
        ".", "..", "./x", "../x", "x/.", "x/..", "both", "both/", "both/in", "both//in", "x" * 1024, "\u00fc" * 512, "p/" * 100 + "leaf",
        "x/" + "y" * 1022, "default", ".control", "s_$folder"]
# What XML 1.0 cannot hold even as a reference, and what it normalises.
NOT_XML = ["\x01", "a\x08b", "\x0b", "\x0c", "\x1f", "\ufffe", "\uffff", "tab\t", "line\n", "return\r", "crlf\r\nx", "del\x7f", "\x85", "\u2028"]


KEYS = pytest.mark.parametrize("keys", [TEXT, NOT_XML], ids=["text", "not XML"])


def empty(box):
    """A key that has no name here cannot be removed here: a test before may have left one."""
    for key in box.keys():
        box.client().delete_object(Bucket=box.container, Key=key)
    box.refresh()


def body_of(key):
    return b"" if key.endswith("/") else b"of " + key.encode("utf-8", "surrogatepass")


def store(box, keys):
    """Puts them behind the mount's back; gives those that the service takes."""
    empty(box)
    stored = []
    for key in keys:
        try:
            box.put(key, body_of(key))
            stored.append(key)
        except botocore.exceptions.ClientError:
            pass  # not even its own client may have such a key
    box.refresh()
    return stored


def walk(box):
    """{key: path} of every file; of a folder, when its marker's key is in the store."""
    found, stored = {}, set(box.keys())
    for directory, folders, files in os.walk(os.fsencode(box.path)):
        for name in files + folders:
            path = os.path.join(directory, name)
            key = os.getxattr(path, "storagefs.key").decode()
            if name in files or key in stored:
                assert key not in found, (key, path, found[key])
                found[key] = path
    return found


def is_nameless(key, box):
    """Its name would be longer than a name can be: in the flat layout, every '/' takes three bytes."""
    return not box.folders and len(key.encode().replace(b"/", b"%2F")) > 1024


def check_all(box, keys):
    found = walk(box)
    assert sorted(found) == sorted(key for key in keys if not is_nameless(key, box))
    for key, path in found.items():
        assert os.stat(path)
        if not os.path.isdir(path):
            with open(path, "rb") as file:
                assert file.read() == body_of(key)
    return found


@KEYS
def test_every_key_has_a_name(box, keys):
    stored = store(box, keys)
    assert len(stored) > len(keys) * 2 // 3, sorted(set(keys) - set(stored))
    check_all(box, stored)
    assert sorted(box.keys()) == sorted(stored)


@KEYS
def test_what_is_rewritten_keeps_its_key(box, keys):
    stored = store(box, keys)
    found = {key: path for key, path in check_all(box, stored).items() if not os.path.isdir(path)}
    for key, path in found.items():
        with open(path, "r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(b", more")
    assert sorted(box.keys()) == sorted(stored)
    for key in found:
        assert box.get(key) == body_of(key) + b", more", key
    box.refresh()
    for key, path in walk(box).items():
        if not os.path.isdir(path):
            with open(path, "rb") as file:
                assert file.read() == body_of(key) + b", more"


@KEYS
def test_what_is_deleted_is_that_key(box, keys):
    stored = store(box, keys)
    left = set(stored)
    for key, path in check_all(box, stored).items():
        if os.path.isdir(path):
            continue
        os.unlink(path)
        left.remove(key)
        assert not os.path.lexists(path)
    # A folder made or emptied here stays until rmdir: by its marker.
    now = set(box.keys())
    assert left <= now and all(key.endswith("/") for key in now - left)
    for directory, folders, files in os.walk(os.fsencode(box.path), topdown=False):
        assert not files
        for name in folders:
            os.rmdir(os.path.join(directory, name))
    assert set(box.keys()) == {key for key in stored if is_nameless(key, box)}


@KEYS
def test_what_is_renamed(box, keys):
    stored = store(box, keys)
    files = {key: path for key, path in check_all(box, stored).items() if not os.path.isdir(path)}
    for number, (key, path) in enumerate(files.items()):
        target = box.path / f"renamed-{number}"
        os.rename(path, target)
        assert box.get(f"renamed-{number}") == body_of(key)
        if not path.endswith(b"%00"):  # the name of an object beside its folder: nothing new is made under it
            os.rename(target, path)
            assert not target.exists() and box.get(key) == body_of(key)


def test_what_cannot_be_a_key_is_refused(box):
    """A name that is not UTF-8 could never be listed by XML: refused at once, and nothing happens."""
    empty(box)
    for name in (b"\xff", b"a\xfe\x80", b"\xed\xa0\x80"):
        with pytest.raises(OSError) as caught, open(os.fsencode(box.path) + b"/" + name, "wb") as file:
            file.write(b"content")
        assert caught.value.errno == 22, caught.value
    assert os.listdir(box.path) == [] and box.keys() == []
