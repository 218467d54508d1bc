//! An adapter: configuration, state directory, certificate, sources, the way to the hub.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use jiff::Timestamp;
use weft_adapter::{Config, Surroundings, keys::Directory};
use weft_proto::v1::{OutcomeOfRequest, publishing_client::PublishingClient};

use super::{
    certificate,
    finding::{CONFIGURATION, Findings, Said},
};
use crate::{
    client::{self, Address},
    failure::{Failure, chain},
};

const TIMEOUT: Duration = Duration::from_secs(10);

const STATE: Said = Said {
    wrong: ("状态目录无法使用", "the state directory cannot be used"),
    remedy: ("目录须归适配器用户所有，权限 700", "it belongs to the adapter's user alone, with mode 700"),
};
const NOT_JOINED: Said = Said {
    wrong: ("适配器尚未入网", "the adapter has not joined"),
    remedy: (
        "向县大数据中心领取入网令牌，运行 weft adapter join",
        "ask the operator for a join token, then weft adapter join",
    ),
};
const OTHER_IDENTITY: Said = Said {
    wrong: ("配置与身份不一致", "the configuration is for another department or adapter than the identity"),
    remedy: (
        "改正 department 和 name，或另选状态目录重新入网",
        "correct department and name, or join with another state directory",
    ),
};
const FOLDER: Said = Said {
    wrong: ("来源目录无法读写", "a source's folder cannot be read or written"),
    remedy: ("建立目录并授予适配器用户读写权限", "make the folder and let the adapter's user read and write it"),
};
const MAPPING: Said = Said {
    wrong: ("映射或文件有误", "a mapping or a file that waits is wrong"),
    remedy: ("运行 weft adapter check 查看各行问题", "weft adapter check shows what is wrong with which line"),
};
const UNREACHABLE: Said = Said {
    wrong: ("无法连接枢纽", "the hub cannot be reached"),
    remedy: ("检查地址、网络、防火墙和枢纽是否运行", "check address, network, firewall, and that the hub runs"),
};
const REFUSED: Said = Said {
    wrong: ("枢纽拒绝了本适配器", "the hub refuses this adapter"),
    remedy: (
        "按所示原因处理；身份被停用时联系县大数据中心",
        "do as the reason says; ask the operator where the identity was revoked",
    ),
};

/// Looks at everything.
pub(super) async fn look(path: &Path, now: Timestamp, findings: &mut Findings) {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return findings.fail("configuration", CONFIGURATION, chain(&error)),
    };
    findings.ok("configuration", path.display());
    let directory = Directory::new(&config.state_dir);
    look_at_state(&config, &directory, now, findings);
    look_at_sources(&config, findings);
    match weft_adapter::check(&config, &Surroundings::system()).await {
        Err(error) => findings.fail("mapping", MAPPING, chain(&error)),
        Ok(reports) => {
            let rows: u64 = reports.iter().map(|report| report.rows).sum();
            let valid: u64 = reports.iter().map(|report| report.valid).sum();
            let detail = format!("{valid}/{rows}");
            if valid == rows { findings.ok("mapping", detail) } else { findings.warn("mapping", MAPPING, detail) }
        }
    }
    for endpoint in &config.hub {
        match reach(endpoint, &directory).await {
            Ok(()) => findings.ok("hub", endpoint),
            Err(failure) if failure.is_refusal() => findings.fail("hub", REFUSED, told(endpoint, &failure)),
            Err(failure) => findings.fail("hub", UNREACHABLE, told(endpoint, &failure)),
        }
    }
}

fn told(endpoint: &str, failure: &Failure) -> String {
    format!("{endpoint}: {} / {}", failure.zh_line(), failure.en_line())
}

fn look_at_state(config: &Config, directory: &Directory, now: Timestamp, findings: &mut Findings) {
    match fs::metadata(directory.path()) {
        Err(_) => return findings.fail("state directory", NOT_JOINED, directory.path().display()),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let mode = metadata.permissions().mode() & 0o777;
            findings.fail("state directory", STATE, format!("{}: {mode:o}", directory.path().display()));
        }
        Ok(_) => findings.ok("state directory", directory.path().display()),
    }
    match directory.identity() {
        Err(error) => findings.fail("identity", STATE, chain(&error)),
        Ok(None) => findings.fail("identity", NOT_JOINED, ""),
        Ok(Some(identity)) => {
            let fits = (&identity.department, &identity.adapter) == (&config.department, &config.name);
            if fits {
                findings.ok("identity", &identity.identity);
            } else {
                findings.fail("identity", OTHER_IDENTITY, &identity.identity);
            }
            match directory.client_pem() {
                Ok(pem) => drop(certificate::look("certificate", &pem, now, findings)),
                Err(error) => findings.fail("certificate", STATE, chain(&error)),
            }
        }
    }
}

fn look_at_sources(config: &Config, findings: &mut Findings) {
    for source in &config.sources {
        let Some(folder) = source.file.as_ref().map(|file| &file.folder) else { continue };
        // A file made and removed again is the only proof that files can be moved here.
        let probe = tempfile::Builder::new().prefix(".weft-doctor").tempfile_in(folder);
        match fs::read_dir(folder).and(probe) {
            Ok(_) => findings.ok("source", format!("{}: {}", source.name, folder.display())),
            Err(error) => findings.fail("source", FOLDER, format!("{}: {}: {error}", source.name, folder.display())),
        }
    }
}

/// Asks the hub for nothing, as this adapter.
async fn reach(endpoint: &str, directory: &Directory) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::usage("无法使用", "cannot be used").because(error);
    let address: Address = endpoint.parse().map_err(|error: String| usage(&error))?;
    let pem = directory.client_pem().map_err(|error| usage(&error))?;
    let ca = directory.authority_pem().map_err(|error| usage(&error))?;
    let channel = client::connect(&address, None, client::mutual(&pem, &pem, &ca)?, TIMEOUT).await?;
    PublishingClient::new(channel).outcome_of(OutcomeOfRequest { submission_ids: Vec::new() }).await?;
    Ok(())
}
