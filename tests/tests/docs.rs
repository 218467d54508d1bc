//! The documents against the code, both ways: reasons and their pages, the steps of `docs/record-life.md`, tables and topics, links,
//! and the commands that the READMEs name.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use weft_adapter::problem::Reason as Row;
use weft_hub::{apply, log::Topic};
use weft_proto::Reason as Refused;
use weft_record::problem::Reason as Wrong;

/// The names that an alarm can have.
const ALARMS: [&str; 10] = [
    "conflict",
    "cut_log",
    "enumeration",
    "foreign_entry",
    "log_lost",
    "null_entry",
    "quota_exceeded",
    "revocation_list_unusable",
    "signing_unavailable",
    "tls_file_unusable",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn reasons() -> BTreeSet<&'static str> {
    let refused = Refused::ALL.iter().map(|reason| reason.as_str());
    let wrong = Wrong::ALL.iter().map(|reason| reason.as_str());
    let at_department = Row::ALL.iter().map(|reason| reason.as_str());
    refused.chain(wrong).chain(apply::reason::ALL).chain(at_department).collect()
}

fn files_under(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_under(&path, ending));
        } else if path.to_str().is_some_and(|name| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_reason_and_alarm_has_its_page_and_every_page_its_reason() {
    let pages: BTreeSet<String> = files_under(&root().join("docs/errors"), ".md")
        .iter()
        .map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let names: BTreeSet<String> = reasons().into_iter().chain(ALARMS).map(str::to_owned).collect();
    assert_eq!(pages, names, "left: pages under docs/errors, right: reasons and alarms of the code");
}

#[test]
fn a_page_says_where_what_and_what_to_do_in_both_languages() {
    let parts = ["## 发生了什么", "## 怎么办", "- 部门：", "- 窗口：", "- 运行管理员：", "## What happened"];
    let parts = parts.into_iter().chain(["## What to do", "- Department: ", "- Window: ", "- Operator: "]);
    let parts: Vec<&str> = parts.collect();
    for name in reasons().into_iter().chain(ALARMS) {
        let page = read(format!("docs/errors/{name}.md"));
        assert_eq!(page.lines().next(), Some(format!("# {name}").as_str()), "{name}: title");
        for part in &parts {
            let (_, rest) = page.split_once(part).unwrap_or_else(|| panic!("{name}: {part} is missing"));
            assert!(rest.trim_start().chars().count() > 3, "{name}: {part} says nothing");
        }
        if let Some(reason) = Refused::ALL.iter().find(|reason| reason.as_str() == name) {
            let code = format!("gRPC `{}`, HTTP {}", screaming(&format!("{:?}", reason.code())), reason.http());
            assert!(page.contains(&code), "{name}: {code} is not said");
        }
        if let Some(reason) = Wrong::ALL.iter().find(|reason| reason.as_str() == name) {
            let stage = format!("stage `{}`", reason.stage().as_str());
            assert!(page.contains(&stage), "{name}: {stage} is not said");
        }
        let at_department = Row::ALL.iter().any(|reason| reason.as_str() == name);
        assert_eq!(page.contains("· adapter |"), at_department, "{name}: at the adapter or not");
        assert_eq!(page.contains("· alarm |"), ALARMS.contains(&name), "{name}: alarm or not");
        assert_eq!(
            page.contains("· outcome at apply |"),
            apply::reason::ALL.contains(&name),
            "{name}: at apply or not"
        );
    }
}

/// `PermissionDenied` as gRPC writes it.
fn screaming(camel: &str) -> String {
    let mut text = String::new();
    for (at, letter) in camel.char_indices() {
        if letter.is_uppercase() && at > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

#[test]
fn the_alarms_are_those_of_the_code() {
    let mut found = BTreeSet::new();
    for file in files_under(&root().join("hub/src"), ".rs") {
        let text = fs::read_to_string(&file).unwrap();
        for before in ["alarm_row(\"", "self.alarm(incoming, \"", "alarm: \""] {
            let names = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
    let known: BTreeSet<String> = ALARMS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, known, "left: alarms raised in hub/src, right: alarms with a page");
}

/// One row of the table of steps.
struct Step {
    name: String,
    places: Vec<String>,
    stores: Vec<String>,
    reasons: Vec<String>,
    alarms: Vec<String>,
}

fn steps() -> Vec<Step> {
    let text = read("docs/record-life.md");
    let (_, table) = text.split_once("<!-- steps: begin -->").unwrap();
    let (table, _) = table.split_once("<!-- steps: end -->").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows[0], "| step | where | reads | writes | reasons | alarms |");
    rows[2..].iter().map(|row| step(row)).collect()
}

fn step(row: &str) -> Step {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    assert_eq!(cells.len(), 6, "{row}");
    let words = |cell: &str| quoted(cell).map(str::to_owned).collect::<Vec<_>>();
    let mut stores = words(cells[2]);
    stores.extend(words(cells[3]));
    Step {
        name: cells[0].to_owned(),
        places: words(cells[1]),
        stores,
        reasons: words(cells[4]),
        alarms: words(cells[5]),
    }
}

#[test]
fn the_steps_name_every_reason_and_alarm_and_no_other() {
    let steps = steps();
    let named: BTreeSet<&str> = steps.iter().flat_map(|step| step.reasons.iter().map(String::as_str)).collect();
    assert_eq!(named, reasons(), "left: docs/record-life.md, right: the code");
    let alarms: BTreeSet<&str> = steps.iter().flat_map(|step| step.alarms.iter().map(String::as_str)).collect();
    assert_eq!(alarms, BTreeSet::from(ALARMS), "left: docs/record-life.md, right: the code");
}

#[test]
fn a_reason_of_the_door_stands_at_its_stage() {
    let steps: BTreeMap<String, Step> = steps().into_iter().map(|step| (step.name.clone(), step)).collect();
    for reason in Wrong::ALL {
        let name = format!("publish: verify {}", reason.stage().as_str());
        let step = steps.get(&name).unwrap_or_else(|| panic!("no step {name}"));
        assert!(step.reasons.iter().any(|named| named == reason.as_str()), "{name} does not name {reason}");
    }
    let apply = &steps["follow: apply"];
    for reason in [apply::reason::STEP_NOT_ALLOWED, apply::reason::STATUS_EVENT_MISMATCH] {
        assert!(apply.reasons.iter().any(|named| named == reason), "apply does not name {reason}");
    }
}

#[test]
fn the_code_that_a_step_names_is_there() {
    for step in steps() {
        assert!(!step.places.is_empty(), "{}: no place", step.name);
        for place in step.places {
            let file = root().join(format!("{place}.rs"));
            assert!(file.is_file() || root().join(&place).join("mod.rs").is_file(), "{}: no module {place}", step.name);
        }
    }
}

#[test]
fn every_table_and_every_family_of_topics_is_named_and_no_other() {
    let named: BTreeSet<String> = steps().into_iter().flat_map(|step| step.stores).collect();
    let (topics, tables): (BTreeSet<String>, BTreeSet<String>) =
        named.into_iter().partition(|name| name.starts_with("weft."));
    let families = [Topic::Records("<type>".into()), Topic::Quarantine, Topic::Ledger, Topic::Registry];
    assert_eq!(topics, families.iter().map(Topic::name).collect(), "left: docs/record-life.md, right: the code");
    for engine in ["sqlite", "postgres"] {
        assert_eq!(tables, tables_of(engine), "left: docs/record-life.md, right: the migrations of {engine}");
    }
}

/// The tables that an engine's migrations make.
fn tables_of(engine: &str) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    for file in files_under(&root().join("hub/src/index").join(engine), ".sql") {
        let text = fs::read_to_string(&file).unwrap();
        let names = text.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split([' ', '(', '\n']).next());
        tables.extend(names.map(str::to_owned));
    }
    tables
}

fn documents() -> Vec<PathBuf> {
    let mut documents = files_under(&root().join("docs"), ".md");
    documents.extend(["README.md", "README.zh-CN.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    documents
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || target.contains("://") {
                continue;
            }
            assert!(document.parent().unwrap().join(path).exists(), "{}: {target}", document.display());
        }
    }
}

#[test]
fn a_decision_tells_context_decision_and_consequences() {
    let decisions = files_under(&root().join("docs/decisions"), ".md");
    assert!(!decisions.is_empty());
    for (at, file) in decisions.iter().enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{:04}-", at + 1)), "{name} is not number {}", at + 1);
        let text = fs::read_to_string(file).unwrap();
        for part in ["# ", "## Context", "## Decision", "## Consequences"] {
            assert!(text.contains(part), "{name}: {part} is missing");
        }
        assert!(text.lines().count() <= 60, "{name} is longer than a page");
    }
}

