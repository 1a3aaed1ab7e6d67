//! The socket in the data folder by which `weir dlq` reaches the process that has the folder: HTTP, for those alone who may use the folder.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::extract::{Path as Segment, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_transport::disk_log::{DiskDeadLetters, KeptLetter};
use weir_transport::{Batch, SendErrorKind, Senders};

/// Name of the socket.
const SOCKET: &str = "control.sock";
/// How long a letter is tried that the log has no room for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Replayed letters after which it is noted how far it has come.
pub(crate) const NOTE_EVERY: u64 = 1_000;

/// A dead letter as it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) number: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) time: u64,
    pub(crate) cause: String,
    pub(crate) signal: String,
    pub(crate) partition: u32,
    pub(crate) position: u64,
    /// 0 where it can't be read.
    pub(crate) records: u64,
    pub(crate) sent_again: bool,
    /// In base64; not in lists.
    body: Option<String>,
}

impl Told {
    pub(crate) fn of(kept: &KeptLetter) -> Self {
        let letter = &kept.letter;
        Self {
            number: kept.number,
            time: kept.time,
            cause: letter.cause.clone(),
            signal: letter.lane.signal.name().into(),
            partition: letter.lane.partition,
            position: letter.position.0,
            records: letter.records,
            sent_again: kept.sent_again,
            body: None,
        }
    }

    pub(crate) fn whole(kept: &KeptLetter) -> Self {
        Self { body: Some(STANDARD.encode(&kept.letter.body)), ..Self::of(kept) }
    }

    pub(crate) fn signal(&self) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.name() == self.signal)
    }

    pub(crate) fn body(&self) -> anyhow::Result<Bytes> {
        Ok(STANDARD.decode(self.body.as_deref().unwrap_or_default())?.into())
    }
}

/// Which letters are listed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Which {
    /// Those too that were sent again.
    pub(crate) all: bool,
    pub(crate) limit: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) letters: Vec<Told>,
    pub(crate) more: bool,
    /// How many were removed for want of room since the folder is there.
    pub(crate) removed: u64,
}

/// Lists letters, the oldest first. Blocks.
pub(crate) fn list(letters: &DiskDeadLetters, which: Which) -> io::Result<List> {
    let (mut found, mut more) = (Vec::new(), false);
    letters.read(0, |kept| {
        if which.all || !kept.sent_again {
            more = found.len() == which.limit;
            if !more {
                found.push(Told::of(&kept));
            }
        }
        !more
    })?;
    Ok(List { letters: found, more, removed: letters.removed() })
}

/// What was sent again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) sent: u64,
    /// Why it ended early.
    pub(crate) problem: Option<String>,
}

/// Answers at the socket of a folder.
pub(crate) struct Control {
    listener: UnixListener,
    app: Router,
}

struct Has {
    letters: Arc<DiskDeadLetters>,
    senders: Senders,
}

type Failed = (StatusCode, String);

fn failed(error: impl std::fmt::Display) -> Failed {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// The socket's path by way of an open folder, since such a path may have a hundred bytes only.
fn path(folder: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET)
}

impl Control {
    /// Listens in a folder that is this process's.
    pub(crate) fn bind(
        folder: &Path,
        letters: Arc<DiskDeadLetters>,
        senders: Senders,
    ) -> anyhow::Result<Self> {
        let open = File::open(folder)?;
        let path = path(&open);
        // Left by a process that was killed.
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("can't replace {SOCKET} in {}", folder.display()));
        }
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("can't listen at {SOCKET} in {}", folder.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let app = Router::new()
            .route("/dead-letters", get(listed))
            .route("/dead-letters/{number}", get(shown))
            .route("/replay", post(replayed))
            .with_state(Arc::new(Has { letters, senders }));
        Ok(Self { listener, app })
    }

    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        // A replay that is under way is given up; how far it came is noted.
        let served = axum::serve(self.listener, self.app).into_future();
        match stop.run_until_cancelled(served).await {
            Some(ended) => Ok(ended?),
            None => Ok(()),
        }
    }
}

async fn listed(State(has): State<Arc<Has>>, Query(which): Query<Which>) -> Result<Json<List>, Failed> {
    tokio::task::block_in_place(|| list(&has.letters, which)).map(Json).map_err(failed)
}

