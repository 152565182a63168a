//! Runs code that may panic and turns the panic into words.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static IS_CATCHING: Cell<bool> = const { Cell::new(false) };
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; a panic becomes a message instead of a print on the terminal.
///
/// # Errors
/// Where it panicked, and with which words.
pub fn contain<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    keep_caught_panics_silent();
    let was_catching = IS_CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CATCHING.set(was_catching);
    result.map_err(|payload| {
        let place = PANIC_PLACE.take().unwrap_or_else(|| "unknown place".into());
        format!("panic at {place}: {}", text_of(&*payload))
    })
}

fn keep_caught_panics_silent() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IS_CATCHING.get() {
                // The whole path would be one of the machine that compiled it.
                PANIC_PLACE.set(info.location().map(|place| {
                    let file = place.file().rsplit('/').next().unwrap_or_default();
                    format!("{file}:{}", place.line())
                }));
            } else {
                usual(info);
            }
        }));
    });
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_place_and_words() {
        let error = contain(|| panic!("no {}", "way")).unwrap_err();
        assert!(error.starts_with("panic at contain.rs:"), "{error}");
        assert!(error.ends_with(": no way"), "{error}");
        assert_eq!(contain(|| 1), Ok(1));
    }
}
