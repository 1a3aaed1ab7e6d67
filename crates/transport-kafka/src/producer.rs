//! The producer: lends librdkafka the payloads, which are not copied, no more at a time than it waits for quietly, and hears its reports.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_vtype_t as tag;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::IntoOpaque;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use weir_transport::Position;

use crate::client::Context;
use crate::settings::{LINGER, REQUEST_BYTES};

/// Requests for one partition that librdkafka has messages for at a time. An idempotent producer has this many under way, and while more messages wait
/// behind them its thread asks without a pause whether they may go, for as long as the brokers take to answer.
const UNDER_WAY: usize = 5;
/// For how long after the first of a request's messages others join it. librdkafka sends what waits when the first has waited for its linger.
const JOIN: Duration = LINGER.checked_div(2).expect("it is not divided by zero");
/// How long reports are waited for at a time. The last millisecond of it is spent asking without a pause.
const WAIT: Duration = Duration::from_secs(1);

/// Where a message was written, or why not.
pub(crate) type Delivered = Result<Position, KafkaError>;

/// A message to be written.
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
    pub(crate) payload: Bytes,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
    /// Milliseconds since the Unix epoch; 0 for now.
    pub(crate) time: i64,
}

/// What is kept for a message until it is reported on.
pub(crate) struct Lent {
    report: oneshot::Sender<Delivered>,
    /// Is read by librdkafka until then.
    _payload: Bytes,
    _place: Place,
}

impl Lent {
    /// Ends the loan with a report. Nobody may be waiting for it any more.
    pub(crate) fn give_back(self, delivered: Delivered) {
        let _ = self.report.send(delivered);
    }
}

/// A share in one of a partition's requests. The next may begin when all shares of one were given back.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

/// The requests of a partition.
struct Requests {
    /// For how long after its first message others join one.
    join: Duration,
    free: Arc<Semaphore>,
    /// The one that messages join. Locked while there is none, so that all who wait for the next one join it, in their order.
    open: tokio::sync::Mutex<Open>,
}

struct Open {
    place: Weak<OwnedSemaphorePermit>,
    begun: Instant,
    bytes: u64,
}

impl Requests {
    fn new(join: Duration) -> Self {
        let open = Open { place: Weak::new(), begun: Instant::now(), bytes: 0 };
        Self { join, free: Arc::new(Semaphore::new(UNDER_WAY)), open: tokio::sync::Mutex::new(open) }
    }

    async fn place(&self, bytes: u64) -> Place {
        let mut open = self.open.lock().await;
        if open.begun.elapsed() < self.join
            && open.bytes + bytes <= REQUEST_BYTES
            && let Some(place) = open.place.upgrade()
        {
            open.bytes += bytes;
            return place;
        }
        let place = Arc::new(self.free.clone().acquire_owned().await.expect("it is never closed"));
        *open = Open { place: Arc::downgrade(&place), begun: Instant::now(), bytes };
        place
    }
}

/// A connection that messages are sent over. Reports are heard until it is dropped, and for up to a second longer.
pub(crate) struct Producer {
    native: Arc<BaseProducer<Context>>,
    /// Of each topic's partitions.
    requests: Mutex<HashMap<String, Vec<Arc<Requests>>>>,
    stop: Arc<AtomicBool>,
}

