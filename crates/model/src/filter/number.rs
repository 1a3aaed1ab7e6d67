//! Numbers of searches: integers and doubles that compare exactly with each other.

use std::cmp::Ordering;
use std::fmt;

/// A number as it was written or stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    Double(f64),
}

impl Number {
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(n) = text.parse() {
            return Some(Number::Int(n));
        }
        // `inf`, `nan` and `infinity` are words, not numbers.
        let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
            && text.contains(|c: char| c.is_ascii_digit());
        numeric.then(|| text.parse().ok().map(Number::Double)).flatten()
    }

    /// The order of the values; `None` where one is NaN.
    pub fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (Number::Double(a), Number::Double(b)) => a.partial_cmp(&b),
            (Number::Int(a), Number::Double(b)) => int_double(a, b),
            (Number::Double(a), Number::Int(b)) => int_double(b, a).map(Ordering::reverse),
        }
    }

    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(n) => n as f64,
            Number::Double(x) => x,
        }
    }
}

/// Compares without rounding the integer, which a double can't hold above 2^53.
fn int_double(a: i64, b: f64) -> Option<Ordering> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if b.is_nan() {
        None
    } else if b >= TWO_63 {
        Some(Ordering::Less)
    } else if b < -TWO_63 {
        Some(Ordering::Greater)
    } else {
        let whole = b.trunc();
        Some(a.cmp(&(whole as i64)).then_with(|| 0.0.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal)))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(n) => write!(f, "{n}"),
            Number::Double(x) => write!(f, "{x:?}"),
        }
    }
}

/// Nanoseconds of a duration such as `60ms` or `1.5s`.
pub(super) fn parse_duration(text: &str) -> Option<Number> {
    let at = text.find(|c: char| c.is_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let factor: i64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    match Number::parse(number.trim())? {
        Number::Int(n) => n.checked_mul(factor).map(Number::Int),
        Number::Double(x) => Some(Number::Double(x * factor as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_doubles_compare_exactly() {
        let big = 1i64 << 53;
        for (a, b, expect) in [
            (Number::Int(big + 1), Number::Double(big as f64), Some(Ordering::Greater)),
            (Number::Int(big), Number::Double(big as f64), Some(Ordering::Equal)),
            (Number::Int(i64::MAX), Number::Double(9.3e18), Some(Ordering::Less)),
            (Number::Int(i64::MIN), Number::Double(-9.3e18), Some(Ordering::Greater)),
            (Number::Int(1), Number::Double(1.5), Some(Ordering::Less)),
            (Number::Int(-1), Number::Double(-1.5), Some(Ordering::Greater)),
            (Number::Double(2.0), Number::Int(2), Some(Ordering::Equal)),
            (Number::Int(0), Number::Double(f64::NAN), None),
        ] {
            assert_eq!(a.compare(b), expect, "{a:?} {b:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, expect) in [
            ("60ms", Some(Number::Int(60_000_000))),
            ("1.5s", Some(Number::Double(1_500_000_000.0))),
            ("2µs", Some(Number::Int(2_000))),
            ("1min", Some(Number::Int(60_000_000_000))),
            ("5", None),
            ("5parsec", None),
        ] {
            assert_eq!(parse_duration(text), expect, "{text}");
        }
    }
}
