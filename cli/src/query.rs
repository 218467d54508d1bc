//! `weft query`: looks at records, as a window. Every look stands in the hub's ledger.

pub(crate) mod answer;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use weft_adapter::clock::{Chance, SystemChance};
use weft_proto::v1::{
    Answering, CaseRef, GetRecordRequest, Holder, ListHolderRecordsRequest, Look, LookUpIdentifier,
    get_record_request::By, query_client::QueryClient,
};

use crate::{
    client::ClientArgs,
    failure::Failure,
    files,
    report::{Code, Report},
};
use answer::{Checking, Shown, word};

/// `weft query`
#[derive(Debug, Subcommand)]
pub(crate) enum QueryCommand {
    /// One record, by its identifier or by an identifier of its type
    Record(Box<RecordArgs>),
    /// The records of a type that a holder has
    Holder(Box<HolderArgs>),
}

/// `weft query record`
#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// The record's identifier, `<type>.<department>.<26 characters>`
    #[arg(required_unless_present = "identifier", conflicts_with = "identifier")]
    record_id: Option<String>,
    /// A look-up identifier of its type, such as `business-licence licence_number 370302000000000`
    #[arg(long, num_args = 3, value_names = ["TYPE", "FIELD", "VALUE"])]
    identifier: Vec<String>,
    /// The holder asked about, `scheme:value`; `scheme:-` reads the value from standard input
    #[arg(long, value_name = "SCHEME:VALUE")]
    holder: Option<HolderArg>,
    #[command(flatten)]
    look: LookArgs,
}

/// `weft query holder`
#[derive(Debug, clap::Args)]
pub(crate) struct HolderArgs {
    /// The record type
    #[arg(long = "type", value_name = "TYPE")]
    record_type: String,
    /// The holder asked about, `scheme:value`; `scheme:-` reads the value from standard input
    #[arg(long, value_name = "SCHEME:VALUE")]
    holder: HolderArg,
    /// As many records at most; each page of them is a look
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=1000))]
    limit: i32,
    #[command(flatten)]
    look: LookArgs,
}

/// What every look says.
#[derive(Debug, clap::Args)]
pub(crate) struct LookArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The case's number
    #[arg(long)]
    case: String,
    /// The service item
    #[arg(long)]
    item: String,
    /// The role in which the holder takes part in the case
    #[arg(long)]
    role: String,
    /// Why, in the clerk's words
    #[arg(long)]
    purpose: String,
    /// The clerk's number at the window
    #[arg(long)]
    clerk: String,
    /// A field wanted; may be repeated; without any, all that are granted
    #[arg(long = "field", value_name = "FIELD")]
    fields: Vec<String>,
    /// History: what stood at this time of acceptance, such as `2026-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    as_of: Option<jiff::Timestamp>,
    /// Wait for the outcome of this submission first (hex)
    #[arg(long, value_name = "SUBMISSION", value_parser = hex_bytes)]
    after: Option<Submission>,
    /// Ask again what an earlier request asked: its identifier, a UUID
    #[arg(long, value_name = "UUID")]
    request_id: Option<String>,
    #[command(flatten)]
    checking: Checking,
    /// Save the presentation here, and the statement beside it as `<FILE>.statement`; several are numbered
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Submission(Vec<u8>);

fn hex_bytes(text: &str) -> Result<Submission, String> {
    hex::decode(text).map(Submission).map_err(|error| error.to_string())
}

/// A holder on the command line. Its value may come from standard input, so that it stands in no list of processes.
#[derive(Clone)]
pub(crate) struct HolderArg {
    scheme: String,
    value: String,
}

impl std::fmt::Debug for HolderArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HolderArg").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl std::str::FromStr for HolderArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((scheme, value)) if !scheme.is_empty() && !value.is_empty() => {
                Ok(Self { scheme: scheme.to_owned(), value: value.to_owned() })
            }
            _ => Err("a holder is scheme:value, such as uscc:91370302MA3C0LHM5X".to_owned()),
        }
    }
}

impl HolderArg {
    fn read(self) -> Result<Holder, Failure> {
        let value = if self.value == "-" { files::read_text("-", 4096)?.to_string() } else { self.value };
        Ok(Holder { scheme: self.scheme, value })
    }
}

impl QueryCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Record(args) => args.run().await,
            Self::Holder(args) => args.run().await,
        }
    }
}

