"""The model tests through the kernel mount storagefs as the mount tests do, with their fixtures."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mount"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["NO_PROXY"] = "127.0.0.1,localhost"

from harness.fixtures import *  # noqa: E402, F403  (pytest finds fixtures by their names here)
