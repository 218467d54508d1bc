//! Looking without publishing: a dry run over what waits in the sources, and the open problems of a state.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use weft_record::{
    catalogue::{Catalogue, RecordType},
    status::{Event, Status},
};

use crate::{
    change,
    clock::{Chance, Surroundings},
    config::{Config, Kind, SourceConfig},
    keys::{self, Directory},
    mapping::{Changes, Mapped, Mapper},
    problem::{Reason, Refused, RowProblem},
    runner::{Error, mappers},
    sealing,
    source::{
        self, Access, Item, Next, RowsError, Source, Unit,
        file::{FileConfig, waiting_names},
    },
    spool::{ProblemRow, Spool},
};

/// What a dry run found in one file.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// The source.
    pub source: String,
    /// The file.
    pub file: String,
    /// Rows read.
    pub rows: u64,
    /// Rows that are no records by the mapping's condition.
    pub skipped: u64,
    /// Rows mapped.
    pub mapped: u64,
    /// Rows that the hub would take as well: mapped, and right by the record type's schema, identifiers and rules.
    pub valid: u64,
    /// All that is wrong.
    pub problems: Vec<RowProblem>,
}

/// Dry run: reads, maps and checks what waits in every source, file by file; sends, moves and keeps nothing. A
/// source whose files are not at rest yet is read as it stands.
///
/// # Errors
/// The configuration or a mapping is wrong, or a source cannot be read.
pub async fn check(config: &Config, surroundings: &Surroundings) -> Result<Vec<FileReport>, Error> {
    config.verify()?;
    let catalogue = Catalogue::builtin()?;
    let now_second = surroundings.clock.now().as_second();
    let scratch = Scratch::new(surroundings)?;
    let mut reports = Vec::new();
    for (source_config, mapper) in config.sources.iter().zip(mappers(&catalogue, config)?) {
        let of = catalogue.record_type(mapper.record_type());
        let of = of.ok_or_else(|| sealing::Error::UnknownType(mapper.record_type().to_owned()))?;
        if let Kind::File(file) = source_config.kind()?
            && !file.folder.is_dir()
        {
            let refused = Refused::new(Reason::FolderMissing, None, file.folder.display().to_string());
            let (source, problems) = (source_config.name.clone(), vec![RowProblem::of_file("", &refused)]);
            reports.push(FileReport { source, problems, ..FileReport::default() });
            continue;
        }
        for mut source in sources(source_config, mapper.columns(), (&config.state_dir, &scratch.0), surroundings)? {
            let warnings = source.warnings().await?;
            if !warnings.is_empty() {
                let source = source_config.name.clone();
                reports.push(FileReport { source, problems: warnings, ..FileReport::default() });
            }
            let (unit, unreadable) = match source.next().await? {
                Next::Unit(unit) => (unit, None),
                Next::Unreadable(unit, refused) => (unit, Some(refused)),
                Next::Missing(_) | Next::Later(_) | Next::Nothing => continue,
            };
            let mut report =
                FileReport { source: source_config.name.clone(), file: unit.name.clone(), ..FileReport::default() };
            let read = match unreadable {
                Some(refused) => Err(RowsError::Refused(refused)),
                None => rows(source.as_ref(), &unit, &mapper, of, now_second, &mut report).await,
            };
            match read {
                Ok(()) => {}
                Err(RowsError::Refused(refused)) => report.problems.push(RowProblem::of_file(&unit.name, &refused)),
                Err(RowsError::Failed(error)) => return Err(error.into()),
            }
            reports.push(report);
        }
    }
    Ok(reports)
}

/// What each source asks of the department's system, to hand to whoever runs that. Nothing is reached for it.
///
/// # Errors
/// The configuration or a mapping is wrong.
pub fn access(config: &Config, surroundings: &Surroundings) -> Result<Vec<(String, Vec<Access>)>, Error> {
    config.verify()?;
    let catalogue = Catalogue::builtin()?;
    let mut all = Vec::new();
    for (source_config, mapper) in config.sources.iter().zip(mappers(&catalogue, config)?) {
        let source = source::open(source_config, mapper.columns(), &config.state_dir, surroundings)?;
        all.push((source_config.name.clone(), source.access()));
    }
    Ok(all)
}

/// A folder of a dry run's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(surroundings: &Surroundings) -> Result<Self, Error> {
        let mut name = [0; 16];
        surroundings.chance.fill(&mut name).map_err(|_| keys::Error::Key)?;
        let path = std::env::temp_dir().join(format!("weft-check-{}", hex::encode(name)));
        Directory::new(&path).create()?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the folder of a dry run could not be removed");
        }
    }
}

