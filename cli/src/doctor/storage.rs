//! The embedded pair's data directory: file system, lock, permissions, space.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rustix::fs::statvfs;
use weft_hub::log::sqlite::{in_use, network_file_system};

use super::finding::{Findings, Said};

const LITTLE: u64 = 5 << 30;
const NONE: u64 = 512 << 20;

const NETWORK: Said = Said {
    wrong: (
        "数据目录在网络文件系统上，锁和落盘得不到保证",
        "the data directory lies on a network file system, where locks and syncs do not hold",
    ),
    remedy: ("改用本机磁盘", "use a disk of this machine"),
};
const OPEN: Said = Said {
    wrong: ("其他用户可以进入数据目录", "others may enter the data directory"),
    remedy: ("chmod 700 数据目录", "chmod 700 it"),
};
const UNUSABLE: Said = Said {
    wrong: ("数据目录无法使用", "the data directory cannot be used"),
    remedy: ("检查路径和权限", "check its path and permissions"),
};
const FULL: Said = Said {
    wrong: ("磁盘空间不足", "there is little space left on the disk"),
    remedy: ("扩容或迁移数据目录；日志永久保留，只增不减", "make room: the log is kept for ever and only grows"),
};

/// Looks at the data directory, or at the folder that it will be made in.
pub(super) fn look(data_dir: &Path, findings: &mut Findings) {
    let Some(there) = data_dir.ancestors().find(|path| path.exists() || path.as_os_str().is_empty()) else {
        return findings.fail("data directory", UNUSABLE, data_dir.display());
    };
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match network_file_system(there) {
        Ok(Some(kind)) => findings.fail("data directory", NETWORK, format!("{}: {kind}", there.display())),
        Err(error) => findings.fail("data directory", UNUSABLE, format!("{}: {error}", there.display())),
        Ok(None) if there != data_dir => findings.ok("data directory", format!("{} (new)", data_dir.display())),
        Ok(None) => match (fs::metadata(there), in_use(there)) {
            (Ok(metadata), _) if metadata.permissions().mode() & 0o077 != 0 => {
                findings.warn("data directory", OPEN, there.display());
            }
            (Ok(_), Ok(true)) => findings.ok("data directory", format!("{} (a hub runs on it)", there.display())),
            (Ok(_), Ok(false)) => findings.ok("data directory", there.display()),
            (Err(error), _) | (_, Err(error)) => {
                findings.fail("data directory", UNUSABLE, format!("{}: {error}", there.display()));
            }
        },
    }
    match statvfs(there) {
        Err(error) => findings.fail("space", UNUSABLE, error),
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let detail = format!("{} MiB", free >> 20);
            match free {
                ..NONE => findings.fail("space", FULL, detail),
                NONE..LITTLE => findings.warn("space", FULL, detail),
                _ => findings.ok("space", detail),
            }
        }
    }
}
