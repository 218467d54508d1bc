//! How adapters live beside a real hub: what it hears of them, what it doubts when it does not, and what it asks of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{collections::VecDeque, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weft_proto::v1::{
    self, AdapterState, Answering, FromAdapter, SourceState, Staleness, ToAdapter, fleet_client::FleetClient,
    from_adapter, to_adapter,
};
use weft_record::status::{Event, Status};
use weft_tests::{
    client::connect,
    department::{Example, TestDepartment},
    eventually,
    hub::TestHub,
    kafka, postgres, skipped_by_quick,
    window::{ITEM, TestWindow, grant, look},
};

const TYPE: &str = "business-licence";
const DEPARTMENT: &str = "market-regulation";
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000;

/// A stream of an adapter that a test speaks for.
struct Voice {
    out: mpsc::Sender<FromAdapter>,
    heard: Streaming<ToAdapter>,
    commands: VecDeque<v1::Command>,
}

impl Voice {
    async fn open(hub: &TestHub, department: &TestDepartment) -> Self {
        let channel = connect(hub.api, &hub.ca(), Some(&department.credentials)).await.unwrap();
        let (out, messages) = mpsc::channel(8);
        let heard = FleetClient::new(channel).connect_adapter(ReceiverStream::new(messages)).await.unwrap();
        Self { out, heard: heard.into_inner(), commands: VecDeque::new() }
    }

    async fn hello(&self, coverage: Vec<v1::Coverage>) {
        let source =
            v1::SourceInfo { name: "licences".into(), kind: "file".into(), record_type: TYPE.into(), hours: vec![] };
        let hello = v1::Hello { version: "1".into(), config_digest: "00".into(), coverage, sources: vec![source] };
        self.out.send(FromAdapter { kind: Some(from_adapter::Kind::Hello(hello)) }).await.unwrap();
    }

    async fn beat(&mut self, change: impl FnOnce(&mut v1::Heartbeat)) {
        let source = v1::SourceReport {
            name: "licences".into(),
            state: SourceState::Idle.into(),
            reachable: true,
            last_read_ago_ms: Some(100),
            ..Default::default()
        };
        let mut beat = v1::Heartbeat { sources: vec![source], ..Default::default() };
        change(&mut beat);
        self.out.send(FromAdapter { kind: Some(from_adapter::Kind::Heartbeat(beat)) }).await.unwrap();
        while let to_adapter::Kind::Command(command) = self.next().await {
            self.commands.push_back(command);
        }
    }

    async fn next(&mut self) -> to_adapter::Kind {
        let next = tokio::time::timeout(PATIENCE, self.heard.message()).await.expect("the hub answers");
        next.unwrap().unwrap().kind.unwrap()
    }

    async fn command(&mut self) -> v1::Command {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return command;
            }
            if let to_adapter::Kind::Command(command) = self.next().await {
                return command;
            }
        }
    }
}

async fn answer(window: &TestWindow, record_id: &str, holder: &str) -> (Answering, Vec<Staleness>) {
    let answer = window.get(record_id, look(ITEM, Some(("uscc", holder)))).await.expect("an answer");
    (answer.answering(), answer.staleness().collect())
}

async fn fleet(hub: &TestHub) -> Vec<v1::FleetEntry> {
    let request = v1::ListFleetRequest { department: String::new() };
    hub.operator("wang").await.list_fleet(request).await.unwrap().into_inner().entries
}

