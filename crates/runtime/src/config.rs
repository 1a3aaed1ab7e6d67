//! Configuration: YAML, overridden by the environment, refused with the line and a suggestion when it is wrong.
//!
//! An override is a variable `PREFIX_PATH`, in which two underscores descend: `WEIR_AGENT__OTLP__HTTP=127.0.0.1:4400` sets
//! `agent.otlp.http`. Its value is read as YAML, so numbers, booleans and lists work. A variable with the prefix that sets nothing is refused where
//! it can only mean a key, and told otherwise: an orchestrator may set such ones, as Kubernetes does for a service of that name.
//!
//! A configuration type is a serde struct with `#[serde(default, deny_unknown_fields)]` and an implementation of [`Validate`].

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_yaml_ng::{Mapping, Value};

use crate::reference;

/// Problems that are reported at once.
const PROBLEMS_MAX: usize = 20;
/// Longest configuration file, in bytes.
const FILE_BYTES: u64 = 4 << 20;
/// What follows the prefix in variables that are no overrides: the one of [`crate::telemetry`], and those that only tests read.
const LOG: &str = "LOG";
const TESTS: &str = "TEST_";

/// Checks that go beyond types. Every problem is reported, not just the first.
pub trait Validate {
    /// Adds what is wrong, each as `path.to.key: what and what to do`.
    fn validate(&self, problems: &mut Vec<String>);
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("can't read the configuration {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{origin}{}", list(problems))]
    Invalid { origin: String, problems: Vec<String> },
}

/// One problem on the same line, several on lines of their own.
fn list(problems: &[String]) -> String {
    match problems {
        [only] => format!(": {only}"),
        all => format!(" has {} errors:\n  {}", all.len(), all.join("\n  ")),
    }
}

/// Loads a configuration from a file (or from defaults where there is none) and the given environment variables.
///
/// # Errors
/// An unreadable file, and all keys and values that are not known or that [`Validate`] finds, at once.
pub fn load<T>(
    file: Option<&Path>,
    prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + JsonSchema + Validate,
{
    let (origin, text) = match file {
        None => ("configuration".to_string(), String::new()),
        Some(path) => (path.display().to_string(), read(path)?),
    };
    let mut problems = Vec::new();
    let Some((mut config, mut tree)) = parse::<T>(&text, &mut problems) else {
        return Err(ConfigError::Invalid { origin, problems });
    };
    let mut strangers = Vec::new();
    for (name, value) in environment {
        let Some(path) = path_of(&name, prefix) else {
            strangers.extend(is_stranger(&name, prefix).then_some(name));
            continue;
        };
        let mut changed = tree.clone();
        set(&mut changed, &path, serde_yaml_ng::from_str(&value).unwrap_or(Value::String(value)));
        match serde_yaml_ng::from_value(changed.clone()) {
            Ok(with) => (config, tree) = (with, changed),
            Err(error) => problems.push(format!("environment variable {name}: {}", explain(&error))),
        }
    }
    strangers.sort();
    let strangers = told::<T>(&strangers, prefix, &mut problems);
    if !strangers.is_empty() {
        tracing::warn!(
            "environment variables that begin with {prefix}_ and set nothing: {}",
            strangers.join(", ")
        );
    }
    config.validate(&mut problems);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid { origin, problems }) }
}

/// Reads a text, and says of every entry that is not understood what is wrong: each is taken out and the rest read again, since the reader
/// stops at the first. `None` where nothing is left that could be checked further.
fn parse<T: DeserializeOwned>(text: &str, problems: &mut Vec<String>) -> Option<(T, Value)> {
    let tree = |text: &str| match serde_yaml_ng::from_str(text) {
        Ok(Value::Null) => Ok(Value::Mapping(Mapping::new())),
        read => read,
    };
    // A text that is no YAML has no entries.
    if let Err(error) = tree(text) {
        problems.push(explain(&error));
        return None;
    }
    let mut lines: Vec<&str> = text.lines().collect();
    loop {
        let text = lines.join("\n");
        let tree = tree(&text).ok()?;
        let read = match tree.as_mapping().is_some_and(Mapping::is_empty) {
            // Nothing is not a mapping to the reader of texts.
            true => serde_yaml_ng::from_value(tree.clone()),
            // From the text, since only then errors carry a line.
            false => serde_yaml_ng::from_str(&text),
        };
        let error = match read {
            Ok(config) => return Some((config, tree)),
            Err(error) => error,
        };
        problems.push(explain(&error));
        let line = error.location()?.line().checked_sub(1)?;
        if problems.len() >= PROBLEMS_MAX || !take_out(&mut lines, line) {
            return None;
        }
    }
}

