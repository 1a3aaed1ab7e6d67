#!/usr/bin/env bash
# Sees to it that there are nginx and promtool, which tests run themselves, from Debian; their services are not started.
set -euo pipefail
need=()
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || need+=(nginx)
command -v promtool >/dev/null || need+=(prometheus)
[ ${#need[@]} -gt 0 ] || exit 0
# Debian starts what it installs, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >&2
# On a machine that boots they would start with it.
! command -v systemctl >/dev/null || systemctl disable -q "${need[@]}" 2>/dev/null || true