fn coverage(since: &str, finished: bool) -> v1::Coverage {
    v1::Coverage {
        record_type: TYPE.into(),
        since: since.into(),
        back_fill_finished: finished,
        ..v1::Coverage::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_adapter_is_silent_or_behind_answers_stale_with_the_reason() {
    let hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "name"])).await;
    let example = Example::business_licence(1);
    let sealed = department.seal(&example, 1, Event::Issue, Status::Valid);
    department.publish(std::slice::from_ref(&sealed)).await;
    let holder = example.holders[0].value.clone();
    let asked = || answer(&window, &sealed.record_id, &holder);

    let mut voice = Voice::open(&hub, &department).await;
    voice.hello(vec![coverage("", true)]).await;
    voice.beat(|_| {}).await;
    assert_eq!(asked().await, (Answering::Satisfied, vec![]));

    // What it has not sent is older than a business licence may be.
    let backlog =
        |unsent| v1::Backlog { record_type: TYPE.into(), unsent, held: 0, oldest_ago_ms: (25 * HOUR).cast_unsigned() };
    voice.beat(|beat| beat.backlog = vec![backlog(1)]).await;
    assert_eq!(asked().await, (Answering::Stale, vec![Staleness::UnsentBacklog]));
    voice.beat(|beat| beat.backlog = vec![backlog(0)]).await;
    assert_eq!(asked().await, (Answering::Satisfied, vec![]));

    // Its source cannot be read.
    voice.beat(|beat| beat.sources[0].last_read_ago_ms = Some((25 * HOUR).cast_unsigned())).await;
    assert_eq!(asked().await, (Answering::Stale, vec![Staleness::SourceSilent]));

    // Silent: the hub's clock goes on, and nothing is heard.
    voice.beat(|_| {}).await;
    drop(voice);
    hub.clock.shift_to(23 * HOUR);
    assert_eq!(asked().await, (Answering::Satisfied, vec![]));
    assert_eq!(fleet(&hub).await[0].state(), AdapterState::Silent, "the operator is told long before");
    hub.clock.shift_to(25 * HOUR);
    assert_eq!(asked().await, (Answering::Stale, vec![Staleness::SourceSilent]));
    // That there is nothing cannot be said either.
    let other = weft_tests::department::synthetic_uscc(77);
    let list = v1::ListHolderRecordsRequest {
        look: Some(look(ITEM, Some(("uscc", &other)))),
        record_type: TYPE.into(),
        ..Default::default()
    };
    let listed = window.client.clone().list_holder_records(list).await.unwrap().into_inner();
    assert_eq!(listed.answering(), Answering::Stale);

    // A restart forgets nothing of it, and a heartbeat ends it.
    let mut hub = hub.restart().await;
    // Connected before the clock goes on: a later certificate of the hub is not valid yet by the caller's.
    let window = TestWindow { client: window.at(&hub).await, ..window };
    let mut voice = Voice::open(&hub, &department).await;
    hub.clock.shift_to(25 * HOUR);
    eventually(PATIENCE, || async {
        let told = answer(&window, &sealed.record_id, &holder).await;
        if told.0 == Answering::Stale && told.1.contains(&Staleness::SourceSilent) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
    voice.hello(vec![]).await;
    voice.beat(|_| {}).await;
    assert_eq!(answer(&window, &sealed.record_id, &holder).await, (Answering::Satisfied, vec![]));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_coverage_is_a_registry_event_where_it_differs() {
    let mut hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let declared = || async {
        let listed = hub.operator("wang").await.list_departments(v1::ListDepartmentsRequest {}).await.unwrap();
        listed.into_inner().departments.remove(0).coverage
    };
    let before = hub.status(false).await.registry_position;
    let expected = v1::Coverage { adapter: "main".into(), ..coverage("2015-01-01", true) };
    for _ in 0..2 {
        let mut voice = Voice::open(&hub, &department).await;
        voice.hello(vec![coverage("2015-01-01", true)]).await;
        voice.beat(|_| {}).await;
        assert_eq!(declared().await, std::slice::from_ref(&expected));
        assert_eq!(hub.status(false).await.registry_position, before + 1, "the same again is no event");
    }
    // What is not its own, or makes no sense, is not taken, and the stream goes on.
    let mut voice = Voice::open(&hub, &department).await;
    let foreign = v1::Coverage { record_type: "real-estate-title".into(), ..coverage("", true) };
    voice.hello(vec![foreign]).await;
    voice.beat(|_| {}).await;
    voice.hello(vec![coverage("2015-02-30", true)]).await;
    voice.beat(|_| {}).await;
    let second = TestDepartment::enrol(&hub, DEPARTMENT, "second").await;
    let mut other = Voice::open(&hub, &second).await;
    other.hello(vec![coverage("2020-01-01", false)]).await;
    other.beat(|_| {}).await;
    assert_eq!(declared().await, [expected], "the type belongs to the first");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_told_until_it_is_acknowledged() {
    let mut hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let ask = |adapter: &str, kind: v1::CommandKind| v1::CommandAdapterRequest {
        department: DEPARTMENT.into(),
        adapter: adapter.into(),
        command: Some(v1::Command { kind: kind.into(), ..Default::default() }),
    };
    let mut operator = hub.operator("wang").await;
    let refused = operator.command_adapter(ask("other", v1::CommandKind::Pause)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    let refused = operator.command_adapter(ask("main", v1::CommandKind::Resync)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "since when is not said");

    // Asked before there is a stream, and told on every one until it is done.
    let id = operator.command_adapter(ask("main", v1::CommandKind::Pause)).await.unwrap().into_inner().command_id;
    for _ in 0..2 {
        let mut voice = Voice::open(&hub, &department).await;
        voice.hello(vec![]).await;
        voice.beat(|_| {}).await;
        let told = voice.command().await;
        assert_eq!((told.id.as_str(), told.kind()), (id.as_str(), v1::CommandKind::Pause));
        let entry = fleet(&hub).await.remove(0);
        assert_eq!(entry.pending.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    }
    let mut voice = Voice::open(&hub, &department).await;
    let done = v1::CommandDone { id: id.clone(), done: true, ..Default::default() };
    voice.hello(vec![]).await;
    voice.beat(|beat| beat.commands = vec![done.clone()]).await;
    assert!(fleet(&hub).await[0].pending.is_empty());
    let next = operator.command_adapter(ask("main", v1::CommandKind::Reconcile)).await.unwrap().into_inner();
    let told = voice.command().await;
    assert_eq!((told.id, told.kind), (next.command_id, v1::CommandKind::Reconcile.into()));

    // Cut off, it is told nothing more.
    let identity = format!("department/{DEPARTMENT}/adapter/main");
    operator
        .revoke_identity(v1::RevokeIdentityRequest { identity, why: "test".into(), ..Default::default() })
        .await
        .unwrap();
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            match voice.heard.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends with a word"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(ended.await.unwrap().code(), tonic::Code::Unauthenticated);
    assert!(fleet(&hub).await.is_empty(), "and is no part of the fleet");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_hears_every_instance_knows() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let mut first = TestHub::start_served("fleet", kafka::shared().await, postgres::shared().await).await;
    let department = first.department(DEPARTMENT, &[TYPE]).await;
    let window = first.window("hall-1").await;
    first.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "name"])).await;
    let mut second = first.another("hub-2").await;
    let example = Example::business_licence(1);
    let sealed = department.seal(&example, 1, Event::Issue, Status::Valid);
    department.publish(std::slice::from_ref(&sealed)).await;
    let holder = example.holders[0].value.clone();
    let window = TestWindow { client: window.at(&second).await, ..window };

    let mut voice = Voice::open(&first, &department).await;
    voice.hello(vec![]).await;
    let backlog =
        v1::Backlog { record_type: TYPE.into(), unsent: 1, held: 0, oldest_ago_ms: (25 * HOUR).cast_unsigned() };
    voice.beat(|beat| beat.backlog = vec![backlog]).await;
    let told = async |wanted: (Answering, Vec<Staleness>)| {
        eventually(PATIENCE, || async {
            let told = answer(&window, &sealed.record_id, &holder).await;
            if told == wanted { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    };
    told((Answering::Stale, vec![Staleness::UnsentBacklog])).await;
    let entry = fleet(&second).await.remove(0);
    assert_eq!((entry.state(), entry.instance.as_str()), (AdapterState::Late, first.config.instance.as_str()));

    // Asked at one instance, told at the other.
    let ask = v1::CommandAdapterRequest {
        department: DEPARTMENT.into(),
        adapter: "main".into(),
        command: Some(v1::Command { kind: v1::CommandKind::Pause.into(), ..Default::default() }),
    };
    let id = second.operator("wang").await.command_adapter(ask).await.unwrap().into_inner().command_id;
    assert_eq!(voice.command().await.id, id);

    // The instance that heard it is gone, the adapter goes on at the other one.
    drop(voice);
    first.stop().await;
    let mut voice = Voice::open(&second, &department).await;
    voice.hello(vec![]).await;
    voice.beat(|_| {}).await;
    told((Answering::Satisfied, vec![])).await;
    second.stop().await;
}
