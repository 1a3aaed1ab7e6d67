#!/usr/bin/env bash
# Sees to it that there are servers of Debian's that tests and benchmarks run themselves; their services are not started.
#
#   servers.sh         nginx and promtool, for tests
#   servers.sh peers   rsyslog with its way to Kafka, for benchmarks
set -euo pipefail
need=()
case "${1:-}" in
  peers)
    command -v rsyslogd >/dev/null || [ -x /usr/sbin/rsyslogd ] || need+=(rsyslog)
    [ -e "/usr/lib/$(gcc -print-multiarch)/rsyslog/omkafka.so" ] || need+=(rsyslog-kafka)
    ;;
  *)
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || need+=(nginx)
    command -v promtool >/dev/null || need+=(prometheus)
    ;;
esac
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
for service in "${need[@]}"; do
  ! command -v systemctl >/dev/null || systemctl disable -q "$service" 2>/dev/null || true
done
