//! How the camera moved between two pictures.
//!
//! The motion is the homography that most features agree on, unless the picture's border says that
//! the camera stood still: then whatever moved was the subject.

use opencv::calib3d::{USAC_MAGSAC, find_homography};
use opencv::core::{DMatch, KeyPoint, Mat, NORM_HAMMING, Point2f, Scalar, Size, Vector};
use opencv::features2d::{BFMatcher, ORB, ORB_ScoreType};
use opencv::imgproc;
use opencv::prelude::*;

use super::mat::{failed, plane_mat, to_vec};
use crate::core::{ItemError, Rgb8};

const FEATURES: i32 = 2000;
/// Features are spread over a grid so that one textured subject cannot outvote the background.
const FEATURE_GRID: [usize; 2] = [12, 9];
const FEATURES_PER_CELL: usize = 8;
/// The coarsest scale of smaller pictures would have no pixel left.
const MIN_FEATURE_SIDE_PX: u32 = 64;
const MIN_MATCHES: usize = 12;
const MIN_INLIERS: usize = 10;
const INLIER_ERROR_PX: f64 = 2.5;
/// Blocks per side of the grid whose outermost ring tells whether the camera stood still.
const STILL_GRID: usize = 16;
/// At this share of unmoved border blocks the camera stood still.
const STILL_BORDER_RATIO: f32 = 0.7;
/// Mean gradient from which a block can show motion.
const TEXTURED_GRADIENT: f32 = 2.0;
/// Luma differences up to this are noise.
const NOISE_LUMA: f32 = 2.0;

/// What a camera motion was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MotionMethod {
    /// No motion explains the pictures better than none.
    Still,
    /// A homography from matched features.
    Features,
    /// Too few features: one shift of the whole picture.
    Phase,
}

/// A camera motion; `matrix` maps pixels of the first picture to the second, row by row.
#[derive(Clone, Debug)]
pub(super) struct CameraMotion {
    pub(super) method: MotionMethod,
    pub(super) matrix: [f64; 9],
    pub(super) inlier_ratio: f32,
    pub(super) match_count: u32,
    pub(super) residual_luma: f32,
    pub(super) border_still_ratio: f32,
}

const IDENTITY: [f64; 9] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];

/// Two luma planes of one size.
struct Planes<'a> {
    width: u32,
    height: u32,
    from: &'a [u8],
    to: &'a [u8],
}

/// The camera's motion between two pictures of one size.
pub(super) fn camera_motion(from: &Rgb8, to: &Rgb8) -> Result<CameraMotion, ItemError> {
    let (a, b) = (from.luma(), to.luma());
    let planes = Planes {
        width: from.width(),
        height: from.height(),
        from: &a,
        to: &b,
    };
    let gradient = gradients(&planes);
    let matches = match_features(&planes)?;
    let border_still_ratio = still_ratio(&planes, &gradient, true);
    let still_residual = residual(&planes, &gradient, &IDENTITY)?;
    let mut best = (MotionMethod::Still, IDENTITY, still_residual);
    if border_still_ratio < STILL_BORDER_RATIO {
        let moved = match homography(&matches, &planes)? {
            Some(matrix) => Some((MotionMethod::Features, matrix)),
            None => phase_shift(&planes)?.map(|matrix| (MotionMethod::Phase, matrix)),
        };
        if let Some((method, matrix)) = moved {
            let moved_residual = residual(&planes, &gradient, &matrix)?;
            // A motion has three ways to fit by chance; it must be clearly better than none.
            if still_residual > moved_residual * 1.15 + 0.3 {
                best = (method, matrix, moved_residual);
            }
        }
    }
    let (method, matrix, residual_luma) = best;
    let agreeing = matches
        .iter()
        .filter(|(p, q)| distance(project(&matrix, *p), *q) <= INLIER_ERROR_PX)
        .count();
    let inlier_ratio = if matches.len() >= MIN_MATCHES {
        agreeing as f32 / matches.len() as f32
    } else {
        still_ratio(&planes, &gradient, false)
    };
    Ok(CameraMotion {
        method,
        matrix,
        inlier_ratio,
        match_count: matches.len() as u32,
        residual_luma,
        border_still_ratio,
    })
}

