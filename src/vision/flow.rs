//! Dense optical flow, summed up.

use opencv::core::{Mat, Vec2f};
use opencv::prelude::*;
use opencv::video::{DISOpticalFlow, DISOpticalFlow_PRESET_FAST};

use super::mat::{failed, plane_mat, same_size, to_vec};
use crate::core::{ItemError, Rgb8};

/// Below this the flow's coarsest scale has no patch left.
const MIN_SIDE_PX: u32 = 16;

/// Lengths of the flow vectors of all pixels, in pixels of the pictures given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowStats {
    /// Mean length.
    pub mean_px: f32,
    /// Median length.
    pub median_px: f32,
    /// 95 % of the pixels move at most this far.
    pub p95_px: f32,
}

/// Motion from one picture to the next by DIS flow, fast preset. Sides below 16 px give zeros.
///
/// # Errors
/// When the sizes differ or OpenCV refuses.
pub fn dis_flow(from: &Rgb8, to: &Rgb8) -> Result<FlowStats, ItemError> {
    let mut lengths: Vec<f32> = flow_field(from, to)?
        .iter()
        .map(|[x, y]| x.hypot(*y))
        .collect();
    lengths.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| {
        let last = lengths.len().saturating_sub(1) as f64;
        lengths
            .get((last * share).round() as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let sum: f64 = lengths.iter().map(|length| f64::from(*length)).sum();
    Ok(FlowStats {
        mean_px: (sum / lengths.len().max(1) as f64) as f32,
        median_px: at(0.5),
        p95_px: at(0.95),
    })
}

/// The `[dx, dy]` of every pixel of `from`, row by row.
pub(super) fn flow_field(from: &Rgb8, to: &Rgb8) -> Result<Vec<[f32; 2]>, ItemError> {
    same_size(from, to)?;
    if from.width().min(from.height()) < MIN_SIDE_PX {
        return Ok(vec![[0.0; 2]; (from.width() * from.height()) as usize]);
    }
    let (a, b) = (from.luma(), to.luma());
    let mut dis =
        DISOpticalFlow::create(DISOpticalFlow_PRESET_FAST).map_err(failed("starting dis flow"))?;
    let mut flow = Mat::default();
    dis.calc(
        &plane_mat(from.width(), &a)?,
        &plane_mat(to.width(), &b)?,
        &mut flow,
    )
    .map_err(failed("measuring dis flow"))?;
    let vectors = to_vec::<Vec2f>(&flow)?;
    Ok(vectors.iter().map(|vector| vector.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texture(shift: u32) -> Rgb8 {
        Rgb8::from_fn(128, 96, |x, y| {
            let (x, y) = ((x + shift) as f32, y as f32);
            [(127.0 + 60.0 * (x * 0.2).sin() + 60.0 * (y * 0.17 + x * 0.05).cos()) as u8; 3]
        })
    }

    #[test]
    fn a_known_shift_is_measured() {
        let stats = dis_flow(&texture(0), &texture(3)).unwrap();
        assert!((stats.median_px - 3.0).abs() < 0.3, "{stats:?}");
        let still = dis_flow(&texture(0), &texture(0)).unwrap();
        assert!(still.p95_px < 0.05, "{still:?}");
    }

    #[test]
    fn tiny_and_unequal_pictures_do_not_crash() {
        let tiny = Rgb8::from_fn(3, 2, |_, _| [9; 3]);
        assert_eq!(dis_flow(&tiny, &tiny).unwrap(), FlowStats::default());
        assert!(dis_flow(&tiny, &texture(0)).is_err());
    }
}
