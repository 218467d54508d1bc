use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::json;

use super::*;
use crate::catalogue::Catalogue;
use crate::keys::{Algorithm, RETIREMENT_GRACE_MS};
use crate::present::{HolderSelection, present};
use crate::sdjwt::{digest_of, encode};
use crate::seal::{Content, Holder, SealingKey, seal};
use crate::status::{Event, Status};

const HUB: &str = "hub.example";
const ISSUER: &str = "https://hub.example/departments/market-regulation";
const VCT: &str = "https://hub.example/types/business-licence/v1";
const RECORD_ID: &str = "business-licence.market-regulation.abcdefghijklmnopqrstuvwx23";
/// 2026-11-01T00:00:00Z
const IAT: i64 = 1_793_491_200;
const NOW_MS: i64 = IAT * 1000 + 5_000;

struct Registry {
    catalogue: Catalogue,
    keys: Vec<(String, VerifyingKey, KeyState)>,
}

impl RegistryView for Registry {
    fn public_name(&self) -> &str {
        HUB
    }

    fn may_publish(&self, sender: &Sender, record_type: &str) -> bool {
        sender.adapter == "main" && sender.department == "market-regulation" && record_type == "business-licence"
    }

    fn key(&self, issuer: &str, kid: &str) -> Option<RegisteredKey<'_>> {
        let found = self.keys.iter().find(|(of, key, _)| of == issuer && key.kid() == kid);
        found.map(|(_, key, state)| RegisteredKey { key, state: *state })
    }

    fn record_type(&self, vct: &str) -> Option<&RecordType> {
        self.catalogue.record_type_of_vct(vct).map(AsRef::as_ref)
    }
}

fn catalogue() -> Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::builtin().unwrap()).clone()
}

fn registry_with(state: KeyState) -> Registry {
    let known = |algorithm| (ISSUER.to_owned(), key(algorithm).verifying_key().clone(), state);
    Registry { catalogue: catalogue(), keys: vec![known(Algorithm::EdDsa), known(Algorithm::Es256)] }
}

fn registry() -> Registry {
    registry_with(KeyState::Active)
}

fn sender() -> Sender {
    Sender { department: "market-regulation".into(), adapter: "main".into() }
}

fn counting(mut next: u64) -> impl FnMut(&mut [u8]) {
    move |bytes: &mut [u8]| {
        bytes.fill(7);
        bytes[..8].copy_from_slice(&next.to_le_bytes());
        next += 1;
    }
}

fn key(algorithm: Algorithm) -> SealingKey {
    SealingKey::generate(algorithm, &mut counting(99)).unwrap()
}

fn example(text: &str) -> Content {
    let example: Value = serde_json::from_str(text).unwrap();
    let content = &example["content"];
    let text = |pointer: &str| content.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Content {
        record_id: RECORD_ID.into(),
        version: content["record"]["version"].as_u64().unwrap(),
        status: text("/record/status").unwrap().parse().unwrap(),
        valid_from: text("/record/valid_from"),
        valid_until: text("/record/valid_until"),
        event: text("/event").unwrap().parse().unwrap(),
        supersedes: text("/supersedes"),
        holders: serde_json::from_value(content["holders"].clone()).unwrap_or_default(),
        fields: content["fields"].as_object().cloned().unwrap_or_default(),
    }
}

fn company() -> Content {
    example(include_str!("../../../schemas/record-types/business-licence/examples/valid-company.json"))
}

fn seal_as(content: &Content, issuer: &str, vct: &str, iat: i64, algorithm: Algorithm) -> String {
    let slots = catalogue().record_type("business-licence").unwrap().definition.slots;
    seal(content, &slots, issuer, vct, iat, &key(algorithm), &mut counting(0)).unwrap()
}

fn sealed(content: &Content) -> String {
    seal_as(content, ISSUER, VCT, IAT, Algorithm::EdDsa)
}

