//! Hostile inputs, rows 46 to 48: somebody who reached the brokers writes to the hub's topics. Nothing takes effect,
//! everything shows, and good records before and after are indexed and answered.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    types::RDKafkaErrorCode,
};
use weft_hub::{
    config::Storage,
    log::{Draft, Entry, EntryId, Partition, ReadLimit, Topic, partition_of},
};
use weft_proto::v1::{self, Answering, OutcomeKind};
use weft_record::status::{Event, Status};
use weft_tests::{
    department::{Example, Sealed, TestDepartment},
    eventually,
    hub::{OPERATOR_NAMES, TestHub},
    kafka::{self, Broker},
    postgres, skipped_by_quick,
    window::{ITEM, TestWindow, grant, look},
};

const TYPE: &str = "business-licence";
const CODE: &str = "market-regulation";
const PARTITIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where something was written: (topic without prefix, partition, offset).
type Position = (String, u32, u64);

/// Somebody with a way to the brokers.
struct Intruder {
    producer: FutureProducer,
    prefix: String,
    /// What must show.
    written: Vec<(String, Position)>,
}

/// What is written; `None` is what it says.
#[derive(Clone, Default)]
struct Message {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    entry_id: Option<String>,
    headers: Vec<(&'static str, String)>,
    timestamp: Option<i64>,
}

impl Message {
    fn of(entry: &Entry) -> Self {
        Self {
            key: entry.key.clone().map(String::into_bytes),
            value: entry.value.as_ref().map(|value| value.to_vec()),
            entry_id: entry.entry_id.map(|id| id.to_string()),
            ..Self::default()
        }
    }

    fn with_key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    fn with_value(self, value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..self }
    }

    fn with_new_id(self) -> Self {
        Self { entry_id: Some(EntryId::new().to_string()), ..self }
    }
}

impl Intruder {
    fn new(broker: &Broker, hub: &TestHub) -> Self {
        let Storage::Served { kafka, .. } = &hub.config.storage else { panic!("a served hub") };
        let mut config = broker.client();
        config.set("acks", "all").set("compression.type", "gzip").set("message.max.bytes", "200000000");
        Self { producer: config.create().unwrap(), prefix: kafka.topic_prefix.clone(), written: Vec::new() }
    }

    async fn send(&self, partition: &Partition, message: &Message) -> Result<Position, KafkaError> {
        let topic = format!("{}{}", self.prefix, partition.topic);
        let mut headers = OwnedHeaders::new();
        for (key, value) in &message.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        if let Some(id) = &message.entry_id {
            headers = headers.insert(Header { key: "weft_entry_id", value: Some(id) });
        }
        let mut record: FutureRecord<'_, Vec<u8>, Vec<u8>> =
            FutureRecord::to(&topic).partition(i32::try_from(partition.number).unwrap()).headers(headers);
        record.key = message.key.as_ref();
        record.payload = message.value.as_ref();
        record.timestamp = message.timestamp;
        let delivered = self.producer.send(record, PATIENCE).await.map_err(|(error, _)| error)?;
        let offset = u64::try_from(delivered.offset).unwrap();
        Ok((partition.topic.name(), partition.number, offset))
    }

    /// Writes what must show as an alarm or in quarantine.
    async fn write(&mut self, what: impl Into<String>, partition: &Partition, message: Message) {
        let what = what.into();
        let position = self.send(partition, &message).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        self.written.push((what, position));
    }
}

struct Hall {
    hub: TestHub,
    department: TestDepartment,
    other: TestDepartment,
    window: TestWindow,
}

impl Hall {
    async fn open(name: &str, broker: &Broker) -> Self {
        let hub = TestHub::start_served(name, broker, postgres::shared().await).await;
        let department = hub.department(CODE, &[TYPE]).await;
        let other = hub.department("civil-affairs", &["marriage-certificate"]).await;
        let window = hub.window("hall-1").await;
        hub.grant(grant("hall-1", TYPE, CODE, &["uscc", "name"])).await;
        Self { hub, department, other, window }
    }

    /// Publishes twelve of the fifty bodies from `first` on: four for every partition, whatever the department's secret makes
    /// of their identifiers.
    async fn publish(&self, first: u32) -> Vec<(Example, Sealed)> {
        let mut room = BTreeMap::from_iter((0..PARTITIONS).map(|number| (number, 4)));
        let mut all = Vec::new();
        for example in (first..first + 50).map(Example::business_licence) {
            let sealed = self.department.seal(&example, 1, Event::Issue, Status::Valid);
            let room = room.get_mut(&place_of(&sealed).number).unwrap();
            if *room > 0 {
                *room -= 1;
                all.push((example, sealed));
            }
        }
        assert_eq!(all.len(), 12, "every partition has some");
        let heard = self.department.publish(&all.iter().map(|(_, sealed)| sealed.clone()).collect::<Vec<_>>()).await;
        for (_, sealed) in &all {
            assert_eq!(heard.outcome(sealed), OutcomeKind::Indexed);
        }
        all
    }

