//! Decoding, in process through libav, fetching and image coding. The only place that names
//! `ffmpeg_next`.
//!
//! [`probe`] tells what a file is; [`LowResReader`] goes through all frames once, in presentation
//! order; [`FrameReader`] gets single frames again, bit for bit as the pass saw them. Both share
//! one way of opening ([`open`]), of decoding and of numbering frames ([`decode`]) and of turning
//! a decoded frame into a display-oriented picture ([`render`]).

mod bars;
mod clip;
mod damage;
mod decode;
mod deinterlace;
mod encode;
#[cfg(test)]
mod exactness_tests;
mod fast;
mod fetch;
mod frame_reader;
mod libav;
mod low_res;
mod open;
mod outline;
mod planar;
mod probe;
mod render;
mod seeking;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeline;

pub use clip::{Clip, ClipContainer, ClipMode, ClipOptions, ClipSink, clip_container, write_clips};
pub use damage::Damage;
pub use decode::FrameStamp;
pub use encode::{decode_image, encode_jpeg, encode_png, resize};
pub use fetch::{FetchOptions, fetch};
pub use frame_reader::FrameReader;
pub use low_res::LowResReader;
pub use open::{OpenOptions, check_file};
pub use probe::probe;