/// The token with header, payload and disclosures changed, its digests brought up to date and sorted, and signed anew.
/// A disclosure that becomes null is left out.
fn remade(sealed: &str, change: impl Fn(&mut Map<String, Value>, &mut Map<String, Value>, &mut Value)) -> String {
    let token = Token::parse(sealed, Limits::default()).unwrap();
    let (mut header, mut payload) = (token.header.clone(), token.payload.clone());
    let mut rest = String::new();
    let mut text = None;
    for disclosure in &token.disclosures {
        let mut elements = json!(disclosure.elements);
        change(&mut header, &mut payload, &mut elements);
        let mut list = Value::Object(payload).to_string();
        if !elements.is_null() {
            let encoded = encode(elements.to_string());
            list = list.replace(&disclosure.digest, &digest_of(&encoded));
            rest.push_str(&format!("{encoded}~"));
        }
        payload = serde_json::from_str(&list).unwrap();
        text = Some(list);
    }
    let mut payload: Value = serde_json::from_str(&text.unwrap()).unwrap();
    for pointer in ["/_sd", "/holders", "/fields/_sd"] {
        let list = payload.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
        list.sort_by_key(|entry| entry["..."].as_str().or(entry.as_str()).unwrap().to_owned());
    }
    let input = format!("{}.{}", encode(Value::Object(header).to_string()), encode(payload.to_string()));
    let signature = encode(key(Algorithm::EdDsa).sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}~{rest}")
}

fn judge(text: &str) -> Result<Verified, Rejection> {
    verify(text.as_bytes(), &sender(), &registry(), NOW_MS)
}

#[track_caller]
fn refused(result: Result<Verified, Rejection>) -> (Stage, Vec<(Reason, String)>) {
    let rejection = result.expect_err("the submission was accepted");
    let problems = rejection.problems.into_iter().filter(|problem| !problem.warning);
    (rejection.stage, problems.map(|problem| (problem.reason, problem.pointer)).collect())
}

fn one(stage: Stage, reason: Reason, pointer: &str) -> (Stage, Vec<(Reason, String)>) {
    (stage, vec![(reason, pointer.to_owned())])
}

#[test]
fn a_right_submission_passes_and_its_facts_are_taken_out() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let text = seal_as(&company(), ISSUER, VCT, IAT, algorithm);
        let verified = judge(&text).unwrap();
        assert_eq!(verified.sealed(), text);
        assert_eq!(verified.warnings(), []);
        let facts = verified.facts();
        assert_eq!(facts.submission_id, submission_id(text.as_bytes()));
        assert_eq!((facts.department.as_str(), facts.issuer.as_str()), ("market-regulation", ISSUER));
        assert_eq!((facts.record_type.as_str(), facts.type_version), ("business-licence", 1));
        assert_eq!((facts.record_id.as_str(), facts.version, facts.iat), (RECORD_ID, 1, IAT));
        assert_eq!((facts.event, facts.status), (Event::Issue, Status::Valid));
        assert_eq!(
            (facts.valid_from.as_deref(), facts.valid_until.as_deref()),
            (Some("2018-06-12"), Some("2038-06-11"))
        );
        assert_eq!(facts.kid, key(algorithm).kid());
        assert_eq!(facts.holders, company().holders);
        assert_eq!(facts.supersedes, None);
        let certificate = LookUp { field: "certificateNumber".into(), value: "91370322MAYY000184".into() };
        assert!(facts.look_ups.contains(&certificate), "{:?}", facts.look_ups);
        assert_eq!(facts.payload["fields"], Value::Object(company().fields));
        assert_eq!(reread(text.as_bytes(), &registry()).unwrap(), *facts);
    }
}

#[test]
fn holders_and_look_ups_are_normalised_and_the_payload_is_not() {
    let mut content = company();
    content.holders[0].value = "91370322mayy000184".into();
    let verified = judge(&sealed(&content)).unwrap();
    assert_eq!(verified.facts().holders[0].value, "91370322MAYY000184");
    // A field in another spelling is refused, unless the event takes away; then it can still be looked up by it.
    content.fields["uscc"] = json!("91370322mayy000184");
    assert_eq!(refused(judge(&sealed(&content))).0, Stage::Content);
    (content.event, content.status, content.version) = (Event::Revoke, Status::Revoked, 2);
    let verified = judge(&sealed(&content)).unwrap();
    let look_up = LookUp { field: "uscc".into(), value: "91370322MAYY000184".into() };
    assert!(verified.facts().look_ups.contains(&look_up), "{:?}", verified.facts().look_ups);
    assert_eq!(verified.facts().holders[0].value, "91370322MAYY000184");
    assert_eq!(verified.facts().payload["holders"][0]["value"], "91370322mayy000184");
    let selection = HolderSelection::Only { scheme: "uscc".into(), value: "91370322MAYY000184".into() };
    assert_eq!(present(verified.sealed(), &BTreeSet::new(), &selection).unwrap().holders.len(), 1);
}

