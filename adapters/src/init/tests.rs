use std::path::Path;

use weft_record::{
    catalogue::Catalogue,
    identifier::{Rule, Verdict, check},
    status::Status,
};

use super::*;
use crate::{config::Config, mapping::Mapper};

const NOW: i64 = 1_793_500_000;

fn catalogue() -> Catalogue {
    Catalogue::builtin().unwrap()
}

fn wish() -> Wish {
    Wish { authority_code: Some("11370322YY0000044B".into()), now_second: NOW, ..Wish::default() }
}

/// The number with a last character that makes it right.
fn completed(rule: Rule, begin: &str) -> String {
    let ends = "0123456789ABCDEFGHJKLMNPQRTUWXY".chars();
    let whole = ends.map(|end| format!("{begin}{end}"));
    whole.into_iter().find(|whole| check(rule, whole).verdict == Verdict::Valid).unwrap()
}

pub(super) fn uscc(number: usize) -> String {
    completed(Rule::Uscc, &format!("92370322{}", completed(Rule::Org, &format!("MAYY{number:04}"))))
}

fn citizen(number: usize) -> String {
    completed(Rule::CitizenId, &format!("3703991985{:02}{:02}{:03}", number % 12 + 1, number % 28 + 1, number))
}

/// An export under headings that say nothing of what stands below.
fn foreign(citizens: impl Fn(usize) -> String) -> Table {
    let headings = ["A1", "B2", "C3", "D4", "E5", "F6", "G7", "H8", "I9", "发证日期", "成立日期", "J10"];
    let kinds = ["个体工商户", "有限责任公司(自然人独资)"];
    let row = |number: usize| {
        [
            uscc(number),
            format!("高青示例{number}号商店"),
            kinds[number % 2].to_owned(),
            format!("张示{}", ["甲", "乙", "丙", "丁"][number % 4]),
            citizens(number),
            format!("山东省淄博市高青县示例路{number}号"),
            "日用百货销售；五金交电、办公用品零售。".to_owned(),
            if number.is_multiple_of(9) { "吊销，未注销" } else { "存续（在营）" }.to_owned(),
            "高青县市场监督管理局".to_owned(),
            format!("2019/3/{}", number % 28 + 1),
            "2018年12月3日".to_owned(),
            format!("{}万元", number + 10),
        ]
    };
    let columns = headings.iter().map(|&heading| Column { heading: heading.into(), ..Column::default() }).collect();
    Table { name: "export.csv".into(), titles: vec![], columns, rows: (1..60).map(|n| row(n).to_vec()).collect() }
}

fn column_of<'a>(proposal: &'a Proposal, field: &str) -> Option<&'a str> {
    proposal.choices.iter().find(|choice| choice.field == field)?.column.as_deref()
}

fn written_text(proposal: &Proposal) -> String {
    let settings = Settings {
        department: proposal.department.clone(),
        name: "main".into(),
        state_dir: "state".into(),
        hub: vec!["https://hub.example:7443".into()],
    };
    let kind = "[source.file]\nfolder = \"drop\"".to_owned();
    write(&settings, &[SourceText { name: "sample".into(), kind, proposal: proposal.clone() }])
}

