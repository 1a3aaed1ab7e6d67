//! `weir explain` as a user calls it: on every sample of real producers, compressed, from standard input, and with a configuration.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value as Json;
use weir_tests::server::binary;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/formats");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn explain(args: &[&str]) -> Output {
    Command::new(binary()).arg("explain").args(args).output().expect("weir runs")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("the explanation is text")
}

fn json(args: &[&str]) -> Json {
    serde_json::from_str(&stdout(&explain(args))).expect("--json writes JSON")
}

#[test]
fn every_sample_is_explained() {
    for folder in cases() {
        let expected: serde_yaml_ng::Value =
            serde_yaml_ng::from_slice(&fs::read(folder.join("expected.yaml")).unwrap()).unwrap();
        let text = |key: &str, default: &str| expected[key].as_str().unwrap_or(default).to_owned();
        let sample = folder.join("sample.log");
        let sample = sample.to_str().unwrap();
        let found = json(&["--json", "--lines", "100000", sample]);
        assert_eq!(found["format"], text("format", ""), "{sample}");
        assert_eq!(found["wrapper"], text("wrapper", "none"), "{sample}");
        let records = expected["records"].as_sequence().unwrap().len();
        assert_eq!(found["records"].as_array().unwrap().len(), records, "{sample}");
        assert_eq!(found["counts"]["records"], records, "{sample}");
        let shown = stdout(&explain(&[sample]));
        assert!(shown.contains(&format!("\nformat     {}", text("format", ""))), "{shown}");
    }
}

#[test]
fn compressed_and_piped_input_gives_the_same_records() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/formats/java-logback/sample.log");
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("shop.log");
    fs::copy(&sample, &plain).unwrap();
    // Both say when the last line was written, which settles the zone.
    let written = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_631_268_270);
    let zipped = folder.path().join("shop.log.gz");
    let mut encoder = GzEncoder::new(File::create(&zipped).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(&sample).unwrap()).unwrap();
    encoder.finish().unwrap();
    for path in [&plain, &zipped] {
        File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
    }
    let found = json(&["--json", plain.to_str().unwrap()]);
    assert_eq!(found["zone"], "+08:00");
    assert_eq!(found["records"][0]["time"], "2026-11-25T18:27:48.229Z");
    let unzipped = json(&["--json", zipped.to_str().unwrap()]);
    assert_eq!(unzipped["compressed"], true);
    assert_eq!(unzipped["records"], found["records"]);

    let mut child = Command::new(binary())
        .args(["explain", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&sample).unwrap()).unwrap();
    let piped: Json = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(piped["format"], "app");
    assert_eq!(piped["records"].as_array().unwrap().len(), 6);
}

#[test]
fn other_encodings_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let line = "2026-11-25 12:00:00,123 WARN a.B - 一杯茶 \u{a0a}\n";
    let marked = folder.path().join("marked.log");
    let utf16 = format!("\u{feff}{}", line.repeat(3));
    fs::write(&marked, utf16.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let found = json(&["--json", marked.to_str().unwrap()]);
    assert_eq!((&found["encoding"], &found["format"]), (&"UTF-16LE".into(), &"app".into()));
    let lines: Vec<_> = found["records"].as_array().unwrap().iter().map(|record| &record["line"]).collect();
    assert_eq!(lines, [1, 2, 3]);
    assert_eq!(found["records"][1]["start"], 2 + 2 * line.encode_utf16().count());
    assert!(found["records"][2]["body"].as_str().unwrap().contains("一杯茶 \u{a0a}"), "{found}");

    let named = folder.path().join("named.log");
    fs::write(&named, b"\xd2\xbb\xb1\xad\xb2\xe8\n").unwrap();
    let config = folder.path().join("weir.yaml");
    let source = |encoding: &str| {
        let text =
            format!("agent: {{sources: [{{include: ['{}'], encoding: {encoding}}}]}}", named.display());
        fs::write(&config, text).unwrap();
        explain(&["--config", config.to_str().unwrap(), named.to_str().unwrap()])
    };
    let shown = stdout(&source("gbk"));
    assert!(shown.contains("\nencoding   GBK\n") && shown.contains("\n    | 一杯茶\n"), "{shown}");
    let shown = stdout(&source("utf-8"));
    assert!(!shown.contains("encoding") && shown.contains("\nnote       1 not UTF-8\n"), "{shown}");
    let refused = source("klingon");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("agent.sources[0].encoding: `klingon`"), "{said}");
}

#[test]
fn a_configuration_applies_where_it_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let log = folder.join("cart-7.log");
    fs::write(
        &log,
        "30.01.2023 11:38:53 WARN seat=7 no seat\n  and none free\n30.01.2023 11:38:54 INFO seat=8 taken\n",
    )
    .unwrap();
    let config = folder.join("weir.yaml");
    let root = folder.display();
    let yaml = format!(
        r"
agent:
  sources:
    - include: ['{root}/other/*.log']
    - include: ['{root}/*.log']
      path_pattern: '(?<service>[a-z]+)-[0-9]+\.log$'
      attributes: {{ service.name: '${{service}}' }}
      format:
        regex: '^(?<time>\S+ \S+) (?<level>\w+) seat=(?<seat>\d+) (?<message>.*)$'
        time_format: '%d.%m.%Y %H:%M:%S'
        zone: '+08:00'
"
    );
    fs::write(&config, yaml).unwrap();
    let args = ["--json", "--config", config.to_str().unwrap(), log.to_str().unwrap()];
    let found = json(&args);
    assert_eq!(found["source"], 1);
    assert_eq!(found["resource"]["service.name"], "cart");
    assert_eq!(found["format"], "pattern");
    assert_eq!(found["zone"], "+08:00");
    let records = found["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["time"], "2023-01-30T03:38:53Z");
    assert_eq!(records[0]["lines"], 2);
    assert_eq!(records[0]["attributes"]["seat"], "7");
    let shown = stdout(&explain(&args[1..]));
    assert!(shown.contains("agent.sources[1] of the configuration names it"), "{shown}");
    assert!(shown.contains("the zone is that of the configuration (+08:00)"), "{shown}");
}

#[test]
fn spans_of_lines_are_shown() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/formats/nginx-traced/sample.log");
    let sample = sample.to_str().unwrap();
    let found = json(&["--json", sample]);
    let spans = found["records"][1]["spans"].as_array().unwrap();
    let kinds: Vec<_> = spans.iter().map(|s| s["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["server", "client", "client", "client"]);
    let servers: Vec<_> = spans.iter().map(|s| s["server"].as_str()).collect();
    assert_eq!(servers, [None, Some("127.0.0.1:19181"), Some("127.0.0.1:19182"), Some("127.0.0.1:19183")]);
    assert_eq!(spans[0]["duration_nanoseconds"], 39_000_000);
    let text = stdout(&explain(&[sample]));
    assert!(text.contains("=> server span \"GET /cart\""), "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    let output = explain(&["/nowhere/app.log"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("can't read /nowhere/app.log"), "{error}");
    let output = explain(&["/"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is not a file"));
}
