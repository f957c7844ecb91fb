"""Fixtures of the tests that go through the kernel; see harness/fixtures.py."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["NO_PROXY"] = "127.0.0.1,localhost"

from harness.fixtures import *  # noqa: E402, F403  (pytest finds fixtures by their names here)
from harness.s3 import *  # noqa: E402, F403
from harness.shared import *  # noqa: E402, F403
