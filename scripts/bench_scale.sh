#!/usr/bin/env bash
# Measures a run with very many finished videos: memory while it goes on, `status`, `plan`, and the time
# until a continued run starts with its first new video. Usage: bench_scale.sh PROGRAM [ROWS]
#
# The rows name files that are not there, so that each ends at once as failed(missing): what is measured
# is the bookkeeping, not video. Where `eatmydata` is installed, the folder is filled without waiting for
# the disk; the measurements themselves are made without it.
set -euo pipefail
program=$(realpath "$1")
rows=${2:-1000000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

manifest() {
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++)
        printf "{\"uri\":\"videos/part-%04d/clip-%07d.mp4\",\"license\":\"CC-BY-4.0\",\"source\":\"made\"}\n",
            i / 1000, i }'
}
manifest "$rows" > manifest.jsonl
run=("$program" run --out out --no-supervisor --quiet --jobs 2
    --set split.detector=adaptive --set filters.similarity_window.enabled=false
    --set limits.max_failed_ratio=1)

fast=$(command -v eatmydata || true)
$fast "${run[@]}" --manifest manifest.jsonl > /dev/null &
process=$!
sleep 5
while kill -0 $process 2> /dev/null; do
    # The peak so far, every half minute: it should not grow.
    awk '/VmHWM/ { printf "  filling: peak %d MiB\n", $2 / 1024 }' /proc/$process/status 2> /dev/null || true
    for _ in $(seq 30); do kill -0 $process 2> /dev/null && sleep 1; done
done
wait $process || true

seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.2f", b - a }'; }

start=$(seconds)
"$program" status out > /dev/null
echo "status of $rows videos: $(since "$start") s"

manifest "$((rows + 1000))" > longer.jsonl
start=$(seconds)
"$program" plan --out out --manifest longer.jsonl \
    --set split.detector=adaptive --set filters.similarity_window.enabled=false | sed -n 2,3p
echo "plan: $(since "$start") s"

rm -f out/tmp/in_flight-*
start=$(seconds)
"${run[@]}" --manifest longer.jsonl > /dev/null &
process=$!
# The file appears right before the first video is started.
until compgen -G "out/tmp/in_flight-*" > /dev/null; do sleep 0.02; done
echo "a continued run starts after $(since "$start") s," \
    "$(awk '/VmHWM/ { print int($2 / 1024) }' /proc/$process/status) MiB"
wait $process || true
