//! What changed between two frames of one camera, measured without any weights.
//!
//! The later frame is laid onto the earlier one, brightness is evened out, what still differs
//! beyond noise becomes regions, and each region is named by what its edges and colours tell.

mod classify;
mod numbers;
mod persist;
mod regions;
mod substance;

use opencv::core::{Mat, Scalar, Size};
use opencv::imgproc;

use super::heat_map::lab_distance;
use super::lighting::fit_lighting;
use super::mat::{blurred_lab, failed, plane_mat, rgb_mat, same_size, shrink, to_rgb, to_vec};
use super::motion::{CameraMotion, MotionMethod, camera_motion, matrix_mat};
use super::viewpoint::parts_of;
use crate::core::{Change, ItemError, Rgb8};

/// Frames are compared at this length of the longer side.
const WORKING_SIDE_PX: u32 = 512;
/// A Lab distance below this is no change however clean the pictures are.
const MIN_DISTANCE: f32 = 9.0;
/// Where more than this differs everywhere, that is the change and not noise.
const MAX_NOISE_DISTANCE: f32 = 22.0;
/// How many times the typical distance a change has.
const NOISE_FACTOR: f32 = 4.5;
/// A region grows from its clear part to where the distance falls below this share of the limit.
const GROW_SHARE: f32 = 0.75;
/// Mean luma has to move this far before the light is said to have changed.
const LIGHTING_LEVELS: f32 = 14.0;

/// Everything that changed, with the numbers it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeReport {
    /// Width of the pictures given; boxes are in their pixels.
    pub width_px: u32,
    /// Height of the pictures given.
    pub height_px: u32,
    /// Largest first; a change of the light comes last.
    pub changes: Vec<Change>,
    /// Share of the frame that changed.
    pub changed_ratio: f32,
    /// Share of the changed area in its largest region; 0 when nothing changed.
    pub largest_region_ratio: f32,
    /// Contrast after over before, on what did not change.
    pub lighting_gain: f32,
    /// Luma levels added after the gain, on what did not change.
    pub lighting_offset: f32,
    /// Lab distance of a typical pixel that did not change.
    pub noise_level: f32,
    /// Camera shift that was undone, as a share of the diagonal; 0 for a still camera.
    pub camera_shift_ratio: f32,
    /// Separate regions that changed, before two of them became one move.
    pub region_count: u32,
}

/// The two frames brought together: one size, one place, one light.
struct Aligned {
    width: usize,
    height: usize,
    from: Rgb8,
    to: Rgb8,
    from_lab: Vec<[f32; 3]>,
    to_lab: Vec<[f32; 3]>,
    /// Whether the later frame shows this pixel at all.
    is_seen: Vec<bool>,
    gain: f32,
    offset: f32,
    luma_shift: f32,
}

/// Measures what changed between two pictures of one size.
///
/// # Errors
/// When the sizes differ or OpenCV refuses.
pub fn measure_changes(from: &Rgb8, to: &Rgb8) -> Result<ChangeReport, ItemError> {
    same_size(from, to)?;
    let (a, b) = (shrink(from, WORKING_SIDE_PX)?, shrink(to, WORKING_SIDE_PX)?);
    let motion = camera_motion(&a, &b)?;
    let [_, _, camera_shift_ratio] = parts_of(&motion, a.width(), a.height());
    let aligned = align(a, &b, &motion)?;
    let distance: Vec<f32> = (0..aligned.from_lab.len())
        .map(|n| {
            let shown = f32::from(u8::from(aligned.is_seen[n]));
            shown * lab_distance(aligned.from_lab[n], aligned.to_lab[n])
        })
        .collect();
    let noise_level = typical(&distance, &aligned.is_seen);
    let limit = (NOISE_FACTOR * noise_level).clamp(MIN_DISTANCE, MAX_NOISE_DISTANCE);
    let regions = regions::find(&distance, aligned.width, limit, limit * GROW_SHARE)?;
    let regions = regions::join_near(regions, aligned.width, aligned.height);
    let area: usize = regions.iter().map(|region| region.pixels.len()).sum();
    let largest = regions.iter().map(|region| region.pixels.len()).max();
    let (region_count, frame_area) = (regions.len() as u32, distance.len() as f32);
    let mut changes = classify::name_regions(&aligned, regions)?;
    scale_boxes(&mut changes, from, &aligned);
    changes.extend(lighting_change(&aligned));
    Ok(ChangeReport {
        width_px: from.width(),
        height_px: from.height(),
        changes,
        changed_ratio: area as f32 / frame_area,
        largest_region_ratio: largest.unwrap_or(0) as f32 / area.max(1) as f32,
        lighting_gain: aligned.gain,
        lighting_offset: aligned.offset,
        noise_level,
        camera_shift_ratio,
        region_count,
    })
}

