//! `weft adapter init`: a configuration from samples and sources.

mod questions;
mod told;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use weft_adapter::{
    Surroundings,
    clock::{Clock, SystemClock},
    init::{
        Address, Error, FilePlace, Options, Place, Proposal, Sample, Settings, SourceText, Wish, is_sqlite, propose,
        read, write,
    },
};
use weft_record::catalogue::Catalogue;

use crate::{
    failure::{Failure, chain},
    report::Report,
};
use questions::Questions;
use told::told;

/// What `init` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Exports as the department's system writes them, each in the folder that is to be watched (CSV, XLSX, XLS, JSON); a
    /// file of SQLite; or an address: `postgres://USER@HOST:PORT/DATABASE`, `mysql://…`, `odbc:DRIVER;server=…;user=…`,
    /// `https://…`
    #[arg(required = true, value_name = "SAMPLE")]
    samples: Vec<String>,
    /// The configuration to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE", default_value = "adapter.toml")]
    to: PathBuf,
    /// The record type of all samples; found by itself without it
    #[arg(long, value_name = "TYPE")]
    record_type: Option<String>,
    /// The department's code at the hub; that of the record type's usual department without it
    #[arg(long, value_name = "CODE")]
    department: Option<String>,
    /// The adapter's name within the department
    #[arg(long, default_value = "main")]
    name: String,
    /// The hub's API endpoints
    #[arg(long, value_name = "URL", default_value = "https://localhost:7443")]
    hub: Vec<String>,
    /// Where identity, keys and spool are kept
    #[arg(long, value_name = "DIR", default_value = "state")]
    state_dir: String,
    /// The issuing authority's name, where no column has it
    #[arg(long, value_name = "NAME")]
    authority: Option<String>,
    /// The issuing authority's unified social credit code, where no column has it
    #[arg(long, value_name = "CODE")]
    authority_code: Option<String>,
    #[command(flatten)]
    way: Way,
    /// Take what is proposed, ask nothing
    #[arg(long)]
    yes: bool,
}

/// The way into a database or interface.
#[derive(Debug, clap::Args)]
struct Way {
    /// The table or view of a database, each a source; without it the one that looks most like records
    #[arg(long, value_name = "NAME")]
    table: Vec<String>,
    /// The schema of its tables and views; all that the account sees without it
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// A file with the database account's password, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// How the connection to a database is protected: `verify`, `encrypt`, `off`
    #[arg(long, value_name = "HOW", value_parser = ["verify", "encrypt", "off"])]
    tls: Option<String>,
    /// Certificates (PEM) of the authority that vouches for the server
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How text comes from an ODBC driver: `wide`, `utf8`, `gbk`
    #[arg(long, value_name = "HOW", value_parser = ["wide", "utf8", "gbk"])]
    encoding: Option<String>,
    /// The helper for ODBC; `weft-odbc` beside `weft` without it
    #[arg(long, value_name = "FILE")]
    helper: Option<PathBuf>,
    /// Addresses and networks at which an interface may be asked
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,
    /// A file with the interface's secret, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The header that carries the secret; `Authorization: Bearer …` without it
    #[arg(long, value_name = "NAME")]
    secret_header: Option<String>,
}

impl Way {
    fn options(&self) -> Options {
        Options {
            schema: self.schema.clone(),
            tables: self.table.clone(),
            password_file: self.password_file.clone(),
            tls: self.tls.clone(),
            ca_file: self.ca_file.clone(),
            encoding: self.encoding.clone(),
            helper: self.helper.clone(),
            allow: self.allow.clone(),
            secret_file: self.secret_file.clone(),
            secret_header: self.secret_header.clone(),
        }
    }
}

/// A source as it is written, and what else there was to take.
struct Taken {
    name: String,
    kind: String,
    proposal: Proposal,
    part: Option<String>,
    /// Other sheets or tables, and what they look like.
    others: Vec<(String, String)>,
}

/// A sample, and what it may be.
struct Likely {
    sample: Sample,
    proposals: Vec<Proposal>,
}

impl Likely {
    fn part(&self) -> String {
        self.sample.place.part().unwrap_or(&self.sample.table.name).to_owned()
    }
}

