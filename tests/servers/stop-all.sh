#!/bin/bash
# Ends every server that was started in a directory below DIR, at once and without saving anything: stop-all.sh DIR
set -uo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || die "usage: stop-all.sh DIR"
for DIR in "$1"/*/; do
    DIR=${DIR%/}
    # Masters that are killed would leave their workers behind.
    if [ -e "$DIR/nginx.pid" ]; then stop_server TERM; else stop_server KILL; fi
done
exit 0
