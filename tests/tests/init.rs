//! An export never seen before, from an empty folder to the first receipts by the real `weft` binary: its headings and
//! their order are no sample's, and what they do not say its cells do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use serde_json::{Map, Value, json};
use weft_adapter::keys::Directory;
use weft_proto::v1::{self, Answering, get_record_request::By};
use weft_record::{
    identifier::{Rule, Verdict, check},
    keys::KeySet,
    verify::verify_presentation,
};
use weft_tests::{
    department::{confirm, synthetic_uscc},
    folder::scratch,
    hub::TestHub,
    office::here,
    process::Launch,
    window::{ITEM, grant, look},
};

const PATIENCE: Duration = Duration::from_secs(180);
const DEPARTMENT: &str = "market-regulation";
const TYPE: &str = "business-licence";
const ROWS: u32 = 60;
const AUTHORITY: &str = "11370322YY0000044B";

/// Heading, and whether it occurs nowhere in `adapters/` or `schemas/`: then its cells alone say what it is.
const HEADINGS: [(&str, bool); 17] = [
    ("掌柜", true),
    ("批准衙门", true),
    ("营业期限至", false),
    ("门牌所在", true),
    ("社会码十八位", true),
    ("注册资本（万元）", false),
    ("甲日", true),
    ("组织样式", true),
    ("成立日期", false),
    ("掌柜证号", true),
    ("币种", false),
    ("营生项目", true),
    ("备查号", true),
    ("发照日期", false),
    ("当前境况", true),
    ("牌匾全名", true),
    ("乙日", true),
];

fn citizen(number: u32, right: bool) -> String {
    let begin = format!("3703991985{:02}{:02}{number:03}", number % 12 + 1, number % 28 + 1);
    let mut whole = "0123456789X".chars().map(|end| format!("{begin}{end}"));
    whole.find(|whole| (check(Rule::CitizenId, whole).verdict == Verdict::Valid) == right).unwrap()
}

/// What a row says, field by field, as the record is to have it.
fn fields(number: u32) -> Map<String, Value> {
    let fields = json!({
        "certificateName": "营业执照",
        "certificateTypeCode": "11100000MB0143028R001",
        "certificateNumber": synthetic_uscc(number),
        "issuingAuthorityName": "高青县市场监督管理局",
        "issuingAuthorityCode": AUTHORITY,
        "issuedDate": format!("2019-04-{:02}", number % 28 + 1),
        "uscc": synthetic_uscc(number),
        "name": format!("高青第{number}示例商贸有限公司"),
        "entityType": if number.is_multiple_of(2) { "有限责任公司" } else { "个体工商户" },
        "legalRep": format!("张示{}", ["甲", "乙", "丙", "丁", "戊"][number as usize % 5]),
        "legalRepId": citizen(number, true),
        "capital": format!("{}.5", number + 10),
        "capitalCurrency": "CNY",
        "established": format!("2018-03-{:02}", number % 28 + 1),
        "address": format!("山东省淄博市高青县田镇街道示例路{number}号"),
        "scope": "日用百货销售；五金交电、办公用品零售。",
        "termTo": "2038-12-31",
    });
    fields.as_object().unwrap().clone()
}

/// The row as the department's system writes it.
fn cell(number: u32, heading: &str) -> String {
    let fields = fields(number);
    let text = |field: &str| fields[field].as_str().unwrap().to_owned();
    match heading {
        "掌柜" => text("legalRep"),
        "批准衙门" => text("issuingAuthorityName"),
        "营业期限至" => "2038/12/31".to_owned(),
        "门牌所在" => format!("{}  ", text("address")),
        "社会码十八位" => text("uscc").to_lowercase(),
        "注册资本（万元）" => format!("{}万元", text("capital")),
        "组织样式" if number.is_multiple_of(2) => "有限责任公司（自然人独资）".to_owned(),
        "组织样式" => text("entityType"),
        "成立日期" => text("established").replace('-', ""),
        "掌柜证号" => text("legalRepId"),
        "币种" => "人民币".to_owned(),
        "营生项目" => text("scope"),
        // Eighteen digits of a person's number whose check digit is wrong.
        "备查号" => citizen(number + 100, false),
        "发照日期" => format!("2019年4月{}日", number % 28 + 1),
        "当前境况" if number == 7 => "已注销".to_owned(),
        "当前境况" => "在营（开业）".to_owned(),
        "牌匾全名" => text("name"),
        "甲日" => "2020-01-01".to_owned(),
        "乙日" => "2030-01-01".to_owned(),
        other => panic!("{other} is no heading"),
    }
}

fn export() -> String {
    let names = HEADINGS.map(|(heading, _)| heading);
    let mut text = format!("某单位导出台账\r\n{}\r\n", names.join(","));
    for number in 0..ROWS {
        text += &(names.map(|heading| cell(number, heading)).join(",") + "\r\n");
    }
    text
}

/// Every text below `adapters/` and `schemas/`.
fn texts() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<PathBuf> = vec![root.join("adapters"), root.join("schemas")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8(bytes);
                all += &text.unwrap_or_else(|wrong| encoding_rs::GB18030.decode(wrong.as_bytes()).0.into_owned());
            }
        }
    }
    all
}

/// The commands of a new user, counted.
struct User {
    folder: PathBuf,
    commands: usize,
}