async fn shown(
    State(has): State<Arc<Has>>,
    Segment(number): Segment<u64>,
) -> Result<Json<Option<Told>>, Failed> {
    let found = tokio::task::block_in_place(|| has.letters.find(number)).map_err(failed)?;
    Ok(Json(found.as_ref().map(Told::whole)))
}

/// Sends the letters with these numbers again, or without any all that were not sent again yet.
async fn replayed(State(has): State<Arc<Has>>, Json(numbers): Json<Vec<u64>>) -> Json<Replayed> {
    Json(match numbers.is_empty() {
        true => has.all_again().await,
        false => has.again(&numbers).await,
    })
}

impl Has {
    async fn again(&self, numbers: &[u64]) -> Replayed {
        let mut done = Replayed::default();
        for number in numbers {
            let found = tokio::task::block_in_place(|| self.letters.find(*number));
            let sent = match found {
                Ok(Some(kept)) => self.send(&kept).await,
                Ok(None) => Err(gone(*number)),
                Err(error) => Err(error.to_string()),
            };
            match sent {
                Ok(()) => done.sent += 1,
                Err(problem) => {
                    done.problem = Some(problem);
                    break;
                }
            }
        }
        done
    }

    async fn all_again(&self) -> Replayed {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            let (mut done, mut last) = (Replayed::default(), None);
            let read = self.letters.read(0, |kept| {
                if kept.sent_again {
                    return true;
                }
                if let Err(problem) = runtime.block_on(self.send(&kept)) {
                    done.problem = Some(problem);
                    return false;
                }
                done.sent += 1;
                last = Some(kept.number);
                if done.sent % NOTE_EVERY == 0 {
                    done.problem = self.letters.note_sent_again(kept.number).err().map(|e| e.to_string());
                }
                done.problem.is_none()
            });
            let noted = last.map_or(Ok(()), |number| self.letters.note_sent_again(number));
            done.problem = done.problem.or(read.and(noted).err().map(|error| error.to_string()));
            done
        })
    }

    /// Appends a letter to the log that everything enters by. Answers when it is durable there.
    async fn send(&self, kept: &KeptLetter) -> Result<(), String> {
        let mut batch: Batch = self.letters.batch(kept)?;
        let begun = Instant::now();
        loop {
            match self.senders.of(batch.signal).send(batch).await {
                Ok(_) => return Ok(()),
                Err(error) => match error.kind {
                    SendErrorKind::Retry { after } if begun.elapsed() < PATIENCE => {
                        tokio::time::sleep(after).await;
                        batch = *error.batch;
                    }
                    _ => return Err(format!("the dead letter {} can't be sent again: {error}", kept.number)),
                },
            }
        }
    }
}

/// What is said of a letter that is not there.
pub(crate) fn gone(number: u64) -> String {
    format!("there is no dead letter {number}; `weir dlq list` names those that are there")
}

/// A process that has a folder, asked by another.
pub(crate) struct Running {
    folder: PathBuf,
}

impl Running {
    /// Whoever answers at the socket of a folder; `None` where nobody does.
    pub(crate) async fn find(folder: &Path) -> anyhow::Result<Option<Self>> {
        match connect(folder).await {
            Ok(_) => Ok(Some(Self { folder: folder.to_owned() })),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| {
                format!("can't reach the weir that has the data folder {}", folder.display())
            }),
        }
    }

    pub(crate) async fn list(&self, which: Which) -> anyhow::Result<List> {
        let query = format!("/dead-letters?all={}&limit={}", which.all, which.limit);
        self.ask(Method::GET, &query, Bytes::new()).await
    }

    pub(crate) async fn find_letter(&self, number: u64) -> anyhow::Result<Told> {
        let found: Option<Told> =
            self.ask(Method::GET, &format!("/dead-letters/{number}"), Bytes::new()).await?;
        found.ok_or_else(|| anyhow::Error::msg(gone(number)))
    }

    pub(crate) async fn replay(&self, numbers: &[u64]) -> anyhow::Result<Replayed> {
        self.ask(Method::POST, "/replay", serde_json::to_vec(numbers)?.into()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<T> {
        let lost = || format!("the weir that has the data folder {} does not answer", self.folder.display());
        let stream = connect(&self.folder).await.with_context(lost)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.with_context(lost)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "weir")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await.with_context(lost)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.with_context(lost)?.to_bytes();
        connection.abort();
        ensure!(head.status == StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let open = File::open(folder)?;
    UnixStream::connect(path(&open)).await
}
