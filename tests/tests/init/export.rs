//! The rows of one office, as many systems may have them, and what the records of them say.

#![allow(dead_code, reason = "each of the tests needs a part of it")]

use std::{
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
    department::synthetic_uscc,
    hub::TestHub,
    process::Launch,
    window::{ITEM, grant, look},
};

const PATIENCE: Duration = Duration::from_secs(180);
pub(super) const DEPARTMENT: &str = "market-regulation";
pub(super) const TYPE: &str = "business-licence";
pub(super) const ROWS: u32 = 60;
pub(super) const AUTHORITY: &str = "11370322YY0000044B";

pub(super) fn citizen(number: u32, right: bool) -> String {
    let begin = format!("3703991985{:02}{:02}{number:03}", number % 12 + 1, number % 28 + 1);
    let mut whole = "0123456789X".chars().map(|end| format!("{begin}{end}"));
    whole.find(|whole| (check(Rule::CitizenId, whole).verdict == Verdict::Valid) == right).unwrap()
}

/// What a row says, field by field, as the record is to have it.
pub(super) fn fields(number: u32) -> Map<String, Value> {
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
pub(super) fn cell(number: u32, heading: &str) -> String {
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

/// Every text below `adapters/` and `schemas/`.
pub(super) fn texts() -> String {
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
pub(super) struct User {
    pub(super) folder: PathBuf,
    pub(super) commands: usize,
}

impl User {
    pub(super) async fn weft(&mut self, line: &[&str]) -> (ExitStatus, Value) {
        self.commands += 1;
        let name = format!("command-{}", self.commands);
        let process = Launch::weft(&name, &self.folder).args(["adapter"]).args(line).args(["-o", "json"]).start();
        let status = process.wait(PATIENCE).await;
        let out = process.stdout();
        let json = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line:?}: {out}{}", process.stderr()));
        (status, json)
    }

    /// What a command says that is not done.
    pub(super) async fn refused(&mut self, line: &[&str]) -> String {
        self.commands += 1;
        let process =
            Launch::weft(&format!("refused-{}", self.commands), &self.folder).args(["adapter"]).args(line).start();
        let status = process.wait(PATIENCE).await;
        assert!(!status.success(), "{line:?}: {}", process.stdout());
        process.stderr()
    }
}

/// Every field of some records, as a window is answered.
pub(super) async fn answers(hub: &TestHub, home: &Path) {
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
