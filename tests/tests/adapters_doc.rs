//! `docs/adapters.md` against the code: every whole configuration runs, every key stands in it with its default, and the first
//! adapter goes as it is told, with the real program and a real hub.
//!
//! With `WEFT_REGENERATE=1` the answers of the commands are written into the document instead of being compared.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "adapters_doc/document.rs"]
mod document;
#[path = "adapters_doc/keys.rs"]
mod keys;
#[path = "adapters_doc/sources.rs"]
mod sources;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use weft_adapter::{Config, keys::Directory};
use weft_tests::{
    department::confirm,
    folder::{scratch, target_dir},
    hub::TestHub,
    office::here,
    skipped_by_quick,
};

use document::Document;

const DEPARTMENT: &str = "health";
const TYPE: &str = "public-place-hygiene-licence";
/// The hub's address in the document.
const HUB: &str = "https://hub.example:8443";

/// An adapter's folder, and the hub that it is for.
struct Place {
    hub: TestHub,
    folder: TempDir,
}

impl Place {
    async fn new(kind: &str) -> Self {
        let hub = TestHub::start_with(|config| {
            config.hub_name = "hub.example".into();
            config.trust_domain = "weft.example".into();
        })
        .await;
        hub.register(DEPARTMENT, &[TYPE], true).await;
        let folder = scratch(kind);
        let token = hub.join_token(&format!("department/{DEPARTMENT}/adapter/main")).await;
        fs::write(folder.path().join("token"), here(&token, hub.enrolment)).unwrap();
        fs::create_dir(folder.path().join("drop")).unwrap();
        Self { hub, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the hub is that the document calls [`HUB`].
    fn api(&self) -> String {
        format!("https://localhost:{}", self.hub.api.port())
    }

    /// A line as somebody types it in the adapter's folder.
    fn typed(&self, line: &str) -> Output {
        let folder = weft().parent().unwrap().to_str().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.path()).env("PATH", format!("{folder}:{path}"));
        command.env_remove("WEFT_ADAPTER_CONFIG").output().unwrap()
    }

    /// Joins, and has the key confirmed.
    async fn join(&self) {
        let output = self.typed("weft adapter join --config adapter.toml --token-file token");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        confirm(&self.hub, DEPARTMENT, &self.fingerprint()).await.unwrap();
    }

    fn fingerprint(&self) -> String {
        Directory::new(self.path().join("state")).open().unwrap().sealing.kid().to_owned()
    }
}

fn weft() -> PathBuf {
    let binary = std::env::var_os("WEFT_BIN").map_or_else(|| target_dir().join("debug/weft"), PathBuf::from);
    assert!(binary.is_file(), "no binary at {}: build it with tests/run", binary.display());
    binary
}

#[test]
fn every_kind_of_source_has_a_whole_configuration() {
    let mut shown = BTreeSet::new();
    for (name, text) in Document::read().wholes() {
        let config = Config::parse(&text, Path::new("/")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let source: Value = serde_json::to_value(&config.sources[0]).unwrap();
        shown.extend(keys::kinds().into_iter().filter(|kind| source[kind].is_object()));
    }
    assert_eq!(shown, keys::kinds(), "left: docs/adapters.md, right: the code");
}

#[test]
fn the_tables_name_every_key_and_its_default() {
    keys::check(&Document::read());
}

#[test]
fn the_commands_are_those_of_the_program() {
    let document = Document::read();
    let word = |rest: &str| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap().to_owned();
    let told: BTreeSet<String> = document.text.split("weft adapter ").skip(1).map(word).collect();
    let help = Command::new(weft()).args(["adapter", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("    "));
    let known: BTreeSet<String> = lines.map(|line| word(line.trim_start())).filter(|name| name != "help").collect();
    assert_eq!(told, known, "left: docs/adapters.md, right: weft adapter --help");
}

/// Runs the whole configuration of this name over its source: three records.
async fn runs(name: &str) {
    if sources::NEED_SERVERS.contains(&name) && skipped_by_quick("a database server or driver") {
        return;
    }
    let document = Document::read();
    let text = document.wholes().remove(name).unwrap_or_else(|| panic!("no whole configuration {name}"));
    let mut place = Place::new(name).await;
    let text = text.replace(HUB, &place.api());
    let source = sources::open(name, &text, place.path()).await;
    fs::write(place.path().join("adapter.toml"), &source.text).unwrap();
    place.join().await;
    let told = source.publish(&place).await;
    assert_eq!((&told["rows"], &told["indexed"]), (&3.into(), &3.into()), "{name}: {told:#}");
    let found = weft_tests::found::versions_per_record(&place.hub.config, DEPARTMENT).await;
    assert_eq!(found, [(1, 3)].into(), "{name}");
    place.hub.stop().await;
}

macro_rules! run {
    ($($test:ident: $name:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            runs($name).await;
        }
    )*};
}

run! {
    a_csv_is_published: "csv";
    a_tsv_is_published: "tsv";
    a_workbook_is_published: "xlsx";
    json_is_published: "json";
    what_is_pulled_is_published: "rest";
    what_is_pushed_is_published: "push";
    a_view_of_postgresql_is_published: "postgres";
    a_view_of_sqlite_is_published: "sqlite";
    a_view_behind_odbc_is_published: "oracle";
}

#[test]
fn every_whole_configuration_is_run() {
    let own = include_str!("adapters_doc.rs");
    for name in Document::read().wholes().keys() {
        assert!(own.contains(&format!("_published: \"{name}\";")), "nobody runs the configuration {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn my_first_adapter_goes_as_it_is_told() {
    let mut document = Document::read();
    let mut place = Place::new("first").await;
    for (name, text) in document.files() {
        fs::write(place.path().join(&name), &text).unwrap();
        // The next evening's export, with the date mended.
        let mended = text.replace("2025年2月30日", "2025年2月28日");
        fs::write(place.path().join("卫生许可证-20261121.csv"), mended).unwrap();
    }
    fs::create_dir(place.path().join("books")).unwrap();
    sources::workbook(&place.path().join("books/台账.xlsx"));
    sources::sqlite(&place.path().join("office.db"), str::to_owned).await;
    let mut wrong = Vec::new();
    for (at, block) in document.consoles().into_iter().enumerate() {
        let mut said = String::new();
        for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let output = place.typed(&line.replace(HUB, &place.api()));
            if line.contains(" join ") {
                confirm(&place.hub, DEPARTMENT, &place.fingerprint()).await.unwrap();
            }
            said += &format!("$ {line}\n{}", shown(&output, &place));
        }
        if said != block {
            wrong.push(format!("told:\n{block}\nreal:\n{said}"));
        }
        document.replace_console(at, &said);
    }
    place.hub.stop().await;
    if std::env::var_os("WEFT_REGENERATE").is_some() {
        document.write();
    } else {
        assert!(wrong.is_empty(), "write them anew with WEFT_REGENERATE=1:\n{}", wrong.join("\n"));
    }
}

/// What is answered, with the document's names for what is another at every run; the log on standard error is not.
fn shown(output: &Output, place: &Place) -> String {
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code < 2), "{log}");
    let text = String::from_utf8(output.stdout.clone()).unwrap().replace(&place.api(), HUB);
    let fingerprint =
        if place.path().join("state/identity.json").exists() { place.fingerprint() } else { String::new() };
    let text = if fingerprint.is_empty() { text } else { text.replace(&fingerprint, "<fingerprint>") };
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
