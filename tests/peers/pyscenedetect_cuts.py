"""Where PySceneDetect cuts videos, as JSON on standard output: {video: {detector: [frame, …]}}.

    python tests/peers/pyscenedetect_cuts.py VIDEO…

Settings are those of its command line (`scenedetect -i VIDEO detect-…`) without a configuration
file; they differ from the defaults of its classes in the smallest scene and in fades. A video that
it cannot read is left out. examples/bench_scenes.rs calls this.
"""

import json
import sys

from scenedetect import SceneManager, open_video
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
    ThresholdDetector,
)

SHORTEST_SCENE = "0.6s"

DETECTORS = {
    "adaptive": lambda: AdaptiveDetector(min_scene_len=SHORTEST_SCENE),
    "content": lambda: ContentDetector(min_scene_len=SHORTEST_SCENE),
    "hash": lambda: HashDetector(min_scene_len=SHORTEST_SCENE),
    "histogram": lambda: HistogramDetector(min_scene_len=SHORTEST_SCENE),
    "threshold": lambda: ThresholdDetector(
        min_scene_len=SHORTEST_SCENE, add_final_scene=True, min_out_length="0.1s"
    ),
}


def cuts(path, make):
    manager = SceneManager()
    manager.add_detector(make())
    manager.detect_scenes(open_video(path))
    scenes = manager.get_scene_list(start_in_scene=True)
    return [start.frame_num for start, _ in scenes[1:]]


def main():
    found = {}
    for path in sys.argv[1:]:
        try:
            found[path] = {name: cuts(path, make) for name, make in DETECTORS.items()}
        except Exception as error:  # a damaged file must not end the comparison
            print(f"{path}: {error}", file=sys.stderr)
    print(json.dumps(found))


main()
