#!/usr/bin/python3
"""Runs a command while a real S3 server runs: with_server.py ceph|new_ceph|swift|moto COMMAND...

In the words of the command, @driver@, @endpoint@, @region@, @access_key@ and @secret_key@ stand for the server's own, and
@settings@ for all keys that a [storage] section needs, as one KEY=VALUE word each. The exit code is the command's, or 77
if the server cannot be had here. STORAGEFS_TEST_SERVERS shares servers, see tests/mount/harness.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mount"))

from harness.servers import KINDS, ServerPool, Unavailable  # noqa: E402

SKIPPED = 77


def expand(words, server):
    settings = server.settings()
    values = {"@driver@": settings.pop("driver"), "@endpoint@": server.endpoint, "@region@": server.region,
              "@access_key@": server.access_key, "@secret_key@": server.secret_key}
    for word in words:
        if word == "@settings@":
            yield from (f"{key}={value}" for key, value in settings.items())
        else:
            for mark, value in values.items():
                word = word.replace(mark, value)
            yield word


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in KINDS:
        print(__doc__, file=sys.stderr)
        return 2
    pool = ServerPool()
    try:
        return subprocess.call(list(expand(sys.argv[2:], pool.get(sys.argv[1]))))
    except Unavailable as reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return SKIPPED
    finally:
        pool.stop()


if __name__ == "__main__":
    sys.exit(main())
