//! Finding files by globs, and what their paths say of them.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;
use weir_parse::settle::Evidence;
use weir_parse::{Charset, Options, Pattern, Zone};

use super::watch::Key;
use super::{TURN_BYTES, identity};
use crate::config::{Config, SourceConfig, Start};
use crate::stats::{GlobFiles, SourceStats, TailStats};

/// Folders below the base of a glob that are entered.
const DEPTH: usize = 16;

/// A group of files, ready to be looked for.
#[derive(Debug)]
pub(super) struct Source {
    bases: Vec<PathBuf>,
    /// In the order of `include`.
    globs: Vec<String>,
    include: GlobSet,
    exclude: GlobSet,
    path_pattern: Option<Regex>,
    attributes: BTreeMap<String, String>,
    pub(super) start: Start,
    pub(super) derive_spans: bool,
    pub(super) stats: Arc<SourceStats>,
    charset: Charset,
    pattern: Option<Arc<Pattern>>,
    zone: Option<Zone>,
}

impl Source {
    /// # Errors
    /// For globs or patterns that the configuration's check would have refused.
    pub(super) fn new(config: &SourceConfig, stats: &TailStats) -> anyhow::Result<Self> {
        let set = |globs: &[String]| -> anyhow::Result<GlobSet> {
            let mut set = GlobSetBuilder::new();
            for glob in globs {
                set.add(GlobBuilder::new(glob).literal_separator(true).build()?);
            }
            Ok(set.build()?)
        };
        let mut bases: Vec<PathBuf> = config.include.iter().map(|glob| base(glob)).collect();
        bases.sort();
        // A folder below another base is reached from there.
        bases.dedup_by(|below, above| below.starts_with(above));
        Ok(Self {
            bases,
            globs: config.include.clone(),
            include: set(&config.include)?,
            exclude: set(&config.exclude)?,
            path_pattern: config.path_pattern.as_deref().map(Regex::new).transpose()?,
            attributes: config.attributes.clone(),
            start: config.start,
            derive_spans: config.derive_spans,
            stats: stats.source(config.include.first().map_or("", String::as_str)),
            charset: Charset::of(&config.encoding)
                .with_context(|| format!("`{}` is no encoding", config.encoding))?,
            pattern: config.format.pattern()?.map(Arc::new),
            zone: config.format.zone()?,
        })
    }

    /// What is known of a file that begins with the bytes `first` before its first line from `from` on is read.
    pub(super) fn options(&self, metadata: &Metadata, first: &[u8], from: u64) -> Options {
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let evidence = Evidence {
            modified: modified.map(|since| since.as_nanos() as u64),
            at_end: metadata.len().saturating_sub(from) <= TURN_BYTES as u64,
            zone: self.zone.clone(),
            host_zone: host_zone(),
        };
        Options {
            pattern: self.pattern.clone(),
            evidence,
            charset: self.charset.marked(first),
            regions: Some(|name| TimeZone::get(name).ok()),
        }
    }

    /// Whether the globs name a path.
    pub(super) fn names(&self, path: &Path) -> bool {
        self.include.is_match(path) && !self.exclude.is_match(path)
    }

    /// Regular files that the globs name, sorted. Adds the folders in which there are such or may come to be, and to
    /// `closed` what can't be looked into, and why.
    pub(super) fn find(
        &self,
        folders: &mut BTreeMap<PathBuf, Key>,
        closed: &mut Vec<(PathBuf, io::Error)>,
    ) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for base in &self.bases {
            self.walk(base, DEPTH, &mut found, folders, closed);
            // A file, or what is not there yet, comes in a folder above.
            if !base.is_dir()
                && let Some(above) = base.ancestors().skip(1).find(|above| above.is_dir())
                && let Ok(metadata) = fs::metadata(above)
            {
                folders.insert(above.to_owned(), identity::key(&metadata));
            }
        }
        found.sort();
        found
    }

    /// How many of the files that were found each glob names.
    pub(super) fn by_glob(&self, found: &[PathBuf]) -> Vec<GlobFiles> {
        let mut globs: Vec<GlobFiles> =
            self.globs.iter().map(|glob| GlobFiles { glob: glob.clone(), files: 0 }).collect();
        match &mut globs[..] {
            [only] => only.files = found.len() as u64,
            globs => {
                let mut naming = Vec::new();
                for path in found {
                    self.include.matches_into(path, &mut naming);
                    naming.iter().for_each(|at| globs[*at].files += 1);
                }
            }
        }
        globs
    }

    fn walk(
        &self,
        path: &Path,
        depth: usize,
        found: &mut Vec<PathBuf>,
        folders: &mut BTreeMap<PathBuf, Key>,
        closed: &mut Vec<(PathBuf, io::Error)>,
    ) {
        let mut unless_gone = |error: io::Error| {
            if error.kind() != io::ErrorKind::NotFound {
                closed.push((path.to_owned(), error));
            }
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return unless_gone(error),
        };
        if metadata.is_file() {
            if self.names(path) {
                found.push(path.to_owned());
            }
        } else if metadata.is_dir() && depth > 0 {
            match fs::read_dir(path) {
                Ok(entries) => {
                    folders.insert(path.to_owned(), identity::key(&metadata));
                    for entry in entries.flatten() {
                        self.walk(&entry.path(), depth - 1, found, folders, closed);
                    }
                }
                Err(error) => unless_gone(error),
            }
        }
    }

    /// Resource attributes that the path and the configuration give.
    pub(super) fn attributes(&self, path: &Path) -> Vec<(String, String)> {
        let text = path.to_string_lossy();
        let groups = self.path_pattern.as_ref().and_then(|pattern| pattern.captures(&text));
        let fill = |template: &String| {
            let mut value = template.clone();
            if let (Some(pattern), Some(groups)) = (&self.path_pattern, &groups) {
                for name in pattern.capture_names().flatten() {
                    value = value.replace(
                        &format!("${{{name}}}"),
                        groups.name(name).map_or("", |group| group.as_str()),
                    );
                }
            }
            value
        };
        let mut attributes: Vec<_> =
            self.attributes.iter().map(|(key, template)| (key.clone(), fill(template))).collect();
        if !self.attributes.contains_key("service.name") {
            attributes.push(("service.name".into(), service_of(path)));
        }
        attributes
    }
}

