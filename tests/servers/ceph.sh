#!/bin/bash
# A Ceph cluster on loopback (one monitor, OSDs, one RGW gateway): S3 with real signatures, and the Swift API.
#
#   ceph.sh start DIR [PORT]     DIR must be absolute and short; without PORT a free block is taken (DIR/port names it)
#   ceph.sh stop DIR             for good; what the cluster stored is of no further use
#   ceph.sh kill-osd DIR ID      SIGKILL one OSD, as a dying disk would
#   ceph.sh start-osd DIR ID     start it again on its old data (bluestore; a memstore OSD comes back empty)
#   ceph.sh restart-rgw DIR      end the gateway and start it again
#
# Environment of start: OSDS (1), STORE=memstore|bluestore (memstore), POOL_SIZE (OSDS, at most 3), MIN_SIZE (1),
# TLS=FILE (certificate and key in one file), FORKY=1 (the newer release in the chroot of forky.sh).
# Ports: PORT and +1 monitor, +2 http, +3 https, +10.. OSDs.
# S3: TESTKEY / TESTSECRET. Swift: test:swift / SWIFTSECRET at http://127.0.0.1:(PORT+2)/auth/v1.0.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

configure() {
    local osds=$1 store=$2 endpoints="endpoint=127.0.0.1:$((PORT + 2)) tcp_nodelay=1"
    local size=${POOL_SIZE:-$((osds > 3 ? 3 : osds))}
    if [ -n "${TLS:-}" ]; then
        endpoints+=" ssl_endpoint=127.0.0.1:$((PORT + 3)) ssl_certificate=$TLS"
    fi
    mkdir -p "$DIR/mon" "$DIR/run" "$DIR/rgw"
    # auth none needs "crc": the gateway asks for "secure" otherwise, which no cluster without keys can give.
    # The short paxos interval makes the start ten times quicker.
    cat >"$DIR/ceph.conf" <<CONF
[global]
fsid = $FSID
mon host = [v2:127.0.0.1:$PORT,v1:127.0.0.1:$((PORT + 1))]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind ipv6 = false
ms bind port min = $((PORT + 10))
ms bind port max = $((PORT + PORT_BLOCK - 1))
run dir = $DIR/run
admin socket = $DIR/run/\$cluster-\$name.asok
pid file = $DIR/run/\$name.pid
log file = $DIR/log/\$name.log
mon cluster log file = $DIR/log/cluster.log
crash dir = $DIR/log
paxos propose interval = 0.05
paxos min wait = 0.01
osd pool default size = $size
osd pool default min size = ${MIN_SIZE:-1}
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
mon osd min down reporters = 1
mon osd reporter subtree level = osd
mon osd down out interval = 3600
osd heartbeat interval = 2
osd heartbeat grace = 6
osd objectstore = $store
osd memory target = 939524096
osd op num shards = 2
osd op num threads per shard = 1
memstore device bytes = 12884901888
bluestore block size = 8589934592
bluestore block create = true
bluestore block db create = false
bluestore block wal create = false
bluestore cache autotune = false
bluestore cache size = 134217728

[mon.a]
mon data = $DIR/mon
host = localhost

[osd]
osd data = $DIR/osd.\$id

[client.rgw]
rgw data = $DIR/rgw
rgw frontends = beast $endpoints
rgw dns name = localhost
rgw thread pool size = 64
rgw rados pool pg num min = 4
rgw enable usage log = false
rgw enable ops log = false
rgw dynamic resharding = false
rgw gc obj min wait = 5
rgw gc processor period = 10
rgw swift versioning enabled = true
# A completion of a multipart upload locks it, and the lock of a gateway that was killed holds for this long (usually 600 s).
rgw mp lock max time = 20
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
debug rgw = 1/1
CONF
}

cluster() {
    run ceph -c "$DIR/ceph.conf" --connect-timeout 2 "$@"
}

