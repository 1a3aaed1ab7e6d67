//! The connection to a cluster: one producer for all signals, what librdkafka says, and what its errors mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Semaphore;
use weir_model::Signal;
use weir_transport::{Position, SendErrorKind, Senders};

use crate::dead_letter::KafkaDeadLetters;
use crate::generation::Generations;
use crate::group::{Assignment, Coordinator};
use crate::producer::{Lent, Producer};
use crate::receive::KafkaReceiver;
use crate::send::KafkaSender;
use crate::settings::Config;
use crate::topics::Topic;

/// When to come again after a passing error.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Longest wait for the answer to a look.
const LOOK: Duration = Duration::from_secs(3);

/// What librdkafka tells besides answers: its log, and the last trouble with a broker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    trouble: Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>,
    /// Brokers have answered once, so that this client is set up as they want it.
    met: Arc<AtomicBool>,
    /// Who is told of the group's partitions; `None` where they are assigned outright.
    coordinator: Option<Coordinator>,
}

impl Context {
    /// Of a consumer that is member of a group.
    pub(crate) fn of_group(coordinator: Coordinator) -> Self {
        Self { coordinator: Some(coordinator), ..Self::default() }
    }

    /// What is wrong with the connections, as far as it was told since the last success.
    pub(crate) fn trouble(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.trouble.lock().clone()
    }

    pub(crate) fn all_is_well(&self) {
        self.met.store(true, Ordering::Relaxed);
        self.trouble.lock().take();
    }

    /// What a person can do about a trouble, after a message that says it. `reason` is librdkafka's, where it gives one.
    fn advice(&self, code: RDKafkaErrorCode, reason: &str) -> &'static str {
        const CLOSED: &str = "; where they speak TLS or ask for a password, see `kafka.tls.enabled` and `kafka.sasl.mechanism`";
        match code {
            Code::SSL => "; see `kafka.tls.ca_file`, which names the certificates that vouch for the brokers",
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState => {
                "; see `kafka.sasl` (mechanism, username) and the password in `WEIR_KAFKA__SASL__PASSWORD`"
            }
            _ if self.met.load(Ordering::Relaxed) => "",
            // One of them is all that is told where connections are taken and hung up, whichever comes first.
            Code::AllBrokersDown => CLOSED,
            Code::BrokerTransportFailure if reason.contains("Disconnected") => CLOSED,
            _ => "",
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // What makes a producer useless is told by whoever replaces it.
            _ if facility == "FATAL" => tracing::debug!("{message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            // A broker that goes away is such an "error", once a second; whoever waits for it says so.
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        // That all brokers are down says less than why one is.
        let mut trouble = self.trouble.lock();
        if code != Code::AllBrokersDown || trouble.is_none() {
            *trouble = Some((code, reason.to_owned()));
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Lent>;

    fn delivery(&self, result: &DeliveryResult<'_>, lent: Self::DeliveryOpaque) {
        lent.give_back(match result {
            Ok(message) => Ok(Position(message.offset().max(0) as u64)),
            Err((error, _)) => Err(error.clone()),
        });
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match &self.coordinator {
            Some(coordinator) => coordinator.rebalance(consumer, what, partitions),
            // Only at the end: what was assigned outright is taken away by nobody else.
            None => drop(consumer.unassign()),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "the group's offsets can't be committed; the store has its own");
        }
    }
}

/// What a caller can do about an error of librdkafka or a broker.
pub(crate) fn kind(code: RDKafkaErrorCode) -> SendErrorKind {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidMessage | Code::InvalidRecord => {
            SendErrorKind::Refused
        }
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SSL
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::InvalidTopic
        | Code::PolicyViolation
        | Code::UnsupportedVersion
        | Code::UnsupportedCompressionType
        | Code::UnsupportedForMessageFormat => SendErrorKind::Fatal,
        _ => SendErrorKind::Retry { after: RETRY },
    }
}

/// Something does not work: what can be done, and what to tell a person.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: SendErrorKind,
    pub(crate) message: String,
}

/// What senders and receivers share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) admin: AdminClient<Context>,
    /// Room in the queue of the producer, in KiB.
    pub(crate) room: Semaphore,
    producer: Mutex<Arc<Producer>>,
    /// Why a topic could not be looked at the last time, by its name.
    pub(crate) unseen: Mutex<BTreeMap<String, String>>,
}

impl Shared {
    pub(crate) fn producer(&self) -> Arc<Producer> {
        self.producer.lock().clone()
    }

    /// Takes another producer where librdkafka has given this one up, and says why it did.
    pub(crate) fn replace_dead_producer(&self, dead: &Arc<Producer>) -> Option<RDKafkaErrorCode> {
        let (code, reason) = dead.client().fatal_error()?;
        let mut producer = self.producer.lock();
        if Arc::ptr_eq(&producer, dead) {
            match kind(code) {
                // Whoever sends says what a person has to do.
                SendErrorKind::Fatal => tracing::debug!(%code, "the producer is replaced: {reason}"),
                _ => tracing::warn!(%code, "the producer can't go on and is replaced: {reason}"),
            }
            self.renew(&mut producer);
        }
        Some(code)
    }