#[test]
fn shape_is_judged_first() {
    let long = "x".repeat(64 * 1024 + 1);
    assert_eq!(refused(judge(&long)), one(Stage::Shape, Reason::TooLarge, ""));
    let result = verify(b"\xff\xfe", &sender(), &registry(), NOW_MS);
    assert_eq!(refused(result), one(Stage::Token, Reason::MalformedToken, ""));
}

#[test]
fn the_token_is_judged_second_with_a_reason_for_each_fault() {
    let text = sealed(&company());
    let jwt = text.split('~').next().unwrap();
    let kb = format!("{text}e30.e30.e30");
    let twice = format!("{text}{}~", text.split('~').nth(1).unwrap());
    for (text, reason) in [
        ("", Reason::MalformedToken),
        (jwt, Reason::MalformedToken),
        (kb.as_str(), Reason::KeyBindingRefused),
        (twice.as_str(), Reason::DisclosureMismatch),
    ] {
        assert_eq!(refused(judge(text)), one(Stage::Token, reason, ""));
    }
    let header = |name: &'static str, value: Value| {
        remade(&text, move |header, _, _| drop(header.insert(name.into(), value.clone())))
    };
    for (text, reason) in [
        (header("alg", json!("none")), Reason::UnsupportedAlgorithm),
        (header("alg", json!("HS256")), Reason::UnsupportedAlgorithm),
        (header("typ", json!("statuslist+jwt")), Reason::WrongTokenType),
        (header("jku", json!("https://attacker.example")), Reason::ForbiddenHeader),
        (header("kid", json!("../../k")), Reason::ProfileViolation),
    ] {
        assert_eq!(refused(judge(&text)), one(Stage::Token, reason, ""));
    }
    let claim = |name: &'static str, value: Value| {
        remade(&text, move |_, payload, _| drop(payload.insert(name.into(), value.clone())))
    };
    assert_eq!(refused(judge(&claim("cnf", json!({})))), one(Stage::Token, Reason::KeyBindingRefused, "/cnf"));
    assert_eq!(refused(judge(&claim("exp", json!(1)))), one(Stage::Token, Reason::ProfileViolation, "/exp"));
    assert_eq!(
        refused(judge(&claim("_sd_alg", json!("md5")))),
        one(Stage::Token, Reason::UnknownHashAlgorithm, "/_sd_alg")
    );
}

#[test]
fn all_problems_of_a_token_are_told_at_once() {
    let text = remade(&sealed(&company()), |header, payload, _| {
        header.insert("typ".into(), json!("JWT"));
        header.insert("x5u".into(), json!("https://attacker.example"));
        payload.insert("nbf".into(), json!(1));
    });
    let (stage, problems) = refused(judge(&text));
    let reasons: Vec<Reason> = problems.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(stage, Stage::Token);
    assert_eq!(reasons, [Reason::WrongTokenType, Reason::ForbiddenHeader, Reason::ProfileViolation]);
}

#[test]
fn a_token_with_other_slots_than_its_type_is_refused() {
    let slots = crate::seal::Slots { holders: 4, fields: 40 };
    let text = seal(&company(), &slots, ISSUER, VCT, IAT, &key(Algorithm::EdDsa), &mut counting(0)).unwrap();
    let expected =
        [(Reason::ProfileViolation, "/fields/_sd".to_owned()), (Reason::ProfileViolation, "/holders".to_owned())];
    assert_eq!(refused(judge(&text)), (Stage::Token, expected.into()));
}

