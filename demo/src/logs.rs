//! One log file: lines in the shape its producer writes, rotated by rename when it is full.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::json;

/// Rotated files kept beside the live one.
const KEEP: u32 = 3;

#[derive(Clone, Copy)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy)]
enum Format {
    Spring,
    Logfmt,
    Zap,
    Pino,
}

pub(crate) struct LogFile {
    path: PathBuf,
    limit: u64,
    open: Mutex<(File, u64)>,
}

impl LogFile {
    pub(crate) fn open(path: PathBuf, limit: u64) -> io::Result<Self> {
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, limit, open: Mutex::new((file, size)) })
    }

    pub(crate) fn write(&self, line: &str) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if open.1 > 0 && open.1 + line.len() as u64 >= self.limit {
            for n in (1..KEEP).rev() {
                let from = numbered(&self.path, n);
                if from.exists() {
                    fs::rename(from, numbered(&self.path, n + 1))?;
                }
            }
            fs::rename(&self.path, numbered(&self.path, 1))?;
            *open = (append(&self.path)?, 0);
        }
        open.0.write_all(format!("{line}\n").as_bytes())?;
        open.1 += line.len() as u64 + 1;
        Ok(())
    }
}

/// The application log of one service.
pub(crate) struct AppLog {
    service: &'static str,
    format: Format,
    file: LogFile,
}

impl AppLog {
    pub(crate) fn open(service: &'static str, dir: &Path, limit: u64) -> io::Result<Self> {
        let format = match service {
            "order" => Format::Spring,
            "product" => Format::Logfmt,
            "payment" => Format::Pino,
            _ => Format::Zap,
        };
        Ok(Self { service, format, file: LogFile::open(dir.join(format!("{service}.log")), limit)? })
    }

    /// Writes one line; a disk that refuses it is told on stderr and the service goes on.
    pub(crate) fn line(&self, level: Level, trace: &str, span: &str, message: &str) {
        let line = render(self.format, self.service, level, trace, span, message, &now());
        if let Err(error) = self.file.write(&line) {
            eprintln!(
                "cannot write {}: {error}; free some space or choose another --log-dir",
                self.file.path.display()
            );
        }
    }
}

pub(crate) fn now() -> Zoned {
    Timestamp::now().to_zoned(TimeZone::UTC)
}

fn render(
    f: Format,
    service: &str,
    level: Level,
    trace: &str,
    span: &str,
    message: &str,
    now: &Zoned,
) -> String {
    let pid = std::process::id();
    let upper = ["DEBUG", "INFO", "WARN", "ERROR"][level as usize];
    match f {
        Format::Spring => format!(
            "{} {upper:>5} [{service},{trace},{span}] {pid} --- [nio-8080-exec-1] c.w.shop.{service}.Controller : {message}",
            now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
        ),
        Format::Logfmt => format!(
            "time={} level={upper} msg={message:?} trace_id={trace} span_id={span}",
            now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
        ),
        Format::Zap => {
            json!({"level": upper.to_lowercase(), "ts": now.timestamp().as_microsecond() as f64 / 1e6,
            "caller": format!("{service}/handler.go:42"), "msg": message, "trace_id": trace, "span_id": span})
            .to_string()
        }
        Format::Pino => json!({"level": 20 + 10 * level as u32, "time": now.timestamp().as_millisecond(),
            "pid": pid, "hostname": "shop", "trace_id": trace, "span_id": span, "msg": message})
        .to_string(),
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    PathBuf::from(format!("{}.{n}", path.display()))
}
