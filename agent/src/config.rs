//! What the agent is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_parse::{Charset, Pattern, PatternConfig, PatternError, Zone};
use weir_runtime::Period;
use weir_runtime::config::Validate;

/// Shortest time between two samples of the host: below it sysinfo's shares of processor time are noise
/// (its `MINIMUM_CPU_UPDATE_INTERVAL`).
const HOST_METRICS_MIN: Duration = Duration::from_millis(200);

/// What `encoding` is by default.
const UTF_8: &str = "utf-8";

/// The agent: what it reads, receives and measures.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Log files to follow.
    pub sources: Vec<SourceConfig>,
    /// OTLP over HTTP (`/v1/logs`, `/v1/traces`, `/v1/metrics`).
    pub otlp_http: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// Zipkin's JSON, version 2 (`/api/v2/spans`); `null` turns it off.
    pub zipkin: Option<SocketAddr>,
    /// The agent's own port: `/metrics` (Prometheus text), `/health` and `/ready`; `null` turns it off.
    pub admin: Option<SocketAddr>,
    /// How often host metrics are taken; 0s turns them off.
    pub host_metrics: Period,
    /// Regular expressions over the program's name and command line of processes to measure, beside Weir's own.
    pub watch_processes: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let sources = vec![SourceConfig {
            include: ["/var/log/*.log", "/var/log/**/*.log", "/var/log/syslog", "/var/log/messages"]
                .map(String::from)
                .to_vec(),
            start: Start::End,
            ..SourceConfig::default()
        }];
        Self {
            sources,
            otlp_http: loopback(4318),
            otlp_grpc: loopback(4317),
            zipkin: Some(loopback(9411)),
            admin: Some(loopback(7071)),
            host_metrics: Period::secs(10),
            watch_processes: Vec::new(),
        }
    }
}

/// Where reading begins in files that exist when the data folder is new. Files found later are read from their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    #[default]
    Beginning,
    End,
}

/// A group of log files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Globs of files; `*` stays inside a folder, `**` crosses folders.
    pub include: Vec<String>,
    /// Globs of files to leave out.
    pub exclude: Vec<String>,
    /// Where reading begins in files that exist when the data folder is new. Files found later are read from their beginning.
    pub start: Start,
    /// A regular expression over the path, whose named groups fill attributes.
    pub path_pattern: Option<String>,
    /// Resource attributes; `${group}` stands for a group of `path_pattern`.
    pub attributes: BTreeMap<String, String>,
    /// In which encoding the text is written: `utf-8`, `gbk`, `gb18030`, `utf-16le`, `windows-1252` or another of the web's. A file that begins with UTF-16's
    /// byte order mark is read as UTF-16, whatever stands here.
    pub encoding: String,
    /// How the lines are written, where that is not to be detected.
    pub format: FormatConfig,
    /// Lines that tell how long a call took become spans, too: access lines, and those with a trace id, a span id and a duration.
    pub derive_spans: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            start: Start::default(),
            path_pattern: None,
            attributes: BTreeMap::new(),
            encoding: UTF_8.into(),
            format: FormatConfig::default(),
            derive_spans: true,
        }
    }
}

/// A format that the user describes. What is not set is detected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FormatConfig {
    /// A regular expression over a line with named groups. Some have a meaning: `time` or `timestamp`; `level` or `severity`; `message`, `body` or
    /// `msg`; `logger thread file line function pid`; and for the trace `trace_id span_id parent_id trace_flags trace_sampled traceparent b3 sw8
    /// uber_trace_id x_amzn_trace_id dd_trace_id dd_span_id` (other usual spellings such as `traceId`, too). Any other is an attribute of its name.
    pub regex: Option<String>,
    /// Instead of `regex`, a layout as logback has it, such as `%d [%thread] %-5level %logger - %msg`.
    pub layout: Option<String>,
    /// How the time is written, in terms of strptime.
    pub time_format: Option<String>,
    /// A regular expression that the first line of a record matches; other lines belong to the record before.
    pub record_start: Option<String>,
    /// Zone of times that name none: a name such as `Asia/Shanghai`, or `+08:00`.
    pub zone: Option<String>,
}

