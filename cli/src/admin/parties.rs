//! Departments, windows, and how they become identities.

use clap::Subcommand;
use serde_json::{Value, json};
use weft_proto::v1::{
    AdmitIdentityRequest, Coverage, CreateJoinTokenRequest, ListDepartmentsRequest, ListWindowsRequest,
    RegisterDepartmentRequest, RegisterWindowRequest, RevokeIdentityRequest,
};

use super::{changed, moment, operator};
use crate::{client::ClientArgs, failure::Failure, report::Report};

/// `weft admin department`
#[derive(Debug, Subcommand)]
pub(crate) enum DepartmentCommand {
    /// Register a department, or register it again with what has changed
    Add(DepartmentArgs),
    /// All departments
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// `weft admin department add`
#[derive(Debug, clap::Args)]
pub(crate) struct DepartmentArgs {
    /// Its code, such as `market-regulation`
    department: String,
    /// Its name
    #[arg(long)]
    name_zh: String,
    /// Its name
    #[arg(long)]
    name_en: String,
    /// A record type that it owns; may be repeated
    #[arg(long = "record-type", value_name = "TYPE")]
    record_types: Vec<String>,
    /// Declared coverage: `TYPE[,since=DATE][,divisions=CODE+CODE][,adapter=NAME][,back-fill-finished]`; may be repeated
    #[arg(long, value_name = "COVERAGE", value_parser = coverage)]
    coverage: Vec<Coverage>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Reads one declared coverage.
fn coverage(text: &str) -> Result<Coverage, String> {
    let mut parts = text.split(',');
    let record_type = parts.next().filter(|part| !part.is_empty() && !part.contains('='));
    let record_type = record_type.ok_or("a coverage begins with a record type")?.to_owned();
    let mut coverage = Coverage { record_type, ..Coverage::default() };
    for part in parts {
        match part.split_once('=') {
            Some(("since", date)) => {
                let date: jiff::civil::Date = date.parse().map_err(|error| format!("since: {error}"))?;
                coverage.since = date.to_string();
            }
            Some(("divisions", codes)) => coverage.divisions = codes.split('+').map(str::to_owned).collect(),
            Some(("adapter", name)) => coverage.adapter = name.to_owned(),
            None if part == "back-fill-finished" => coverage.back_fill_finished = true,
            _ => return Err(format!("{part} is not since, divisions, adapter or back-fill-finished")),
        }
    }
    Ok(coverage)
}

impl DepartmentCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Add(args) => args.run().await,
            Self::List { client } => departments(&client).await,
        }
    }
}

impl DepartmentArgs {
    async fn run(self) -> Result<Report, Failure> {
        let mut record_types = self.record_types;
        let covered = self.coverage.iter().map(|coverage| coverage.record_type.clone());
        record_types.extend(covered.filter(|covered| !record_types.contains(covered)).collect::<Vec<_>>());
        let request = self.client.request(RegisterDepartmentRequest {
            department: self.department,
            name_zh: self.name_zh,
            name_en: self.name_en,
            record_types,
            coverage: self.coverage,
        });
        Ok(changed(operator(&self.client).await?.register_department(request).await?.get_ref()))
    }
}

async fn departments(client: &ClientArgs) -> Result<Report, Failure> {
    let request = client.request(ListDepartmentsRequest {});
    let listed = operator(client).await?.list_departments(request).await?.into_inner().departments;
    let rows = listed.iter().map(|department| {
        json!({
            "department": department.department, "name_zh": department.name_zh, "name_en": department.name_en,
            "record_types": department.record_types, "adapters": department.adapters,
            "coverage": department.coverage.iter().map(coverage_json).collect::<Vec<_>>(),
        })
    });
    Ok(Report::listing(&["department", "name_zh", "record_types", "adapters"], rows.collect()))
}

fn coverage_json(coverage: &Coverage) -> Value {
    json!({
        "record_type": coverage.record_type, "since": coverage.since, "divisions": coverage.divisions,
        "back_fill_finished": coverage.back_fill_finished, "adapter": coverage.adapter,
    })
}

