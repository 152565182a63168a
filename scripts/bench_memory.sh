#!/usr/bin/env bash
# Measures how much memory `framewright scenes` takes for one minute and for ten minutes of 1080p, and
# fails when the longer file takes more than a tenth more or anything takes more than 600 MiB.
# Usage: bench_memory.sh PROGRAM
set -euo pipefail

program=${1:?usage: bench_memory.sh PROGRAM}
folder=out/bench
max_mib=600
max_percent=110
mkdir -p "$folder"

if ! command -v ffmpeg >/dev/null; then
  echo "bench-memory: needs the ffmpeg command" >&2
  exit 1
fi

# Ten seconds are encoded once, with another colour every two seconds so that there are cuts; the
# longer files repeat them.
loop=$folder/1080p-10s.mp4
if [ ! -s "$loop" ]; then
  echo "bench-memory: making $loop"
  ffmpeg -v error -nostdin -y -f lavfi -i testsrc2=size=1920x1080:rate=30:duration=10 \
    -vf 'hue=h=floor(t/2)*70' -c:v libx264 -preset veryfast -g 60 -bf 2 -pix_fmt yuv420p \
    -f mp4 "$loop.part"
  mv "$loop.part" "$loop"
fi
repeat() { # name, how often more
  if [ ! -s "$folder/$1" ]; then
    ffmpeg -v error -nostdin -y -stream_loop "$2" -i "$loop" -c copy -f mp4 "$folder/$1.part"
    mv "$folder/$1.part" "$folder/$1"
  fi
}
repeat 1080p-1min.mp4 5
repeat 1080p-10min.mp4 59

# Prints the most memory that a command took, KiB: the kernel's own count, read until it has ended.
peak_kib() {
  "$@" >/dev/null &
  local id=$! peak=0 now
  while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$id/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    sleep 0.05
  done
  wait "$id" || return 1
  echo "$peak"
}

failed=0
printf '%-14s%12s%12s%9s\n' detector '1 min MiB' '10 min MiB' ratio
for detector in transitions content adaptive transnet_v2; do
  if ! short=$(peak_kib "$program" scenes --detector "$detector" "$folder/1080p-1min.mp4") ||
    ! long=$(peak_kib "$program" scenes --detector "$detector" "$folder/1080p-10min.mp4"); then
    echo "bench-memory: $detector did not run; are its weights here?" >&2
    failed=1
    continue
  fi
  percent=$((long * 100 / short))
  verdict=
  if [ "$((long * 100))" -gt "$((short * max_percent))" ]; then
    verdict=' grows'
    failed=1
  fi
  if [ "$long" -gt "$((max_mib * 1024))" ] || [ "$short" -gt "$((max_mib * 1024))" ]; then
    verdict="$verdict above $max_mib MiB"
    failed=1
  fi
  printf '%-14s%12d%12d%6d.%02d%s\n' "$detector" "$((short / 1024))" "$((long / 1024))" \
    "$((percent / 100))" "$((percent % 100))" "$verdict"
done
exit "$failed"
