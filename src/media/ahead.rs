//! Decoding on a thread of its own, a few frames ahead, so that looking at a frame does not hold up
//! the decoder.
//!
//! A decoder with threads works on few frames at once and stands still while nobody takes them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use ffmpeg_next::frame;

use super::damage::Damage;
use super::decode::FrameStamp;
use crate::core::{ErrorKind, ItemError};

/// Decoded frames that wait to be looked at, at most.
const AHEAD_FRAMES: usize = 4;

/// Where frames come from.
pub(super) trait FrameSource: Send {
    /// Decodes the next frame into `frame`; none at the end.
    fn next_frame(&mut self, frame: &mut frame::Video) -> Result<Option<FrameStamp>, ItemError>;
    /// What was damaged so far.
    fn damage(&self) -> &Damage;
    /// Frames of the whole video where it is over, if the source counts those it leaves out.
    fn frames_in_all(&self) -> Option<u64>;
}

/// What one step of a source gave, and how things stand after it.
pub(super) struct Step {
    pub(super) result: Result<Option<(frame::Video, FrameStamp)>, ItemError>,
    pub(super) damage: Damage,
    pub(super) frames_in_all: Option<u64>,
}

impl Step {
    /// The next step of a source.
    pub(super) fn of(source: &mut dyn FrameSource) -> Self {
        let mut frame = frame::Video::empty();
        let result = source
            .next_frame(&mut frame)
            .map(|stamp| stamp.map(|stamp| (frame, stamp)));
        Self {
            result,
            damage: source.damage().clone(),
            frames_in_all: source.frames_in_all(),
        }
    }
}

/// A source that runs ahead.
pub(super) struct Ahead {
    /// Taken when this is dropped, which ends the thread.
    steps: Option<Receiver<Step>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts decoding.
    pub(super) fn start(mut source: Box<dyn FrameSource>) -> Self {
        let (sender, steps) = sync_channel(AHEAD_FRAMES);
        let thread = std::thread::spawn(move || send_all(&mut *source, &sender));
        Self {
            steps: Some(steps),
            thread: Some(thread),
        }
    }

    /// The next step. After the last one, and after an error, there is none.
    pub(super) fn next(&mut self) -> Step {
        let step = self.steps.as_ref().and_then(|steps| steps.recv().ok());
        step.unwrap_or_else(|| Step {
            result: Err(ItemError::new(
                ErrorKind::Bug,
                "a frame was asked for behind the end or after an error",
            )),
            damage: Damage::default(),
            frames_in_all: None,
        })
    }
}

fn send_all(source: &mut dyn FrameSource, sender: &SyncSender<Step>) {
    loop {
        let step = Step::of(source);
        let is_last = !matches!(step.result, Ok(Some(_)));
        // It fails when nobody wants more frames.
        if sender.send(step).is_err() || is_last {
            return;
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.steps.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was seen as a missing step.
            let _ = thread.join();
        }
    }
}
