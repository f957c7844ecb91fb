"""Programs that carry whole trees: cp, rsync, mv, tar, zip, find, du, diff and Python's shutil."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness.files import compare_trees, random_bytes
from harness.process import SOURCE, run
from harness.shared import box_of

pytestmark = box_of("local-folders", "ceph-folders")


def again(box):
    """After this nothing is known but what is stored."""
    box.mount.remount()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A tree with what trees have: empty files and folders, links, modes, times, odd names, a larger file."""
    root = tmp_path_factory.mktemp("tree") / "tree"
    for number in range(40):
        path = root / f"folder{number % 4}" / f"sub{number % 3}" / f"file {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(number ** 3, number))
        os.utime(path, ns=(10**18 + number, 10**18 + number * 1001))
    (root / "empty folder").mkdir()
    (root / "empty").touch()
    (root / "ä ö 100%").write_bytes(b"odd")
    (root / "-dash").write_bytes(b"dash")
    (root / ".hidden").write_bytes(b"hidden")
    (root / "large").write_bytes(random_bytes(6 << 20))
    (root / "script").write_bytes(b"#!/bin/sh\necho ran\n")
    (root / "script").chmod(0o755)
    (root / "private").write_bytes(b"x")
    (root / "private").chmod(0o600)
    (root / "link").symlink_to("folder1")
    (root / "dangling").symlink_to("no/where")
    (root / "folder1").chmod(0o750)
    return root


def test_cp_and_back(box, tree, tmp_path):
    run("cp", "-a", tree, box.path)
    compare_trees(tree, box.path / "tree", with_mode=True, with_mtime=True)
    again(box)
    compare_trees(tree, box.path / "tree", with_mode=True, with_mtime=True)
    assert run(box.path / "tree" / "script").stdout == "ran\n"
    run("cp", "-a", box.path / "tree", tmp_path / "back")
    compare_trees(tree, tmp_path / "back", with_mode=True, with_mtime=True)
    run("cp", "-a", box.path / "tree", box.path / "second")
    compare_trees(tree, box.path / "second", with_mode=True, with_mtime=True)
    run("diff", "-r", "--no-dereference", tree, box.path / "second")


RSYNC = ["rsync", "-a", "--itemize-changes", "--stats"]


def transferred(done):
    return int(re.search(r"regular files transferred: ([\d,]+)", done.stdout)[1].replace(",", ""))


def changes(done):
    return [line for line in done.stdout.splitlines() if re.match(r"[<>ch.*][fdLDS][^ ]{9} ", line)]


def test_rsync_twice(box, tree):
    assert transferred(run(*RSYNC, f"{tree}/", f"{box.path}/tree/")) > 40
    compare_trees(tree, box.path / "tree", with_mode=True, with_mtime=True)
    second = run(*RSYNC, f"{tree}/", f"{box.path}/tree/")
    assert transferred(second) == 0 and changes(second) == []
    again(box)
    third = run(*RSYNC, f"{tree}/", f"{box.path}/tree/")
    assert transferred(third) == 0 and changes(third) == []
    assert changes(run(*RSYNC, "--checksum", f"{tree}/", f"{box.path}/tree/")) == []


def test_rsync_follows_changes(box, tree, tmp_path):
    source = tmp_path / "tree"
    shutil.copytree(tree, source, symlinks=True)
    run(*RSYNC, f"{source}/", f"{box.path}/tree/")
    (source / "empty").write_bytes(b"not any more")
    (source / "folder2" / "new").write_bytes(b"new")
    shutil.rmtree(source / "folder3")
    os.replace(source / "large", source / "renamed")
    with open(source / "renamed", "r+b") as file:
        file.seek(1 << 20)
        file.write(b"edit")
    done = run(*RSYNC, "--delete", f"{source}/", f"{box.path}/tree/")
    assert transferred(done) == 3
    compare_trees(source, box.path / "tree", with_mode=True, with_mtime=True)
    for options in (["--inplace", "--no-whole-file"], ["--append-verify"], ["--delay-updates"], ["--partial-dir=.partial"]):
        with open(source / "renamed", "ab") as file:
            file.write(b"more")
        assert transferred(run(*RSYNC, *options, f"{source}/", f"{box.path}/tree/")) == 1
        compare_trees(source, box.path / "tree", with_mtime=True)


