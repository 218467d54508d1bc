use std::{path::Path, sync::OnceLock};

use weft_record::{
    catalogue::Catalogue,
    status::{Event, Status},
};

use super::*;
use crate::{config::Config, problem::Reason, source::Row};

fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::builtin().unwrap())
}

fn mapping(department: &str, source: usize) -> Mapping {
    let text = match department {
        "market-regulation" => include_str!("../../departments/market-regulation.toml"),
        _ => include_str!("../../departments/natural-resources.toml"),
    };
    Config::parse(text, Path::new("/")).unwrap().sources[source].mapping.clone()
}

fn mapper(mapping: &Mapping) -> Result<Mapper, Vec<Fault>> {
    Mapper::new(mapping, catalogue())
}

fn row(mapper: &Mapper, cells: &[(&str, &str)]) -> Row {
    let cell = |column: &String| cells.iter().find(|(heading, _)| heading == column).map_or("", |(_, cell)| cell);
    Row { line: 7, cells: mapper.columns().iter().map(|column| cell(column).to_owned()).collect() }
}

const LICENCE: [(&str, &str); 16] = [
    ("统一社会信用代码", " ９1370322mayy000184 "),
    ("企业名称", "高青示例商贸有限公司　"),
    ("市场主体类型", "有限责任公司（自然人独资）"),
    ("法定代表人(负责人)", "张示例"),
    ("身份证号码", "370399198506150021"),
    ("注册资本(万元)", "1,00.50万元"),
    ("币种", "人民币"),
    ("成立日期", "2018年6月12日"),
    ("营业期限自", "2018/06/12"),
    ("营业期限至", "长期"),
    ("住所", "山东省淄博市高青县示例路（东段）1号"),
    ("经营范围", "日用百货销售。"),
    ("登记状态", "吊销,未注销"),
    ("核准日期", "2018-06-12"),
    ("发照日期", "20180612"),
    ("登记机关", "高青县市场监督管理局"),
];

fn with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut cells = LICENCE.to_vec();
    for (column, cell) in changes {
        cells.iter_mut().find(|(heading, _)| heading == column).unwrap().1 = cell;
    }
    cells
}

#[test]
fn a_row_becomes_a_draft_in_the_records_own_forms() {
    let mapper = mapper(&mapping("market-regulation", 0)).unwrap();
    let mapped = mapper.map(&row(&mapper, &LICENCE)).unwrap();
    assert_eq!(mapped.natural_key, ["91370322MAYY000184"]);
    let draft = mapped.draft;
    assert_eq!(draft.intent, Intent::Is(Status::Revoked));
    assert_eq!((draft.valid_from.as_deref(), draft.valid_until), (Some("2018-06-12"), None));
    assert_eq!(draft.holders[0].value, "91370322MAYY000184");
    assert_eq!(draft.holders[0].name.as_deref(), Some("高青示例商贸有限公司"));
    for (field, expected) in [
        ("uscc", "91370322MAYY000184"),
        ("entityType", "有限责任公司"),
        ("capital", "100.5"),
        ("capitalCurrency", "CNY"),
        ("established", "2018-06-12"),
        ("issuedDate", "2018-06-12"),
        ("address", "山东省淄博市高青县示例路（东段）1号"),
        ("certificateName", "营业执照"),
    ] {
        assert_eq!(draft.fields[field], expected, "{field}");
    }
    assert!(!draft.fields.contains_key("termTo") && !draft.fields.contains_key("phone"));
    let (_, order) = mapper.place(&row(&mapper, &LICENCE)).unwrap();
    assert_eq!(order, mapped.order);
}

#[test]
fn everything_wrong_in_a_row_is_told_at_once_and_sensitive_values_are_not() {
    let mapper = mapper(&mapping("market-regulation", 0)).unwrap();
    let cells = with(&[
        ("统一社会信用代码", " "),
        ("成立日期", "2019-02-29"),
        ("注册资本(万元)", "一百万"),
        ("登记状态", "迁出中"),
        ("核准日期", ""),
    ]);
    let problems = mapper.map(&row(&mapper, &cells)).unwrap_err();
    let mut told: Vec<(&str, Reason, &str)> =
        problems.iter().map(|problem| (problem.column.as_str(), problem.reason, problem.value.as_str())).collect();
    told.sort();
    let mut expected = [
        ("统一社会信用代码", Reason::KeyMissing, ""),
        ("成立日期", Reason::DateImpossible, "2019-02-29"),
        ("注册资本(万元)", Reason::NumberUnreadable, "一百万"),
        ("登记状态", Reason::NotInDictionary, "迁出中"),
        ("核准日期", Reason::OrderUnreadable, ""),
    ];
    expected.sort();
    assert_eq!(told, expected);
    assert!(problems.iter().all(|problem| problem.line == 7));
    assert!(mapper.place(&row(&mapper, &cells)).is_none());
}

