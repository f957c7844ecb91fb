"""Random changes of names in the folder layout, compared with the same changes on a plain directory."""

import errno
import os
import random

import pytest

from harness.files import compare_trees
from harness.shared import FOLDERS

pytestmark = FOLDERS

COUNTS = {"memory-folders": 1500, "local-folders": 1500, "ceph-folders": 500, "moto-folders": 300}
# POSIX lets a file system choose between these.
SAME = {errno.EEXIST: errno.ENOTEMPTY}


class Twins:
    """The same changes below two roots; the outcomes are compared."""

    def __init__(self, numbers, *roots):
        self.numbers, self.roots, self.history = numbers, roots, []

    def path(self):
        return "/".join(self.numbers.choice("abc") for _ in range(self.numbers.randint(1, 4)))

    def both(self, word, call, *paths):
        self.history.append(f"{word} {' '.join(paths)}")
        results = []
        for root in self.roots:
            try:
                results.append(call(*(root / path for path in paths)))
            except OSError as error:
                results.append(f"errno {errno.errorcode[SAME.get(error.errno, error.errno)]}")
        assert results[0] == results[1], f"mount: {results[0]}, plain: {results[1]}"

    def write(self, path):
        text = str(len(self.history))
        self.both("write", lambda at: at.write_text(text), path)

    def step(self):
        choice, path = self.numbers.randrange(20), self.path()
        if choice < 5:
            self.write(path)
        elif choice < 9:
            self.both("mkdir", os.mkdir, path)
        elif choice < 11:
            self.both("rmdir", os.rmdir, path)
        elif choice < 13:
            self.both("unlink", os.unlink, path) if not self.is_directory(path) else None
        elif choice < 16:
            self.both("rename", os.rename, path, self.path())
        elif choice < 17:
            self.both("list", lambda at: sorted(os.listdir(at)), path)
        elif choice < 18:
            self.both("stat", lambda at: at.is_dir() or at.stat().st_size, path)
        elif choice < 19:
            self.both("symlink", lambda at: os.symlink("target", at), path)
        else:
            self.both("read", lambda at: os.readlink(at) if at.is_symlink() else at.read_text(), path)

    def is_directory(self, path):
        return (self.roots[1] / path).is_dir()


@pytest.mark.parametrize("seed", range(2))
def test_names(box, tmp_path, seed):
    plain = tmp_path / "plain"
    plain.mkdir()
    twins = Twins(random.Random(seed), box.path, plain)
    try:
        for number in range(COUNTS[box.kind]):
            twins.step()
            if number % 100 == 99:
                compare_trees(plain, box.path)
        compare_trees(plain, box.path)
        box.refresh()
        compare_trees(plain, box.path)
        if box.is_lasting:
            box.mount.remount()
            compare_trees(plain, box.path)
    except AssertionError as difference:
        last = "\n".join(twins.history[-40:])
        raise AssertionError(f"{box.kind}, seed {seed}, change {len(twins.history)}: {difference}\n{last}") from difference
