#!/usr/bin/env bash
# The real SDKs that whole-system tests send with: OpenTelemetry's for Python and Node, Zipkin's reporter for Java.
#   sdks.sh install            fetches what is missing, in the versions that the files under tests/sdks name
#   sdks.sh LANGUAGE ARG...    runs tests/sdks/LANGUAGE with the arguments
# Everything is kept outside the checkout, in a folder named after the file that lists the versions.
set -euo pipefail
cd "$(dirname "$0")/.."
sdks="$PWD/tests/sdks"

# Where the packages of a list are kept.
home() { echo "$HOME/.cache/weir/sdks/$(sha256sum "$1" | cut -c1-16)"; }
python=$(home "$sdks/python/requirements.txt")
node=$(home "$sdks/node/package-lock.json")
java=$(home "$sdks/java/pom.xml")

# fetch FOLDER COMMAND...: runs the command in a new folder and gives it its name only when that went well.
fetch() {
  local folder=$1
  [ -d "$folder" ] && return
  shift
  rm -rf "$folder.new"
  mkdir -p "$folder.new"
  (cd "$folder.new" && "$@")
  mv "$folder.new" "$folder"
}
fetch_python() { python3 -m pip install --quiet --no-deps --target . -r "$sdks/python/requirements.txt"; }
fetch_node() {
  cp "$sdks"/node/package*.json .
  # None of the packages' install scripts is needed.
  $("$sdks/../../scripts/npm.sh") ci --no-audit --no-fund --ignore-scripts --loglevel=error
}
fetch_java() { mvn --quiet --batch-mode -f "$sdks/java/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$PWD" >&2; }

run() {
  [ -d "$1" ] || { echo "the SDK is not there: run scripts/sdks.sh install (make test-rust does)" >&2; exit 1; }
  shift
  exec env "$@"
}

case "${1:-}" in
  install)
    need=()
    [ -d "$java" ] || command -v mvn >/dev/null || need+=(maven)
    # With its compiler: the program is run from its source.
    command -v javac >/dev/null || need+=(default-jdk-headless)
    if [ ${#need[@]} -gt 0 ]; then
      apt-get update -qq >&2
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >&2
    fi
    scripts/npm.sh install
    fetch "$python" fetch_python
    fetch "$node" fetch_node
    fetch "$java" fetch_java
    ;;
  python) run "$python" "PYTHONPATH=$python" python3 "$sdks/python/export.py" "${@:2}" ;;
  node) run "$node" "NODE_PATH=$node/node_modules" "$(scripts/npm.sh node)" "$sdks/node/export.cjs" "${@:2}" ;;
  java) run "$java" java -cp "$java/*" "$sdks/java/Report.java" "${@:2}" ;;
  *) sed -n '2,4s/^# *//p' "$0" >&2; exit 2 ;;
esac
