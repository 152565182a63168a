//! Perceptual hashes: pictures that look alike differ in few bits.

use image_hasher::{HashAlg, HasherConfig};

use super::mat::resize;
use crate::core::{ErrorKind, ItemError, Rgb8};

/// The 64-bit hash of a picture: signs of its lowest frequencies (cosine transform against its median).
///
/// # Errors
/// When the picture cannot be scaled.
pub fn perceptual_hash(image: &Rgb8) -> Result<u64, ItemError> {
    // Scaled here with area averaging: the hasher's own filter costs 50 times as much on big frames.
    let small = resize(image, 64, 64)?;
    let picture = image::RgbImage::from_raw(64, 64, small.data().to_vec())
        .ok_or_else(|| ItemError::new(ErrorKind::Bug, "a 64x64 picture of a wrong length"))?;
    let hasher = HasherConfig::with_bytes_type::<[u8; 8]>()
        .hash_size(8, 8)
        .hash_alg(HashAlg::Median)
        .preproc_dct()
        .to_hasher();
    let hash = hasher.hash_image(&picture);
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    Ok(u64::from_le_bytes(bytes))
}

/// In how many of the 64 bits two hashes differ.
pub fn hamming(a: u64, b: u64) -> u32 {
    (a ^ b).count_ones()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs of several sizes, like a photograph's spectrum.
    fn picture(seed: f32, size: u32) -> Rgb8 {
        Rgb8::from_fn(size, size, |x, y| {
            let (x, y) = (x as f32 / size as f32, y as f32 / size as f32);
            let mut value = 127.0;
            for n in 1..8 {
                let k = n as f32;
                let turn = seed * 1.7 * k;
                value += 70.0 / k * (6.0 * k * (x * turn.cos() + y * turn.sin()) + turn * k).sin();
            }
            [value as u8, (value * 0.8) as u8, 90]
        })
    }

    #[test]
    fn size_and_brightness_hardly_change_it_but_content_does() {
        let base = perceptual_hash(&picture(1.0, 200)).unwrap();
        let smaller = perceptual_hash(&picture(1.0, 90)).unwrap();
        let other = perceptual_hash(&picture(2.3, 200)).unwrap();
        assert!(hamming(base, smaller) <= 4, "{}", hamming(base, smaller));
        assert!(hamming(base, other) >= 12, "{}", hamming(base, other));
    }
}
