//! Where the log goes: standard error, an event a line, without what could steer a terminal.

use std::io::{self, Write};

use crate::core::visible_line;

/// Writes events to standard error. The log's formatter hands over one whole event at a time, which
/// ends with a line end of its own.
#[derive(Clone, Copy, Debug)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        writeln!(io::stderr().lock(), "{}", visible_line(line))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
