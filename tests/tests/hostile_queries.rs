//! Hostile inputs, rows 37 to 42: looks that ask for too much, for another's, too often, or while the ledger is down.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use tonic::{Code, Status as Refused};
use tonic_types::StatusExt;
use weft_hub::{
    body::Look,
    envelope::{self, DataKey, DataKeys, Place},
    hub::{Stores, open_stores},
    keys::Keys,
    log::{AppendError, Draft, Entry, Error, Log, Partition, ReadLimit, SharedLog, Topic},
};
use weft_proto::{
    reason::{Reason, reason_of},
    v1::{self, Answering, OutcomeKind},
};
use weft_record::{
    record_id,
    sdjwt::{Limits, Token},
    seal::Content,
    status::{Event, Status},
};
use weft_tests::{
    department::{Example, Sealed, TestDepartment},
    eventually,
    folder::scratch,
    hub::{OPERATOR_NAMES, TestHub, begin, embedded},
    window::{ITEM, TestWindow, grant, look},
};

const LICENCE: &str = "business-licence";
const FOOD: &str = "food-business-licence";
const CODE: &str = "market-regulation";
const OTHER_ITEM: &str = "company-establishment";
/// One second is what is asked for; a slow machine that builds beside the test gets more. What hangs takes longer still.
const PROMPT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// A hub with two types of records of one holder: a business licence, and three food licences.
struct Hall {
    hub: TestHub,
    department: TestDepartment,
    window: TestWindow,
    licence: Sealed,
    holder: String,
}

impl Hall {
    async fn open(hub: TestHub) -> Self {
        let department = hub.department(CODE, &[LICENCE, FOOD]).await;
        let window = hub.window("hall-1").await;
        // The body whom the example of a food licence names.
        let example = Example::business_licence(1);
        let holder = example.holders[0].value.clone();
        let licence = department.seal(&example, 1, Event::Issue, Status::Valid);
        let mut all = vec![licence.token.clone().into_bytes()];
        all.extend((0..3).map(|number| food_licence(&department, number).into_bytes()));
        let heard = department.publish_bytes(all).await;
        assert!(heard.outcomes.values().all(|one| one.kind() == OutcomeKind::Indexed), "{:?}", heard.answers);
        assert_eq!(heard.outcomes.len(), 4, "{:?}", heard.answers);
        Self { hub, department, window, licence, holder }
    }

    fn look(&self) -> v1::Look {
        look(ITEM, Some(("uscc", &self.holder)))
    }

    async fn get(&self, look: v1::Look) -> Result<v1::Answer, Refused> {
        let begun = tokio::time::Instant::now();
        let answer = self.window.get(&self.licence.record_id, look).await;
        assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
        answer
    }

    async fn list(
        &self,
        window: &TestWindow,
        look: v1::Look,
        record_type: &str,
        page: (i32, &str),
    ) -> Result<v1::ListHolderRecordsResponse, Refused> {
        let request = v1::ListHolderRecordsRequest {
            look: Some(look),
            record_type: record_type.into(),
            page_size: page.0,
            page_token: page.1.into(),
        };
        Ok(window.client.clone().list_holder_records(request).await?.into_inner())
    }

    /// The look of a request id, as it stands on the ledger.
    async fn on_the_ledger(&self, request_id: &str) -> Look {
        let entries = ledger(&self.hub).await;
        entries.into_iter().find(|one| one.request_id == request_id).expect("the look is on the ledger")
    }
}

/// The same food licence under several record identifiers: several records of one holder.
fn food_licence(department: &TestDepartment, number: u32) -> String {
    let example = Example::of(FOOD, "valid-shop");
    let id = record_id::make(FOOD, CODE, &department.secret, &[format!("test {number}")]).unwrap();
    let content = Content {
        record_id: id.to_string(),
        version: 1,
        status: Status::Valid,
        valid_from: example.valid_from,
        valid_until: example.valid_until,
        event: Event::Issue,
        supersedes: None,
        holders: example.holders,
        fields: example.fields,
    };
    department.seal_content(&content, FOOD, &department.key)
}

/// The hub's own keys, to read its ledger with.
struct Opened(Keys);

impl DataKeys for Opened {
    fn data_key(&self, _: &str) -> Option<DataKey> {
        Some(self.0.hub_data_key().1.clone())
    }
}