/// The source; of a folder, one for each file that waits, as it stands: a source offers its first unit until that is
/// finished, and a dry run finishes none.
fn sources(
    config: &SourceConfig,
    columns: &[String],
    (state_dir, scratch): (&Path, &Path),
    surroundings: &Surroundings,
) -> Result<Vec<Box<dyn Source>>, Error> {
    let open = |config: &SourceConfig| source::open(config, columns, state_dir, surroundings).map_err(Error::from);
    let file = match config.kind()? {
        Kind::File(file) => file,
        // What is posted comes to a running adapter alone: a dry run has nothing to read.
        Kind::Push(_) => return Ok(Vec::new()),
        // What is pulled for a dry run goes with it.
        Kind::Rest(_) => return Ok(vec![source::open(config, columns, scratch, surroundings)?]),
        Kind::Sql(_) | Kind::Odbc(_) => return Ok(vec![open(config)?]),
    };
    let names = waiting_names(file).map_err(|cause| {
        let source_name = config.name.clone();
        source::Error { source_name, what: "listing the folder", cause }
    })?;
    let alone = |name| {
        let file = FileConfig { pattern: name, settle_ms: 0, ..file.clone() };
        open(&SourceConfig { file: Some(file), ..config.clone() })
    };
    names.into_iter().map(alone).collect()
}

async fn rows(
    source: &dyn Source,
    unit: &Unit,
    mapper: &Mapper,
    of: &RecordType,
    now_second: i64,
    report: &mut FileReport,
) -> Result<(), RowsError> {
    let mut rows = source.rows(unit, mapper.columns()).await?;
    let mut changes = Changes::default();
    while let Some(item) = rows.next().await? {
        report.rows += u64::from(!matches!(item, Item::Note(_)));
        match item {
            Item::Bad(problem) | Item::Note(problem) => report.problems.push(problem.in_file(&unit.name)),
            Item::Row(row) if !mapper.is_record(&row) => report.skipped += 1,
            Item::Row(row) => match mapper.map(&row) {
                Ok(mapped) => {
                    report.mapped += 1;
                    changes.add(mapped.line, &mapped.changed);
                    let problems = content_problems(of, &mapped, now_second);
                    report.valid += u64::from(problems.iter().all(|problem| problem.note));
                    report.problems.extend(problems.into_iter().map(|problem| problem.in_file(&unit.name)));
                }
                Err(problems) => {
                    report.problems.extend(problems.into_iter().map(|problem| problem.in_file(&unit.name)))
                }
            },
        }
    }
    report.problems.extend(changes.notes().into_iter().map(|note| note.in_file(&unit.name)));
    Ok(())
}

/// What the hub's door would say of the content of a row, as its first versions. Warnings come as notes.
pub fn content_problems(of: &RecordType, mapped: &Mapped, now_second: i64) -> Vec<RowProblem> {
    let line = mapped.line;
    let steps = match change::steps(None, mapped.draft.intent, |_| true) {
        Ok(steps) => steps,
        Err(reason) => return vec![RowProblem::new(line, "", reason)],
    };
    let mut found = BTreeMap::new();
    for step in steps {
        let payload = sample_payload(of, mapped, step.event, step.state.status, now_second);
        for problem in of.check_content(&payload, step.event) {
            let mut row = RowProblem::new(line, problem.pointer.clone(), Reason::Rejected);
            row.note = problem.warning;
            row.zh = format!("[{}] {}", problem.reason, problem.zh);
            row.en = format!("[{}] {}", problem.reason, problem.en);
            found.entry((problem.pointer, problem.reason.as_str(), problem.rule)).or_insert(row);
        }
    }
    found.into_values().collect()
}

fn sample_payload(of: &RecordType, mapped: &Mapped, event: Event, status: Status, iat: i64) -> serde_json::Value {
    let mut payload = sealing::payload(&mapped.draft, status);
    let name = &of.definition.name;
    payload["iss"] = "https://hub.example/departments/dry-run".into();
    payload["iat"] = iat.into();
    payload["vct"] = of.vct("hub.example").into();
    payload["record"]["id"] = format!("{name}.dry-run.{}", "a".repeat(26)).into();
    payload["record"]["version"] = 1.into();
    payload["event"] = event.as_str().into();
    payload
}

/// Closes the open problems of a source whose record cannot be told, of one unit or of all, also while the adapter runs.
/// Tells how many those were.
///
/// # Errors
/// There is no source of that name, or the state cannot be written.
pub async fn close_problems(
    config: &Config,
    source: &str,
    file: Option<&str>,
    surroundings: &Surroundings,
) -> Result<u64, Error> {
    if !config.sources.iter().any(|known| known.name == source) {
        return Err(Error::NoSource(source.to_owned()));
    }
    let directory = Directory::new(&config.state_dir);
    let key = directory.spool_key()?;
    let spool = Spool::beside(&directory.spool(), &key, surroundings.chance.clone()).await?;
    let closed = spool.close_nameless(source, file, surroundings.clock.now().as_millisecond()).await?;
    spool.close().await;
    Ok(closed)
}

/// The open problems of an adapter's state, also while it runs.
///
/// # Errors
/// There is no state in `directory`, or it cannot be read.
pub async fn problems(directory: &Directory, chance: Arc<dyn Chance>) -> Result<Vec<ProblemRow>, Error> {
    let key = directory.spool_key()?;
    let spool = Spool::look(&directory.spool(), &key, chance).await?;
    let problems = spool.problems(None).await?;
    spool.close().await;
    Ok(problems)
}
