#!/bin/bash
# nginx on loopback as a plain HTTP server: exact ranges, the ceiling of what a client can reach, canned errors.
#
#   nginx.sh start DIR [PORT]    serves DIR/root at http://127.0.0.1:PORT/
#   nginx.sh stop DIR
#
# /slow/FILE gives 100 kB/s, /e503 answers SlowDown with Retry-After, /e500 answers 500, /drop closes without an answer.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

configure() {
    local kind
    mkdir -p "$DIR/root" "$DIR/temp"
    {
        cat <<CONF
user $(id -un);
worker_processes 1;
pid $DIR/nginx.run;
error_log $DIR/log/error.log;
daemon off;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 0;
CONF
        for kind in client_body proxy fastcgi uwsgi scgi; do echo "    ${kind}_temp_path $DIR/temp;"; done
        cat <<CONF
    server {
        listen 127.0.0.1:$PORT;
        root $DIR/root;
        location / { autoindex on; autoindex_format json; }
        location /slow/ { alias $DIR/root/; limit_rate 100k; }
        location /e503 { add_header Retry-After 1 always; return 503 "<Error><Code>SlowDown</Code></Error>"; }
        location /e500 { return 500; }
        location /drop { return 444; }
    }
}
CONF
    } >"$DIR/nginx.conf"
}

start() {
    begin_start "$@"
    configure
    launch nginx nginx -e "$DIR/log/error.log" -c "$DIR/nginx.conf"
    wait_ready 20 nginx answers "http://127.0.0.1:$PORT/"
    end_start
}

command=${1:-}
[ $# -ge 2 ] || die "usage: nginx.sh start DIR [PORT] | stop DIR"
shift
DIR=$1
PATH=$PATH:/usr/sbin
case $command in
start) start "$@" ;;
stop) stop_server ;;
*) die "unknown command $command" ;;
esac