#[test]
fn the_sender_is_judged_third() {
    let text = sealed(&company());
    let from = |department: &str, adapter: &str| {
        let sender = Sender { department: department.into(), adapter: adapter.into() };
        refused(verify(text.as_bytes(), &sender, &registry(), NOW_MS))
    };
    assert_eq!(from("market-regulation", "other"), one(Stage::Sender, Reason::NotYourType, "/vct"));
    let expected = [
        (Reason::NotYourIssuer, "/iss".to_owned()),
        (Reason::NotYourType, "/vct".to_owned()),
        (Reason::WrongRecordId, "/record/id".to_owned()),
    ];
    assert_eq!(from("natural-resources", "main"), (Stage::Sender, expected.into()));
    let with = |issuer: &str, vct: &str| refused(judge(&seal_as(&company(), issuer, vct, IAT, Algorithm::EdDsa)));
    for issuer in [
        "https://other.example/departments/market-regulation",
        "https://hub.example/departments/market-regulation/",
        "",
    ] {
        assert_eq!(with(issuer, VCT), one(Stage::Sender, Reason::NotYourIssuer, "/iss"));
    }
    for vct in [
        "https://other.example/types/business-licence/v1",
        "https://hub.example/types/business-licence/v2",
        "https://hub.example/types/nothing/v1",
        "",
    ] {
        assert_eq!(with(ISSUER, vct), one(Stage::Sender, Reason::UnknownType, "/vct"), "{vct}");
    }
}

#[test]
fn a_record_id_is_of_its_type_and_department() {
    for id in [
        "food-business-licence.market-regulation.abcdefghijklmnopqrstuvwx23",
        "business-licence.natural-resources.abcdefghijklmnopqrstuvwx23",
        "business-licence.market-regulation.abcdefghijklmnopqrstuvwx2",
        "business-licence.market-regulation.abcdefghijklmnopqrstuvwx234",
        "business-licence.market-regulation.ABCDEFGHIJKLMNOPQRSTUVWX23",
        "business-licence.market-regulation.abcdefghijklmnopqrstuvwx01",
        "business-licence.market-regulation.x.abcdefghijklmnopqrstuvwx23",
        "business-licencemarket-regulation.abcdefghijklmnopqrstuvwx23",
        "",
    ] {
        let content = Content { record_id: id.into(), ..company() };
        assert_eq!(refused(judge(&sealed(&content))), one(Stage::Sender, Reason::WrongRecordId, "/record/id"), "{id}");
    }
}

#[test]
fn the_key_is_judged_fourth_by_the_time_of_acceptance() {
    // Sealed long ago, as whoever holds an old key could claim: it does not help.
    let text = seal_as(&company(), ISSUER, VCT, 1_600_000_000, Algorithm::EdDsa);
    let under = |state| verify(text.as_bytes(), &sender(), &registry_with(state), NOW_MS);
    let grace = RETIREMENT_GRACE_MS;
    assert!(under(KeyState::Retired { at_ms: NOW_MS - grace }).is_ok());
    assert_eq!(
        refused(under(KeyState::Retired { at_ms: NOW_MS - grace - 1 })),
        one(Stage::Key, Reason::KeyRetired, "")
    );
    assert_eq!(refused(under(KeyState::Compromised { since_ms: NOW_MS })), one(Stage::Key, Reason::KeyCompromised, ""));
    assert_eq!(refused(under(KeyState::Pending)), one(Stage::Key, Reason::UnknownKey, ""));
    let nobody = Registry { keys: vec![], ..registry() };
    assert_eq!(refused(verify(text.as_bytes(), &sender(), &nobody, NOW_MS)), one(Stage::Key, Reason::UnknownKey, ""));
    let mut elsewhere = registry();
    for (issuer, ..) in &mut elsewhere.keys {
        *issuer = "https://hub.example/departments/natural-resources".into();
    }
    assert_eq!(
        refused(verify(text.as_bytes(), &sender(), &elsewhere, NOW_MS)),
        one(Stage::Key, Reason::UnknownKey, "")
    );
}

#[test]
fn a_seal_by_another_key_under_the_registered_name_is_refused() {
    let text = seal_as(&company(), ISSUER, VCT, IAT, Algorithm::Es256);
    // The EdDSA key signs, but the header still names the other one; then it names the right kid and the wrong alg.
    let forged = remade(&text, |header, _, _| drop(header.insert("alg".into(), json!("EdDSA"))));
    assert_eq!(refused(judge(&forged)), one(Stage::Key, Reason::BadSignature, ""));
    let forged = remade(&text, |_, _, _| {});
    assert_eq!(refused(judge(&forged)), one(Stage::Key, Reason::BadSignature, ""));
    let state = KeyState::Retired { at_ms: 0 };
    let (_, problems) = refused(verify(forged.as_bytes(), &sender(), &registry_with(state), NOW_MS));
    assert_eq!(problems.len(), 2);
}

