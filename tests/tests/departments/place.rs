//! A hub, one department's adapter on its samples, and a window that may see everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Config, Surroundings,
    keys::Directory,
    problem::{Reason, RowProblem},
    run_once,
};
use weft_proto::v1;
use weft_record::{catalogue::Catalogue, keys::KeySet, verify::verify_presentation};
use weft_tests::{
    department::confirm,
    folder::scratch,
    hub::TestHub,
    office::here,
    window::{ITEM, TestWindow, grant, look},
};

use super::{
    configuration,
    expected::{Expected, Record, Source, samples},
};

const PATIENCE: Duration = Duration::from_secs(300);
const WINDOW: &str = "hall-1";

pub(crate) struct Place {
    pub department: &'static str,
    pub folder: TempDir,
    pub expected: Expected,
    hub: TestHub,
    window: TestWindow,
}

/// What became of a source.
pub(crate) struct Came {
    pub rows: u64,
    pub mapped: u64,
    pub published: u64,
    pub rejected: u64,
    pub indexed: u64,
    pub problems: Vec<RowProblem>,
}

impl Place {
    /// Starts a hub that knows the department, and a window; the adapter has joined.
    pub(crate) async fn start(department: &'static str) -> Self {
        let (hub, folder, expected) = (TestHub::start().await, scratch("department"), Expected::of(department));
        let types: Vec<&str> = expected.sources.iter().map(|source| source.record_type.as_str()).collect();
        hub.register(department, &types, true).await;
        let token = hub.join_token(&format!("department/{department}/adapter/main")).await;
        let directory = Directory::new(folder.path().join("state").join(department));
        let joined = weft_adapter::join(&here(&token, hub.enrolment), &directory, &Surroundings::system()).await;
        confirm(&hub, department, &joined.unwrap().fingerprint).await.unwrap();
        let window = hub.window(WINDOW).await;
        let catalogue = Catalogue::builtin().unwrap();
        for record_type in types {
            let fields = &catalogue.record_type(record_type).unwrap().definition.fields;
            let fields: Vec<&str> = fields.keys().map(String::as_str).collect();
            hub.grant(grant(WINDOW, record_type, department, &fields)).await;
        }
        Self { department, folder, expected, hub, window }
    }

    /// The sample folder of the department.
    pub(crate) fn samples(&self) -> PathBuf {
        samples().join(self.department)
    }

    /// The department's configuration, with what this machine has in place of what its file says.
    pub(crate) fn config(&self, changes: &[(&str, String)]) -> Config {
        let mut text = configuration(self.department);
        let here = [("https://localhost:7443", format!("https://127.0.0.1:{}", self.hub.api.port()))];
        for (from, to) in here.iter().chain(changes) {
            assert!(text.contains(from), "{from} does not stand in the configuration");
            text = text.replace(from, to);
        }
        let mut config = Config::parse(&text, self.folder.path()).unwrap();
        // A test has no night.
        config.sources.iter_mut().for_each(|source| source.hours.clear());
        config
    }

    /// Every source of files on its sample, and all that is to come of it.
    pub(crate) async fn dropped(self) {
        let mut config = self.config(&[]);
        for source in &mut config.sources {
            let file = source.file.as_mut().unwrap();
            file.settle_ms = 0;
            let sample = &self.expecting(&source.name).sample;
            std::fs::create_dir_all(&file.folder).unwrap();
            std::fs::copy(self.sample(sample), file.folder.join(sample)).unwrap();
        }
        self.run(config).await;
    }

    /// The department's own sample, or one of those above.
    fn sample(&self, name: &str) -> PathBuf {
        let own = self.samples().join(name);
        if own.exists() { own } else { samples().join(name) }
    }

    pub(crate) fn expecting(&self, name: &str) -> &Source {
        self.expected.sources.iter().find(|source| source.name == name).unwrap_or_else(|| panic!("{name} is expected"))
    }

