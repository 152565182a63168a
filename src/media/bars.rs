//! Black bars: rows and columns that are black in every frame that is not dark itself.

use ffmpeg_next::frame;

use super::decode::FrameStream;
use super::libav::{Area, chroma_steps};
use super::render::luma_of;
use crate::core::ItemError;

/// Key frames looked at, spread over the file.
const KEY_FRAMES: u32 = 8;
/// Frames from the start that stand in for key frames of a file with too few.
const FIRST_FRAMES: u32 = 60;
/// Every so many of them is looked at.
const FIRST_FRAMES_STEP: u32 = 6;
/// Fewer different frames prove nothing.
const MIN_FRAMES: u32 = 3;
/// Highest mean luma of a black row or column.
const BLACK_MEAN: f64 = 24.0;
/// Highest standard deviation of luma in a black row or column.
const BLACK_DEVIATION: f64 = 6.0;
/// A frame counts when this share of its pixels is brighter than [`BRIGHT`].
const BRIGHT_RATIO: f64 = 0.05;
const BRIGHT: u8 = 60;
/// Frames whose mean luma difference is below this are one picture.
const SAME_DIFFERENCE: f64 = 0.5;
/// Narrower bars stay, as a share of the side.
const MIN_BAR_RATIO: f64 = 0.01;
/// Two bars together take at most this share of the side.
const MAX_BARS_RATIO: f64 = 0.45;
/// Opposite bars differ by at most this share of the side.
const MAX_SKEW_RATIO: f64 = 0.02;

/// The part of the coded picture inside its black bars; all of it where there are none.
pub(super) fn find(
    mut stream: FrameStream,
    first: &frame::Video,
    duration_secs: f64,
) -> Result<Area, ItemError> {
    let mut search = Search::new(first);
    search.look(first)?;
    let key_frames_end = look_at_key_frames(&mut stream, &mut search, duration_secs);
    key_frames_end.or_else(only_fatal)?;
    if !search.is_settled() && search.frames < MIN_FRAMES {
        look_at_first_frames(&mut stream, &mut search).or_else(only_fatal)?;
    }
    Ok(search.area())
}

/// A damaged file may fail to seek; then what was seen so far decides.
fn only_fatal(error: ItemError) -> Result<(), ItemError> {
    if error.kind.is_retryable() {
        Err(error)
    } else {
        Ok(())
    }
}

fn look_at_key_frames(
    stream: &mut FrameStream,
    search: &mut Search,
    duration_secs: f64,
) -> Result<(), ItemError> {
    if search.is_settled() || duration_secs <= 0.0 {
        return Ok(());
    }
    let base = stream.source.time_base;
    let start = stream
        .source
        .input
        .stream(stream.source.stream_index)
        .map_or(0, |stream| stream.start_time());
    let start = if start == i64::MIN { 0 } else { start };
    let mut frame = frame::Video::empty();
    stream.source.key_frames_only(true);
    let mut last = None;
    for number in 1..KEY_FRAMES {
        let secs = duration_secs * f64::from(number) / f64::from(KEY_FRAMES);
        stream.seek(start.saturating_add(base.ticks(secs)))?;
        let Some(stamp) = stream.next_frame(&mut frame)? else {
            continue;
        };
        if last.replace(stamp.pts) != Some(stamp.pts) {
            search.look(&frame)?;
        }
        if search.is_settled() {
            break;
        }
    }
    stream.source.key_frames_only(false);
    Ok(())
}

fn look_at_first_frames(stream: &mut FrameStream, search: &mut Search) -> Result<(), ItemError> {
    stream.source.key_frames_only(false);
    let start = stream
        .source
        .input
        .stream(stream.source.stream_index)
        .map_or(0, |stream| stream.start_time());
    stream.seek(if start == i64::MIN { 0 } else { start })?;
    let mut frame = frame::Video::empty();
    for number in 0..FIRST_FRAMES {
        if stream.next_frame(&mut frame)?.is_none() || search.is_settled() {
            break;
        }
        if number % FIRST_FRAMES_STEP == 0 {
            search.look(&frame)?;
        }
    }
    Ok(())
}

/// Bars common to all frames looked at so far.
struct Search {
    width: usize,
    height: usize,
    steps: (u32, u32),
    /// Top, bottom, left, right in pixels.
    bars: [usize; 4],
    frames: u32,
    last: Vec<u8>,
}

impl Search {
    fn new(first: &frame::Video) -> Self {
        let (step_x, step_y) = chroma_steps(first.format());
        let (width, height) = (first.width() as usize, first.height() as usize);
        Self {
            width,
            height,
            steps: (step_x.max(2), step_y.max(2)),
            bars: [height, height, width, width],
            frames: 0,
            last: Vec::new(),
        }
    }

    fn look(&mut self, frame: &frame::Video) -> Result<(), ItemError> {
        if (frame.width() as usize, frame.height() as usize) == (self.width, self.height) {
            self.add(luma_of(frame)?);
        }
        Ok(())
    }

