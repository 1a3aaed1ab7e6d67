//! Regular expressions: which of the texts that a key has match one is asked once, so that the search itself is one for terms.

use std::collections::HashMap;

use serde_json::json;
use weir_model::Signal;
use weir_model::filter::{Cond, Filter, Key, Matcher, Record, Test};
use weir_model::otlp::{Resource, Scope, Span, SpanRef};
use weir_store::TimeRange;

use crate::error::Error;
use crate::query::{Candidates, beginning, candidates, in_range, tokens_of};
use crate::tokens;
use crate::values::{LISTED, begins_with, listed};
use crate::view::View;

/// Texts that a search names; where more match, records are read instead.
const TERMS: usize = 1_000;

/// Tokens that match, by level, name and pattern, where they are all that do.
pub(crate) type Patterns = HashMap<(char, String, String), Vec<String>>;

/// A pattern on the values of a key.
type Wanted = (char, String, String);

/// Patterns of a filter.
fn wanted(filter: &Filter, found: &mut Vec<Wanted>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| wanted(part, found)),
        Filter::Not(inner) => wanted(inner, found),
        Filter::Cond(Cond { key, test: Test::Like(pattern) | Test::Unlike(pattern) }) => {
            let keys = tokens_of(key).into_iter();
            found.extend(keys.map(|(level, name)| (level, name.to_owned(), pattern.clone())));
        }
        Filter::Cond(_) | Filter::Text(_) | Filter::All => {}
    }
}

/// Tells whether texts match a pattern, as the name of an operation would.
fn tester(pattern: &str) -> Option<impl Fn(&str) -> bool + use<>> {
    let cond = Cond { key: Key::Operation, test: Test::Like(pattern.to_owned()) };
    let matcher = Matcher::new(&Filter::Cond(cond)).ok()?;
    Some(move |text: &str| {
        let (resource, scope, mut span) = (Resource::decode(&[]), Scope::decode(&[]), Span::decode(&[]));
        span.name = text;
        matcher.matches(Record::Span(&SpanRef { resource, scope, span }))
    })
}

impl View {
    /// Records of a range that match a filter, and where that is not exact, some that do not.
    pub(crate) async fn found(
        &self,
        signal: Signal,
        filter: &Filter,
        range: TimeRange,
    ) -> Result<Candidates, Error> {
        let range = in_range(signal, range);
        let patterns = self.patterns(&range, filter).await?;
        Ok(Candidates::and([range, candidates(signal, filter, &patterns)]))
    }

    /// What the patterns of a filter match among the records of a query.
    async fn patterns(&self, among: &Candidates, filter: &Filter) -> Result<Patterns, Error> {
        let (mut patterns, mut all) = (Patterns::new(), Vec::new());
        wanted(filter, &mut all);
        for (level, name, pattern) in all {
            let Some(matches) = tester(&pattern) else { continue };
            let (texts, longer) = (tokens::kind(level, &name, 't'), tokens::kind(level, &name, 'c'));
            let begins = begins_with(&(texts.clone() + &beginning(&pattern)));
            let answer = self
                .aggregate(
                    among,
                    json!({
                        "texts": { "terms": {
                            "field": "attrs", "include": begins, "size": LISTED, "execution_hint": "map"
                        } },
                        "longer": { "filter": { "prefix": { "attrs": { "value": longer } } } },
                    }),
                )
                .await?;
            let (found, all) = listed(&answer["texts"]);
            if !all || answer["longer"]["doc_count"] != 0 {
                continue;
            }
            let hits = found.into_iter().filter(|(token, _)| token.get(texts.len()..).is_some_and(&matches));
            let hits: Vec<String> = hits.map(|(token, _)| token.to_owned()).collect();
            if hits.len() <= TERMS {
                patterns.insert((level, name, pattern), hits);
            }
        }
        Ok(patterns)
    }
}
