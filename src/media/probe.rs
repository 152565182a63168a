//! What a file is, from its headers, its first frame and its black bars.

use std::path::Path;

use ffmpeg_next::packet::side_data::Type as SideData;
use ffmpeg_next::{Rational, frame};

use super::bars;
use super::decode::FrameStream;
use super::libav::{self, Area};
use super::open::{OpenOptions, Source, check_size};
use crate::core::{BoxPx, ItemError, VideoInfo};

/// Sample aspect ratios beyond this factor are taken for mistakes.
const MAX_ASPECT: f64 = 8.0;

/// Reads a file's headers, decodes its first frame and, if asked to crop, looks for black bars.
///
/// # Errors
/// Missing without a file, a video stream or a frame; Unreadable, Corrupt or Unsupported with
/// libav's words; Timeout after the deadline.
pub fn probe(
    path: &Path,
    options: &OpenOptions,
    crop_black_bars: bool,
) -> Result<VideoInfo, ItemError> {
    let source = Source::open(path, None, options)?;
    let mut stream = FrameStream::new(source);
    let mut first = frame::Video::empty();
    let named = |error: ItemError| error.context(path.display());
    stream.next_frame(&mut first).map_err(named)?;
    check_size(first.width(), first.height()).map_err(named)?;
    let mut info = describe(&mut stream.source, &mut first);
    let crop = if crop_black_bars {
        bars::find(stream, &first, info.stated_duration_secs).map_err(named)?
    } else {
        Area {
            x: 0,
            y: 0,
            width: first.width(),
            height: first.height(),
        }
    };
    set_display(&mut info, crop);
    check_size(info.width, info.height).map_err(named)?;
    Ok(info)
}

fn describe(source: &mut Source, first: &mut frame::Video) -> VideoInfo {
    let container = source.input.format().name().to_owned();
    let whole_secs = source.input.duration() as f64 / f64::from(ffmpeg_next::ffi::AV_TIME_BASE);
    let guessed = libav::sample_aspect(&mut source.input, source.stream_index, first);
    let stream = source.input.stream(source.stream_index);
    let (mut fps, mut rotation_degrees, mut stream_secs) = (0.0, 0, 0.0);
    if let Some(stream) = &stream {
        fps = finite(f64::from(stream.avg_frame_rate()));
        stream_secs = source.time_base.secs_of(stream.duration().max(0));
        rotation_degrees = stream
            .side_data()
            .find(|data| data.kind() == SideData::DisplayMatrix)
            .map_or(0, |data| rotation_of(data.data()));
    }
    let codec = stream.map_or("", |stream| stream.parameters().id().name());
    VideoInfo {
        stream_index: source.stream_index as u32,
        container,
        codec: codec.to_owned(),
        pixel_format: first
            .format()
            .descriptor()
            .map_or_else(String::new, |descriptor| descriptor.name().to_owned()),
        coded_width: first.width(),
        coded_height: first.height(),
        crop_in_coded: BoxPx::default(),
        width: 0,
        height: 0,
        rotation_degrees,
        sample_aspect: sane_aspect(guessed),
        time_base: source.time_base,
        fps,
        stated_duration_secs: if stream_secs > 0.0 {
            stream_secs
        } else {
            finite(whole_secs)
        },
        is_interlaced: first.is_interlaced(),
    }
}

/// Fills in the crop and the display size that follows from it.
fn set_display(info: &mut VideoInfo, crop: Area) {
    info.crop_in_coded = BoxPx {
        x0: crop.x as f32,
        y0: crop.y as f32,
        x1: (crop.x + crop.width) as f32,
        y1: (crop.y + crop.height) as f32,
    };
    let (num, den) = info.sample_aspect;
    let aspect = f64::from(num) / f64::from(den);
    let stretched = |side: u32, by: f64| ((f64::from(side) * by).round() as u32).max(1);
    let (width, height) = if aspect > 1.0 {
        (stretched(crop.width, aspect), crop.height)
    } else {
        (crop.width, stretched(crop.height, 1.0 / aspect))
    };
    (info.width, info.height) = if info.rotation_degrees % 180 == 90 {
        (height, width)
    } else {
        (width, height)
    };
}

fn finite(number: f64) -> f64 {
    if number.is_finite() && number > 0.0 {
        number
    } else {
        0.0
    }
}

fn sane_aspect(aspect: Rational) -> (i32, i32) {
    let (num, den) = (aspect.numerator(), aspect.denominator());
    let ratio = f64::from(num) / f64::from(den);
    if num > 0 && den > 0 && (1.0 / MAX_ASPECT..=MAX_ASPECT).contains(&ratio) {
        (num, den)
    } else {
        (1, 1)
    }
}

/// Clockwise degrees, in quarter turns, that a display matrix asks for. Mirroring is ignored.
fn rotation_of(matrix: &[u8]) -> u16 {
    let cells: Vec<f64> = matrix
        .chunks_exact(4)
        .map(|cell| f64::from(i32::from_ne_bytes([cell[0], cell[1], cell[2], cell[3]])))
        .collect();
    if cells.len() < 9 {
        return 0;
    }
    let scale = [cells[0].hypot(cells[3]), cells[1].hypot(cells[4])];
    if scale.contains(&0.0) {
        return 0;
    }
    let degrees = (cells[1] / scale[1])
        .atan2(cells[0] / scale[0])
        .to_degrees();
    let quarters = (degrees / 90.0).round() as i32;
    quarters.rem_euclid(4) as u16 * 90
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<u8> {
        [a, b, 0, c, d, 0, 0, 0, 1 << 30]
            .iter()
            .flat_map(|cell| cell.to_ne_bytes())
            .collect()
    }

    #[test]
    fn quarter_turns_are_read_from_the_matrix() {
        let one = 1 << 16;
        assert_eq!(rotation_of(&matrix(one, 0, 0, one)), 0);
        assert_eq!(rotation_of(&matrix(0, one, -one, 0)), 90);
        assert_eq!(rotation_of(&matrix(-one, 0, 0, -one)), 180);
        assert_eq!(rotation_of(&matrix(0, -one, one, 0)), 270);
        assert_eq!(rotation_of(&matrix(0, 0, 0, 0)), 0);
        assert_eq!(rotation_of(&[]), 0);
    }

    #[test]
    fn silly_aspect_ratios_count_as_square() {
        assert_eq!(sane_aspect(Rational::new(16, 11)), (16, 11));
        assert_eq!(sane_aspect(Rational::new(0, 1)), (1, 1));
        assert_eq!(sane_aspect(Rational::new(1, 0)), (1, 1));
        assert_eq!(sane_aspect(Rational::new(1000, 1)), (1, 1));
    }
}
