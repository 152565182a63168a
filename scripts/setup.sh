#!/usr/bin/env bash
# Installs what building and running needs: Debian packages and the ONNX Runtime library.
# Idempotent; prints one line per step. With --no-tests it leaves out what only the tests use.
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

onnxruntime_version=1.32.0
data_dir="${XDG_DATA_HOME:-$HOME/.local/share}/framewright"

packages=(
  g++ make cmake nasm clang libclang-dev pkg-config ca-certificates
  libavcodec-dev libavformat-dev libavutil-dev libavfilter-dev libswscale-dev libswresample-dev
  libopencv-dev python3 python3-pip
)
[ "${1:-}" = --no-tests ] || packages+=(ffmpeg)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
# A python of the user's own with pip serves as well as Debian's.
if python3 -m pip --version >/dev/null 2>&1; then
  missing=($(printf '%s\n' "${missing[@]:-}" | grep -vx -e python3 -e python3-pip || true))
fi
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "needs Debian packages: ${missing[*]}"
  sudo=(); [ "$(id -u)" = 0 ] || sudo=(sudo)
  say "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  say "Debian packages are there"
fi

command -v cargo >/dev/null ||
  fail "no cargo on PATH: install Rust 1.92 or newer with rustup, then run this again"

library="$data_dir/lib/libonnxruntime.so.$onnxruntime_version"
if [ -f "$library" ]; then
  say "ONNX Runtime $onnxruntime_version is there"
else
  case "$(uname -m)" in
    x86_64)  sha=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d ;;
    aarch64) sha=2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c ;;
    *) fail "no ONNX Runtime wheel for $(uname -m): set ORT_DYLIB_PATH to a library of 1.23 or newer" ;;
  esac
  say "fetching ONNX Runtime $onnxruntime_version"
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 \
    --platform "manylinux_2_28_$(uname -m)" --dest "$work" "onnxruntime==$onnxruntime_version"
  echo "$sha  $(echo "$work"/*.whl)" | sha256sum --check --quiet ||
    fail "the ONNX Runtime wheel is not the one this version was tested with"
  python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  mkdir -p "$data_dir/lib"
  cp "$work/wheel/onnxruntime/capi/libonnxruntime.so.$onnxruntime_version" "$library.part"
  mv "$library.part" "$library"
fi
