//! Appending: one idempotent producer, replaced when librdkafka gives it up.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rdkafka::{
    config::{ClientConfig, FromClientConfigAndContext},
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    config::{Config, ConnectError, Context},
    topics::{Ensured, full_name},
};
use crate::log::{AppendError, Draft, MAX_ENTRY_BYTES, Partition};

/// The header that carries the entry id.
pub(super) const ENTRY_ID: &str = "weft_entry_id";
/// What an entry costs besides its bytes.
const OVERHEAD: usize = 512;

type Client = FutureProducer<Context>;
type Answer = Result<u64, AppendError>;

pub(super) struct Producer {
    client: RwLock<Arc<Client>>,
    settings: ClientConfig,
    room: Arc<Semaphore>,
    room_bytes: u32,
    timeout: Duration,
}

impl Producer {
    pub(super) fn new(config: &Config) -> Result<Self, ConnectError> {
        let settings = config.producer()?;
        let client = Client::from_config_and_context(&settings, Context)?;
        let room_bytes = config.queue_bytes.max(1);
        Ok(Self {
            client: RwLock::new(Arc::new(client)),
            settings,
            room: Arc::new(Semaphore::new(room_bytes as usize)),
            room_bytes,
            timeout: config.append_timeout(),
        })
    }

    /// Sends the drafts and waits for the brokers, within the timeout.
    pub(super) async fn append(&self, config: &Config, ensured: &Ensured, drafts: Vec<Draft>) -> Vec<Answer> {
        let deadline = Instant::now() + self.timeout;
        let bytes = drafts.iter().map(|draft| draft.bytes() + OVERHEAD).sum::<usize>();
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.room_bytes);
        let Ok(Ok(_room)) = timeout_at(deadline, self.room.acquire_many(permits)).await else {
            return vec![Err(AppendError::NotAppended("the producer's queue is full".into())); drafts.len()];
        };
        let client = self.client();
        let mut stopped = HashSet::new();
        let sent = drafts.iter().map(|draft| {
            let sent = if stopped.contains(&draft.partition) {
                Err("an earlier entry of the partition was not appended".into())
            } else {
                ensured.check(&draft.partition).and_then(|()| send(&client, config, draft))
            };
            if sent.is_err() {
                stopped.insert(&draft.partition);
            }
            sent.map_err(AppendError::NotAppended)
        });
        let sent = sent.collect::<Vec<_>>();
        let mut answers = Vec::with_capacity(sent.len());
        for sent in sent {
            answers.push(match sent {
                Ok(delivery) => delivered(delivery, deadline).await,
                Err(error) => Err(error),
            });
        }
        if answers.iter().any(Result::is_err) {
            self.replace_if_given_up(&client);
        }
        doubt_after_failure(drafts.iter().map(|draft| &draft.partition), answers)
    }

    fn client(&self) -> Arc<Client> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idempotent producer whose numbering the broker no longer accepts, after a topic was cut or made anew, never
    /// works again. What it had on the way was answered as unknown.
    fn replace_if_given_up(&self, used: &Arc<Client>) {
        let Some((code, reason)) = used.client().fatal_error() else { return };
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, used) {
            return;
        }
        tracing::warn!(%code, reason, "the kafka producer gave up, starting another");
        match Client::from_config_and_context(&self.settings, Context) {
            Ok(client) => *current = Arc::new(client),
            Err(error) => tracing::error!(%error, "no new kafka producer"),
        }
    }
}