impl Producer {
    pub(crate) fn start(config: &ClientConfig, context: Context) -> Result<Self, KafkaError> {
        let native: Arc<BaseProducer<Context>> = Arc::new(config.create_with_context(context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (heard, stopped) = (native.clone(), stop.clone());
        let listen = move || {
            while !stopped.load(Ordering::Relaxed) {
                heard.poll(WAIT);
            }
        };
        std::thread::Builder::new()
            .name("kafka-reports".into())
            .spawn(listen)
            .map_err(|error| KafkaError::ClientCreation(format!("no thread can be started: {error}")))?;
        Ok(Self { native, requests: Mutex::default(), stop })
    }

    pub(crate) fn client(&self) -> &Client<Context> {
        self.native.client()
    }

    /// Waits until a partition may be sent another message, of so many bytes. Small ones that come together share a request.
    pub(crate) async fn place(&self, topic: &str, partition: u32, bytes: usize) -> Place {
        let requests = {
            let mut topics = self.requests.lock();
            if !topics.contains_key(topic) {
                topics.insert(topic.to_owned(), Vec::new());
            }
            let partitions = topics.get_mut(topic).expect("just inserted");
            let known = partitions.len().max(partition as usize + 1);
            partitions.resize_with(known, || Arc::new(Requests::new(JOIN)));
            partitions[partition as usize].clone()
        };
        requests.place(bytes as u64).await
    }

    /// Sends a message for which there is a [place](Self::place).
    pub(crate) fn send(
        &self,
        message: Message<'_>,
        place: Place,
    ) -> Result<oneshot::Receiver<Delivered>, KafkaError> {
        let failed = |code: Code| KafkaError::MessageProduction(code);
        let topic = CString::new(message.topic).map_err(|_| failed(Code::InvalidTopic))?;
        let (report, delivered) = oneshot::channel();
        let (payload, len) = (message.payload.as_ptr(), message.payload.len());
        let lent = Box::new(Lent { report, _payload: message.payload, _place: place });
        // SAFETY: librdkafka reads the payload until it reports on the message, or until this call fails; `lent` holds it until then. The report, which
        // takes the pointer back, comes once. Topic and headers are copied, and the headers are librdkafka's own unless the call fails.
        unsafe {
            let headers = native::rd_kafka_headers_new(message.headers.len());
            for (name, value) in message.headers {
                let (name, name_len) = (name.as_ptr().cast(), name.len() as isize);
                // Only a list that others read is refused.
                native::rd_kafka_header_add(
                    headers,
                    name,
                    name_len,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
            }
            let lent = lent.into_ptr();
            let sent = native::rd_kafka_producev(
                self.client().native_ptr(),
                tag::RD_KAFKA_VTYPE_TOPIC,
                topic.as_ptr(),
                tag::RD_KAFKA_VTYPE_PARTITION,
                message.partition as i32,
                tag::RD_KAFKA_VTYPE_MSGFLAGS,
                0,
                tag::RD_KAFKA_VTYPE_VALUE,
                payload,
                len,
                tag::RD_KAFKA_VTYPE_KEY,
                null_mut::<u8>(),
                0_usize,
                tag::RD_KAFKA_VTYPE_OPAQUE,
                lent,
                tag::RD_KAFKA_VTYPE_TIMESTAMP,
                message.time,
                tag::RD_KAFKA_VTYPE_HEADERS,
                headers,
                tag::RD_KAFKA_VTYPE_END,
            );
            if sent != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                native::rd_kafka_headers_destroy(headers);
                drop(Box::<Lent>::from_ptr(lent));
                return Err(failed(sent.into()));
            }
        }
        Ok(delivered)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;
    use std::pin::pin;
    use std::task::Poll;

    /// Answers within this.
    const ROUND_TRIP: Duration = Duration::from_millis(20);

    fn producer(brokers: &str) -> Producer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("enable.idempotence", "true");
        config.set("message.max.bytes", "2000").set("reconnect.backoff.max.ms", "100");
        Producer::start(&config, Context::default()).unwrap()
    }

    fn message(partition: u32, payload: Bytes) -> Message<'static> {
        Message { topic: "logs", partition, payload, headers: &[("name", b"value")], time: 0 }
    }

    #[tokio::test]
    async fn a_partition_has_so_many_large_messages_under_way_at_the_most() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("logs", 2, 1).unwrap();
        cluster.broker_round_trip_time(1, ROUND_TRIP).unwrap();
        let producer = producer(&cluster.bootstrap_servers());
        let mut sent = [Vec::new(), Vec::new()];
        for n in 0..10 * UNDER_WAY {
            let partition = n % 2;
            let place = producer.place("logs", partition as u32, REQUEST_BYTES as usize).await;
            let reports = &mut sent[partition];
            let waiting = reports.iter_mut().filter_map(|report: &mut oneshot::Receiver<Delivered>| {
                let report = report.try_recv();
                report.map(Result::unwrap).err()
            });
            assert!(waiting.count() < UNDER_WAY, "message {n}");
            *reports = std::mem::take(reports).into_iter().filter(|report| !report.is_terminated()).collect();
            let payload = Bytes::from(format!("payload {n}"));
            reports.push(producer.send(message(partition as u32, payload), place).unwrap());
        }
        for report in sent.into_iter().flatten() {
            report.await.unwrap().unwrap();
        }
    }

