"""The flat layout: every key has one name, every name one key, and what is not canonical does not exist."""

import errno
import os
import random
import urllib.parse
import urllib.request

import botocore.exceptions
import pytest

from harness.files import fails_with
from harness.process import wait_until

# key: the name of its file
KEYS = {
    "plain": "plain", "with space": "with space", " leading": " leading", "trailing ": "trailing ", "a/b": "a%2Fb",
    "a/b/c.txt": "a%2Fb%2Fc.txt", "folder/": "folder%2F", "/": "%2F", "/leading": "%2Fleading", "a//b": "a%2F%2Fb",
    ".": "%2E", "..": "%2E%2E", "...": "...", ".hidden": ".hidden", "a/../b": "a%2F..%2Fb", "./a": ".%2Fa",
    "%": "%", "100%": "100%", "%41": "%41", "%2F": "%252F", "a%2fb": "a%2fb", "%25": "%2525", "%2E": "%252E",
    "a%2E": "a%2E", "%2E%2E": "%252E%252E", "%%2F": "%%252F", "ä ö ü": "ä ö ü", "日本語/ファイル": "日本語%2Fファイル",
    "e\u0301 and \u00e9": "e\u0301 and \u00e9", "quote'\"&<>": "quote'\"&<>", "semi;colon=and+plus?": "semi;colon=and+plus?",
    "back\\slash": "back\\slash", "#hash": "#hash", "*star": "*star", "-dash": "-dash", "~": "~", "UPPER": "UPPER", "upper": "upper",
    "\U0001f600": "\U0001f600", "x" * 1024: "x" * 1024, "ü" * 512: "ü" * 512, "default": "default", ".control": ".control",
}
CONTROL = {"tab\there": "tab\there", "line\nbreak": "line\nbreak", "\x01\x1f": "\x01\x1f", "return\r": "return\r", "delete\x7f": "delete\x7f"}
ON_DISK = {key for key in KEYS if len(key.encode()) > 255 or "//" in key or key.endswith("/") or key.startswith(("/", "./")) or ".." in key.split("/") or key == "."}

NOT_CANONICAL = ["a%2541", "%2541", "%25", "x%25", "%2e%2F%25zz"]


@pytest.fixture
def flat(box):
    if box.folders:
        pytest.skip("the folder layout has tests of its own")
    return box


def keys_for(flat):
    """What this storage can hold: a disk cannot hold every key, and some services refuse control characters."""
    if flat.is_local:
        return {key: name for key, name in KEYS.items() if key not in ON_DISK and key not in ("a/b/c.txt", "a/b")}
    return KEYS


def test_created_here(flat):
    keys = keys_for(flat)
    for key, name in keys.items():
        (flat.path / name).write_bytes(key.encode())
    assert sorted(os.listdir(flat.path)) == sorted(keys.values())
    flat.refresh()
    assert sorted(os.listdir(flat.path)) == sorted(keys.values())
    for key, name in keys.items():
        assert (flat.path / name).read_bytes() == key.encode()
        if not flat.is_local:
            assert os.getxattr(flat.path / name, "storagefs.key") == key.encode()
    if flat.client():
        assert sorted(flat.keys()) == sorted(keys)
        for key in keys:
            assert flat.get(key) == key.encode()
    if flat.is_local:
        for key in keys:
            assert (flat.base / key).read_bytes() == key.encode()


def test_created_by_others(flat):
    keys = keys_for(flat)
    if flat.client():
        for key in keys:
            flat.put(key, key.encode())
    elif flat.is_local:
        for key in keys:
            (flat.base / key).parent.mkdir(parents=True, exist_ok=True)
            (flat.base / key).write_bytes(key.encode())
    else:
        pytest.skip("nobody else can reach this storage")
    flat.refresh()
    for key, name in keys.items():
        assert (flat.path / name).read_bytes() == key.encode()
    assert sorted(os.listdir(flat.path)) == sorted(keys.values())
    for name in keys.values():
        (flat.path / name).unlink()
    assert os.listdir(flat.path) == []
    if flat.client():
        assert flat.keys() == []


@pytest.mark.parametrize("key", CONTROL, ids=ascii)
def test_control_characters(flat, key):
    name = CONTROL[key]
    if flat.client():
        try:
            flat.put(key, b"probe")
        except botocore.exceptions.ClientError:
            pytest.skip("this service does not take such a key from anybody")
        flat.client().delete_object(Bucket=flat.container, Key=key)
    (flat.path / name).write_bytes(b"content")
    flat.refresh()
    assert os.listdir(flat.path) == [name]
    assert (flat.path / name).read_bytes() == b"content"
    if flat.client():
        assert flat.get(key) == b"content"
    os.rename(flat.path / name, flat.path / ("moved%2F" + name))
    assert os.listdir(flat.path) == ["moved%2F" + name]
    assert (flat.path / ("moved%2F" + name)).read_bytes() == b"content"


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_not_canonical(flat, name):
    path = flat.path / name
    fails_with(errno.ENOENT, os.stat, path)
    fails_with(errno.ENOENT, os.open, path, os.O_RDONLY)
    fails_with(errno.EINVAL, os.open, path, os.O_WRONLY | os.O_CREAT)
    fails_with(errno.EINVAL, os.symlink, "x", path)
    (flat.path / "file").write_bytes(b"content")
    fails_with(errno.EINVAL, os.rename, flat.path / "file", path)
    assert os.listdir(flat.path) == ["file"]