/// Queues one entry. An error means that it will not be sent.
fn send(client: &Client, config: &Config, draft: &Draft) -> Result<DeliveryFuture, String> {
    if draft.bytes() > MAX_ENTRY_BYTES {
        return Err(format!("entry of {} bytes is larger than {MAX_ENTRY_BYTES}", draft.bytes()));
    }
    let entry_id = draft.entry_id.to_string();
    let mut headers = OwnedHeaders::new_with_capacity(draft.headers.len() + 1)
        .insert(Header { key: ENTRY_ID, value: Some(&entry_id) });
    for (name, value) in &draft.headers {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let name = full_name(config, &draft.partition.topic);
    let record = FutureRecord::to(&name)
        .partition(i32::try_from(draft.partition.number).map_err(|error| error.to_string())?)
        .key(&draft.key)
        .payload(&draft.value[..])
        .headers(headers);
    client.send_result(record).map_err(|(error, _)| error.to_string())
}

async fn delivered(delivery: DeliveryFuture, deadline: Instant) -> Answer {
    match timeout_at(deadline, delivery).await {
        Ok(Ok(Ok(delivery))) => {
            u64::try_from(delivery.offset).map_err(|_| AppendError::Unknown("the broker named no offset".into()))
        }
        Ok(Ok(Err((error, _)))) => Err(judge(&error)),
        Ok(Err(_)) => Err(AppendError::Unknown("the producer was closed".into())),
        Err(_) => Err(AppendError::Unknown("no answer from the brokers in time".into())),
    }
}

/// What an error of a queued entry says. The producer tries again by itself, and the last attempt's error does not speak
/// for the ones before: only what holds for every attempt is a refusal.
fn judge(error: &KafkaError) -> AppendError {
    use RDKafkaErrorCode::{
        InvalidRecord, InvalidTopic, MessageSizeTooLarge, PurgeQueue, QueueFull, TopicAuthorizationFailed,
        UnknownPartition, UnknownTopic, UnknownTopicOrPartition,
    };
    match error {
        KafkaError::MessageProduction(
            // Never sent, of a form that is never taken, or to what does not exist (any more).
            PurgeQueue
            | QueueFull
            | MessageSizeTooLarge
            | InvalidRecord
            | InvalidTopic
            | TopicAuthorizationFailed
            | UnknownPartition
            | UnknownTopic
            | UnknownTopicOrPartition,
        ) => AppendError::NotAppended(error.to_string()),
        _ => AppendError::Unknown(error.to_string()),
    }
}

/// An entry that stands behind one that may not is told as unknown, so that nobody builds on a hole.
fn doubt_after_failure<'a>(partitions: impl Iterator<Item = &'a Partition>, answers: Vec<Answer>) -> Vec<Answer> {
    let mut failed = HashSet::new();
    let judged = partitions.zip(answers).map(|(partition, answer)| match answer {
        Ok(_) if failed.contains(partition) => {
            Err(AppendError::Unknown("an earlier entry of the partition failed".into()))
        }
        Ok(offset) => Ok(offset),
        Err(error) => {
            failed.insert(partition);
            Err(error)
        }
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Topic;

    #[test]
    fn only_what_is_sure_is_a_refusal() {
        let of = |code| judge(&KafkaError::MessageProduction(code));
        assert!(matches!(of(RDKafkaErrorCode::MessageTimedOut), AppendError::Unknown(_)));
        assert!(matches!(of(RDKafkaErrorCode::PurgeInflight), AppendError::Unknown(_)));
        assert!(matches!(of(RDKafkaErrorCode::NotEnoughReplicasAfterAppend), AppendError::Unknown(_)));
        assert!(matches!(of(RDKafkaErrorCode::NotEnoughReplicas), AppendError::Unknown(_)));
        assert!(matches!(of(RDKafkaErrorCode::PurgeQueue), AppendError::NotAppended(_)));
        assert!(matches!(of(RDKafkaErrorCode::MessageSizeTooLarge), AppendError::NotAppended(_)));
        assert!(matches!(of(RDKafkaErrorCode::TopicAuthorizationFailed), AppendError::NotAppended(_)));
    }

    #[test]
    fn a_failure_casts_doubt_on_the_rest_of_its_partition() {
        let [a, b] = [0, 1].map(|number| Partition { topic: Topic::Records("t".into()), number });
        let refused = || Err(AppendError::NotAppended("x".into()));
        let answers = doubt_after_failure([&a, &a, &b, &a].into_iter(), vec![Ok(1), refused(), Ok(7), Ok(3)]);
        assert!(matches!(answers[..], [Ok(1), Err(AppendError::NotAppended(_)), Ok(7), Err(AppendError::Unknown(_))]));
    }
}
