//! What each detector without weights costs a frame of 256x144: `make bench-detectors`.
//!
//! The pictures are blurred noise that moves, with a cut every 50 frames; the best of several rounds
//! counts, since other work on the machine only ever adds time.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::time::Instant;

use framewright::core::{FrameIndex, ItemError, Rgb8};
use framewright::models::scene::{
    AdaptiveDetector, AdaptiveOptions, ContentDetector, ContentOptions, ContentWeights,
    HashDetector, HashOptions, HistogramDetector, HistogramOptions, ThresholdDetector,
    ThresholdOptions,
};
use framewright::models::{Detections, SceneDetector};

const FRAMES: u32 = 200;
const ROUNDS: usize = 10;

fn main() -> Result<(), ItemError> {
    let frames: Vec<Rgb8> = (0..FRAMES).map(frame).collect();
    let with_edges = ContentOptions {
        weights: ContentWeights {
            edges: 1.0,
            ..ContentWeights::default()
        },
        ..ContentOptions::default()
    };
    let mut detectors: Vec<(&str, Box<dyn SceneDetector>)> = vec![
        (
            "content",
            Box::new(ContentDetector::new(ContentOptions::default())),
        ),
        (
            "content with edges",
            Box::new(ContentDetector::new(with_edges)),
        ),
        (
            "adaptive",
            Box::new(AdaptiveDetector::new(AdaptiveOptions::default())),
        ),
        ("hash", Box::new(HashDetector::new(HashOptions::default())?)),
        (
            "histogram",
            Box::new(HistogramDetector::new(HistogramOptions::default())),
        ),
        (
            "threshold",
            Box::new(ThresholdDetector::new(ThresholdOptions::default())),
        ),
    ];
    println!("{:<20} {:>12} {:>6}", "detector", "ns per frame", "cuts");
    for (name, detector) in &mut detectors {
        let mut best = f64::MAX;
        let mut found = Detections::default();
        for _ in 0..ROUNDS {
            found = Detections::default();
            let start = Instant::now();
            for (n, image) in (0..FRAMES).zip(&frames) {
                detector.push(FrameIndex(n), image, &mut found)?;
            }
            detector.finish(&mut found)?;
            best = best.min(start.elapsed().as_nanos() as f64 / f64::from(FRAMES));
        }
        println!("{name:<20} {best:>12.0} {:>6}", found.cuts.len());
    }
    Ok(())
}

/// A picture like a photograph: smooth waves, some grain, other colours after each cut.
fn frame(n: u32) -> Rgb8 {
    let shot = n / 50;
    let mut seed = n + 1;
    Rgb8::from_fn(256, 144, |x, y| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        let grain = f32::from((seed >> 24) as u8) / 32.0;
        let (x, y) = ((x + n) as f32, y as f32);
        let wave = |step: f32| {
            let turn = step + shot as f32;
            128.0 + 90.0 * (x * 0.03 * turn).sin() * (y * 0.05 + turn).cos() + grain
        };
        [wave(0.4), wave(1.1), wave(1.9)].map(|level| level as u8)
    })
}