def test_mv_in_and_out(box, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    run("mv", tmp_path / "tree", box.path)
    assert not (tmp_path / "tree").exists()
    run("mv", box.path / "tree", box.path / "moved")
    compare_trees(tree, box.path / "moved", with_mode=True, with_mtime=True)
    run("mv", box.path / "moved", tmp_path)
    assert os.listdir(box.path) == []
    compare_trees(tree, tmp_path / "moved", with_mode=True, with_mtime=True)


def source_trees():
    """What a compiler needs is on every machine that builds this: a few hundred real files with real names."""
    return [SOURCE / "src", SOURCE / "drivers", pathlib.Path("/usr/include/linux/netfilter"), pathlib.Path("/usr/include/asm-generic")]


def test_tar_of_source_trees(box, tmp_path):
    archive = tmp_path / "sources.tar"
    wanted = tmp_path / "wanted"
    wanted.mkdir()
    run("tar", "-cf", archive, *[f"--directory={tree.parent}" if part == 0 else tree.name for tree in source_trees() if tree.is_dir() for part in (0, 1)])
    run("tar", "-xpf", archive, "-C", wanted)
    run("tar", "-xpf", archive, "-C", box.path)
    compare_trees(wanted, box.path, with_mode=True, with_mtime=True)
    again(box)
    run("tar", "-df", archive, "-C", box.path)
    run("tar", "-czf", box.path / "again.tar.gz", "-C", box.path, "src")
    run("tar", "-xzf", box.path / "again.tar.gz", "-C", tmp_path)
    compare_trees(wanted / "src", tmp_path / "src", with_mode=True)


def test_tar_through_pipes(box, tree):
    subprocess.run(["bash", "-o", "pipefail", "-ec", f"mkdir tree; tar -c -C '{tree}' . | tar -xp -C tree; tar -c tree | tar -t | wc -l"],
                   cwd=box.path, check=True, capture_output=True, timeout=120)
    compare_trees(tree, box.path / "tree", with_mode=True)


@pytest.mark.skipif(not shutil.which("zip") or not shutil.which("unzip"), reason="zip or unzip is not installed")
def test_zip(box, tree):
    run("cp", "-a", tree, box.path / "tree")
    run("zip", "-q", "-r", "-y", "all.zip", "tree", cwd=box.path)
    run("zip", "-q", "all.zip", "tree/empty", "-d", cwd=box.path, check=False)
    run("unzip", "-q", "all.zip", "-d", "out", cwd=box.path)
    run("unzip", "-tq", box.path / "all.zip")
    assert (box.path / "out/tree/large").read_bytes() == (tree / "large").read_bytes()


def test_python_zip_and_tar(box, tree):
    made = shutil.make_archive(str(box.path / "archive"), "zip", tree)
    shutil.unpack_archive(made, box.path / "unpacked")
    assert (box.path / "unpacked/large").read_bytes() == (tree / "large").read_bytes()
    made = shutil.make_archive(str(box.path / "archive"), "gztar", tree)
    shutil.unpack_archive(made, box.path / "untarred")
    compare_trees(tree, box.path / "untarred", with_mode=True)


def test_shutil(box, tree, tmp_path):
    shutil.copytree(tree, box.path / "tree", symlinks=True)
    compare_trees(tree, box.path / "tree", with_mode=True)
    shutil.move(box.path / "tree", box.path / "moved")
    shutil.copytree(box.path / "moved", box.path / "copy", symlinks=True)
    shutil.move(box.path / "copy", tmp_path / "out")
    compare_trees(tree, tmp_path / "out", with_mode=True)
    shutil.rmtree(box.path / "moved")
    assert os.listdir(box.path) == []
    shutil.copyfile(tree / "large", box.path / "large")
    shutil.copy2(box.path / "large", box.path / "large2")
    assert (box.path / "large2").read_bytes() == (tree / "large").read_bytes()


def test_find_du_and_grep(box, tree):
    run("cp", "-a", tree, box.path / "tree")
    expressions = (["-type", "f", "-size", "+1k"], ["-type", "l"], ["-empty"], ["-perm", "755"], ["-name", "*.txt", "-newermt", "2001-01-01"], ["-links", "1"])
    for expression in expressions[:5]:
        mine, theirs = (sorted(run("find", ".", *expression, cwd=root).stdout.splitlines()) for root in (tree, box.path / "tree"))
        assert mine == theirs, expression
    sizes = [run("find", ".", "-type", "f", "-printf", "%s %p\\n", cwd=root).stdout.split() for root in (tree, box.path / "tree")]
    assert sorted(sizes[0]) == sorted(sizes[1])
    assert run("grep", "-rl", "hidden", ".", cwd=box.path / "tree").stdout == "./.hidden\n"
    assert run("du", "-sk", "--apparent-size", box.path / "tree", check=0).stdout
    run("find", box.path / "tree", "-depth", "-delete")
    assert os.listdir(box.path) == []