#[test]
fn iat_may_be_five_minutes_ahead_and_as_old_as_it_likes() {
    let at = |iat| judge(&seal_as(&company(), ISSUER, VCT, iat, Algorithm::EdDsa));
    let now = NOW_MS / 1000;
    for iat in [now + 300, now, now - 400_000_000] {
        if let Err(rejection) = at(iat) {
            assert!(rejection.problems.iter().all(|problem| problem.reason != Reason::IssuedInFuture), "{rejection}");
        }
    }
    let rejection = at(now + 301).unwrap_err();
    let ahead = rejection.problems.iter().find(|problem| problem.reason == Reason::IssuedInFuture).unwrap();
    assert_eq!((rejection.stage, ahead.pointer.as_str()), (Stage::Content, "/iat"));
    assert!(ahead.en.contains("301 seconds") && ahead.zh.contains("301 秒"), "{}", ahead.en);
}

#[test]
fn content_is_judged_last_and_whole() {
    let mut content = company();
    content.fields.shift_remove("address");
    content.fields["established"] = json!("2018-02-30");
    content.fields["name"] = json!("高青\u{202e}示例");
    content.holders[0].value = "91370322MAYY000185".into();
    let (stage, problems) = refused(judge(&sealed(&content)));
    assert_eq!(stage, Stage::Content);
    for expected in [
        (Reason::MissingField, "/fields/address"),
        (Reason::ImpossibleDate, "/fields/established"),
        (Reason::BadText, "/fields/name"),
        (Reason::IdentifierWrong, "/holders/0/value"),
    ] {
        assert!(problems.contains(&(expected.0, expected.1.to_owned())), "{expected:?} in {problems:?}");
    }
}

#[test]
fn unreadable_text_is_found_wherever_it_stands() {
    for text in ["\u{202a}", "\u{2066}x", "a\u{7f}", "\u{1b}[31m", "\u{85}", "\u{feff}x"] {
        let content = Content {
            fields: {
                let mut fields = company().fields;
                fields["scope"] = json!(text);
                fields
            },
            ..company()
        };
        let (_, problems) = refused(judge(&sealed(&content)));
        assert!(problems.contains(&(Reason::BadText, "/fields/scope".to_owned())), "{text:?}: {problems:?}");
    }
    let found = content::unreadable(&json!({"a": ["x", {"b\u{202e}": 1}], "c": "line\nline\t"}));
    assert_eq!(found, ["/a/1/b\u{202e}"]);
}

#[test]
fn what_takes_away_needs_only_the_record_and_a_seal() {
    let bad = Content {
        fields: Map::new(),
        holders: vec![],
        status: Status::Revoked,
        event: Event::Revoke,
        version: 2,
        ..company()
    };
    let verified = judge(&sealed(&bad)).unwrap();
    assert_eq!((verified.facts().event, verified.facts().status), (Event::Revoke, Status::Revoked));
    assert!(verified.facts().holders.is_empty());
    assert!(!verified.warnings().is_empty() && verified.warnings().iter().all(|warning| warning.warning));
    let mut hidden = bad.clone();
    hidden.fields.insert("name".into(), json!("\u{202e}"));
    assert!(judge(&sealed(&hidden)).is_ok());
    // The same content is refused for an event that gives.
    let giving = Content { status: Status::Valid, event: Event::Change, ..bad.clone() };
    assert_eq!(refused(judge(&sealed(&giving))).0, Stage::Content);
    // A future time of sealing is no data field.
    let early = seal_as(&bad, ISSUER, VCT, IAT + 3600, Algorithm::EdDsa);
    assert_eq!(refused(judge(&early)), one(Stage::Content, Reason::IssuedInFuture, "/iat"));
}

#[test]
fn what_takes_away_passes_with_holders_and_fields_of_any_form() {
    let content = Content { status: Status::Suspended, event: Event::Suspend, version: 2, ..company() };
    let text = remade(&sealed(&content), |_, _, elements| {
        if elements.as_array().unwrap().len() == 2 {
            elements[1] = json!({"role": 5, "extra": true});
        } else if elements[1] == "address" {
            elements[2] = json!({"not": ["a", "text"]});
        }
    });
    let verified = judge(&text).unwrap();
    assert!(verified.facts().holders.is_empty() && !verified.warnings().is_empty());
}

