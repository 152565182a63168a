//! Overlapping windows over a stream of frames, padded at both ends as TransNet V2 was trained.

/// Frames the network sees at once.
pub(super) const WINDOW: usize = 100;
/// Frames a window advances by; as many of its outputs are kept.
pub(super) const STEP: usize = 50;
/// First output that is kept; also the copies of the first frame in front of the video.
pub(super) const MARGIN: usize = 25;

/// Collects frames of `frame_bytes` bytes and gives windows of [`WINDOW`] frames, [`STEP`] apart.
#[derive(Debug)]
pub(super) struct Windows {
    frame_bytes: usize,
    padded: Vec<u8>,
    pushed: usize,
    /// Frames whose outputs were given so far.
    covered: usize,
}

impl Windows {
    pub(super) fn new(frame_bytes: usize) -> Self {
        Self {
            frame_bytes,
            padded: Vec::new(),
            pushed: 0,
            covered: 0,
        }
    }

    /// Adds the next frame, which must have `frame_bytes` bytes.
    pub(super) fn push(&mut self, frame: &[u8]) {
        let copies = if self.pushed == 0 { MARGIN + 1 } else { 1 };
        for _ in 0..copies {
            self.padded.extend_from_slice(frame);
        }
        self.pushed += 1;
    }

    /// Whole windows that are ready.
    pub(super) fn ready(&self) -> usize {
        let frames = self.padded.len() / self.frame_bytes.max(1);
        if frames < WINDOW {
            0
        } else {
            (frames - WINDOW) / STEP + 1
        }
    }

    /// Repeats the last frame until windows cover every frame.
    pub(super) fn pad_end(&mut self) {
        if self.pushed == 0 {
            return;
        }
        let rest = self.pushed % STEP;
        let copies = MARGIN + STEP - if rest == 0 { STEP } else { rest };
        let last = self.padded[self.padded.len() - self.frame_bytes..].to_vec();
        for _ in 0..copies {
            self.padded.extend_from_slice(&last);
        }
    }

    /// Takes `count` ready windows, one after the other: their bytes, the number of the first frame
    /// they give an output for, and how many frames they give one for.
    pub(super) fn take(&mut self, count: usize) -> (Vec<u8>, usize, usize) {
        let count = count.min(self.ready());
        let (step, window) = (STEP * self.frame_bytes, WINDOW * self.frame_bytes);
        let mut bytes = Vec::with_capacity(count * window);
        for n in 0..count {
            bytes.extend_from_slice(&self.padded[n * step..n * step + window]);
        }
        self.padded.drain(..count * step);
        let first = self.covered;
        let frames = (count * STEP).min(self.pushed - first);
        self.covered += frames;
        (bytes, first, frames)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The author's windows: pad everything, then slice.
    fn reference(frames: &[[u8; 2]]) -> Vec<Vec<u8>> {
        let Some((first, last)) = frames.first().zip(frames.last()) else {
            return Vec::new();
        };
        let rest = frames.len() % 50;
        let mut padded = vec![*first; 25];
        padded.extend(frames);
        padded.extend(vec![*last; 25 + 50 - if rest == 0 { 50 } else { rest }]);
        (0..padded.len() - 50)
            .step_by(50)
            .take_while(|at| at + 100 <= padded.len())
            .map(|at| padded[at..at + 100].concat())
            .collect()
    }

    proptest! {
        #[test]
        fn windows_cover_each_frame_once(n in 0_usize..400, batch in 1_usize..4) {
            let frames: Vec<[u8; 2]> = (0..n).map(|k| (k as u16).to_le_bytes()).collect();
            let mut windows = Windows::new(2);
            let (mut bytes, mut covered) = (Vec::new(), Vec::new());
            let mut most = 0;
            let mut drain = |windows: &mut Windows, count: usize| {
                let (window, first, frames) = windows.take(count);
                for part in window.chunks(200) {
                    // The kept rows are the frames that are said to be covered.
                    bytes.push(part.to_vec());
                }
                covered.extend(first..first + frames);
            };
            for frame in &frames {
                windows.push(frame);
                most = most.max(windows.padded.len() / 2);
                if windows.ready() >= batch {
                    drain(&mut windows, batch);
                }
            }
            windows.pad_end();
            while windows.ready() > 0 {
                drain(&mut windows, batch);
            }
            prop_assert_eq!(covered, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(bytes, reference(&frames));
            prop_assert!(most <= WINDOW + STEP * batch);
        }
    }
}
