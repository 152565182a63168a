#!/usr/bin/env bash
# Mines edit pairs from the demo clips and says where to look. Takes the path of the binary.
set -euo pipefail
exec "$1" run pipelines/edit-pairs.toml --manifest manifests/demo.jsonl --out out/demo
