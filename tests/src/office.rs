//! A department with a real adapter in a process of its own: it takes CSV files from a folder that keeps growing, food
//! business licences in them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write as _},
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Surroundings, keys::Directory};

use crate::{
    department::{confirm, synthetic_uscc},
    hub::TestHub,
    process::{Launch, Process},
};

/// The department's code.
pub const OFFICE: &str = "approval-office";
/// The record type that it publishes.
pub const OFFICE_TYPE: &str = "food-business-licence";
const ADAPTER: &str = "counter";
/// How often a file is dropped.
const EVERY: Duration = Duration::from_millis(500);
/// Rows of a file. The first half is of licences that the file before had as new, now for other premises.
const ROWS: u32 = 20;
const NEW: u32 = ROWS / 2;

/// Synthetic serials of one division and kind.
const SERIALS: usize = 10_000;
/// Of Zibo; Gaoqing first.
const DIVISIONS: [u32; 8] = [370322, 370302, 370303, 370304, 370305, 370306, 370321, 370323];
/// A licence beyond those divisions is of another one of the province: so many numbers there are in all.
pub const LICENCES: u32 = 4_000_000;
/// The digit that a number begins with, and what it says.
const KINDS: [(char, &str); 3] = [('2', "餐饮服务经营者"), ('1', "食品销售经营者"), ('3', "单位食堂")];
/// So many synthetic bodies there are; beyond them one holds several licences.
const USCCS: u32 = 31_000;

const HEADINGS: &str = "许可证编号,经营者名称,社会信用代码(身份证号码),法定代表人(负责人),住所,经营场所,主体业态,经营项目,\
    经营者类别,证件状态,发证日期,有效期起,有效期至,发证机关,日常监督管理机构,更新时间";

/// The adapter's folder, joined to a hub; nothing runs yet.
#[derive(Clone, Debug)]
pub struct Office {
    folder: PathBuf,
}

impl Office {
    /// Registers the department, joins its adapter and has its key confirmed.
    pub async fn join(hub: &TestHub, folder: &Path) -> Self {
        let folder = folder.join("office");
        fs::create_dir_all(folder.join("drop")).expect("the adapter's folders");
        hub.register(OFFICE, &[OFFICE_TYPE], true).await;
        let token = hub.join_token(&format!("department/{OFFICE}/adapter/{ADAPTER}")).await;
        let directory = Directory::new(folder.join("state"));
        let joined = weft_adapter::join(&here(&token, hub.enrolment), &directory, &Surroundings::system()).await;
        confirm(hub, OFFICE, &joined.expect("the adapter joins").fingerprint).await.expect("its key is confirmed");
        Self { folder }
    }

    /// Starts `weft-test-adapter` at `program`, for the hub at `hub`.
    #[must_use]
    pub fn start(&self, program: &Path, hub: SocketAddr) -> Process {
        Launch::new("adapter", &self.folder, program).arg(self.configure(hub)).start()
    }

