//! Text from strangers, made fit for a terminal or a log: what would steer it becomes visible.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a letter may steer a terminal or change the order in which text is shown.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line: control letters, line ends and marks of writing direction become escapes such as
/// `\u{1b}`.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, push_escape)
}

/// Several lines: as [`visible_line`], but line ends and tabs stay.
pub fn visible_text(text: &str) -> Cow<'_, str> {
    let stays = |letter| matches!(letter, '\n' | '\t');
    escaped(text, stays, push_escape)
}

/// The text of a JSON document, which means the same afterwards.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    // Outside of texts JSON has no such letters but line ends.
    escaped(
        json,
        |letter| letter == '\n',
        |out, letter| {
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        },
    )
}

fn push_escape(out: &mut String, letter: char) {
    out.extend(letter.escape_default());
}

fn escaped(
    text: &str,
    stays: impl Fn(char) -> bool,
    mut escape: impl FnMut(&mut String, char),
) -> Cow<'_, str> {
    let is_bad = |letter: char| steers(letter) && !stays(letter);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_bad(letter) {
            escape(&mut out, letter);
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_becomes_visible() {
        let text = "a\u{1b}[2Jb\u{9b}1m\u{7}\u{202e}c\r\nd\te\u{7f}é\\";
        assert_eq!(
            visible_line(text),
            "a\\u{1b}[2Jb\\u{9b}1m\\u{7}\\u{202e}c\\r\\nd\\te\\u{7f}é\\"
        );
        assert_eq!(
            visible_text(text),
            "a\\u{1b}[2Jb\\u{9b}1m\\u{7}\\u{202e}c\\r\nd\te\\u{7f}é\\"
        );
        assert!(matches!(visible_line("plain é"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}\u{7f}\u{2028}\u{202e} é" });
        let json = serde_json::to_string_pretty(&value).unwrap();
        let shown = visible_json(&json);
        assert!(
            shown
                .chars()
                .all(|letter| letter == '\n' || !steers(letter))
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
