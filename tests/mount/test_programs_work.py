"""Programs that work on files: git, sqlite3, compilers, editors' ways to save, the small tools of a shell."""

import fcntl
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile

import pytest

from harness.files import compare_trees, random_bytes
from harness.process import SOURCE, run
from harness.shared import box_of

pytestmark = box_of("local-folders", "ceph-folders")

GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main", "-c", "safe.directory=*", "-c", "gc.auto=0"]


def git(*arguments, **options):
    return run(*GIT, *arguments, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}, **options)


def shell(box, script, **options):
    return run("bash", "-o", "pipefail", "-ec", script, cwd=box.path, **options)


def test_git(box, tmp_path):
    work = box.path / "work"
    git("init", "-q", work)
    shutil.copytree(SOURCE / "scripts", work / "scripts")
    shutil.copytree(SOURCE / "src" / "base", work / "base")
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "first", cwd=work)
    (work / "base" / "error.c").write_text("changed\n")
    (work / "new").write_text("new\n")
    git("mv", "scripts/lib", "scripts/library", cwd=work)
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "second", cwd=work)
    git("checkout", "-q", "-b", "side", "HEAD~1", cwd=work)
    (work / "side").write_text("side\n")
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "third", cwd=work)
    git("merge", "-q", "-m", "merged", "main", cwd=work)
    git("tag", "v1", cwd=work)
    assert git("status", "--porcelain", cwd=work).stdout == ""
    git("fsck", "--strict", cwd=work)
    box.mount.remount()
    git("fsck", "--strict", cwd=work)
    assert git("status", "--porcelain", cwd=work).stdout == ""
    git("clone", "-q", "--no-local", work, tmp_path / "clone")
    git("fsck", cwd=tmp_path / "clone")
    git("clone", "-q", "--bare", work, box.path / "bare.git")
    git("fsck", cwd=box.path / "bare.git")
    git("push", "-q", box.path / "bare.git", "HEAD:refs/heads/pushed", cwd=tmp_path / "clone")
    git("gc", "-q", "--prune=now", cwd=work)
    git("fsck", cwd=work)
    assert len(git("log", "--oneline", cwd=work).stdout.splitlines()) == 4
    git("stash", "list", cwd=work)


def test_git_clone_of_this_project(box, tmp_path):
    """A repository with history, where the sources are a clone of one."""
    if not (SOURCE / ".git").exists():
        pytest.skip("the sources are not a repository")
    made = git("clone", "-q", "--no-local", "--single-branch", SOURCE, box.path / "clone", check=False)
    if made.returncode and "shallow" in made.stderr:
        pytest.skip("the sources are a shallow clone")
    assert made.returncode == 0, made.stderr
    git("fsck", cwd=box.path / "clone")
    assert git("status", "--porcelain", cwd=box.path / "clone").stdout == ""
    files = git("ls-files", "-z", cwd=box.path / "clone").stdout.split("\0")[:-1]
    assert len(files) > 100
    archive = tmp_path / "tree.tar"
    git("archive", "-o", archive, "HEAD", cwd=box.path / "clone")
    (tmp_path / "tree").mkdir()
    run("tar", "-xf", archive, "-C", tmp_path / "tree")
    shutil.rmtree(box.path / "clone" / ".git")
    compare_trees(tmp_path / "tree", box.path / "clone")


def integrity(path):
    done = run("sqlite3", path, "PRAGMA integrity_check; SELECT count(*), sum(length(body)) FROM notes;")
    return done.stdout.split()


@pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "memory", "wal"])
def test_sqlite(box, journal):
    path = box.path / "notes.db"
    # A mapped index of the write-ahead log needs all its users on one kernel, which is so here.
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal
    connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body BLOB)")
    connection.execute("CREATE INDEX by_body ON notes (body)")
    total = 0
    for number in range(12):
        connection.execute("BEGIN")
        for row in range(40):
            body = random_bytes(20 + row * 7, number * 100 + row)
            total += len(body)
            connection.execute("INSERT INTO notes (body) VALUES (?)", (body,))
        connection.execute("COMMIT")
    connection.execute("BEGIN")
    connection.execute("DELETE FROM notes")
    connection.execute("ROLLBACK")
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM notes").fetchone() == (480,)
    other.close()
    connection.execute("DELETE FROM notes WHERE id % 3 = 0")
    connection.execute("VACUUM")
    connection.close()
    assert integrity(path)[0] == "ok"
    box.mount.remount()
    found = integrity(path)
    assert found[0] == "ok" and found[1].startswith("320|")


