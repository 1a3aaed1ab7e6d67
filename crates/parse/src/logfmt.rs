//! `key=value` lines, as logfmt and Go's slog text handler write them.

use std::borrow::Cow;

use crate::context;
use crate::line::{Field, Line};
use crate::time;

/// `None` where the line is not made of pairs alone, or has fewer than two.
pub fn parse(text: &str) -> Option<Line<'_>> {
    let mut line = Line { format: "logfmt", body: Cow::Borrowed(text), ..Line::default() };
    let mut rest = text.trim();
    let mut pairs = 0;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@/".contains(&b)) {
            return None;
        }
        let (value, after) = value(after)?;
        pair(&mut line, key, value);
        pairs += 1;
        rest = after.trim_start();
    }
    (pairs >= 2).then_some(line)
}

/// A bare or quoted value, and what follows it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if !text.starts_with('"') {
        let end = text.find(' ').unwrap_or(text.len());
        return Some((Cow::Borrowed(&text[..end]), &text[end..]));
    }
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let quoted = &text[..end + 2];
    let value = match quoted.contains('\\') {
        true => Cow::Owned(serde_json::from_str(quoted).unwrap_or_else(|_| quoted[1..=end].to_owned())),
        false => Cow::Borrowed(&quoted[1..=end]),
    };
    Some((value, &text[end + 2..]))
}

fn pair<'a>(line: &mut Line<'a>, key: &'a str, value: Cow<'a, str>) {
    if context::take_field(line, key, &value) {
        return;
    }
    match key {
        "time" | "ts" | "timestamp" if line.stamp.is_none() => {
            line.stamp = time::parse_all(&value);
            if line.stamp.is_some() {
                return;
            }
        }
        "level" | "lvl" | "severity" if line.level(&value) => return,
        "msg" | "message" => {
            line.body = value;
            return;
        }
        _ => {}
    }
    let field = match value.parse::<i64>() {
        Ok(n) => Field::Int(n),
        Err(_) => match value.as_ref() {
            "true" => Field::Bool(true),
            "false" => Field::Bool(false),
            text => match weir_model::filter::Number::parse(text) {
                Some(n) => Field::Double(n.as_f64()),
                None => Field::Text(value),
            },
        },
    };
    line.attributes.push((Cow::Borrowed(key), field));
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Severity;

    #[test]
    fn lines() {
        let line = parse(r#"time=2024-05-01T10:00:00.123Z level=warn msg="took \"long\"" took=1.5 n=3 ok=true trace_id=93bead877ae15b6d9cdf1c1569881314"#).unwrap();
        assert_eq!((line.severity, line.body.as_ref()), (Severity::WARN, "took \"long\""));
        assert_eq!(line.trace_id.unwrap().to_string(), "93bead877ae15b6d9cdf1c1569881314");
        let found: Vec<_> = line.attributes.iter().map(|(k, v)| (k.as_ref(), v.clone())).collect();
        assert_eq!(found, [("took", Field::Double(1.5)), ("n", Field::Int(3)), ("ok", Field::Bool(true))]);
        for text in ["a=1", "plain words", "a=1 and b=2", "=1 b=2", "a=\"open b=2"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
