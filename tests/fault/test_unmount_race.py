"""An unmount that meets a request on its way to the daemon: read(2) says ECONNABORTED to it in place of ENODEV."""

import subprocess

import pytest

# The kernel's window is a few instructions wide: here every unmount ends in it.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>

ssize_t
read(int fd, void *buffer, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    if (!real)
        real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    ssize_t result = real(fd, buffer, size);
    if (result < 0 && errno == ENODEV)
        errno = ECONNABORTED;
    return result;
}
"""


@pytest.fixture
def shim(tmp_path):
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("how", ["command", "kernel"])
def test_it_is_an_unmount_like_any_other(mount, shim, tmp_path, how):
    (tmp_path / "base").mkdir()
    made = mount({"store": {"driver": "local", "path": tmp_path / "base"}}, environment={"LD_PRELOAD": str(shim)})
    (made / "store/box").mkdir()
    (made / "store/box/file").write_bytes(b"content")
    made.umount(how)
    assert "storagefs: error:" not in made.log()
    assert (tmp_path / "base/box/file").read_bytes() == b"content"
