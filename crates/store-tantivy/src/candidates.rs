//! From a filter to the documents of a segment that may match it.

use regex::Regex;
use tantivy::postings::Postings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet as _, InvertedIndexReader, SegmentReader, TERMINATED};
use weir_model::filter::{Cond, Filter, Key, Level, Matcher, Number, Operand, Record, Test, Text, places};
use weir_model::limits::INDEXED_VALUE_BYTES;
use weir_model::otlp::{Log, LogRef, Span, SpanRef, StatusCode};
use weir_model::{Signal, TraceId};

use crate::bits::DocSet;
use crate::conditions::{ColumnTest, name_satisfies};
use crate::docs::Docs;
use crate::error::Error;
use crate::schema::Fields;
use crate::shard::Reader;
use crate::tokens::{self, BuiltIn};

/// Doubles hold every integer up to here; beyond, two numbers may share a token.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// Finds candidates in one segment.
pub(crate) struct Finder<'s> {
    pub(crate) signal: Signal,
    pub(crate) segment: &'s SegmentReader,
    pub(crate) docs: &'s Docs,
    pub(crate) fields: Fields,
    pub(crate) reader: &'s Reader,
}

impl Finder<'_> {
    /// Documents that match the filter, and where the set says it is not exact, some that do not.
    pub(crate) fn find(&self, filter: &Filter) -> Result<DocSet, Error> {
        Ok(match filter {
            Filter::All => self.all(),
            Filter::And(parts) => {
                let mut set = self.all();
                for part in parts {
                    set.and(&self.find(part)?);
                }
                set
            }
            Filter::Or(parts) => {
                let mut set = self.none();
                for part in parts {
                    set.or(&self.find(part)?);
                }
                set
            }
            Filter::Not(inner) => self.find(inner)?.not(),
            Filter::Text(text) => self.text(text)?,
            Filter::Cond(cond) => self.cond(cond)?,
        })
    }

    fn all(&self) -> DocSet {
        DocSet::full(self.segment.max_doc())
    }

    fn none(&self) -> DocSet {
        DocSet::empty(self.segment.max_doc())
    }

    fn unknown(&self) -> DocSet {
        DocSet::unknown(self.segment.max_doc())
    }

    fn index(&self) -> Result<std::sync::Arc<InvertedIndexReader>, Error> {
        Ok(self.segment.inverted_index(self.fields.tokens)?)
    }

    fn token(&self, token: &[u8]) -> Result<DocSet, Error> {
        let mut set = self.none();
        let index = self.index()?;
        if let Some(info) = index.terms().get(token)? {
            insert(&index, &info, &mut set)?;
        }
        Ok(set)
    }

    /// Documents with a token from `from` on and before `to` that passes the test.
    fn range(&self, from: &[u8], to: &[u8], keep: impl Fn(&[u8]) -> bool) -> Result<DocSet, Error> {
        let mut set = self.none();
        let index = self.index()?;
        let mut terms = index.terms().range().ge(from).lt(to).into_stream()?;
        while terms.advance() {
            if keep(terms.key()) {
                insert(&index, terms.value(), &mut set)?;
            }
        }
        Ok(set)
    }

    fn text(&self, text: &Text) -> Result<DocSet, Error> {
        let mut set = self.all();
        for (i, word) in text.words.iter().enumerate() {
            let token = tokens::built_in(BuiltIn::Word, word.as_bytes());
            let last = i + 1 == text.words.len();
            set.and(&if last && text.prefix {
                self.range(&token, &after(&token), |_| true)?
            } else {
                self.token(&token)?
            });
            set.exact &= word.len() < INDEXED_VALUE_BYTES;
        }
        set.exact &= text.words.len() == 1;
        Ok(set)
    }

    fn cond(&self, cond: &Cond) -> Result<DocSet, Error> {
        if let Some(test) = ColumnTest::of(self.signal, cond) {
            return self.by_columns(&test);
        }
        match &cond.key {
            Key::Service => self.of_pair(cond),
            Key::Attr(key) => self.attr(key, cond),
            Key::Operation if self.signal == Signal::Spans => self.built_in(BuiltIn::Operation, &cond.test),
            Key::Kind if self.signal == Signal::Spans => Ok(self.unknown()),
            Key::Status if self.signal == Signal::Spans => self.status(&cond.test),
            Key::Event => Ok(self.has_built_in(BuiltIn::Event)?.inexact()),
            Key::Duration if self.signal == Signal::Spans => match cond.test {
                Test::Exists => Ok(self.all()),
                _ => Ok(self.unknown()),
            },
            Key::Severity if self.signal == Signal::Logs => Ok(self.unknown()),
            Key::TraceId => self.trace_id(&cond.test),
            Key::SpanId => Ok(self.unknown()),
            _ => Ok(self.none()),
        }
    }

    /// Pairs are few: each is asked itself, then its records are looked up by its number.
    fn of_pair(&self, cond: &Cond) -> Result<DocSet, Error> {
        let Ok(matcher) = Matcher::new(&Filter::Cond(cond.clone())) else { return Ok(self.unknown()) };
        let mut set = self.none();
        for (number, pair) in (0u32..).zip(self.reader.pairs.iter()) {
            let (resource, scope) = (pair.resource(), pair.scope());
            let hit = match self.signal {
                Signal::Logs => {
                    matcher.matches(Record::Log(&LogRef { resource, scope, log: Log::decode(&[]) }))
                }
                _ => matcher.matches(Record::Span(&SpanRef { resource, scope, span: Span::decode(&[]) })),
            };
            if hit {
                set.or(&self.token(&tokens::built_in(BuiltIn::Pair, &number.to_be_bytes()))?);
            }
        }
        Ok(set)
    }

    fn attr(&self, key: &str, cond: &Cond) -> Result<DocSet, Error> {
        // What is asked positively holds if it holds at any place; the negative forms need the key and no hit at any place.
        let positive = |test: Test| Cond { key: cond.key.clone(), test };
        let negated = match &cond.test {
            Test::Ne(operand) => Some(Test::Eq(operand.clone())),
            Test::Unlike(pattern) => Some(Test::Like(pattern.clone())),
            _ => None,
        };
        if let Some(test) = negated {
            let mut present = self.attr(key, &positive(Test::Exists))?;
            present.and(&self.attr(key, &positive(test))?.not());
            return Ok(present);
        }
        let mut set = self.of_pair(cond)?;
        for (_, name) in places(key).filter(|(level, _)| *level == Level::Record) {
            set.or(&self.on_record(name, &cond.test)?);
        }
        Ok(set)
    }

    fn on_record(&self, name: &str, test: &Test) -> Result<DocSet, Error> {
        let numbers = |from: Vec<u8>, to: Vec<u8>, n: Number| -> Result<DocSet, Error> {
            let mut set = self.range(&from, &to, |_| true)?;
            set.exact &= n.as_f64().abs() < EXACT_INTEGERS;
            Ok(set)
        };
        let (first, end) = (tokens::number_bound(name, false), tokens::number_bound(name, true));
        let at = |n: &Number| tokens::number(name, *n);
        if tokens::only_present(name) && *test != Test::Exists {
            return Ok(self.on_record(name, &Test::Exists)?.inexact());
        }
        match test {
            Test::Exists => self.range(&tokens::key(name), &after(&tokens::key(name)), |_| true),
            Test::Eq(operand) => self.equal(name, operand),
            Test::Lt(n) => inexact_at(numbers(first, at(n), *n)?, n, self.token(&at(n))?),
            Test::Le(n) => numbers(first, successor(&at(n)), *n),
            Test::Gt(n) => inexact_at(numbers(successor(&at(n)), end, *n)?, n, self.token(&at(n))?),
            Test::Ge(n) => numbers(at(n), end, *n),
            Test::Like(pattern) => {
                let Ok(regex) = Regex::new(&format!("^(?s:{pattern})$")) else { return Ok(self.unknown()) };
                let prefix = tokens::text(name, "");
                let uncut = |token: &[u8]| token.len() < prefix.len() + INDEXED_VALUE_BYTES;
                let hits = |token: &[u8]| {
                    std::str::from_utf8(&token[prefix.len()..]).is_ok_and(|text| regex.is_match(text))
                };
                let mut set = self.range(&prefix, &after(&prefix), |token| uncut(token) && hits(token))?;
                let cut = self.range(&prefix, &after(&prefix), |token| !uncut(token))?;
                if !cut.is_empty() {
                    set.or(&cut.inexact());
                }
                Ok(set)
            }
            Test::Ne(_) | Test::Unlike(_) => unreachable!("the negative forms are taken apart by the caller"),
        }
    }

    fn equal(&self, name: &str, operand: &Operand) -> Result<DocSet, Error> {
        let mut set = self.token(&tokens::text(name, &operand.text))?;
        set.exact &= operand.text.len() < INDEXED_VALUE_BYTES;
        if operand.quoted {
            return Ok(set);
        }
        if let Some(n) = operand.number {
            let mut numbers = self.token(&tokens::number(name, n))?;
            numbers.exact = n.as_f64().abs() < EXACT_INTEGERS;
            set.or(&numbers);
        }
        for value in [true, false] {
            if operand.text == value.to_string() {
                set.or(&self.token(&tokens::boolean(name, value))?);
            }
        }
        Ok(set)
    }

    fn has_built_in(&self, what: BuiltIn) -> Result<DocSet, Error> {
        let prefix = tokens::built_in(what, b"");
        self.range(&prefix, &after(&prefix), |_| true)
    }

    /// Keys of which every span has exactly one value.
    fn built_in(&self, what: BuiltIn, test: &Test) -> Result<DocSet, Error> {
        let prefix = tokens::built_in(what, b"");
        Ok(match test {
            Test::Exists => self.all(),
            Test::Eq(operand) => {
                let mut set = self.token(&tokens::built_in(what, operand.text.as_bytes()))?;
                set.exact &= operand.text.len() < INDEXED_VALUE_BYTES;
                set
            }
            Test::Ne(operand) => self.built_in(what, &Test::Eq(operand.clone()))?.not(),
            Test::Unlike(pattern) => self.built_in(what, &Test::Like(pattern.clone()))?.not(),
            Test::Like(pattern) => {
                let Ok(regex) = Regex::new(&format!("^(?s:{pattern})$")) else { return Ok(self.unknown()) };
                let long = std::cell::Cell::new(false);
                let mut set = self.range(&prefix, &after(&prefix), |token| {
                    let value = &token[prefix.len()..];
                    let cut = value.len() >= INDEXED_VALUE_BYTES;
                    long.set(long.get() || cut);
                    cut || std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text))
                })?;
                set.exact = !long.get();
                set
            }
            Test::Lt(_) | Test::Le(_) | Test::Gt(_) | Test::Ge(_) => self.none(),
        })
    }

    /// Errors are few, and unset has no token.
    fn status(&self, test: &Test) -> Result<DocSet, Error> {
        let (mut hits, mut others) = (self.none(), self.none());
        for code in [StatusCode::OK, StatusCode::ERROR] {
            let docs = self.token(&tokens::built_in(BuiltIn::Status, code.name().as_bytes()))?;
            match name_satisfies(test, code.name()) {
                None => return Ok(self.unknown()),
                Some(true) => hits.or(&docs),
                Some(false) => others.or(&docs),
            }
        }
        let unset = name_satisfies(test, StatusCode::UNSET.name()) == Some(true);
        Ok(if unset { others.not() } else { hits })
    }

    /// Documents whose columns pass the test.
    fn by_columns(&self, test: &ColumnTest) -> Result<DocSet, Error> {
        let mut set = self.none();
        for (number, block) in self.reader.bodies.blocks().iter().enumerate() {
            let range = self.docs.of_block(number);
            if range.is_empty() || !test.may_hold(&block.span) {
                continue;
            }
            let columns = self.reader.bodies.block(number)?;
            for doc in range {
                let index = columns.index(self.docs.row(doc));
                if index.is_some_and(|i| test.holds(columns.columns.measure(i), columns.columns.class(i))) {
                    set.insert(doc);
                }
            }
        }
        Ok(set)
    }

    fn trace_id(&self, test: &Test) -> Result<DocSet, Error> {
        match test {
            Test::Eq(operand) => match operand.text.parse::<TraceId>() {
                Ok(id) => self.trace(id),
                Err(_) => Ok(self.none()),
            },
            _ => Ok(self.unknown()),
        }
    }

    fn trace(&self, id: TraceId) -> Result<DocSet, Error> {
        let mut set = self.none().inexact();
        of_trace(self.segment, self.fields, id, |doc| set.insert(doc))?;
        Ok(set)
    }
}

