//! A picture of what differs between two pictures, for people.

use super::mat::{blurred_lab, resize, same_size, shrink};
use crate::core::{ItemError, Rgb8};

/// A Lab distance that is shown at full strength.
const FULL_STRENGTH: f32 = 45.0;
/// Differences below this are noise to the eye.
const INVISIBLE: f32 = 5.0;
/// Dark violet over orange to pale yellow: rising lightness, readable by the colour-blind.
const COLORS: [[f32; 3]; 5] = [
    [60.0, 15.0, 110.0],
    [150.0, 40.0, 120.0],
    [220.0, 80.0, 70.0],
    [250.0, 160.0, 40.0],
    [252.0, 250.0, 165.0],
];

/// Colour distance of two pictures of one size over a dimmed grey copy of `to`, at most
/// `max_side_px` on the longer side.
///
/// # Errors
/// When the shapes differ or OpenCV refuses.
pub fn heat_map(from: &Rgb8, to: &Rgb8, max_side_px: u32) -> Result<Rgb8, ItemError> {
    same_size(from, to)?;
    let from = shrink(from, max_side_px)?;
    let to = resize(to, from.width(), from.height())?;
    let (a, b) = (blurred_lab(&from, 1.0)?, blurred_lab(&to, 1.0)?);
    let luma = to.luma();
    let width = to.width() as usize;
    Ok(Rgb8::from_fn(to.width(), to.height(), |x, y| {
        let at = y as usize * width + x as usize;
        let distance = lab_distance(a[at], b[at]);
        let heat = ((distance - INVISIBLE) / (FULL_STRENGTH - INVISIBLE)).clamp(0.0, 1.0);
        let grey = f32::from(luma[at]) * 0.4 + 12.0;
        let opacity = (heat * 6.0).min(1.0) * 0.9;
        color(heat).map(|value| (value * opacity + grey * (1.0 - opacity)).round() as u8)
    }))
}

fn color(heat: f32) -> [f32; 3] {
    let at = heat * (COLORS.len() - 1) as f32;
    let low = (at as usize).min(COLORS.len() - 2);
    let share = at - low as f32;
    std::array::from_fn(|n| COLORS[low][n] * (1.0 - share) + COLORS[low + 1][n] * share)
}

/// Euclidean distance in CIE Lab: about 2.3 is just noticeable.
pub(super) fn lab_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_changed_part_glows() {
        let from = Rgb8::from_fn(200, 100, |_, _| [90; 3]);
        let to = Rgb8::from_fn(
            200,
            100,
            |x, _| if x > 150 { [200, 40, 40] } else { [90; 3] },
        );
        let map = heat_map(&from, &to, 100).unwrap();
        assert_eq!((map.width(), map.height()), (100, 50));
        let [r, g, b] = map.pixel(10, 25);
        assert!(r == g && g == b, "unchanged parts stay grey");
        let [r, _, b] = map.pixel(90, 25);
        assert!(r > 200 && b < 190);
    }
}