    async fn at_once(requests: &Requests, bytes: u64) -> Option<Place> {
        match futures::poll!(pin!(tokio::task::unconstrained(requests.place(bytes)))) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn messages_that_come_together_share_a_request() {
        let requests = Arc::new(Requests::new(Duration::from_secs(3600)));
        let mut taken = Vec::new();
        for request in 1..=UNDER_WAY {
            for _ in 0..1000 {
                let place = at_once(&requests, REQUEST_BYTES / 1000).await;
                taken.push(place.expect("there is a request"));
            }
            assert_eq!(requests.free.available_permits(), UNDER_WAY - request);
        }
        assert!(at_once(&requests, 1).await.is_none(), "all are full");
        // Who waited goes with the next.
        let wait = |requests: Arc<Requests>| tokio::spawn(async move { requests.place(1).await });
        let waiting: Vec<_> = (0..100).map(|_| wait(requests.clone())).collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|waits| !waits.is_finished()));
        taken.drain(..1000);
        for waits in waiting {
            taken.push(waits.await.unwrap());
        }
        let place = at_once(&requests, REQUEST_BYTES).await;
        assert!(place.is_none(), "a large one has no room with them");
        taken.clear();
        assert_eq!(requests.free.available_permits(), UNDER_WAY);
    }

    #[tokio::test]
    async fn what_comes_later_goes_in_a_request_of_its_own() {
        let requests = Requests::new(Duration::ZERO);
        let mut taken = Vec::new();
        for _ in 0..UNDER_WAY {
            taken.push(at_once(&requests, 1).await.expect("there is a request"));
        }
        assert!(at_once(&requests, 1).await.is_none());
        taken.pop();
        assert!(at_once(&requests, 1).await.is_some());
    }

    /// Says when it is dropped.
    struct Owner(Arc<AtomicBool>, usize);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &[b'x'; 4000][..self.1]
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_payload_is_kept_until_its_report() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("logs", 1, 1).unwrap();
        cluster.broker_down(1).unwrap();
        let producer = producer(&cluster.bootstrap_servers());
        let payload = |bytes| {
            let dropped = Arc::new(AtomicBool::new(false));
            (dropped.clone(), Bytes::from_owner(Owner(dropped, bytes)))
        };
        let bytes = 1000;
        let (dropped, body) = payload(bytes);
        let place = producer.place("logs", 0, bytes).await;
        let report = producer.send(message(0, body), place).unwrap();
        assert!(!dropped.load(Ordering::Relaxed), "it is still to be sent");
        cluster.broker_up(1).unwrap();
        report.await.unwrap().unwrap();
        while !dropped.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        // What is not even taken is given back at once, with its place.
        for _ in 0..2 * UNDER_WAY {
            let bytes = 4000;
            let (dropped, body) = payload(bytes);
            let place = producer.place("logs", 0, bytes).await;
            let error = producer.send(message(0, body), place).unwrap_err();
            assert_eq!(error.rdkafka_error_code(), Some(Code::MessageSizeTooLarge));
            assert!(dropped.load(Ordering::Relaxed));
        }
    }
}
