#!/usr/bin/env bash
# Starts Debian's nginx with nginx.conf, sends it requests, stops it, and leaves its logs in FOLDER: run.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$1" && mkdir -p "$1/tmp" && cd "$1"
cp "$here/nginx.conf" .
printf 'alice:%s\n' "$(openssl passwd -apr1 secret)" > users
python3 "$here/upstream.py" & upstream=$!
nginx -p "$PWD" -c nginx.conf -e error.log & nginx=$!
trap 'kill $nginx $upstream 2>/dev/null || true; wait 2>/dev/null || true' EXIT
at=http://127.0.0.1:19180
for port in 19180 19182 19183; do
  for _ in $(seq 50); do (: > /dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
done
get() { curl -s -o /dev/null "$@"; }
get "$at/static"
get "$at/cart?id=7&q=%E8%8C%B6" -H 'Referer: http://shop.test/' \
  -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' -H 'b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1'
get "$at/private" -u alice:secret
get "$at/private"
get "$at/down"
get "$at/again"
get "$at/missing" -A 'say "hi"'
get -X POST --data-binary '{"a":1}' "$at/orders" -H 'Content-Type: application/json'
get "$at/late"
