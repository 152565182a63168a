//! One progressive picture from one interlaced frame.
//!
//! The filter looks at nothing but the frame itself (edge slope tracing on the first field), so a
//! frame reached by seeking gives the same pixels as in the sequential pass, and the picture shows
//! one moment.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{filter, frame};

use crate::core::{ErrorKind, ItemError};

/// The first field of an interlaced frame at full height.
pub(super) fn deinterlaced(frame: &frame::Video) -> Result<frame::Video, ItemError> {
    try_deinterlace(frame).map_err(|error| {
        ItemError::new(
            ErrorKind::Unsupported,
            format!(
                "deinterlacing a {}x{} frame of format {:?} failed: {error}",
                frame.width(),
                frame.height(),
                frame.format()
            ),
        )
    })
}

fn try_deinterlace(frame: &frame::Video) -> Result<frame::Video, ffmpeg_next::Error> {
    let missing = ffmpeg_next::Error::FilterNotFound;
    let mut graph = filter::Graph::new();
    let size = format!(
        "video_size={}x{}:pix_fmt={}:time_base=1/25:pixel_aspect=1/1",
        frame.width(),
        frame.height(),
        pixel_number(frame.format()),
    );
    let buffer = filter::find("buffer").ok_or(missing)?;
    let sink = filter::find("buffersink").ok_or(missing)?;
    graph.add(&buffer, "in", &size)?;
    graph.add(&sink, "out", "")?;
    graph
        .output("in", 0)?
        .input("out", 0)?
        .parse("estdif=mode=frame:deint=all")?;
    graph.validate()?;

    let mut copy = frame.clone();
    copy.set_pts(Some(0));
    let mut source = graph.get("in").ok_or(missing)?;
    source.source().add(&copy)?;
    source.source().flush()?;
    let mut output = frame::Video::empty();
    graph.get("out").ok_or(missing)?.sink().frame(&mut output)?;
    output.set_color_space(frame.color_space());
    output.set_color_range(frame.color_range());
    Ok(output)
}

/// The number by which filter arguments name a pixel format.
fn pixel_number(format: Pixel) -> i32 {
    ffmpeg_next::ffi::AVPixelFormat::from(format) as i32
}
