//! An edit decision list in the CMX 3600 form: one event for each scene, the recorded side without
//! gaps.
//!
//! The form has one frame rate; that of the first file is taken. Scenes of files with another or a
//! variable rate are placed by their times. Rates of 29.97 and 59.94 count in drop-frame time.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::ListedFile;
use super::clock::Clock;

/// Longest reel name of the form, letters.
const REEL_LETTERS: usize = 8;
/// How close a rate must be to a whole one, or to 1000/1001 of it, frames per second.
const SAME_FPS: f64 = 0.005;

/// How frames are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    /// Frames per second.
    fps: f64,
    /// Frames that a second of the timecode counts.
    nominal: u64,
    is_drop_frame: bool,
}

impl Rate {
    fn of(fps: f64) -> Self {
        let nominal = fps.round().max(1.0);
        let is_ntsc = (fps - nominal * 1000.0 / 1001.0).abs() < SAME_FPS;
        Self {
            fps,
            nominal: nominal as u64,
            is_drop_frame: is_ntsc && [30.0, 60.0].contains(&nominal),
        }
    }

    /// `HH:MM:SS:FF`, or `HH:MM:SS;FF` in drop-frame time.
    fn timecode(self, frame: u64) -> String {
        let (mut number, separator) = (frame, if self.is_drop_frame { ';' } else { ':' });
        if self.is_drop_frame {
            // The first numbers of each minute are left out, but not in every tenth.
            let dropped = self.nominal / 15;
            let minute = self.nominal * 60 - dropped;
            let ten_minutes = minute * 10 + dropped;
            let (tens, rest) = (frame / ten_minutes, frame % ten_minutes);
            number += dropped * 9 * tens + dropped * (rest.saturating_sub(dropped) / minute);
        }
        let secs = number / self.nominal;
        format!(
            "{:02}:{:02}:{:02}{separator}{:02}",
            secs / 3600 % 24,
            secs / 60 % 60,
            secs % 60,
            number % self.nominal
        )
    }
}

/// The scenes of all files as one list.
pub fn scenes_edl(files: &[ListedFile]) -> String {
    let rate = Rate::of(files.first().map_or(25.0, |file| Clock::of(&file.list).fps));
    let mut text = String::new();
    let title = match files {
        [file] => line(file.name()),
        _ => "SCENES".into(),
    };
    let count = if rate.is_drop_frame {
        "DROP FRAME"
    } else {
        "NON-DROP FRAME"
    };
    let _ = write!(text, "TITLE: {title}\nFCM: {count}\n\n");
    let mut reels = BTreeSet::new();
    let (mut event, mut recorded) = (0, 0);
    for file in files {
        let reel = reel_name(file.name(), &mut reels);
        let clock = Clock::of(&file.list);
        for scene in &file.list.scenes {
            let [start, end] = clock
                .frames(scene, rate.fps)
                .map(|frame| frame.round() as u64);
            event += 1;
            let until = recorded + end.saturating_sub(start);
            let times = [start, end, recorded, until].map(|frame| rate.timecode(frame));
            let _ = writeln!(
                text,
                "{event:03}  {reel:<REEL_LETTERS$} V     C        {}",
                times.join(" ")
            );
            let _ = writeln!(text, "* FROM CLIP NAME: {}", line(file.name()));
            if clock.is_variable {
                let _ = writeln!(text, "* VARIABLE FRAME RATE, PLACED BY TIME");
            } else if (clock.fps - rate.fps).abs() > SAME_FPS {
                let _ = writeln!(text, "* SOURCE RATE {:.3}, PLACED BY TIME", clock.fps);
            }
            recorded = until;
        }
    }
    text
}

/// Text that stays on its line.
fn line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// At most eight capital letters and digits of the name, no two files the same.
fn reel_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut letters: String = stem
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    if letters.is_empty() {
        letters = "REEL".into();
    }
    let mut number = 1_u32;
    loop {
        let ending = if number == 1 {
            String::new()
        } else {
            number.to_string()
        };
        let kept = REEL_LETTERS.saturating_sub(ending.len());
        let reel = format!("{}{ending}", letters.get(..kept).unwrap_or(&letters));
        if taken.insert(reel.clone()) {
            return reel;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{listed, slowed};
    use super::*;

    #[test]
    fn events_follow_each_other_without_gaps() {
        let files = [
            listed("my-holiday_2024.mp4", (25, 1), 100, &[(0, 40), (50, 100)]),
            listed("My Holiday 2025.mp4", (50, 1), 100, &[(50, 100)]),
        ];
        let text = scenes_edl(&files);
        let expected = "\
TITLE: SCENES
FCM: NON-DROP FRAME

001  MYHOLIDA V     C        00:00:00:00 00:00:01:15 00:00:00:00 00:00:01:15
* FROM CLIP NAME: my-holiday_2024.mp4
002  MYHOLIDA V     C        00:00:02:00 00:00:04:00 00:00:01:15 00:00:03:15
* FROM CLIP NAME: my-holiday_2024.mp4
003  MYHOLID2 V     C        00:00:01:00 00:00:02:00 00:00:03:15 00:00:04:15
* FROM CLIP NAME: My Holiday 2025.mp4
* SOURCE RATE 50.000, PLACED BY TIME
";
        assert_eq!(text, expected);
    }

    #[test]
    fn drop_frame_time_keeps_up_with_the_clock() {
        let rate = Rate::of(30000.0 / 1001.0);
        assert!(rate.is_drop_frame);
        for (frame, expected) in [
            (0, "00:00:00;00"),
            (1799, "00:00:59;29"),
            (1800, "00:01:00;02"),
            (3597, "00:01:59;29"),
            (3598, "00:02:00;02"),
            (17981, "00:09:59;29"),
            (17982, "00:10:00;00"),
            (107_892, "01:00:00;00"),
        ] {
            assert_eq!(rate.timecode(frame), expected, "{frame}");
        }
        assert_eq!(Rate::of(60000.0 / 1001.0).timecode(3600), "00:01:00;04");
    }

    #[test]
    fn whole_rates_and_film_count_every_frame() {
        for (fps, second) in [(24.0, 24), (24000.0 / 1001.0, 24), (25.0, 25), (30.0, 30)] {
            let rate = Rate::of(fps);
            assert!(!rate.is_drop_frame, "{fps}");
            assert_eq!(rate.timecode(second * 3600), "01:00:00:00", "{fps}");
        }
    }

    #[test]
    fn a_variable_rate_is_placed_by_time() {
        let file = slowed(listed("a.mp4", (25, 1), 100, &[(0, 40), (40, 100)]), 40);
        let text = scenes_edl(&[file]);
        assert!(
            text.contains("00:00:01:15 00:00:06:10 00:00:01:15"),
            "{text}"
        );
        assert!(text.contains("* VARIABLE FRAME RATE"), "{text}");
    }

    #[test]
    fn odd_names_stay_on_their_line_and_give_reels() {
        let text = scenes_edl(&[listed("名\n前.mp4", (25, 1), 10, &[(0, 10)])]);
        assert!(text.contains("001  REEL     V"), "{text}");
        assert!(text.contains("* FROM CLIP NAME: 名 前.mp4\n"), "{text}");
    }
}
