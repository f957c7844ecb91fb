#!/bin/bash
# OpenStack Swift on loopback with tempauth and s3api: one account, container and object server, one proxy, memcached.
#
#   swift.sh start DIR [PORT]    DIR must be absolute, on a file system with user xattrs
#   swift.sh stop DIR
#
# Environment of start: TOKEN_LIFE (seconds a token lives, 86400), MINSEG (s3api's smallest part, 5242880).
# Ports: PORT proxy, +1 memcached, +2 account, +3 container, +4 object.
# Swift: test:tester / TESTERSECRET at http://127.0.0.1:PORT/auth/v1.0. S3: the same pair as keys, region us-east-1.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# Settings that all four servers share. No workers: one process each, so that its pid is the whole server. Nobody but the one
# that stores an object puts it into the listing: on a busy machine it has to wait for that, or the object is never listed.
common_settings() {
    cat <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $1
workers = 0
user = $(id -un)
swift_dir = $DIR/etc
devices = $DIR/srv
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
conn_timeout = 30
node_timeout = 30
container_update_timeout = 30
CONF
}

# configure_backend NAME PORT: an account, container or object server, and its ring of one device
configure_backend() {
    { common_settings "$2" && printf '[pipeline:main]\npipeline = %s-server\n[app:%s-server]\nuse = egg:swift#%s\n' "$1" "$1" "$1"; } \
        >"$DIR/etc/$1.conf"
    (
        cd "$DIR/etc"
        swift-ring-builder "$1.builder" create 4 1 0
        swift-ring-builder "$1.builder" add "r1z1-127.0.0.1:$2/d1" 1
        swift-ring-builder "$1.builder" rebalance
    ) >"$DIR/log/ring-$1.out" 2>&1
}

configure_proxy() {
    local filter filters="catch_errors gatekeeper healthcheck cache etag-quoter listing_formats bulk tempurl s3api tempauth copy
        container-quotas account-quotas slo dlo versioned_writes symlink"
    {
        common_settings "$PORT"
        printf '[pipeline:main]\npipeline = %s proxy-server\n' "${filters//$'\n'/ }"
        printf '[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n'
        for filter in $filters; do
            printf '[filter:%s]\nuse = egg:swift#%s\n' "$filter" "$(entry_point "$filter")"
            filter_settings "$filter"
        done
    } >"$DIR/etc/proxy.conf"
}

# Swift names the filter by its entry point, which has underscores, and calls the cache by what it is.
entry_point() {
    case $1 in
    cache) echo memcache ;;
    *) echo "${1//-/_}" ;;
    esac
}

filter_settings() {
    case $1 in
    cache) echo "memcache_servers = 127.0.0.1:$((PORT + 1))" ;;
    s3api) printf 's3_acl = false\nlocation = us-east-1\nmin_segment_size = %s\n' "${MINSEG:-5242880}" ;;
    slo) printf 'rate_limit_after_segment = 10000\nconcurrency = 2\n' ;;
    tempauth) printf 'user_test_tester = TESTERSECRET .admin\ntoken_life = %s\n' "${TOKEN_LIFE:-86400}" ;;
    versioned_writes) echo "allow_object_versioning = true" ;;
    esac
}

start() {
    local server
    begin_start "$@"
    mkdir -p "$DIR/srv/d1" "$DIR/etc"
    printf '[swift-hash]\nswift_hash_path_suffix = suffix\nswift_hash_path_prefix = prefix\n[storage-policy:0]\nname = gold\ndefault = yes\n' \
        >"$DIR/etc/swift.conf"
    configure_backend account $((PORT + 2))
    configure_backend container $((PORT + 3))
    configure_backend object $((PORT + 4))
    configure_proxy
    launch memcached memcached -u "$(id -un)" -l 127.0.0.1 -p $((PORT + 1)) -U 0 -m 16
    for server in account container object proxy; do
        launch "$server" "swift-$server-server" "$DIR/etc/$server.conf" --verbose
    done
    wait_ready 60 account answers "http://127.0.0.1:$((PORT + 2))/"
    wait_ready 60 container answers "http://127.0.0.1:$((PORT + 3))/"
    wait_ready 60 object answers "http://127.0.0.1:$((PORT + 4))/"
    wait_ready 60 proxy curl --silent --fail --max-time 5 "http://127.0.0.1:$PORT/healthcheck"
    end_start
}

command=${1:-}
[ $# -ge 2 ] || die "usage: swift.sh start DIR [PORT] | stop DIR"
shift
DIR=$1
case $command in
start) start "$@" ;;
stop) stop_server ;;
*) die "unknown command $command" ;;
esac