const TITLE: [(&str, &str); 10] = [
    ("不动产权证号", "鲁（2021）高青县不动产权第9900001号"),
    ("不动产单元号", "370322 001001 GB99001 F00010001"),
    ("权利人", "张示例、高青示例有限公司"),
    ("证件种类", "居民身份证、统一社会信用代码"),
    ("证件号", "37039919850615002１、91370322MAYY000184"),
    ("共有份额", "50%；1/2"),
    ("权属状态", "查封"),
    ("抵押情况", "有抵押"),
    ("登记时间", "2021/5/18"),
    ("登簿时间", "2021/5/18 9:30:00"),
];

#[test]
fn several_owners_in_one_cell_are_several_holders() {
    let mapper = mapper(&mapping("natural-resources", 0)).unwrap();
    let mut cells = TITLE.to_vec();
    cells.push(("权利类型", "宅基地使用权/房屋(构筑物)所有权"));
    let draft = mapper.map(&row(&mapper, &cells)).unwrap().draft;
    let told: Vec<(&str, &str, &str, Option<&str>)> = draft
        .holders
        .iter()
        .map(|holder| (holder.role.as_str(), holder.scheme.as_str(), holder.value.as_str(), holder.share.as_deref()))
        .collect();
    let expected = [
        ("owner", "citizen-id", "370399198506150021", Some("1/2")),
        ("owner", "uscc", "91370322MAYY000184", Some("1/2")),
        ("asset", "real-estate-unit", "370322001001GB99001F00010001", None),
    ];
    assert_eq!(told, expected);
    assert_eq!(draft.intent, Intent::Is(Status::Frozen));
    assert_eq!(draft.fields["mortgaged"], true);
    assert_eq!(draft.fields["objection"], false);
    assert_eq!(draft.fields["rightType"], "宅基地使用权/房屋（构筑物）所有权");
    assert_eq!(draft.fields["certificateNumber"], "鲁(2021)高青县不动产权第9900001号");
}

#[test]
fn owners_that_do_not_pair_are_told_without_a_value() {
    let mapper = mapper(&mapping("natural-resources", 0)).unwrap();
    for (column, cell, reason) in [
        ("证件号", "370399198506150021", Reason::HoldersUneven),
        ("权利人", "张示例", Reason::HoldersUneven),
        ("证件种类", "居民身份证、驾驶证", Reason::NotInDictionary),
        ("共有份额", "一半、一半", Reason::NumberUnreadable),
    ] {
        let mut cells = TITLE.to_vec();
        cells.iter_mut().find(|(heading, _)| *heading == column).unwrap().1 = cell;
        let problems = mapper.map(&row(&mapper, &cells)).unwrap_err();
        assert_eq!(problems.len(), 1, "{column}: {problems:?}");
        assert_eq!((problems[0].reason, problems[0].value.as_str()), (reason, "****"), "{column}");
    }
}

#[test]
fn a_mapping_that_does_not_fit_its_type_is_refused_with_every_fault() {
    let mut wrong = mapping("market-regulation", 0);
    wrong.fields.remove("uscc");
    wrong.fields.remove("name");
    wrong.fields.insert("colour".into(), Value { constant: Some("red".into()), ..Value::default() });
    wrong.fields.insert("issuedDate".into(), Value { column: Some("发照日期".into()), ..Value::default() });
    wrong.fields.insert("phone".into(), Value::default());
    wrong.holders[0].scheme = Some("citizen-id".into());
    wrong.status.as_mut().unwrap().events.insert("续期".into(), Event::Renew);
    wrong.valid_until.as_mut().unwrap().kind = Kind::Text;
    let faults = mapper(&wrong).unwrap_err();
    let told = faults.iter().map(|fault| format!("{}: {}\n", fault.at, fault.what)).collect::<String>();
    for expected in [
        "fields: uscc makes the record's identifier and is not mapped",
        "fields: name is required and not mapped",
        "fields.colour: the record type has no such field",
        "fields.issuedDate: the field is a date",
        "fields.phone: give exactly one of column",
        "holders[0]: a holder licensee is not named by citizen-id",
        "status: give exactly one of statuses, events",
        "status: this record type has no event renew",
        "valid_until: validity is a date",
    ] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
}

#[test]
fn the_digest_of_a_mapping_changes_with_it() {
    let first = mapping("market-regulation", 0);
    let mut second = first.clone();
    assert_eq!(first.digest(), second.digest());
    second.order = None;
    assert_ne!(first.digest(), second.digest());
}

