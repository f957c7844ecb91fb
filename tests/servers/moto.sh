#!/bin/bash
# moto's S3 on loopback: quick, with conditional PUT and DELETE; does not check signatures, closes every connection.
#
#   moto.sh start DIR [PORT]
#   moto.sh stop DIR
#
# Uses the machine's moto_server, else the one in the chroot of forky.sh if that is built; FORKY=1 insists on the chroot.
# Environment of start: what moto reads itself, such as S3_UPLOAD_PART_MIN_SIZE=1 and MOTO_S3_DEFAULT_MAX_KEYS=3.
# Any keys do. `curl -X POST http://127.0.0.1:PORT/moto-api/reset` empties it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# A pyenv shim may name a program that no selected Python has, so it counts only if it runs.
find_server() {
    local candidate
    if [ -z "${FORKY:-}" ]; then
        for candidate in moto_server /usr/bin/moto_server; do
            "$candidate" --help >/dev/null 2>&1 && echo "$candidate" && return 0
        done
    fi
    "$SERVERS_DIR/forky.sh" path >/dev/null 2>&1 && echo forky
}

start() {
    local server
    server=$(find_server) || die "there is no moto_server here, and no chroot: forky.sh build"
    begin_start "$@"
    if [ "$server" = forky ]; then
        FORKY=1
        server=/usr/bin/moto_server
    fi
    launch moto "$server" -H 127.0.0.1 -p "$PORT"
    wait_ready 60 moto curl --silent --fail --max-time 5 "http://127.0.0.1:$PORT/moto-api/"
    end_start
}

command=${1:-}
[ $# -ge 1 ] || die "usage: moto.sh start DIR [PORT] | stop DIR | find"
shift
DIR=${1:-}
case $command in
start) start "$@" ;;
stop) stop_server ;;
find) find_server ;;
*) die "unknown command $command" ;;
esac
