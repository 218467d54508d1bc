//! A hub of the tests' own: the wire of `weft.v1` over mutual TLS, with the rule of the next number and faults on
//! demand. It believes every seal; what a real hub checks is tested with a real hub.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use weft_proto::v1::{
    BatchAnswer, Head, HeadsRequest, HeadsResponse, KeyState, Outcome, OutcomeKind, OutcomeOfRequest,
    OutcomeOfResponse, PublishRequest, PublishResponse, Receipt, RedeemRequest, RedeemResponse, Rejection, Retry,
    SubmissionAnswer,
    enrolment_server::{Enrolment, EnrolmentServer},
    publish_response, publishing_server,
    publishing_server::{Publishing, PublishingServer},
    submission_answer,
};
use weft_record::sdjwt::{Limits, Token};

pub(crate) const SECRET: [u8; 32] = [7; 32];
pub(crate) const HUB_NAME: &str = "hub.example";

/// What the hub has.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Indexed versions of each record: submission id and event, from version 1.
    pub(crate) records: BTreeMap<String, Vec<Indexed>>,
    /// Outcomes by submission id.
    pub(crate) outcomes: HashMap<Vec<u8>, Outcome>,
    /// Every batch that came: ids in order.
    pub(crate) batches: Vec<Vec<Vec<u8>>>,
    /// Ids that were watched.
    pub(crate) watched: BTreeSet<Vec<u8>>,
    /// How many answers were given.
    pub(crate) answered: usize,
    /// Streams that were opened.
    pub(crate) streams: usize,
    pub(crate) faults: Faults,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Indexed {
    pub(crate) id: Vec<u8>,
    pub(crate) event: String,
    pub(crate) status: String,
    pub(crate) payload: serde_json::Value,
    /// What another tells as its digest; an adapter can compare only its own.
    pub(crate) substance: Vec<u8>,
}

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The stream is cut after so many batches, before their answer; the batch is in the log.
    pub(crate) cut_before_answer: usize,
    /// So many submissions are answered with Retry first.
    pub(crate) retry: usize,
    /// Records whose field `name` or `operatorName` contains this are refused at the door.
    pub(crate) refuse: Option<String>,
    /// The key is not accepted.
    pub(crate) unknown_key: bool,
    /// Outcomes are not told by themselves; only what is watched is.
    pub(crate) silent: bool,
    /// This record type is not of the department.
    pub(crate) not_yours: Option<String>,
    /// Answers wait for outcomes of nobody: nothing is indexed.
    pub(crate) frozen: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Hub {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) address: String,
    ca: Arc<(String, KeyPair, CertificateParams)>,
    stop: CancellationToken,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let hub =
            Self { state: Arc::default(), address, ca: Arc::new((ca, key, params)), stop: CancellationToken::new() };
        hub.serve(listener);
        hub
    }

    /// Closes every connection at once, and listens on.
    pub(crate) fn token(&self) -> String {
        let json = serde_json::json!({"enrolment": self.address, "ca": self.ca.0, "secret": "once"});
        format!("weft-join.{}", URL_SAFE_NO_PAD.encode(json.to_string()))
    }

    fn serve(&self, listener: TcpListener) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::from_params(&self.ca.2, &self.ca.1);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.0.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // The enrolment of the tests shares the listener: a caller without certificate may redeem.
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (sender, connections) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                // tonic takes what it knows as a connection: a pipe, with the TLS behind it.
                let (near, mut far) = tokio::io::duplex(1 << 16);
                if sender.send(Ok::<_, std::io::Error>(near)).await.is_err() {
                    return;
                }
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tls, &mut far).await });
            }
        });
        let server = tonic::transport::Server::builder()
            .add_service(PublishingServer::new(self.clone()))
            .add_service(EnrolmentServer::new(self.clone()))
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), self.stop.clone().cancelled_owned());
        tokio::spawn(server);
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    /// The indexed versions of all records, told as `event` words.
    pub(crate) fn events(&self) -> BTreeMap<String, Vec<String>> {
        let events = |versions: &Vec<Indexed>| versions.iter().map(|version| version.event.clone()).collect();
        self.with(|state| state.records.iter().map(|(id, versions)| (id.clone(), events(versions))).collect())
    }

    /// A state directory that joined this hub.
    pub(crate) async fn join(&self, directory: &Path) -> weft_adapter::keys::Directory {
        let directory = weft_adapter::keys::Directory::new(directory);
        let joined =
            weft_adapter::join(&self.token(), &directory, &weft_adapter::Surroundings::system()).await.unwrap();
        assert_eq!(joined.sealing_key, KeyState::Active);
        directory
    }
}

