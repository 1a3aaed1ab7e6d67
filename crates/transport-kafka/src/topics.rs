//! Topics: created where that is allowed, and looked at before the first batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::Mutex;
use weir_transport::SendErrorKind;

use crate::client::{Problem, RETRY, Shared, kind};
use crate::topic_id::topic_id;

/// Pause between two looks for a topic that was created just now.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Room that a topic of dead letters has for its headers, bytes.
const DEAD_LETTER_HEADERS: u64 = 64 << 10;

/// What a topic is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) partitions: u32,
    /// Largest message that it takes (`max.message.bytes`), as far as brokers tell.
    pub(crate) message_bytes: usize,
    /// By which it is told from one of the same name, as far as brokers tell.
    pub(crate) id: Option<u128>,
}

/// A topic by its name.
pub(crate) struct Topic {
    pub(crate) name: String,
    known: Mutex<Known>,
}

/// What is known of a topic.
#[derive(Debug, Default)]
struct Known {
    /// `None` where it has to be looked at.
    now: Option<Layout>,
    /// What it was like at the last look.
    last: Option<Layout>,
}

impl Topic {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), known: Mutex::default() }
    }

    /// What the topic was like when it was first looked at; it is made where it is not there.
    pub(crate) async fn layout(&self, shared: &Arc<Shared>) -> Result<Layout, Problem> {
        // Held while looking: who comes meanwhile waits for the same answer.
        let mut known = self.known.lock().await;
        if let Some(layout) = known.now {
            return Ok(layout);
        }
        let mut layout = ask(shared, &self.name).await?;
        match known.last {
            Some(last) if last.id == layout.id => layout.partitions = layout.partitions.min(last.partitions),
            // librdkafka would go on looking for the old one's leaders.
            Some(_) => shared.replace_producer(&self.name),
            None => {}
        }
        tracing::debug!(topic = self.name, partitions = layout.partitions, "found");
        (known.now, known.last) = (Some(layout), Some(layout));
        Ok(layout)
    }

    /// It may not be what it was: the next batch looks again. Where it is, it keeps the partitions that it had.
    pub(crate) async fn forget(&self) {
        self.known.lock().await.now = None;
    }
}

/// [`ask`] with a note of how it went, for health.
pub(crate) async fn look(shared: &Arc<Shared>, name: &str) -> Result<Layout, Problem> {
    let found = ask(shared, name).await;
    let mut unseen = shared.unseen.lock();
    match &found {
        Ok(_) => drop(unseen.remove(name)),
        Err(problem) => drop(unseen.insert(name.to_owned(), problem.message.clone())),
    }
    found
}

/// Asks the brokers about a topic, and creates it where it is missing and that is allowed.
async fn ask(shared: &Arc<Shared>, name: &str) -> Result<Layout, Problem> {
    let refused = match partitions(shared, name).await? {
        Some(_) => None,
        None if shared.config.create_topics => create(shared, name).await?,
        None => Some("`kafka.create_topics` is off".to_owned()),
    };
    let mut found = partitions(shared, name).await?;
    let begun = Instant::now();
    // It takes a moment until every broker knows of a new one.
    while found.is_none() && refused.is_none() && begun.elapsed() < shared.config.answer_timeout() {
        tokio::time::sleep(LOOK_EVERY).await;
        found = partitions(shared, name).await?;
    }
    let Some(partitions) = found else {
        let (kind, why) = match refused {
            Some(why) => (SendErrorKind::Fatal, why),
            None => {
                (SendErrorKind::Retry { after: RETRY }, "brokers do not know yet that it was created".into())
            }
        };
        let message = format!(
            "there is no topic `{name}` at {}: {why}; create it, or name another in `kafka.topics`",
            shared.config.names()
        );
        return Err(Problem { kind, message });
    };
    let message_bytes = limit(shared, name).await.unwrap_or(shared.config.message_bytes.0 as usize);
    let id = id(shared, name).await?;
    shared.context.all_is_well();
    Ok(Layout { partitions, message_bytes, id })
}

