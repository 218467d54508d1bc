//! An adapter of the market's department beside a hub of the tests' own, with sources as a test wants them.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Summary, Surroundings, config::SourceConfig, run_once, source::file::FileConfig};

use crate::hub::Hub;

/// The columns of a row, as every kind of source calls them.
pub(crate) const COLUMNS: [&str; 16] = [
    "许可证编号",
    "经营者名称",
    "社会信用代码（身份证号码）",
    "法定代表人（负责人）",
    "住所",
    "经营场所",
    "主体业态",
    "经营项目",
    "经营者类别",
    "证件状态",
    "发证日期",
    "有效期起",
    "有效期至",
    "发证机关",
    "日常监督管理机构",
    "更新时间",
];

/// The cells of a row.
pub(crate) fn cells(number: u32, name: &str, updated: &str) -> [String; 16] {
    let number = format!("JY1370322{number:07}");
    [
        number.as_str(),
        name,
        "91370322MAYY000184",
        "张示例",
        "高青县示例路",
        "高青县示例路1号",
        "食品销售经营者",
        "预包装食品销售",
        "企业",
        "有效",
        "2024-01-05",
        "2024-01-05",
        "2029-01-04",
        "高青县市场监督管理局",
        "城区所",
        updated,
    ]
    .map(str::to_owned)
}

pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) hub: Hub,
    pub(crate) sources: Vec<SourceConfig>,
}

impl Place {
    /// One that joined its hub, without a source yet.
    pub(crate) async fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), hub: Hub::start().await, sources: Vec::new() };
        place.hub.join(&place.state()).await;
        place
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn department() -> Config {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("departments/market-regulation.toml");
        Config::load(&path).unwrap()
    }

    /// A source of food licences without a kind.
    pub(crate) fn source(name: &str) -> SourceConfig {
        let config = Self::department();
        let source = config.sources.into_iter().find(|source| source.name == "food-business-licences").unwrap();
        // The rows of these tests have numbers without check digits, which this hub believes.
        SourceConfig { name: name.to_owned(), file: None, max_failed_percent: 100, poll_ms: 50, ..source }
    }

    /// A source of a folder, which is made.
    pub(crate) fn drop_folder(&mut self, name: &str, snapshot: bool) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let file = FileConfig { settle_ms: 0, snapshot, ..FileConfig::new(&folder) };
        self.sources.push(SourceConfig { file: Some(file), ..Self::source(name) });
        folder
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Self::department();
        config.sources = self.sources.clone();
        config.state_dir = self.state();
        config.hub = vec![self.hub.address.clone()];
        config
    }

    pub(crate) async fn run(&self) -> Summary {
        let run = run_once(self.config(), Surroundings::system(), CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").unwrap()
    }
}

/// A file of rows.
pub(crate) fn csv(rows: &[[String; 16]]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| row.join(";")).collect();
    format!("{}\n{}\n", COLUMNS.join(";"), rows.join("\n"))
}