    async fn answered(&self, records: &[(Example, Sealed)]) {
        for (example, sealed) in records {
            let holder = &example.holders[0].value;
            let answer = self.window.answered(&sealed.record_id, look(ITEM, Some(("uscc", holder)))).await;
            assert_eq!((answer.version, answer.answering()), (1, Answering::Satisfied), "{}", sealed.record_id);
        }
    }

    /// Where alarms point.
    async fn alarms(&self) -> Vec<(String, Position)> {
        let mut operator = self.hub.operator(OPERATOR_NAMES[0]).await;
        let alarms = operator.list_alarms(v1::ListAlarmsRequest {}).await.unwrap().into_inner().alarms;
        alarms.into_iter().map(|one| (one.alarm, position(one.position))).collect()
    }

    /// Where quarantined entries that came past the hub stand.
    async fn quarantined(&self) -> Vec<Position> {
        let mut operator = self.hub.operator(OPERATOR_NAMES[0]).await;
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListQuarantineRequest { page_size: 100, page_token, ..Default::default() };
            let page = operator.list_quarantine(request).await.unwrap().into_inner();
            all.extend(page.entries.into_iter().filter(|one| one.stage == "foreign").map(|one| position(one.position)));
            if page.next_page_token.is_empty() {
                return all;
            }
            page_token = page.next_page_token;
        }
    }

    /// What really stands in a partition, from its beginning.
    async fn entries(&self, partition: &Partition) -> Vec<Entry> {
        let log = &self.hub.stores.log;
        let end = log.end(partition).await.unwrap();
        let mut all: Vec<Entry> = Vec::new();
        let mut from = 0;
        while from < end {
            let entries = log.read(partition, from, ReadLimit::default(), Duration::from_secs(5)).await.unwrap();
            let Some(last) = entries.last() else { break };
            from = last.offset + 1;
            all.extend(entries);
        }
        all
    }
}

fn position(position: Option<v1::Position>) -> Position {
    let position = position.unwrap();
    (position.topic, position.partition, position.offset)
}

fn place_of(sealed: &Sealed) -> Partition {
    Partition { topic: Topic::Records(TYPE.into()), number: partition_of(&sealed.record_id, PARTITIONS) }
}

fn single(topic: Topic) -> Partition {
    Partition { topic, number: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_46_and_47_what_is_written_past_the_hub_takes_no_effect_and_shows() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let broker = kafka::shared().await;
    let hall = Hall::open("intruder", broker).await;
    let before = hall.publish(4600).await;
    hall.answered(&before).await;
    let suspended = hall.hub.grant(v1::GrantInfo {
        service_item: "company-establishment".into(),
        ..grant("hall-1", TYPE, CODE, &["uscc", "legalRepId"])
    });
    let suspended = suspended.await;
    hall.hub.decide(OPERATOR_NAMES[0], &suspended, "suspended").await.unwrap();
    let state = hall.hub.status(false).await;

    let mut intruder = Intruder::new(broker, &hall.hub);
    into_records(&mut intruder, &hall, &before).await;
    into_others(&mut intruder, &hall).await;
    // 100 MB is the broker's to refuse.
    let huge = Message::default().with_key("k").with_value(vec![b'a'; 100_000_000]);
    let mut plain = broker.client();
    plain.set("message.max.bytes", "200000000");
    let uncompressed =
        Intruder { producer: plain.create().unwrap(), prefix: intruder.prefix.clone(), written: Vec::new() };
    let refused = uncompressed.send(&place_of(&before[0].1), &huge).await.unwrap_err();
    assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageSizeTooLarge), "{refused}");

    // No partition is blocked: what comes behind is indexed and answered, and what came before still is.
    let after = hall.publish(4650).await;
    hall.answered(&after).await;
    hall.answered(&before).await;
    eventually(PATIENCE, || async {
        let alarms: BTreeSet<Position> = hall.alarms().await.into_iter().map(|(_, at)| at).collect();
        let quarantined: BTreeSet<Position> = hall.quarantined().await.into_iter().collect();
        let hidden: Vec<_> =
            intruder.written.iter().filter(|(_, at)| !alarms.contains(at) || !quarantined.contains(at)).collect();
        if hidden.is_empty() { Ok(()) } else { Err(format!("not in quarantine with an alarm: {hidden:?}")) }
    })
    .await;

    // Nothing took effect: as many records as were published, no department, grant or key of the intruder's.
    let looks = u64::try_from(before.len() * 2 + after.len()).unwrap();
    eventually(PATIENCE, || async {
        let now = hall.hub.status(false).await;
        let counted = (now.indexed, now.ledger_entries);
        if counted == (state.indexed + 12, looks) { Ok(()) } else { Err(format!("{counted:?}, {looks} looks")) }
    })
    .await;
    let mut operator = hall.hub.operator(OPERATOR_NAMES[0]).await;
    let grants = operator.list_all_grants(v1::ListAllGrantsRequest {}).await.unwrap().into_inner().grants;
    let of = |id: &str| grants.iter().find(|one| one.grant_id == id).map(|one| one.state.clone());
    assert_eq!((grants.len(), of(&suspended).as_deref()), (2, Some("suspended")));
    restored(&hall, &before[1].1, &before[2].1).await;
    rebuilt(hall, &before, &after).await;
}