start_mon() {
    run monmaptool --create --clobber --fsid "$FSID" --addv a "[v2:127.0.0.1:$PORT,v1:127.0.0.1:$((PORT + 1))]" "$DIR/monmap" \
        >"$DIR/log/monmap.out" 2>&1
    run ceph-mon -c "$DIR/ceph.conf" --mkfs -i a --monmap "$DIR/monmap" >"$DIR/log/mon-mkfs.out" 2>&1
    launch mon ceph-mon -c "$DIR/ceph.conf" -i a -f
    wait_ready 60 mon cluster -s
}

# Release 20 was packaged with a relative path to the classes that an OSD loads: lib/..., seen from /.
launch_osd() {
    (cd / && launch "osd.$1" ceph-osd -c "$DIR/ceph.conf" -i "$1" -f)
}

# create_osd ID UUID
create_osd() {
    mkdir -p "$DIR/osd.$1"
    run ceph-osd -c "$DIR/ceph.conf" -i "$1" --mkfs --osd-uuid "$2" >"$DIR/log/osd.$1-mkfs.out" 2>&1
    launch_osd "$1"
}

# Identifiers are given out one by one; the disks are then made all at once.
create_osds() {
    local id uuid pending=()
    for ((id = 0; id < $1; id++)); do
        uuid=$(cat /proc/sys/kernel/random/uuid)
        cluster osd new "$uuid" "$id" >>"$DIR/log/osd-new.out" 2>&1
        create_osd "$id" "$uuid" &
        pending+=($!)
    done
    for id in "${pending[@]}"; do wait "$id"; done
}

osds_are_up() {
    cluster osd stat | grep -q "$1 up.*$1 in"
}

osd_is_up() {
    cluster osd dump | grep -q "^osd\.$1 up"
}

# Not up yet is what the monitor must believe before: else the dead one's being up would pass for the new one's.
start_osd() {
    cluster osd down "$1" >>"$DIR/log/osd-new.out" 2>&1
    launch_osd "$1"
    wait_ready 60 "osd.$1" osd_is_up "$1"
}

start_rgw() {
    launch rgw radosgw -c "$DIR/ceph.conf" -n client.rgw -f
    wait_ready 60 rgw answers "http://127.0.0.1:$((PORT + 2))/"
}

create_users() {
    run radosgw-admin -c "$DIR/ceph.conf" user create --uid=test --display-name=Test --access-key=TESTKEY --secret-key=TESTSECRET
    run radosgw-admin -c "$DIR/ceph.conf" subuser create --uid=test --subuser=test:swift --access=full --key-type=swift \
        --secret-key=SWIFTSECRET
}

start() {
    local osds=${OSDS:-1} store=${STORE:-memstore}
    [[ $store == memstore || $store == bluestore ]] || die "STORE is memstore or bluestore, not $store"
    [ -z "${TLS:-}" ] || [ -r "$TLS" ] || die "there is no certificate $TLS"
    begin_start "$@"
    FSID=$(cat /proc/sys/kernel/random/uuid)
    configure "$osds" "$store"
    start_mon
    create_osds "$osds"
    wait_ready 60 osd.0 osds_are_up "$osds"
    start_rgw
    create_users >"$DIR/log/users.out" 2>&1
    end_start
}

# The gateway first: it would wait for the others. Nothing outlives the cluster, so nothing needs an orderly end.
stop() {
    local file
    stop_process rgw KILL
    for file in "$DIR"/osd.*.pid; do
        [ -e "$file" ] && stop_process "$(basename "$file" .pid)" KILL
    done
    stop_server KILL
}

command=${1:-}
[ $# -ge 2 ] || die "usage: ceph.sh start DIR [PORT] | stop DIR | kill-osd DIR ID | start-osd DIR ID | restart-rgw DIR"
shift
DIR=$1
case $command in
start) start "$@" ;;
stop) stop ;;
kill-osd) stop_process "osd.$2" KILL ;;
start-osd) start_osd "$2" ;;
restart-rgw) PORT=$(cat "$DIR/port") && stop_process rgw KILL && start_rgw ;;
*) die "unknown command $command" ;;
esac
