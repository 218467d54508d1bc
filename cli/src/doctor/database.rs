//! PostgreSQL: reachable, durable, its clock.

use std::{str::FromStr, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use weft_adapter::clock::{Clock, SystemClock};

use super::finding::{Findings, Said};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Measured by one question there and back: half its time is the error.
const OFFSET_WARN_MS: i64 = 500;
const OFFSET_FAIL_MS: i64 = 60_000;

const UNREACHABLE: Said = Said {
    wrong: ("无法连接数据库", "the database cannot be reached"),
    remedy: ("检查地址、用户、口令、pg_hba.conf 和网络", "check address, user, password, pg_hba.conf and network"),
};
const NOT_DURABLE: Said = Said {
    wrong: (
        "synchronous_commit 不是 on，提交后断电可能丢失",
        "synchronous_commit is not on: what was committed may be lost with the power",
    ),
    remedy: ("在服务器或用户上设置 synchronous_commit = on", "set synchronous_commit = on for the server or the user"),
};
const NO_SYNC: Said = Said {
    wrong: ("fsync 已关闭，断电会丢失索引", "fsync is off: a loss of power loses the index"),
    remedy: ("在服务器上设置 fsync = on", "set fsync = on"),
};
const OLD: Said = Said {
    wrong: ("PostgreSQL 版本过旧", "this PostgreSQL is too old"),
    remedy: ("升级到 15 或更高版本", "upgrade to 15 or newer"),
};
const OFFSET: Said = Said {
    wrong: ("本机与数据库的时钟不一致", "this machine's clock and the database's differ"),
    remedy: ("在各机器上启用时间同步（chrony）", "run time synchronisation (chrony) on both"),
};

type Row = (String, String, i32, i64);

/// Connects and asks; `url` is not printed, it may hold a password.
pub(super) async fn look(url: &str, findings: &mut Findings) {
    let asked = tokio::time::timeout(TIMEOUT, ask(url)).await;
    let ((commit, fsync, version, at), sent, heard) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return findings.fail("database", UNREACHABLE, error),
        Err(_) => return findings.fail("database", UNREACHABLE, "no answer within 10 s"),
    };
    if version < 150_000 {
        findings.fail("database", OLD, version);
    } else {
        findings.ok("database", format!("PostgreSQL {}.{}", version / 10_000, version % 10_000));
    }
    if matches!(commit.as_str(), "on" | "remote_apply") {
        findings.ok("synchronous_commit", &commit);
    } else {
        findings.fail("synchronous_commit", NOT_DURABLE, &commit);
    }
    if fsync == "on" {
        findings.ok("fsync", &fsync)
    } else {
        findings.warn("fsync", NO_SYNC, &fsync)
    }
    let offset = at - (sent + (heard - sent) / 2);
    let detail = format!("{offset} ms");
    if offset.abs() <= OFFSET_WARN_MS {
        findings.ok("clock", detail);
    } else if offset.abs() <= OFFSET_FAIL_MS {
        findings.warn("clock", OFFSET, detail);
    } else {
        findings.fail("clock", OFFSET, detail);
    }
}

/// The answer, and the local times before and after.
async fn ask(url: &str) -> Result<(Row, i64, i64), sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("weft doctor");
    let mut connection = PgConnection::connect_with(&options).await?;
    let sent = SystemClock.now().as_millisecond();
    let row: Row = sqlx::query_as(
        "-- doctor
SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('server_version_num')::int,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    )
    .fetch_one(&mut connection)
    .await?;
    let heard = SystemClock.now().as_millisecond();
    connection.close().await?;
    Ok((row, sent, heard))
}