def test_sqlite_between_processes(box):
    path = box.path / "counter.db"
    run("sqlite3", path, "CREATE TABLE c (n INTEGER); INSERT INTO c VALUES (0);")
    script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n" \
             "for _ in range(15):\n c.execute('BEGIN IMMEDIATE')\n c.execute('UPDATE c SET n = n + 1')\n c.execute('COMMIT')\n"
    writers = [subprocess.Popen(["/usr/bin/python3", "-c", script, path]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert run("sqlite3", path, "SELECT n FROM c; PRAGMA integrity_check;").stdout.split() == ["45", "ok"]


def test_compile(box):
    """A small project that is made inside the mount: objects, an archive, a program that runs there."""
    (box.path / "part").mkdir()
    for number in range(4):
        (box.path / "part" / f"part{number}.c").write_text(f"int part{number}(void) {{ return {number}; }}\n")
    (box.path / "main.c").write_text("#include <stdio.h>\nint part0(void), part1(void), part2(void), part3(void);\n"
                                     "int main(void) { printf(\"%d\\n\", part0() + part1() + part2() + part3()); return 0; }\n")
    build = """
        for source in part/*.c main.c; do
            if [ ! "${source%.c}.o" -nt "$source" ]; then gcc -g -O1 -c "$source" -o "${source%.c}.o"; echo "made $source"; fi
        done
        ar rcs libpart.a part/*.o; gcc main.o libpart.a -o program; ./program; strip program; ./program
    """
    first = shell(box, build).stdout
    assert first.count("made") == 5 and first.endswith("6\n6\n")
    assert "made" not in shell(box, build).stdout
    box.mount.remount()
    assert "made" not in shell(box, build).stdout
    run("touch", box.path / "part/part2.c")
    assert shell(box, build).stdout.count("made part/part2.c") == 1
    assert shell(box, "cp program copy; ./copy").stdout == "6\n"


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make(box):
    (box.path / "Makefile").write_text("all: c\nc: a b\n\tcat a b > c\na:\n\techo a > a\nb: a\n\tsed s/a/b/ a > b\n")
    run("make", "-s", cwd=box.path)
    assert (box.path / "c").read_text() == "a\nb\n"
    assert "up to date" in run("make", "all", "c", cwd=box.path).stdout or "Nothing to be done" in run("make", cwd=box.path).stdout


def test_editing_in_place(box):
    path = box.path / "text"
    path.write_text("".join(f"line {number}\n" for number in range(1000, 0, -1)))
    shell(box, "sed -i 's/line/LINE/' text; sort -n -k2 -o text text; sed -i.bak '1,10d' text")
    assert path.read_text() == "".join(f"LINE {number}\n" for number in range(11, 1001))
    assert sorted(os.listdir(box.path)) == ["text", "text.bak"]
    shell(box, "cp text new; sed -i 's/LINE 500$/patched/' new; diff -u text new > change || true; patch -s text change; cmp text new")
    assert "patched\n" in path.read_text()
    shell(box, "perl -pi -e 's/patched/again/' text; grep -c again text; truncate -s -5 text; tail -c 8 text") if shutil.which("perl") else None


def test_ways_to_save(box):
    """As editors do it: over a temporary file, over a backup, in place."""
    path = box.path / "document"
    for number in range(6):
        text = f"version {number}\n" * (number + 1)
        if number % 3 == 0:
            with tempfile.NamedTemporaryFile("w", dir=box.path, delete=False) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, path)
        elif number % 3 == 1:
            os.replace(path, box.path / "document~")
            path.write_text(text)
        else:
            with open(path, "r+") as file:
                file.write(text)
                file.truncate()
        assert path.read_text() == text
    assert sorted(os.listdir(box.path)) == ["document", "document~"]


def test_temporary_files(box):
    with tempfile.TemporaryFile(dir=box.path) as file:
        file.write(b"x" * 100000)
        file.seek(0)
        assert len(file.read()) == 100000
    assert os.listdir(box.path) == []
    with tempfile.TemporaryDirectory(dir=box.path) as directory:
        (pathlib.Path(directory) / "file").write_bytes(b"x")
    assert os.listdir(box.path) == []


def test_dd(box, tmp_path):
    source, wanted = tmp_path / "source", tmp_path / "wanted"
    source.write_bytes(random_bytes(3000000))
    for target in (wanted, box.path / "file"):
        for options in (["bs=4k"], ["bs=1000", "seek=50", "skip=7", "count=100", "conv=notrunc"], ["bs=64k", "seek=10", "count=2", "conv=notrunc,fsync"],
                        ["bs=1", "count=10", "seek=2999995", "conv=notrunc"], ["bs=512", "oflag=append", "conv=notrunc", "count=3"]):
            run("dd", f"if={source}", f"of={target}", "status=none", *options)
    assert (box.path / "file").read_bytes() == wanted.read_bytes()
    run("cmp", box.path / "file", wanted)


def test_head_tail_and_pipes(box):
    path = box.path / "log"
    shell(box, "seq 1 20000 > log; split -l 3000 log part.; cat part.* > joined; cmp log joined; tac log | tac | cmp - log")
    assert run("head", "-n", "3", path).stdout == "1\n2\n3\n"
    assert run("tail", "-n", "2", path).stdout == "19999\n20000\n"
    assert run("tail", "-c", "6", path).stdout == "20000\n"
    assert int(run("wc", "-l", path).stdout.split()[0]) == 20000
    assert shell(box, "md5sum log > sums; md5sum -c --quiet sums; gzip -k log; gunzip -c log.gz | cmp - log").returncode == 0


def test_locks(box):
    """Locks between processes are the kernel's own."""
    path = box.path / "lock"
    done = shell(box, f"exec 9> lock; flock -n 9; ! flock -n {path} true; flock -u 9; flock -n {path} true")
    assert done.returncode == 0
    script = "import fcntl, sys\nf = open(sys.argv[1], 'r+')\ntry:\n fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n print('got')\nexcept OSError: print('busy')"
    with open(path, "r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert run("/usr/bin/python3", "-c", script, path).stdout == "busy\n"
        fcntl.lockf(file, fcntl.LOCK_UN)
        assert run("/usr/bin/python3", "-c", script, path).stdout == "got\n"


def test_find_exec_and_xargs(box):
    shell(box, """
        mkdir -p many/{a,b,c}; for n in $(seq 60); do echo "$n" > "many/$(echo a b c | cut -d' ' -f$((n % 3 + 1)))/f $n"; done
        test "$(find many -type f | wc -l)" = 60
        find many -type f -print0 | xargs -0 -P4 -n3 sed -i 's/^/n/'
        test "$(cat many/*/* | grep -c ^n)" = 60
        find many -name '* 1*' -exec rm {} +
        test "$(find many -type f | wc -l)" = 49
        rm -r many; test -z "$(ls -A)"
    """)
