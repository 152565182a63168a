//! Bridges between `core` pictures and OpenCV's `Mat`, without copies where OpenCV allows it.

use std::sync::Once;

use opencv::core::{Mat, MatTraitConst, MatTraitConstManual, Size, Vec3b};
use opencv::{boxed_ref::BoxedRef, imgproc};

use crate::core::{ErrorKind, ItemError, Rgb8, SizeRule};

static ONE_THREAD: Once = Once::new();

/// Turns an OpenCV exception into an error that says what was being done.
pub(super) fn failed(what: &'static str) -> impl Fn(opencv::Error) -> ItemError {
    move |error| {
        let message = error.message.lines().next().unwrap_or_default().to_owned();
        ItemError::new(
            ErrorKind::Bug,
            format!("{what}: opencv code {}: {message}", error.code),
        )
    }
}

/// A mistake of the caller that OpenCV would only report as an assertion.
pub(super) fn same_size(from: &Rgb8, to: &Rgb8) -> Result<(), ItemError> {
    if (from.width(), from.height()) == (to.width(), to.height()) {
        return Ok(());
    }
    Err(ItemError::new(
        ErrorKind::Bug,
        format!(
            "pictures of {}x{} and {}x{} cannot be compared, scale them to one size",
            from.width(),
            from.height(),
            to.width(),
            to.height()
        ),
    ))
}

fn use_one_thread() {
    ONE_THREAD.call_once(|| {
        // Only fails when OpenCV was built without threads, which is what we want.
        let _ = opencv::core::set_num_threads(1);
    });
}

/// The picture's own bytes as an RGB `Mat`.
pub(super) fn rgb_mat(image: &Rgb8) -> Result<BoxedRef<'_, Mat>, ItemError> {
    use_one_thread();
    Mat::new_rows_cols_with_bytes::<Vec3b>(
        image.height() as i32,
        image.width() as i32,
        image.data(),
    )
    .map_err(failed("wrapping a picture"))
}

/// A plane of the given width as a single-channel `Mat` over the same memory.
pub(super) fn plane_mat<T: opencv::core::DataType>(
    width: u32,
    plane: &[T],
) -> Result<BoxedRef<'_, Mat>, ItemError> {
    use_one_thread();
    let rows = plane.len() / width.max(1) as usize;
    Mat::new_rows_cols_with_data(rows as i32, width as i32, plane)
        .map_err(failed("wrapping a plane"))
}

/// The elements of a continuous `Mat` as a vector.
pub(super) fn to_vec<T: opencv::core::DataType>(mat: &Mat) -> Result<Vec<T>, ItemError> {
    if mat.is_continuous() {
        let data = mat.data_typed::<T>().map_err(failed("reading a matrix"))?;
        return Ok(data.to_vec());
    }
    let whole = mat.try_clone().map_err(failed("copying a matrix"))?;
    let data = whole.data_typed::<T>();
    Ok(data.map_err(failed("reading a matrix"))?.to_vec())
}

/// An RGB `Mat` of bytes as a picture.
pub(super) fn to_rgb(mat: &Mat) -> Result<Rgb8, ItemError> {
    let pixels = to_vec::<Vec3b>(mat)?;
    let data = pixels.iter().flat_map(|pixel| pixel.0).collect();
    Rgb8::new(mat.cols() as u32, mat.rows() as u32, data)
}

/// The picture with its longer side at most `max_side_px`, area-averaged; a cheap clone if it fits.
pub(super) fn shrink(image: &Rgb8, max_side_px: u32) -> Result<Rgb8, ItemError> {
    let (width, height) = SizeRule::MaxSide(max_side_px).apply(image.width(), image.height());
    resize(image, width, height)
}

/// The picture at exactly that size, area-averaged; a cheap clone if it has it.
pub(super) fn resize(image: &Rgb8, width: u32, height: u32) -> Result<Rgb8, ItemError> {
    if (width, height) == (image.width(), image.height()) {
        return Ok(image.clone());
    }
    let mut small = Mat::default();
    let size = Size::new(width as i32, height as i32);
    imgproc::resize(
        &rgb_mat(image)?,
        &mut small,
        size,
        0.0,
        0.0,
        imgproc::INTER_AREA,
    )
    .map_err(failed("scaling a picture"))?;
    to_rgb(&small)
}

/// CIE Lab of a picture as floats (L 0–100), blurred with a Gaussian of `sigma_px`; 3 per pixel.
pub(super) fn blurred_lab(image: &Rgb8, sigma_px: f64) -> Result<Vec<[f32; 3]>, ItemError> {
    let mut unit = Mat::default();
    rgb_mat(image)?
        .convert_to(&mut unit, opencv::core::CV_32FC3, 1.0 / 255.0, 0.0)
        .map_err(failed("widening a picture"))?;
    let mut blurred = Mat::default();
    imgproc::gaussian_blur_def(&unit, &mut blurred, Size::new(0, 0), sigma_px)
        .map_err(failed("blurring a picture"))?;
    let mut lab = Mat::default();
    imgproc::cvt_color_def(&blurred, &mut lab, imgproc::COLOR_RGB2Lab)
        .map_err(failed("converting to lab"))?;
    let pixels = to_vec::<opencv::core::Vec3f>(&lab)?;
    Ok(pixels.iter().map(|pixel| pixel.0).collect())
}
