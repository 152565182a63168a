//! Connected regions of clear change.

use opencv::core::{Mat, Point, Scalar, Size};
use opencv::imgproc;

use super::super::mat::{failed, plane_mat, to_vec};
use crate::core::{BoxPx, ItemError};

/// Regions smaller than this share of the frame are specks.
const MIN_AREA_RATIO: f32 = 0.0008;
/// Gaps up to this share of the frame's longer side are closed: a shirt like the wall behind it.
const CLOSE_RATIO: f32 = 0.02;

/// One connected region of changed pixels.
pub(super) struct Region {
    /// Indices of its pixels, row by row.
    pub(super) pixels: Vec<usize>,
    pub(super) place: BoxPx,
}

/// Regions where the distance exceeds `grow_limit` and somewhere `limit`; largest first.
pub(super) fn find(
    distance: &[f32],
    width: usize,
    limit: f32,
    grow_limit: f32,
) -> Result<Vec<Region>, ItemError> {
    let grown: Vec<u8> = distance
        .iter()
        .map(|value| if *value > grow_limit { 255 } else { 0 })
        .collect();
    let close = ((width.max(distance.len() / width.max(1))) as f32 * CLOSE_RATIO) as i32 | 1;
    let opened = morphology(&plane_mat(width as u32, &grown)?, imgproc::MORPH_OPEN, 3)?;
    let closed = morphology(&opened, imgproc::MORPH_CLOSE, close.max(3))?;
    let mut labels = Mat::default();
    imgproc::connected_components(&closed, &mut labels, 8, opencv::core::CV_32S)
        .map_err(failed("finding regions"))?;
    let labels = to_vec::<i32>(&labels)?;
    let count = labels.iter().max().map_or(0, |last| *last as usize);
    let mut pixels = vec![Vec::new(); count + 1];
    let mut clear = vec![0_usize; count + 1];
    for (n, label) in labels.iter().enumerate() {
        pixels[*label as usize].push(n);
        clear[*label as usize] += usize::from(distance[n] > limit);
    }
    let min_area = (distance.len() as f32 * MIN_AREA_RATIO).max(9.0) as usize;
    let mut regions: Vec<Region> = pixels
        .into_iter()
        .zip(clear)
        .skip(1)
        .filter(|(pixels, clear)| pixels.len() >= min_area && *clear * 8 >= pixels.len())
        .map(|(pixels, _)| Region {
            place: bounds(&pixels, width),
            pixels,
        })
        .collect();
    regions.sort_by_key(|region| {
        (
            std::cmp::Reverse(region.pixels.len()),
            region.pixels.first().copied(),
        )
    });
    Ok(regions)
}

fn morphology(
    mask: &impl opencv::core::ToInputArray,
    kind: i32,
    side: i32,
) -> Result<Mat, ItemError> {
    let kernel =
        imgproc::get_structuring_element_def(imgproc::MORPH_ELLIPSE, Size::new(side, side))
            .map_err(failed("making a kernel"))?;
    let mut out = Mat::default();
    imgproc::morphology_ex(
        mask,
        &mut out,
        kind,
        &kernel,
        Point::new(-1, -1),
        1,
        opencv::core::BORDER_CONSTANT,
        imgproc::morphology_default_border_value().unwrap_or(Scalar::all(f64::MAX)),
    )
    .map_err(failed("cleaning regions"))?;
    Ok(out)
}

/// The box around pixels given by index.
pub(super) fn bounds(pixels: &[usize], width: usize) -> BoxPx {
    let [mut x0, mut y0, mut x1, mut y1] = [usize::MAX, usize::MAX, 0, 0];
    for n in pixels {
        let (x, y) = (n % width, n / width);
        (x0, y0) = (x0.min(x), y0.min(y));
        (x1, y1) = (x1.max(x + 1), y1.max(y + 1));
    }
    if pixels.is_empty() {
        return BoxPx::default();
    }
    BoxPx {
        x0: x0 as f32,
        y0: y0 as f32,
        x1: x1 as f32,
        y1: y1 as f32,
    }
}
