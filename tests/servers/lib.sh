# shellcheck shell=bash
# What the server scripts share: processes, ports, waiting, stopping. Source it (bash); it runs nothing by itself.
#
# A server lives in one directory DIR: NAME.pid for each process, log/NAME.out for what it printed, port for its first
# port. `port_of DIR` and `stop_server DIR` need nothing else. Ports come in blocks of PORT_BLOCK.
# With FORKY=1 the processes run in the chroot of forky.sh, in which DIR has the same path.

PORT_BLOCK=100
SERVERS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Runs a command here or, with FORKY=1, in the chroot; it replaces the calling process, so use it in a subshell.
replace_by() {
    if [ -n "${FORKY:-}" ]; then
        FORKY_BIND=${DIR:-} exec "$SERVERS_DIR/forky.sh" run "$@"
    fi
    exec "$@"
}

run() {
    (replace_by "$@")
}

# --- processes

# Field N of /proc/PID/stat, counted as in proc(5), N > 2. The program's name may hold spaces, so it is cut off first.
stat_field() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra stat <<<"${stat##*) }"
    echo "${stat[$2 - 3]}"
}

# A zombie that nobody has reaped yet counts as gone, but not before its last thread: a killed process is a zombie as soon as
# its first thread has ended, while the others may still hold its files and their locks.
is_alive() {
    local state
    state=$(stat_field "$1" 3) && { [ "$state" != Z ] || [ "$(stat_field "$1" 20)" -gt 1 ]; } 2>/dev/null
}

# Starts a command in the background, detached from the terminal: launch NAME COMMAND...
# The pid file holds the pid and the start time, because a pid alone may belong to somebody else one day.
launch() {
    local name=$1
    shift
    mkdir -p "$DIR/log"
    (replace_by setsid "$@") </dev/null >>"$DIR/log/$name.out" 2>&1 &
    echo "$! $(stat_field $! 22)" >"$DIR/$name.pid"
}

# Prints the pid of a process of DIR if it still runs: pid_of NAME
pid_of() {
    local pid started
    read -r pid started 2>/dev/null <"$DIR/$1.pid" || return 1
    is_alive "$pid" && [ "$(stat_field "$pid" 22)" = "$started" ] && echo "$pid"
}

# Ends one process and waits for its end: stop_process NAME [SIGNAL]; KILL follows after ten seconds.
stop_process() {
    local pid
    if pid=$(pid_of "$1"); then
        kill -"${2:-TERM}" "$pid" 2>/dev/null
        wait_gone "$pid" || { kill -KILL "$pid" 2>/dev/null; wait_gone "$pid"; }
    fi
    rm -f "$DIR/$1.pid"
}

wait_gone() {
    local try
    for ((try = 0; try < 200; try++)); do
        is_alive "$1" || return 0
        sleep 0.05
    done
    return 1
}

# Ends every process of DIR, in any order and all at once: stop_server [SIGNAL]
stop_server() {
    local file pid
    for file in "$DIR"/*.pid; do
        [ -e "$file" ] && pid=$(pid_of "$(basename "$file" .pid)") && kill -"${1:-TERM}" "$pid" 2>/dev/null
    done
    for file in "$DIR"/*.pid; do
        [ -e "$file" ] && stop_process "$(basename "$file" .pid)" "${1:-TERM}"
    done
    return 0
}

# --- start and readiness

# First step of every start: DIR (absolute, fresh), PORT (or a free block), and a clean end if the start fails.
begin_start() {
    DIR=$1
    [[ $DIR == /* ]] || die "the directory must be an absolute path: $DIR"
    mkdir -p "$DIR/log"
    [ -z "$(compgen -G "$DIR/*.pid")" ] || die "something was started in $DIR and not stopped"
    trap 'start_failed' EXIT
    if [ -n "${2:-}" ]; then
        PORT=$2
        block_is_free "$PORT" "$(used_ports)" || { echo "somebody listens on port $PORT or one of the next" >&2; return 1; }
    else
        take_ports
    fi
    echo "$PORT" >"$DIR/port"
}

# Last step of every start: whatever answered, the processes that were started must be the ones that run.
end_start() {
    local file
    for file in "$DIR"/*.pid; do
        pid_of "$(basename "$file" .pid)" >/dev/null || { echo "$(basename "$file" .pid) has ended" >&2; return 1; }
    done
    trap - EXIT
}

start_failed() {
    local log
    trap - EXIT
    stop_server KILL
    echo "${0##*/}: start failed in $DIR; the ends of its logs:" >&2
    for log in "$DIR"/log/*; do
        [ -s "$log" ] && { echo "--- $log" && tail -n 15 "$log"; } >&2
    done
    exit 1
}

# Repeats a quiet command until it succeeds: wait_ready SECONDS NAME COMMAND...
# Fails at once when the process NAME of DIR has ended.
wait_ready() {
    local deadline=$((SECONDS + $1)) name=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        pid_of "$name" >/dev/null || { echo "$name has ended" >&2; return 1; }
        ((SECONDS < deadline)) || { echo "$name is not ready in time" >&2; return 1; }
        sleep 0.05
    done
}

# Succeeds for any HTTP answer, also for 4xx.
answers() {
    curl --silent --insecure --max-time 5 --output /dev/null "$1"
}

# --- ports

# Prints every local TCP port that somebody listens on, as hexadecimal text.
used_ports() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { sub(/.*:/, "", $2); print $2 }' | sort -u
}

# block_is_free PORT USED-PORTS
block_is_free() {
    local port hex
    for ((port = $1; port < $1 + PORT_BLOCK; port++)); do
        printf -v hex '%04X' "$port"
        [[ $2 == *"$hex"* ]] && return 1
    done
    return 0
}

# Sets PORT to the first of PORT_BLOCK free ports within STORAGEFS_TEST_PORTS (first-last; below the ephemeral ports).
# The block is reserved by a file lock that the launched processes inherit: it lasts exactly as long as they do.
take_ports() {
    local range=${STORAGEFS_TEST_PORTS:-20000-32699} locks=${TMPDIR:-/tmp}/storagefs-ports-$UID lock used
    used=$(used_ports)
    mkdir -p "$locks"
    for PORT in $(seq "${range%-*}" "$PORT_BLOCK" "$((${range#*-} - PORT_BLOCK + 1))" | shuf); do
        exec {lock}>"$locks/$PORT"
        flock --nonblock "$lock" && block_is_free "$PORT" "$used" && return 0
        exec {lock}>&-
    done
    die "no $PORT_BLOCK free ports in $range"
}
