//! The numbers a change rests on, by name with unit.

use std::collections::BTreeMap;

use super::super::heat_map::lab_distance;
use super::Aligned;
use super::regions::Region;

/// Records one number.
pub(super) fn put(numbers: &mut BTreeMap<String, f32>, name: &str, value: f32) {
    numbers.insert(name.to_owned(), value);
}

/// Share of the frame that so many pixels are.
pub(super) fn put_area(numbers: &mut BTreeMap<String, f32>, aligned: &Aligned, pixels: usize) {
    let frame = (aligned.width * aligned.height) as f32;
    put(numbers, "area_ratio", pixels as f32 / frame);
}

/// Mean colour in Lab, and how far the pixels stray from it: a high spread means many colours.
pub(super) fn put_color(
    numbers: &mut BTreeMap<String, f32>,
    side: &str,
    mean: [f32; 3],
    region: &Region,
    lab: &[[f32; 3]],
) {
    let strays: f32 = region
        .pixels
        .iter()
        .map(|n| lab_distance(lab[*n], mean))
        .sum();
    let spread = strays / region.pixels.len().max(1) as f32;
    put_mean_color(numbers, side, mean, spread);
}

/// Mean colour in Lab and the mean distance from it.
pub(super) fn put_mean_color(
    numbers: &mut BTreeMap<String, f32>,
    side: &str,
    mean: [f32; 3],
    spread: f32,
) {
    for (axis, value) in ["l", "a", "b"].iter().zip(mean) {
        put(numbers, &format!("{side}_{axis}"), value);
    }
    put(numbers, &format!("{side}_color_spread"), spread);
}

/// Length as a share of the diagonal; direction counter-clockwise from the right, as in maths.
pub(super) fn put_shift(numbers: &mut BTreeMap<String, f32>, aligned: &Aligned, dx: f32, dy: f32) {
    let diagonal = (aligned.width as f32).hypot(aligned.height as f32);
    put(numbers, "shift_ratio", dx.hypot(dy) / diagonal);
    let degrees = (-dy).atan2(dx).to_degrees().rem_euclid(360.0);
    // Minus zero is no direction of its own.
    put(numbers, "direction_degrees", degrees + 0.0);
}
