//! The id of a topic, by which one that was recreated is told from the one before it: a call of librdkafka's that its Rust binding lacks.

use std::ffi::CString;
use std::ptr::null_mut;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

/// What the wait is longer than the request's own limit, whose end is told.
const SLACK: Duration = Duration::from_secs(1);

/// Asks for the id that brokers gave a topic when it was created. `None` where there is no such topic, or brokers give none (before Kafka 2.8).
/// Blocks until they answer.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<u128>, KafkaError> {
    let name = CString::new(topic).map_err(|_| KafkaError::AdminOp(Code::InvalidTopic))?;
    let millis = |time: Duration| time.as_millis().min(i32::MAX as u128) as i32;
    let failed = |code: RDKafkaRespErr| KafkaError::AdminOp(code.into());
    // SAFETY: the client lives until the end of this function. What is made here is destroyed once, after its last use; the id is read before the
    // event that owns it is.
    unsafe {
        let client = client.native_ptr();
        let queue = native::rd_kafka_queue_new(client);
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = native::rd_kafka_AdminOptions_new(client, operation);
        // Only a time out of range is refused, and then the default counts.
        native::rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), null_mut(), 0);
        let topics = native::rd_kafka_TopicCollection_of_topic_names(&mut name.as_ptr(), 1);
        native::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = native::rd_kafka_queue_poll(queue, millis(timeout + SLACK));
        let found = if event.is_null() {
            Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT))
        } else {
            match native::rd_kafka_event_error(event) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(id_in(event)),
                code => Err(failed(code)),
            }
        };
        if !event.is_null() {
            native::rd_kafka_event_destroy(event);
        }
        native::rd_kafka_TopicCollection_destroy(topics);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_queue_destroy(queue);
        found
    }
}

/// The id in an answer about one topic.
///
/// # Safety
/// The event must be there and without an error.
unsafe fn id_in(event: *mut native::rd_kafka_event_t) -> Option<u128> {
    // SAFETY: as the caller promises; where there are no topics the count says so, and an id is that of the topic that has it.
    unsafe {
        let answer = native::rd_kafka_event_DescribeTopics_result(event);
        if answer.is_null() {
            return None;
        }
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(answer, &mut count);
        if count != 1 {
            return None;
        }
        let id = native::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null() {
            return None;
        }
        let high = native::rd_kafka_Uuid_most_significant_bits(id) as u64;
        let low = native::rd_kafka_Uuid_least_significant_bits(id) as u64;
        Some(u128::from(high) << 64 | u128::from(low)).filter(|id| *id > 0)
    }
}