impl State {
    /// What a real hub does at door and apply, without its checks.
    fn take(&mut self, sealed: &[u8]) -> SubmissionAnswer {
        let submission_id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sealed).as_ref().to_vec();
        let answer = |kind| SubmissionAnswer { submission_id: submission_id.clone(), kind: Some(kind) };
        if self.faults.retry > 0 {
            self.faults.retry -= 1;
            let retry = Retry { reason: "log_unavailable".into(), retry_after_ms: 60 };
            return answer(submission_answer::Kind::Retry(retry));
        }
        let payload = payload(sealed);
        let record_id = payload["record"]["id"].as_str().unwrap().to_owned();
        let version = payload["record"]["version"].as_u64().unwrap();
        let reject = |stage: &str| {
            let problem = weft_proto::v1::Problem {
                pointer: "/fields/name".into(),
                reason: "identifier_wrong".into(),
                zh: "错".into(),
                en: "wrong".into(),
                ..Default::default()
            };
            let rejection = Rejection { stage: stage.into(), problems: vec![problem], quarantine_id: "q".into() };
            answer(submission_answer::Kind::Rejection(rejection))
        };
        if self.faults.unknown_key {
            return reject("key");
        }
        let name =
            payload["fields"]["name"].as_str().or(payload["fields"]["operatorName"].as_str()).unwrap_or_default();
        if self.faults.refuse.as_ref().is_some_and(|word| name.contains(word)) {
            return reject("content");
        }
        if !self.faults.frozen && !self.outcomes.contains_key(&submission_id) {
            let outcome = self.apply(&submission_id, &record_id, version, &payload);
            self.outcomes.insert(submission_id.clone(), outcome);
        }
        answer(submission_answer::Kind::Receipt(Receipt { record_id, version, warnings: Vec::new() }))
    }

    fn apply(&mut self, id: &[u8], record_id: &str, version: u64, payload: &serde_json::Value) -> Outcome {
        let versions = self.records.entry(record_id.to_owned()).or_default();
        let head = versions.len() as u64;
        let kind = if version == head + 1 {
            versions.push(Indexed {
                id: id.to_vec(),
                event: payload["event"].as_str().unwrap().to_owned(),
                status: payload["record"]["status"].as_str().unwrap().to_owned(),
                payload: payload.clone(),
                substance: substance(payload),
            });
            OutcomeKind::Indexed
        } else if version > head {
            OutcomeKind::Gap
        } else if versions[usize::try_from(version).unwrap() - 1].substance == substance(payload) {
            OutcomeKind::Duplicate
        } else {
            OutcomeKind::Conflict
        };
        let (record_id, kind) = (record_id.to_owned(), kind.into());
        Outcome { submission_id: id.to_vec(), kind, record_id, version, head, ..Default::default() }
    }
}

/// The digest as the hub makes it from the department's secret.
pub(crate) fn substance(payload: &serde_json::Value) -> Vec<u8> {
    let mut key = [0; 32];
    let extracted = aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA256, &[]).extract(&SECRET);
    let info: [&[u8]; 1] = [b"weft digest v1"];
    extracted.expand(&info, aws_lc_rs::hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    weft_record::digest::substance_digest(&key, payload).to_vec()
}

pub(crate) fn payload(sealed: &[u8]) -> serde_json::Value {
    let token = Token::parse(std::str::from_utf8(sealed).unwrap(), Limits::default()).unwrap();
    token.process().unwrap().into()
}

type Answers = ReceiverStream<Result<PublishResponse, Status>>;

#[tonic::async_trait]
impl Publishing for Hub {
    type PublishStream = Answers;

