//! What a comparison found, as it is kept and told.

use serde::{Deserialize, Serialize};

use super::sides::Side;
use crate::spool::{self, Spool};

const FACT: &str = "comparison";

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The hub does not have it, or not its last version.
    Missing,
    /// The hub has it, and nothing is known of it here.
    Extra,
    /// The hub has another content, or a higher version.
    Different,
}

impl Difference {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Missing, Self::Extra, Self::Different]
            .into_iter()
            .find(|one| serde_json::to_value(one).is_ok_and(|name| name == text))
    }
}

/// One record that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The record.
    pub record_id: String,
    /// What is wrong.
    pub difference: Difference,
    /// Its highest version here; 0 for none.
    pub here: u64,
    /// And at the hub.
    pub hub: u64,
    /// Its natural key, `****` for what is not public; empty where no row speaks for it.
    #[serde(default)]
    pub key: String,
    /// Source, file and line of that row.
    #[serde(default)]
    pub from: String,
    /// Whether it stands among the problems already: the hub refused it, or its row vanished.
    #[serde(default)]
    pub told: bool,
}

impl Named {
    pub(super) fn of(side: &Side, difference: Difference, told: bool) -> Self {
        let (record_id, here, hub) = (side.record_id.clone(), side.here_version, side.head.version);
        Self { record_id, difference, here, hub, key: String::new(), from: String::new(), told }
    }
}

/// What stood for a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The source itself, read anew as a whole.
    Source,
    /// What is still kept of it, or what it gives of itself; for the rest, what was published.
    Kept,
    /// What was published, as this state knows it.
    #[default]
    Published,
}

impl Basis {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Kept => "kept",
            Self::Published => "published",
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Source => ("重新读取", "read anew"),
            Self::Kept => {
                ("重新读取留存部分，其余按已发布状态", "read anew as far as it is kept, the rest as published")
            }
            Self::Published => ("按已发布状态", "as published"),
        }
    }
}

/// What was compared of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The source.
    pub source: String,
    /// What stood for it.
    pub basis: Basis,
    /// Rows read anew.
    pub rows: u64,
    /// Of those, rows whose record cannot be told.
    pub nameless: u64,
    /// Why it was not read anew, where it was not.
    pub zh: String,
    /// The same in English.
    pub en: String,
}

impl Compared {
    pub(super) fn published(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Records compared, here.
    pub here: u64,
    /// And at the hub.
    pub hub: u64,
    /// Of those that differ.
    pub missing: u64,
    /// Of those that differ.
    pub extra: u64,
    /// Of those that differ.
    pub different: u64,
    /// Sent again, or taken over from the hub.
    pub repaired: u64,
    /// Of those that differ and were not repaired: they stand among the problems already.
    #[serde(default)]
    pub told: u64,
    /// What stood for each source.
    #[serde(default)]
    pub compared: Vec<Compared>,
    /// The first thousand that differ.
    pub named: Vec<Named>,
}

impl Reconciled {
    /// The last one.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub async fn last(spool: &Spool) -> Result<Option<Self>, spool::Error> {
        let text = spool.locked_fact(FACT).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Keeps it as the last one.
    pub(super) async fn keep(&self, spool: &Spool) -> Result<(), spool::Error> {
        spool.set_locked_fact(FACT, &serde_json::to_string(self)?).await
    }

    /// The same without a word of any row, for a file that is not encrypted.
    #[must_use]
    pub(crate) fn without_rows(mut self) -> Self {
        for named in &mut self.named {
            (named.key, named.from) = (String::new(), String::new());
        }
        self
    }

    /// Whether something still differs that nothing else tells.
    pub fn differs(&self) -> bool {
        self.missing + self.extra + self.different > self.repaired + self.told
    }

    /// In Chinese and English.
    pub fn sentence(&self) -> (String, String) {
        let Self { here, hub, missing, extra, different, repaired, told, .. } = self;
        let mut zh =
            format!("本地 {here} 条，枢纽 {hub} 条；缺 {missing}、多 {extra}、不同 {different}，已补救 {repaired}");
        let mut en = format!(
            "{here} records here, {hub} at the hub; {missing} missing, {extra} extra, {different} different, {repaired} repaired"
        );
        if *told > 0 {
            zh.push_str(&format!("，{told} 条已列在问题清单"));
            en.push_str(&format!(", {told} told among the problems"));
        }
        for one in &self.compared {
            let (basis_zh, basis_en) = one.basis.words();
            let why = |words: &str| if words.is_empty() { String::new() } else { format!(" ({words})") };
            zh.push_str(&format!("；{}：{basis_zh}{}", one.source, why(&one.zh)));
            en.push_str(&format!("; {}: {basis_en}{}", one.source, why(&one.en)));
        }
        (zh, en)
    }

    pub(super) fn count(&mut self, difference: Difference) {
        match difference {
            Difference::Missing => self.missing += 1,
            Difference::Extra => self.extra += 1,
            Difference::Different => self.different += 1,
        }
    }
}