    /// The same under `strace`, which makes every sync from the `nth` on fail with EIO.
    #[must_use]
    pub fn start_with_failing_syncs(&self, program: &Path, hub: SocketAddr, nth: u32) -> Process {
        let inject = format!("inject=fdatasync,fsync:error=EIO:when={nth}+");
        let quiet = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject, "--"];
        Launch::new("traced", &self.folder, "strace").args(quiet).arg(program).arg(self.configure(hub)).start()
    }

    /// Runs the adapter in this process, for the hub at `hub`, until `stop`.
    #[must_use]
    pub fn run(
        &self,
        hub: SocketAddr,
        surroundings: Surroundings,
        stop: CancellationToken,
    ) -> JoinHandle<Result<(), weft_adapter::runner::Error>> {
        self.run_with(hub, |_| {}, surroundings, stop)
    }

    /// What it runs with for the hub at `hub`, changed.
    ///
    /// # Panics
    /// The configuration cannot be read.
    #[must_use]
    pub fn config(&self, hub: SocketAddr, change: fn(&mut Config)) -> Config {
        let mut config = Config::load(&self.configure(hub)).expect("the configuration is read");
        change(&mut config);
        config
    }

    /// Runs the adapter in this process with a changed configuration, until `stop`.
    #[must_use]
    pub fn run_with(
        &self,
        hub: SocketAddr,
        change: fn(&mut Config),
        surroundings: Surroundings,
        stop: CancellationToken,
    ) -> JoinHandle<Result<(), weft_adapter::runner::Error>> {
        tokio::spawn(weft_adapter::run(self.config(hub, change), surroundings, stop))
    }

    fn configure(&self, hub: SocketAddr) -> PathBuf {
        let config = self.folder.join("adapter.toml");
        fs::write(&config, configuration(hub)).expect("the configuration is written");
        config
    }

    /// What the adapter keeps.
    #[must_use]
    pub fn state(&self) -> Directory {
        Directory::new(self.folder.join("state"))
    }

    /// The department's own side: what it exports.
    #[must_use]
    pub fn dropped(&self) -> PathBuf {
        self.folder.join("drop")
    }

    /// Drops one of the files that [`Office::export`] drops one after another, by its number.
    pub fn drop_file(&self, number: u32) {
        drop_file(&self.dropped(), number);
    }

    /// Drops `name` with a row for each of these licences; `number` says which premises they name, and when.
    pub fn drop_rows(&self, name: &str, licences: Range<u32>, number: u32) {
        drop_rows(&self.dropped(), name, licences, number);
    }

    /// Drops files until [`Exports::stop`].
    #[must_use]
    pub fn export(&self) -> Exports {
        let (stop, folder) = (CancellationToken::new(), self.dropped());
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0.. {
                tokio::select! {
                    () = stopping.cancelled() => return number,
                    _ = tick.tick() => drop_file(&folder, number),
                }
            }
            unreachable!("there are numbers enough")
        });
        Exports { stop, task }
    }
}

/// Files being dropped.
#[derive(Debug)]
pub struct Exports {
    stop: CancellationToken,
    task: JoinHandle<u32>,
}

impl Exports {
    /// Ends it and says how many versions how many records must have: versions → records.
    ///
    /// # Panics
    /// When a file could not be written.
    pub async fn stop(self) -> BTreeMap<usize, usize> {
        self.stop.cancel();
        exported(self.task.await.expect("files are dropped"))
    }
}

/// How many versions how many records have after the first `files` files: versions → records.
#[must_use]
pub fn exported(files: u32) -> BTreeMap<usize, usize> {
    let new = NEW as usize;
    let twice = (files as usize).saturating_sub(1) * new;
    BTreeMap::from([(1, 2 * new), (2, twice)]).into_iter().filter(|(_, records)| *records > 0).collect()
}

/// What the rows of a file say of their holders, as [`Office::drop_file`] writes it.
#[must_use]
pub fn said(number: u32) -> Vec<String> {
    let first = number * NEW;
    let of = |licence: u32| {
        let place = format!("山东省淄博市高青县示例路{}号", number + 1);
        [format!("高青示例{licence}餐饮店"), synthetic_uscc(licence), licence_number(licence), place]
    };
    (first..first + ROWS).flat_map(of).collect()
}

/// The token, with the enrolment listener's address as it is here.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn here(token: &str, enrolment: SocketAddr) -> String {
    let body = token.strip_prefix("weft-join.").expect("a join token");
    let body = URL_SAFE_NO_PAD.decode(body).expect("base64url");
    let mut body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    body["enrolment"] = format!("https://localhost:{}", enrolment.port()).into();
    format!("weft-join.{}", URL_SAFE_NO_PAD.encode(body.to_string()))
}

/// The configuration that comes with Weft, cut down to food business licences and made quick.
fn configuration(hub: SocketAddr) -> String {
    let shipped = include_str!("../../adapters/departments/market-regulation.toml");
    let mut config: toml::Table = shipped.parse().expect("the configuration is TOML");
    config.insert("department".into(), OFFICE.into());
    config.insert("name".into(), ADAPTER.into());
    config.insert("state_dir".into(), "state".into());
    config.insert("hub".into(), vec![format!("https://localhost:{}", hub.port())].into());
    let sources = config["source"].as_array_mut().expect("sources");
    sources.retain(|source| source["mapping"]["record_type"].as_str() == Some(OFFICE_TYPE));
    let source = sources[0].as_table_mut().expect("a source");
    source.insert("poll_ms".into(), 50.into());
    let file = source["file"].as_table_mut().expect("a folder");
    file.insert("folder".into(), "drop".into());
    file.insert("settle_ms".into(), 50.into());
    config.to_string()
}

