//! Parse, dispatch, exit code; nothing else.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Before any thread, and before ONNX Runtime is loaded.
    framewright::runtime::disable_telemetry();
    let cli = framewright::cli::Cli::parse();
    let filter = EnvFilter::try_from_env("FRAMEWRIGHT_LOG")
        .unwrap_or_else(|_| EnvFilter::new(cli.log_filter()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Who closed stderr is not told that it is closed, least of all by a panic.
        .log_internal_errors(false)
        .with_target(false)
        .without_time()
        .init();
    ExitCode::from(cli.run() as u8)
}