#[test]
fn without_a_readable_event_the_status_decides() {
    let event_becomes = |content: &Content, event: &Value| {
        remade(&sealed(content), |_, _, elements| {
            if elements[1] == "event" {
                match event {
                    Value::Null => *elements = Value::Null,
                    event => elements[2] = event.clone(),
                }
            }
        })
    };
    for event in [json!(null), json!("abolish"), json!(5), json!({})] {
        for (status, implied) in [
            (Status::Suspended, Event::Suspend),
            (Status::Frozen, Event::Freeze),
            (Status::Rescinded, Event::Rescind),
            (Status::Revoked, Event::Revoke),
            (Status::Cancelled, Event::Cancel),
        ] {
            let content = Content { status, event: implied, version: 2, ..company() };
            let verified = judge(&event_becomes(&content, &event)).unwrap();
            assert_eq!((verified.facts().event, verified.facts().status), (implied, status), "{event}");
            assert!(verified.warnings().iter().any(|warning| warning.pointer == "/event"));
        }
        let (stage, problems) = refused(judge(&event_becomes(&company(), &event)));
        assert_eq!(stage, Stage::Content);
        assert!(problems.iter().any(|(_, pointer)| pointer == "/event"), "{problems:?}");
    }
}

#[test]
fn an_earlier_stage_hides_the_later_ones() {
    let mut content = company();
    content.fields.clear();
    let text = seal_as(&content, "https://other.example/departments/x", VCT, IAT, Algorithm::EdDsa);
    let broken = remade(&text, |header, _, _| drop(header.insert("typ".into(), json!("JWT"))));
    let nobody = Registry { keys: vec![], ..registry() };
    let stage = |text: &str, registry: &Registry| refused(verify(text.as_bytes(), &sender(), registry, NOW_MS)).0;
    assert_eq!(stage(&broken, &nobody), Stage::Token);
    assert_eq!(stage(&text, &nobody), Stage::Sender);
    assert_eq!(stage(&sealed(&content), &nobody), Stage::Key);
    assert_eq!(stage(&sealed(&content), &registry()), Stage::Content);
}

#[test]
fn rereading_checks_the_seal_and_not_the_present() {
    let mut content = company();
    content.fields.shift_remove("address");
    let text = sealed(&content);
    for state in [KeyState::Retired { at_ms: 0 }, KeyState::Compromised { since_ms: 0 }, KeyState::Active] {
        let facts = reread(text.as_bytes(), &registry_with(state)).unwrap();
        assert_eq!((facts.department.as_str(), facts.record_id.as_str()), ("market-regulation", RECORD_ID));
    }
    let pending = reread(text.as_bytes(), &registry_with(KeyState::Pending)).unwrap_err();
    assert_eq!(pending.problems[0].reason, Reason::UnknownKey);
    let forged = remade(&seal_as(&content, ISSUER, VCT, IAT, Algorithm::Es256), |_, _, _| {});
    assert_eq!(reread(forged.as_bytes(), &registry()).unwrap_err().problems[0].reason, Reason::BadSignature);
    assert_eq!(reread(b"garbage", &registry()).unwrap_err().stage, Stage::Token);
    let elsewhere =
        seal_as(&content, "https://other.example/departments/market-regulation", VCT, IAT, Algorithm::EdDsa);
    assert_eq!(reread(elsewhere.as_bytes(), &registry()).unwrap_err().problems[0].reason, Reason::NotYourIssuer);
}

#[test]
fn a_presentation_verifies_offline_under_its_key_alone() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let whole = seal_as(&company(), ISSUER, VCT, IAT, algorithm);
        let fields: BTreeSet<String> = ["name".to_owned()].into();
        let token = present(&whole, &fields, &HolderSelection::None).unwrap().token;
        let keys = KeySet::new([key(algorithm).verifying_key().clone()]);
        let verified = verify_presentation(token.as_bytes(), &keys).unwrap();
        assert_eq!((verified.issuer.as_str(), verified.kid.as_str()), (ISSUER, key(algorithm).kid()));
        assert_eq!(verified.payload["fields"], json!({"name": "高青示例商贸有限公司"}));
        assert_eq!(verified.payload["event"], "issue");
        let reason =
            |text: &str, keys: &KeySet| verify_presentation(text.as_bytes(), keys).unwrap_err().problems[0].reason;
        assert_eq!(reason(&token, &KeySet::default()), Reason::UnknownKey);
        let added = format!("{token}{}~", encode(json!(["s", "name", "x"]).to_string()));
        assert_eq!(reason(&added, &keys), Reason::DisclosureMismatch);
    }
}

