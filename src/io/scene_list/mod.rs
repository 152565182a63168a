//! Lists of scenes as other programs want them: spreadsheets, editing programs, a browser. Pure:
//! from a list to text.
//!
//! Scenes are numbered from 1 here, as editing programs and the files of `--split` do.

mod clock;
mod csv;
mod edl;
mod otio;
mod plot;

pub use csv::{SCORE_COLUMNS, scenes_csv, scores_csv};
pub use edl::scenes_edl;
pub use otio::scenes_otio;
pub use plot::{CutPictures, PlotFile, plot_page};

use crate::core::SceneList;

/// The scenes of one file, and its name as it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedFile {
    /// The file's path.
    pub file: String,
    /// Its scenes.
    pub list: SceneList,
}

impl ListedFile {
    /// The last part of the path, for people.
    fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

#[cfg(test)]
pub(super) mod testing;
