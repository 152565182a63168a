//! Captioners, and the writers and judges of instructions: one file each.

mod chat;
mod endpoint;
mod measured;
mod prompts;
pub mod template;
mod wire;

pub use chat::{ChatJudge, ChatWriter};
pub use endpoint::{Endpoint, EndpointOptions, Usage};
pub use measured::TemplateWriter;
pub use prompts::{PROMPTS, PromptText};