impl User {
    async fn weft(&mut self, line: &[&str]) -> (ExitStatus, Value) {
        self.commands += 1;
        let name = format!("command-{}", self.commands);
        let process = Launch::weft(&name, &self.folder).args(["adapter"]).args(line).args(["-o", "json"]).start();
        let status = process.wait(PATIENCE).await;
        let out = process.stdout();
        let json = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line:?}: {out}{}", process.stderr()));
        (status, json)
    }
}

#[test]
fn a_third_of_the_headings_is_nowhere_in_the_project() {
    let texts = texts();
    for (heading, unseen) in HEADINGS {
        assert_eq!(!texts.contains(heading), unseen, "{heading}");
    }
    let unseen = HEADINGS.iter().filter(|(_, unseen)| *unseen).count();
    assert!(unseen * 3 >= HEADINGS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_never_seen_before_is_published_with_every_field_right() {
    let mut hub = TestHub::start().await;
    let folder = scratch("init");
    let (share, home) = (folder.path().join("share"), folder.path().join("adapter"));
    fs::create_dir(&share).unwrap();
    fs::create_dir(&home).unwrap();
    fs::write(share.join("台账20261101.csv"), export()).unwrap();
    hub.register(DEPARTMENT, &[TYPE], true).await;
    let token = hub.join_token(&format!("department/{DEPARTMENT}/adapter/main")).await;
    fs::write(folder.path().join("token"), here(&token, hub.enrolment)).unwrap();

    let mut user = User { folder: home.clone(), commands: 0 };
    let api = format!("https://localhost:{}", hub.api.port());
    let init = ["init", "../share/台账20261101.csv", "--yes", "--hub", &api, "--authority-code", AUTHORITY];
    let (status, told) = user.weft(&init).await;
    assert!(status.success(), "{told:#}");
    proposed(&told["sources"][0], &fs::read_to_string(home.join("adapter.toml")).unwrap());

    let (status, joined) = user.weft(&["join", "--config", "adapter.toml", "--token-file", "../token"]).await;
    assert!(status.success(), "{joined:#}");
    // The operator compares the fingerprint and confirms the key.
    confirm(&hub, DEPARTMENT, joined["fingerprint"].as_str().unwrap()).await.unwrap();

    let (status, checked) = user.weft(&["check", "--config", "adapter.toml", "--report", "problems.csv"]).await;
    assert!(status.success(), "{checked:#}");
    assert_eq!((&checked[0]["rows"], &checked[0]["valid"]), (&json!(ROWS), &json!(ROWS)));
    assert!(fs::read_to_string(home.join("problems.csv")).unwrap().contains("normalised"));

    let (status, run) = user.weft(&["run", "--config", "adapter.toml", "--once"]).await;
    assert!(status.success(), "{run:#}");
    assert_eq!(
        (&run["published"], &run["indexed"]),
        (&json!(ROWS + 1), &json!(ROWS + 1)),
        "one is issued and cancelled"
    );
    // Two more are the operator's: a join token, and the confirmation of the key.
    assert!(user.commands + 2 <= 6, "{} commands", user.commands);

    answers(&hub, &home).await;
    hub.stop().await;
}

/// What was proposed, and what was left out.
fn proposed(source: &Value, text: &str) {
    assert_eq!(source["record_type"], TYPE, "{source:#}");
    let found: BTreeMap<&str, &str> = source["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|choice| Some((choice["field"].as_str()?, choice["column"].as_str()?)))
        .collect();
    for (field, heading) in [
        ("uscc", "社会码十八位"),
        ("name", "牌匾全名"),
        ("entityType", "组织样式"),
        ("legalRep", "掌柜"),
        ("legalRepId", "掌柜证号"),
        ("address", "门牌所在"),
        ("scope", "营生项目"),
        ("issuingAuthorityName", "批准衙门"),
        ("record.status", "当前境况"),
    ] {
        assert_eq!(found.get(field), Some(&heading), "{field}: {source:#}");
    }
    assert!(!found.values().any(|heading| ["备查号", "甲日", "乙日"].contains(heading)), "{found:?}");
    assert!(text.contains("# 列 备查号 像 citizen-id"), "{text}");
    assert!(text.contains("left out; choose among: 甲日、乙日") && text.contains("# termFrom = "), "{text}");
}

/// Every field of some records, as a window is answered.
async fn answers(hub: &TestHub, home: &Path) {
    let names: Vec<String> = fields(0).keys().cloned().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, DEPARTMENT, &names)).await;
    let key = Directory::new(home.join("state")).open().unwrap().sealing.verifying_key().clone();
    let keys = KeySet::new([key]);
    for number in [0, 7, 31] {
        let uscc = synthetic_uscc(number);
        let identifier = v1::LookUpIdentifier { record_type: TYPE.into(), field: "uscc".into(), value: uscc.clone() };
        let request = v1::GetRecordRequest {
            look: Some(look(ITEM, Some(("uscc", &uscc)))),
            by: Some(By::Identifier(identifier)),
        };
        let answer = window.client.clone().get_record(request).await.unwrap().into_inner().answer.unwrap();
        let (answering, status) =
            if number == 7 { (Answering::Revoked, "cancelled") } else { (Answering::Satisfied, "valid") };
        assert_eq!((answer.answering(), answer.status.as_str()), (answering, status), "{number}");
        let payload = verify_presentation(answer.presentation.as_bytes(), &keys).unwrap().payload;
        assert_eq!(payload["fields"].as_object().unwrap(), &fields(number), "{number}");
        assert_eq!(payload["record"]["valid_until"], "2038-12-31");
        assert_eq!(payload["holders"][0]["value"], uscc.as_str());
        assert_eq!(payload["holders"][0]["name"], fields(number)["name"]);
    }
}
