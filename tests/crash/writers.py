"""Threads that create, overwrite, append, truncate, rename, delete and read files of a directory, at random by a seed, and
keep the manifest of what they were promised. When the mount dies, they end; other errors are failures."""

import errno
import os
import random
import threading

MIB = 1 << 20
NAMES = 8
DEATH = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.EIO, errno.ENXIO)


class Writers:
    """folders: names may have directories, which are made and renamed too. large: one file in so many is of several parts.
    ends: the errors that end a thread, once `ending` is set, and are no failures."""

    def __init__(self, root, manifest, seed, threads=4, folders=False, large=25, ends=DEATH):
        self.root, self.manifest, self.folders, self.large, self.ends = root, manifest, folders, large, ends
        self.numbers = [random.Random(f"{seed}/{index}") for index in range(threads)]
        self.threads = []
        self.ending = threading.Event()  # the mount is about to die, or the writers shall end
        self.failures = []
        self.directories = [[""] for _ in range(threads)]
        self.made = [0] * threads
        self.operations = 0

    def start(self):
        self.ending.clear()
        self.threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(len(self.numbers))]
        for thread in self.threads:
            thread.start()

    def join(self, timeout=60):
        """After `ending` is set; waits for what goes on."""
        for thread in self.threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a call does not return from a mount that is dead"

    def _run(self, index):
        try:
            while not self.ending.is_set():
                self._step(index)
                self.operations += 1
        except OSError as error:
            if not self.ending.is_set() or error.errno not in self.ends:
                self.failures.append(error)
        except Exception as error:  # whatever it is, the test must see it
            self.failures.append(error)

    # --- choices

    def _step(self, index):
        numbers = self.numbers[index]
        steps = [self._write, self._write, self._write, self._append, self._append, self._edit, self._truncate, self._rename,
                 self._rename, self._unlink, self._read]
        if self.folders:
            steps += [self._make_directory, self._rename_directory]
        numbers.choice(steps)(index, numbers)

    def _free_name(self, index, numbers):
        """A name of this thread that is not in doubt."""
        while True:
            directory = numbers.choice(self.directories[index])
            name = f"t{index}-{directory}{numbers.randrange(NAMES)}"
            if not self.manifest.is_doubtful(name):
                return name
            self.made[index] += 1
            name = f"t{index}-new{self.made[index]}"
            if not self.manifest.is_doubtful(name):
                return name

    def _used_name(self, index, numbers):
        names = self.manifest.names(f"t{index}-")
        return numbers.choice(names) if names else None

    def _data(self, numbers):
        if numbers.randrange(self.large) == 0:
            return numbers.randbytes(numbers.randint(5, 11) * MIB + numbers.randrange(1000))
        return numbers.randbytes(numbers.choice([0, 1, 100, 5000, 70_000, 300_000]))

    def _path(self, name):
        return self.root / name

    # --- operations; the block of each change() ends with the call that acknowledges it

    def _open(self, name, flags):
        return File(os.open(self._path(name), flags, 0o644))

    def _write(self, index, numbers):
        name, data = self._free_name(index, numbers), self._data(numbers)
        with self.manifest.change({name: (self.manifest.content(name), data)}):
            with self._open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
                file.write(data)

    def _append(self, index, numbers):
        name = self._free_name(index, numbers)
        content = self.manifest.content(name)
        pieces = [self._data(numbers)[:MIB] or b"x" for _ in range(numbers.randint(1, 3))]
        file = None
        try:
            for piece in pieces:
                after = (content or b"") + piece
                with self.manifest.change({name: (content, after)}):
                    file = file or self._open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                    file.write(piece)
                    os.fsync(file.descriptor)
                content = after
        finally:
            if file:
                file.close()

    def _edit(self, index, numbers):
        if not (name := self._used_name(index, numbers)):
            return
        content = self.manifest.content(name)
        offset, data = numbers.randint(0, len(content)), numbers.randbytes(numbers.choice([1, 4096, 50_000]))
        after = content[:offset] + data + content[offset + len(data):]
        with self.manifest.change({name: (content, after)}):
            with self._open(name, os.O_RDWR) as file:
                os.lseek(file.descriptor, offset, os.SEEK_SET)
                file.write(data)

    def _truncate(self, index, numbers):
        if not (name := self._used_name(index, numbers)):
            return
        content = self.manifest.content(name)
        size = numbers.randint(0, len(content) + 100)
        after = content[:size].ljust(size, b"\0")
        with self.manifest.change({name: (content, after)}):
            if numbers.random() < 0.5:
                os.truncate(self._path(name), size)
                return
            with self._open(name, os.O_WRONLY) as file:
                os.ftruncate(file.descriptor, size)

    def _rename(self, index, numbers):
        old, new = self._used_name(index, numbers), self._free_name(index, numbers)
        if not old or old == new:
            return
        content = self.manifest.content(old)
        with self.manifest.change({old: (content, None), new: (self.manifest.content(new), content)}, [(old, new, content)]):
            os.rename(self._path(old), self._path(new))

    def _unlink(self, index, numbers):
        if name := self._used_name(index, numbers):
            with self.manifest.change({name: (self.manifest.content(name), None)}):
                os.unlink(self._path(name))

    def _read(self, index, numbers):
        if name := self._used_name(index, numbers):
            with self._open(name, os.O_RDONLY) as file:
                found = file.read()
            wanted = self.manifest.content(name)
            assert found == wanted, f"{name}: {len(found)} bytes read while it was mounted, {len(wanted)} written"

    def _make_directory(self, index, numbers):
        if len(self.directories[index]) < 4:
            self.made[index] += 1
            directory = f"d{self.made[index]}/"
            os.mkdir(self._path(f"t{index}-{directory}"))
            self.directories[index].append(directory)

    def _rename_directory(self, index, numbers):
        """To a name that never was. Not acknowledged, each file must be at one of both."""
        if len(self.directories[index]) == 1:
            return
        old = numbers.choice(self.directories[index][1:])
        self.directories[index].remove(old)
        prefix = f"t{index}-{old}"
        if any(self.manifest.is_doubtful(f"{prefix}{number}") for number in range(NAMES)):
            return  # what is in it is not known
        self.made[index] += 1
        new = f"d{self.made[index]}/"
        names = self.manifest.names(prefix)
        pairs = [(name, f"t{index}-{new}{name[len(prefix):]}", self.manifest.content(name)) for name in names]
        changes = {}
        for source, target, content in pairs:
            changes.update({source: (content, None), target: (None, content)})
        with self.manifest.change(changes, pairs):
            os.rename(self._path(prefix[:-1]), self._path(f"t{index}-{new}"[:-1]))
        self.directories[index].append(new)


class File:
    """A descriptor whose close() is seen to fail, as the close() of a program is."""

    def __init__(self, descriptor):
        self.descriptor = descriptor

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            try:
                self.close()
            except OSError:
                pass  # the first failure is told

    def close(self):
        os.close(self.descriptor)

    def write(self, data):
        for start in range(0, len(data), 256 << 10):
            piece = data[start:start + (256 << 10)]
            assert os.write(self.descriptor, piece) == len(piece)

    def read(self):
        pieces = []
        while piece := os.read(self.descriptor, MIB):
            pieces.append(piece)
        return b"".join(pieces)
