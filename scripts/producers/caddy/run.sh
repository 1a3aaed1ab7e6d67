#!/usr/bin/env bash
# Starts Caddy with Caddyfile, sends it requests, stops it, and leaves its logs in FOLDER: run.sh CADDY FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
caddy=$1
rm -rf "$2" && mkdir -p "$2" && cd "$2"
PASSWORD=$("$caddy" hash-password --plaintext secret); export PASSWORD
python3 "$here/../nginx/upstream.py" & upstream=$!
"$caddy" run --config "$here/Caddyfile" --adapter caddyfile & server=$!
trap 'kill $server $upstream 2>/dev/null || true; wait 2>/dev/null || true' EXIT
at=http://127.0.0.1:19280
for port in 19280 19183; do
  for _ in $(seq 50); do (: > /dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
done
get() { curl -s -o /dev/null "$@"; }
get "$at/static"
get "$at/cart?id=7&q=%E8%8C%B6" -H 'Referer: http://shop.test/' -H 'X-Request-Id: 6f1d' \
  -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
get "$at/private" -u alice:secret
get "$at/private"
get "$at/down"
get "$at/missing" -A 'say "hi"'
get -X POST --data-binary '{"a":1}' "$at/orders" -H 'Content-Type: application/json'
