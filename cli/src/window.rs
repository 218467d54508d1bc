//! `weft window`: how a window's computer becomes an identity, and stays one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use serde_json::json;
use weft_adapter::join::{CertificateRequest, JoinToken};
use weft_proto::v1::{RedeemRequest, RenewRequest, enrolment_client::EnrolmentClient, renewal_client::RenewalClient};

use crate::{
    client::{self, Address},
    failure::Failure,
    files,
    report::Report,
    verify::moment,
};

pub(crate) const CERTIFICATE: &str = "window.crt.pem";
pub(crate) const KEY: &str = "window.key.pem";
const AUTHORITY: &str = "ca.pem";
/// What was sent for joining, until the answer is kept.
const JOINING: &str = "joining.pem";
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_BYTES: u64 = 256 * 1024;

/// `weft window`
#[derive(Debug, Subcommand)]
pub(crate) enum WindowCommand {
    /// Make a key, redeem a join token, keep certificate and authority
    Join {
        /// The folder where they are kept; made if it is not there
        #[arg(long)]
        dir: PathBuf,
        /// The file with the join token; `-` is standard input
        #[arg(long, value_name = "FILE")]
        token_file: String,
    },
    /// Fetch a new certificate before the present one ends, under a new key
    Renew {
        /// The folder that `join` made
        #[arg(long)]
        dir: PathBuf,
        /// The hub's API address, `https://host:port`
        #[arg(long, env = "WEFT_CLIENT_HUB", value_name = "URL")]
        hub: Address,
        /// The name that the hub's certificate must say, where it is not the host of the address
        #[arg(long, env = "WEFT_CLIENT_SERVER_NAME", value_name = "NAME")]
        server_name: Option<String>,
    },
}

impl WindowCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Join { dir, token_file } => join(&dir, &token_file).await,
            Self::Renew { dir, hub, server_name } => renew(&dir, &hub, server_name.as_deref()).await,
        }
    }
}

async fn join(dir: &Path, token_file: &str) -> Result<Report, Failure> {
    if dir.join(CERTIFICATE).exists() {
        let failure =
            Failure::usage("该目录已有窗口身份；请另选目录", "this folder holds an identity already; choose another");
        return Err(failure.because(dir.display()));
    }
    join_with(dir, &files::read_text(token_file, MAX_BYTES)?).await
}

/// Joins with a token's text.
pub(crate) async fn join_with(dir: &Path, text: &str) -> Result<Report, Failure> {
    let token: JoinToken =
        text.parse().map_err(|error| Failure::usage("不是入网令牌", "this is no join token").because(error))?;
    let address: Address = token.enrolment.parse().map_err(|error| {
        Failure::usage("令牌中的登记地址无效", "the token's enrolment address cannot be used").because(error)
    })?;
    private_folder(dir)?;
    let request = certificate_request(dir)?;
    let channel = client::connect(&address, None, client::server_only(token.ca.as_bytes())?, DEADLINE).await?;
    let message =
        RedeemRequest { secret: token.secret.clone(), csr: request.der().to_vec(), sealing_jwk: String::new() };
    let answer = EnrolmentClient::new(channel).redeem(message).await?.into_inner();
    files::write_private(&dir.join(AUTHORITY), answer.ca_pem.as_bytes())?;
    files::write_private(&dir.join(KEY), request.key_pem().as_bytes())?;
    files::write_private(&dir.join(CERTIFICATE), answer.certificate_pem.as_bytes())?;
    files::remove(&dir.join(JOINING))?;
    Ok(Report::sheet(json!({
        "identity": answer.identity,
        "hub_name": answer.hub_name,
        "certificate": dir.join(CERTIFICATE),
        "key": dir.join(KEY),
        "ca": dir.join(AUTHORITY),
    })))
}

async fn renew(dir: &Path, hub: &Address, server_name: Option<&str>) -> Result<Report, Failure> {
    let read = |name: &str| files::read(&dir.join(name).to_string_lossy(), MAX_BYTES);
    let config = client::mutual(&read(CERTIFICATE)?, &read(KEY)?, &read(AUTHORITY)?)?;
    let channel = client::connect(hub, server_name, config, DEADLINE).await?;
    let request = fresh()?;
    let answer = RenewalClient::new(channel).renew(RenewRequest { csr: request.der().to_vec() }).await?.into_inner();
    // Between the two writes certificate and key do not fit; the old pair is kept until both are there.
    let old = [CERTIFICATE, KEY].map(|name| (name, format!("{name}.old")));
    for (name, old) in &old {
        files::write_private(&dir.join(old), &read(name)?)?;
    }
    files::write_private(&dir.join(KEY), request.key_pem().as_bytes())?;
    files::write_private(&dir.join(CERTIFICATE), answer.certificate_pem.as_bytes())?;
    let until = answer.not_after.map(|at| moment(at.seconds));
    Ok(Report::sheet(json!({"certificate": dir.join(CERTIFICATE), "valid_until": until})))
}

fn fresh() -> Result<CertificateRequest, Failure> {
    CertificateRequest::fresh().map_err(|error| Failure::usage("无法生成密钥", "a key cannot be made").because(error))
}

/// The request of a joining whose answer was lost, or a new one, kept first: the hub gives the answer again to the same request only.
fn certificate_request(dir: &Path) -> Result<CertificateRequest, Failure> {
    let path = dir.join(JOINING);
    if path.exists() {
        let text = files::read_text(&path.to_string_lossy(), MAX_BYTES)?;
        return CertificateRequest::from_pem(&text).ok_or_else(|| {
            let failure = Failure::usage(
                "上次入网留下的文件已损坏；请删除后用新令牌入网",
                "what an earlier joining left is damaged; remove it and join with a new token",
            );
            failure.because(path.display())
        });
    }
    let request = fresh()?;
    files::write_private(&path, request.to_pem().as_bytes())?;
    Ok(request)
}

fn private_folder(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        Failure::usage("目录无法创建", "a folder cannot be made").because(format!("{}: {error}", dir.display()))
    })
}