/// Every entry of the ledger, in order.
async fn ledger(hub: &TestHub) -> Vec<Look> {
    let keys = Opened(Keys::open(&hub.config.keys_dir).unwrap());
    let partition = Partition { topic: Topic::Ledger, number: 0 };
    let mut all = Vec::new();
    let mut from = 0;
    loop {
        let entries = hub.stores.log.read(&partition, from, ReadLimit::default(), Duration::ZERO).await.unwrap();
        let Some(last) = entries.last() else { return all };
        from = last.offset + 1;
        all.extend(entries.iter().map(|entry| {
            let place =
                Place { topic: &Topic::Ledger, key: entry.key.as_deref().unwrap(), entry_id: entry.entry_id.unwrap() };
            let (_, text) = envelope::open(place, &keys, entry.value.as_ref().unwrap()).unwrap();
            serde_json::from_slice::<Look>(&text).unwrap()
        }));
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Refused>, reason: Reason) -> Refused {
    let status = result.expect_err("it is refused");
    assert_eq!((status.code(), reason_of(&status)), (reason.code(), Some(reason)), "{status}");
    status
}

fn fields_named(status: &Refused) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
    violations.into_iter().map(|one| one.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_37_without_a_grant_in_force_nothing_is_said_and_the_look_is_on_the_ledger() {
    let hall = Hall::open(TestHub::start().await).await;
    let denied = async |what: &str| {
        let look = hall.look();
        let status = refused(hall.get(look.clone()).await, Reason::Denied);
        let entry = hall.on_the_ledger(&look.request_id).await;
        assert_eq!(
            (entry.kind.as_str(), entry.window.as_str(), entry.given.len()),
            ("look_denied", "hall-1", 0),
            "{what}"
        );
        assert_eq!((entry.clerk, entry.case_number), (look.clerk, look.case.unwrap().number), "{what}");
        status.message().to_owned()
    };
    let none = denied("no grant at all").await;

    let id = hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc", "name"])).await;
    assert_eq!(hall.get(hall.look()).await.unwrap().answering(), Answering::Satisfied);
    // Of another item, another type, another window.
    let other_item = v1::Look {
        case: Some(v1::CaseRef { service_item: OTHER_ITEM.into(), ..hall.look().case.unwrap() }),
        ..hall.look()
    };
    refused(hall.get(other_item.clone()).await, Reason::Denied);
    assert_eq!(hall.on_the_ledger(&other_item.request_id).await.service_item, OTHER_ITEM);
    let unknown = v1::CaseRef { service_item: "no-such-item".into(), ..hall.look().case.unwrap() };
    refused(hall.get(v1::Look { case: Some(unknown), ..hall.look() }).await, Reason::Denied);
    refused(hall.list(&hall.window, hall.look(), FOOD, (0, "")).await, Reason::Denied);
    let other = hall.hub.window("hall-2").await;
    refused(other.get(&hall.licence.record_id, hall.look()).await, Reason::Denied);
    // A record that is not there is denied in the same words as one that is.
    let nobody = other.get(&format!("{LICENCE}.{CODE}.{}", "a".repeat(26)), hall.look()).await;
    assert_eq!(refused(nobody, Reason::Denied).message(), none);

    for (state, why) in [("suspended", "suspended"), ("active", ""), ("revoked", "ended")] {
        let operator = OPERATOR_NAMES[1];
        hall.hub.decide(operator, &id, state).await.unwrap_or_else(|status| panic!("{state} {why}: {status}"));
        match state {
            "active" => assert_eq!(hall.get(hall.look()).await.unwrap().answering(), Answering::Satisfied),
            _ => assert_eq!(denied(state).await, none),
        }
    }
    // What lacks its clerk or its case, or has more than a line for a purpose, is no look at all.
    for (what, look, reason) in [
        ("a purpose of 201", v1::Look { purpose: "核".repeat(201), ..hall.look() }, Reason::BadRequest),
        ("a line end", v1::Look { purpose: "a\nb".into(), ..hall.look() }, Reason::BadRequest),
        ("no clerk", v1::Look { clerk: String::new(), ..hall.look() }, Reason::BadRequest),
        ("no request id", v1::Look { request_id: String::new(), ..hall.look() }, Reason::BadRequest),
        ("no case", v1::Look { case: None, ..hall.look() }, Reason::CaseIncomplete),
    ] {
        let status = refused(hall.get(look).await, reason);
        assert!(!fields_named(&status).is_empty(), "{what}");
    }
    let nothing = v1::GetRecordRequest { look: None, by: None };
    assert_eq!(hall.window.client.clone().get_record(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    let mut hub = hall.hub;
    hub.stop().await;
}

/// The window's look is denied in these words, and stands on the ledger as it was asked.
async fn denied_as(hall: &Hall, what: &str, look: v1::Look) -> String {
    let status = refused(hall.get(look.clone()).await, Reason::Denied);
    assert!(fields_named(&status).is_empty(), "{what}: no field says what is wrong");
    let entry = hall.on_the_ledger(&look.request_id).await;
    assert_eq!(
        (entry.kind.as_str(), entry.given.len(), entry.record_type.as_str()),
        ("look_denied", 0, LICENCE),
        "{what}"
    );
    assert_eq!(entry.purpose, look.purpose.trim(), "{what}");
    status.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_37_a_purpose_is_given_is_the_grants_own_and_has_its_days() {
    const DAY_MS: i64 = 86_400_000;
    let hall = Hall::open(TestHub::start().await).await;
    hall.hub.window("hall-2").await;
    let day = |days: i64| {
        let at = weft_hub::clock::Clock::now(hall.hub.clock.as_ref()) + days * DAY_MS;
        weft_hub::query::answering::local_date(at).to_string()
    };
    let of_hall_2 = "核验承租人证照";
    let mine = v1::GrantInfo {
        exact_purpose: true,
        valid_from: day(1),
        valid_until: day(3),
        ..grant("hall-1", LICENCE, CODE, &["uscc", "name"])
    };
    let purpose = mine.purpose.clone();
    let id = hall.hub.grant(mine.clone()).await;
    hall.hub
        .grant(v1::GrantInfo {
            exact_purpose: true,
            purpose: of_hall_2.into(),
            ..grant("hall-2", LICENCE, CODE, &["uscc"])
        })
        .await;
    let for_purpose = |purpose: &str| v1::Look { purpose: purpose.into(), ..hall.look() };

    let not_yet = denied_as(&hall, "before its first day", for_purpose(&purpose)).await;
    hall.hub.clock.shift_to(DAY_MS);
    assert_eq!(hall.get(for_purpose(&purpose)).await.unwrap().answering(), Answering::Satisfied, "its first day");
    for (what, wrong) in [
        ("no purpose", ""),
        ("blanks for a purpose", "  \u{3000}"),
        ("a purpose that nobody registered", "核验申请人证照"),
        ("the beginning of its purpose", &purpose[..purpose.len() - 3]),
        ("another window's purpose", of_hall_2),
    ] {
        assert_eq!(denied_as(&hall, what, for_purpose(wrong)).await, not_yet, "{what}: equal words");
    }
    hall.hub.decide(OPERATOR_NAMES[1], &id, "suspended").await.unwrap();
    assert_eq!(denied_as(&hall, "suspended", for_purpose(&purpose)).await, not_yet);
    hall.hub.decide(OPERATOR_NAMES[1], &id, "active").await.unwrap();
    hall.hub.clock.shift_to(3 * DAY_MS);
    assert_eq!(hall.get(for_purpose(&purpose)).await.unwrap().answering(), Answering::Satisfied, "its last day");
    hall.hub.clock.shift_to(4 * DAY_MS);
    assert_eq!(denied_as(&hall, "after its last day", for_purpose(&purpose)).await, not_yet);
    what_is_over_stays_over(&hall, &id, mine, (day(9), day(8))).await;
    let mut hub = hall.hub;
    hub.stop().await;
}

/// A grant that is over stands in nobody's way, and comes to life no more.
async fn what_is_over_stays_over(hall: &Hall, id: &str, mine: v1::GrantInfo, (late, early): (String, String)) {
    hall.hub.decide(OPERATOR_NAMES[1], id, "suspended").await.unwrap();
    refused(hall.hub.decide(OPERATOR_NAMES[1], id, "active").await, Reason::WrongState);
    let always = v1::GrantInfo { valid_from: String::new(), valid_until: String::new(), ..mine.clone() };
    let mut operator = hall.hub.operator(OPERATOR_NAMES[0]).await;
    for (field, wrong) in [
        ("grant.valid_until", v1::GrantInfo { valid_from: String::new(), ..mine }),
        ("grant.valid_until", v1::GrantInfo { valid_from: late, valid_until: early, ..always.clone() }),
        ("grant.valid_from", v1::GrantInfo { valid_from: "2026-02-30".into(), ..always.clone() }),
    ] {
        let asked = operator.request_grant(v1::RequestGrantRequest { grant: Some(wrong) }).await;
        assert_eq!(fields_named(&refused(asked, Reason::BadRequest)), [field]);
    }
    let look = v1::Look { purpose: always.purpose.clone(), ..hall.look() };
    hall.hub.grant(always).await;
    assert_eq!(hall.get(look).await.unwrap().answering(), Answering::Satisfied, "a new grant");
}

fn fields_of(presentation: &str) -> BTreeSet<String> {
    let token = Token::parse(presentation, Limits::default()).unwrap();
    token.process().unwrap()["fields"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_38_only_granted_fields_whatever_is_asked_for() {
    let hall = Hall::open(TestHub::start().await).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["name"])).await;
    hall.hub.grant(grant("hall-1", FOOD, CODE, &["uscc", "certificateNumber"])).await;
    let elsewhere =
        v1::GrantInfo { service_item: OTHER_ITEM.into(), ..grant("hall-1", LICENCE, CODE, &["name", "scope"]) };
    hall.hub.grant(elsewhere).await;
    let only = |fields: &[&str]| fields.iter().map(ToString::to_string).collect::<BTreeSet<String>>();

    for asked in [
        "*",
        "",
        "%",
        "nothing",
        "fields",
        "fields.name",
        "name.scope",
        "a.b.c",
        "/fields/name",
        "NAME",
        "name ",
        "uscc",
        "scope",
        "legalRepId",
        "holders",
        "_sd",
        "...",
        "name\0",
        "name\",\"legalRepId",
    ] {
        let look = v1::Look { fields: vec!["name".into(), asked.into()], ..hall.look() };
        let status = refused(hall.get(look.clone()).await, Reason::FieldNotGranted);
        assert_eq!(fields_named(&status), [format!("look.fields[{asked}]")]);
        let entry = hall.on_the_ledger(&look.request_id).await;
        assert_eq!((entry.kind.as_str(), entry.given.len()), ("look_denied", 0), "{asked}");
    }
    let answer = hall.get(hall.look()).await.unwrap();
    assert_eq!(fields_of(&answer.presentation), only(&["name"]));
    let twice = v1::Look { fields: vec!["name".into(), "name".into()], ..hall.look() };
    assert_eq!(fields_of(&hall.get(twice).await.unwrap().presentation), only(&["name"]));

    under_an_answered_request(&hall).await;
    let mut hub = hall.hub;
    hub.stop().await;
}

/// The grant of another type is no way round, not under a request id that was answered before either.
async fn under_an_answered_request(hall: &Hall) {
    let only = |fields: &[&str]| fields.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    let first = hall.look();
    hall.get(first.clone()).await.unwrap();
    eventually(PATIENCE, || async {
        let entries = hall.hub.status(false).await.ledger_entries;
        let written = u64::try_from(ledger(&hall.hub).await.len()).unwrap();
        if entries == written { Ok(()) } else { Err(format!("{entries} of {written} looks are indexed")) }
    })
    .await;
    let answered = hall.list(&hall.window, first.clone(), FOOD, (0, "")).await.unwrap();
    let given: Vec<_> = answered.answers.iter().map(|one| one.record_id.as_str()).collect();
    assert_eq!(given.len(), 3, "{given:?}");
    for answer in &answered.answers {
        assert!(answer.record_id.starts_with(FOOD), "{}", answer.record_id);
        assert_eq!(fields_of(&answer.presentation), only(&["uscc", "certificateNumber"]));
    }
    let identifier = v1::LookUpIdentifier {
        record_type: FOOD.into(),
        field: "certificateNumber".into(),
        value: "JY13703229900018".into(),
    };
    let by = Some(v1::get_record_request::By::Identifier(identifier));
    let request = v1::GetRecordRequest { look: Some(first), by };
    let answer = hall.window.client.clone().get_record(request).await.unwrap().into_inner().answer.unwrap();
    assert_eq!(
        (answer.answering(), answer.presentation.as_str()),
        (Answering::Ambiguous, ""),
        "three have this number"
    );
}

/// An answer without what is each look's own.
fn bare(answer: v1::Answer) -> v1::Answer {
    v1::Answer { receipt: None, as_of: None, ..answer }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_who_enumerates_learns_nothing() {
    let hall = Hall::open(TestHub::start().await).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc", "name"])).await;
    hall.hub.grant(grant("hall-1", FOOD, CODE, &["uscc"])).await;
    let stranger = weft_tests::department::synthetic_uscc(3901);
    let by_stranger = || look(ITEM, Some(("uscc", &stranger)));
    // A record that is there and not this holder's, and records that are not there: the same answer.
    let not_a_holder = bare(hall.get(by_stranger()).await.unwrap());
    assert_eq!((not_a_holder.answering(), not_a_holder.presentation.as_str()), (Answering::Missing, ""));
    for last in 'b'..='z' {
        let id = format!("{LICENCE}.{CODE}.{}{}", "a".repeat(25), last);
        let Ok(answer) = hall.window.get(&id, by_stranger()).await else { continue };
        assert_eq!(bare(answer), not_a_holder, "{id}");
    }
    let by_number = async |number: &str, look: v1::Look| {
        let identifier =
            v1::LookUpIdentifier { record_type: FOOD.into(), field: "certificateNumber".into(), value: number.into() };
        let by = Some(v1::get_record_request::By::Identifier(identifier));
        let request = v1::GetRecordRequest { look: Some(look), by };
        bare(hall.window.client.clone().get_record(request).await.unwrap().into_inner().answer.unwrap())
    };
    let there = by_number("JY13703229900018", by_stranger()).await;
    for number in ["JY13703229900026", "JY13703229900034", "JY13703229900042", "%", "' OR 1=1 --", ""] {
        assert_eq!(by_number(number, by_stranger()).await, there, "{number}");
    }
    assert!(hall.hub.alarms().await.is_empty(), "a handful in vain is a clerk's day");
    // Without naming a holder there is no look, unless the grant says so.
    refused(hall.get(look(ITEM, None)).await, Reason::Denied);
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_a_windows_flood_is_its_own_trouble() {
    let hub = TestHub::start_with(|config| (config.limits.looks_per_second, config.limits.looks_burst) = (5, 10)).await;
    let hall = Hall::open(hub).await;
    let other = hall.hub.window("hall-2").await;
    for window in ["hall-1", "hall-2"] {
        hall.hub.grant(grant(window, LICENCE, CODE, &["uscc"])).await;
    }
    let mut answered = 0;
    let mut limited = 0;
    let begun = tokio::time::Instant::now();
    for _ in 0..100 {
        match hall.get(hall.look()).await {
            Ok(_) => answered += 1,
            Err(status) => {
                refused(Err::<(), _>(status.clone()), Reason::RateLimited);
                let retry =
                    status.get_details_retry_info().and_then(|info| info.retry_delay).expect("when to try again");
                assert!(retry >= Duration::from_millis(100) && retry < Duration::from_secs(60), "{retry:?}");
                limited += 1;
            }
        }
    }
    let most = 10 + 5 * (begun.elapsed().as_secs() + 1);
    assert!(limited > 0 && answered <= most, "{answered} of 100 answered, at most {most} may be");
    // The other window's quota is its own.
    for _ in 0..5 {
        let answer = other.get(&hall.licence.record_id, hall.look()).await.expect("another's flood is not ours");
        assert_eq!(answer.answering(), Answering::Satisfied);
    }
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_two_windows_of_a_hall_have_one_quota() {
    let hub = TestHub::start_with(|config| {
        (config.limits.hall_looks_per_second, config.limits.hall_looks_burst) = (5, 10);
    })
    .await;
    let hall = Hall::open(hub).await;
    let other = hall.hub.window("hall-2").await;
    for window in ["hall-1", "hall-2"] {
        hall.hub.grant(grant(window, LICENCE, CODE, &["uscc"])).await;
    }
    let mut answered = [0_u64; 2];
    let mut words = BTreeSet::new();
    let begun = tokio::time::Instant::now();
    for turn in 0..100 {
        let window = if turn % 2 == 0 { &hall.window } else { &other };
        match window.get(&hall.licence.record_id, hall.look()).await {
            Ok(_) => answered[turn % 2] += 1,
            Err(status) => {
                let status = refused(Err::<(), _>(status), Reason::RateLimited);
                assert!(
                    status.get_details_retry_info().and_then(|info| info.retry_delay).is_some(),
                    "when to try again"
                );
                words.insert(status.message().to_owned());
            }
        }
    }
    let most = 10 + 5 * (begun.elapsed().as_secs() + 1);
    assert!(answered.iter().sum::<u64>() <= most, "{answered:?}: both together have at most {most}");
    assert!(words.len() == 1 && words.iter().all(|one| one.contains("hall is 5 looks a second")), "{words:?}");
    let mut hub = hall.hub;
    hub.stop().await;
}

/// The alarms of one name, oldest first.
async fn alarms_named(hub: &TestHub, name: &str) -> Vec<String> {
    let mut alarms = hub.alarms().await;
    alarms.retain(|alarm| alarm.alarm == name);
    alarms.reverse();
    alarms.into_iter().map(|alarm| alarm.detail).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_ten_times_the_quota_is_an_alarm_once() {
    let hub = TestHub::start_with(|config| {
        (config.limits.looks_per_second, config.limits.looks_burst) = (1, 1);
        config.limits.watch_interval_ms = 10_000;
    })
    .await;
    let hall = Hall::open(hub).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc"])).await;
    // The clock may step from one interval into the next in the middle: then it begins to count anew.
    let begun = tokio::time::Instant::now();
    let alarms = eventually(PATIENCE, || async {
        for _ in 0..150 {
            let _ = hall.get(hall.look()).await;
        }
        let alarms = alarms_named(&hall.hub, "quota_exceeded").await;
        if alarms.is_empty() { Err("no alarm".to_owned()) } else { Ok(alarms) }
    })
    .await;
    let intervals = usize::try_from(begun.elapsed().as_secs() / 10 + 2).unwrap();
    assert!(alarms.len() <= intervals, "once an interval: {alarms:?}");
    assert!(alarms.iter().all(|detail| detail.starts_with("window/hall-1: ")), "{alarms:?}");
    // Its hall has a quota of its own, which it did not exceed.
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_who_asks_much_in_vain_is_an_alarm_once() {
    const SPAN_MS: u64 = 1_000_000_000;
    let hub = TestHub::start_with(|config| {
        config.limits.watch_interval_ms = SPAN_MS;
        config.limits.looks_in_vain = 20;
    })
    .await;
    let hall = Hall::open(hub).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc"])).await;
    let stranger = hall.hub.window("hall-2").await;
    let nth = |at: usize| {
        let letters = b"abcdefghijklmnopqrstuvwxyz234567";
        let last = [letters[at / 32], letters[at % 32]].map(char::from);
        format!("{LICENCE}.{CODE}.{}{}{}", "a".repeat(23), last[0], last[1]) + "a"
    };
    // The same thing asked again, and what is found, is no harvest.
    for _ in 0..40 {
        assert_eq!(hall.window.get(&nth(0), hall.look()).await.unwrap().answering(), Answering::Missing);
        assert_eq!(hall.get(hall.look()).await.unwrap().answering(), Answering::Satisfied);
    }
    assert!(alarms_named(&hall.hub, "enumeration").await.is_empty());
    for at in 0..60 {
        assert_eq!(hall.window.get(&nth(at), hall.look()).await.unwrap().answering(), Answering::Missing);
    }
    let told = |number: usize| {
        let hall = &hall;
        eventually(PATIENCE, move || async move {
            let alarms = alarms_named(&hall.hub, "enumeration").await;
            if alarms.len() == number { Ok(alarms) } else { Err(format!("{number} are awaited: {alarms:?}")) }
        })
    };
    let alarms = told(1).await;
    assert!(alarms[0].starts_with("window/hall-1: ") && !alarms[0].contains(&hall.holder), "{alarms:?}");
    // Denied ones count too, of each window its own.
    for at in 0..30 {
        refused(stranger.get(&nth(at), hall.look()).await, Reason::Denied);
    }
    assert!(told(2).await[1].starts_with("window/hall-2: "));
    // The next span of time has its own.
    hall.hub.clock.shift_to(i64::try_from(SPAN_MS).unwrap());
    for at in 0..30 {
        hall.window.get(&nth(at), hall.look()).await.unwrap();
    }
    told(3).await;
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_40_wildcards_and_pages_that_nobody_made() {
    let hall = Hall::open(TestHub::start().await).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc"])).await;
    hall.hub.grant(grant("hall-1", FOOD, CODE, &["uscc"])).await;
    for value in [
        "",
        " ",
        "*",
        "%",
        "_",
        "?",
        "9137%",
        "91370322MAYY0001_4",
        "91370322MAYY******",
        "' OR 1=1 --",
        "\\%",
        "\0",
        "91370322MAYY000185",
    ] {
        let look = look(ITEM, Some(("uscc", value)));
        let status = refused(hall.get(look.clone()).await, Reason::BadRequest);
        assert_eq!(fields_named(&status), ["look.holder.value"], "{value:?}");
        let told = format!("{status:?}");
        assert!(value.len() < 6 || !told.contains(value), "the number is repeated: {told}");
        refused(hall.list(&hall.window, look, LICENCE, (0, "")).await, Reason::BadRequest);
    }
    for scheme in ["", "*", "USCC", "nothing", "uscc' OR 1=1"] {
        let status = refused(hall.get(look(ITEM, Some((scheme, &hall.holder)))).await, Reason::BadRequest);
        assert_eq!(fields_named(&status), ["look.holder.scheme"], "{scheme:?}");
    }
    for id in
        ["", "x", "%", "x' OR '1'='1", &format!("{LICENCE}.{CODE}.%"), &format!("{LICENCE}.{CODE}.{}", "A".repeat(26))]
    {
        refused(hall.window.get(id, hall.look()).await, Reason::BadRequest);
    }
    for field in ["", "*", "legalRepId", "name", "uscc; DROP TABLE versions", "uscc desc"] {
        let identifier = v1::LookUpIdentifier { record_type: LICENCE.into(), field: field.into(), value: "x".into() };
        let by = Some(v1::get_record_request::By::Identifier(identifier));
        let request = v1::GetRecordRequest { look: Some(hall.look()), by };
        refused(hall.window.client.clone().get_record(request).await, Reason::BadRequest);
    }
    for record_type in ["", "*", "%", "business-licence' --", "Business-Licence"] {
        refused(hall.list(&hall.window, hall.look(), record_type, (0, "")).await, Reason::Denied);
    }
    for size in [-1, i32::MIN, 101, 1_000_000_000, i32::MAX] {
        let status = refused(hall.list(&hall.window, hall.look(), FOOD, (size, "")).await, Reason::BadRequest);
        assert_eq!(fields_named(&status), ["page_size"]);
    }
    pages(&hall).await;
    let mut hub = hall.hub;
    hub.stop().await;
}

/// Pages go through, and their tokens are for this caller and this question alone.
async fn pages(hall: &Hall) {
    let next_page = |token: &str| {
        let token = token.to_owned();
        async move { hall.list(&hall.window, hall.look(), FOOD, (1, &token)).await }
    };
    let mut seen = BTreeSet::new();
    let mut token = String::new();
    let mut tokens = Vec::new();
    loop {
        let page = next_page(&token).await.unwrap();
        assert!(page.answers.len() <= 1);
        seen.extend(page.answers.into_iter().map(|answer| answer.record_id));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
        tokens.push(token.clone());
    }
    assert_eq!(seen.len(), 3);
    let token = tokens[0].clone();
    for at in [0, 10, 43, token.len() / 2, token.len() - 2] {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        refused(next_page(&String::from_utf8(forged).unwrap()).await, Reason::BadPageToken);
    }
    for forged in ["x", "%", "AAAA", "e30", &token[..token.len() / 2], &format!("{token}="), &"A".repeat(4000)] {
        refused(next_page(forged).await, Reason::BadPageToken);
    }
    // Of another question: another type, another holder, other fields.
    let of = |look: v1::Look, record_type: &'static str| {
        let token = token.clone();
        async move { hall.list(&hall.window, look, record_type, (1, &token)).await }
    };
    refused(of(hall.look(), LICENCE).await, Reason::BadPageToken);
    let stranger = weft_tests::department::synthetic_uscc(4001);
    refused(of(look(ITEM, Some(("uscc", &stranger))), FOOD).await, Reason::BadPageToken);
    refused(of(v1::Look { fields: vec!["uscc".into()], ..hall.look() }, FOOD).await, Reason::BadPageToken);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_a_request_id_is_for_one_question() {
    let hall = Hall::open(TestHub::start().await).await;
    hall.hub.grant(v1::GrantInfo { by_record: true, ..grant("hall-1", LICENCE, CODE, &["uscc", "name"]) }).await;
    let second = hall.department.seal(&Example::business_licence(3201), 1, Event::Issue, Status::Valid);
    assert_eq!(hall.department.publish(std::slice::from_ref(&second)).await.outcome(&second), OutcomeKind::Indexed);
    let by_uscc = async |value: &str, look: &v1::Look| {
        let identifier =
            v1::LookUpIdentifier { record_type: LICENCE.into(), field: "uscc".into(), value: value.into() };
        let by = Some(v1::get_record_request::By::Identifier(identifier));
        let request = v1::GetRecordRequest { look: Some(look.clone()), by };
        Ok::<_, Refused>(hall.window.client.clone().get_record(request).await?.into_inner().answer.unwrap())
    };
    let other = Example::business_licence(3201).holders[0].value.clone();
    let (first, by_id) = (look(ITEM, None), look(ITEM, None));
    assert_eq!(by_uscc(&hall.holder, &first).await.unwrap().record_id, hall.licence.record_id);
    hall.get(by_id.clone()).await.unwrap();
    eventually(PATIENCE, || async {
        let entries = hall.hub.status(false).await.ledger_entries;
        let written = u64::try_from(ledger(&hall.hub).await.len()).unwrap();
        if entries == written { Ok(()) } else { Err(format!("{entries} of {written} looks are indexed")) }
    })
    .await;
    // The same again is the same, however the number is written.
    for same in [hall.holder.clone(), hall.holder.to_lowercase()] {
        assert_eq!(by_uscc(&same, &first).await.unwrap().record_id, hall.licence.record_id);
    }
    let status = refused(by_uscc(&other, &first).await, Reason::BadRequest);
    assert_eq!(fields_named(&status), ["look.request_id"]);
    assert!(!format!("{status:?}").contains(&other));
    refused(hall.get(first.clone()).await, Reason::BadRequest);
    let status = refused(hall.window.get(&second.record_id, by_id.clone()).await, Reason::BadRequest);
    assert_eq!(fields_named(&status), ["look.request_id"]);
    assert_eq!(hall.get(by_id).await.unwrap().record_id, hall.licence.record_id);
    assert_eq!(by_uscc(&other, &look(ITEM, None)).await.unwrap().record_id, second.record_id, "a new request id");
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_41_anothers_page_token_and_anothers_outcome() {
    let hall = Hall::open(TestHub::start().await).await;
    let other = hall.hub.window("hall-2").await;
    for window in ["hall-1", "hall-2"] {
        hall.hub.grant(grant(window, FOOD, CODE, &["uscc"])).await;
    }
    let look = hall.look();
    let page = hall.list(&hall.window, look.clone(), FOOD, (1, "")).await.unwrap();
    let status = hall.list(&other, look, FOOD, (1, &page.next_page_token)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");

    let civil = hall.hub.department("civil-affairs", &["marriage-certificate"]).await;
    let heads = async |department: &TestDepartment, record_type: &str, page_token: &str| {
        let request = v1::HeadsRequest { record_type: record_type.into(), page_size: 1, page_token: page_token.into() };
        department.client.clone().heads(request).await.map(tonic::Response::into_inner)
    };
    let first = heads(&hall.department, FOOD, "").await.unwrap();
    let status = heads(&civil, "marriage-certificate", &first.next_page_token).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let status = heads(&civil, FOOD, "").await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::NotYourType));

    // Whoever has a submission's id has its bytes; the outcome is still none of another department's business.
    let request = || v1::OutcomeOfRequest { submission_ids: vec![hall.licence.id().to_vec()] };
    let own = hall.department.client.clone().outcome_of(request()).await.unwrap().into_inner().outcomes;
    assert_eq!(own.len(), 1);
    assert!(civil.client.clone().outcome_of(request()).await.unwrap().into_inner().outcomes.is_empty());
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_41_what_was_refused_is_told_to_its_sender_alone() {
    let hub = TestHub::start().await;
    let department = hub.department(CODE, &[LICENCE]).await;
    let civil = hub.department("civil-affairs", &["marriage-certificate"]).await;
    // Of neither can a record be read, or not of the sender's department: what counts is who sent it.
    let unreadable = b"no token at all".to_vec();
    let of_another =
        department.seal(&Example::business_licence(4101), 1, Event::Issue, Status::Valid).token.into_bytes();
    let ids = [&unreadable, &of_another].map(|bytes| weft_hub::decode::sha256(bytes).to_vec());
    let heard = civil.publish_bytes(vec![unreadable, of_another]).await;
    assert!(heard.outcomes.is_empty(), "both are refused at the door: {:?}", heard.outcomes);
    let outcomes = async |department: &TestDepartment, ids: Vec<Vec<u8>>| {
        let request = v1::OutcomeOfRequest { submission_ids: ids };
        department.client.clone().outcome_of(request).await.unwrap().into_inner()
    };
    let own = eventually(PATIENCE, || async {
        let own = outcomes(&civil, ids.to_vec()).await.outcomes;
        if own.len() == 2 { Ok(own) } else { Err(format!("{own:?}")) }
    })
    .await;
    assert!(own.iter().all(|one| one.kind() == OutcomeKind::Quarantined), "{own:?}");
    // To another department they are as unknown as what nobody sent.
    let nobodys = outcomes(&department, vec![vec![7; 32], vec![9; 32]]).await;
    assert_eq!(outcomes(&department, ids.to_vec()).await, nobodys);
    let mut hub = hub;
    hub.stop().await;
}

/// What is wrong with the ledger's topic.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Surely not written: down, or full.
    Refuses,
    /// Written, but nobody knows.
    Doubts,
    /// Written, and the answer does not come.
    Hangs,
}

/// The real log, with a fault in the ledger's topic.
#[derive(Debug)]
struct Faulty {
    log: SharedLog,
    fault: watch::Receiver<Fault>,
}

#[async_trait]
impl Log for Faulty {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.log.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), Error> {
        self.log.ensure(topic).await
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        if drafts.iter().all(|draft| draft.partition.topic != Topic::Ledger) {
            return self.log.append(drafts).await;
        }
        let fault = *self.fault.borrow();
        let count = drafts.len();
        if fault == Fault::Refuses {
            return (0..count).map(|_| Err(AppendError::NotAppended("no space left".into()))).collect();
        }
        let appended = self.log.append(drafts).await;
        match fault {
            Fault::Doubts => (0..count).map(|_| Err(AppendError::Unknown("no answer in time".into()))).collect(),
            Fault::Hangs => {
                let _ = self.fault.clone().wait_for(|fault| *fault != Fault::Hangs).await;
                appended
            }
            Fault::None | Fault::Refuses => appended,
        }
    }

    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        self.log.read(partition, from, limit, wait).await
    }

    async fn end(&self, partition: &Partition) -> Result<u64, Error> {
        self.log.end(partition).await
    }
}

/// Changes the key directory's one file as somebody would who can write it.
fn tampered(hub: &TestHub, change: impl FnOnce(&mut serde_json::Value)) {
    let path = hub.config.keys_dir.join(weft_hub::keys::KEYRING);
    let mut ring: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut ring);
    weft_hub::keys::write_private(&path, &serde_json::to_vec(&ring).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_42_without_the_key_that_signs_nothing_is_answered() {
    let hall = Hall::open(TestHub::start().await).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc", "name"])).await;
    assert_eq!(hall.get(hall.look()).await.unwrap().answering(), Answering::Satisfied);
    let path = hall.hub.config.keys_dir.join(weft_hub::keys::KEYRING);
    let whole = std::fs::read(&path).unwrap();
    let stranger = hall.hub.window("hall-2").await;
    let put_back = || weft_hub::keys::write_private(&path, &whole).unwrap();
    let kinds: [(&str, &dyn Fn()); 4] = [
        ("taken out", &|| tampered(&hall.hub, |ring| ring["signing"] = serde_json::json!({}))),
        ("cannot be used", &|| tampered(&hall.hub, |ring| ring["signing"]["signing/1"] = "AAAA".into())),
        ("half written", &|| std::fs::write(&path, &whole[..whole.len() / 2]).unwrap()),
        ("the whole file is gone", &|| std::fs::remove_file(&path).unwrap()),
    ];
    for (number, (what, take_away)) in kinds.into_iter().enumerate() {
        let entries = ledger(&hall.hub).await.len();
        take_away();
        let status = eventually(PATIENCE, || async {
            match hall.window.get(&hall.licence.record_id, look("no-such-item", None)).await {
                Err(status) if reason_of(&status) == Some(Reason::SigningUnavailable) => Ok(status),
                other => Err(format!("{what}: {other:?}")),
            }
        })
        .await;
        assert!(status.get_details_retry_info().is_some(), "{what}: when to try again");
        let status = refused(hall.get(hall.look()).await, Reason::SigningUnavailable);
        let told = format!("{status:?}");
        assert!(!told.contains(&hall.holder) && !told.contains(&hall.licence.record_id), "{told}");
        let listed = hall.list(&hall.window, hall.look(), FOOD, (0, "")).await;
        refused(listed, Reason::SigningUnavailable);
        // Neither is a denial said, and publishing goes on.
        refused(stranger.get(&hall.licence.record_id, hall.look()).await, Reason::SigningUnavailable);
        let sealed = hall.department.seal(
            &Example::business_licence(4210 + u32::try_from(number).unwrap()),
            1,
            Event::Issue,
            Status::Valid,
        );
        assert_eq!(hall.department.publish(std::slice::from_ref(&sealed)).await.outcome(&sealed), OutcomeKind::Indexed);
        put_back();
        eventually(PATIENCE, || hall.get(hall.look())).await;
        let looks = ledger(&hall.hub).await;
        let since: Vec<_> = looks[entries..].iter().filter(|one| one.service_item == ITEM).collect();
        assert_eq!(since.len(), 1, "{what}: of what was not answered nothing stands on the ledger");
    }
    let alarms = alarms_named(&hall.hub, "signing_unavailable").await;
    assert!(alarms.iter().any(|detail| detail.contains("signing/1 is missing")), "{alarms:?}");

    does_not_start_without_the_key(hall.hub).await;
}

/// A hub that lacks it at its start does not start, and says which key and what to do.
async fn does_not_start_without_the_key(mut hub: TestHub) {
    let (config, _folder) = (hub.config.clone(), hub.folder.clone());
    hub.stop().await;
    tampered(&hub, |ring| ring["signing"] = serde_json::json!({}));
    drop(hub);
    let stores = weft_tests::hub::reopen(&config).await;
    let mut refusing = TestHub::run(config, stores, None).await;
    let error = refusing.ended().await.expect_err("it does not start").to_string();
    for said in ["signing/1", "is missing", "restore-keys"] {
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_42_while_the_ledger_is_down_nothing_is_answered() {
    let folder = Arc::new(scratch("hub"));
    let mut config = embedded(folder.path().into());
    config.limits.look_deadline_ms = 1500;
    begin(&config);
    let stores = open_stores(&config).await.unwrap();
    let (set, fault) = watch::channel(Fault::None);
    let stores = Stores { log: Arc::new(Faulty { log: stores.log.clone(), fault }), ..stores };
    let hall = Hall::open(TestHub::run(config, stores, Some(folder)).await).await;
    hall.hub.grant(grant("hall-1", LICENCE, CODE, &["uscc", "name"])).await;
    assert_eq!(hall.get(hall.look()).await.unwrap().answering(), Answering::Satisfied);
    let stranger = hall.hub.window("hall-2").await;

    let mut doubted = Vec::new();
    for fault in [Fault::Refuses, Fault::Doubts, Fault::Hangs] {
        set.send_replace(fault);
        for look in [hall.look(), hall.look()] {
            let status = refused(hall.get(look.clone()).await, Reason::LedgerUnavailable);
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert!(retry.is_some(), "when to try again");
            let told = format!("{status:?}");
            assert!(!told.contains(&hall.holder) && !told.contains(&hall.licence.record_id), "{told}");
            if fault != Fault::Refuses {
                doubted.push(look.request_id);
            }
        }
        // A refusal for want of a grant is not said either, before it is on the ledger.
        let denied = stranger.get(&hall.licence.record_id, hall.look()).await.unwrap_err();
        assert_eq!(denied.code(), Code::Unavailable, "{denied}");
        // Publishing has another topic and goes on.
        let number = 4200 + fault as u32;
        let sealed = hall.department.seal(&Example::business_licence(number), 1, Event::Issue, Status::Valid);
        assert_eq!(hall.department.publish(std::slice::from_ref(&sealed)).await.outcome(&sealed), OutcomeKind::Indexed);
    }
    set.send_replace(Fault::None);
    assert_eq!(hall.get(hall.look()).await.unwrap().answering(), Answering::Satisfied);

    // Looks whose entries stand though their answers never left are marked so.
    eventually(PATIENCE, || async {
        let entries = ledger(&hall.hub).await;
        let marked =
            |request: &String| entries.iter().any(|one| one.request_id == *request && one.kind == "look_not_delivered");
        let left = doubted.iter().filter(|request| !marked(request)).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} of {} withheld looks are not marked", doubted.len())) }
    })
    .await;
    let entries = ledger(&hall.hub).await;
    for request in &doubted {
        let mut kinds = entries.iter().filter(|one| one.request_id == *request).map(|one| one.kind.as_str());
        // A mark of unknown outcome is written again.
        assert_eq!(kinds.next(), Some("look"));
        assert!(kinds.all(|kind| kind == "look_not_delivered"));
    }
    let mut hub = hall.hub;
    hub.stop().await;
}
