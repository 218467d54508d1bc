//! Grants: asked for by one person, decided by another.

use clap::Subcommand;
use serde_json::json;
use weft_proto::v1::{DecideGrantRequest, GrantInfo, ListAllGrantsRequest, RequestGrantRequest};

use super::{changed, operator};
use crate::{client::ClientArgs, failure::Failure, report::Report};

/// `weft admin grant`
#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// Ask for one; another person approves it
    Request(RequestArgs),
    /// Bring it into force
    Approve(DecideArgs),
    /// Take it out of force until it is approved again
    Suspend(DecideArgs),
    /// End it
    Revoke(DecideArgs),
    /// All grants
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// `weft admin grant request`
#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    /// The window
    #[arg(long)]
    window: String,
    /// The service item
    #[arg(long)]
    item: String,
    /// The record type
    #[arg(long)]
    record_type: String,
    /// The department that owns the records
    #[arg(long)]
    department: String,
    /// A field; may be repeated
    #[arg(long = "field", value_name = "FIELD", required = true)]
    fields: Vec<String>,
    /// What for
    #[arg(long)]
    purpose: String,
    /// A look must give exactly this purpose, not the clerk's own words
    #[arg(long)]
    exact_purpose: bool,
    /// The first day it allows anything, YYYY-MM-DD; from its approval on where absent
    #[arg(long, value_name = "DATE")]
    valid_from: Option<jiff::civil::Date>,
    /// The last day, included
    #[arg(long, value_name = "DATE")]
    valid_until: Option<jiff::civil::Date>,
    /// Allow looks by record identifier alone, without a holder
    #[arg(long)]
    by_record: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Which grant, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct DecideArgs {
    /// The grant's identifier
    grant: String,
    /// Why
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl GrantCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Request(args) => args.run().await,
            Self::Approve(args) => args.decide("active").await,
            Self::Suspend(args) => args.decide("suspended").await,
            Self::Revoke(args) => args.decide("revoked").await,
            Self::List { client } => list(&client).await,
        }
    }
}

impl RequestArgs {
    async fn run(self) -> Result<Report, Failure> {
        let grant = GrantInfo {
            window: self.window,
            service_item: self.item,
            record_type: self.record_type,
            department: self.department,
            fields: self.fields,
            purpose: self.purpose,
            by_record: self.by_record,
            exact_purpose: self.exact_purpose,
            valid_from: self.valid_from.map(|day| day.to_string()).unwrap_or_default(),
            valid_until: self.valid_until.map(|day| day.to_string()).unwrap_or_default(),
            ..GrantInfo::default()
        };
        let request = self.client.request(RequestGrantRequest { grant: Some(grant) });
        Ok(changed(operator(&self.client).await?.request_grant(request).await?.get_ref()))
    }
}

impl DecideArgs {
    async fn decide(self, state: &str) -> Result<Report, Failure> {
        // What is listed and printed as `grant/<id>` may be given so.
        let grant_id = self.grant.trim_start_matches("grant/").to_owned();
        let request = self.client.request(DecideGrantRequest { grant_id, state: state.to_owned(), why: self.why });
        Ok(changed(operator(&self.client).await?.decide_grant(request).await?.get_ref()))
    }
}

async fn list(client: &ClientArgs) -> Result<Report, Failure> {
    let request = client.request(ListAllGrantsRequest {});
    let listed = operator(client).await?.list_all_grants(request).await?.into_inner().grants;
    let rows = listed.iter().map(|grant| {
        json!({
            "grant": grant.grant_id, "window": grant.window, "item": grant.service_item,
            "record_type": grant.record_type, "department": grant.department, "fields": grant.fields,
            "purpose": grant.purpose, "by_record": grant.by_record, "state": grant.state,
            "exact_purpose": grant.exact_purpose, "valid_from": grant.valid_from, "valid_until": grant.valid_until,
        })
    });
    Ok(Report::listing(&["grant", "window", "item", "record_type", "fields", "valid_until", "state"], rows.collect()))
}
