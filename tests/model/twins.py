"""One thread's files twice: in a mount, and in a plain directory that is the model. Every result is compared."""

import ctypes
import dataclasses
import errno
import os
import random
import stat
import time

from operations import MAXIMUM_BYTES, SLOTS

# POSIX lets a file system choose between these.
SAME = {errno.EEXIST: errno.ENOTEMPTY}
PIECE = 13000
PATIENCE_S = 20
RENAME_NOREPLACE = 1
# touch sets a time before this one, writing a later one.
TOUCHED_BEFORE = 1_500_000_000
_libc = ctypes.CDLL(None, use_errno=True)


class Difference(AssertionError):
    pass


def rename_no_replace(source, target):
    if _libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), RENAME_NOREPLACE):
        raise OSError(ctypes.get_errno(), "renameat2")


def describe(result):
    if not isinstance(result, bytes):
        return repr(result)
    return f"{len(result)} bytes"


def first_difference(left, right):
    if not isinstance(left, bytes) or not isinstance(right, bytes):
        return ""
    at = next((at for at, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    return f", first at {at}: {left[at:at + 8].hex()} and {right[at:at + 8].hex()}"


@dataclasses.dataclass
class Slot:
    descriptors: list
    flags: int
    is_replaced: bool = False  # somebody else stored another version: the old bytes, or ESTALE

    def can_write(self):
        return self.flags & os.O_ACCMODE != os.O_RDONLY and not self.is_replaced

    def can_read(self):
        return self.flags & os.O_ACCMODE != os.O_WRONLY


class Twin:
    """place: see places.py. Names begin with `prefix`, a directory's name and '/' in the folder layout."""

    def __init__(self, place, prefix, plain):
        self.place, self.prefix = place, prefix
        self.roots = (f"{place.path}/{prefix}", f"{plain}/")
        self.slots = [None] * SLOTS
        self.done = 0
        plain.mkdir(parents=True)
        if place.folders:
            os.mkdir(self.roots[0])

    # --- both sides

    def both(self, call, allowed=()):
        """call(side) on both sides: equal results, or equal errors. On the mount's side the errors `allowed` may be too.
        Gives the plain side's, and whether that was no error."""
        results = []
        for side in (1, 0):
            try:
                results.append(call(side))
            except OSError as error:
                results.append(("error", errno.errorcode[SAME.get(error.errno, error.errno)]))
        plain, mounted = results
        is_allowed = isinstance(mounted, tuple) and mounted[0] == "error" and mounted[1] in allowed
        if mounted != plain and not is_allowed:
            raise Difference(f"mount {describe(mounted)}, plain {describe(plain)}{first_difference(mounted, plain)}")
        return plain, not (isinstance(plain, tuple) and plain and plain[0] == "error")

    def at(self, side, path):
        return self.roots[side] + path

    def file_id(self, path):
        """Of the plain file; None where there is none."""
        try:
            found = os.lstat(self.at(1, path))
        except OSError:
            return None
        return found.st_ino if stat.S_ISREG(found.st_mode) else None

    def slot_id(self, slot):
        return os.fstat(slot.descriptors[1]).st_ino

    def has_name(self, slot):
        return os.fstat(slot.descriptors[1]).st_nlink > 0

    def apply(self, op):
        getattr(self, "do_" + op.kind)(op)
        self.done += 1

    # --- open files

    def do_open(self, op):
        self.do_close(op)
        flags = op.flags | os.O_NOFOLLOW
        if os.path.isdir(self.at(1, op.path)):
            return
        descriptors = [None, None]

        def call(side):
            descriptors[side] = os.open(self.at(side, op.path), flags, 0o640)
            return "opened"

        try:
            self.both(call)
        finally:
            if None not in descriptors:
                self.slots[op.slot] = Slot(descriptors, flags)
            else:
                for descriptor in filter(None, descriptors):
                    os.close(descriptor)

    def do_close(self, op):
        self.close_slot(op.slot)

    def close_slot(self, number):
        if slot := self.slots[number]:
            self.slots[number] = None
            self.both(lambda side: os.close(slot.descriptors[side]), ("ESTALE",) if slot.is_replaced else ())

    def close_all(self):
        for number in range(SLOTS):
            self.close_slot(number)

    def write(self, slot, offset, data):
        self.both(lambda side: os.pwrite(slot.descriptors[side], data, offset))

    def size(self, slot):
        return os.fstat(slot.descriptors[1]).st_size

    def do_write(self, op):
        if (slot := self.slots[op.slot]) and slot.can_write() and self.size(slot) + op.length <= 2 * MAXIMUM_BYTES:
            self.write(slot, op.offset, random.Random(op.seed).randbytes(op.length))

    def do_append(self, op):
        if (slot := self.slots[op.slot]) and slot.can_write() and self.size(slot) + op.length <= 2 * MAXIMUM_BYTES:
            self.write(slot, self.size(slot), random.Random(op.seed).randbytes(op.length))

    def do_stream(self, op):
        """Forward, in small pieces, so that parts go out meanwhile."""
        if (slot := self.slots[op.slot]) and slot.can_write():
            data = random.Random(op.seed).randbytes(min(50000 + op.length, MAXIMUM_BYTES))
            start = 0 if op.seed % 2 else op.offset
            for at in range(0, len(data), PIECE):
                self.write(slot, start + at, data[at:at + PIECE])

    def do_read(self, op):
        if (slot := self.slots[op.slot]) and slot.can_read():
            allowed = ("ESTALE",) if slot.is_replaced else ()
            self.both(lambda side: os.pread(slot.descriptors[side], op.length, op.offset), allowed)

    def do_cut(self, op):
        if (slot := self.slots[op.slot]) and slot.can_write():
            self.both(lambda side: os.ftruncate(slot.descriptors[side], op.offset))

    def do_cut_path(self, op):
        self.both(lambda side: os.truncate(self.at(side, op.path), op.offset))

    def do_flush(self, op):
        if (slot := self.slots[op.slot]) and not slot.is_replaced:
            self.both(lambda side: os.close(os.dup(slot.descriptors[side])))

    def do_sync(self, op):
        if (slot := self.slots[op.slot]) and not slot.is_replaced:
            self.both(lambda side: (os.fsync if op.seed % 2 else os.fdatasync)(slot.descriptors[side]))

    def do_copy(self, op):
        source, target = self.slots[op.slot], self.slots[op.other_slot]
        if not source or not target or not source.can_read() or source.is_replaced or not target.can_write():
            return
        if self.slot_id(source) == self.slot_id(target):
            return  # overlapping ranges of one file are refused by the kernel

        def call(side):
            done = 0
            while done < op.length and (moved := os.copy_file_range(source.descriptors[side], target.descriptors[side], op.length - done,
                                                                    op.offset + done, op.to_offset + done)):
                done += moved
            return done

        self.both(call)

    # --- names

    def do_rename(self, op):
        call = rename_no_replace if op.seed % 4 == 0 else os.rename
        self.both(lambda side: call(self.at(side, op.path), self.at(side, op.other_path)))

    def do_unlink(self, op):
        if not os.path.isdir(self.at(1, op.path)):
            self.both(lambda side: os.unlink(self.at(side, op.path)))

    def do_mkdir(self, op):
        if self.place.folders:
            self.both(lambda side: os.mkdir(self.at(side, op.path), 0o755))
        elif not os.path.lexists(self.at(1, op.path)):
            try:
                os.mkdir(self.at(0, op.path))
            except PermissionError:
                return
            raise Difference("a directory was made in the flat layout")

    def do_rmdir(self, op):
        self.both(lambda side: os.rmdir(self.at(side, op.path)))

    def do_symlink(self, op):
        self.both(lambda side: os.symlink(f"target-{op.seed}", self.at(side, op.path)))

    def names(self, side, path):
        """With types; in the flat layout all threads have one directory."""
        if side == 0 and not self.place.folders:
            found = [(entry.name.removeprefix(self.prefix), entry) for entry in os.scandir(self.place.path)
                     if entry.name.startswith(self.prefix)]
        else:
            found = [(entry.name, entry) for entry in os.scandir(self.at(side, path))]
        return sorted((name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for name, entry in found)

    def do_list(self, op):
        path = op.path if os.path.isdir(self.at(1, op.path)) else ""
        self.both(lambda side: self.names(side, path))

    # --- attributes

    def attributes(self, side, path):
        found = os.lstat(self.at(side, path))
        if stat.S_ISLNK(found.st_mode):
            return ("link", os.readlink(self.at(side, path)))
        if stat.S_ISDIR(found.st_mode):
            return ("folder", found.st_mode)
        touched = os.lstat(self.at(1, path)).st_mtime < TOUCHED_BEFORE
        return ("file", found.st_mode, found.st_size, found.st_mtime_ns if touched else None)

    def do_stat(self, op):
        self.both(lambda side: self.attributes(side, op.path))

    def do_chmod(self, op):
        self.both(lambda side: os.chmod(self.at(side, op.path), op.mode))

    def do_touch(self, op):
        if not os.path.isdir(self.at(1, op.path)):
            time_ns = op.seed % TOUCHED_BEFORE * 1_000_000_000 + op.length
            self.both(lambda side: os.utime(self.at(side, op.path), ns=(time_ns, time_ns)))

    def do_set_xattr(self, op):
        if not os.path.isdir(self.at(1, op.path)):
            self.both(lambda side: os.setxattr(self.at(side, op.path), f"user.x{op.seed % 2}", b"value %d" % op.seed))

    def do_get_xattr(self, op):
        if not os.path.isdir(self.at(1, op.path)):
            self.both(lambda side: os.getxattr(self.at(side, op.path), f"user.x{op.seed % 2}"))

    def do_remove_xattr(self, op):
        if not os.path.isdir(self.at(1, op.path)):
            self.both(lambda side: os.removexattr(self.at(side, op.path), f"user.x{op.seed % 2}"))

    # --- content

    def read_whole(self, side, path):
        with open(self.at(side, path), "rb", buffering=0) as file:
            return file.read()

    def do_check(self, op):
        if not os.path.isdir(self.at(1, op.path)):
            self.both(lambda side: self.read_whole(side, op.path))

    def do_refresh(self, _):
        self.place.refresh()

    # --- somebody else

    def do_foreign_put(self, op):
        parent = os.path.dirname(self.at(1, op.path))
        is_free = not os.path.lexists(self.at(1, op.path)) or self.file_id(op.path)
        if self.place.has_foreigner and os.path.isdir(parent) and is_free:
            self._store_all(op.path)
            self._replace(op.path, random.Random(op.seed).randbytes(op.length))

    def do_foreign_delete(self, op):
        if self.place.has_foreigner and self.file_id(op.path):
            self._store_all(op.path)
            self._replace(op.path, None)

    def _store_all(self, path):
        """What is written here is stored: what was copied needs its source no more, nobody loses a race. Unlinked files are
        closed, because their names stay hidden until then, and what was made or cut, because an empty file is stored at the
        last close."""
        changed = self.file_id(path)
        for number, slot in enumerate(self.slots):
            if not slot or slot.is_replaced:
                continue
            is_writer = slot.flags & os.O_ACCMODE != os.O_RDONLY or slot.flags & (os.O_CREAT | os.O_TRUNC)
            if self.place.journal or not self.has_name(slot) or (is_writer and self.slot_id(slot) == changed):
                self.close_slot(number)
            else:
                self.both(lambda side, slot=slot: os.close(os.dup(slot.descriptors[side])))
        self.place.wait_stored(self.prefix)
        self._wait_same(path)

    def _wait_same(self, path):
        """Until the store has what the model has: what was unlinked while open is deleted soon after the last close."""
        wanted = self.read_whole(1, path) if self.file_id(path) else None
        end = time.monotonic() + PATIENCE_S
        while (found := self.place.get(self.prefix + path)) != wanted:
            if time.monotonic() > end:
                raise Difference(f"the store has of {path} {describe(found)}, the model {describe(wanted)}, before it is changed")
            time.sleep(0.01)

    def _replace(self, path, data):
        for slot in self.slots:
            if slot and self.slot_id(slot) == self.file_id(path):
                slot.is_replaced = True
        self.place.store(self.prefix + path, data)
        if data is None:
            os.unlink(self.at(1, path))
        else:
            fresh = self.roots[1].rstrip("/") + ".fresh"
            with open(fresh, "wb") as file:
                file.write(data)
            os.chmod(fresh, 0o644)
            os.rename(fresh, self.at(1, path))
        self.place.refresh()

    # --- everything; all slots are closed

    def plain_paths(self):
        root = self.roots[1]
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                yield os.path.relpath(os.path.join(folder, name), root)

    def check_all(self):
        self.both(lambda side: self.names(side, ""))
        for path in self.plain_paths():
            self.both(lambda side, path=path: self.attributes(side, path))
            if os.path.isdir(self.at(1, path)):
                self.both(lambda side, path=path: self.names(side, path))
            elif self.file_id(path):
                self.both(lambda side, path=path: self.read_whole(side, path))
                for name in ("user.x0", "user.x1"):
                    self.both(lambda side, path=path, name=name: os.getxattr(self.at(side, path), name))

    def check_store(self):
        """What the service itself has, against the model."""
        wanted = {}
        for path in self.plain_paths():
            if self.file_id(path):
                wanted[self.prefix + path] = self.read_whole(1, path)
        found = self.place.stored(self.prefix)
        links = {self.prefix + path for path in self.plain_paths() if os.path.islink(self.at(1, path))}
        for name in sorted((wanted.keys() | found.keys()) - links):
            if wanted.get(name) != found.get(name):
                raise Difference(f"the store has of {name} {describe(found.get(name))}, the model {describe(wanted.get(name))}")