/// Calls `each` with the documents of a trace, and perhaps of others that share half of its id.
pub(crate) fn of_trace(
    segment: &SegmentReader,
    fields: Fields,
    id: TraceId,
    each: impl FnMut(u32),
) -> Result<(), Error> {
    let index = segment.inverted_index(fields.trace_low)?;
    let term = tantivy::Term::from_field_u64(fields.trace_low, id.low());
    match index.get_term_info(&term)? {
        Some(info) => each_of(&index, &info, each),
        None => Ok(()),
    }
}

/// Above 2^53 the token of a bound may also stand for its neighbours: then they are candidates.
fn inexact_at(mut set: DocSet, n: &Number, neighbours: DocSet) -> Result<DocSet, Error> {
    if n.as_f64().abs() >= EXACT_INTEGERS {
        set.or(&neighbours.inexact());
        set.exact = false;
    }
    Ok(set)
}

fn insert(
    index: &InvertedIndexReader,
    info: &tantivy::postings::TermInfo,
    set: &mut DocSet,
) -> Result<(), Error> {
    each_of(index, info, |doc| set.insert(doc))
}

/// Calls `each` with the documents that have a token.
fn each_of(
    index: &InvertedIndexReader,
    info: &tantivy::postings::TermInfo,
    mut each: impl FnMut(u32),
) -> Result<(), Error> {
    let mut postings = index.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
    debug_assert!(postings.term_freq() > 0 || postings.doc() == TERMINATED);
    let mut doc = postings.doc();
    while doc != TERMINATED {
        each(doc);
        doc = postings.advance();
    }
    Ok(())
}

/// First token behind all that begin with the prefix.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; prefix.len() + 1]
}

/// The token right behind another.
fn successor(token: &[u8]) -> Vec<u8> {
    let mut next = token.to_vec();
    next.push(0);
    next
}