/// Everything that is tried in the topic of the records.
async fn into_records(intruder: &mut Intruder, hall: &Hall, before: &[(Example, Sealed)]) {
    let victim = &before[0].1;
    let at = place_of(victim);
    let entries = hall.entries(&at).await;
    let key = format!("{}@", victim.record_id);
    let real = entries.iter().find(|one| one.key.as_deref().is_some_and(|one| one.starts_with(&key))).unwrap();
    let copy = Message::of(real);
    let fresh = || Message::default().with_key("k").with_new_id();
    intruder.write("garbage", &at, fresh().with_value(b"garbage".as_slice())).await;
    intruder.write("no entry id", &at, Message::default().with_key("k").with_value("x")).await;
    let malformed = Message { entry_id: Some("not hexadecimal".into()), ..fresh().with_value("x") };
    intruder.write("a malformed entry id", &at, malformed).await;
    // A compacted topic takes nothing without a key.
    let keyless = intruder.send(&at, &Message { key: None, ..copy.clone() }).await.unwrap_err();
    assert_eq!(keyless.rdkafka_error_code(), Some(RDKafkaErrorCode::InvalidRecord), "{keyless}");
    intruder.write("a key that is no text", &at, copy.clone().with_key([0xff, 0xfe])).await;
    intruder.write("nothing", &at, fresh().with_value(Vec::new())).await;
    intruder.write("a null under nobody's key", &at, fresh()).await;
    let open = serde_json::json!({"record": {"id": victim.record_id, "version": 2}, "event": "revoke"});
    intruder.write("an unsealed record", &at, fresh().with_value(open.to_string())).await;
    let sealed = victim.token.clone();
    intruder.write("a sealed record without envelope", &at, fresh().with_value(sealed)).await;
    let other = before[0].0.clone();
    let forged = hall.other.seal(&other, 1, Event::Issue, Status::Valid);
    intruder.write("another department's seal", &at, fresh().with_value(forged.token)).await;
    intruder.write("a valid envelope, another key", &at, copy.clone().with_key("another")).await;
    let next = format!("{}@2@{}", victim.record_id, EntryId::new());
    intruder.write("a valid envelope as the next version", &at, copy.clone().with_key(next)).await;
    intruder.write("a valid envelope, another entry id", &at, copy.clone().with_key("x").with_new_id()).await;
    let mut bent = copy.value.clone().unwrap();
    *bent.last_mut().unwrap() ^= 1;
    intruder.write("a bit of an envelope", &at, copy.clone().with_key("bent").with_value(bent)).await;
    let half = copy.value.clone().unwrap()[..40].to_vec();
    intruder.write("half an envelope", &at, copy.clone().with_key("half").with_value(half)).await;
    let marriage = Partition { topic: Topic::Records("marriage-certificate".into()), number: 0 };
    intruder.write("a valid envelope, another type's topic", &marriage, copy.clone()).await;
    let early = Message { timestamp: Some(-1), ..fresh().with_value("x") };
    intruder.write("a negative timestamp", &at, early).await;
    let strange = Message { headers: vec![("ce_specversion", "99.0".into())], ..fresh().with_value("x") };
    intruder.write("another version of CloudEvents", &at, strange).await;
    // 7 MiB that travel as a few KiB.
    intruder.write("a large one", &at, fresh().with_value(vec![0; 7 << 20])).await;
    // A mark far beyond the registry's end is waited for by nobody.
    let ahead = String::from_utf8_lossy(copy.value.as_ref().unwrap()).into_owned();
    assert!(ahead.contains("registry_position"), "the header is readable");
    let mut ahead = copy.value.clone().unwrap();
    let at_mark = ahead.windows(20).position(|bytes| bytes == b"\"registry_position\":").unwrap() + 20;
    ahead[at_mark] = b'9';
    intruder.write("a mark that is another's", &at, copy.clone().with_key("ahead").with_value(ahead)).await;
    // Under keys of records that stand: compaction would take those away.
    for (what, one, value) in [("a null", &before[1].1, None), ("garbage", &before[2].1, Some(b"x".to_vec()))] {
        let at = place_of(one);
        let key = format!("{}@", one.record_id);
        let entries = hall.entries(&at).await;
        let real = entries.iter().find(|one| one.key.as_deref().is_some_and(|one| one.starts_with(&key))).unwrap();
        let message = Message { value, ..Message::of(real).with_new_id() };
        intruder.write(format!("{what} under a record's key"), &at, message).await;
    }
    // An exact copy of what came through the door is what came through the door: a repeat, without effect.
    intruder.send(&at, &copy).await.unwrap();
}

