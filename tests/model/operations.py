"""Random operations, each self-contained, so that a sequence from which some are taken away still means something; and the
search for a short one. Slots are the open files of a thread; paths lie below the thread's own directory."""

import dataclasses
import os
import random
import time

SLOTS = 4
MAXIMUM_BYTES = 300 << 10
WEIGHTS = {"open": 16, "close": 7, "write": 14, "stream": 3, "append": 3, "read": 10, "cut": 3, "cut_path": 3, "flush": 4,
           "sync": 2, "copy": 4, "rename": 7, "unlink": 4, "mkdir": 6, "rmdir": 3, "symlink": 1, "list": 4, "stat": 5,
           "check": 4, "chmod": 2, "touch": 2, "set_xattr": 2, "get_xattr": 1, "remove_xattr": 1, "refresh": 1,
           "foreign_put": 3, "foreign_delete": 2}
EDGES = [0, 1, 4096, 16384, 65536, 131072, 262144]
FLAGS = [os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_TRUNC]
CREATE = [0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL]
# In the flat layout %2F stands for the slash of a key, and a lone % for itself.
FLAT = ["a", "b", "c", "d", "z%2Fb", "e%"]


@dataclasses.dataclass(frozen=True)
class Operation:
    thread: int
    kind: str
    slot: int
    other_slot: int
    path: str
    other_path: str
    flags: int
    mode: int
    offset: int
    to_offset: int
    length: int
    seed: int

    def __str__(self):
        return (f"[{self.thread}] {self.kind} slot {self.slot} (other {self.other_slot}) {self.path} (other {self.other_path}) flags "
                f"{self.flags:#o} mode {self.mode:#o} offset {self.offset} to {self.to_offset} length {self.length} seed {self.seed}")


def _path(numbers, folders):
    if not folders:
        return numbers.choice(FLAT)
    depth = 1 + min(numbers.randrange(3), numbers.randrange(3))
    return "/".join(numbers.choice("abc") for _ in range(depth))


def _offset(numbers):
    return numbers.choice(EDGES) if numbers.random() < 0.5 else numbers.randrange(MAXIMUM_BYTES)


def make_operations(seed, threads, count, folders):
    """`count` for each of the threads; equal for equal arguments."""
    numbers = random.Random(seed)
    kinds = numbers.choices(list(WEIGHTS), WEIGHTS.values(), k=threads * count)
    return [Operation(index % threads, kind, numbers.randrange(SLOTS), numbers.randrange(SLOTS), _path(numbers, folders),
                      _path(numbers, folders), numbers.choice(FLAGS) | numbers.choice(CREATE), numbers.choice([0o600, 0o644, 0o755, 0o400]),
                      _offset(numbers), _offset(numbers), 1 + numbers.randrange(numbers.choice([16, 5000, 40000, 150000])),
                      numbers.randrange(1 << 30))
            for index, kind in enumerate(kinds)]


def shrink(attempt, operations, difference, seconds=60):
    """attempt(operations) gives what differs, or None. Gives the shortest sequence found that fails, and its difference."""
    end = time.monotonic() + seconds
    chunk = max(1, len(operations) // 2)
    while chunk:
        start = 0
        while start < len(operations) and time.monotonic() < end:
            rest = operations[:start] + operations[start + chunk:]
            if again := attempt(rest):
                operations, difference = rest, again
            else:
                start += chunk
        chunk //= 2
    return operations, difference
