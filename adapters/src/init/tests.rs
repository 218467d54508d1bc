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
    let columns = headings.iter().map(|&heading| Column { heading: heading.into(), comment: None }).collect();
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
        table.columns.push(Column { heading: heading.into(), comment: None });
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
    table.columns[9] = Column { heading: "F_0A".into(), comment: Some("发证日期".into()) };
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
        let table = read(&root.join(file)).unwrap();
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
    let table = sample::of_grid("x".into(), &grid).err();
    assert!(table.is_some(), "a heading that stands twice cannot be named");
    let grid = [grid[0].clone(), cells(&["编号", "名\n称", "日期"]), grid[3].clone()];
    let table = sample::of_grid("x".into(), &grid).unwrap();
    assert_eq!(table.titles, ["某局导出表"]);
    assert_eq!(table.columns[1].heading, "名称");
    assert!(matches!(sample::of_grid("x".into(), &grid[2..]), Err(Error::NoHeading)));
}