/// The zone of this host.
pub fn host_zone() -> Zone {
    Zone::new(TimeZone::system(), Timestamp::now())
}

/// What a configuration says about one file.
#[derive(Debug)]
pub struct FileSettings {
    /// Which of `agent.sources` names the file, counted from 0; `None` where none does, and everything is detected.
    pub source: Option<usize>,
    pub options: Options,
    /// Attributes of its resource.
    pub attributes: Vec<(String, String)>,
    /// Lines that tell how long a call took become spans, too.
    pub derive_spans: bool,
}

/// Looks up what a configuration says about the file with this absolute path.
///
/// # Errors
/// For globs or patterns that the configuration's check would have refused.
pub fn file_settings(config: &Config, path: &Path, metadata: &Metadata) -> anyhow::Result<FileSettings> {
    let stats = TailStats::default();
    let sources = config
        .sources
        .iter()
        .map(|source| Source::new(source, &stats))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let source = sources.iter().position(|source| source.names(path));
    let settings = |by: &Source, attributes| FileSettings {
        source,
        options: by.options(metadata, &[], 0),
        attributes,
        derive_spans: by.derive_spans,
    };
    Ok(match source.map(|n| &sources[n]) {
        Some(by) => settings(by, by.attributes(path)),
        None => settings(&Source::new(&SourceConfig::default(), &stats)?, Vec::new()),
    })
}

/// The folder that all matches of a glob are below, or the file it names.
fn base(glob: &str) -> PathBuf {
    let literal = match glob.find(['*', '?', '[', '{']) {
        Some(at) => &glob[..glob[..at].rfind('/').unwrap_or(0) + 1],
        None => glob,
    };
    PathBuf::from(literal.strip_suffix('/').filter(|base| !base.is_empty()).unwrap_or(literal))
}

/// The file's name up to its first dot.
fn service_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.split('.').find(|part| !part.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_and_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        for name in ["a/x-1.log", "a/b/y-2.log", "a/b/z.txt", "c.log"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let check = |include: &str, exclude: &str, expect: &[&str]| {
            let exclude = if exclude.is_empty() { vec![] } else { vec![format!("{root}/{exclude}")] };
            let config = SourceConfig {
                include: vec![format!("{root}/{include}")],
                exclude,
                ..SourceConfig::default()
            };
            let found = Source::new(&config, &TailStats::default())
                .unwrap()
                .find(&mut BTreeMap::new(), &mut Vec::new());
            let found: Vec<_> =
                found.iter().map(|p| p.strip_prefix(root).unwrap().to_str().unwrap()).collect();
            assert_eq!(found, expect, "{include}");
        };
        check("**/*.log", "", &["a/b/y-2.log", "a/x-1.log", "c.log"]);
        check("*.log", "", &["c.log"]);
        check("a/**", "a/b/*.txt", &["a/b/y-2.log", "a/x-1.log"]);
        check("c.log", "", &["c.log"]);
        check("nowhere/*", "", &[]);
        let globs = ["*.log", "a/**", "b/*"].map(|glob| format!("{root}/{glob}"));
        let config = SourceConfig { include: globs.to_vec(), ..SourceConfig::default() };
        let source = Source::new(&config, &TailStats::default()).unwrap();
        let found = source.find(&mut BTreeMap::new(), &mut Vec::new());
        let files: Vec<_> = source.by_glob(&found).into_iter().map(|of| (of.glob, of.files)).collect();
        assert_eq!(files, globs.into_iter().zip([1, 3, 0]).collect::<Vec<_>>());
        let config = SourceConfig {
            include: vec!["/logs/*".into()],
            path_pattern: Some("(?<pod>(?<service>[a-z]+)-[0-9]+)\\.log$".into()),
            attributes: BTreeMap::from([
                ("service.name".into(), "${service}".into()),
                ("k8s.pod.name".into(), "${pod}".into()),
            ]),
            ..SourceConfig::default()
        };
        let attributes =
            Source::new(&config, &TailStats::default()).unwrap().attributes(Path::new("/logs/cart-7.log"));
        assert_eq!(
            attributes,
            [("k8s.pod.name".into(), "cart-7".into()), ("service.name".into(), "cart".into())]
        );
        let plain = SourceConfig { path_pattern: None, attributes: BTreeMap::new(), ..config };
        let plain = Source::new(&plain, &TailStats::default()).unwrap();
        assert_eq!(
            plain.attributes(Path::new("/logs/app.log.1")),
            [("service.name".to_string(), "app".to_string())]
        );
    }
}