fn align(from: Rgb8, to: &Rgb8, motion: &CameraMotion) -> Result<Aligned, ItemError> {
    let (to, is_seen) = undo_motion(to, motion)?;
    let seen: Vec<usize> = (0..is_seen.len())
        .filter(|n| is_seen[*n])
        .step_by(3)
        .collect();
    let luma = |image: &Rgb8| -> Vec<f32> {
        let plane = image.luma();
        seen.iter().map(|n| f32::from(plane[*n])).collect()
    };
    let (before, after) = (luma(&from), luma(&to));
    let (gain, offset) = fit_lighting(&before, &after);
    let mean = before.iter().sum::<f32>() / before.len().max(1) as f32;
    let lit = light_channels(&from, &to, &seen);
    Ok(Aligned {
        width: from.width() as usize,
        height: from.height() as usize,
        from_lab: blurred_lab(&lit, 1.3)?,
        to_lab: blurred_lab(&to, 1.3)?,
        from,
        to,
        is_seen,
        gain,
        offset,
        luma_shift: gain * mean + offset - mean,
    })
}

/// The later picture as the earlier camera would have seen it, and where it was seen.
fn undo_motion(to: &Rgb8, motion: &CameraMotion) -> Result<(Rgb8, Vec<bool>), ItemError> {
    let count = (to.width() * to.height()) as usize;
    if motion.method == MotionMethod::Still {
        return Ok((to.clone(), vec![true; count]));
    }
    let matrix = matrix_mat(&motion.matrix)?;
    let size = Size::new(to.width() as i32, to.height() as i32);
    let flags = imgproc::INTER_LINEAR | imgproc::WARP_INVERSE_MAP;
    let outside = opencv::core::BORDER_CONSTANT;
    let (mut picture, mut cover) = (Mat::default(), Mat::default());
    imgproc::warp_perspective(
        &rgb_mat(to)?,
        &mut picture,
        &matrix,
        size,
        flags,
        outside,
        Scalar::all(0.0),
    )
    .map_err(failed("aligning frames"))?;
    let full = vec![255_u8; count];
    imgproc::warp_perspective(
        &plane_mat(to.width(), &full)?,
        &mut cover,
        &matrix,
        size,
        flags,
        outside,
        Scalar::all(0.0),
    )
    .map_err(failed("aligning frames"))?;
    let mut inner = Mat::default();
    let kernel = imgproc::get_structuring_element_def(imgproc::MORPH_RECT, Size::new(9, 9))
        .map_err(failed("making a kernel"))?;
    imgproc::morphology_ex(
        &cover,
        &mut inner,
        imgproc::MORPH_ERODE,
        &kernel,
        opencv::core::Point::new(-1, -1),
        1,
        outside,
        Scalar::all(255.0),
    )
    .map_err(failed("shrinking the overlap"))?;
    let is_seen = to_vec::<u8>(&inner)?.iter().map(|v| *v == 255).collect();
    Ok((to_rgb(&picture)?, is_seen))
}

/// The earlier picture under the light of the later one, channel by channel.
fn light_channels(from: &Rgb8, to: &Rgb8, seen: &[usize]) -> Rgb8 {
    let fits: [(f32, f32); 3] = std::array::from_fn(|channel| {
        let plane = |image: &Rgb8| -> Vec<f32> {
            let at = |n: &usize| f32::from(image.data()[n * 3 + channel]);
            seen.iter().map(at).collect()
        };
        fit_lighting(&plane(from), &plane(to))
    });
    Rgb8::from_fn(from.width(), from.height(), |x, y| {
        let pixel = from.pixel(x, y);
        std::array::from_fn(|n| {
            let (gain, offset) = fits[n];
            (f32::from(pixel[n]) * gain + offset)
                .round()
                .clamp(0.0, 255.0) as u8
        })
    })
}

/// The median distance of the pixels that are seen.
fn typical(distance: &[f32], is_seen: &[bool]) -> f32 {
    let mut values: Vec<f32> = distance
        .iter()
        .zip(is_seen)
        .filter_map(|(value, seen)| seen.then_some(*value))
        .collect();
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

fn lighting_change(aligned: &Aligned) -> Option<Change> {
    (aligned.luma_shift.abs() >= LIGHTING_LEVELS).then(|| Change {
        kind: "lighting".to_owned(),
        from_box_px: None,
        to_box_px: None,
        numbers: [
            ("gain", aligned.gain),
            ("offset_levels", aligned.offset),
            ("luma_shift_levels", aligned.luma_shift),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    })
}

fn scale_boxes(changes: &mut [Change], picture: &Rgb8, aligned: &Aligned) {
    let x = picture.width() as f32 / aligned.width as f32;
    let y = picture.height() as f32 / aligned.height as f32;
    for change in changes {
        for place in [&mut change.from_box_px, &mut change.to_box_px] {
            *place = place.map(|found| found.scale(x, y));
        }
    }
}

#[cfg(test)]
mod tests;