#[test]
fn nothing_that_is_shown_names_a_person() {
    let verified = judge(&sealed(&company())).unwrap();
    let whole = sealed(&company());
    let presentation = present(&whole, &["name".to_owned()].into(), &HolderSelection::None).unwrap();
    let shown = format!("{verified:?} {:?} {presentation:?}", verified.facts());
    for secret in ["高青示例", "370399198506150021", "91370322MAYY000184", "示例甲"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let mut content = company();
    content.fields["legalRepId"] = json!("370399198506150020");
    content.holders.push(Holder {
        role: "x".into(),
        scheme: "uscc".into(),
        value: "91370322MAYY000185".into(),
        name: None,
        share: None,
    });
    let rejection = judge(&sealed(&content)).unwrap_err();
    let told = format!("{rejection} {rejection:?} {}", serde_json::to_string(&rejection).unwrap());
    for secret in ["370399198506150020", "91370322MAYY000185"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn an_issuer_is_made_and_read_for_one_hub() {
    assert_eq!(issuer_of(HUB, "market-regulation"), ISSUER);
    assert_eq!(department_of(HUB, ISSUER), Some("market-regulation"));
    assert_eq!(department_of("other.example", ISSUER), None);
    assert_eq!(department_of("hub.exampl", ISSUER), None);
}

#[test]
fn rfc_9901_section_7_1_step_2_3_the_key_must_belong_to_the_issuer() {
    // A second department's key, registered and active, seals in the first one's name.
    let mut registry = registry();
    let foreign = SealingKey::generate(Algorithm::EdDsa, &mut counting(500)).unwrap();
    let issuer = issuer_of(HUB, "natural-resources");
    registry.keys.push((issuer, foreign.verifying_key().clone(), KeyState::Active));
    let slots = registry.catalogue.record_type("business-licence").unwrap().definition.slots;
    let text = seal(&company(), &slots, ISSUER, VCT, IAT, &foreign, &mut counting(0)).unwrap();
    let result = verify(text.as_bytes(), &sender(), &registry, NOW_MS);
    assert_eq!(refused(result), one(Stage::Key, Reason::UnknownKey, ""));
}

#[test]
fn rfc_9901_section_7_1_step_6_validity_claims_are_no_part_of_a_record() {
    for name in ["exp", "nbf", "aud"] {
        let text = remade(&sealed(&company()), |_, payload, _| drop(payload.insert(name.into(), json!(1))));
        assert_eq!(refused(judge(&text)), one(Stage::Token, Reason::ProfileViolation, &format!("/{name}")));
    }
    let without = remade(&sealed(&company()), |_, payload, _| drop(payload.shift_remove("iat")));
    assert_eq!(refused(judge(&without)), one(Stage::Token, Reason::ProfileViolation, "/iat"));
}

#[test]
fn a_strangers_names_are_told_short_and_readable_and_cost_little() {
    // A long name over many values: to write its pointer at each of them would be gigabytes.
    let name = format!("\u{202e}{}", "n".repeat(20_000));
    let wide = Value::Array(vec![json!([]); 7_000]);
    let text = remade(&sealed(&company()), |_, payload, _| drop(payload.insert(name.clone(), wide.clone())));
    let rejection = judge(&text).unwrap_err();
    assert_eq!(rejection.problems.len(), 1);
    let pointer = &rejection.problems[0].pointer;
    assert!(pointer.starts_with("/\u{fffd}nn") && pointer.chars().count() == 200, "{}", pointer.len());
}

#[test]
fn a_flood_of_problems_is_told_in_part() {
    let text = remade(&sealed(&company()), |header, _, _| {
        for number in 0..2_000 {
            header.insert(format!("h{number}"), json!(1));
        }
    });
    assert_eq!(judge(&text).unwrap_err().problems.len(), MAX_PROBLEMS);
}
