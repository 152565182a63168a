//! Whether two pictures were taken from one viewpoint.

use serde::{Deserialize, Serialize};

use super::mat::same_size;
use super::motion::{CameraMotion, MotionMethod, camera_motion, project};
use crate::core::{ItemError, Rgb8};

/// Blocks whose histograms correlate at least this well look alike.
const BLOCK_CORRELATION: f32 = 0.7;
/// Bins per colour channel.
const BINS: usize = 16;
const FINE_GRID: usize = 16;

type Histogram = [f32; BINS * 3];

/// How the camera moved between two pictures, and how much of the picture stayed in place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Viewpoint {
    /// Share of the blocks of an 8 x 8 grid with alike colour histograms, 0–1.
    pub block_match_ratio_8: f32,
    /// The same for a 16 x 16 grid.
    pub block_match_ratio_16: f32,
    /// Share of the matched features that agree with the camera motion, 0–1. With too few features,
    /// share of the blocks that stayed as they were.
    pub inlier_ratio: f32,
    /// Turn about the line of sight in degrees, without sign.
    pub rotation_degrees: f32,
    /// Zoom: 0.1 means larger or smaller by a factor of 1.1.
    pub scale_change_ratio: f32,
    /// Shift of the frame's centre as a share of the diagonal.
    pub translation_ratio: f32,
    /// Luma difference left on textured background after the motion is undone, 0–255.
    pub residual_luma: f32,
    /// Share of the outermost blocks that moved by less than about half a pixel, 0–1.
    pub border_still_ratio: f32,
    /// Matched features.
    pub match_count: u32,
    /// What the motion was found by.
    pub method: MotionMethod,
}

/// Compares the viewpoints of two pictures of one size; 512 px on the longer side are enough.
///
/// # Errors
/// When the sizes differ or OpenCV refuses.
pub fn viewpoint(from: &Rgb8, to: &Rgb8) -> Result<Viewpoint, ItemError> {
    same_size(from, to)?;
    let motion = camera_motion(from, to)?;
    let (block_match_ratio_8, block_match_ratio_16) = block_matches(from, to);
    let [rotation_degrees, scale_change_ratio, translation_ratio] =
        parts_of(&motion, from.width(), from.height());
    Ok(Viewpoint {
        block_match_ratio_8,
        block_match_ratio_16,
        inlier_ratio: motion.inlier_ratio,
        rotation_degrees,
        scale_change_ratio,
        translation_ratio,
        residual_luma: motion.residual_luma,
        border_still_ratio: motion.border_still_ratio,
        match_count: motion.match_count,
        method: motion.method,
    })
}

/// Rotation in degrees, zoom and shift of a motion, as it acts at the centre of the frame.
pub(super) fn parts_of(motion: &CameraMotion, width: u32, height: u32) -> [f32; 3] {
    let (w, h) = (f64::from(width), f64::from(height));
    let center = [w / 2.0, h / 2.0];
    let step = (w.min(h) / 8.0).max(1.0);
    let at = |dx: f64, dy: f64| project(&motion.matrix, [center[0] + dx, center[1] + dy]);
    let (left, right, up, down) = (at(-step, 0.0), at(step, 0.0), at(0.0, -step), at(0.0, step));
    let slope = |a: [f64; 2], b: [f64; 2], n: usize| (b[n] - a[n]) / (2.0 * step);
    let (xx, yx) = (slope(left, right, 0), slope(left, right, 1));
    let (xy, yy) = (slope(up, down, 0), slope(up, down, 1));
    let rotation = (yx - xy).atan2(xx + yy).to_degrees().abs();
    let scale = (xx * yy - xy * yx).abs().sqrt().max(1e-6);
    let moved = project(&motion.matrix, center);
    let shift = (moved[0] - center[0]).hypot(moved[1] - center[1]) / w.hypot(h);
    [
        rotation as f32,
        (scale.ln().abs().exp() - 1.0) as f32,
        shift as f32,
    ]
}

/// Share of alike blocks on the 8 x 8 and on the 16 x 16 grid.
fn block_matches(from: &Rgb8, to: &Rgb8) -> (f32, f32) {
    let (a, b) = (block_histograms(from), block_histograms(to));
    (match_ratio(&coarse(&a), &coarse(&b)), match_ratio(&a, &b))
}

fn match_ratio(a: &[Histogram], b: &[Histogram]) -> f32 {
    let alike = a
        .iter()
        .zip(b)
        .filter(|(p, q)| correlation(&smooth(p), &smooth(q)) >= BLOCK_CORRELATION)
        .count();
    alike as f32 / a.len().max(1) as f32
}

/// Histograms of the fine grid's blocks; a value counts for its two nearest bins by nearness, so
/// that noise at a bin's edge does not make two blocks differ.
fn block_histograms(image: &Rgb8) -> Vec<Histogram> {
    let mut blocks = vec![[0.0; BINS * 3]; FINE_GRID * FINE_GRID];
    let (width, height) = (image.width() as usize, image.height() as usize);
    let bin_width = 256.0 / BINS as f32;
    for y in 0..height {
        let row = y * FINE_GRID / height;
        for (x, pixel) in image.row(y as u32).chunks_exact(3).enumerate() {
            let block = &mut blocks[row * FINE_GRID + x * FINE_GRID / width];
            for (channel, value) in pixel.iter().enumerate() {
                let at = (f32::from(*value) + 0.5) / bin_width - 0.5;
                let low = at.floor();
                let share = at - low;
                let low = low.max(0.0) as usize;
                let high = (low + 1).min(BINS - 1);
                block[channel * BINS + low.min(BINS - 1)] += 1.0 - share;
                block[channel * BINS + high] += share;
            }
        }
    }
    blocks
}