/// The business licence under the headings of GB/T 36903, with codes instead of words.
const BY_NAME: &str = r#"
record_type = "business-licence"
when = { column = "记录类型", is_not = ["合计", ""] }
valid_from = { dialect = "gbt36903", kind = "date" }
valid_until = { dialect = "gbt36903", kind = "date" }
status = { dialect = "gbt36903" }
[[holders]]
role = "licensee"
scheme_from = { dialect = "gbt36903" }
value = { dialect = "gbt36903" }
name = { dialect = "gbt36903" }
[fields]
certificateName = { constant = "营业执照" }
certificateTypeCode = { constant = "11100000MB0143028R001" }
certificateNumber = { dialect = "gbt36903" }
issuingAuthorityName = { dialect = "gbt36903" }
issuingAuthorityCode = { dialect = "gbt36903" }
issuedDate = { dialect = "gbt36903", kind = "date", serial = "1900" }
uscc = { dialect = "gbt36903", column = "CZZTDM" }
name = { column = "CZZT" }
entityType = { column = "类型" }
legalRep = { column = "法人", when = { column = "类型", is = ["有限责任公司"] }, default = "无" }
capital = { column = "资本", kind = "decimal", money = "万元", bare = "元" }
capitalCurrency = { column = "币", code_table = "currency-words", dictionary = { "本币" = "CNY" } }
established = { column = "成立", kind = "date" }
address = { column = "住所" }
scope = { column = "范围" }
"#;

fn by_name() -> Mapping {
    // A dialect gives the column of what it names alone: the holder's number stands under a name of its own here.
    toml::from_str(
        &BY_NAME.replace("uscc = { dialect = \"gbt36903\", column = \"CZZTDM\" }", "uscc = { column = \"CZZTDM\" }"),
    )
    .unwrap()
}

const NAMED: [(&str, &str); 18] = [
    ("记录类型", "登记"),
    ("ZZYXQQSRQ", "2018-12-12T16:00:00Z"),
    ("ZZYXQJZRQ", ""),
    ("ZZZT", "2"),
    ("CZZT", "高青示例商贸有限公司"),
    ("CZZTDM", "91370322MAYY000184"),
    ("CZZTDMLXDM", "001"),
    ("ZZBH", "91370322MAYY000184"),
    ("ZZBFJG", "高青县市场监督管理局"),
    ("ZZBFJGDM", "11370322YY0000044B"),
    ("ZZBFRQ", "43447"),
    ("类型", "有限责任公司"),
    ("法人", "张示例"),
    ("资本", "50万元"),
    ("币", "人民币"),
    ("成立", "2018-06-12 09:30:00"),
    ("住所", "高青县示例路1号"),
    ("范围", "日用百货销售。"),
];

