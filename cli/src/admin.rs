//! `weft admin`: what operators do. `init`, `backup` and `restore-keys` work on this machine's key directory, everything
//! else by the hub's API with the operator's certificate.

pub(crate) mod backup;
mod fleet;
mod grants;
mod keys;
mod parties;
mod records;
mod types;

use clap::Subcommand;
use serde_json::{Value, json};
use tonic::transport::Channel;
use weft_hub::clock::SystemClock;
use weft_proto::v1::{self, operator_client::OperatorClient};

use crate::{
    client::ClientArgs,
    failure::Failure,
    hub::ConfigArgs,
    report::{Format, Report},
};

/// `weft admin`
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the key directory, and a certificate for each operator
    Init {
        #[command(flatten)]
        config: ConfigArgs,
        /// An operator's name; at least two, so that one confirms what the other proposes
        #[arg(long = "operator", value_name = "NAME", required = true)]
        operators: Vec<String>,
    },
    /// Departments
    #[command(subcommand)]
    Department(parties::DepartmentCommand),
    /// Windows
    #[command(subcommand)]
    Window(parties::WindowCommand),
    /// Make a one-time join token for one identity
    JoinToken(parties::JoinTokenArgs),
    /// Identities
    #[command(subcommand)]
    Identity(parties::IdentityCommand),
    /// Sealing keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Grants
    #[command(subcommand)]
    Grant(grants::GrantCommand),
    /// Record types
    #[command(subcommand)]
    RecordType(types::RecordTypeCommand),
    /// What was refused and waits for a right one
    #[command(subcommand)]
    Quarantine(records::QuarantineCommand),
    /// Overwrite every copy of a version by a stub; its number, event and status stay
    Erase(records::EraseArgs),
    /// Corrections of records that have ended
    #[command(subcommand)]
    Correction(records::CorrectionCommand),
    /// How every adapter stands, the worst first; exits with 0 only while nothing needs a person
    Fleet(fleet::FleetArgs),
    /// Ask something of an adapter
    #[command(subcommand)]
    Adapter(fleet::AdapterCommand),
    /// Alarms
    Alarms(records::AlarmsArgs),
    /// Positions, lags, counts
    Status(records::StatusArgs),
    /// Ask adapters to send again what they released since a time
    Resend(records::ResendArgs),
    /// Write the key directory into one encrypted file
    Backup(backup::BackupArgs),
    /// Make a key directory from such a file
    RestoreKeys(backup::RestoreArgs),
}

impl AdminCommand {
    pub(crate) async fn run(self: Box<Self>, format: Format) -> Result<Report, Failure> {
        match *self {
            Self::Init { config, operators } => init(&config, &operators),
            Self::Department(command) => command.run().await,
            Self::Window(command) => command.run().await,
            Self::JoinToken(args) => args.run().await,
            Self::Identity(command) => command.run().await,
            Self::Key(command) => command.run().await,
            Self::Grant(command) => command.run().await,
            Self::RecordType(command) => command.run().await,
            Self::Quarantine(command) => command.run().await,
            Self::Erase(args) => args.run().await,
            Self::Correction(command) => command.run().await,
            Self::Fleet(args) => args.run(format).await,
            Self::Adapter(command) => command.run().await,
            Self::Alarms(args) => args.run().await,
            Self::Status(args) => args.run().await,
            Self::Resend(args) => args.run().await,
            Self::Backup(args) => args.run(),
            Self::RestoreKeys(args) => args.run(),
        }
    }
}

fn init(config: &ConfigArgs, operators: &[String]) -> Result<Report, Failure> {
    let config = config.load()?;
    weft_hub::init::init(&config, operators, &SystemClock)
        .map_err(|error| Failure::usage("无法建立密钥目录", "the key directory cannot be made").caused_by(&error))?;
    let folder = config.keys_dir.join(weft_hub::init::OPERATORS);
    let file = |name: &str, what: &str| folder.join(format!("{name}.{what}.pem"));
    let made = operators
        .iter()
        .map(|name| json!({"operator": name, "certificate": file(name, "crt"), "key": file(name, "key")}));
    let json = json!({
        "keys_dir": config.keys_dir,
        "ca": config.keys_dir.join(weft_hub::init::CA_FILE),
        "operators": made.collect::<Vec<_>>(),
    });
    let mut table = crate::report::sheet(&json);
    table.push_str("\n请将各操作员的证书和密钥交其本人保管并从此处移走，然后备份密钥目录：weft admin backup\n");
    table.push_str("hand each operator certificate and key and take them away from here, then back up the key directory: weft admin backup\n");
    Ok(Report::both(table, json))
}

/// A client of the operator service.
async fn operator(client: &ClientArgs) -> Result<OperatorClient<Channel>, Failure> {
    Ok(OperatorClient::new(client.connect().await?))
}

/// A change that took effect.
fn changed(change: &v1::Change) -> Report {
    Report::sheet(change_json(change))
}

fn change_json(change: &v1::Change) -> Value {
    json!({"entity": change.entity, "revision": change.revision, "position": change.position.as_ref().map(position)})
}

/// `topic/partition@offset`
fn position(at: &v1::Position) -> String {
    format!("{}/{}@{}", at.topic, at.partition, at.offset)
}

fn timestamp(at: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

fn moment(at: Option<&prost_types::Timestamp>) -> Option<String> {
    at.map(|at| crate::verify::moment(at.seconds))
}
