"""Commands, conditions, and guards. Nothing here sleeps for a fixed time and then hopes."""

import os
import pathlib
import shlex
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parents[3]
SERVERS = SOURCE / "tests" / "servers"


class CommandFailed(AssertionError):
    """A command ended with another code than was expected; the text holds all that it said."""


def run(*command, check=True, timeout=120, **options):
    """Runs a command to its end and returns it with stdout and stderr as text.

    check: True wants exit code 0; a number wants that one; False takes any.
    """
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("errors", "surrogateescape")
    arguments = [part if isinstance(part, (bytes, os.PathLike)) else str(part) for part in command]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, check=False, **options)
    wanted = 0 if check is True else check
    if check is not False and done.returncode != wanted:
        raise CommandFailed(f"{shlex.join(map(os.fsdecode, arguments))}: code {done.returncode}, wanted {wanted}\n{done.stdout}{done.stderr}")
    return done


def wait_until(condition, timeout=30, message="the condition", interval=0.02):
    """Calls condition() until it gives something true, and returns that. Fails after `timeout` seconds.

    An AssertionError or OSError of the condition counts as "not yet"; the last one is shown when time is up.
    """
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            if result := condition():
                return result
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} did not come within {timeout} s" + (f"; last: {last!r}" if last else "")) from last
        time.sleep(interval)


class Guard:
    """Runs a shell command when this process dies, however it dies, or after `timeout` seconds; not once released.

    It waits at the end of a pipe in a process that is nobody's child and of no terminal, so it outlives what kills us.
    """

    def __init__(self, command, timeout=None):
        limit = f"-t {int(timeout)}" if timeout else ""
        script = f'read -r {limit} word; [ "$word" = release ] || {{ {command}; }}'
        read_end, self._write_end = os.pipe()
        try:
            subprocess.run(["setsid", "--fork", "bash", "-c", script], stdin=read_end, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, cwd="/", check=True)
        finally:
            os.close(read_end)

    def release(self):
        if self._write_end is not None:
            try:
                os.write(self._write_end, b"release\n")
            except BrokenPipeError:
                pass  # it has acted already
            os.close(self._write_end)
            self._write_end = None


def is_alive(pid):
    """True while the process runs; a zombie counts as gone once its last thread is: until then its files stay open and locked."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    fields = stat.rpartition(") ")[2].split()
    state, threads = fields[0], int(fields[17])
    return state != "Z" or threads > 1


def is_mounted(path):
    """True if `path` is a mount point, found without touching it: a dead or stuck mount must not stop the tests."""
    wanted = os.fspath(path)
    for line in pathlib.Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = line.split(" ")[4].encode("latin-1", "surrogateescape").decode("unicode_escape")
        if point == wanted:
            return True
    return False


def clear_mount(path):
    """Unmounts `path` by all means, as often as something is mounted there."""
    for command in (["fusermount3", "-u"], ["umount"], ["umount", "-l"]):
        if is_mounted(path):
            subprocess.run([*command, os.fspath(path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    return not is_mounted(path)


class Errands:
    """Runs commands in a shell that was started before, while other threads have files of a mount open.

    A fork copies the descriptors of all threads, and closing the copies waits for the storage, which may be what the command
    is to wake up. Make it before the first file is open.
    """

    def __init__(self):
        self.shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *command):
        """Runs a command to its end; fails with what it said unless it ended with 0."""
        self.shell.stdin.write(f"{shlex.join(map(str, command))} </dev/null; echo; echo ended $?\n")
        self.shell.stdin.flush()
        said = []
        for line in self.shell.stdout:
            if line.startswith("ended "):
                assert line == "ended 0\n", f"{shlex.join(map(str, command))}: {line}{''.join(said)}"
                return
            said.append(line)
        raise CommandFailed("the shell has ended:\n" + "".join(said))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shell.stdin.close()
        self.shell.wait(60)
        self.shell.stdout.close()
