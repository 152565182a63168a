//! Why a file is damaged or cannot be used at all, in names that programs can rely on.

use serde::{Deserialize, Serialize};

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageReason {
    /// The file has no bytes.
    EmptyFile,
    /// The bytes are no container that is handled.
    NotAVideo,
    /// An mp4 or mov file without its index, mostly from a recording that was never finished.
    MissingMoov,
    /// The container is known by its first bytes, but its headers cannot be read.
    BrokenHeader,
    /// There is sound or data, but no pictures.
    NoVideoStream,
    /// The codec is not known or cannot be opened.
    UnsupportedCodec,
    /// The pictures are larger than what is decoded.
    PictureTooLarge,
    /// Not one frame could be decoded.
    NoFrame,
    /// The file is shorter than its container says.
    TruncatedTail,
    /// Decoding stopped before the end of the file.
    EndNotReached,
    /// Some packets could not be read or decoded.
    CorruptPackets,
    /// Frames were left out because they came late by a little.
    FramesOutOfOrder,
    /// The decoder made up parts of frames.
    RepairedFrames,
    /// Time jumps: back, or far ahead in a stream that allows no gaps.
    PtsJump,
}

impl DamageReason {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmptyFile => "empty_file",
            Self::NotAVideo => "not_a_video",
            Self::MissingMoov => "missing_moov",
            Self::BrokenHeader => "broken_header",
            Self::NoVideoStream => "no_video_stream",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::PictureTooLarge => "picture_too_large",
            Self::NoFrame => "no_frame",
            Self::TruncatedTail => "truncated_tail",
            Self::EndNotReached => "end_not_reached",
            Self::CorruptPackets => "corrupt_packets",
            Self::FramesOutOfOrder => "frames_out_of_order",
            Self::RepairedFrames => "repaired_frames",
            Self::PtsJump => "pts_jump",
        }
    }
}

/// What was wrong with a file of which at least one frame was decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamageSummary {
    /// Everything that was found, the most telling first; never empty.
    pub reasons: Vec<DamageReason>,
    /// The same in words, with numbers.
    pub text: String,
    /// Time of the last good frame before the first damage, in ticks; none where no frame was
    /// before it or no place can be named.
    pub first_after_pts: Option<i64>,
    /// Whether part of the video was lost. If not, the rest is only worth knowing.
    pub is_loss: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for reason in [DamageReason::NotAVideo, DamageReason::PtsJump] {
            assert_eq!(serde_json::json!(reason), reason.name());
        }
    }
}
