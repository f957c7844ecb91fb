#!/bin/bash
# A chroot with Debian forky: servers newer than the machine's, and libfuse newer than the machine's to build against.
#
#   forky.sh build          makes or completes the chroot (a minute and 1.5 GB the first time) and prints its path
#   forky.sh path           prints the path; fails if the chroot has not been built
#   forky.sh run COMMAND    runs a command in it, as root, sharing the network, /tmp and FORKY_BIND (directories, ':' between)
#   forky.sh remove         deletes it
#
# It is kept in FORKY_DIR, default ${XDG_CACHE_HOME:-/var/cache}/storagefs-tests/forky, and reused. All mounts are made in
# a mount namespace of the command's own, so none is ever left behind. forky moves: its package names may change one day.
set -euo pipefail
umask 022

ROOT=${FORKY_DIR:-${XDG_CACHE_HOME:-/var/cache}/storagefs-tests/forky}
STAMP=$ROOT/.packages
PACKAGES="ca-certificates curl
    radosgw ceph-mon ceph-osd ceph-common
    python3-moto python3-flask python3-flask-cors
    gcc libc6-dev cmake ninja-build pkg-config libfuse3-dev fuse3 libcurl4-openssl-dev libssl-dev libglib2.0-dev libjson-glib-dev
    python3-pytest python3-pytest-timeout python3-boto3 python3-libcloud python3-fasteners sqlite3 rsync attr git"

die() {
    echo "forky.sh: $*" >&2
    exit 1
}

# The mirror that this machine itself uses for the main archive of its release.
mirror() {
    local codename uri release
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    while read -r uri release; do
        [ "$release" = "$codename" ] && [[ $uri != *security* ]] && echo "$uri" && return
    done < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages')
    echo http://deb.debian.org/debian/
}

run() {
    [ -e "$ROOT/usr" ] || die "no chroot in $ROOT: run forky.sh build"
    exec unshare --mount --propagation private bash -ec '
        root=$1 shared=$2
        shift 2
        IFS=:
        # A copy of a mount here would keep its daemon alive after the mount itself has ended.
        umount --all --lazy --types fuse.storagefs || true
        for directory in /proc /sys /dev /tmp $shared; do
            [ -d "$root$directory" ] || mkdir -p "$root$directory"
            mount --rbind "$directory" "$root$directory"
        done
        exec chroot "$root" "$@"' run "$ROOT" "${FORKY_BIND:-}" "$@"
}

bootstrap() {
    local partial=$ROOT.partial script=/usr/share/debootstrap/scripts/forky
    # An older debootstrap does not know the name; every Debian release since has been installed by the script of sid.
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    command -v debootstrap >/dev/null || die "debootstrap is not installed: scripts/lib/install full"
    rm -rf --one-file-system "$partial"
    debootstrap --variant=minbase --include=ca-certificates forky "$partial" "$(mirror)" "$script" >"$ROOT.log" 2>&1 ||
        { tail -n 20 "$ROOT.log" >&2; die "debootstrap failed"; }
    cp -n /etc/apt/apt.conf.d/* "$partial/etc/apt/apt.conf.d/"
    printf '#!/bin/sh\nexit 101\n' >"$partial/usr/sbin/policy-rc.d"
    chmod 755 "$partial/usr/sbin/policy-rc.d"
    mv "$partial" "$ROOT"
}

build() {
    [ "$(id -u)" -eq 0 ] || die "a chroot needs root"
    mkdir -p "$(dirname "$ROOT")"
    exec {lock}>"$ROOT.lock"
    flock "$lock"
    if [ "$(cat "$STAMP" 2>/dev/null)" != "$PACKAGES" ]; then
        [ -e "$ROOT" ] || bootstrap
        (run env DEBIAN_FRONTEND=noninteractive sh -ec 'apt-get update; apt-get install -y --no-install-recommends "$@"' \
            install $PACKAGES) >"$ROOT.log" 2>&1 || { tail -n 20 "$ROOT.log" >&2; die "installing in the chroot failed"; }
        echo "$PACKAGES" >"$STAMP"
    fi
    echo "$ROOT"
}

case ${1:-} in
build) build ;;
path) [ -e "$STAMP" ] && echo "$ROOT" || die "no chroot in $ROOT: run forky.sh build" ;;
run) shift && run "$@" ;;
remove) rm -rf --one-file-system "$ROOT" "$ROOT.partial" "$ROOT.log" "$ROOT.lock" ;;
*) die "usage: forky.sh build|path|run COMMAND...|remove" ;;
esac
