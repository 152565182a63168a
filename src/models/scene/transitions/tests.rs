use super::*;

/// A picture that differs from seed to seed everywhere.
fn picture(seed: u32) -> Vec<f32> {
    (0..64 * 36 * 3_u32)
        .map(|n| {
            let hash = (n / 12 + seed * 7919).wrapping_mul(2_654_435_761) >> 24;
            40.0 + hash as f32 * 0.7
        })
        .collect()
}

fn mixed(a: &[f32], b: &[f32], share: f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + (b - a) * share).collect()
}

fn cuts(frames: &[Vec<f32>]) -> Vec<(u32, u32)> {
    let mut detector = TransitionDetector::new(TransitionOptions::default());
    let mut out = Detections::default();
    for (n, frame) in frames.iter().enumerate() {
        let bytes = frame.iter().map(|value| value.round() as u8).collect();
        let image = Rgb8::new(64, 36, bytes).unwrap();
        let before = out.cuts.len();
        detector
            .push(FrameIndex(n as u32), &image, &mut out)
            .unwrap();
        let latency = detector.latency_frames();
        for cut in &out.cuts[before..] {
            assert!(cut.scene_end.0 + latency > n as u32, "too late: {cut:?}");
        }
    }
    detector.finish(&mut out).unwrap();
    assert_eq!(out.scores.len(), frames.len());
    assert!(
        out.cuts
            .windows(2)
            .all(|pair| pair[0].scene_start <= pair[1].scene_end)
    );
    out.cuts
        .iter()
        .map(|cut| (cut.scene_end.0, cut.scene_start.0))
        .collect()
}

fn repeat(frame: &[f32], times: usize) -> Vec<Vec<f32>> {
    vec![frame.to_vec(); times]
}

#[test]
fn a_jump_is_a_hard_cut_at_its_frame_and_short_scenes_count() {
    let mut frames = repeat(&picture(1), 40);
    frames.extend(repeat(&picture(2), 8));
    frames.extend(repeat(&picture(3), 300));
    assert_eq!(cuts(&frames), [(40, 40), (48, 48)]);
}

#[test]
fn a_flash_and_a_black_frame_are_no_cuts() {
    let mut frames = repeat(&picture(1), 30);
    frames.extend(repeat(&vec![250.0; 64 * 36 * 3], 2));
    frames.extend(repeat(&picture(1), 30));
    frames.extend(repeat(&vec![0.0; 64 * 36 * 3], 1));
    frames.extend(repeat(&picture(1), 30));
    assert_eq!(cuts(&frames), []);
}

#[test]
fn the_frames_of_a_dissolve_belong_to_no_scene() {
    let (a, b) = (picture(1), picture(2));
    for length in [5, 12, 25, 60] {
        let mut frames = repeat(&a, 100);
        frames.extend((1..=length).map(|n| mixed(&a, &b, n as f32 / (length + 1) as f32)));
        frames.extend(repeat(&b, 100));
        let found = cuts(&frames);
        assert_eq!(found.len(), 1, "{length}: {found:?}");
        let (end, start) = found[0];
        assert!((99..=102).contains(&end), "{length}: {end}");
        assert!((98..=101).contains(&(start - length)), "{length}: {start}");
    }
}

#[test]
fn a_wipe_is_a_transition() {
    let (a, b) = (picture(1), picture(2));
    let mut frames = repeat(&a, 60);
    for n in 1..=20 {
        let edge = 64 * n / 21;
        let at = |x: usize| if x < edge { &b } else { &a };
        frames.push((0..64 * 36 * 3).map(|k| at(k / 3 % 64)[k]).collect());
    }
    frames.extend(repeat(&b, 60));
    let found = cuts(&frames);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].0.abs_diff(60) <= 2 && found[0].1.abs_diff(80) <= 2,
        "{found:?}"
    );
}

#[test]
fn a_fade_through_black_is_one_transition() {
    let (a, b, black) = (picture(1), picture(2), vec![0.0; 64 * 36 * 3]);
    let mut frames = repeat(&a, 60);
    frames.extend((1..=10).map(|n| mixed(&a, &black, n as f32 / 11.0)));
    frames.extend(repeat(&black, 20));
    frames.extend((1..=10).map(|n| mixed(&black, &b, n as f32 / 11.0)));
    frames.extend(repeat(&b, 60));
    let found = cuts(&frames);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].0.abs_diff(60) <= 2 && found[0].1.abs_diff(100) <= 2,
        "{found:?}"
    );
}

#[test]
fn minutes_of_black_are_a_scene_and_hold_nothing_up() {
    let (a, b, black) = (picture(1), picture(2), vec![0.0; 64 * 36 * 3]);
    let mut frames = repeat(&a, 60);
    frames.extend(repeat(&black, 900));
    frames.extend(repeat(&b, 60));
    assert_eq!(cuts(&frames), [(60, 60), (960, 960)]);
}

#[test]
fn a_black_lead_in_and_a_fade_at_the_end_belong_to_no_scene() {
    let (a, black) = (picture(1), vec![0.0; 64 * 36 * 3]);
    let mut frames = repeat(&black, 10);
    frames.extend(repeat(&a, 50));
    frames.extend((1..=10).map(|n| mixed(&a, &black, n as f32 / 11.0)));
    frames.extend(repeat(&black, 10));
    let found = cuts(&frames);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], (0, 10));
    assert!(
        found[1].0.abs_diff(60) <= 2 && found[1].1 == 80,
        "{found:?}"
    );
}

#[test]
fn a_pan_is_no_transition() {
    let wide: Vec<f32> = (0..36)
        .flat_map(|y| (0..600).map(move |x| (x, y)))
        .map(|(x, y): (u32, u32)| {
            let hash = (x / 6 + y / 6 * 131).wrapping_mul(2_654_435_761) >> 24;
            40.0 + hash as f32 * 0.7
        })
        .collect();
    let frames: Vec<Vec<f32>> = (0..250)
        .map(|shift| {
            (0..64 * 36 * 3)
                .map(|k| wide[k / 3 / 64 * 600 + k / 3 % 64 + shift])
                .collect()
        })
        .collect();
    assert_eq!(cuts(&frames), []);
}
