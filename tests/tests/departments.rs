//! The ready departments: each sample source through its configuration and a real adapter to a hub, and the counts, reasons and
//! fields that `expected.toml` beside the sample, and with it the README there, lead one to expect.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "departments/databases.rs"]
mod databases;
#[path = "departments/expected.rs"]
mod expected;
#[path = "departments/place.rs"]
mod place;
#[path = "departments/web.rs"]
mod web;

use std::collections::{BTreeMap, BTreeSet};

use expected::{Expected, samples};
use place::Place;
use weft_adapter::Config;
use weft_record::catalogue::Catalogue;

/// The departments that are configured.
const DEPARTMENTS: [&str; 11] = [
    "civil-affairs",
    "disabled-federation",
    "health",
    "housing",
    "human-resources",
    "market-regulation",
    "medical-insurance",
    "natural-resources",
    "public-security",
    "taxation",
    "transport",
];

fn configuration(department: &str) -> String {
    let path = samples().join(format!("../departments/{department}.toml"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parsed(department: &str) -> Config {
    Config::parse(&configuration(department), std::path::Path::new("/var/lib/weft")).unwrap()
}

#[test]
fn every_configuration_has_its_samples_and_its_readme_says_what_is_expected() {
    let listed = std::fs::read_dir(samples().join("../departments")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.map(|name| name.trim_end_matches(".toml").to_owned()).collect();
    assert_eq!(found, DEPARTMENTS.iter().map(|&name| name.to_owned()).collect());
    for department in DEPARTMENTS {
        let readme = std::fs::read_to_string(samples().join(department).join("README.md")).unwrap();
        for source in &Expected::of(department).sources {
            for line in source.readme_lines() {
                assert!(readme.lines().any(|told| told == line), "{department}/README.md lacks: {line}");
            }
        }
    }
}

#[test]
fn a_type_of_a_department_has_one_source_and_no_two_departments_share_headings() {
    let catalogue = Catalogue::builtin().unwrap();
    let mut headings: BTreeMap<String, &str> = BTreeMap::new();
    for department in DEPARTMENTS {
        let mut types = BTreeSet::new();
        for source in &parsed(department).sources {
            let of = catalogue.record_type(&source.mapping.record_type).unwrap();
            assert!(
                of.definition.departments.iter().any(|one| one == department),
                "{department} {}",
                of.definition.name
            );
            assert!(types.insert(of.definition.name.clone()), "{} has two sources", of.definition.name);
            let mapper = weft_adapter::mapping::Mapper::new(&source.mapping, &catalogue).unwrap();
            for heading in mapper.columns() {
                let other = *headings.entry(heading.to_lowercase()).or_insert(department);
                assert_eq!(other, department, "both have the heading {heading}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn market_regulation_has_text_files() {
    Place::start("market-regulation").await.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn natural_resources_has_text_files() {
    Place::start("natural-resources").await.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn medical_insurance_has_json_lines() {
    Place::start("medical-insurance").await.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_has_workbooks() {
    Place::start("health").await.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn housing_has_an_old_workbook() {
    Place::start("housing").await.dropped().await;
}
