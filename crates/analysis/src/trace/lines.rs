//! Log lines on their rows.

use weir_model::otlp::LogRef;

use super::Row;

/// Counts each line on its row, and tells the row of each.
pub(super) fn attach(
    rows: &mut [Row],
    logs: &[LogRef<'_>],
    node_of_line: &[Option<usize>],
    row_of: &[Option<usize>],
) -> Vec<Option<usize>> {
    let row_of_line = |node: &Option<usize>| node.and_then(|node| row_of[node]);
    let log_rows: Vec<_> = node_of_line.iter().map(row_of_line).collect();
    for (line, row) in logs.iter().zip(&log_rows) {
        let Some(row) = row.map(|row| &mut rows[row]) else { continue };
        row.logs += 1;
        row.error_logs += u32::from(line.log.severity.is_error());
        row.worst_log = row.worst_log.max(line.log.severity);
    }
    log_rows
}
