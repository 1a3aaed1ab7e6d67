#!/usr/bin/env bash
# Sees to it that there is what building librdkafka needs beside gcc and make: a C++ compiler, OpenSSL's headers, and pkg-config to find them.
set -euo pipefail
need=()
command -v g++ >/dev/null || need+=(g++)
command -v pkg-config >/dev/null || need+=(pkg-config)
[ -e /usr/include/openssl/ssl.h ] || need+=(libssl-dev)
[ ${#need[@]} -gt 0 ] || exit 0
apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >&2