    async fn publish(&self, request: Request<Streaming<PublishRequest>>) -> Result<Response<Answers>, Status> {
        assert!(publishing_server::SERVICE_NAME.ends_with("Publishing"));
        let mut requests = request.into_inner();
        let (sender, answers) = tokio::sync::mpsc::channel(64);
        let hub = self.clone();
        hub.with(|state| state.streams += 1);
        tokio::spawn(async move {
            while let Some(Ok(request)) = requests.next().await {
                for message in hub.answer(request) {
                    if sender.send(message).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn heads(&self, request: Request<HeadsRequest>) -> Result<Response<HeadsResponse>, Status> {
        let request = request.into_inner();
        if self.with(|state| state.faults.not_yours.as_ref() == Some(&request.record_type)) {
            return Err(weft_proto::reason::Refusal::new(weft_proto::Reason::NotYourType).into());
        }
        let size = usize::try_from(request.page_size).unwrap().min(2);
        let of = format!("{}.", request.record_type);
        Ok(Response::new(self.with(|state| {
            let after = |id: &&String| id.starts_with(&of) && id.as_str() > request.page_token.as_str();
            let ids: Vec<String> = state.records.keys().filter(after).take(size).cloned().collect();
            let head = |id: &String| {
                let versions = &state.records[id];
                let last = versions.last()?;
                let status = last.status.clone();
                let substance_digest = last.substance.clone();
                Some(Head { record_id: id.clone(), version: versions.len() as u64, status, substance_digest, iat: 1 })
            };
            let next_page_token =
                if ids.len() == size { ids.last().cloned().unwrap_or_default() } else { String::new() };
            HeadsResponse { heads: ids.iter().filter_map(head).collect(), next_page_token }
        })))
    }

    async fn outcome_of(&self, _: Request<OutcomeOfRequest>) -> Result<Response<OutcomeOfResponse>, Status> {
        Err(Status::unimplemented("not asked for by adapters"))
    }
}

impl Hub {
    fn answer(&self, request: PublishRequest) -> Vec<Result<PublishResponse, Status>> {
        self.with(|state| {
            let mut messages = Vec::new();
            if !request.submissions.is_empty() {
                assert!(request.submissions.len() <= 500);
                let answers: Vec<SubmissionAnswer> =
                    request.submissions.iter().map(|submission| state.take(&submission.sealed)).collect();
                state.batches.push(answers.iter().map(|answer| answer.submission_id.clone()).collect());
                if state.faults.cut_before_answer > 0 {
                    state.faults.cut_before_answer -= 1;
                    return vec![Err(Status::unavailable("cut"))];
                }
                state.answered += 1;
                let ids: Vec<Vec<u8>> = answers.iter().map(|answer| answer.submission_id.clone()).collect();
                messages.push(publish_response::Kind::Answer(BatchAnswer { batch: request.batch, answers }));
                if !state.faults.silent {
                    messages.extend(
                        ids.iter()
                            .filter_map(|id| state.outcomes.get(id))
                            .cloned()
                            .map(publish_response::Kind::Outcome),
                    );
                }
            }
            for id in &request.watch {
                state.watched.insert(id.clone());
                messages.extend(state.outcomes.get(id).cloned().map(publish_response::Kind::Outcome));
            }
            messages.into_iter().map(|kind| Ok(PublishResponse { kind: Some(kind) })).collect()
        })
    }
}

#[tonic::async_trait]
impl Enrolment for Hub {
    async fn redeem(&self, request: Request<RedeemRequest>) -> Result<Response<RedeemResponse>, Status> {
        let request = request.into_inner();
        if request.secret != "once" {
            return Err(Status::permission_denied("no"));
        }
        let identity = format!("spiffe://{HUB_NAME}/department/market-regulation/adapter/main");
        let csr = CertificateSigningRequestParams::from_der(&request.csr.as_slice().into()).unwrap();
        let mut csr = csr;
        csr.params.subject_alt_names = vec![SanType::URI(identity.clone().try_into().unwrap())];
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.ca.2, &self.ca.1);
        let jwk: serde_json::Value = serde_json::from_str(&request.sealing_jwk).unwrap();
        Ok(Response::new(RedeemResponse {
            identity,
            certificate_pem: csr.signed_by(&issuer).unwrap().pem(),
            ca_pem: self.ca.0.clone(),
            hub_name: HUB_NAME.into(),
            department_secret: SECRET.to_vec(),
            sealing_key_state: KeyState::Active.into(),
            sealing_key_fingerprint: jwk["kid"].as_str().unwrap().to_owned(),
        }))
    }
}
