use super::*;

fn cuts(options: TransNetOptions, frames: &[(f32, bool)]) -> Vec<(u32, u32)> {
    let mut finder = CutFinder::new(options);
    let mut found = Vec::new();
    for (n, (score, plain)) in frames.iter().enumerate() {
        found.extend(finder.next(n as u32, [*score; 2], *plain));
    }
    found.extend(finder.finish());
    found
        .iter()
        .map(|c| (c.scene_end.0, c.scene_start.0))
        .collect()
}

fn frames(n: usize, ones: &[usize], plain: &[usize]) -> Vec<(f32, bool)> {
    (0..n)
        .map(|k| {
            (
                if ones.contains(&k) { 0.9 } else { 0.1 },
                plain.contains(&k),
            )
        })
        .collect()
}

#[test]
fn one_marked_frame_is_a_hard_cut_and_a_run_belongs_to_no_scene() {
    let options = TransNetOptions::default();
    assert_eq!(cuts(options, &frames(200, &[59], &[])), [(60, 60)]);
    assert_eq!(cuts(options, &frames(200, &[59, 60, 61], &[])), [(59, 62)]);
    assert_eq!(cuts(options, &frames(200, &[59, 60], &[])), [(60, 60)]);
    assert_eq!(cuts(options, &frames(60, &[57, 58, 59], &[])), []);
    assert_eq!(cuts(options, &frames(60, &[0], &[])), [(1, 1)]);
}

#[test]
fn two_cuts_around_black_are_one() {
    let options = TransNetOptions::default();
    assert_eq!(cuts(options, &frames(200, &[50, 70], &[60])), [(51, 71)]);
    // Without black between them, or too far apart, they stay two.
    assert_eq!(
        cuts(options, &frames(200, &[50, 70], &[])),
        [(51, 51), (71, 71)]
    );
    assert_eq!(
        cuts(options, &frames(200, &[50, 70], &[40])),
        [(51, 51), (71, 71)]
    );
    assert_eq!(
        cuts(options, &frames(200, &[50, 90], &[60])),
        [(51, 51), (91, 91)]
    );
}

mod with_weights {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;
    use crate::models::ModelStatus;

    fn detector(batch_windows: usize) -> Option<TransNetV2> {
        let store = ModelStore::default();
        if store.status(NAME).unwrap() != ModelStatus::Present {
            println!("skipped: the weights of {NAME} are not there");
            return None;
        }
        let options = TransNetOptions {
            batch_windows,
            ..TransNetOptions::default()
        };
        Some(TransNetV2::open(&store, SessionOptions::default(), options).unwrap())
    }

    /// Largest difference of any probability to a file of windows and their outputs.
    fn largest_difference(detector: &mut TransNetV2, path: &Path) -> f32 {
        let bytes = std::fs::read(path).unwrap();
        let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let windows = golden.tensor("windows").unwrap();
        let expected = golden.tensor("single").unwrap();
        let count = windows.shape()[0];
        assert_eq!(expected.shape(), [count, WINDOW]);
        let [single, _] =
            probabilities(&mut detector.session, windows.data().to_vec(), count).unwrap();
        let mut largest = 0_f32;
        for (value, raw) in single.iter().zip(expected.data().chunks_exact(4)) {
            let wanted = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
            largest = largest.max((value - wanted).abs());
        }
        println!("{}: within {largest:.1e}", path.display());
        largest
    }

    fn tolerance() -> f32 {
        let def = crate::models::ModelDef::find(NAME).unwrap();
        def.card().unwrap().golden.abs_tol
    }

    #[test]
    fn outputs_equal_the_golden_ones() {
        let Some(mut detector) = detector(1) else {
            return;
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models/transnet_v2/golden/transnet_v2.safetensors");
        let largest = largest_difference(&mut detector, &path);
        assert!(largest <= tolerance(), "largest difference {largest}");
    }

    /// Four windows instead of the one that the repository holds.
    #[test]
    fn outputs_equal_the_shared_golden_ones() {
        let path = shared().join("models/transnetv2-golden.safetensors");
        if !path.is_file() {
            println!("skipped: {} is not there", path.display());
            return;
        }
        let Some(mut detector) = detector(1) else {
            return;
        };
        let largest = largest_difference(&mut detector, &path);
        assert!(largest <= tolerance(), "largest difference {largest}");
    }

    /// The folder of things that the repository does not hold.
    fn shared() -> PathBuf {
        std::env::var_os("FRAMEWRIGHT_SHARED").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
            PathBuf::from,
        )
    }

    /// Frames of a clip at the network's size; nothing where the clips or `ffmpeg` are not.
    fn clip(name: &str) -> Option<Vec<Rgb8>> {
        let path = shared().join("videos/derived").join(name);
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args([
                "-vf",
                "scale=48:27:flags=area",
                "-pix_fmt",
                "rgb24",
                "-f",
                "rawvideo",
                "-",
            ])
            .output();
        match output {
            Ok(output) if path.is_file() && output.status.success() => Some(
                output
                    .stdout
                    .chunks_exact(FRAME_BYTES)
                    .map(|frame| Rgb8::new(48, 27, frame.to_vec()).unwrap())
                    .collect(),
            ),
            _ => {
                println!("skipped: {} or ffmpeg is not there", path.display());
                None
            }
        }
    }

    fn detect(detector: &mut TransNetV2, frames: &[Rgb8]) -> Detections {
        let mut out = Detections::default();
        for (n, frame) in frames.iter().enumerate() {
            detector
                .push(FrameIndex(n as u32), frame, &mut out)
                .unwrap();
        }
        detector.finish(&mut out).unwrap();
        assert_eq!(out.scores.len(), frames.len());
        out
    }

    #[test]
    fn hard_cuts_are_found_at_the_exact_frame_whatever_the_batch() {
        let Some(frames) = clip("edit_hardcuts.mp4") else {
            return;
        };
        let Some(mut one) = detector(1) else { return };
        let out = detect(&mut one, &frames);
        let found: Vec<u32> = out.cuts.iter().map(|cut| cut.scene_start.0).collect();
        assert_eq!(
            found,
            [60, 105, 175, 225, 280, 300, 380, 445, 485, 560, 610]
        );
        assert!(out.cuts.iter().all(|cut| cut.scene_end == cut.scene_start));
        // Neither the batch nor the video before changes anything.
        let Some(mut three) = detector(3) else { return };
        let start = &frames[..170];
        let again = detect(&mut one, start);
        assert_eq!(again.cuts.len(), 2);
        assert_eq!(detect(&mut three, start).cuts, again.cuts);
    }

    #[test]
    fn a_fade_through_black_or_white_is_one_cut() {
        let Some(frames) = clip("edit_gradual.mp4") else {
            return;
        };
        let Some(mut detector) = detector(1) else {
            return;
        };
        let cuts = detect(&mut detector, &frames).cuts;
        for (first, last) in [(75, 104), (286, 309)] {
            let inside = cuts
                .iter()
                .filter(|cut| cut.scene_start.0 > first && cut.scene_end.0 <= last + 1)
                .count();
            assert_eq!(inside, 1, "mixed frames {first}..={last}: {cuts:?}");
        }
    }
}
