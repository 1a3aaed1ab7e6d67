#!/usr/bin/env bash
# Starts Debian's rsyslogd on loopback, sends it messages with Debian's logger, stops it: run.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$1" && mkdir -p "$1"
sed "s|@FOLDER@|$1|g" "$here/rsyslog.conf" > "$1/rsyslog.conf"
rsyslogd -n -f "$1/rsyslog.conf" -i "$1/pid" & pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true' EXIT
send() { logger --server 127.0.0.1 --port 19514 --tcp "$@"; }
for _ in $(seq 50); do : 2>/dev/null > /dev/tcp/127.0.0.1/19514 && break; sleep 0.1; done
send --rfc3164 --tag shop --id=4711 --priority local0.info "listening on :8080"
send --rfc3164 --tag shop --id=4711 --priority local0.warning 'slow "payment" 付款'
send --rfc3164 --tag kernel --priority kern.err "usb 1-1: device descriptor read error"
send --rfc5424=notq --tag shop --id=4711 --priority daemon.crit --msgid ORDER \
  --sd-id trace@32473 --sd-param 'trace_id="4bf92f3577b34da6a3ce929d0e0e4736"' --sd-param 'span_id="00f067aa0ba902b7"' \
  --sd-id order@32473 --sd-param 'note="a \"b\" \]"' "payment failed"
send --rfc5424 --tag audit --priority auth.notice "session opened"
send --rfc3164 --tag 'su(pam_unix)' --id=99 --priority auth.emerg "session closed for user alice"
for _ in $(seq 50); do [ "$(cat "$1/syslog-5424.log" 2>/dev/null | wc -l)" = 6 ] && break; sleep 0.1; done