impl InitArgs {
    pub(super) async fn run(self) -> Result<Report, Failure> {
        if self.to.exists() {
            let failure =
                Failure::usage("配置文件已存在，未覆盖", "the configuration exists already and is not overwritten");
            return Err(failure.because(self.to.display()));
        }
        if !self.yes && !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "没有终端可提问；请加 --yes 直接采用建议",
                "there is no terminal to ask on; take what is proposed with --yes",
            ));
        }
        let catalogue = Catalogue::builtin()
            .map_err(|error| Failure::usage("目录无法使用", "the catalogue cannot be used").caused_by(&error))?;
        let mut sources: Vec<Taken> = Vec::new();
        for sample in &self.samples {
            let found = self.look(sample).await?;
            for mut taken in self.decide(sample, found, &catalogue)? {
                let of_type = &taken.proposal.record_type;
                let twice = sources.iter().filter(|source| source.proposal.record_type == *of_type).count();
                taken.name = if twice == 0 { of_type.clone() } else { format!("{of_type}-{}", twice + 1) };
                sources.push(taken);
            }
        }
        let department =
            self.department.clone().or_else(|| sources.first().map(|source| source.proposal.department.clone()));
        let settings = Settings {
            department: department.unwrap_or_default(),
            name: self.name.clone(),
            state_dir: self.state_dir.clone(),
            hub: self.hub.clone(),
        };
        let texts = sources.iter().map(|taken| SourceText {
            name: taken.name.clone(),
            kind: taken.kind.clone(),
            proposal: taken.proposal.clone(),
        });
        save(&self.to, &write(&settings, &texts.collect::<Vec<_>>()))?;
        Ok(told(&self.to, &settings, &sources))
    }

    /// What is pointed at: the tables of a file, a database or an interface.
    async fn look(&self, sample: &str) -> Result<Vec<Sample>, Failure> {
        let options = self.way.options();
        let failed = |error: Error| unreadable(sample, &error);
        let path = Path::new(sample);
        let address = match Address::parse(sample, &options).map_err(failed)? {
            None if is_sqlite(path).map_err(|error| failed(error.into()))? => {
                Some(Address::sqlite(path, &options).map_err(failed)?)
            }
            address => address,
        };
        let mut samples = match address {
            Some(address) => address.samples(&options).await.map_err(failed)?,
            None => read(path, &Surroundings::system().helper).map_err(failed)?,
        };
        for sample in &mut samples {
            match &mut sample.place {
                Place::File(file) => self.folder(path, file)?,
                place => place.relocate(|path| self.seen(path).unwrap_or_else(|_| path.to_owned())),
            }
        }
        Ok(samples)
    }

    /// Which of the tables are taken, and as what.
    fn decide(&self, name: &str, samples: Vec<Sample>, catalogue: &Catalogue) -> Result<Vec<Taken>, Failure> {
        let wish = Wish {
            record_type: self.record_type.clone(),
            authority: self.authority.clone(),
            authority_code: self.authority_code.clone(),
            now_second: SystemClock.now().as_second(),
            ..Wish::default()
        };
        let likely = |sample: Sample| {
            let proposals = propose(&sample.table, catalogue, &wish);
            (!proposals.is_empty()).then_some(Likely { sample, proposals })
        };
        let mut all: Vec<Likely> = samples.into_iter().filter_map(likely).collect();
        all.sort_by(|a, b| b.proposals[0].score.total_cmp(&a.proposals[0].score));
        if all.is_empty() {
            let failure = Failure::problems(
                "样例不像任何一种证照；可用 --record-type 指定",
                "the sample looks like no record type; name one with --record-type",
            );
            return Err(failure.because(name));
        }
        let unanswered = |error: std::io::Error| {
            let (zh, en) = ("提问没有得到回答，未写入任何文件", "a question was not answered, and nothing was written");
            Failure::usage(zh, en).caused_by(&error)
        };
        let mut questions = Questions::new(std::io::stdin().lock(), std::io::stderr());
        let taken = match all.len() {
            _ if !self.way.table.is_empty() => all.len(),
            1 => 1,
            _ if self.yes => 1,
            _ => {
                let at = questions.table(&all).map_err(unanswered)?;
                all.swap(0, at);
                1
            }
        };
        let others = all.split_off(taken);
        let others: Vec<_> = others.iter().map(|other| (other.part(), other.proposals[0].title.clone())).collect();
        let mut sources = Vec::new();
        for Likely { sample, mut proposals } in all {
            let proposal = if self.yes {
                proposals.swap_remove(0)
            } else {
                questions.settle(&sample.table, proposals, &wish, catalogue).map_err(unanswered)?
            };
            let kind = sample.place.lines(&sample.table, &proposal);
            let part = sample.place.part().map(str::to_owned);
            sources.push(Taken { name: String::new(), kind, proposal, part, others: others.clone() });
        }
        Ok(sources)
    }

    /// The sample's own folder, and files of names like its.
    fn folder(&self, sample: &Path, file: &mut FilePlace) -> Result<(), Failure> {
        let whole =
            std::path::absolute(sample).map_err(|error| unreadable(&sample.to_string_lossy(), &error.into()))?;
        let folder = self.seen(whole.parent().unwrap_or(Path::new(".")))?;
        file.folder = folder.to_string_lossy().into_owned();
        file.pattern = pattern(&whole.file_name().map(|name| name.to_string_lossy()).unwrap_or_default());
        Ok(())
    }

    /// A path as seen from the configuration's folder, from which it is read.
    fn seen(&self, path: &Path) -> Result<PathBuf, Failure> {
        let absolute =
            |path: &Path| std::path::absolute(path).map_err(|error| unreadable(&path.to_string_lossy(), &error.into()));
        let (whole, to) = (absolute(path)?, absolute(&self.to)?);
        Ok(match to.parent().and_then(|base| whole.strip_prefix(base).ok()) {
            Some(inside) if inside.as_os_str().is_empty() => PathBuf::from("."),
            Some(inside) => inside.to_owned(),
            None => whole,
        })
    }
}

/// Names like this one: runs of digits differ from export to export.
fn pattern(name: &str) -> String {
    let (stem, end) = name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    let mut out = String::new();
    for c in stem.chars() {
        match c {
            c if c.is_ascii_digit() && out.ends_with('*') => {}
            c if c.is_ascii_digit() => out.push('*'),
            c => out.push(c),
        }
    }
    if !out.contains('*') {
        out.push('*');
    }
    out + &end
}

fn unreadable(sample: &str, error: &Error) -> Failure {
    let (zh, en) = error.told();
    match error {
        // An address that is refused may hold what nobody else is to see.
        Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidInput => Failure::usage(&zh, &en).because(cause),
        _ => Failure::usage(&zh, &en).because(format!("{sample}: {}", chain(error))),
    }
}

/// Written whole or not at all, and never over another.
fn save(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage("配置无法写入", "the configuration cannot be written")
            .because(format!("{}: {error}", path.display()))
    };
    let mut file = std::fs::File::options().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_holds_the_next_export_too() {
        for (name, expected) in [
            ("营业执照-20261030.csv", "营业执照-*.csv"),
            ("export.csv", "export*.csv"),
            ("2026年10月.xlsx", "*年*月.xlsx"),
            ("dump", "dump*"),
        ] {
            assert_eq!(pattern(name), expected);
        }
    }
}
