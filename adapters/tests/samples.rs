//! The committed samples through the ready configurations: every number that `samples/README.md` leads one to expect.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use weft_adapter::{Config, Surroundings, clock::SetClock, problem::Reason, report::FileReport};

const NOW: i64 = 1_793_500_000;

/// One sample file alone in its folder, checked under the department's configuration.
async fn check(department: &str, source: usize, file: &str) -> FileReport {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("departments").join(format!("{department}.toml"));
    let mut config = Config::load(&path).unwrap();
    config.sources = vec![config.sources[source].clone()];
    config.sources[0].file.as_mut().unwrap().folder = folder.path().to_owned();
    std::fs::copy(root.join("samples").join(file), folder.path().join(file)).unwrap();
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    let surroundings = Surroundings { clock: Arc::new(SetClock::at(now)), ..Surroundings::system() };
    let mut reports = weft_adapter::check(&config, &surroundings).await.unwrap();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

/// Reason and what the hub's door would say, per line; notes apart.
fn told(report: &FileReport) -> BTreeMap<u64, Vec<String>> {
    let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for problem in report.problems.iter().filter(|problem| !problem.note) {
        let reason = match problem.reason {
            Reason::Rejected => problem.en.split(']').next().unwrap().trim_start_matches('[').to_owned(),
            other => other.to_string(),
        };
        told.entry(problem.line).or_default().push(reason);
    }
    for reasons in told.values_mut() {
        reasons.sort();
        reasons.dedup();
    }
    told
}

fn expect(report: &FileReport, (rows, mapped, valid): (u64, u64, u64), lines: &[(u64, &str)]) {
    let expected: BTreeMap<u64, Vec<String>> =
        lines.iter().map(|(line, reasons)| (*line, reasons.split(' ').map(str::to_owned).collect())).collect();
    assert_eq!(told(report), expected, "{}", report.file);
    assert_eq!((report.rows, report.mapped, report.valid), (rows, mapped, valid), "{}", report.file);
}

#[tokio::test]
async fn business_licences() {
    let report = check("market-regulation", 0, "营业执照-20261030.csv").await;
    let lines = [
        (29, "identifier_wrong"),
        (46, "date_impossible"),
        (68, "key_missing"),
        (107, "not_in_dictionary"),
        (136, "rule_broken"),
        (177, "columns_shifted"),
        (221, "identifier_wrong"),
        (274, "number_unreadable"),
        (296, "order_unreadable"),
    ];
    expect(&report, (313, 307, 304), &lines);
}

#[tokio::test]
async fn food_business_licences() {
    let report = check("market-regulation", 1, "食品经营许可证台账.csv").await;
    let lines = [
        (32, "identifier_wrong"),
        (49, "date_impossible"),
        (68, "holder_missing"),
        (147, "validity_too_long"),
        (192, "heading_repeated"),
        (211, "not_in_dictionary"),
        (239, "key_missing"),
        (276, "columns_shifted"),
        (296, "identifier_wrong"),
    ];
    expect(&report, (309, 304, 300), &lines);
}

#[tokio::test]
async fn real_estate_titles() {
    let report = check("natural-resources", 0, "不动产权证书.csv").await;
    let lines = [
        (34, "identifier_wrong"),
        (53, "date_impossible"),
        (70, "holder_missing missing_field"),
        (127, "holders_uneven"),
        (147, "rule_broken"),
        (214, "identifier_wrong wrong_pattern"),
        (235, "key_missing"),
        (253, "not_in_dictionary"),
        (298, "columns_shifted"),
    ];
    expect(&report, (314, 309, 305), &lines);
}

#[test]
fn the_readme_names_these_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("samples/README.md")).unwrap();
    for (line, reason) in [(29, "identifier_wrong"), (239, "key_missing"), (298, "columns_shifted")] {
        let named = readme.lines().any(|text| text.starts_with(&format!("| {line} |")) && text.contains(reason));
        assert!(named, "{line} {reason}");
    }
}
