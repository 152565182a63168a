//! Pictures to and from PNG and JPEG bytes, and their sizes.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageReader, Limits};

use super::open::check_size;
use crate::core::{ErrorKind, ItemError, Rgb8, SizeRule};

/// PNG bytes of a picture, the same for the same pixels.
///
/// # Errors
/// Bug where the encoder refuses, which it has no reason to.
pub fn encode_png(image: &Rgb8) -> Result<Vec<u8>, ItemError> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, PngFilter::Adaptive)
        .write_image(
            image.data(),
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| ItemError::new(ErrorKind::Bug, format!("png encoding failed: {error}")))?;
    Ok(bytes)
}

/// JPEG bytes of a picture; `quality` 1–100.
///
/// # Errors
/// Unsupported where a side is longer than JPEG allows (65535 pixels).
pub fn encode_jpeg(image: &Rgb8, quality: u8) -> Result<Vec<u8>, ItemError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .write_image(
            image.data(),
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| {
            ItemError::new(
                ErrorKind::Unsupported,
                format!("jpeg encoding failed: {error}"),
            )
        })?;
    Ok(bytes)
}

/// The picture at the size that `rule` gives: Lanczos, widened when shrinking so that it averages.
///
/// # Errors
/// Unsupported for a target of absurd size.
pub fn resize(image: &Rgb8, rule: SizeRule) -> Result<Rgb8, ItemError> {
    let (width, height) = rule.apply(image.width(), image.height());
    filtered(image, width, height, FilterType::Lanczos3)
}

/// The picture at another size, each pixel the mean of the pixels it covers.
///
/// # Errors
/// Unsupported for a target of absurd size.
pub(super) fn average(image: &Rgb8, width: u32, height: u32) -> Result<Rgb8, ItemError> {
    filtered(image, width, height, FilterType::Box)
}

fn filtered(image: &Rgb8, width: u32, height: u32, filter: FilterType) -> Result<Rgb8, ItemError> {
    if (width, height) == (image.width(), image.height()) {
        return Ok(image.clone());
    }
    check_size(width, height)?;
    let failed = |error: &dyn std::fmt::Display| {
        ItemError::new(ErrorKind::Bug, format!("resizing failed: {error}"))
    };
    let source = ImageRef::new(image.width(), image.height(), image.data(), PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| failed(&error))?;
    Rgb8::new(width, height, target.into_vec())
}

/// The picture in PNG or JPEG bytes; transparency is dropped.
///
/// # Errors
/// Corrupt where the bytes are no such picture, Unsupported where it is absurdly large.
pub fn decode_image(bytes: &[u8]) -> Result<Rgb8, ItemError> {
    let corrupt = |error: &dyn std::fmt::Display| {
        ItemError::new(
            ErrorKind::Corrupt,
            format!("not a readable picture: {error}"),
        )
    };
    let open = || ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format();
    let (width, height) = open()
        .map_err(|error| corrupt(&error))?
        .into_dimensions()
        .map_err(|error| corrupt(&error))?;
    check_size(width, height)?;
    let mut reader = open().map_err(|error| corrupt(&error))?;
    reader.limits(Limits::no_limits());
    let image = reader
        .decode()
        .map_err(|error| corrupt(&error))?
        .into_rgb8();
    Rgb8::new(image.width(), image.height(), image.into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> Rgb8 {
        Rgb8::from_fn(width, height, |x, y| [(x * 3) as u8, (y * 5) as u8, 90])
    }

    #[test]
    fn png_keeps_every_pixel_and_is_deterministic() {
        let image = gradient(61, 37);
        let bytes = encode_png(&image).unwrap();
        assert_eq!(decode_image(&bytes).unwrap(), image);
        assert_eq!(encode_png(&image).unwrap(), bytes);
    }

    #[test]
    fn jpeg_is_close() {
        let image = gradient(48, 32);
        let back = decode_image(&encode_jpeg(&image, 95).unwrap()).unwrap();
        let worst = image
            .data()
            .iter()
            .zip(back.data())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst.unwrap() < 12, "{worst:?}");
    }

    #[test]
    fn broken_bytes_are_corrupt() {
        assert_eq!(
            decode_image(b"no picture").unwrap_err().kind,
            ErrorKind::Corrupt
        );
        let mut bytes = encode_png(&gradient(20, 20)).unwrap();
        bytes.truncate(bytes.len() / 2);
        assert_eq!(decode_image(&bytes).unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[test]
    fn resizing_keeps_the_mean() {
        let image = Rgb8::from_fn(
            64,
            64,
            |x, y| if (x + y) % 2 == 0 { [0; 3] } else { [200; 3] },
        );
        let small = resize(&image, SizeRule::MaxSide(16)).unwrap();
        assert_eq!((small.width(), small.height()), (16, 16));
        assert!(
            small.data().iter().all(|v| v.abs_diff(100) < 6),
            "{:?}",
            small.data()
        );
    }
}