/// How many partitions a topic has; `None` where there is no such topic.
async fn partitions(shared: &Arc<Shared>, name: &str) -> Result<Option<u32>, Problem> {
    let (asking, topic) = (shared.clone(), name.to_owned());
    let timeout = shared.config.answer_timeout();
    // All topics are asked for: to name one that is missing would let brokers create it as they like.
    let answer = tokio::task::spawn_blocking(move || {
        let metadata = asking.producer().client().fetch_metadata(None, timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok::<_, KafkaError>(found.map(|found| (found.partitions().len() as u32, found.error())))
    });
    match answer.await {
        Ok(Ok(Some((0, _)) | None)) => Ok(None),
        Ok(Ok(Some((partitions, _)))) => Ok(Some(partitions)),
        Ok(Err(error)) => {
            Err(shared.away(&shared.context, error.rdkafka_error_code().unwrap_or(Code::Unknown)))
        }
        Err(error) => {
            Err(Problem { kind: SendErrorKind::Retry { after: RETRY }, message: error.to_string() })
        }
    }
}

/// The topic's id; `None` where brokers give none.
async fn id(shared: &Arc<Shared>, name: &str) -> Result<Option<u128>, Problem> {
    let (asking, topic) = (shared.clone(), name.to_owned());
    let timeout = shared.config.answer_timeout();
    let answer = tokio::task::spawn_blocking(move || topic_id(asking.producer().client(), &topic, timeout));
    match answer.await {
        Ok(Ok(id)) => Ok(id),
        Ok(Err(error)) => {
            Err(shared.away(&shared.context, error.rdkafka_error_code().unwrap_or(Code::Unknown)))
        }
        Err(error) => {
            Err(Problem { kind: SendErrorKind::Retry { after: RETRY }, message: error.to_string() })
        }
    }
}

/// Creates a topic. `Some` is why that is not done.
async fn create(shared: &Shared, name: &str) -> Result<Option<String>, Problem> {
    let config = &shared.config;
    let is_of_dead_letters = name == config.topics.dead_letters;
    let retention = if is_of_dead_letters { config.dead_letter_retention } else { config.retention };
    let retention = retention.map(|retention| retention.0.as_millis().to_string());
    // A letter is what another topic took, with more headers.
    let more = if is_of_dead_letters { DEAD_LETTER_HEADERS } else { 0 };
    let message_bytes = (config.message_bytes.0 + more).to_string();
    let replication = TopicReplication::Fixed(config.replication.map_or(-1, |copies| copies as i32));
    let mut topic = NewTopic::new(name, config.partitions as i32, replication);
    topic = topic.set("max.message.bytes", &message_bytes);
    if let Some(retention) = &retention {
        topic = topic.set("retention.ms", retention);
    }
    let timeout = Some(config.answer_timeout());
    let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
    let answers = shared.admin.create_topics([&topic], &options).await;
    match answers.map(|mut answers| answers.pop()) {
        Ok(Some(Ok(_))) => {
            tracing::info!(topic = name, partitions = config.partitions, "created");
            Ok(None)
        }
        // Somebody else was faster.
        Ok(Some(Err((_, Code::TopicAlreadyExists))) | None) => Ok(None),
        Ok(Some(Err((_, code)))) => match kind(code) {
            SendErrorKind::Retry { .. }
                if code != Code::InvalidReplicationFactor && code != Code::InvalidConfig =>
            {
                Err(Problem {
                    kind: kind(code),
                    message: format!("the topic `{name}` can't be created: {code}"),
                })
            }
            SendErrorKind::Fatal
                if matches!(code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) =>
            {
                let user = shared.user();
                Ok(Some(format!(
                    "{user} may not create it, or may not see it where it is (grant Create and Describe on it): {code}"
                )))
            }
            _ => Ok(Some(format!("it can't be created: {code}"))),
        },
        Err(error) => Err(shared.away(&shared.context, error.rdkafka_error_code().unwrap_or(Code::Unknown))),
    }
}

/// The topic's `max.message.bytes`; `None` where brokers do not tell, which takes a right that not everybody has.
async fn limit(shared: &Shared, name: &str) -> Option<usize> {
    let options = AdminOptions::new().request_timeout(Some(shared.config.answer_timeout()));
    let topic = ResourceSpecifier::Topic(name);
    let described = shared.admin.describe_configs([&topic], &options).await.ok()?.pop()?.ok()?;
    described.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}
