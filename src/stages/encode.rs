//! encode: frames to image files, a draft to a sample.

use std::sync::Arc;

use crate::core::{
    Draft, EncodedImage, FatalError, Fingerprint, Frame, Hasher, ItemError, Sample, SizeRule,
};
use crate::engine::{Outbox, Stage, Worker};
use crate::media::{encode_jpeg, encode_png, resize};
use crate::vision::perceptual_hash;

/// The stage.
#[derive(Clone, Debug)]
pub struct Encode {
    /// Quality of JPEG files, 1–100; none = PNG.
    pub jpeg_quality: Option<u8>,
    /// Larger frames are scaled down to this many pixels.
    pub max_px: u64,
    /// Threads.
    pub workers: usize,
}

impl Stage for Encode {
    type In = Draft;
    type Out = Sample;
    type Worker = Self;

    fn name(&self) -> &'static str {
        "encode"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        let hash = Hasher::new("encode")
            .int(1)
            .json(&self.jpeg_quality)
            .int(self.max_px as i64);
        Fingerprint::from_hash(hash.finish())
    }
    fn open(&self) -> Result<Self, FatalError> {
        Ok(self.clone())
    }
}

impl Encode {
    /// The image file of a frame.
    ///
    /// # Errors
    /// When the frame cannot be encoded.
    pub fn image(&self, frame: &Frame) -> Result<EncodedImage, ItemError> {
        let image = resize(&frame.image, SizeRule::MaxPixels(self.max_px))?;
        let (bytes, extension) = match self.jpeg_quality {
            Some(quality) => (encode_jpeg(&image, quality)?, "jpg"),
            None => (encode_png(&image)?, "png"),
        };
        Ok(EncodedImage {
            bytes: Arc::new(bytes),
            extension,
            pts: Some(frame.at.pts),
            width: image.width(),
            height: image.height(),
        })
    }
}

impl Worker for Encode {
    type In = Draft;
    type Out = Sample;

    fn process(&mut self, draft: Draft, out: &mut Outbox<'_, Sample>) -> Result<(), ItemError> {
        let Draft {
            pair,
            instruction,
            judgement,
        } = draft;
        let inputs = vec![self.image(&pair.from)?];
        let output = self.image(&pair.to)?;
        let hashes = [
            perceptual_hash(&pair.from.image)?,
            perceptual_hash(&pair.to.image)?,
        ];
        let id = Sample::id_of("edit", &inputs, &output, &instruction.text);
        out.emit(Sample {
            id,
            task: "edit",
            scene: Arc::clone(&pair.scene),
            instruction,
            judgement,
            inputs,
            output,
            scores: pair.scores,
            hashes,
        });
        Ok(())
    }
}