def test_too_long(flat):
    limit = 255 if flat.is_local else 1024
    (flat.path / ("x" * limit)).write_bytes(b"1")
    for name in ("x" * (limit + 1), "x" * 1024 + "y"):
        fails_with((errno.ENAMETOOLONG, errno.ENOENT) if flat.is_local else errno.ENAMETOOLONG, os.stat, flat.path / name)
        fails_with(errno.ENAMETOOLONG, os.open, flat.path / name, os.O_WRONLY | os.O_CREAT)
    assert os.listdir(flat.path) == ["x" * limit]


def test_long_key_with_slashes(flat):
    """An escaped name may be longer than its key; at 1024 bytes it still has a file."""
    if flat.is_local:
        pytest.skip("a disk's names are shorter")
    key = "a/" * 255 + "b"
    name = key.replace("/", "%2F")
    assert len(name) == 1021
    (flat.path / name).write_bytes(b"content")
    flat.refresh()
    assert os.listdir(flat.path) == [name] and (flat.path / name).read_bytes() == b"content"
    if flat.client():
        assert flat.keys() == [key]


def test_key_without_a_name(flat):
    """1024 bytes of which many are slashes: no file name can hold it, and the rest of the container does not suffer."""
    if not flat.client():
        pytest.skip("nobody else can reach this storage")
    key = "/".join("a" * 511) + "bb"
    flat.put(key, b"unreachable")
    flat.put("other", b"content")
    flat.refresh()
    assert os.listdir(flat.path) == ["other"]
    assert (flat.path / "other").read_bytes() == b"content"
    flat.client().delete_object(Bucket=flat.container, Key=key)


def test_no_directories_in_containers(flat):
    fails_with(errno.EPERM, os.mkdir, flat.path / "directory")
    (flat.path / "a%2Fb").write_bytes(b"1")
    fails_with(errno.ENOENT, os.stat, flat.path / "a" / "b")
    fails_with(errno.ENOENT, os.stat, flat.path / "a")
    assert os.listdir(flat.path) == ["a%2Fb"]


def test_bytes_that_are_not_text(flat):
    """A disk and the memory service hold any bytes; others may refuse, and nothing else happens."""
    name = os.fsencode(flat.path) + b"/\xff\xfe\x80"
    try:
        with open(name, "wb") as file:
            file.write(b"content")
    except OSError as error:
        assert error.errno in (errno.EINVAL, errno.EIO) and flat.client()
        assert os.listdir(flat.path) == []
        return
    if flat.client() is None:
        assert os.listdir(os.fsencode(flat.path)) == [b"\xff\xfe\x80"]
        with open(name, "rb") as file:
            assert file.read() == b"content"
    os.unlink(name)


def test_random_keys(flat):
    """Random keys of the bytes that matter: listed under the same names that reach them, and no two alike."""
    numbers = random.Random(7)
    alphabet = ["%", "2", "5", "F", "E", ".", "a", "0", "25", "2F", "2E"] + ([] if flat.is_local else ["/"])
    keys = {"".join(numbers.choices(alphabet, k=numbers.randint(1, 8))) for _ in range(150)} - {".", ".."}
    if flat.client():
        for key in keys:
            flat.put(key, key.encode())
        flat.refresh()
    else:
        for key in keys:
            (flat.path / escape(key)).write_bytes(key.encode())
    names = os.listdir(flat.path)
    assert sorted(names) == sorted(map(escape, keys))
    for name in names:
        assert escape((flat.path / name).read_text()) == name


def escape(key):
    """The name of a key, by the rule of the design: a '%' is escaped only where it would otherwise read as an escape."""
    if key in (".", ".."):
        return key.replace(".", "%2E")
    if key in ("%2E", "%2E%2E"):
        return key.replace("%", "%25")
    name = ""
    for position, character in enumerate(key):
        if character == "/":
            name += "%2F"
        elif character == "%" and key[position:position + 3] in ("%2F", "%25"):
            name += "%25"
        else:
            name += character
    return name


def test_names_of_containers(flat):
    parent = flat.path.parent
    bad = ["a" * 256] if flat.client() is None else ["Upper_Case!", "ab", "a" * 64, "a..b"]
    for name in bad:
        fails_with((errno.EINVAL, errno.ENAMETOOLONG), os.mkdir, parent / name)
    fails_with(errno.ENOENT, os.stat, parent / "no-such-container-here")


def test_url_signs_the_key(flat):
    if not flat.client():
        pytest.skip("no URLs here")
    for name in ("a%2Fb", "ä ö", "100%"):
        (flat.path / name).write_bytes(b"content")
        url = os.getxattr(flat.path / name, "storagefs.url").decode()
        assert urllib.parse.urlsplit(url).scheme == "http"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert wait_until(lambda: opener.open(url).read(), 10) == b"content"