/// Everything that is tried in the other topics.
async fn into_others(intruder: &mut Intruder, hall: &Hall) {
    let (registry, ledger) = (single(Topic::Registry), single(Topic::Ledger));
    let events = hall.entries(&registry).await;
    let looks = hall.entries(&ledger).await;
    let fresh = || Message::default().with_key("k").with_new_id();
    for topic in [Topic::Registry, Topic::Ledger, Topic::Quarantine] {
        let at = single(topic);
        intruder.write(format!("garbage in {at}"), &at, fresh().with_value("garbage")).await;
        intruder.write(format!("a null in {at}"), &at, fresh()).await;
        if !at.topic.compacted() {
            intruder.write(format!("no key in {at}"), &at, Message::default().with_value("x")).await;
        }
    }
    let event = serde_json::json!({
        "who": "operator/wang", "at": 0, "entity": "grant/g", "revision": 1, "before": null,
        "after": {"kind": "grant", "id": "g", "window": "hall-1", "state": "active"},
    });
    intruder.write("a registry event", &registry, fresh().with_value(event.to_string())).await;
    let first = Message::of(&events[0]);
    intruder.write("a registry event, another key", &registry, first.clone().with_key("grant/g")).await;
    intruder.write("a registry event in the ledger", &ledger, first).await;
    // Old events copied whole, the grant that is suspended now among them.
    for event in &events {
        let key = event.key.clone().unwrap();
        intruder.write(format!("an old event of {key}"), &registry, Message::of(event)).await;
    }
    let look = Message::of(&looks[0]);
    intruder.write("a look, another key", &ledger, look.clone().with_key(EntryId::new().to_string())).await;
    intruder.write("a look in quarantine", &single(Topic::Quarantine), look.clone()).await;
    // A look copied whole is the same look.
    intruder.send(&ledger, &look).await.unwrap();
}

/// What a null or garbage would have compacted away stands in the log again, under its key and behind it.
async fn restored(hall: &Hall, nulled: &Sealed, overwritten: &Sealed) {
    for sealed in [nulled, overwritten] {
        eventually(PATIENCE, || async {
            let entries = hall.entries(&place_of(sealed)).await;
            let key = format!("{}@", sealed.record_id);
            let of_key = entries.iter().filter(|one| one.key.as_deref().is_some_and(|one| one.starts_with(&key)));
            match of_key.last() {
                Some(last) if last.value.as_ref().is_some_and(|value| value.len() > 1000) => Ok(()),
                _ => Err("the last entry of the key is the intruder's".to_owned()),
            }
        })
        .await;
    }
}

