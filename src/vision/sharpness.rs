//! How sharp a picture is.

use opencv::core::{CV_32F, Mat};
use opencv::imgproc;

use super::mat::{failed, plane_mat, shrink, to_vec};
use crate::core::{ItemError, Rgb8};

/// One size for all, since detail per pixel grows as a picture shrinks.
const MEASURED_SIDE_PX: u32 = 256;

/// Variance of the Laplacian of the luma at a longer side of at most 256 px, in squared luma levels.
///
/// Below about 20 a picture looks blurred or empty; a textured sharp one has several hundred.
///
/// # Errors
/// When OpenCV refuses the picture.
pub fn sharpness(image: &Rgb8) -> Result<f32, ItemError> {
    let small = shrink(image, MEASURED_SIDE_PX)?;
    let luma = small.luma();
    let mut edges = Mat::default();
    imgproc::laplacian_def(&plane_mat(small.width(), &luma)?, &mut edges, CV_32F)
        .map_err(failed("measuring sharpness"))?;
    let values = to_vec::<f32>(&edges)?;
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values
        .iter()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / count;
    Ok(variance as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_sharper_than_a_ramp() {
        let step = Rgb8::from_fn(
            200,
            100,
            |x, _| if x / 10 % 2 == 0 { [40; 3] } else { [200; 3] },
        );
        let ramp = Rgb8::from_fn(200, 100, |x, _| [x as u8; 3]);
        let (sharp, soft) = (sharpness(&step).unwrap(), sharpness(&ramp).unwrap());
        assert!(sharp > 500.0 && soft < 20.0, "{sharp} {soft}");
    }
}