/// Sums each 2 x 2 fine blocks.
fn coarse(blocks: &[Histogram]) -> Vec<Histogram> {
    let half = FINE_GRID / 2;
    let mut sums = vec![[0.0; BINS * 3]; half * half];
    for (n, block) in blocks.iter().enumerate() {
        let (x, y) = (n % FINE_GRID, n / FINE_GRID);
        for (sum, value) in sums[y / 2 * half + x / 2].iter_mut().zip(block) {
            *sum += value;
        }
    }
    sums
}

fn smooth(histogram: &Histogram) -> Histogram {
    let mut out = [0.0; BINS * 3];
    for channel in 0..3 {
        let bins = &histogram[channel * BINS..(channel + 1) * BINS];
        for n in 0..BINS {
            let (left, right) = (bins[n.saturating_sub(1)], bins[(n + 1).min(BINS - 1)]);
            out[channel * BINS + n] = 0.25 * left + 0.5 * bins[n] + 0.25 * right;
        }
    }
    out
}

/// Pearson correlation; two empty or level histograms are alike.
fn correlation(a: &Histogram, b: &Histogram) -> f32 {
    let mean = |h: &Histogram| h.iter().sum::<f32>() / h.len() as f32;
    let (ma, mb) = (mean(a), mean(b));
    let [mut ab, mut aa, mut bb] = [0.0_f32; 3];
    for (x, y) in a.iter().zip(b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
    }
    if aa <= f32::EPSILON || bb <= f32::EPSILON {
        return f32::from(u8::from(aa <= f32::EPSILON && bb <= f32::EPSILON));
    }
    ab / (aa * bb).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wall of random bricks seen through a camera; `subject` paints a textured square on top.
    fn view(turn_degrees: f32, zoom: f32, shift: f32, subject: Option<(f32, f32)>) -> Rgb8 {
        let (sin, cos) = turn_degrees.to_radians().sin_cos();
        Rgb8::from_fn(480, 270, |px, py| {
            if let Some((sx, sy)) = subject {
                let (dx, dy) = (px as f32 - sx, py as f32 - sy);
                if (0.0..130.0).contains(&dx) && (0.0..130.0).contains(&dy) {
                    return [noise(dx, dy, 7.0, 3), noise(dx, dy, 7.0, 4), 40];
                }
            }
            let (x, y) = ((px as f32 - 240.0) / zoom, (py as f32 - 135.0) / zoom);
            let (x, y) = (x * cos - y * sin + shift + 900.0, x * sin + y * cos + 900.0);
            let base = noise(x, y, 23.0, 1);
            [base, noise(x, y, 11.0, 2), base / 2 + 30]
        })
    }

    fn noise(x: f32, y: f32, cell: f32, seed: u32) -> u8 {
        let (x, y) = ((x / cell) as u32, (y / cell) as u32);
        let mut n = x.wrapping_mul(0x9e37_79b1)
            ^ y.wrapping_mul(0x85eb_ca77)
            ^ seed.wrapping_mul(0xc2b2_ae3d);
        n = (n ^ (n >> 15)).wrapping_mul(0x2c1b_3c6d);
        n = (n ^ (n >> 12)).wrapping_mul(0x297a_2d39);
        (n >> 24) as u8
    }

    #[test]
    fn known_camera_motions_are_measured() {
        let base = view(0.0, 1.0, 0.0, None);
        let turned = viewpoint(&base, &view(4.0, 1.0, 0.0, None)).unwrap();
        assert!((turned.rotation_degrees - 4.0).abs() < 0.4, "{turned:?}");
        let zoomed = viewpoint(&base, &view(0.0, 1.1, 0.0, None)).unwrap();
        assert!((zoomed.scale_change_ratio - 0.1).abs() < 0.02, "{zoomed:?}");
        let shifted = viewpoint(&base, &view(0.0, 1.0, 20.0, None)).unwrap();
        let wanted = 20.0 / base.diagonal_px();
        assert!(
            (shifted.translation_ratio - wanted).abs() < 0.004,
            "{shifted:?}"
        );
        assert!(shifted.border_still_ratio < 0.3);
    }

    #[test]
    fn a_moving_subject_is_not_a_moving_camera() {
        let from = view(0.0, 1.0, 0.0, Some((40.0, 60.0)));
        let to = view(0.0, 1.0, 0.0, Some((260.0, 90.0)));
        let seen = viewpoint(&from, &to).unwrap();
        assert_eq!(seen.method, MotionMethod::Still, "{seen:?}");
        assert_eq!((seen.translation_ratio, seen.rotation_degrees), (0.0, 0.0));
        assert!(
            seen.block_match_ratio_16 > 0.6 && seen.inlier_ratio > 0.4,
            "{seen:?}"
        );
    }

    #[test]
    fn flat_and_tiny_pictures_have_an_answer() {
        let flat = Rgb8::from_fn(320, 180, |_, _| [77; 3]);
        let seen = viewpoint(&flat, &flat).unwrap();
        assert_eq!(seen.method, MotionMethod::Still);
        assert_eq!((seen.inlier_ratio, seen.block_match_ratio_8), (1.0, 1.0));
        let dot = Rgb8::from_fn(1, 1, |_, _| [77; 3]);
        viewpoint(&dot, &dot).unwrap();
        assert!(viewpoint(&dot, &flat).is_err());
    }

    #[test]
    fn other_scenes_share_nothing() {
        let seen = viewpoint(&view(0.0, 1.0, 0.0, None), &view(0.0, 1.0, 5000.0, None)).unwrap();
        assert!(
            seen.inlier_ratio < 0.2 && seen.block_match_ratio_16 < 0.4,
            "{seen:?}"
        );
    }
}
