"""What programs have been promised: the content of each name, as far as a call that returned has acknowledged it.

    with manifest.change({"a": (b"old", b"new")}):
        os.close(descriptor)               # or fsync, rename, unlink, truncate: what acknowledges the change

If the block ends, "a" must be b"new" from then on; if it raises, "a" may be either for ever, and nothing else. None is
the content of a name that is not there. The manifest is kept by threads that own their names.
"""

import collections
import contextlib
import dataclasses
import hashlib
import inspect
import threading

HISTORY = 8  # changes of each name that a difference is shown with


@dataclasses.dataclass
class Doubt:
    """A change that nobody acknowledged. Before `moved`: a content that must be at one of two names at least."""

    contents: dict
    moved: list
    age: int = 0


def describe(content, other=None):
    """Enough to tell two contents apart, and where they part."""
    if content is None:
        return "absent"
    text = f"{len(content)} bytes ({hashlib.md5(content).hexdigest()[:8]})"
    if other is not None:
        same = next((at for at, (a, b) in enumerate(zip(content, other)) if a != b), min(len(content), len(other)))
        text += f" that differ from {describe(other)} at {same}: {content[same:same + 8].hex()}, not {other[same:same + 8].hex()}"
    return text


class Manifest:
    def __init__(self):
        self.lock = threading.Lock()
        self.certain = {}
        self.doubts = []
        self.ever_doubtful = set()
        self.acknowledged = 0
        self.history = collections.defaultdict(lambda: collections.deque(maxlen=HISTORY))

    def content(self, name):
        """What the name holds; KeyError if that is in doubt."""
        with self.lock:
            if self.is_doubtful_locked(name):
                raise KeyError(name)
            return self.certain.get(name)

    def is_doubtful_locked(self, name):
        return any(name in doubt.contents for doubt in self.doubts)

    def names(self, prefix):
        """Names below prefix that are certain and there."""
        with self.lock:
            return sorted(name for name, content in self.certain.items()
                          if content is not None and name.startswith(prefix) and not self.is_doubtful_locked(name))

    def is_doubtful(self, name):
        with self.lock:
            return self.is_doubtful_locked(name)

    @contextlib.contextmanager
    def change(self, contents, moved=()):
        """contents: {name: (before, after)}. moved: [(from, to, content)], which must not be lost on the way."""
        doubt = Doubt(contents, list(moved))
        what = inspect.stack()[2].function.strip("_")
        with self.lock:
            for name, (_, after) in contents.items():
                self.history[name].append(f"{what} {next(iter(contents))}: {describe(after)}")
            self.doubts.append(doubt)
        yield
        with self.lock:
            self.doubts.remove(doubt)
            self.certain.update({name: after for name, (_, after) in contents.items()})
            self.acknowledged += 1

    def check(self, found_names, read):
        """Compares with what is there: found_names, and read(name) that gives bytes or None. Gives the differences."""
        wrong = []
        doubtful = {name for doubt in self.doubts for name in doubt.contents}
        for name, content in sorted(self.certain.items()):
            if name in doubtful:
                continue
            found = read(name)
            if found != content:
                wrong.append(f"{name}: {describe(found, content)}, acknowledged was {describe(content)} {self.tell(name)}")
            if (name in found_names) != (content is not None):
                wrong.append(f"{name}: {'not listed' if content is not None else 'listed, but it is gone'}")
        wrong += [f"{name}: nobody made it" for name in sorted(found_names)
                  if name not in doubtful and name not in self.certain]
        for doubt in self.doubts:
            wrong += self._check_doubt(doubt, read)
        return wrong

    def tell(self, name):
        return "".join(f"\n    {line}" for line in self.history[name])

    def _check_doubt(self, doubt, read):
        """In the order of the names: of a rename the source comes first, so that a copy and a deletion that still go on
        while we look are not mistaken for a loss."""
        found = {name: read(name) for name in doubt.contents}
        wrong = [f"{name}: {describe(content, doubt.contents[name][1])}, may be {' or '.join(map(describe, doubt.contents[name]))} {self.tell(name)}"
                 for name, content in found.items() if content not in doubt.contents[name]]
        wrong += [f"{old} -> {new}: neither has {describe(content)}"
                  for old, new, content in doubt.moved if content not in (found[old], found[new])]
        if doubt.age > 0 and not wrong:
            # Nothing of the dead process is under way any more: what is there, stays.
            self.certain.update(found)
        return wrong

    def grow_older(self):
        """After a check that found nothing wrong: what was in doubt the last time already is certain now."""
        self.ever_doubtful |= {name for doubt in self.doubts for name in doubt.contents}
        self.doubts = [doubt for doubt in self.doubts if doubt.age == 0]
        for doubt in self.doubts:
            doubt.age += 1
