#!/usr/bin/env bash
# Builds an OpenTelemetry Collector of the parts in builder.yaml into the folder given as $1, as `otelcol`. Takes about two minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "$1" && pwd)
go=$("$here/../../../scripts/go.sh" install)
PATH="$(dirname "$go"):$PATH"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
GOBIN=$work go install go.opentelemetry.io/collector/cmd/builder@v0.155.0
cp "$here/builder.yaml" "$work/"
cd "$work"
./builder --config builder.yaml --skip-get-modules --skip-compilation
cd _build
go mod init peers/otelcol
# What filelog 0.149 needs has left coreinternal in 0.155.
core=github.com/open-telemetry/opentelemetry-collector-contrib/internal/coreinternal
go mod edit -replace "$core=$core@v0.154.0"
# shellcheck disable=SC2046
go get $(sed -n 's/^ *- gomod: \(.*\) \(v.*\)$/\1@\2/p' ../builder.yaml) go.opentelemetry.io/collector/otelcol@v0.155.0
go build -mod=mod -trimpath -ldflags="-s -w" -o "$out/otelcol" .
