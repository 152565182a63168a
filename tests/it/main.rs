//! The integration tests, one binary; `tests/README.md` says what each module guards.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod chat_server;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clips;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod fast;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod generated_docs;
#[cfg(test)]
mod http_ingest;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod mutated_videos;
#[cfg(test)]
mod program;
#[cfg(test)]
mod recall;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod run_edit_pairs;
#[cfg(test)]
mod run_folder;
#[cfg(test)]
mod salvage;
#[cfg(test)]
mod scene_outputs;
#[cfg(test)]
mod scene_parity;
#[cfg(test)]
mod security;
#[cfg(test)]
mod select;
#[cfg(test)]
mod supervisor;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod whole_corpus;
