//! From a decoded frame to a picture for display: cropped, square pixels, upright, sRGB.
//!
//! Colours: the matrix is the one the frame names; where it names none, BT.709 from a coded height
//! of 720 on and BT.601 below. Full and limited range are honoured. Wide gamut and HDR transfer
//! curves are not mapped, and transparency is dropped.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{color, frame};

use super::deinterlace::deinterlaced;
use super::libav::{Area, Colors, Scaler, ScalerKey, chroma_steps};
use super::open::check_size;
use super::planar::PlaneShrinker;
use crate::core::{ErrorKind, ItemError, Rgb8, SizeRule, VideoInfo};

/// Scalers that are kept: a stage asks for few sizes.
const MAX_SCALERS: usize = 6;

/// Turns frames of one video into pictures.
pub(super) struct Renderer {
    crop: Area,
    coded: (u32, u32),
    display: (u32, u32),
    rotation_degrees: u16,
    shrinker: PlaneShrinker,
    scalers: Vec<Scaler>,
}

impl Renderer {
    pub(super) fn new(info: &VideoInfo) -> Self {
        let edges = info.crop_in_coded;
        Self {
            crop: Area {
                x: edges.x0 as u32,
                y: edges.y0 as u32,
                width: (edges.x1 - edges.x0) as u32,
                height: (edges.y1 - edges.y0) as u32,
            },
            coded: (info.coded_width, info.coded_height),
            display: (info.width, info.height),
            rotation_degrees: info.rotation_degrees,
            shrinker: PlaneShrinker::default(),
            scalers: Vec::new(),
        }
    }

    /// The picture of a frame at the size that `rule` gives for the video's display size.
    pub(super) fn picture(
        &mut self,
        frame: &frame::Video,
        rule: SizeRule,
    ) -> Result<Rgb8, ItemError> {
        let (width, height) = rule.apply(self.display.0, self.display.1);
        let is_turned = self.rotation_degrees % 180 == 90;
        let (across, down) = if is_turned {
            (height, width)
        } else {
            (width, height)
        };
        check_size(width, height)?;
        check_size(frame.width(), frame.height())?;
        let area = self.area_in(frame);
        // Averaging two and more rows into one takes the combing away by itself.
        if frame.is_interlaced() && down * 2 > area.height {
            let progressive = deinterlaced(frame)?;
            return self.scaled(&progressive, area, across, down);
        }
        self.scaled(frame, area, across, down)
    }

    fn scaled(
        &mut self,
        frame: &frame::Video,
        area: Area,
        width: u32,
        height: u32,
    ) -> Result<Rgb8, ItemError> {
        let colors = colors_of(frame);
        let rotation = self.rotation_degrees;
        if let Some(small) = self.shrinker.rgb(frame, colors, area, (width, height)) {
            return match rotation {
                0 => Rgb8::new(width, height, small),
                _ => upright(&small, width as usize * 3, (width, height), rotation),
            };
        }
        let key = ScalerKey {
            source: (frame.format(), area.width, area.height),
            colors,
            target: (Pixel::RGB24, width, height),
        };
        let scaler = scaler_for(&mut self.scalers, key)?;
        let output = scaler.run(frame, area.x, area.y).ok_or_else(|| {
            ItemError::new(
                ErrorKind::Bug,
                format!("a part {area:?} of a frame could not be scaled"),
            )
        })?;
        upright(output.data(0), output.stride(0), (width, height), rotation)
    }

    /// The crop in a frame, which may have another size than the first one had.
    fn area_in(&self, frame: &frame::Video) -> Area {
        let (width, height) = (frame.width(), frame.height());
        if (width, height) == self.coded {
            return self.crop;
        }
        let (step_x, step_y) = chroma_steps(frame.format());
        let along = |at: u32, from: u32, to: u32, step: u32| {
            let moved = u64::from(at) * u64::from(to) / u64::from(from.max(1));
            moved as u32 / step * step
        };
        let x = along(self.crop.x, self.coded.0, width, step_x);
        let y = along(self.crop.y, self.coded.1, height, step_y);
        let right = along(
            self.coded.0 - self.crop.x - self.crop.width,
            self.coded.0,
            width,
            1,
        );
        let bottom = along(
            self.coded.1 - self.crop.y - self.crop.height,
            self.coded.1,
            height,
            1,
        );
        Area {
            x,
            y,
            width: (width - x - right).max(1),
            height: (height - y - bottom).max(1),
        }
    }
}