/// `weft admin window`
#[derive(Debug, Subcommand)]
pub(crate) enum WindowCommand {
    /// Register a window
    Add {
        /// Its name in the identity, such as `hall-1`
        window: String,
        /// Its name for people
        #[arg(long)]
        name_zh: String,
        /// The hall it stands in
        #[arg(long)]
        hall: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// All windows
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
}

impl WindowCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Add { window, name_zh, hall, client } => {
                let request = client.request(RegisterWindowRequest { window, name_zh, hall });
                Ok(changed(operator(&client).await?.register_window(request).await?.get_ref()))
            }
            Self::List { client } => {
                let request = client.request(ListWindowsRequest {});
                let listed = operator(&client).await?.list_windows(request).await?.into_inner().windows;
                let rows = listed.iter().map(|window| {
                    json!({
                        "window": window.window, "name_zh": window.name_zh, "hall": window.hall,
                        "revoked": window.revoked,
                    })
                });
                Ok(Report::listing(&["window", "name_zh", "hall", "revoked"], rows.collect()))
            }
        }
    }
}

/// `weft admin join-token`
#[derive(Debug, clap::Args)]
pub(crate) struct JoinTokenArgs {
    /// The identity: `department/<code>/adapter/<name>`, `window/<name>` or `operator/<name>`
    identity: String,
    /// How long it may be redeemed: `30m`, `2h`; at most 24 h
    #[arg(long, default_value = "1h", value_parser = seconds)]
    valid: u32,
    /// Write the token to this file instead of printing it
    #[arg(long, value_name = "FILE")]
    to: Option<std::path::PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Reads `90s`, `30m` or `2h`, at most a day.
fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a time is a number and s, m or h".to_owned()),
    };
    let number: u32 = number.parse().map_err(|error| format!("{error}"))?;
    number.checked_mul(unit).filter(|seconds| (1..=86_400).contains(seconds)).ok_or("1 s to 24 h".to_owned())
}

impl JoinTokenArgs {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let message = CreateJoinTokenRequest { identity: self.identity, valid_seconds: self.valid };
        let request = self.client.request(message);
        let made = operator(&self.client).await?.create_join_token(request).await?.into_inner();
        let expires_at = moment(made.expires_at.as_ref());
        let Some(path) = self.to else {
            let json = json!({"join_token": made.join_token, "expires_at": expires_at});
            // Alone on its line, so that it can be piped into `join --token-file -`.
            return Ok(Report::both(made.join_token, json));
        };
        crate::files::write_private(&path, made.join_token.as_bytes())?;
        Ok(Report::sheet(json!({"file": path, "expires_at": expires_at})))
    }
}

/// `weft admin identity`
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Make an identity known whose certificates another authority gives
    Admit {
        /// The identity: its path or whole URI
        identity: String,
        /// The authority's name under `tls.client_ca`
        #[arg(long, value_name = "NAME")]
        authority: String,
        /// Why
        #[arg(long)]
        why: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Cut an identity off, or one certificate of it
    Revoke {
        /// The identity: its path or whole URI
        identity: String,
        /// Only the certificate with this serial number, hex
        #[arg(long, value_name = "HEX", default_value = "")]
        serial: String,
        /// Why
        #[arg(long)]
        why: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

impl IdentityCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Admit { identity, authority, why, client } => {
                let request = client.request(AdmitIdentityRequest { identity, authority, why });
                Ok(changed(operator(&client).await?.admit_identity(request).await?.get_ref()))
            }
            Self::Revoke { identity, serial, why, client } => {
                let request = client.request(RevokeIdentityRequest { identity, why, serial });
                Ok(changed(operator(&client).await?.revoke_identity(request).await?.get_ref()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_read_from_one_argument() {
        let read =
            coverage("business-licence,since=2015-01-01,divisions=370302+370303,adapter=main,back-fill-finished");
        let expected = Coverage {
            record_type: "business-licence".into(),
            since: "2015-01-01".into(),
            divisions: vec!["370302".into(), "370303".into()],
            back_fill_finished: true,
            adapter: "main".into(),
        };
        assert_eq!(read.unwrap(), expected);
        assert_eq!(coverage("t").unwrap().record_type, "t");
        for wrong in ["", ",since=2015-01-01", "since=2015-01-01", "t,since=2015-13-01", "t,finished"] {
            assert!(coverage(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_bounded() {
        for (text, seconds_of) in [("90s", 90), ("30m", 1800), ("24h", 86_400)] {
            assert_eq!(seconds(text).unwrap(), seconds_of);
        }
        for wrong in ["", "h", "1", "25h", "0s", "1d", "一h", "4294967295h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