    /// Works off each source alone, and looks at all that is to come of it.
    pub(crate) async fn run(mut self, config: Config) {
        let names: BTreeSet<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, self.expected.sources.iter().map(|source| source.name.as_str()).collect());
        let mut other = Vec::new();
        for source in &config.sources {
            let alone = Config { sources: vec![source.clone()], ..config.clone() };
            let run = run_once(alone, surroundings(), CancellationToken::new());
            let ran = tokio::time::timeout(PATIENCE, run).await.expect("it ends").unwrap();
            let problems = ran.problems.into_iter().map(|row| row.problem).collect();
            let (rows, mapped, published) = (ran.rows, ran.mapped, ran.published);
            let came = Came { rows, mapped, published, rejected: ran.rejected, indexed: ran.indexed, problems };
            other.extend(self.compare(&source.name, &came));
        }
        assert!(other.is_empty(), "{}", other.join("\n"));
        self.look_at_records().await;
        self.hub.stop().await;
    }

    /// Counts and reasons of a source against those expected: what is other.
    pub(crate) fn compare(&self, name: &str, came: &Came) -> Vec<String> {
        let expected = self.expecting(name);
        let told = |note| reasons(came.problems.iter().filter(|problem| problem.note == note));
        let counts = [came.rows, came.mapped, came.published, came.rejected, came.indexed];
        let counted = [expected.rows, expected.mapped, expected.published, expected.rejected, expected.published];
        let other = |what: &str, is: &dyn Debug, expected: &dyn Debug| {
            let (is, expected) = (format!("{is:?}"), format!("{expected:?}"));
            (is != expected).then(|| format!("{name}: {what}\n  are {is}\n  not {expected}"))
        };
        let found = [
            other("rows, mapped, published, rejected, indexed", &counts, &counted),
            other("reasons", &told(false), &expected.reasons),
            other("notes", &told(true), &expected.notes),
        ];
        let mut found: Vec<String> = found.into_iter().flatten().collect();
        if !found.is_empty() {
            found.extend(
                came.problems.iter().map(|one| format!("  {} {} {} {}", one.line, one.column, one.reason, one.en)),
            );
        }
        found
    }

    /// Asks for every record that is named, and compares all that is answered.
    pub(crate) async fn look_at_records(&self) {
        let state = Directory::new(self.folder.path().join("state").join(self.department));
        let keys = KeySet::new([state.open().unwrap().sealing.verifying_key().clone()]);
        for source in &self.expected.sources {
            assert_eq!(source.records.len(), 3, "{}", source.name);
            for record in &source.records {
                self.look_at(source, record, &keys).await;
            }
        }
    }

    async fn look_at(&self, source: &Source, record: &Record, keys: &KeySet) {
        let request = v1::ListHolderRecordsRequest {
            look: Some(look(ITEM, record.holder.split_once(':'))),
            record_type: source.record_type.clone(),
            ..v1::ListHolderRecordsRequest::default()
        };
        let answered = self.window.client.clone().list_holder_records(request).await.unwrap().into_inner();
        let payloads = answered.answers.iter().map(|answer| {
            let verified = verify_presentation(answer.presentation.as_bytes(), keys).expect("the seal verifies");
            (answer, verified.payload)
        });
        let number = &record.fields["certificateNumber"];
        let mut payloads = payloads.filter(|(_, payload)| payload["fields"]["certificateNumber"] == *number);
        let (answer, payload) = payloads.next().unwrap_or_else(|| panic!("{number} is not answered: {answered:?}"));
        assert!(payloads.next().is_none(), "{number} is answered once");
        assert_eq!(payload["fields"].as_object().unwrap(), &record.fields, "{number}");
        assert_eq!((answer.version, answer.status.as_str()), (record.version, record.status.as_str()), "{number}");
        let day = |name: &str| payload["record"][name].as_str().map(str::to_owned);
        assert_eq!((day("valid_from"), day("valid_until")), (record.valid_from.clone(), record.valid_until.clone()));
    }
}

/// Writes a secret that its owner alone can read.
pub(crate) fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The machine's own, and a program beside this one that reads workbooks.
pub(crate) fn surroundings() -> Surroundings {
    let helper = Path::new(env!("CARGO_BIN_EXE_weft-test-adapter")).to_owned();
    Surroundings { helper, ..Surroundings::system() }
}

/// Reason → how many rows have it. What the door said is told under its own reasons.
fn reasons<'a>(problems: impl Iterator<Item = &'a RowProblem>) -> BTreeMap<String, u64> {
    let mut rows: BTreeSet<(String, u64, &str, String)> = BTreeSet::new();
    for problem in problems {
        // A note of what was normalised is one per column.
        let column = if problem.reason == Reason::Normalised { problem.column.as_str() } else { "" };
        let named: Vec<String> = match problem.reason {
            Reason::Rejected => door_reasons(&problem.en),
            reason => vec![reason.to_string()],
        };
        rows.extend(named.into_iter().map(|reason| (reason, problem.line, column, problem.file.clone())));
    }
    let mut counts = BTreeMap::new();
    for (reason, ..) in rows {
        *counts.entry(reason).or_insert(0) += 1;
    }
    counts
}

/// `… /fields/uscc [identifier_wrong] … | …`: the reasons in brackets.
fn door_reasons(told: &str) -> Vec<String> {
    let parts = told.split('[').skip(1).filter_map(|part| part.split_once(']'));
    let is_reason = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    parts.map(|(reason, _)| reason.to_owned()).filter(|reason| is_reason(reason)).collect()
}
