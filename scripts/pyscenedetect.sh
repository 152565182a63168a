#!/usr/bin/env bash
# Puts PySceneDetect into target/pyscenedetect, for tests that compare our detectors with it. Fails
# where pip cannot have it; nothing depends on it.
set -euo pipefail

version="0.7.2"
folder="target/pyscenedetect"
known="import scenedetect; assert scenedetect.__version__ == '$version'"
for python in "${FRAMEWRIGHT_PYSCENEDETECT:-}" "$folder/bin/python" python3; do
  if [ -n "$python" ] && "$python" -c "$known" 2>/dev/null; then
    exit 0
  fi
done
echo "test: fetching PySceneDetect $version"
python3 -m venv "$folder" 2>/dev/null
timeout 120 "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
  --only-binary=:all: "scenedetect-headless==$version" 2>/dev/null ||
  timeout 120 "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --only-binary=:all: "scenedetect==$version" opencv-python-headless 2>/dev/null
"$folder/bin/python" -c "$known"
