"""What a test has done, added up for scripts/soak: one line of JSON each in the file STORAGEFS_TEST_FIGURES, if it is set."""

import json
import os


def is_wanted():
    return "STORAGEFS_TEST_FIGURES" in os.environ


def count(part, **figures):
    """count("daemon killed", operations=1200, kills=10): numbers that may be added up."""
    if path := os.environ.get("STORAGEFS_TEST_FIGURES"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, **figures}) + "\n")


def long_run(name, usual):
    """The size of a test: the number in the environment variable STORAGEFS_TEST_<name>, else what is usual."""
    return int(os.environ.get(f"STORAGEFS_TEST_{name}", usual))
