//! Conditions that the columns of a block tell exactly: duration, severity and kind.

use std::cmp::Ordering;

use regex::Regex;
use weir_model::Signal;
use weir_model::filter::{Cond, Filter, Key, Number, Operand, Test};
use weir_model::otlp::SpanKind;

use crate::bodies::Extent;
use crate::columns::kind_of;

/// Kinds of spans, by their numbers in [`crate::columns::class`].
const KINDS: std::ops::RangeInclusive<i32> = 0..=5;

/// A condition on a record's columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ColumnTest {
    /// The measure compares so with a number.
    Measure(Relation, Number),
    /// Whether a kind satisfies it, by its number.
    Kind(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// As the matcher compares durations.
fn compare(measure: u64, n: Number) -> Option<Ordering> {
    Number::Int(i64::try_from(measure).unwrap_or(i64::MAX)).compare(n)
}

impl ColumnTest {
    /// The test that a condition amounts to, where the columns can tell.
    pub(crate) fn of(signal: Signal, cond: &Cond) -> Option<Self> {
        match (&cond.key, signal) {
            (Key::Duration, Signal::Spans) => Self::measure(&cond.test),
            (Key::Severity, Signal::Logs) => match &cond.test {
                Test::Lt(_) | Test::Le(_) | Test::Gt(_) | Test::Ge(_) => Self::measure(&cond.test),
                _ => None,
            },
            (Key::Kind, Signal::Spans) => {
                let holds: Option<Vec<bool>> =
                    KINDS.map(|kind| name_satisfies(&cond.test, SpanKind(kind).name())).collect();
                holds.map(Self::Kind)
            }
            _ => None,
        }
    }

    fn measure(test: &Test) -> Option<Self> {
        let (relation, n) = match test {
            Test::Eq(Operand { number: Some(n), quoted: false, .. }) => (Relation::Eq, n),
            Test::Ne(Operand { number: Some(n), quoted: false, .. }) => (Relation::Ne, n),
            Test::Lt(n) => (Relation::Lt, n),
            Test::Le(n) => (Relation::Le, n),
            Test::Gt(n) => (Relation::Gt, n),
            Test::Ge(n) => (Relation::Ge, n),
            _ => return None,
        };
        Some(Self::Measure(relation, *n))
    }

    /// Whether a record satisfies it.
    pub(crate) fn holds(&self, measure: u64, class: u8) -> bool {
        match self {
            Self::Measure(relation, n) => compare(measure, *n).is_some_and(|o| relation.holds(o)),
            Self::Kind(kinds) => kinds.get(kind_of(class) as usize).copied().unwrap_or(false),
        }
    }

    /// False where no record of a block satisfies it.
    pub(crate) fn may_hold(&self, block: &Extent) -> bool {
        let Self::Measure(relation, n) = self else { return true };
        let (least, most) = block.measures;
        let holds = |measure| compare(measure, *n).is_some_and(|o| relation.holds(o));
        match relation {
            Relation::Lt | Relation::Le => holds(least),
            Relation::Gt | Relation::Ge => holds(most),
            Relation::Eq => {
                compare(least, *n).is_some_and(Ordering::is_le)
                    && compare(most, *n).is_some_and(Ordering::is_ge)
            }
            Relation::Ne => holds(least) || holds(most),
        }
    }
}

/// Whether a name satisfies a test. `None` where the matcher must tell.
pub(crate) fn name_satisfies(test: &Test, name: &str) -> Option<bool> {
    match test {
        Test::Exists => Some(true),
        Test::Eq(operand) => Some(operand.text == name),
        Test::Ne(operand) => Some(operand.text != name),
        Test::Like(pattern) | Test::Unlike(pattern) => {
            let regex = Regex::new(&format!("^(?s:{pattern})$")).ok()?;
            Some(regex.is_match(name) == matches!(test, Test::Like(_)))
        }
        Test::Lt(_) | Test::Le(_) | Test::Gt(_) | Test::Ge(_) => Some(false),
    }
}

/// Takes apart what all matches must satisfy: what is asked of the columns, and the rest.
pub(crate) fn split(signal: Signal, filter: &Filter) -> (Vec<ColumnTest>, Filter) {
    match filter {
        Filter::Cond(cond) => match ColumnTest::of(signal, cond) {
            Some(test) => (vec![test], Filter::All),
            None => (Vec::new(), filter.clone()),
        },
        Filter::And(parts) => {
            let (mut tests, mut rest) = (Vec::new(), Vec::new());
            for part in parts {
                let (more, left) = split(signal, part);
                tests.extend(more);
                if left != Filter::All {
                    rest.push(left);
                }
            }
            (tests, if rest.is_empty() { Filter::All } else { Filter::And(rest) })
        }
        _ => (Vec::new(), filter.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_left_out_only_where_nothing_in_it_satisfies() {
        let block = Extent { times: (0, 0), measures: (10, 20) };
        let relations = [Relation::Eq, Relation::Ne, Relation::Lt, Relation::Le, Relation::Gt, Relation::Ge];
        for relation in relations {
            for n in 8..23 {
                let test = ColumnTest::Measure(relation, Number::Int(n));
                let any = (10..=20).any(|measure| test.holds(measure, 0));
                assert_eq!(test.may_hold(&block), any, "{relation:?} {n}");
            }
        }
        let one = Extent { times: (0, 0), measures: (10, 10) };
        assert!(!ColumnTest::Measure(Relation::Ne, Number::Int(10)).may_hold(&one));
    }

    #[test]
    fn filters_are_taken_apart() {
        let check = |text: &str, tests: usize, rest: &str| {
            let (found, left) = split(Signal::Spans, &Filter::parse(text).unwrap());
            let rest = match Filter::parse(rest).unwrap() {
                one @ Filter::Cond(_) if tests > 0 => Filter::And(vec![one]),
                other => other,
            };
            assert_eq!((found.len(), left), (tests, rest), "{text}");
        };
        check("duration > 5ms", 1, "");
        check("duration > 5ms kind = server status = error", 2, "status = error");
        check("duration > 5ms OR kind = server", 0, "duration > 5ms OR kind = server");
        check("NOT duration > 5ms", 0, "NOT duration > 5ms");
    }
}