type Point = [f64; 2];

/// Where a matrix takes a point.
pub(super) fn project(m: &[f64; 9], [x, y]: Point) -> Point {
    let w = m[6] * x + m[7] * y + m[8];
    let w = if w.abs() < 1e-9 { 1e-9 } else { w };
    [
        (m[0] * x + m[1] * y + m[2]) / w,
        (m[3] * x + m[4] * y + m[5]) / w,
    ]
}

fn distance(a: Point, b: Point) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The matrix as OpenCV wants it.
pub(super) fn matrix_mat(matrix: &[f64; 9]) -> Result<Mat, ItemError> {
    Mat::from_slice_2d(&[&matrix[0..3], &matrix[3..6], &matrix[6..9]])
        .map_err(failed("wrapping a matrix"))
}

fn match_features(planes: &Planes<'_>) -> Result<Vec<(Point, Point)>, ItemError> {
    let (from_points, from_bits) = features(planes, planes.from)?;
    let (to_points, to_bits) = features(planes, planes.to)?;
    if from_points.is_empty() || to_points.is_empty() {
        return Ok(Vec::new());
    }
    let matcher =
        BFMatcher::create(NORM_HAMMING, true).map_err(failed("starting feature matching"))?;
    let mut matches = Vector::<DMatch>::new();
    matcher
        .train_match_def(&from_bits, &to_bits, &mut matches)
        .map_err(failed("matching features"))?;
    let mut pairs = Vec::with_capacity(matches.len());
    for found in &matches {
        let (Ok(p), Ok(q)) = (
            from_points.get(found.query_idx as usize),
            to_points.get(found.train_idx as usize),
        ) else {
            continue;
        };
        if found.distance <= 64.0 {
            let (p, q) = (p.pt(), q.pt());
            pairs.push((
                [f64::from(p.x), f64::from(p.y)],
                [f64::from(q.x), f64::from(q.y)],
            ));
        }
    }
    Ok(pairs)
}

/// The strongest features of each cell of a grid, with their descriptors.
fn features(planes: &Planes<'_>, plane: &[u8]) -> Result<(Vector<KeyPoint>, Mat), ItemError> {
    if planes.width.min(planes.height) < MIN_FEATURE_SIDE_PX {
        return Ok((Vector::new(), Mat::default()));
    }
    let picture = plane_mat(planes.width, plane)?;
    let mut orb = ORB::create(
        FEATURES,
        1.3,
        5,
        16,
        0,
        2,
        ORB_ScoreType::FAST_SCORE,
        25,
        10,
    )
    .map_err(failed("starting feature detection"))?;
    let mut found = Vector::<KeyPoint>::new();
    orb.detect(&picture, &mut found, &Mat::default())
        .map_err(failed("detecting features"))?;
    let mut cells = vec![Vec::new(); FEATURE_GRID[0] * FEATURE_GRID[1]];
    for point in &found {
        let cell =
            |at: f32, side: u32, n: usize| ((at / side as f32 * n as f32) as usize).min(n - 1);
        let x = cell(point.pt().x, planes.width, FEATURE_GRID[0]);
        let y = cell(point.pt().y, planes.height, FEATURE_GRID[1]);
        cells[y * FEATURE_GRID[0] + x].push(point);
    }
    let mut points = Vector::<KeyPoint>::new();
    for mut cell in cells {
        cell.sort_by(|a, b| b.response().total_cmp(&a.response()));
        for point in cell.into_iter().take(FEATURES_PER_CELL) {
            points.push(point);
        }
    }
    let mut bits = Mat::default();
    orb.compute(&picture, &mut points, &mut bits)
        .map_err(failed("describing features"))?;
    Ok((points, bits))
}

