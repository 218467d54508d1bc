//! Sealing keys: confirmed by a second person, retired, given up.

use clap::Subcommand;
use serde_json::json;
use weft_proto::v1::{KeyState, ListSealingKeysRequest, SetSealingKeyStateRequest};

use super::{changed, moment, operator, timestamp};
use crate::{client::ClientArgs, failure::Failure, report::Report};

/// `weft admin key`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// A department's keys
    List {
        /// The department's code
        department: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Confirm a new key, after comparing its fingerprint with what the department reads out
    Confirm(KeyArgs),
    /// Take a key out of use: accepted for 30 days more
    Retire(KeyArgs),
    /// Nothing sealed by it is accepted; versions accepted since then answer `stale`
    Compromise {
        #[command(flatten)]
        key: KeyArgs,
        /// Since when; without it, now
        #[arg(long, value_name = "TIME")]
        since: Option<jiff::Timestamp>,
    },
}

/// Which key.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// The department's code
    department: String,
    /// The key's fingerprint (RFC 7638 thumbprint), which may begin with a hyphen
    #[arg(allow_hyphen_values = true)]
    fingerprint: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl KeyCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::List { department, client } => list(department, &client).await,
            Self::Confirm(key) => key.set(KeyState::Active, None).await,
            Self::Retire(key) => key.set(KeyState::Retired, None).await,
            Self::Compromise { key, since } => key.set(KeyState::Compromised, since).await,
        }
    }
}

impl KeyArgs {
    async fn set(self, state: KeyState, since: Option<jiff::Timestamp>) -> Result<Report, Failure> {
        let request = self.client.request(SetSealingKeyStateRequest {
            department: self.department,
            kid: self.fingerprint,
            state: state.into(),
            since: since.map(timestamp),
        });
        Ok(changed(operator(&self.client).await?.set_sealing_key_state(request).await?.get_ref()))
    }
}

async fn list(department: String, client: &ClientArgs) -> Result<Report, Failure> {
    let request = client.request(ListSealingKeysRequest { department });
    let listed = operator(client).await?.list_sealing_keys(request).await?.into_inner().keys;
    let rows = listed.iter().map(|key| {
        let state = key.state().as_str_name().trim_start_matches("KEY_STATE_").to_lowercase();
        json!({
            "department": key.department, "adapter": key.adapter, "fingerprint": key.kid, "algorithm": key.algorithm,
            "state": state, "since": moment(key.since.as_ref()),
        })
    });
    Ok(Report::listing(&["adapter", "fingerprint", "algorithm", "state", "since"], rows.collect()))
}