#[test]
fn the_configuration_in_the_operators_page_is_taken() {
    let text = read("docs/operating.md");
    let blocks: Vec<&str> = text.split("```toml\n# hub.toml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let config = weft_hub::config::Config::parse(block.split("```").next().unwrap()).unwrap();
        assert_eq!(config.hub_name, "hub.example");
    }
}

#[test]
fn the_settings_of_kafka_are_all_told() {
    let text = read("docs/operating.md");
    let (_, table) = text.split_once("<!-- kafka: begin -->").unwrap();
    let (table, _) = table.split_once("<!-- kafka: end -->").unwrap();
    let told: BTreeMap<&str, &str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| (quoted(line).next().unwrap(), line.split('|').nth(2).unwrap().trim()))
        .collect();
    let defaults = serde_json::to_value(weft_hub::log::kafka::Config::default()).unwrap();
    let defaults = defaults.as_object().unwrap();
    let named: BTreeSet<&str> = defaults.keys().map(String::as_str).collect();
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), named, "left: docs/operating.md, right: the code");
    for (name, default) in defaults {
        let said = told[name.as_str()].trim_matches('`');
        match default {
            serde_json::Value::String(text) if text.is_empty() => assert_eq!(said, "empty", "{name}"),
            serde_json::Value::String(text) => assert_eq!(said, text, "{name}"),
            serde_json::Value::Object(_) => assert_eq!(said, "none", "{name}"),
            other => assert_eq!(said, other.to_string(), "{name}"),
        }
    }
}