fn homography(
    matches: &[(Point, Point)],
    planes: &Planes<'_>,
) -> Result<Option<[f64; 9]>, ItemError> {
    if matches.len() < MIN_MATCHES {
        return Ok(None);
    }
    let points = |which: fn(&(Point, Point)) -> Point| -> Vector<Point2f> {
        let at = |pair| {
            let [x, y] = which(pair);
            Point2f::new(x as f32, y as f32)
        };
        matches.iter().map(at).collect()
    };
    let mut mask = Mat::default();
    let found = find_homography(
        &points(|pair| pair.0),
        &points(|pair| pair.1),
        &mut mask,
        USAC_MAGSAC,
        INLIER_ERROR_PX,
    );
    // It throws for degenerate point sets: that is an answer, not a failure.
    let Ok(found) = found else { return Ok(None) };
    let values = to_vec::<f64>(&found)?;
    let Ok(matrix) = <[f64; 9]>::try_from(values) else {
        return Ok(None);
    };
    let inliers = to_vec::<u8>(&mask)?
        .iter()
        .filter(|flag| **flag != 0)
        .count();
    Ok((inliers >= MIN_INLIERS && is_plausible(&matrix, planes)).then_some(matrix))
}

/// A camera between neighbouring moments neither mirrors the picture nor folds it.
fn is_plausible(matrix: &[f64; 9], planes: &Planes<'_>) -> bool {
    let (w, h) = (f64::from(planes.width), f64::from(planes.height));
    let corners = [[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]].map(|point| project(matrix, point));
    let doubled: f64 = (0..4)
        .map(|n| {
            let (p, q) = (corners[n], corners[(n + 1) % 4]);
            p[0] * q[1] - q[0] * p[1]
        })
        .sum();
    let area_ratio = doubled / 2.0 / (w * h);
    matrix.iter().all(|value| value.is_finite()) && (0.15..7.0).contains(&area_ratio)
}

fn phase_shift(planes: &Planes<'_>) -> Result<Option<[f64; 9]>, ItemError> {
    let float = |plane: &[u8]| plane.iter().map(|v| f32::from(*v)).collect::<Vec<f32>>();
    let (a, b) = (float(planes.from), float(planes.to));
    let size = Size::new(planes.width as i32, planes.height as i32);
    if size.width < 16 || size.height < 16 {
        return Ok(None);
    }
    let mut window = Mat::default();
    imgproc::create_hanning_window(&mut window, size, opencv::core::CV_32F)
        .map_err(failed("making a window"))?;
    let mut response = 0.0;
    let shift = imgproc::phase_correlate(
        &plane_mat(planes.width, &a)?,
        &plane_mat(planes.width, &b)?,
        &window,
        Some(&mut response),
    )
    .map_err(failed("correlating phases"))?;
    if !(shift.x.is_finite() && shift.y.is_finite()) || response < 0.05 {
        return Ok(None);
    }
    Ok(Some([1.0, 0.0, shift.x, 0.0, 1.0, shift.y, 0.0, 0.0, 1.0]))
}

/// Length of the luma gradient at each pixel of the first picture, in levels per pixel.
fn gradients(planes: &Planes<'_>) -> Vec<f32> {
    let (width, height) = (planes.width as usize, planes.height as usize);
    let at = |x: usize, y: usize| f32::from(planes.from[y * width + x]);
    let mut lengths = Vec::with_capacity(width * height);
    for y in 0..height {
        let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
        for x in 0..width {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let dx = (at(right, y) - at(left, y)) / 2.0;
            let dy = (at(x, down) - at(x, up)) / 2.0;
            lengths.push(dx.hypot(dy));
        }
    }
    lengths
}

