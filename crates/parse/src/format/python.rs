//! Python's `logging.basicConfig()` without a format: `LEVEL:logger:message`.

use crate::attr;
use crate::parsed::{Parsed, Text};
use crate::scan::Cursor;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut cursor = Cursor::new(line);
    let level = cursor.until(b':')?;
    if !matches!(level.of(line), b"DEBUG" | b"INFO" | b"WARNING" | b"ERROR" | b"CRITICAL") {
        return None;
    }
    let logger = cursor.until(b':')?;
    let name = logger.of(line);
    if name.is_empty() || !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return None;
    }
    out.set_level(line, level);
    out.push_str(attr::LOGGER, logger);
    out.body = Text::Line(cursor.tail());
    Some(())
}