/// The luma of a whole frame, 0–255 in full range, row by row.
pub(super) fn luma_of(frame: &frame::Video) -> Result<Vec<u8>, ItemError> {
    let (width, height) = (frame.width(), frame.height());
    let mut scalers = Vec::new();
    let key = ScalerKey {
        source: (frame.format(), width, height),
        colors: colors_of(frame),
        target: (Pixel::GRAY8, width, height),
    };
    let output = scaler_for(&mut scalers, key)?
        .run(frame, 0, 0)
        .ok_or_else(|| ItemError::new(ErrorKind::Bug, "a frame's luma could not be read"))?;
    let stride = output.stride(0);
    Ok(output
        .data(0)
        .chunks(stride)
        .take(height as usize)
        .flat_map(|row| &row[..width as usize])
        .copied()
        .collect())
}

fn scaler_for(scalers: &mut Vec<Scaler>, key: ScalerKey) -> Result<&mut Scaler, ItemError> {
    let known = scalers.iter().position(|scaler| *scaler.key() == key);
    let at = if let Some(at) = known {
        at
    } else {
        if scalers.len() >= MAX_SCALERS {
            scalers.remove(0);
        }
        let scaler = Scaler::new(key).ok_or_else(|| {
            ItemError::new(
                ErrorKind::Unsupported,
                format!("pixel format {:?} cannot be converted", key.source.0),
            )
        })?;
        scalers.push(scaler);
        scalers.len() - 1
    };
    Ok(&mut scalers[at])
}

/// How the numbers of a frame are to be read.
pub(super) fn colors_of(frame: &frame::Video) -> Colors {
    let format = frame.format();
    let matrix = match frame.color_space() {
        color::Space::BT709 => 1,
        color::Space::FCC => 4,
        color::Space::BT470BG | color::Space::SMPTE170M => 5,
        color::Space::SMPTE240M => 7,
        color::Space::BT2020NCL | color::Space::BT2020CL => 9,
        _ if frame.height() >= 720 => 1,
        _ => 5,
    };
    let is_full_format = matches!(
        format,
        Pixel::YUVJ411P | Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ440P | Pixel::YUVJ444P
    );
    let is_gray = matches!(
        format,
        Pixel::GRAY8 | Pixel::GRAY16LE | Pixel::GRAY10LE | Pixel::GRAY12LE
    );
    let is_full_range = match frame.color_range() {
        color::Range::JPEG => true,
        color::Range::MPEG => is_full_format,
        color::Range::Unspecified => is_full_format || is_gray,
    };
    Colors {
        matrix,
        is_full_range,
    }
}

/// Copies a picture of `width` x `height` out of rows of `stride` bytes, turned clockwise.
fn upright(
    bytes: &[u8],
    stride: usize,
    (width, height): (u32, u32),
    rotation_degrees: u16,
) -> Result<Rgb8, ItemError> {
    let (w, h) = (width as usize, height as usize);
    let mut data = Vec::with_capacity(w * h * 3);
    let at = |x: usize, y: usize| &bytes[y * stride + x * 3..y * stride + x * 3 + 3];
    match rotation_degrees {
        90 => {
            for x in 0..w {
                for y in (0..h).rev() {
                    data.extend_from_slice(at(x, y));
                }
            }
            Rgb8::new(height, width, data)
        }
        180 => {
            for y in (0..h).rev() {
                for x in (0..w).rev() {
                    data.extend_from_slice(at(x, y));
                }
            }
            Rgb8::new(width, height, data)
        }
        270 => {
            for x in (0..w).rev() {
                for y in 0..h {
                    data.extend_from_slice(at(x, y));
                }
            }
            Rgb8::new(height, width, data)
        }
        _ => {
            for row in bytes.chunks(stride).take(h) {
                data.extend_from_slice(&row[..w * 3]);
            }
            Rgb8::new(width, height, data)
        }
    }
}
