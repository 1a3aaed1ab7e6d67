//! Configuration: YAML, overridden by the environment, refused with the line and a suggestion when it is wrong.
//!
//! An override is a variable `PREFIX_PATH`, in which two underscores descend: `WEIR_AGENT__OTLP__HTTP=127.0.0.1:4400` sets
//! `agent.otlp.http`. Its value is read as YAML, so numbers, booleans and lists work.
//!
//! A configuration type is a serde struct with `#[serde(default, deny_unknown_fields)]` and an implementation of [`Validate`].

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_yaml_ng::{Mapping, Value};

/// Longest configuration file, in bytes.
const FILE_BYTES: u64 = 4 << 20;

/// Checks that go beyond types. Every problem is reported, not just the first.
pub trait Validate {
    /// Adds what is wrong, each as `path.to.key: what and what to do`.
    fn validate(&self, problems: &mut Vec<String>);
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("can't read the configuration {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{origin}: {message}")]
    Parse { origin: String, message: String },
    #[error("{origin}: {}", problems.join("; "))]
    Invalid { origin: String, problems: Vec<String> },
}

/// Loads a configuration from a file (or from defaults where there is none) and the given environment variables.
///
/// # Errors
/// An unreadable file, a key or value that is not known, and all that [`Validate`] finds.
pub fn load<T>(
    file: Option<&Path>,
    prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Validate,
{
    let (origin, text) = match file {
        None => ("configuration".to_string(), String::new()),
        Some(path) => (path.display().to_string(), read(path)?),
    };
    // Once from the text alone, since only then errors carry a line.
    let parse_error =
        |error: serde_yaml_ng::Error| ConfigError::Parse { origin: origin.clone(), message: explain(&error) };
    let mut config: T = if text.trim().is_empty() {
        serde_yaml_ng::from_value(Value::Mapping(Mapping::new())).map_err(parse_error)?
    } else {
        serde_yaml_ng::from_str(&text).map_err(parse_error)?
    };
    let overrides: Vec<_> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((path_of(&name, prefix)?, name, value)))
        .collect();
    if !overrides.is_empty() {
        let mut tree: Value = serde_yaml_ng::from_str(&text).map_err(parse_error)?;
        for (path, name, value) in overrides {
            let parsed = serde_yaml_ng::from_str(&value).unwrap_or(Value::String(value));
            set(&mut tree, &path, parsed);
            config = serde_yaml_ng::from_value(tree.clone()).map_err(|error| ConfigError::Parse {
                origin: format!("environment variable {name}"),
                message: explain(&error),
            })?;
        }
    }
    let mut problems = Vec::new();
    config.validate(&mut problems);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid { origin, problems }) }
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

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        listen: String,
        limit: Option<ByteSize>,
    }

    #[derive(Debug, Default, Deserialize)]
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
            Err("FILE: agent.listen: `nowhere` is no address; names: a name is empty"),
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
                "environment variable WEIR_AGENT__LISTN: unknown field `listn`, expected `listen` or `limit`; did you mean `listen`?",
            ),
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Outer>(Some(Path::new("/nowhere/weir.yaml")), "WEIR", []).unwrap_err();
        assert!(
            error.to_string().starts_with("can't read the configuration /nowhere/weir.yaml: "),
            "{error}"
        );
    }
}