/// Spaces before a line's text.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_empty(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// Empties the lines of the entry that begins in a line, and those of what has no entries without it. False where the line is empty already.
fn take_out(lines: &mut [&str], at: usize) -> bool {
    let Some(line) = lines.get(at).copied().filter(|line| !is_empty(line)) else { return false };
    let in_list = line.trim_start().strip_prefix("- ");
    let column = in_list.map_or(indent(line), |rest| line.len() - rest.trim_start().len());
    let end = lines[at + 1..].iter().position(|next| !is_empty(next) && indent(next) <= column);
    let end = end.map_or(lines.len(), |n| at + 1 + n);
    lines[at..end].fill("");
    // Other entries of the same element of a list still need their dash.
    if in_list.is_some() && lines.get(end).is_some_and(|next| indent(next) == column) {
        lines[at] = &line[..=indent(line)];
        return true;
    }
    while let Some(parent) = lines[..at].iter().rposition(|line| !is_empty(line)) {
        let above = lines[parent];
        let opens = above.trim_end().ends_with(':') || above.trim() == "-";
        let below = lines[at..].iter().find(|line| !is_empty(line));
        let has_more = below.is_some_and(|next| {
            indent(next) > indent(above)
                || (indent(next) == indent(above) && next.trim_start().starts_with('-'))
        });
        if !opens || has_more {
            break;
        }
        lines[parent] = "";
    }
    true
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let error = |source| ConfigError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(error)?.len();
    if size > FILE_BYTES {
        return Err(error(std::io::Error::other(format!("it has {size} bytes, more than {FILE_BYTES}"))));
    }
    std::fs::read_to_string(path).map_err(error)
}

/// `WEIR_AGENT__OTLP__HTTP` with the prefix `WEIR` is `["agent", "otlp", "http"]`. A name without `__` is no override.
fn path_of(name: &str, prefix: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(prefix)?.strip_prefix('_')?;
    rest.contains("__").then(|| rest.split("__").map(str::to_ascii_lowercase).collect())
}

/// Whether a variable without `__` looks like an override.
fn is_stranger(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest != LOG && !rest.starts_with(TESTS))
}

/// Says which key each of these variables means. One that has but an underscore too few is a problem, of the others it is returned.
fn told<T: JsonSchema>(strangers: &[String], prefix: &str, problems: &mut Vec<String>) -> Vec<String> {
    let variable = |key: String| key.replace('.', "__").to_ascii_uppercase();
    let keys: Vec<String> = reference::keys::<T>().into_iter().map(variable).collect();
    let options: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut others = Vec::new();
    for name in strangers {
        let rest = name[prefix.len() + 1..].to_ascii_uppercase();
        match options.iter().find(|key| key.replace("__", "_") == rest) {
            Some(key) => problems.push(format!(
                "environment variable {name}: it sets nothing; did you mean `{prefix}_{key}`, with two underscores between the parts of a key?"
            )),
            None => others.push(match nearest(&rest, &options) {
                Some(key) => format!("{name} (did you mean `{prefix}_{key}`?)"),
                None => name.clone(),
            }),
        }
    }
    others
}

