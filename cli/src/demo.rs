//! `weft demo`: a hall at work on one machine, with real sockets, real adapters on the sample exports, and a window that settles a
//! case without paper.
//!
//! | module | what it does |
//! |---|---|
//! | `hall` | an embedded hub with its operators |
//! | `departments` | what each department publishes, and how its records come to its adapter |
//! | `supply` | samples are put where sources look: folders, a database, a service |
//! | `publish`, `post` | a department publishes; its system posts to its adapter |
//! | `story` | departments publish, a window asks |
//! | `told` | what is printed |

mod departments;
mod hall;
mod post;
mod publish;
mod story;
mod supply;
mod told;

use std::path::PathBuf;

use crate::{
    failure::Failure,
    report::{Code, Format, Report},
    stop,
};
use hall::Hall;

/// `weft demo`
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Run the story once and exit: 0 only if every step held
    #[arg(long)]
    once: bool,
    /// Where the hall is kept; absent means a folder that is removed at the end
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// A folder with sample exports to take instead of the built-in ones: edit a cell, and see the answer change
    #[arg(long, value_name = "FOLDER")]
    samples: Option<PathBuf>,
    /// Write the built-in sample exports into a folder, and do nothing else
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["once", "dir", "samples"])]
    export_samples: Option<PathBuf>,
    /// The console's port; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    console_port: u16,
}

impl DemoArgs {
    /// Runs the story; without `--once` the hall then stays open until it is stopped.
    pub(crate) async fn run(self, format: Format) -> Result<Report, Failure> {
        if let Some(folder) = &self.export_samples {
            story::export_samples(folder)?;
            return Ok(Report::text(format!("{}\n", folder.display())));
        }
        let stop = stop::on_signal()?;
        let kept = match &self.dir {
            Some(dir) => Kept::Named(dir.clone()),
            None => Kept::Temporary(tempfile::tempdir().map_err(|error| unusable(&error))?),
        };
        let port = if self.once { 0 } else { self.console_port };
        let mut hall = Hall::open(kept.path(), port).await?;
        let progress = told::Bars::new(!self.once || format == Format::Table);
        let summary = story::run(&mut hall, self.samples.as_deref(), &progress).await;
        progress.clear();
        let summary = match summary {
            Ok(summary) => summary,
            Err(failure) => {
                hall.close().await?;
                return Err(failure);
            }
        };
        let code = if summary.held() { Code::Done } else { Code::Problems };
        let report = Report::both(told::table(&summary, &hall, self.once), told::json(&summary)).with_code(code);
        if !self.once {
            report.print(format);
            hall.until(&stop).await?;
            return Ok(Report::nothing());
        }
        hall.close().await?;
        Ok(report)
    }
}

/// The hall's folder.
enum Kept {
    Named(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Kept {
    fn path(&self) -> &std::path::Path {
        match self {
            Self::Named(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Failure {
    Failure::usage("演示无法进行", "the demo cannot go on").because(error)
}
