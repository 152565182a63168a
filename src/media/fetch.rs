//! placeholder
use std::path::{Path, PathBuf};
use crate::core::ItemError;
/// x
pub struct FetchOptions;
/// x
pub fn fetch(_url: &str, _dest: &Path, _o: &FetchOptions) -> Result<PathBuf, ItemError> { Ok(PathBuf::new()) }
