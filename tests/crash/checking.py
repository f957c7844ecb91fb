"""Compares what a case holds with the manifest: on the server itself, and through the mount."""

import errno
import os

from harness.process import wait_until


def files_below(root):
    def refuse(error):
        """A directory may be renamed by what finishes an interrupted rename, meanwhile; the root is there."""
        if error.errno != errno.ENOENT or os.path.normpath(error.filename) == os.path.normpath(root):
            raise error

    return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root, onerror=refuse) for name in names}


def read_file(path):
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def read_object(case, key):
    try:
        return case.get(key)
    except case.client.exceptions.NoSuchKey:
        return None


def same_on_server(case, manifest, when, folder=""):
    """folder: the manifest's names are below it; "" or one that ends with '/'."""
    keys = {key.removeprefix(folder) for key in case.keys() if key.startswith(folder) and not key.endswith("/")}
    wrong = manifest.check(keys, lambda name: read_object(case, folder + name))
    assert not wrong, f"on the server, {when}:\n" + "\n".join(wrong)


def same_in_mount(case, manifest, when, folder=""):
    root = case.path / folder
    wrong = manifest.check(files_below(root), lambda name: read_file(root / name))
    assert not wrong, f"mounted, {when}:\n" + "\n".join(wrong)


def settle(case):
    """What waits is stored; nothing was put aside, because nobody else wrote."""
    case.mount.command("sync", case.mount.point)
    wait_until(lambda: all(upload["state"] == "parked" for upload in case.mount.status()["uploads"]), message="the end of all uploads")
    assert case.mount.status()["uploads"] == []
