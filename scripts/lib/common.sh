# shellcheck shell=bash
# Shared by the scripts of this folder's parent; source it. Sets ROOT (the project) and BUILD (where it is built:
# STORAGEFS_BUILD, else ROOT/build; variants stand beside it as BUILD-NAME).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${STORAGEFS_BUILD:-$ROOT/build}
JOBS=${STORAGEFS_JOBS:-$(nproc)}

say() {
    printf '== %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints what follows "# Usage" in the first comment of the calling script.
usage() {
    sed -n '2,/^[^#]/{/^[^#]/q;s/^# \{0,1\}//p}' "$0"
}

# sources PATTERN...: the project's files, committed or not, without what git ignores; all files where there is no git.
sources() {
    if git -C "$ROOT" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        (cd "$ROOT" && git ls-files --cached --others --exclude-standard -- "$@" | sort -u |
            while read -r file; do [ -e "$file" ] && echo "$file"; done)
    else
        (cd "$ROOT" && find . -path ./build\* -prune -o -type f -print | sed 's|^\./||' | sort |
            while read -r file; do
                for pattern in "$@"; do
                    # shellcheck disable=SC2254  # the pattern is meant as one
                    case $file in $pattern) echo "$file" && break ;; esac
                done
            done)
    fi
}

# configure_and_build DIR [CMAKE OPTION...]: quiet unless it fails, and no work when nothing changed. BUILD_TARGETS="A B"
# before it builds only these.
configure_and_build() {
    local dir=$1 log
    local -a generator=()
    shift
    mkdir -p "$dir"
    [ -e "$dir/CMakeCache.txt" ] || generator=(-G Ninja)
    log=$dir/build.log
    # shellcheck disable=SC2086  # targets are words
    if ! { cmake -S "$ROOT" -B "$dir" "${generator[@]}" "$@" &&
        cmake --build "$dir" -j "$JOBS" ${BUILD_TARGETS:+--target $BUILD_TARGETS}; } >"$log" 2>&1; then
        grep -nE -A3 'FAILED|[Ee]rror:|CMake Error' "$log" | head -60
        echo "build failed, see $log"
        return 1
    fi
}

# The options of a build with STORAGEFS_FUZZ, and whether the clang of this machine has what it takes.
FUZZ_OPTIONS=(-DCMAKE_C_COMPILER=clang -DSTORAGEFS_TESTS=ON -DSTORAGEFS_SANITIZE=address -DSTORAGEFS_FUZZ=ON)
has_fuzzer() {
    command -v clang >/dev/null &&
        clang -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null \
            <<<'#include <stddef.h>
            int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) { return size && !data; }'
}
