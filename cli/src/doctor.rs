//! `weft doctor`: what is wrong with an installation, and what to do. It changes nothing.

mod adapter;
#[cfg(feature = "hub")]
mod broker;
mod certificate;
#[cfg(feature = "hub")]
mod database;
mod finding;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod storage;

use std::path::PathBuf;

use weft_adapter::clock::{Clock, SystemClock};

use crate::{failure::Failure, files, report::Report};
use finding::Findings;

const MAX_CONFIG: u64 = 1 << 20;

/// `weft doctor`
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The configuration of a hub or of an adapter
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl DoctorArgs {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let text = files::read_text(&self.config.to_string_lossy(), MAX_CONFIG)?;
        let now = SystemClock.now();
        let mut findings = Findings::default();
        if is_adapter(&text) {
            adapter::look(&self.config, now, &mut findings).await;
        } else {
            #[cfg(feature = "hub")]
            hub::look(&text, now, &mut findings).await;
            #[cfg(not(feature = "hub"))]
            return Err(Failure::usage(
                "这不是适配器配置；此程序不含枢纽",
                "this is no adapter's configuration, and this build has no hub",
            ));
        }
        Ok(findings.report())
    }
}

/// An adapter's configuration names a department; a hub's never does.
fn is_adapter(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("department"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Code;

    fn doctor(config: &std::path::Path) -> DoctorArgs {
        DoctorArgs { config: config.to_owned() }
    }

    fn level(report: &Report, check: &str) -> String {
        let found = report.json().as_array().unwrap().iter().find(|finding| finding["check"] == check);
        found.map(|finding| finding["level"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn an_adapter_that_has_not_joined_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("adapter.toml");
        std::fs::write(&config, "department = 1\n").unwrap();
        let report = doctor(&config).run().await.unwrap();
        assert_eq!((report.code(), level(&report, "configuration").as_str()), (Code::Problems, "fail"));
    }

    #[cfg(feature = "hub")]
    #[tokio::test]
    async fn a_fresh_hub_is_told_to_make_a_backup_and_one_without_keys_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, data) = (folder.path().join("keys"), folder.path().join("data"));
        let file = folder.path().join("hub.toml");
        let any = "127.0.0.1:0";
        let text = format!(
            "keys_dir = {keys:?}\n[storage]\nkind = \"embedded\"\ndata_dir = {data:?}\n[listen]\napi = \"{any}\"\nenrolment = \"{any}\"\nconsole = \"{any}\"\n"
        );
        std::fs::write(&file, &text).unwrap();
        let report = doctor(&file).run().await.unwrap();
        assert_eq!((report.code(), level(&report, "key directory").as_str()), (Code::Problems, "fail"));
        let config = weft_hub::config::Config::parse(&text).unwrap();
        let operators = ["li".to_owned(), "wang".to_owned()];
        weft_hub::init::init(&config, &operators, &weft_hub::clock::SystemClock).unwrap();
        let report = doctor(&file).run().await.unwrap();
        assert_eq!(report.code(), Code::Done, "{}", report.shown(crate::report::Format::Table));
        assert_eq!(level(&report, "backup"), "warn");
        assert_eq!(level(&report, "key directory"), "ok");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(keys.join("keyring.json"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let report = doctor(&file).run().await.unwrap();
        assert_eq!((report.code(), level(&report, "key directory").as_str()), (Code::Problems, "fail"));
    }
}
