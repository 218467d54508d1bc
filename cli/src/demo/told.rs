//! What the demo prints while it works and at its end.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use weft_adapter::{runner::Progress, settle::Tally, source::SourceState};

use super::{
    hall::Hall,
    story::{ITEM, Summary, window_folder},
};

/// Problems shown of each department.
const SHOWN: usize = 3;

/// Progress bars on standard error; none where nobody watches.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
}

impl Bars {
    pub(super) fn new(shown: bool) -> Self {
        let all = MultiProgress::new();
        if !shown {
            all.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { all }
    }

    /// A department's bar.
    pub(super) fn department(&self, name: &str) -> Arc<dyn Progress> {
        let bar = self.all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Arc::new(Bar(bar))
    }

    /// The window's progress.
    pub(super) fn looking(&self, at: usize, of: usize) {
        if at == 1 {
            // Where nobody watches, or the terminal is gone, there is nothing to tell.
            let _ = self.all.println(format!("综合受理窗口 window: {of} looks"));
        }
    }

    /// Takes the bars away.
    pub(super) fn clear(&self) {
        // As above.
        let _ = self.all.clear();
    }
}

#[derive(Debug)]
struct Bar(ProgressBar);

impl Progress for Bar {
    fn read(&self, _source: &str, unit: &str, rows: u64, mapped: u64) {
        self.0.set_message(format!("{unit}: {rows} rows, {mapped} mapped"));
    }

    fn state(&self, source: &str, state: &SourceState) {
        if let SourceState::Stopped { reason, detail } = state {
            self.0.set_message(format!("{source}: {reason}: {detail}"));
        }
    }

    fn answered(&self, tally: Tally) {
        self.0.set_message(format!("{} receipts, {} indexed", tally.published, tally.indexed));
    }
}

/// The stable JSON: `published` receipts, `quarantined` at the door and at apply, `indexed` outcomes, `problems` rows not mapped.
pub(super) fn json(summary: &Summary) -> Value {
    let sum = |of: fn(&weft_adapter::Summary) -> u64| summary.departments.iter().map(|(_, ran)| of(ran)).sum::<u64>();
    json!({
        "published": sum(|ran| ran.published),
        "quarantined": sum(|ran| ran.rejected + ran.quarantined),
        "indexed": sum(|ran| ran.indexed),
        "problems": sum(|ran| ran.rows - ran.mapped.min(ran.rows)),
        "answers": summary.answers.iter().map(|answer| answer.json().clone()).collect::<Vec<_>>(),
        "ledger_entries": summary.status.ledger_entries,
        "elapsed_ms": u64::try_from(summary.elapsed_ms).unwrap_or(u64::MAX),
        "departments": summary.departments.iter().map(|(department, ran)| json!({
            "department": department.code,
            "source": department.kind,
            "rows": ran.rows,
            "mapped": ran.mapped,
            "published": ran.published,
            "rejected": ran.rejected,
            "indexed": ran.indexed,
            "reasons": reasons(ran),
        })).collect::<Vec<_>>(),
    })
}

fn reasons(ran: &weft_adapter::Summary) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for problem in &ran.problems {
        *reasons.entry(problem.problem.reason.to_string()).or_default() += 1;
    }
    reasons
}

/// For people.
pub(super) fn table(summary: &Summary, hall: &Hall, once: bool) -> String {
    let mut text = String::from("\n一个大厅，六个部门，一个窗口 / one hall, six departments, one window\n\n");
    for (department, ran) in &summary.departments {
        let refused = ran.rejected + ran.quarantined;
        let unmapped = ran.rows - ran.mapped.min(ran.rows);
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "  {} {} ({}): {} rows, {} published, {} indexed, {refused} quarantined, {unmapped} not mapped",
            department.zh, department.code, department.kind, ran.rows, ran.published, ran.indexed
        );
        // What was merely noted, such as blanks that were trimmed, is counted with the reasons.
        let mut wrong = ran.problems.iter().filter(|problem| !problem.problem.note);
        for problem in wrong.by_ref().take(SHOWN) {
            let _ = writeln!(
                text,
                "      {}:{}  {}  {}",
                problem.problem.file, problem.problem.line, problem.problem.reason, problem.problem.zh
            );
        }
        let more = wrong.count();
        if more > 0 {
            let _ = writeln!(text, "      … {more} more: {:?}", reasons(ran));
        }
    }
    if let Some(answer) = summary.answers.first() {
        let _ =
            write!(text, "\n窗口核验 / the window's answer (1 of {}):\n\n{}", summary.answers.len(), answer.table());
    }
    let _ = writeln!(text, "\n  台账 ledger entries: {}", summary.status.ledger_entries);
    let _ = writeln!(
        text,
        "  {} ms{}",
        summary.elapsed_ms,
        if summary.held() { "" } else { "  — 有步骤未通过 / a step did not hold" }
    );
    text.push_str(&next(summary, hall, once));
    text
}

fn next(summary: &Summary, hall: &Hall, once: bool) -> String {
    if once {
        return "\n接下来 / next\n  改一个单元格，再看答复 / edit a cell, and see the answer change:\n    \
                weft demo --export-samples samples\n    weft demo --once --samples samples\n"
            .into();
    }
    let window = window_folder(hall);
    let window = window.display();
    let taken = if hall.another_port { " (the usual port was taken)" } else { "" };
    let holder = summary.answers.first().and_then(|answer| {
        let holder = &answer.json()["holders"][0];
        Some(format!("{}:{}", holder["scheme"].as_str()?, holder["value"].as_str()?))
    });
    format!(
        "\n大厅保持运行，按 Ctrl-C 结束 / the hall stays open until Ctrl-C{taken}\n  \
         控制台 console: {console}/readyz  {console}/metrics  {console}/errors\n  \
         再查一次，另存答复 / look again, and keep the answer:\n    \
         weft query holder --hub https://localhost:{port} --certificate {window}/window.crt.pem \\\n      \
         --key {window}/window.key.pem --ca {window}/ca.pem --console {console} \\\n      \
         --type business-licence --holder {holder} --case GQ-2026-000099 \\\n      \
         --item {item} --role applicant --purpose 核验 --clerk 001 --save answer\n  \
         离线核验 / verify it offline:\n    \
         curl -s {console}/.well-known/jwt-vc-issuer/departments/market-regulation > keys.json\n    \
         weft verify answer --keys keys.json\n  \
         （weft 即 target/release/weft / weft is target/release/weft）\n",
        console = hall.console_url(),
        port = hall.api.port(),
        holder = holder.unwrap_or_default(),
        item = ITEM,
    )
}