impl LookArgs {
    fn look(&self, holder: Option<Holder>) -> Result<Look, Failure> {
        Ok(Look {
            request_id: self.request_id.clone().map_or_else(new_request_id, Ok)?,
            case: Some(CaseRef {
                number: self.case.clone(),
                service_item: self.item.clone(),
                party_role: self.role.clone(),
            }),
            purpose: self.purpose.clone(),
            clerk: self.clerk.clone(),
            holder,
            fields: self.fields.clone(),
            after_submission: self.after.as_ref().map(|submission| submission.0.clone()).unwrap_or_default(),
            as_of: self
                .as_of
                .map(|at| prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }),
        })
    }

    /// Saves and shows what was answered.
    fn report(&self, shown: Vec<Shown>, whole: Value) -> Result<Report, Failure> {
        let presented: Vec<&Shown> = shown.iter().filter(|shown| shown.is_presented()).collect();
        for (index, shown) in presented.iter().enumerate() {
            if let Some(path) = &self.save {
                shown.save(path, (presented.len() > 1).then_some(index + 1))?;
            }
        }
        let code = if shown.iter().all(Shown::holds) { Code::Done } else { Code::Problems };
        let table = shown.iter().map(Shown::table).collect::<Vec<_>>().join("\n");
        let table = if shown.is_empty() { crate::report::sheet(&whole) } else { table };
        Ok(Report::both(table, whole).with_code(code))
    }
}

impl RecordArgs {
    async fn run(self) -> Result<Report, Failure> {
        let look = self.look.look(self.holder.map(HolderArg::read).transpose()?)?;
        let by = match (self.record_id, <[String; 3]>::try_from(self.identifier)) {
            (Some(id), _) => By::RecordId(id),
            (None, Ok([record_type, field, value])) => By::Identifier(LookUpIdentifier { record_type, field, value }),
            (None, Err(_)) => return Err(Failure::usage("缺少记录标识", "a record identifier is missing")),
        };
        let keys = self.look.checking.files()?;
        let client = &self.look.client;
        let request = client.request(GetRecordRequest { look: Some(look), by: Some(by) });
        let answer = QueryClient::new(client.connect().await?).get_record(request).await?.into_inner().answer;
        let answer = answer.ok_or_else(|| Failure::problems("枢纽的答复为空", "the hub's answer is empty"))?;
        let shown = Shown::new(answer, &self.look.checking, &keys).await?;
        let whole = shown.json().clone();
        self.look.report(vec![shown], whole)
    }
}

impl HolderArgs {
    async fn run(self) -> Result<Report, Failure> {
        let holder = self.holder.clone().read()?;
        let keys = self.look.checking.files()?;
        let client = &self.look.client;
        let mut query = QueryClient::new(client.connect().await?);
        let (mut shown, mut token, mut looks) = (Vec::new(), String::new(), Vec::new());
        let mut answering = Answering::Unspecified;
        while i32::try_from(shown.len()).is_ok_and(|have| have < self.limit) {
            let have = i32::try_from(shown.len()).unwrap_or(self.limit);
            let request = client.request(ListHolderRecordsRequest {
                look: Some(self.look.look(Some(holder.clone()))?),
                record_type: self.record_type.clone(),
                page_size: (self.limit - have).min(100),
                page_token: std::mem::take(&mut token),
            });
            let page = query.list_holder_records(request).await?.into_inner();
            if answering == Answering::Unspecified {
                answering = page.answering();
            }
            looks.extend(page.receipt.map(|receipt| receipt.entry_id));
            for answer in page.answers {
                shown.push(Shown::new(answer, &self.look.checking, &keys).await?);
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let whole = json!({
            "answering": word(answering.as_str_name(), "ANSWERING_"),
            "answers": shown.iter().map(|shown| shown.json().clone()).collect::<Vec<_>>(),
            "more": !token.is_empty(),
            "ledger_entries": looks,
        });
        self.look.report(shown, whole)
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn new_request_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    SystemChance
        .fill(&mut bytes)
        .map_err(|error| Failure::usage("没有随机数", "there is no randomness").because(error))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_random_uuids() {
        let (one, other) = (new_request_id().unwrap(), new_request_id().unwrap());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[14], one.matches('-').count()), (36, b'4', 4));
    }

    #[test]
    fn a_holder_is_scheme_and_value_and_never_printed() {
        let holder: HolderArg = "uscc:91370302MA3C0LHM5X".parse().unwrap();
        assert_eq!((holder.scheme.as_str(), holder.value.as_str()), ("uscc", "91370302MA3C0LHM5X"));
        assert!(!format!("{holder:?}").contains("9137"));
        for wrong in ["", "uscc", "uscc:", ":1"] {
            assert!(wrong.parse::<HolderArg>().is_err(), "{wrong}");
        }
    }
}