#[test]
fn names_of_dialects_and_tables_stand_for_columns_and_dictionaries() {
    let mapper = mapper(&by_name()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mapped = mapper.map(&row(&mapper, &NAMED)).unwrap();
    let draft = mapped.draft;
    assert_eq!(draft.intent, Intent::Is(Status::Cancelled));
    assert_eq!((draft.holders[0].scheme.as_str(), draft.holders[0].value.as_str()), ("uscc", "91370322MAYY000184"));
    assert_eq!(draft.valid_from.as_deref(), Some("2018-12-13"), "midnight in China, written in UTC");
    for (field, expected) in [
        ("issuedDate", "2018-12-13"),
        ("established", "2018-06-12"),
        ("capital", "50"),
        ("capitalCurrency", "CNY"),
        ("legalRep", "张示例"),
        ("issuingAuthorityCode", "11370322YY0000044B"),
    ] {
        assert_eq!(draft.fields[field], expected, "{field}");
    }
    let mut told: Vec<(String, How)> =
        mapped.changed.iter().map(|changed| (changed.column.to_string(), changed.how)).collect();
    told.sort();
    let expected = [("ZZBFRQ", How::Serial), ("ZZYXQQSRQ", How::Zone), ("成立", How::Time), ("资本", How::NumberForm)];
    assert_eq!(told, expected.map(|(column, how)| (column.to_owned(), how)), "the day in another zone is told");
    let zone = mapped.changed.iter().find(|changed| changed.how == How::Zone).unwrap();
    assert_eq!(zone.shown, "2018-12-12T16:00:00Z → 2018-12-13");
}

#[test]
fn conditions_pass_rows_over_and_leave_values_out() {
    let mapper = mapper(&by_name()).unwrap();
    let with = |changes: &[(&'static str, &'static str)]| {
        let mut cells = NAMED.to_vec();
        for (column, cell) in changes {
            cells.iter_mut().find(|(heading, _)| heading == column).unwrap().1 = cell;
        }
        row(&mapper, &cells)
    };
    assert!(mapper.is_record(&with(&[])));
    assert!(!mapper.is_record(&with(&[("记录类型", " 合计 ")])) && !mapper.is_record(&with(&[("记录类型", "")])));
    let mapped = mapper.map(&with(&[("类型", "个体工商户"), ("资本", "500000"), ("币", "本币")])).unwrap();
    assert!(!mapped.draft.fields.contains_key("legalRep"));
    assert_eq!(
        (&mapped.draft.fields["capital"], &mapped.draft.fields["capitalCurrency"]),
        (&"50".into(), &"CNY".into())
    );
    let problems = mapper.map(&with(&[("ZZZT", "3"), ("币", "贝壳"), ("CZZTDMLXDM", "777")])).unwrap_err();
    assert_eq!(problems.iter().filter(|problem| problem.reason == Reason::NotInDictionary).count(), 3, "{problems:?}");
}

#[test]
fn events_come_from_their_column_where_they_fit_the_status() {
    let mut spec = by_name();
    spec.status =
        Some(StatusColumn { column: "状态".into(), code_table: Some("status-mohurd".into()), ..Default::default() });
    let event = EventColumn { column: "操作".into(), code_table: Some("events-mohurd".into()), ..Default::default() };
    spec.event = Some(event);
    let mapper = mapper(&spec).unwrap_or_else(|faults| panic!("{faults:?}"));
    let intent = |status, event| {
        let mut cells = NAMED.to_vec();
        cells.extend([("状态", status), ("操作", event)]);
        mapper.map(&row(&mapper, &cells)).map(|mapped| mapped.draft.intent).map_err(|problems| problems[0].reason)
    };
    for (status, event, expected) in [
        ("01", "01", Ok(Intent::Happened(Event::Issue))),
        ("01", "09", Ok(Intent::Happened(Event::Change))),
        ("有效", "变更", Ok(Intent::Happened(Event::Change))),
        ("07", "05", Ok(Intent::Is(Status::Revoked))),
        ("04", "09", Ok(Intent::Is(Status::Cancelled))),
        ("05", "", Ok(Intent::Is(Status::Valid))),
        ("02", "03", Ok(Intent::Happened(Event::Suspend))),
        ("77", "01", Err(Reason::NotInDictionary)),
        ("01", "77", Err(Reason::NotInDictionary)),
    ] {
        assert_eq!(intent(status, event), expected, "{status} {event}");
    }
}

#[test]
fn every_fault_of_the_wider_declarations_is_told() {
    let mut wrong = by_name();
    let value = |text: &str| toml::from_str::<BTreeMap<String, Value>>(text).unwrap().remove("v").unwrap();
    wrong.when = Some(Condition { column: "x".into(), ..Condition::default() });
    wrong.vanished = Some(Vanished { event: Some(Event::Change), limit_percent: 101 });
    wrong.status = Some(StatusColumn { column: "s".into(), code_table: Some("nonsense".into()), ..Default::default() });
    for (field, text) in [
        ("certificateNumber", "v = { dialect = \"klingon\" }"),
        ("address", "v = { dialect = \"gbt36903\" }"),
        ("entityType", "v = { column = \"类型\", dictionary = { \"1\" = \"公司\" } }"),
        ("abnormal", "v = { column = \"异常\" }"),
        ("capital", "v = { column = \"资本\", kind = \"decimal\", money = \"万元\", shift = 4 }"),
        ("established", "v = { column = \"成立\", kind = \"date\", money = \"元\" }"),
        ("scope", "v = { column = \"范围\", serial = \"1904\" }"),
        ("certificateName", "v = { constant = \"执照\" }"),
    ] {
        wrong.fields.insert(field.into(), value(text));
    }
    let faults = mapper(&wrong).unwrap_err();
    let told = faults.iter().map(|fault| format!("{}: {}\n", fault.at, fault.what)).collect::<String>();
    for expected in [
        "when: give exactly one of is, is_not",
        "vanished.event: an event of this record type that takes away",
        "vanished.limit_percent: 0 to 100",
        "status: there is no code table nonsense",
        "fields.certificateNumber: there is no dialect klingon",
        "fields.address: the dialect gbt36903 says nothing of it",
        "fields.entityType: 公司 is not among the values of the field",
        "fields.abnormal: the field is a boolean",
        "fields.capital: money reads the units itself",
        "fields.established: money is for another kind of value",
        "fields.scope: serial is for another kind of value",
        "fields.certificateName: 执照 is not among the values",
    ] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    wrong.record_type = "passport".into();
    assert!(mapper(&wrong).unwrap_err().iter().any(|fault| fault.at == "record_type"));
}