    fn add(&mut self, luma: Vec<u8>) {
        let bright = luma.iter().filter(|value| **value > BRIGHT).count();
        if (bright as f64) < BRIGHT_RATIO * luma.len() as f64 || self.is_same(&luma) {
            return;
        }
        let (width, height) = (self.width, self.height);
        let row = |y: usize| is_black(luma[y * width..(y + 1) * width].iter());
        let column = |x: usize| is_black(luma[x..].iter().step_by(width));
        let seen = [
            (0..height).take_while(|y| row(*y)).count(),
            (0..height).rev().take_while(|y| row(*y)).count(),
            (0..width).take_while(|x| column(*x)).count(),
            (0..width).rev().take_while(|x| column(*x)).count(),
        ];
        for (bar, seen) in self.bars.iter_mut().zip(seen) {
            *bar = (*bar).min(seen);
        }
        self.frames += 1;
        self.last = luma;
    }

    fn is_same(&self, luma: &[u8]) -> bool {
        if self.last.len() != luma.len() {
            return false;
        }
        let pairs = self.last.iter().zip(luma);
        let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        (sum as f64) < SAME_DIFFERENCE * luma.len() as f64
    }

    /// Whether no further frame can bring a bar back.
    fn is_settled(&self) -> bool {
        self.frames > 0
            && trim(self.bars[0], self.bars[1], self.height, 1).is_none()
            && trim(self.bars[2], self.bars[3], self.width, 1).is_none()
            && self.bars[0].min(self.bars[1]) < bar_min(self.height)
            && self.bars[2].min(self.bars[3]) < bar_min(self.width)
    }

    fn area(&self) -> Area {
        let whole = (self.frames < MIN_FRAMES).then_some((0, 0));
        let side = |at: usize, length: usize, step: u32| {
            whole
                .or_else(|| trim(self.bars[at], self.bars[at + 1], length, step as usize))
                .unwrap_or((0, 0))
        };
        let (top, bottom) = side(0, self.height, self.steps.1);
        let (left, right) = side(2, self.width, self.steps.0);
        Area {
            x: left as u32,
            y: top as u32,
            width: (self.width - left - right) as u32,
            height: (self.height - top - bottom) as u32,
        }
    }
}

fn bar_min(length: usize) -> usize {
    ((length as f64 * MIN_BAR_RATIO).ceil() as usize).max(2)
}

/// What to cut on both sides, or none where the two are no pair of bars. Both are rounded up, so
/// that no black line stays, and the part that is kept has an even length.
fn trim(near: usize, far: usize, length: usize, step: usize) -> Option<(usize, usize)> {
    let is_pair = near.min(far) >= bar_min(length)
        && near.abs_diff(far) as f64 <= (MAX_SKEW_RATIO * length as f64).max(2.0)
        && (near + far) as f64 <= MAX_BARS_RATIO * length as f64;
    if !is_pair {
        return None;
    }
    let near = near.next_multiple_of(step);
    let kept = length.saturating_sub(near + far) / step * step;
    (kept >= 16).then_some((near, length - near - kept))
}

fn is_black<'a>(values: impl Iterator<Item = &'a u8>) -> bool {
    let (mut count, mut sum, mut squares) = (0_u64, 0_u64, 0_u64);
    for value in values {
        let value = u64::from(*value);
        count += 1;
        sum += value;
        squares += value * value;
    }
    let count = count.max(1) as f64;
    let mean = sum as f64 / count;
    let variance = squares as f64 / count - mean * mean;
    mean <= BLACK_MEAN && variance <= BLACK_DEVIATION * BLACK_DEVIATION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(width: usize, height: usize) -> Search {
        Search {
            width,
            height,
            steps: (2, 2),
            bars: [height, height, width, width],
            frames: 0,
            last: Vec::new(),
        }
    }

    fn picture(width: usize, height: usize, top: usize, bottom: usize, seed: usize) -> Vec<u8> {
        (0..width * height)
            .map(|at| {
                let (x, y) = (at % width, at / width);
                if y < top || y >= height - bottom {
                    2
                } else {
                    80 + ((x * 7 + y * 13 + seed * 40) % 120) as u8
                }
            })
            .collect()
    }

    #[test]
    fn bars_of_a_few_frames_are_cut_to_even_pixels() {
        let mut search = search(100, 100);
        for seed in 0..3 {
            search.add(picture(100, 100, 11, 12, seed));
        }
        assert_eq!((search.area().y, search.area().height), (12, 76));
        assert_eq!((search.area().x, search.area().width), (0, 100));
    }

    #[test]
    fn still_dark_or_one_sided_frames_are_left_alone() {
        let whole = Area {
            x: 0,
            y: 0,
            width: 100,
            height: 100,
        };
        let mut still = search(100, 100);
        let mut dark = search(100, 100);
        let mut one_sided = search(100, 100);
        for seed in 0..5 {
            still.add(picture(100, 100, 12, 12, 1));
            dark.add(vec![3; 10_000]);
            one_sided.add(picture(100, 100, 20, 2, seed));
        }
        assert_eq!(still.area(), whole);
        assert_eq!(dark.area(), whole);
        assert_eq!(one_sided.area(), whole);
    }

    #[test]
    fn one_full_frame_proves_that_there_are_no_bars() {
        let mut search = search(100, 100);
        search.add(picture(100, 100, 0, 0, 0));
        assert!(search.is_settled());
    }
}