/// A rebuild from that very log comes to the same: the same content, and the same answers.
async fn rebuilt(mut hall: Hall, before: &[(Example, Sealed)], after: &[(Example, Sealed)]) {
    let status = hall.hub.status(true).await;
    let Storage::Served { postgres: database, .. } = &mut hall.hub.config.storage else { panic!("a served hub") };
    database.schema = "rebuilt".into();
    let mut second = hall.hub.another("hub-2").await;
    eventually(PATIENCE, || async {
        let now = second.status(true).await;
        if now.content_digest == status.content_digest { Ok(()) } else { Err(format!("{} indexed", now.indexed)) }
    })
    .await;
    hall.hub.stop().await;
    let mut query = hall.window.at(&second).await;
    for (example, sealed) in before.iter().chain(after) {
        let request = v1::GetRecordRequest {
            look: Some(look(ITEM, Some(("uscc", &example.holders[0].value)))),
            by: Some(v1::get_record_request::By::RecordId(sealed.record_id.clone())),
        };
        let answer = query.get_record(request).await.unwrap().into_inner().answer.unwrap();
        assert_eq!((answer.version, answer.answering()), (1, Answering::Satisfied));
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_48_no_group_to_reset_and_deleted_offsets_are_loud_and_made_good() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let subscriber = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::WARN);
    // Another test of this process may have said so already.
    let _ = subscriber.try_init();
    let broker = kafka::shared().await;
    let mut hall = Hall::open("deleted", broker).await;
    let before = hall.publish(4800).await;
    hall.answered(&before).await;
    let Storage::Served { kafka, .. } = &hall.hub.config.storage else { panic!("a served hub") };
    let prefix = kafka.topic_prefix.clone();

    // Positions are the index's: there is no consumer group that could be set back.
    let config = broker.client();
    let own = prefix.clone();
    let groups = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let list = consumer.fetch_group_list(None, Duration::from_secs(20)).unwrap();
        list.groups()
            .iter()
            .map(|group| group.name().to_owned())
            .filter(|name| name.starts_with(&own))
            .collect::<Vec<_>>()
    });
    assert_eq!(groups.await.unwrap(), Vec::<String>::new());

    // Somebody deletes what a partition held, as a wrong retention would.
    let at = place_of(&before[0].1);
    let end = hall.hub.stores.log.end(&at).await.unwrap();
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let topic = format!("{prefix}{}", at.topic);
    let mut offsets = TopicPartitionList::new();
    let number = i32::try_from(at.number).unwrap();
    offsets.add_partition_offset(&topic, number, Offset::Offset(i64::try_from(end).unwrap())).unwrap();
    let policy = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("cleanup.policy", "delete");
    let altered = admin.alter_configs([&policy], &AdminOptions::new()).await.unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    let deleted = admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    assert!(deleted.elements().iter().all(|one| one.error().is_ok()), "{deleted:?}");

    // It is an alarm, and what the index still had stands in the log again.
    eventually(PATIENCE, || async {
        let alarms = hall.alarms().await;
        let loud = alarms
            .iter()
            .any(|(alarm, (topic, number, _))| alarm == "cut_log" && *topic == at.topic.name() && *number == at.number);
        let status = hall.hub.status(false).await;
        let current = status.partitions.iter().all(|one| one.current);
        if loud && current { Ok(()) } else { Err(format!("alarm {loud}, current {current}")) }
    })
    .await;
    let log = &hall.hub.stores.log;
    let lost = before.iter().filter(|(_, one)| place_of(one) == at).count();
    let entries = log.read(&at, end, ReadLimit::default(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(entries.len(), lost, "every record that the partition held, once");
    hall.answered(&before).await;
    let after = hall.publish(4850).await;
    hall.answered(&after).await;
    assert_eq!(hall.hub.status(false).await.indexed, 24);
    // One repair: what it appended itself is no difference to it.
    let published = after.iter().filter(|(_, one)| place_of(one) == at).count();
    assert_eq!(hall.hub.stores.log.end(&at).await.unwrap(), end + (lost + published) as u64);
    hall.hub.stop().await;
}

/// In quarantine as in the topics of records: what stood under the key that somebody wrote under stands behind it again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_under_a_key_of_quarantine_takes_nothing_away() {
    let mut hub = TestHub::start().await;
    let department = hub.department(CODE, &[TYPE]).await;
    let wrong = Example::business_licence(4700).with("established", serde_json::json!("2018-02-30"));
    let wrong = department.seal(&wrong, 1, Event::Issue, Status::Valid);
    let heard = department.publish(std::slice::from_ref(&wrong)).await;
    assert!(heard.rejection(&wrong.id()).is_some());

    let quarantine = single(Topic::Quarantine);
    let (key, entry_id) = (hex::encode(wrong.id()), EntryId::new());
    let garbage =
        Draft { partition: quarantine.clone(), key: key.clone(), entry_id, headers: Vec::new(), value: "x".into() };
    let at = hub.stores.log.append(vec![garbage]).await.remove(0).unwrap();
    eventually(PATIENCE, || async {
        let read = hub.stores.log.read(&quarantine, at + 1, ReadLimit::default(), Duration::ZERO).await;
        let entries = read.map_err(|error| error.to_string())?;
        let held = entries.iter().any(|one| {
            let header = one.value.as_deref().map(weft_hub::envelope::header);
            one.key.as_deref() == Some(&key)
                && matches!(header, Some(Ok(header)) if header.content == weft_hub::envelope::ContentType::Refused)
        });
        if held { Ok(()) } else { Err(format!("{} entries behind it, none of the key's", entries.len())) }
    })
    .await;
    hub.stop().await;
}
