//! The store of a process: the embedded one in its data folder, or a search engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use tokio::task::AbortHandle;
use weir_disk::{read, write_atomic};
use weir_model::Signal;
use weir_query_ui::StageStatus;
use weir_runtime::{Health, Trouble};
use weir_store::{PutError, Reader, Revision, State, Writer};
use weir_store_elastic::{ElasticReader, ElasticStore, OpenError, Retention};
use weir_store_tantivy::{Settings, TantivyStore};
use weir_transport::{Epoch, Position};
use weir_transport_kafka::{Assignment, Epochs, Generation, Generations};

use crate::config::Config;
use crate::engine;
use crate::status::{counted, stage};
use crate::wiring::{DataFolder, say};

/// How long a search engine may take to answer at the start: it may be starting as well.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Under which key a search engine knows what its positions belong to.
const FED_FROM: &str = "weir.fed-from";
/// Under which key it keeps the number of the last assignment of a lane to a process.
const LAST_EPOCH: &str = "weir.last-epoch";
/// Under which keys a store knows which topics its positions are of, with the topic's name behind it.
const TOPIC: &str = "weir.topic.";
/// The file of a data folder by whose content its disk logs are told apart from those of others.
const LOG_ID: &str = "log-id";

/// An open store. Cloning shares it.
#[derive(Clone)]
pub(crate) enum Store {
    Embedded(TantivyStore),
    Elastic {
        store: ElasticStore,
        /// Delete what is too old, and tell health whether it answers.
        _tasks: Arc<[Task; 2]>,
    },
}