/// Drops a file of 20 licences by its number. Whole or not at all: its name ends otherwise until it is.
///
/// # Panics
/// When it cannot be written.
pub fn drop_file(folder: &Path, number: u32) {
    let first = number * NEW;
    drop_rows(folder, &format!("{number:05}.csv"), first..first + ROWS, number);
}

/// A file whole or not at all: its name ends otherwise until it is.
fn drop_rows(folder: &Path, name: &str, licences: Range<u32>, number: u32) {
    let (draft, name) = (folder.join(format!("{name}.tmp")), folder.join(name));
    let mut file = BufWriter::new(File::create(&draft).expect("a file is made"));
    writeln!(file, "{HEADINGS}").expect("a heading is written");
    for licence in licences {
        file.write_all(row(licence, number).as_bytes()).expect("a row is written");
    }
    file.flush().expect("a file is written");
    fs::rename(draft, name).expect("a file is dropped");
}

fn row(licence: u32, file: u32) -> String {
    format!("{}\n", cells(licence, file).join(","))
}

/// The names of the columns, as the department writes them.
#[must_use]
pub fn headings() -> Vec<&'static str> {
    HEADINGS.split(',').collect()
}

/// What stands under [`headings`] for a licence; `number` says which premises it names, and when.
#[must_use]
pub fn cells(licence: u32, number: u32) -> [String; 16] {
    let (_, (_, kind)) = issued(licence);
    let (place, hour, minute, second) = (number + 1, number / 3600, number / 60 % 60, number % 60);
    [
        licence_number(licence),
        format!("高青示例{licence}餐饮店"),
        synthetic_uscc(licence % USCCS),
        "王示例".into(),
        "山东省淄博市高青县示例路1号".into(),
        format!("山东省淄博市高青县示例路{place}号"),
        kind.into(),
        "热食类食品制售".into(),
        "企业".into(),
        "有效".into(),
        "2024年7月29日".into(),
        "2024年7月29日".into(),
        "2029年7月28日".into(),
        "高青县市场监督管理局".into(),
        "高青县市场监督管理局田镇所".into(),
        format!("2026/10/30 {hour:02}:{minute:02}:{second:02}"),
    ]
}

/// Division and kind.
fn issued(licence: u32) -> (u32, (char, &'static str)) {
    let nth = licence as usize / SERIALS;
    if let Some(kind) = KINDS.get(nth / DIVISIONS.len()) {
        return (DIVISIONS[nth % DIVISIONS.len()], *kind);
    }
    let (more, kind) = ((licence / SERIALS as u32 - 24) / 3, KINDS[nth % KINDS.len()]);
    // Cities from Dongying on, with more districts than any has.
    (370_500 + more / 99 * 100 + more % 99 + 1, kind)
}

/// The number of a synthetic licence (serials 99 and four digits of each division and kind), its check digit by ISO 7064 MOD 11,10.
///
/// # Panics
/// When `licence` is not below [`LICENCES`].
#[must_use]
pub fn licence_number(licence: u32) -> String {
    assert!(licence < LICENCES, "there are no more numbers");
    let ((division, (kind, _)), serial) = (issued(licence), licence as usize % SERIALS);
    let digits = format!("{kind}{division}99{serial:04}");
    let product = digits.bytes().fold(10, |product, digit| {
        let sum = (product + u32::from(digit - b'0')) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    format!("JY{digits}{}", (11 - product) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_numbers_have_the_check_digit_of_the_samples() {
        assert_eq!(licence_number(1000), "JY23703229910008");
        assert_eq!(licence_number(1001), "JY23703229910016");
        // One of each division and kind.
        let mut numbers: Vec<String> = (0..LICENCES).step_by(SERIALS).map(licence_number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), LICENCES as usize / SERIALS, "no two are the same");
    }
}