impl FormatConfig {
    /// The pattern, if one is described.
    ///
    /// # Errors
    /// When a part of it is not what it should be.
    pub fn pattern(&self) -> Result<Option<Pattern>, PatternError> {
        let config = PatternConfig {
            regex: self.regex.clone(),
            layout: self.layout.clone(),
            time_format: self.time_format.clone(),
            start: self.record_start.clone(),
        };
        match config == PatternConfig::default() {
            true => Ok(None),
            false => Pattern::new(&config).map(Some),
        }
    }

    /// The zone of times that name none, if one is set.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn zone(&self) -> Result<Option<Zone>, jiff::Error> {
        let Some(name) = &self.zone else { return Ok(None) };
        let rules = match name.starts_with(['+', '-']) {
            true => jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(name)?,
            false => jiff::tz::TimeZone::get(name)?,
        };
        Ok(Some(Zone::new(rules, jiff::Timestamp::now())))
    }
}

/// The groups that `${...}` in an attribute's value stand for.
fn groups_in(template: &str) -> impl Iterator<Item = &str> {
    template.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(group, _)| group))
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        let every = self.host_metrics.0;
        if !every.is_zero() && every < HOST_METRICS_MIN {
            problems.push(format!(
                "agent.host_metrics: at least {}ms, or 0s for none",
                HOST_METRICS_MIN.as_millis()
            ));
        }
        for (i, pattern) in self.watch_processes.iter().enumerate() {
            if let Err(error) = regex::Regex::new(pattern) {
                problems.push(format!("agent.watch_processes[{i}]: {error}"));
            }
        }
        for (i, source) in self.sources.iter().enumerate() {
            if source.include.is_empty() {
                problems.push(format!("agent.sources[{i}].include: name at least one glob"));
            }
            for glob in source.include.iter().chain(&source.exclude) {
                if let Err(error) = globset::Glob::new(glob) {
                    problems.push(format!("agent.sources[{i}]: {error}"));
                } else if !glob.starts_with('/') {
                    problems.push(format!("agent.sources[{i}]: the glob `{glob}` must begin with /"));
                }
            }
            if Charset::of(&source.encoding).is_none() {
                problems.push(format!(
                    "agent.sources[{i}].encoding: `{}` is not an encoding that can be read; write for example utf-8, gbk or utf-16le",
                    source.encoding
                ));
            }
            if let Err(error) = source.format.pattern() {
                problems.push(format!("agent.sources[{i}].format: {error}"));
            }
            if let Err(error) = source.format.zone() {
                problems.push(format!(
                    "agent.sources[{i}].format.zone: {error}; write a name such as Asia/Shanghai, or +08:00"
                ));
            }
            let groups: Vec<String> = match source.path_pattern.as_deref().map(regex::Regex::new) {
                Some(Err(error)) => {
                    problems.push(format!("agent.sources[{i}].path_pattern: {error}"));
                    continue;
                }
                Some(Ok(pattern)) => pattern.capture_names().flatten().map(str::to_owned).collect(),
                None => Vec::new(),
            };
            for (key, template) in &source.attributes {
                for group in groups_in(template).filter(|group| groups.iter().all(|known| known != group)) {
                    let known = match groups.is_empty() {
                        true => "it names none".to_owned(),
                        false => format!("it has {}", groups.join(", ")),
                    };
                    problems.push(format!(
                        "agent.sources[{i}].attributes.{key}: path_pattern has no group `{group}`; {known}"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_the_path_has_not_is_told() {
        let problems = |pattern: Option<&str>, value: &str| {
            let source = SourceConfig {
                include: vec!["/srv/*.log".into()],
                path_pattern: pattern.map(Into::into),
                attributes: [("service.name".into(), value.into())].into(),
                ..SourceConfig::default()
            };
            let mut problems = Vec::new();
            Config { sources: vec![source], ..Config::default() }.validate(&mut problems);
            problems
        };
        let path = Some("/(?<service>[a-z]+)-(?<pod>[0-9]+)");
        assert_eq!(problems(path, "${service}"), [] as [String; 0]);
        assert_eq!(problems(None, "shop"), [] as [String; 0]);
        let told = |known: &str| {
            format!("agent.sources[0].attributes.service.name: path_pattern has no group `servise`; {known}")
        };
        assert_eq!(problems(path, "a ${pod} ${servise}"), [told("it has service, pod")]);
        assert_eq!(problems(None, "${servise}"), [told("it names none")]);
    }
}