/// A task that ends with its owner.
pub(crate) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Store {
    pub(crate) async fn open(folder: &DataFolder, config: &Config, health: &Health) -> anyhow::Result<Self> {
        match config.store.elastic.is_used() {
            true => open_elastic(config, health).await,
            false => open_embedded(folder, config).await,
        }
    }

    pub(crate) fn writer(&self) -> Arc<dyn Writer> {
        match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Elastic { store, .. } => Arc::new(store.clone()),
        }
    }

    pub(crate) fn reader(&self) -> Arc<dyn Reader> {
        match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Elastic { store, .. } => Arc::new(store.clone()),
        }
    }

    pub(crate) fn state(&self) -> Arc<dyn State> {
        match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Elastic { store, .. } => Arc::new(store.clone()),
        }
    }

    /// Who reads which partitions of Kafka's topics: what lies in a data folder has one process that writes it, a search engine may have several.
    pub(crate) fn assignment(&self) -> Assignment {
        match self {
            Self::Embedded(_) => Assignment::All,
            Self::Elastic { store, .. } => Assignment::Shared(Arc::new(Counter(store.clone()))),
        }
    }

    /// Which topics of Kafka's the positions are of.
    pub(crate) fn generations(&self) -> Arc<dyn Generations> {
        Arc::new(KnownTopics(self.state()))
    }

    /// From where a signal's disk log goes on where there is none any more.
    pub(crate) async fn resume(&self, signal: Signal) -> anyhow::Result<Position> {
        Ok(match self {
            Self::Embedded(store) => store.resume(signal),
            Self::Elastic { store, .. } => store.resume(signal).await?,
        })
    }

    /// Sees to it that the store is fed by one log all its life: positions of another would mean other data. What lies in a data folder is
    /// watched over there; a search engine could be filled from several.
    pub(crate) async fn claim(&self, log: &str) -> anyhow::Result<()> {
        let Self::Elastic { store, .. } = self else { return Ok(()) };
        let begun = Instant::now();
        loop {
            let claimed = match store.get(FED_FROM).await {
                Ok(Some((_, before))) => {
                    let before = String::from_utf8_lossy(&before).into_owned();
                    anyhow::ensure!(
                        before == log,
                        "the indices of this prefix are filled from {before}, and can't be from {log} as well; \
                         choose another store.elastic.prefix, or let the data come by Kafka"
                    );
                    return Ok(());
                }
                Ok(None) => store.put_if(FED_FROM, Revision(0), log.as_bytes()).await,
                Err(error) => Err(error),
            };
            match claimed {
                Ok(_) => return Ok(()),
                // Read again by whom.
                Err(PutError::Conflict(_)) => {}
                Err(error) if begun.elapsed() >= PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Why it can't be asked, where that is known.
    pub(crate) fn away(&self) -> Option<String> {
        match self {
            Self::Embedded(_) => None,
            Self::Elastic { store, .. } => store.nodes().away(),
        }
    }

    /// What the status page says of it.
    pub(crate) fn stages(&self, health: &Health) -> Vec<StageStatus> {
        match self {
            // Metric points have no shards.
            Self::Embedded(store) => [Signal::Logs, Signal::Spans]
                .map(|signal| {
                    let stats = store.stats(signal);
                    let detail =
                        format!("{}, {} removed by retention", counted(stats.shards, "shard"), stats.expired);
                    let records = stats.records - stats.expired;
                    StageStatus { records, ..stage(format!("store {signal}"), detail, None) }
                })
                .into(),
            Self::Elastic { store, .. } => {
                let refused = store.refused();
                let causes = refused.iter().map(|(cause, count)| format!(", {count} refused: {cause}"));
                let detail = format!("{:?}", store.family()) + &causes.collect::<String>();
                let stage = engine::stage("store", detail, &store.nodes(), health);
                vec![StageStatus { lost: refused.values().sum(), ..stage }]
            }
        }
    }
}

/// Numbers the assignments of all collectors that write to the same indices.
struct Counter(ElasticStore);

#[async_trait]
impl Epochs for Counter {
    async fn next(&self) -> Result<Epoch, String> {
        loop {
            let (revision, last) = match self.0.get(LAST_EPOCH).await.map_err(|error| error.to_string())? {
                Some((revision, last)) => (revision, String::from_utf8_lossy(&last).into_owned()),
                None => (Revision(0), "0".into()),
            };
            let last: u64 = last.parse().map_err(|_| format!("`{last}` under {LAST_EPOCH} is no number"))?;
            match self.0.put_if(LAST_EPOCH, revision, (last + 1).to_string().as_bytes()).await {
                Ok(_) => return Ok(Epoch(last + 1)),
                // Another has had that one.
                Err(PutError::Conflict(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Remembers in the store itself which topics its positions are of.
struct KnownTopics(Arc<dyn State>);

#[async_trait]
impl Generations for KnownTopics {
    async fn of(&self, topic: &str, id: u128) -> Result<Generation, String> {
        let (key, id) = (format!("{TOPIC}{topic}"), format!("{id:032x}"));
        loop {
            // Id and generation.
            let (revision, number, is_news) = match self.0.get(&key).await.map_err(|e| e.to_string())? {
                None => (Revision(0), 0, false),
                Some((revision, known)) => {
                    let known = String::from_utf8_lossy(&known).into_owned();
                    let parts = known.split_once(' ').and_then(|(id, n)| Some((id, n.parse::<u64>().ok()?)));
                    match parts.ok_or_else(|| format!("`{known}` under {key} is no topic"))? {
                        (last, number) if last == id => return Ok(Generation { number, is_news: false }),
                        (_, number) => (revision, number + 1, true),
                    }
                }
            };
            match self.0.put_if(&key, revision, format!("{id} {number}").as_bytes()).await {
                Ok(_) if is_news => {
                    tracing::error!(
                        topic,
                        "the topic was recreated: what was in it before and was not read is lost"
                    );
                    return Ok(Generation { number, is_news });
                }
                Ok(_) => return Ok(Generation { number, is_news }),
                // Another has met it at the same time.
                Err(PutError::Conflict(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// What a search engine calls the disk logs of a data folder.
pub(crate) fn disk_log(folder: &DataFolder) -> anyhow::Result<String> {
    let path = folder.path.join(LOG_ID);
    let id = if folder.disk.exists(&path)? {
        String::from_utf8(read(folder.disk.as_ref(), &path)?)?
    } else {
        let id = format!("{:032x}", rand::random::<u128>());
        write_atomic(folder.disk.as_ref(), &path, id.as_bytes())?;
        id
    };
    Ok(format!("the disk log {id}"))
}

async fn open_embedded(folder: &DataFolder, config: &Config) -> anyhow::Result<Store> {
    let settings = Settings {
        shard_records: config.store.shard_records,
        shard_bytes: config.store.shard_bytes.0,
        shard_age: config.store.shard_age.0,
        retain_age: config.store.retain_age.0,
        retain_bytes: config.store.retain_bytes.0,
        unique_spans: config.store.unique_spans.0,
        ..Settings::default()
    };
    let (disk, dir) = (folder.disk.clone(), folder.path.join("store"));
    let store = tokio::task::spawn_blocking(move || TantivyStore::open(disk, &dir, settings)).await??;
    let held = |signal| store.stats(signal).records - store.stats(signal).expired;
    let (logs, spans) = (held(Signal::Logs), held(Signal::Spans));
    say("store", format_args!("{} holds {logs} log records and {spans} spans", folder.path.display()));
    Ok(Store::Embedded(store))
}

/// Opens a search engine, which may be starting as well.
async fn patiently<S>(open: impl AsyncFn() -> Result<S, OpenError>) -> anyhow::Result<S> {
    let (begun, opening) = (Instant::now(), Trouble::default());
    loop {
        match open().await {
            Ok(store) => {
                if let Some(lasted) = opening.good() {
                    tracing::info!(seconds = lasted.as_secs(), "the search engine can be used now");
                }
                return Ok(store);
            }
            Err(error) if error.is_passing && begun.elapsed() < PATIENCE => {
                if opening.bad().is_some() {
                    tracing::warn!(%error, "the search engine can't be used yet; it is tried again for {PATIENCE:?}");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(error).context("can't open the store (store.elastic)"),
        }
    }
}

/// The search engine for a process that only reads.
pub(crate) async fn open_reader(config: &Config) -> anyhow::Result<ElasticReader> {
    patiently(async || ElasticReader::open(&config.store.elastic).await).await
}

async fn open_elastic(config: &Config, health: &Health) -> anyhow::Result<Store> {
    let elastic = &config.store.elastic;
    let store = patiently(async || ElasticStore::open(elastic).await).await?;
    let urls = elastic.urls.join(" ");
    say("store", format_args!("{:?} at {urls}, indices {}-*", store.family(), elastic.prefix));
    let retention =
        Retention { age: Some(config.store.retain_age.0), bytes: Some(config.store.retain_bytes.0) };
    let retaining = tokio::spawn(store.clone().keep_retaining(retention));
    let watching = tokio::spawn(engine::watch(store.nodes(), health.clone()));
    let tasks = [retaining.abort_handle(), watching.abort_handle()].map(Task);
    Ok(Store::Elastic { store, _tasks: Arc::new(tasks) })
}