fn written(proposal: &Proposal) -> Config {
    let text = written_text(proposal);
    Config::parse(&text, Path::new("/")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn content_decides_under_headings_that_say_nothing() {
    let catalogue = catalogue();
    let proposals = propose(&foreign(citizen), &catalogue, &wish());
    let best = &proposals[0];
    assert_eq!(best.record_type, "business-licence", "{proposals:#?}");
    for (field, heading) in [
        ("uscc", "A1"),
        ("certificateNumber", "A1"),
        ("holders.licensee", "A1"),
        ("name", "B2"),
        ("entityType", "C3"),
        ("legalRep", "D4"),
        ("legalRepId", "E5"),
        ("address", "F6"),
        ("scope", "G7"),
        ("record.status", "H8"),
        ("issuingAuthorityName", "I9"),
        ("issuedDate", "发证日期"),
        ("established", "成立日期"),
        ("capital", "J10"),
    ] {
        assert_eq!(column_of(best, field), Some(heading), "{field}: {best:#?}");
    }
    assert_eq!(best.missing, Vec::<String>::new());
    let status = best.mapping.status.as_ref().unwrap();
    assert_eq!(status.statuses["吊销,未注销"], Status::Revoked);
    Mapper::new(&best.mapping, &catalogue).unwrap_or_else(|faults| panic!("{faults:?}"));
    let again = written(best);
    assert_eq!(again.sources[0].mapping, best.mapping, "what is written is what was proposed");
    assert!(best.valid > 20, "{} of {} rows are ready\n{}", best.valid, best.rows, written_text(best));
}

#[test]
fn a_number_that_only_looks_right_is_not_proposed() {
    // Eighteen characters of the right grammar, each with a wrong check character.
    let wrong = |number| {
        let right = citizen(number);
        let (begin, end) = right.split_at(17);
        format!("{begin}{}", if end == "1" { "2" } else { "1" })
    };
    let proposals = propose(&foreign(wrong), &catalogue(), &wish());
    let best = &proposals[0];
    assert_eq!(column_of(best, "legalRepId"), None);
    assert!(
        best.lookalikes.iter().any(|(heading, rule, share)| heading == "E5" && rule == "citizen-id" && *share > 0.9)
    );
    let text = write(
        &Settings { department: "m".into(), name: "main".into(), state_dir: "s".into(), hub: vec![] },
        &[SourceText { name: "s".into(), kind: String::new(), proposal: best.clone() }],
    );
    assert!(text.contains("# 列 E5 像 citizen-id"), "{text}");
}

#[test]
fn twins_are_left_out_and_a_choice_settles_them() {
    let mut table = foreign(citizen);
    // Two persons: the representative and somebody else. A date pair without a heading.
    for (heading, cell) in [("K11", "王示例"), ("L12", "2020-01-01"), ("M13", "2030-01-01")] {
        table.columns.push(Column { heading: heading.into(), ..Column::default() });
        table.rows.iter_mut().for_each(|row| row.push(cell.into()));
    }
    let catalogue = catalogue();
    let best = propose(&table, &catalogue, &wish()).remove(0);
    assert_eq!((best.record_type.as_str(), column_of(&best, "legalRep")), ("business-licence", None));
    let persons = best.twins.iter().find(|twins| twins.fields == ["legalRep"]).unwrap();
    assert_eq!(persons.columns, ["D4", "K11"]);
    let dates = best.twins.iter().find(|twins| twins.columns.contains(&"L12".to_owned())).unwrap();
    assert!(dates.fields.iter().any(|field| field == "termFrom") && dates.columns == ["L12", "M13"]);
    let mut chosen = wish();
    chosen.fields.insert("legalRep".into(), Some("D4".into()));
    let best = propose(&table, &catalogue, &chosen).remove(0);
    assert_eq!(column_of(&best, "legalRep"), Some("D4"));
    assert_eq!(best.missing, Vec::<String>::new());
}

#[test]
fn comments_of_a_database_speak_where_headings_do_not() {
    let mut table = foreign(citizen);
    table.columns[9] = Column { heading: "F_0A".into(), comment: Some("发证日期".into()), ..Column::default() };
    let best = propose(&table, &catalogue(), &wish()).remove(0);
    assert_eq!(column_of(&best, "issuedDate"), Some("F_0A"));
}

#[test]
fn the_committed_samples_are_told_by_themselves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let catalogue = catalogue();
    for (file, record_type, ready) in [
        ("营业执照-20261030.csv", "business-licence", 0.8),
        ("食品经营许可证台账.csv", "food-business-licence", 0.8),
        ("不动产权证书.csv", "real-estate-title", 0.0),
    ] {
        let table = read(&root.join(file), Path::new("no-helper")).unwrap().remove(0).table;
        let best = propose(&table, &catalogue, &wish()).remove(0);
        assert_eq!(best.record_type, record_type, "{file}");
        let part = best.valid as f64 / best.rows as f64;
        assert!(
            part >= ready,
            "{file}: {part} ready; missing {:?}, twins {:?}\n{:#?}",
            best.missing,
            best.twins,
            best.mapping
        );
        assert_eq!(written(&best).sources[0].mapping, best.mapping, "{file}");
    }
}

#[test]
fn a_heading_is_found_below_titles_and_no_heading_is_told() {
    let cells = |row: &[&str]| row.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
    let grid = [
        cells(&["某局导出表", "", ""]),
        cells(&["单位：示例", "2026-10-30", ""]),
        cells(&["编号", "名 称", "编号"]),
        cells(&["1", "甲", "2"]),
    ];
    let table = sample::of_grid("x".into(), &grid, false).err();
    assert!(table.is_some(), "a heading that stands twice cannot be named");
    let grid = [grid[0].clone(), cells(&["编号", "名\n称", "日期"]), grid[3].clone()];
    let table = sample::of_grid("x".into(), &grid, false).unwrap();
    assert_eq!(table.titles, ["某局导出表"]);
    assert_eq!(table.columns[1].heading, "名称");
    assert!(matches!(sample::of_grid("x".into(), &grid[2..], false), Err(Error::NoHeading)));
}

/// A register of titles: number, unit, owner's name and number, kind, place, day.
fn titles(kind: bool, owner: impl Fn(usize) -> (String, String)) -> Table {
    let headings = ["z1", "z2", "z3", "z4", "z5", "z6", "发证日期", "z8"];
    let row = |number: usize| {
        let (name, value) = owner(number);
        let word = if value.len() == 18 && value.starts_with("3703") { "个人" } else { "单位" };
        [
            format!("鲁(2021)高青县不动产权第{:07}号", 9_900_000 + number),
            format!("370322001001GB00001F{:08}", number + 1),
            name,
            value,
            if kind { word } else { "" }.to_owned(),
            format!("山东省淄博市高青县示例路{number}号"),
            format!("2021-03-{:02}", number % 28 + 1),
            "高青示例县自然资源局".to_owned(),
        ]
    };
    let columns = headings.iter().map(|&heading| Column { heading: heading.into(), ..Column::default() }).collect();
    Table { name: "qs.csv".into(), titles: vec![], columns, rows: (1..40).map(|n| row(n).to_vec()).collect() }
}

fn person(number: usize) -> (String, String) {
    (format!("张示{}", ["甲", "乙", "丙"][number % 3]), citizen(number))
}

fn firm(number: usize) -> (String, String) {
    (format!("高青示例{number}号有限公司"), uscc(number))
}

#[test]
fn check_digits_decide_whether_holders_are_people_or_organisations() {
    let catalogue = catalogue();
    let either = |number: usize| if number.is_multiple_of(3) { firm(number) } else { person(number) };
    let two = |number: usize| {
        let ((a, b), (c, d)) = (person(number), person(number + 50));
        (format!("{a}、{c}"), format!("{b}、{d}"))
    };
    for (told, owner, kind, scheme, separators) in [
        ("people", &person as &dyn Fn(usize) -> (String, String), false, Some("citizen-id"), false),
        ("organisations", &firm, false, Some("uscc"), false),
        ("two people each", &two, false, Some("citizen-id"), true),
        ("either, and a column says which", &either, true, None, false),
    ] {
        let best = propose(&titles(kind, owner), &catalogue, &wish()).remove(0);
        assert_eq!(best.record_type, "real-estate-title", "{told}");
        let owner = best
            .mapping
            .holders
            .iter()
            .find(|holder| holder.role == "owner")
            .unwrap_or_else(|| panic!("{told}: {best:#?}"));
        assert_eq!((owner.value.column.as_deref(), owner.scheme.as_deref()), (Some("z4"), scheme), "{told}");
        assert_eq!(owner.name.as_ref().and_then(|name| name.column.as_deref()), Some("z3"), "{told}");
        assert_eq!(owner.separators.is_some(), separators, "{told}");
        if scheme.is_none() {
            let from = owner.scheme_from.as_ref().unwrap();
            assert_eq!(from.column.as_deref(), Some("z5"));
            assert_eq!(
                from.dictionary,
                [("个人", "citizen-id"), ("单位", "uscc")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
            );
        }
        assert_eq!(written(&best).sources[0].mapping, best.mapping, "{told}");
    }
    // Either, and nothing says which: a person decides.
    let best = propose(&titles(false, either), &catalogue, &wish()).remove(0);
    assert!(best.missing.contains(&"holders.owner".to_owned()), "{:?}", best.missing);
    assert!(best.twins.iter().any(|twins| twins.fields == ["holders.owner"] && twins.columns == ["z4"]));
    // Numbers with wrong check digits are nobody's.
    let wrong = |number: usize| {
        let (name, value) = person(number);
        let end = if value.ends_with('1') { '2' } else { '1' };
        (name, format!("{}{end}", &value[..17]))
    };
    let best = propose(&titles(false, wrong), &catalogue, &wish()).remove(0);
    assert!(!best.mapping.holders.iter().any(|holder| holder.role == "owner"));
}

#[test]
fn people_are_no_businesses() {
    // The same rows but for the numbers that make a licence what it is.
    let mut table = foreign(citizen);
    for (number, row) in table.rows.iter_mut().enumerate() {
        row[0] = citizen(number + 200);
    }
    let proposals = propose(&table, &catalogue(), &wish());
    assert!(proposals.first().is_none_or(|best| best.record_type != "business-licence"), "{proposals:#?}");
}

#[test]
fn headings_and_comments_are_scored() {
    let names = ["颁发日期", "发证日期", "issue_date", "FZRQ"].map(str::to_owned);
    for (heading, comment, least, most, by_comment) in [
        ("发证日期", None, 1.0, 1.0, false),
        ("发证日期（含）", None, 0.95, 0.95, false),
        ("ISSUE-DATE", None, 1.0, 1.0, false),
        ("c7", None, 0.0, 0.0, false),
        ("c7", Some("发证日期"), 1.0, 1.0, true),
        ("c7", Some("发证日期，格式为八位数字"), 0.9, 1.0, true),
        ("发证日期", Some("发证日期"), 1.0, 1.0, true),
        ("fzrq", Some("备注"), 1.0, 1.0, false),
        ("licence/issueDate", None, 0.9, 0.95, false),
        ("a/date", None, 0.0, 0.0, false),
        ("原发证机关", None, 0.0, 0.0, false),
    ] {
        let column = Column { heading: heading.into(), comment: comment.map(str::to_owned), ..Column::default() };
        let (said, by) = words::of_column(&names, &column);
        assert!((least..=most).contains(&said), "{heading} {comment:?}: {said}");
        assert_eq!(by, by_comment, "{heading} {comment:?}");
    }
}

#[test]
fn a_column_that_grows_is_found_and_one_that_only_might_is_not() {
    use crate::source::table::MarkKind::{Number, Timestamp};
    let catalogue = catalogue();
    let time = |number: usize| format!("2026-10-{:02} 09:{:02}:31", number % 28 + 1, number % 60);
    let early = |number: usize| format!("2001-10-{:02} 09:{:02}:31", number % 28 + 1, number % 60);
    let number = |number: usize| number.to_string();
    let gaps = |number: usize| if number == 3 { String::new() } else { time(number) };
    for (told, heading, comment, (mark, indexed), cell, confidence) in [
        ("named and indexed", "gxsj", None, (Some(Timestamp), true), &time as &dyn Fn(usize) -> String, 0.97),
        ("named by its comment", "q9", Some("最后更新时间"), (Some(Timestamp), true), &time, 0.97),
        ("named, without an index", "update_time", None, (Some(Timestamp), false), &time, 0.9),
        ("indexed, and after all other days", "q9", None, (Some(Timestamp), true), &time, 0.65),
        ("neither", "q9", None, (Some(Timestamp), false), &time, 0.0),
        ("written once", "create_time", None, (Some(Timestamp), true), &time, 0.0),
        ("written once, as its comment says", "q9", Some("录入时间"), (Some(Timestamp), true), &time, 0.0),
        ("before the day of issue", "q9", None, (Some(Timestamp), true), &early, 0.0),
        ("rows without it", "gxsj", None, (Some(Timestamp), true), &gaps, 0.0),
        ("a drawn number", "row_version", None, (Some(Number), true), &number, 0.97),
        ("a number of a row", "id", None, (Some(Number), true), &number, 0.0),
        ("a file has no indexes and types", "gxsj", None, (None, false), &time, 0.0),
    ] {
        let mut table = foreign(citizen);
        table.columns.push(Column {
            heading: heading.into(),
            comment: comment.map(str::to_owned),
            mark,
            indexed,
            key: false,
        });
        table.rows.iter_mut().enumerate().for_each(|(at, row)| row.push(cell(at)));
        let best = propose(&table, &catalogue, &wish()).remove(0);
        let found = watermark::of(&table, &best);
        assert_eq!(found.as_ref().map_or(0.0, |grows| grows.confidence), confidence, "{told}: {found:?}");
        assert_eq!(watermark::key(&table, &best), ["A1"], "the number that makes a record what it is");
    }
}
