//! A hub: configuration, keys, certificates, storage, addresses, the servers behind it.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use jiff::Timestamp;
use weft_hub::{
    config::{Config, Storage},
    init::OPERATORS,
    keys::Keys,
};

use super::{
    broker, certificate, database,
    finding::{CONFIGURATION, Findings, Said},
    storage,
};
use crate::{admin::backup::Marker, failure::chain, fetch, files};

const NO_KEYS: Said = Said {
    wrong: ("密钥目录无法使用", "the key directory cannot be used"),
    remedy: (
        "首次安装运行 weft admin init；否则按所示改正权限或从备份恢复",
        "weft admin init makes one; else mend it as it says, or restore the backup",
    ),
};
const OPEN_KEYS: Said = Said {
    wrong: ("其他用户可以进入密钥目录", "others may enter the key directory"),
    remedy: ("chmod 700 密钥目录", "chmod 700 it"),
};
const NO_BACKUP: Said = Said {
    wrong: (
        "密钥目录没有备份，丢失后所有数据都无法解密",
        "there is no backup of the key directory: without it nothing can be decrypted",
    ),
    remedy: ("运行 weft admin backup，并将文件与口令分开保管", "weft admin backup, and keep file and passphrase apart"),
};
const LEFT_KEYS: Said = Said {
    wrong: ("操作员私钥仍留在密钥目录", "operators' private keys still lie in the key directory"),
    remedy: ("交操作员本人保管并从此处删除", "hand them to the operators and delete them here"),
};
const FILE: Said = Said {
    wrong: ("配置中的文件无法读取", "a file that the configuration names cannot be read"),
    remedy: ("检查路径和权限", "check its path and permissions"),
};
const NAMES: Said = Said {
    wrong: (
        "证书不含枢纽名称，客户端会拒绝连接",
        "the certificate does not say the hub's name: clients will refuse it",
    ),
    remedy: ("换用含 hub_name 的证书", "take a certificate that says hub_name"),
};
const ADDRESS: Said = Said {
    wrong: ("地址无法监听", "an address cannot be listened on"),
    remedy: (
        "检查地址、端口和权限；端口可能被占用",
        "check address, port and permissions; another process may have it",
    ),
};
const NOT_READY: Said = Said {
    wrong: ("枢纽正在运行但未就绪", "a hub runs and is not ready"),
    remedy: ("按所示原因处理", "do as it says"),
};
const EXPOSED: Said = Said {
    wrong: ("控制台以明文监听在其他机器可达的地址", "the console listens in plain HTTP where other machines reach it"),
    remedy: ("改为 127.0.0.1 并置于反向代理之后", "listen on 127.0.0.1, behind the hall's proxy"),
};
const EARLY: Said = Said {
    wrong: ("本机时钟早于密钥目录建立时间", "this machine's clock is before the key directory was made"),
    remedy: ("校准时钟", "set the clock"),
};

/// Looks at everything.
pub(super) async fn look(text: &str, now: Timestamp, findings: &mut Findings) {
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(error) => return findings.fail("configuration", CONFIGURATION, error),
    };
    findings.ok("configuration", format!("{} {}", config.hub_name, config.instance));
    look_at_keys(&config, now, findings);
    look_at_tls(&config, now, findings);
    match &config.storage {
        Storage::Embedded { data_dir } => storage::look(data_dir, findings),
        Storage::Served { kafka, postgres } => {
            broker::look(kafka, findings).await;
            match files::read_text(&postgres.url_file.to_string_lossy(), 4096) {
                Ok(url) => database::look(&url, findings).await,
                Err(failure) => findings.fail("database", FILE, failure.en_line()),
            }
        }
    }
    look_at_listeners(&config, findings).await;
}

fn look_at_keys(config: &Config, now: Timestamp, findings: &mut Findings) {
    let dir = &config.keys_dir;
    let keys = match Keys::open(dir) {
        Ok(keys) => keys,
        Err(error) => return findings.fail("key directory", NO_KEYS, chain(&error)),
    };
    match fs::metadata(dir).map(|metadata| metadata.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 != 0 => {
            findings.fail("key directory", OPEN_KEYS, format!("{}: {mode:o}", dir.display()))
        }
        Ok(_) => findings.ok("key directory", dir.display()),
        Err(error) => findings.fail("key directory", NO_KEYS, error),
    }
    if now.as_millisecond() < keys.created_at {
        findings.fail("clock", EARLY, now);
    }
    certificate::look("authority", keys.ca.certificate_pem().as_bytes(), now, findings);
    match Marker::current(dir) {
        Some(marker) => findings.ok("backup", crate::verify::moment(marker.made_at.div_euclid(1000))),
        None => findings.warn("backup", NO_BACKUP, dir.display()),
    }
    let left = fs::read_dir(dir.join(OPERATORS)).into_iter().flatten().flatten();
    let left = left.filter(|file| file.file_name().to_string_lossy().ends_with(".key.pem")).count();
    if left > 0 {
        findings.warn("operators' keys", LEFT_KEYS, left);
    }
}

fn look_at_tls(config: &Config, now: Timestamp, findings: &mut Findings) {
    let mut read = |path: &Path| {
        let read = fs::read(path);
        read.map_err(|error| findings.fail("tls file", FILE, format!("{}: {error}", path.display()))).ok()
    };
    let certificate = config.tls.certificate_file.as_deref().and_then(&mut read);
    if let Some(key) = &config.tls.key_file {
        read(key);
    }
    let authorities: Vec<Vec<u8>> = config.tls.client_ca.iter().filter_map(|ca| read(&ca.file)).collect();
    for pem in authorities {
        certificate::look("client authority", &pem, now, findings);
    }
    if let Some(pem) = certificate {
        let names = certificate::look("server certificate", &pem, now, findings);
        if !names.iter().any(|name| says(name, &config.hub_name)) {
            findings.fail("server certificate", NAMES, names.join(", "));
        }
    }
}

/// Whether a certificate's DNS name covers a host; a star stands for one label.
fn says(name: &str, host: &str) -> bool {
    let under = |domain: &str| host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain));
    name.eq_ignore_ascii_case(host) || name.strip_prefix("*.").is_some_and(under)
}

async fn look_at_listeners(config: &Config, findings: &mut Findings) {
    let console = config.listen.console;
    if !console.ip().is_loopback() {
        findings.warn("console", EXPOSED, console);
    }
    if console.port() != 0
        && let Ok(ready) = fetch::get(&format!("http://{}/readyz", local(console))).await
    {
        let said = String::from_utf8_lossy(&ready.body).chars().take(400).collect::<String>();
        return if ready.status == 200 {
            findings.ok("running hub", console);
        } else {
            findings.fail("running hub", NOT_READY, format!("{}: {said}", ready.status));
        };
    }
    let addresses = [("api", config.listen.api), ("enrolment", config.listen.enrolment), ("console", console)];
    for (what, address) in addresses {
        match tokio::net::TcpListener::bind(address).await {
            Ok(_) => findings.ok("address", format!("listen.{what} {address}")),
            Err(error) => findings.fail("address", ADDRESS, format!("listen.{what} {address}: {error}")),
        }
    }
}

/// Where a listener of this address is reached from this machine.
fn local(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (name, host, covers) in [
            ("hub.example", "HUB.example", true),
            ("*.example", "hub.example", true),
            ("*.example", "a.hub.example", false),
            ("*.example", "example", false),
            ("other.example", "hub.example", false),
        ] {
            assert_eq!(says(name, host), covers, "{name} {host}");
        }
    }
}
