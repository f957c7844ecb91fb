#!/bin/sh
# Usage: own_folder.sh COMMAND...: runs a test whose temporary files go to a folder of its own (TMPDIR), and fails
# when it leaves any there.
own=$(mktemp -d "${TMPDIR:-/tmp}/storagefs-own-XXXXXX") || exit 1
TMPDIR=$own "$@"
status=$?
if [ -n "$(ls -A "$own")" ]; then
    echo "left behind in TMPDIR:" >&2
    find "$own" -mindepth 1 | head -n 20 >&2
    # A test that was skipped leaves nothing behind either.
    if [ $status -eq 0 ] || [ $status -eq 77 ]; then
        status=1
    fi
fi
rm -rf "$own"
exit $status