/// Share of blocks that did not move by half a pixel or more: of the outermost ring or of all.
/// Blocks without texture say nothing and count only where there are hardly any others.
fn still_ratio(planes: &Planes<'_>, gradient: &[f32], border_only: bool) -> f32 {
    let (width, height) = (planes.width as usize, planes.height as usize);
    let [mut textured, mut textured_still, mut all, mut all_still] = [0_u32; 4];
    for row in 0..STILL_GRID {
        for column in 0..STILL_GRID {
            let last = STILL_GRID - 1;
            if border_only && row % last != 0 && column % last != 0 {
                continue;
            }
            let xs = column * width / STILL_GRID..(column + 1) * width / STILL_GRID;
            let ys = row * height / STILL_GRID..(row + 1) * height / STILL_GRID;
            let Some((slope, change)) = block_change(planes, gradient, xs, ys) else {
                continue;
            };
            let is_still = u32::from(change <= 0.5 * slope + NOISE_LUMA);
            all += 1;
            all_still += is_still;
            if slope >= TEXTURED_GRADIENT {
                textured += 1;
                textured_still += is_still;
            }
        }
    }
    if textured >= 8 {
        textured_still as f32 / textured as f32
    } else {
        all_still as f32 / all.max(1) as f32
    }
}

/// Mean gradient of a block and mean absolute luma change without its mean change.
fn block_change(
    planes: &Planes<'_>,
    gradient: &[f32],
    xs: std::ops::Range<usize>,
    ys: std::ops::Range<usize>,
) -> Option<(f32, f32)> {
    let width = planes.width as usize;
    let count = xs.len() * ys.len();
    if count == 0 {
        return None;
    }
    let (mut slope, mut shift) = (0.0, 0.0);
    let difference = |at: usize| f32::from(planes.to[at]) - f32::from(planes.from[at]);
    for y in ys.clone() {
        let row = y * width + xs.start..y * width + xs.end;
        slope += gradient[row.clone()].iter().sum::<f32>();
        shift += row.map(difference).sum::<f32>();
    }
    // A flicker of the light moves the mean; a moved edge does not, so little of it is evened out.
    let shift = (shift / count as f32).clamp(-12.0, 12.0);
    let mut change = 0.0;
    for y in ys {
        for at in y * width + xs.start..y * width + xs.end {
            change += (difference(at) - shift).abs();
        }
    }
    Some((slope / count as f32, change / count as f32))
}

/// Mean absolute luma difference of the better 60 % of the textured pixels after the motion is
/// undone, without the overall brightness change: what a moving subject covers is left out.
fn residual(planes: &Planes<'_>, gradient: &[f32], matrix: &[f64; 9]) -> Result<f32, ItemError> {
    let size = Size::new(planes.width as i32, planes.height as i32);
    let to = if *matrix == IDENTITY {
        planes
            .to
            .iter()
            .map(|v| f32::from(*v))
            .collect::<Vec<f32>>()
    } else {
        let wide: Vec<f32> = planes.to.iter().map(|v| f32::from(*v)).collect();
        let mut warped = Mat::default();
        imgproc::warp_perspective(
            &plane_mat(planes.width, &wide)?,
            &mut warped,
            &matrix_mat(matrix)?,
            size,
            imgproc::INTER_LINEAR | imgproc::WARP_INVERSE_MAP,
            opencv::core::BORDER_CONSTANT,
            Scalar::all(-1000.0),
        )
        .map_err(failed("undoing a motion"))?;
        to_vec::<f32>(&warped)?
    };
    let collect = |min_gradient: f32| -> Vec<f32> {
        (0..to.len())
            .filter(|n| to[*n] >= 0.0 && gradient[*n] >= min_gradient)
            .map(|n| to[n] - f32::from(planes.from[n]))
            .collect()
    };
    let mut differences = collect(3.0);
    if differences.len() * 50 < to.len() {
        differences = collect(0.0);
    }
    if differences.is_empty() {
        return Ok(255.0);
    }
    let middle = differences.len() / 2;
    let (_, shift, _) = differences.select_nth_unstable_by(middle, f32::total_cmp);
    let shift = *shift;
    let mut sizes: Vec<f32> = differences.iter().map(|d| (d - shift).abs()).collect();
    sizes.sort_unstable_by(f32::total_cmp);
    let kept = (sizes.len() * 3 / 5).max(1);
    Ok(sizes[..kept].iter().sum::<f32>() / kept as f32)
}
