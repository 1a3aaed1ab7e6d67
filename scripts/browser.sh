#!/usr/bin/env bash
# Sees to it that there are a Chromium and a font with Chinese, from Debian, and prints where the browser is.
set -euo pipefail
need=()
command -v chromium >/dev/null || need+=(chromium)
# By what is installed and not by the package's name: any font with Chinese will do.
if ! command -v fc-list >/dev/null || [ -z "$(fc-list :lang=zh-cn family)" ]; then need+=(fontconfig fonts-noto-cjk); fi
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >&2
fi
command -v chromium
