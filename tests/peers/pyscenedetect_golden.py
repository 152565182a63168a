"""What PySceneDetect's detectors say of raw frames, as JSON on standard output.

    python tests/peers/pyscenedetect_golden.py FRAMES.rgb WIDTH HEIGHT

FRAMES.rgb holds RGB pictures of 8 bit, one after the other. The detectors get them as they are, so
neither decoding nor scaling has a part in the result. tests/it/scene_parity.rs calls this and knows
which settings of ours each name stands for.
"""

import json
import sys

import cv2
import numpy
import scenedetect
from scenedetect import FrameTimecode, StatsManager
from scenedetect.detector import FlashFilter
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
    ThresholdDetector,
)

FRAMES_PER_SEC = 25.0
WHITE = ThresholdDetector.Method.CEILING

# Our name for the case -> the detector and the name of its score in the statistics.
CASES = {
    "content": (lambda: ContentDetector(), "content_val"),
    "content_all_cuts": (lambda: ContentDetector(min_scene_len=0), "content_val"),
    "content_suppress": (
        lambda: ContentDetector(filter_mode=FlashFilter.Mode.SUPPRESS),
        "content_val",
    ),
    "content_edges": (
        lambda: ContentDetector(weights=ContentDetector.Components(1.0, 0.5, 1.0, 0.2)),
        "content_val",
    ),
    "content_wide_edges": (
        lambda: ContentDetector(
            weights=ContentDetector.Components(0.0, 0.0, 0.0, 1.0), kernel_size=9
        ),
        "content_val",
    ),
    "adaptive": (lambda: AdaptiveDetector(), "adaptive_ratio (w=2)"),
    "hash": (lambda: HashDetector(), "hash_dist [size=8 lowpass=2]"),
    "hash_16": (
        lambda: HashDetector(threshold=0.395, size=16),
        "hash_dist [size=16 lowpass=2]",
    ),
    "histogram": (lambda: HistogramDetector(), "hist_diff [bins=128]"),
    "histogram_100": (
        lambda: HistogramDetector(threshold=0.05, bins=100),
        "hist_diff [bins=100]",
    ),
    "threshold": (
        lambda: ThresholdDetector(add_final_scene=True, min_out_length=2),
        "average_rgb",
    ),
    "threshold_class": (lambda: ThresholdDetector(), "average_rgb"),
    "threshold_biased": (lambda: ThresholdDetector(fade_bias=-0.5), "average_rgb"),
    "threshold_white": (
        lambda: ThresholdDetector(threshold=240, method=WHITE, min_scene_len=5),
        "average_rgb",
    ),
}


def run(detector, key, frames):
    stats = StatsManager()
    detector.stats_manager = stats
    cuts, last = [], None
    for number, frame in enumerate(frames):
        last = FrameTimecode(number, fps=FRAMES_PER_SEC)
        cuts += detector.process_frame(last, frame)
    cuts += detector.post_process(last)
    scores = []
    for number in range(len(frames)):
        at = FrameTimecode(number, fps=FRAMES_PER_SEC)
        known = stats.metrics_exist(at, [key])
        score = stats.get_metrics(at, [key])[0] if known else None
        scores.append(None if score is None else round(float(score), 6))
    return {"cuts": [cut.frame_num for cut in cuts], "scores": scores}


def main():
    path, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    cv2.setNumThreads(1)
    raw = numpy.fromfile(path, numpy.uint8).reshape(-1, height, width, 3)
    frames = [numpy.ascontiguousarray(frame[:, :, ::-1]) for frame in raw]
    print(
        json.dumps(
            {
                "scenedetect": scenedetect.__version__,
                "opencv": cv2.__version__,
                "cases": {
                    name: run(make(), key, frames) for name, (make, key) in CASES.items()
                },
            }
        )
    )


main()
