//! The page of scores: pictures of both sides of each cut, and publishing it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::core::{
    ErrorKind, FatalError, FrameIndex, FrameRef, ItemError, Pts, SceneList, SizeRule, contain,
};
use crate::io::{CutPictures, ListedFile, PlotFile, plot_page};
use crate::media::{FrameReader, OpenOptions, encode_jpeg, resize};
use crate::store::publish_bytes;

/// Cuts of a file that get pictures; a page with more opens slowly.
const MAX_CUTS: usize = 200;
const WIDTH_PX: u32 = 160;
const JPEG_QUALITY: u8 = 80;
/// Longest time for one picture.
const PATIENCE: Duration = Duration::from_mins(2);

/// Draws one file, whose scores must be there. Cuts whose frames cannot be read any more are drawn
/// without pictures.
///
/// # Errors
/// As [`crate::media::probe`], when the file cannot be opened.
pub fn plot_file(path: &Path, file: &ListedFile) -> Result<PlotFile, ItemError> {
    contain(|| Ok(PlotFile::new(file, &cut_pictures(path, &file.list)?)))
        .unwrap_or_else(|words| Err(ItemError::new(ErrorKind::Bug, words)))
}

/// Writes the page of those files.
///
/// # Errors
/// Disk with the page's path.
pub fn publish_plot(page: &Path, files: &[PlotFile]) -> Result<(), FatalError> {
    publish_bytes(page, plot_page(files)?.as_bytes())
}

fn cut_pictures(path: &Path, list: &SceneList) -> Result<Vec<CutPictures>, ItemError> {
    let options = OpenOptions {
        decode_threads: 0,
        deadline: Instant::now() + PATIENCE,
    };
    let mut reader = FrameReader::open(path, &list.info, &options)?;
    let mut found = Vec::new();
    for (scene, scenes) in list.scenes.windows(2).take(MAX_CUTS).enumerate() {
        let before = scenes[0].end_frame.saturating_sub(1);
        let Some(before) = frame_at(list, FrameIndex(before)) else {
            continue;
        };
        let after = FrameRef {
            index: FrameIndex(scenes[1].start_frame),
            pts: Pts(scenes[1].start_pts),
        };
        let pictures = picture(&mut reader, before)
            .and_then(|before| Ok((before, picture(&mut reader, after)?)));
        match pictures {
            Ok((before, after)) => found.push(CutPictures {
                scene,
                before,
                after,
            }),
            Err(error) => tracing::warn!("no picture of cut {}: {error}", scene + 1),
        }
    }
    Ok(found)
}

/// A frame with its time, which the list of scores has.
fn frame_at(list: &SceneList, index: FrameIndex) -> Option<FrameRef> {
    let found = list
        .scores
        .binary_search_by_key(&index, |frame| frame.index);
    let frame = list.scores.get(found.ok()?)?;
    Some(FrameRef {
        index,
        pts: frame.pts,
    })
}

fn picture(reader: &mut FrameReader, at: FrameRef) -> Result<Vec<u8>, ItemError> {
    reader.set_deadline(Instant::now() + PATIENCE);
    let small = resize(&reader.frame(at)?, SizeRule::MaxWidth(WIDTH_PX))?;
    encode_jpeg(&small, JPEG_QUALITY)
}
