//! Connected regions of clear change.

use opencv::core::{Mat, Point, Scalar, Size};
use opencv::imgproc;

use super::super::mat::{failed, plane_mat, to_vec};
use crate::core::{BoxPx, ItemError};

/// Regions smaller than this share of the frame are specks.
const MIN_AREA_RATIO: f32 = 0.0008;
/// Gaps up to this share of the frame's longer side are closed: a shirt like the wall behind it.
const CLOSE_RATIO: f32 = 0.013;

/// The core of a region changed at least this share of what its strongest tenth changed.
const CORE_SHARE: f32 = 0.3;

/// Regions whose boxes come this near, as a share of the frame's longer side, are one change.
const JOIN_RATIO: f32 = 0.04;
/// And this near as a share of the larger one's size: small things are separate sooner.
const JOIN_OWN_RATIO: f32 = 0.35;

/// One connected region of changed pixels, or several that lie close together.
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
    let min_area = (distance.len() as f32 * MIN_AREA_RATIO).max(9.0) as usize;
    let mut found = Vec::new();
    for pixels in components(&closed)? {
        let clear = pixels.iter().filter(|n| distance[**n] > limit).count();
        if pixels.len() >= min_area && clear * 8 >= pixels.len() {
            found.extend(cores(distance, width, pixels, close.max(3))?);
        }
    }
    let mut regions: Vec<Region> = found
        .into_iter()
        .filter(|pixels| pixels.len() >= min_area)
        .map(|pixels| Region {
            place: bounds(&pixels, width),
            pixels,
        })
        .collect();
    regions.sort_by_key(|region| {
        let first = region.pixels.first().copied();
        (std::cmp::Reverse(region.pixels.len()), first)
    });
    Ok(regions)
}

/// Joins regions that lie close together: the parts of one object, or an object and where it was.
/// Largest first.
pub(super) fn join_near(regions: Vec<Region>, width: usize, height: usize) -> Vec<Region> {
    let margin = width.max(height) as f32 * JOIN_RATIO;
    let mut joined: Vec<Region> = Vec::new();
    for mut region in regions {
        // A region that grew by one neighbour may now touch another one.
        let is_near = |other: &Region, region: &Region| {
            let size = (other.pixels.len().max(region.pixels.len()) as f32).sqrt();
            gap(&other.place, &region.place) <= margin.min(JOIN_OWN_RATIO * size)
        };
        while let Some(at) = joined.iter().position(|other| is_near(other, &region)) {
            region = join(joined.remove(at), region, width);
        }
        joined.push(region);
    }
    joined.sort_by_key(|region| {
        let first = region.pixels.first().copied();
        (std::cmp::Reverse(region.pixels.len()), first)
    });
    joined
}

/// One region of the pixels of two.
pub(super) fn join(a: Region, b: Region, width: usize) -> Region {
    let mut pixels = a.pixels;
    pixels.extend(b.pixels);
    pixels.sort_unstable();
    Region {
        place: bounds(&pixels, width),
        pixels,
    }
}

/// Pixels between two boxes along the axis on which they are further apart; 0 when they overlap.
pub(super) fn gap(a: &BoxPx, b: &BoxPx) -> f32 {
    let x = (a.x0 - b.x1).max(b.x0 - a.x1);
    let y = (a.y0 - b.y1).max(b.y0 - a.y1);
    x.max(y).max(0.0)
}

/// The parts of a region that changed about as much as its strongest pixels: shadows and glow
/// around objects belong to none and would join neighbours.
fn cores(
    distance: &[f32],
    width: usize,
    pixels: Vec<usize>,
    close: i32,
) -> Result<Vec<Vec<usize>>, ItemError> {
    let mut strengths: Vec<f32> = pixels.iter().map(|n| distance[*n]).collect();
    let strong = strengths.len() * 9 / 10;
    let strong = *strengths.select_nth_unstable_by(strong, f32::total_cmp).1;
    let mut mask = vec![0_u8; distance.len()];
    for n in &pixels {
        if distance[*n] >= CORE_SHARE * strong {
            mask[*n] = 255;
        }
    }
    // Flickering lines of the background are thin; opening cuts the bridges they build.
    let opened = morphology(&plane_mat(width as u32, &mask)?, imgproc::MORPH_OPEN, 5)?;
    let closed = morphology(&opened, imgproc::MORPH_CLOSE, close)?;
    let least = pixels.len() / 12;
    let parts: Vec<_> = components(&closed)?
        .into_iter()
        .filter(|part| part.len() >= least)
        .collect();
    Ok(if parts.is_empty() {
        vec![pixels]
    } else {
        parts
    })
}

/// Pixel indices of each 8-connected group.
fn components(mask: &Mat) -> Result<Vec<Vec<usize>>, ItemError> {
    let mut labels = Mat::default();
    imgproc::connected_components(mask, &mut labels, 8, opencv::core::CV_32S)
        .map_err(failed("finding regions"))?;
    let labels = to_vec::<i32>(&labels)?;
    let count = labels.iter().max().map_or(0, |last| *last as usize);
    let mut pixels = vec![Vec::new(); count];
    for (n, label) in labels.iter().enumerate() {
        if *label > 0 {
            pixels[*label as usize - 1].push(n);
        }
    }
    Ok(pixels)
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