fn set(tree: &mut Value, path: &[String], value: Value) {
    let Some((key, below)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_mapping() {
        *tree = Value::Mapping(Mapping::new());
    }
    let mapping = tree.as_mapping_mut().expect("made a mapping above");
    set(mapping.entry(Value::String(key.clone())).or_insert(Value::Null), below, value);
}

/// Adds a suggestion to serde's "unknown field `x`, expected one of `y`, `z`".
fn explain(error: &serde_yaml_ng::Error) -> String {
    let message = error.to_string();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let known = message.contains("unknown field") || message.contains("unknown variant");
    match quoted.split_first() {
        Some((wrong, options)) if known => match nearest(wrong, options) {
            Some(option) => format!("{message}; did you mean `{option}`?"),
            None => message,
        },
        _ => message,
    }
}

/// The option that takes the fewest edits to reach, if it takes at most a third of the word.
pub fn nearest<'a>(word: &str, options: &[&'a str]) -> Option<&'a str> {
    let (option, edits) =
        options.iter().map(|option| (*option, edits(word, option))).min_by_key(|(_, edits)| *edits)?;
    (edits <= word.chars().count().div_ceil(3)).then_some(option)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteSize, Period};
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        listen: String,
        limit: Option<ByteSize>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        agent: Inner,
        names: Vec<String>,
        every: Option<Period>,
    }

    impl Validate for Outer {
        fn validate(&self, problems: &mut Vec<String>) {
            if self.agent.listen == "nowhere" {
                problems.push("agent.listen: `nowhere` is no address".into());
            }
            if self.names.iter().any(String::is_empty) {
                problems.push("names: a name is empty".into());
            }
        }
    }

    fn check(text: &str, environment: &[(&str, &str)], expect: Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weir.yaml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let result = load::<Outer>(Some(&file), "WEIR", environment);
        let found = result
            .map(|config| format!("{config:?}"))
            .map_err(|error| error.to_string().replace(&file.display().to_string(), "FILE"));
        match (&found, expect) {
            (Ok(found), Ok(part)) => assert!(found.contains(part), "{found}"),
            (Err(found), Err(message)) => assert_eq!(found, message),
            _ => panic!("{found:?}"),
        }
    }

    #[test]
    fn what_is_right() {
        check("", &[], Ok("listen: \"\""));
        check("agent:\n  listen: a\n  limit: 2KiB\n", &[], Ok("limit: Some(ByteSize(2048))"));
        check(
            "agent: {listen: a}",
            &[("WEIR_AGENT__LISTEN", "b"), ("HOME", "/"), ("WEIR_LOG", "debug")],
            Ok("listen: \"b\""),
        );
        check("", &[("WEIR_AGENT__LIMIT", "1MiB")], Ok("ByteSize(1048576)"));
    }

    #[test]
    fn what_is_wrong() {
        check(
            "agent:\n  lisen: a\n",
            &[],
            Err(
                "FILE: agent: unknown field `lisen`, expected `listen` or `limit` at line 2 column 3; did you mean `listen`?",
            ),
        );
        check(
            "agent: {listen: nowhere}\nnames: ['']",
            &[],
            Err("FILE has 2 errors:\n  agent.listen: `nowhere` is no address\n  names: a name is empty"),
        );
        check(
            "every: 3x",
            &[],
            Err(
                "FILE: every: `3x` is not a period: write for example 200ms, 10s, 5m, 2h or 7d at line 1 column 8",
            ),
        );
        check(
            "",
            &[("WEIR_AGENT__LISTN", "b")],
            Err(
                "FILE: environment variable WEIR_AGENT__LISTN: unknown field `listn`, expected `listen` or `limit`; did you mean `listen`?",
            ),
        );
    }

    #[test]
    fn variables_that_set_nothing_are_told() {
        check(
            "",
            &[("WEIR_AGENT_LISTEN", "b"), ("WEIR_LOG", "debug"), ("WEIR_TEST_DATA", "/"), ("WEIRD", "")],
            Err(
                "FILE: environment variable WEIR_AGENT_LISTEN: it sets nothing; did you mean `WEIR_AGENT__LISTEN`, with two underscores between the parts of a key?",
            ),
        );
        // What Kubernetes sets for a service `weir` stops no start.
        check("", &[("WEIR_SERVICE_HOST", "10.0.0.1"), ("WEIR_AGENT_LISTN", "b")], Ok("listen: \"\""));
        let names = ["WEIR_SERVICE_HOST", "WEIR_AGENT_LISTN", "WEIR_EVER"].map(String::from);
        let mut problems = Vec::new();
        assert_eq!(
            told::<Outer>(&names, "WEIR", &mut problems),
            [
                "WEIR_SERVICE_HOST",
                "WEIR_AGENT_LISTN (did you mean `WEIR_AGENT__LISTEN`?)",
                "WEIR_EVER (did you mean `WEIR_EVERY`?)"
            ]
        );
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let check = |text: &str, environment: &[(&str, &str)], parts: &[&str]| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("weir.yaml");
            std::fs::write(&file, text).unwrap();
            let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string()));
            let Err(ConfigError::Invalid { problems, .. }) = load::<Outer>(Some(&file), "WEIR", environment)
            else {
                panic!("{text} is wrong")
            };
            assert_eq!(problems.len(), parts.len(), "{problems:#?}");
            for (problem, part) in problems.iter().zip(parts) {
                assert!(problem.contains(part), "no `{part}` in {problems:#?}");
            }
        };
        // The section has nothing else, and what stands below a wrong entry is a part of it.
        check(
            "agent:\n  lisen:\n    - a\n    # b\n    - c\nnmes: [a]\nevery: 3x\n",
            &[],
            &["`lisen`", "`nmes`", "`3x`"],
        );
        check("agent:\n  limit: 3 parsecs\n  listen: nowhere\n", &[], &["3 parsecs", "nowhere"]);
        check("names:\n  - [a]\n  - ''\n", &[], &["expected a string", "a name is empty"]);
        check("names:\n- [a]\nevery: 3x\n", &[], &["expected a string", "`3x`"]);
        check(
            "nmes: 1\n",
            &[("WEIR_AGENT__LISTN", "b"), ("WEIR_AGENT__LISTEN", "nowhere")],
            &["`nmes`", "LISTN", "nowhere"],
        );
        // What is no YAML is told alone.
        check("agent: {\nnmes: 1\n", &[], &["while parsing a flow mapping at line 1"]);
        let many: String = (0..100).map(|n| format!("key{n}: 1\n")).collect();
        check(&many, &[], &["key"; PROBLEMS_MAX]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Outer>(Some(Path::new("/nowhere/weir.yaml")), "WEIR", []).unwrap_err();
        assert_eq!(error.to_string(), "can't read the configuration /nowhere/weir.yaml");
    }
}
