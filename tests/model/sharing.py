"""Names of one container that several threads and another client change at once: only what holds in any order is checked.

Every content is a version that says of itself whose it is, and is whole. Names are replaced by rename, or by the other
client; of those who make one name only once (O_EXCL, RENAME_NOREPLACE) exactly one succeeds.
"""

import errno
import os
import random
import re
import threading
import time

from twins import Difference, rename_no_replace

NAMES = 4
LENGTH = 20_000
# Somebody else replaced it meanwhile, or took it away.
GONE = (errno.ENOENT, errno.ESTALE)


def make_version(writer, number):
    word = f"<{writer}.{number}>".encode()
    return (word * (LENGTH // len(word) + 1))[:LENGTH - number % 1000]


def is_version(data):
    word = re.match(rb"<(\d+)\.(\d+)>", data)
    return word is not None and data == make_version(*map(int, word.groups()))


class Sharing:
    """What the threads of one container share. In journal mode a writer who loses a race is parked, not told: there the other
    client leaves their names alone."""

    def __init__(self, place, prefix, threads, rounds, seed):
        self.place, self.prefix, self.rounds, self.seed = place, prefix, rounds, seed
        self.lock = threading.Lock()
        self.winners = {}
        self.done = 0
        self.foreign_writes = 0
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._guarded, args=(self._share, index)) for index in range(threads)]
        self.foreigner = threading.Thread(target=self._guarded, args=(self._change_behind, threads)) if place.has_foreigner else None
        self.failures = []
        if place.folders:
            os.mkdir(f"{place.path}/{prefix}")

    def path(self, name):
        return f"{self.place.path}/{self.prefix}{name}"

    def start(self):
        for thread in [*self.threads, *filter(None, [self.foreigner])]:
            thread.start()

    def join(self, timeout):
        for thread in self.threads:
            thread.join(timeout)
        self.ending.set()
        if self.foreigner:
            self.foreigner.join(timeout)
        if any(thread.is_alive() for thread in [*self.threads, *filter(None, [self.foreigner])]):
            self.failures.append("a call does not return")

    def _guarded(self, function, index):
        try:
            function(index, random.Random(f"{self.seed}/{index}"))
        except Exception as failure:
            self.failures.append(f"sharer {index}: {failure!r}")

    def _share(self, index, numbers):
        steps = [self._publish, self._publish, self._read, self._read, self._unlink, self._list]
        for number in range(self.rounds):
            if number % 6 == 5:
                self._make_once(index, number)
            else:
                numbers.choice(steps)(index, number, numbers.randrange(NAMES))
            with self.lock:
                self.done += 1

    def _make_own(self, index, number):
        own = self.path(f"own{index}")
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(descriptor, make_version(index, number))
        finally:
            os.close(descriptor)
        return own

    def _publish(self, index, number, name):
        try:
            os.rename(self._make_own(index, number), self.path(f"s{name}"))
        except OSError as error:
            if error.errno != errno.ESTALE or not self.foreigner or self.place.journal:
                raise
            # It lost against the other client, and is still where it was.
            if self._read_whole(f"own{index}") != make_version(index, number):
                raise Difference("what was not renamed is not there any more") from error

    def _read_whole(self, name):
        try:
            with open(self.path(name), "rb", buffering=0) as file:
                data = b""
                while piece := file.read(1 << 16):
                    data += piece
                return data
        except OSError as error:
            if error.errno not in GONE:
                raise
            return None

    def _read(self, index, number, name):
        name = f"s{name}"
        data = self._read_whole(name)
        if data is not None and not is_version(data):
            raise Difference(f"{name} is no version that anybody wrote: {len(data)} bytes, {data[:20]!r}...{data[-20:]!r}")

    def _unlink(self, _index, _number, name):
        try:
            os.unlink(self.path(f"s{name}"))
        except OSError as error:
            if error.errno not in GONE:
                raise

    def _list(self, _index, _number, _name):
        for name in self._names():
            if not name.startswith(("s", "own", "once", "excl", "other")):
                raise Difference(f"{name} is listed, and nobody made it")

    def _names(self):
        if self.place.folders:
            return os.listdir(self.path(""))
        return [name.removeprefix(self.prefix) for name in os.listdir(self.place.path) if name.startswith(self.prefix)]

    def _make_once(self, index, number):
        """Each thread tries it; who is too late is told."""
        try:
            if number % 12 == 5:
                name = f"excl{number}"
                os.close(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            else:
                name = f"once{number}"
                rename_no_replace(self._make_own(index, number), self.path(name))
        except FileExistsError:
            return
        with self.lock:
            self.winners.setdefault(name, []).append(index)

    def _change_behind(self, index, numbers):
        number = 0
        while not self.ending.is_set():
            word = "other" if self.place.journal else numbers.choice(["s", "other"])
            try:
                self.place.store(f"{self.prefix}{word}{numbers.randrange(NAMES)}", make_version(index, number) if numbers.random() < 0.8 else None)
            except FileNotFoundError:
                pass  # on a disk, what is deleted twice
            number += 1
            if number % 5 == 0:
                self.place.refresh()
            time.sleep(0.005)
        self.foreign_writes = number

    def check_end(self):
        """All threads have ended, and what waited is stored."""
        if self.failures:
            raise Difference(self.failures[0])
        for name, winners in self.winners.items():
            if len(winners) != 1:
                raise Difference(f"{name} was made by {winners}")
        self.place.refresh()
        names = self._names()
        contents = {name: self._read_whole(name) for name in names}
        if missing := self.winners.keys() - contents.keys():
            raise Difference(f"made once, and gone: {missing}")
        for name, data in contents.items():
            if not name.startswith("excl") and (data is None or not is_version(data)):
                raise Difference(f"{name} is no version that anybody wrote: {data and (len(data), data[:20], data[-20:])}")
            number = int(name.removeprefix("once")) if name.startswith("once") else None
            if number is not None and data != make_version(self.winners[name][0], number):
                raise Difference(f"{name} was made by {self.winners[name]}, and is {data[:20]}")
        stored = self.place.stored(self.prefix)
        if stored is not None and stored != {self.prefix + name: data for name, data in contents.items()}:
            different = [name for name in sorted(stored.keys() | {self.prefix + name for name in contents})
                         if stored.get(name) != contents.get(name.removeprefix(self.prefix))]
            raise Difference(f"mount and store differ in {different}")
