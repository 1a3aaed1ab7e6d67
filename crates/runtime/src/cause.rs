//! What errors are told by.

use std::error::Error;

/// The last of an error's causes, which says what happened.
pub fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
