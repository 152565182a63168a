//! Parse, dispatch, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// What carries bytes over the network logs no details, whatever the user asks for: among them are
/// headers with keys, and addresses with signatures.
const QUIET: [&str; 6] = [
    "h2=warn",
    "hyper=warn",
    "hyper_util=warn",
    "reqwest=warn",
    "rustls=warn",
    "tower=warn",
];

fn main() -> ExitCode {
    // Before any thread, and before ONNX Runtime is loaded.
    framewright::runtime::disable_telemetry();
    let cli = framewright::cli::Cli::parse();
    let filter = EnvFilter::try_from_env("FRAMEWRIGHT_LOG")
        .unwrap_or_else(|_| EnvFilter::new(cli.log_filter()));
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| framewright::cli::LogWriter)
        // Colours are letters that steer a terminal.
        .with_ansi(false)
        // Who closed stderr is not told that it is closed, least of all by a panic.
        .log_internal_errors(false)
        .with_target(false)
        .without_time()
        .init();
    ExitCode::from(cli.run() as u8)
}