    /// Takes another producer, since what this one knows of a topic is about one that is gone.
    pub(crate) fn replace_producer(&self, topic: &str) {
        tracing::warn!(topic, "the topic was recreated: what was in it before and was not read is lost");
        self.renew(&mut self.producer.lock());
    }

    /// Whoever waits for the old one's answers still gets them.
    fn renew(&self, producer: &mut Arc<Producer>) {
        match Producer::start(&self.config.producer(), self.context.clone()) {
            Ok(fresh) => *producer = Arc::new(fresh),
            Err(error) => tracing::error!(%error, "there is no new producer; it is tried again"),
        }
    }

    /// What lets a message say who lacks a right.
    pub(crate) fn user(&self) -> String {
        match self.config.sasl.mechanism {
            Some(_) => format!("the user `{}`", self.config.sasl.username),
            None => "this client".into(),
        }
    }

    /// Puts into words what keeps brokers from answering.
    pub(crate) fn away(&self, context: &Context, code: RDKafkaErrorCode) -> Problem {
        if let Some(mut problem) = self.unreachable(context) {
            if problem.kind != SendErrorKind::Fatal {
                problem.kind = kind(code);
            }
            return problem;
        }
        let (brokers, advice) = (self.config.names(), self.context.advice(code, ""));
        Problem { kind: kind(code), message: format!("Kafka at {brokers} does not answer: {code}{advice}") }
    }

    /// Puts into words what was told of the connections since the last success, if anything was.
    pub(crate) fn unreachable(&self, context: &Context) -> Option<Problem> {
        let (code, reason) = context.trouble()?;
        let (brokers, advice) = (self.config.names(), self.context.advice(code, &reason));
        let what = match kind(code) {
            SendErrorKind::Fatal => "does not let us in",
            _ => "can't be reached",
        };
        Some(Problem { kind: kind(code), message: format!("Kafka at {brokers} {what}: {reason}{advice}") })
    }
}

/// A cluster that carries the data. Cloning shares the connections.
#[derive(Clone)]
pub struct Kafka(Arc<Shared>);

impl Kafka {
    /// Makes the clients; brokers are asked when something is sent or read. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When librdkafka does not take the settings, which [`Config`]'s validation says in better words.
    pub fn new(config: Config) -> Result<Self, KafkaError> {
        let context = Context::default();
        let producer = Producer::start(&config.producer(), context.clone())?;
        let admin = config.producer().create_with_context(context.clone())?;
        let room = Semaphore::new((config.queue_bytes.0 >> 10) as usize);
        let producer = Mutex::new(Arc::new(producer));
        Ok(Self(Arc::new(Shared { config, context, admin, room, producer, unseen: Mutex::default() })))
    }

    /// Appends to the topic of a signal.
    pub fn sender(&self, signal: Signal) -> KafkaSender {
        KafkaSender::new(self.0.clone(), self.topic(signal))
    }

    /// Appends to the topics of all signals.
    pub fn senders(&self) -> Senders {
        let sender = |signal| Arc::new(self.sender(signal));
        Senders { logs: sender(Signal::Logs), spans: sender(Signal::Spans), metrics: sender(Signal::Metrics) }
    }

    /// Reads the topic of a signal, all of its partitions or those that the group gives to this process.
    ///
    /// # Errors
    /// When librdkafka does not take the settings.
    pub fn receiver(
        &self,
        signal: Signal,
        assignment: Assignment,
        generations: Arc<dyn Generations>,
    ) -> Result<KafkaReceiver, KafkaError> {
        KafkaReceiver::new(&self.0, signal, self.topic(signal), assignment, generations)
    }

    /// What could not be stored.
    pub fn dead_letters(&self) -> KafkaDeadLetters {
        KafkaDeadLetters::new(self.0.clone())
    }

    /// What keeps topics from being read, for a person: what the last look at one of them met, or what was told of the connections, which may be over
    /// already; [`Self::look`] finds out.
    pub fn trouble(&self) -> Option<String> {
        let unseen = self.0.unseen.lock().values().next().cloned();
        unseen.or_else(|| self.0.unreachable(&self.0.context).map(|problem| problem.message))
    }

    /// Asks brokers something small, which takes a few seconds at most. Where they answer the connections are well.
    pub async fn look(&self) {
        let shared = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || {
            if shared.producer().client().fetch_metadata(None, LOOK).is_ok() {
                shared.context.all_is_well();
            }
        });
        // It does not panic, and at the end of the process nobody waits for it.
        let _ = asked.await;
    }

    fn topic(&self, signal: Signal) -> Topic {
        Topic::new(self.0.config.topics.of(signal))
    }
}
