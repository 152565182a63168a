//! A timeline in OpenTimelineIO's JSON.
//!
//! One track for each file, one clip for each scene, one after another: frames of a gradual cut
//! belong to no scene and are left out, so a track may be shorter than its file. The rate is the
//! file's frame rate. Of a file with a variable rate, ranges are times: seconds since its first
//! frame, times that rate; the track says so in its metadata.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::ListedFile;
use super::clock::Clock;
use crate::core::FatalError;

/// The scenes of all files as one timeline.
///
/// # Errors
/// Refused where the JSON cannot be written, which memory alone can cause.
pub fn scenes_otio(files: &[ListedFile]) -> Result<String, FatalError> {
    let tracks: Vec<Value> = files.iter().map(track).collect();
    let name = match files {
        [file] => file.name(),
        _ => "scenes",
    };
    let timeline = json!({
        "OTIO_SCHEMA": "Timeline.1",
        "name": name,
        "global_start_time": null,
        "metadata": {},
        "tracks": {
            "OTIO_SCHEMA": "Stack.1",
            "name": "tracks",
            "source_range": null,
            "effects": [],
            "markers": [],
            "enabled": true,
            "metadata": {},
            "children": tracks,
        },
    });
    serde_json::to_string_pretty(&timeline)
        .map_err(|error| FatalError::Refused(format!("the timeline could not be written: {error}")))
}

fn track(file: &ListedFile) -> Value {
    let list = &file.list;
    let clock = Clock::of(list);
    let clips = list.scenes.iter().enumerate().map(|(n, scene)| {
        let [start, end] = clock.frames(scene, clock.fps);
        json!({
            "OTIO_SCHEMA": "Clip.2",
            "name": format!("{} scene {}", file.name(), n + 1),
            "source_range": range(start, end, clock.fps),
            "effects": [],
            "markers": [],
            "enabled": true,
            "metadata": { "framewright": scene },
            "active_media_reference_key": "DEFAULT_MEDIA",
            "media_references": {
                "DEFAULT_MEDIA": {
                    "OTIO_SCHEMA": "ExternalReference.1",
                    "name": file.name(),
                    "target_url": url(&file.file),
                    "available_range": range(0.0, clock.file_frames(list), clock.fps),
                    "available_image_bounds": null,
                    "metadata": {},
                },
            },
        })
    });
    let clips: Vec<Value> = clips.collect();
    json!({
        "OTIO_SCHEMA": "Track.1",
        "kind": "Video",
        "name": file.name(),
        "source_range": null,
        "effects": [],
        "markers": [],
        "enabled": true,
        "metadata": { "framewright": {
            "detector": list.detector,
            "frames": list.frames,
            "has_variable_frame_rate": clock.is_variable,
            "ranges_are": if clock.is_variable { "seconds times rate" } else { "frames" },
        } },
        "children": clips,
    })
}

fn range(start: f64, end: f64, rate: f64) -> Value {
    let time =
        |value: f64| json!({ "OTIO_SCHEMA": "RationalTime.1", "value": value, "rate": rate });
    json!({
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": time(start),
        "duration": time((end - start).max(0.0)),
    })
}

/// A path as a URL: `file://` in front of an absolute one, a relative one stays relative.
fn url(path: &str) -> String {
    let mut url = if path.starts_with('/') {
        "file://".to_owned()
    } else {
        String::new()
    };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::super::testing::{listed, slowed};
    use super::*;

    fn parsed(files: &[ListedFile]) -> Value {
        serde_json::from_str(&scenes_otio(files).unwrap()).unwrap()
    }

    #[test]
    fn a_track_for_each_file_and_a_clip_for_each_scene() {
        let files = [
            listed("/a/b.mp4", (25, 1), 100, &[(0, 40), (50, 100)]),
            listed("c.mp4", (24, 1), 10, &[(0, 10)]),
        ];
        let timeline = parsed(&files);
        assert_eq!(timeline["OTIO_SCHEMA"], "Timeline.1");
        let tracks = timeline["tracks"]["children"].as_array().unwrap();
        assert_eq!(tracks.len(), 2);
        let clip = &tracks[0]["children"][1];
        let (start, duration) = (
            &clip["source_range"]["start_time"],
            &clip["source_range"]["duration"],
        );
        assert_eq!(
            (&start["value"], &start["rate"]),
            (&json!(50.0), &json!(25.0))
        );
        assert_eq!(duration["value"], 50.0);
        let media = &clip["media_references"]["DEFAULT_MEDIA"];
        assert_eq!(media["target_url"], "file:///a/b.mp4");
        assert_eq!(media["available_range"]["duration"]["value"], 100.0);
        assert_eq!(
            tracks[1]["children"][0]["source_range"]["duration"]["rate"],
            24.0
        );
    }

    #[test]
    fn a_variable_rate_gives_times_and_says_so() {
        let file = slowed(listed("a.mp4", (25, 1), 100, &[(0, 40), (40, 100)]), 40);
        let timeline = parsed(&[file]);
        let track = &timeline["tracks"]["children"][0];
        assert_eq!(
            track["metadata"]["framewright"]["has_variable_frame_rate"],
            true
        );
        let range = &track["children"][1]["source_range"];
        assert_eq!(range["duration"]["value"], 120.0);
    }

    #[test]
    fn paths_become_urls() {
        assert_eq!(url("a b/ü#.mp4"), "a%20b/%C3%BC%23.mp4");
    }
}
