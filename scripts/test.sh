#!/usr/bin/env bash
# Builds and runs every test. Real weights are fetched once; without them their tests say so.
set -euo pipefail

echo "test: compiling (the first time takes about ten minutes on two cores)"
cargo test --locked --quiet --no-run
echo "test: fetching model weights"
target/debug/framewright models pull transnet_v2 efficientnet_lite0
bash scripts/demo_clips.sh
bash scripts/pyscenedetect.sh || echo "test: no PySceneDetect to compare with; its golden answers stay"
echo "test: running"
exec cargo test --locked