/// The lines of a document's `sh` blocks, without remarks.
fn commands(document: &str) -> Vec<String> {
    let text = read(document);
    let mut commands = Vec::new();
    for block in text.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let lines = block.lines().map(|line| line.split(" #").next().unwrap().trim());
        commands.extend(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
    }
    commands
}

#[test]
fn the_readmes_name_the_same_commands() {
    let (english, chinese) = (commands("README.md"), commands("README.zh-CN.md"));
    assert!(english.iter().any(|command| command == "cargo run --release -- demo"));
    assert!(english.iter().any(|command| command == "tests/run"));
    assert_eq!(english, chinese);
}

#[test]
fn the_commands_that_documents_name_exist() {
    for document in ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "docs/operating.md"] {
        for command in commands(document) {
            check_command(document, &command);
        }
    }
}

fn check_command(document: &str, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "run", "--release", "--", of_weft @ ..] => {
            assert!(read("Cargo.toml").contains("default-members = [\"cli\"]"), "`cargo run` starts something else");
            check_weft(document, of_weft);
        }
        ["weft" | "target/release/weft", of_weft @ ..] => check_weft(document, of_weft),
        [script @ ("tests/run" | ".ci/run"), flags @ ..] => {
            let mode = fs::metadata(root().join(script)).unwrap().permissions().mode();
            assert!(mode & 0o111 != 0, "{script} cannot be run");
            for flag in flags.iter().take_while(|flag| **flag != "--") {
                assert!(read(script).contains(flag), "{document}: {script} does not know {flag}");
            }
        }
        ["cargo", "build" | "check" | "test" | "fmt" | "clippy" | "deny", ..] => {}
        _ => panic!("{document}: nobody checks the command {command:?}"),
    }
}

/// The help of a subcommand is there, and names the flags used.
fn check_weft(document: &str, words: &[&str]) {
    let is_word = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let subcommands: Vec<&&str> = words.iter().take_while(|word| !word.starts_with('-')).take_while(is_word).collect();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let binary = std::env::var_os("WEFT_BIN").map_or_else(|| target.join("debug/weft"), PathBuf::from);
    let help = Command::new(&binary).args(&subcommands).arg("--help").output();
    let help = help.unwrap_or_else(|error| panic!("{}: {error}; build it with tests/run", binary.display()));
    assert!(help.status.success(), "{document}: weft {subcommands:?} is no command");
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("Usage"), "{document}: weft {subcommands:?} has no help");
    for flag in words.iter().filter(|word| word.starts_with("--")) {
        assert!(text.contains(flag.split('=').next().unwrap()), "{document}: weft {subcommands:?} has no {flag}");
    }
}
