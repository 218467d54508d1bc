//! Hostile inputs, rows 1 to 6: who is let in to the API listener, and who is not.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use weft_hub::{config::ClientCa, keys::Keys};
use weft_proto::{
    Reason,
    reason::reason_of,
    v1::{
        self, OutcomeKind, operator_client::OperatorClient, publishing_client::PublishingClient,
        query_client::QueryClient, renewal_client::RenewalClient,
    },
};
use weft_record::status::{Event, Status};
use weft_tests::{
    client::{Credentials, connect, tls},
    department::{Example, TestDepartment},
    eventually,
    hub::{OPERATOR_NAMES, TestHub},
    window::{ITEM, look},
};

const TYPE: &str = "business-licence";
/// One second is what is asked for; a slow machine that builds beside the test gets more. What hangs takes longer still.
const PROMPT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const CUT_OFF: Duration = Duration::from_secs(10);
const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

type Authority = Issuer<'static, KeyPair>;

/// What a forged client certificate says.
struct Forged {
    names: Vec<SanType>,
    common_name: String,
    usage: ExtendedKeyUsagePurpose,
    years: (i32, i32),
    serial: String,
}

impl Forged {
    /// Right in every way for an operator, down to the serial that the registry knows.
    fn operator(hub: &TestHub) -> Self {
        let keys = Keys::open(&hub.config.keys_dir).unwrap();
        Self {
            names: vec![uri("spiffe://weft.test/operator/wang")],
            common_name: "weft".into(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            years: (2020, 2080),
            serial: keys.operators["operator/wang"].clone(),
        }
    }

    fn named(self, names: Vec<SanType>) -> Self {
        Self { names, ..self }
    }

    fn sign(&self, authority: &Authority) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.subject_alt_names.clone_from(&self.names);
        params.extended_key_usages = vec![self.usage.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from_slice(&hex::decode(&self.serial).unwrap()));
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        let certificate = params.signed_by(&key, authority).unwrap();
        Credentials { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// The hub's own authority, as nobody outside its key directory has it.
fn hubs_authority(hub: &TestHub) -> Authority {
    let ring = std::fs::read(hub.config.keys_dir.join(weft_hub::keys::KEYRING)).unwrap();
    let ring: serde_json::Value = serde_json::from_slice(&ring).unwrap();
    let key = KeyPair::from_pem(ring["ca_key"].as_str().unwrap()).unwrap();
    Issuer::from_ca_cert_pem(ring["ca_certificate"].as_str().unwrap(), key).unwrap()
}

/// Another authority under the very name of the hub's.
fn other_authority() -> (String, Authority) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Weft CA weft.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key).unwrap().pem();
    let authority = Issuer::from_ca_cert_pem(&pem, key).unwrap();
    (pem, authority)
}

/// Shakes hands and waits for the first byte of HTTP/2: the server refuses a client certificate after the client
/// believes that all is well.
async fn is_let_in(address: SocketAddr, config: rustls::ClientConfig) -> Result<rustls::HandshakeKind, String> {
    let attempt = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let mut stream = connected.map_err(|error| error.to_string())?;
        // It may be closed already: then reading says why.
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        let mut first = [0; 1];
        match stream.read(&mut first).await {
            Ok(0) => Err("closed".to_owned()),
            Ok(_) => Ok(stream.get_ref().1.handshake_kind().expect("a handshake")),
            Err(error) => Err(error.to_string()),
        }
    };
    timeout(PROMPT, attempt).await.expect("an answer in time")
}

async fn refused_as(hub: &TestHub, credentials: &Credentials) -> Option<Reason> {
    let begun = tokio::time::Instant::now();
    let channel = connect(hub.api, &hub.ca(), Some(credentials)).await.expect("the chain itself is good");
    let status = OperatorClient::new(channel).list_departments(v1::ListDepartmentsRequest {}).await.unwrap_err();
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    reason_of(&status)
}

/// The hub serves a record of body `number` as if nothing had been.
async fn still_serves(department: &TestDepartment, number: u32) {
    let sealed = department.seal(&Example::business_licence(number), 1, Event::Issue, Status::Valid);
    let heard = department.publish(std::slice::from_ref(&sealed)).await;
    assert_eq!(heard.outcome(&sealed), OutcomeKind::Indexed);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_1_and_2_without_a_certificate_in_force_the_handshake_is_refused() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let (ca, authority) = (hub.ca(), hubs_authority(&hub));
    let with = |credentials: &Credentials| tls(&ca, Some(credentials), TLS13);

    // The same attempt with the right certificate is let in: so the refusals below are of what they name.
    is_let_in(hub.api, with(&Forged::operator(&hub).sign(&authority))).await.expect("the right certificate");

    is_let_in(hub.api, tls(&ca, None, TLS13)).await.expect_err("row 1: no certificate");
    let forged = |change: fn(&mut Forged)| {
        let mut forged = Forged::operator(&hub);
        change(&mut forged);
        forged
    };
    for (what, credentials) in [
        ("expired", forged(|one| one.years = (2020, 2021)).sign(&authority)),
        ("not yet valid", forged(|one| one.years = (2090, 2095)).sign(&authority)),
        ("for servers only", forged(|one| one.usage = ExtendedKeyUsagePurpose::ServerAuth).sign(&authority)),
        ("of another authority", Forged::operator(&hub).sign(&other_authority().1)),
    ] {
        let refusal = is_let_in(hub.api, with(&credentials)).await;
        refusal.err().unwrap_or_else(|| panic!("row 2: a certificate {what} was let in"));
    }
    // The hub's own server certificate names no client.
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let own = Credentials { certificate: certificate.pem(), key: key.serialize_pem() };
    is_let_in(hub.api, with(&own)).await.expect_err("row 2: signed by itself");

    still_serves(&department, 100).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_1_plain_http_2_on_the_tls_port_is_refused() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    for address in [hub.api, hub.enrolment] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut answer = Vec::new();
        // A reset is a refusal too.
        let _ = timeout(PROMPT, stream.read_to_end(&mut answer)).await.expect("it is closed in time");
        assert!(answer.is_empty() || answer[0] == 0x15, "nothing but a TLS alert: {answer:?}");
    }
    still_serves(&department, 101).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_3_nobody_is_known_by_part_of_a_name() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let authority = hubs_authority(&hub);
    let whole = "spiffe://weft.test/operator/wang";
    let nobody: Vec<(&str, Forged)> = vec![
        ("the name in the CN alone", Forged { common_name: whole.into(), ..Forged::operator(&hub) }.named(Vec::new())),
        ("the name as a DNS name", {
            let dns = SanType::DnsName("wang.operator.weft.test".try_into().unwrap());
            Forged { common_name: whole.into(), ..Forged::operator(&hub) }.named(vec![dns])
        }),
        ("a second URI", Forged::operator(&hub).named(vec![uri(whole), uri("spiffe://weft.test/operator/li")])),
        ("the same URI twice", Forged::operator(&hub).named(vec![uri(whole), uri(whole)])),
        ("*", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/*")])),
        ("a trailing dot", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/wang.")])),
        ("a domain's trailing dot", Forged::operator(&hub).named(vec![uri("spiffe://weft.test./operator/wang")])),
        ("NUL", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/wang\0.example")])),
        ("NUL at the end", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/wang\0")])),
        ("upper case", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/WANG")])),
        ("an upper-case domain", Forged::operator(&hub).named(vec![uri("spiffe://WEFT.TEST/operator/wang")])),
        ("another domain", Forged::operator(&hub).named(vec![uri("spiffe://weft.test.example/operator/wang")])),
        ("dots", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/window/../operator/wang")])),
        ("a percent", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/wan%67")])),
        ("a trailing slash", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/wang/")])),
        ("a query", Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/wang?x=1")])),
    ];
    for (what, forged) in nobody {
        assert_eq!(refused_as(&hub, &forged.sign(&authority)).await, Some(Reason::NoIdentity), "{what}");
    }
    // A whole name that nobody registered, and a registered one under a serial that the registry never saw.
    let stranger = Forged::operator(&hub).named(vec![uri("spiffe://weft.test/operator/zhao")]);
    assert_eq!(refused_as(&hub, &stranger.sign(&authority)).await, Some(Reason::IdentityRevoked));
    let unseen = Forged { serial: "40".repeat(16), ..Forged::operator(&hub) };
    assert_eq!(refused_as(&hub, &unseen.sign(&authority)).await, Some(Reason::IdentityRevoked));

    still_serves(&department, 102).await;
    hub.stop().await;
}

/// Another authority, with its files as a hub's configuration names them.
struct Theirs {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Theirs {
    fn new() -> Self {
        let (pem, authority) = other_authority();
        let folder = weft_tests::folder::scratch("authority");
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        let theirs = Self { authority, folder };
        theirs.publish(&theirs.list(&[], 2080));
        theirs
    }

    fn configured(&self, prefixes: &[&str]) -> ClientCa {
        ClientCa {
            name: "city".into(),
            file: self.folder.path().join("ca.pem"),
            crl_file: self.folder.path().join("crl.pem"),
            prefixes: prefixes.iter().map(ToString::to_string).collect(),
        }
    }

    /// A revocation list of these serial numbers, good until the first day of a year.
    fn list(&self, revoked: &[&str], until: i32) -> String {
        revocation_list(&self.authority, revoked, until)
    }

    /// Puts a list in place as the operator's page says: written beside it, then renamed.
    fn publish(&self, list: &str) {
        let beside = self.folder.path().join("crl.new");
        std::fs::write(&beside, list).unwrap();
        std::fs::rename(beside, self.folder.path().join("crl.pem")).unwrap();
    }

    /// A certificate of theirs for an identity's path.
    fn certificate(&self, hub: &TestHub, path: &str, serial: &str) -> Credentials {
        let names = vec![uri(&format!("spiffe://weft.test/{path}"))];
        Forged { serial: serial.into(), ..Forged::operator(hub) }.named(names).sign(&self.authority)
    }
}

fn revocation_list(authority: &Authority, revoked: &[&str], until: i32) -> String {
    let one = |serial: &&str| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&hex::decode(serial).unwrap()),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(one).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().pem().unwrap()
}

async fn admit(hub: &TestHub, identity: &str, authority: &str) -> Result<v1::Change, tonic::Status> {
    let request = v1::AdmitIdentityRequest {
        identity: identity.into(),
        authority: authority.into(),
        why: "the city's hall".into(),
    };
    Ok(hub.operator(OPERATOR_NAMES[0]).await.admit_identity(request).await?.into_inner())
}

async fn register_window(hub: &TestHub, name: &str) {
    let request =
        v1::RegisterWindowRequest { window: name.into(), name_zh: "市级窗口".into(), hall: String::new() };
    hub.operator(OPERATOR_NAMES[0]).await.register_window(request).await.expect("it is registered");
}

async fn queries(hub: &TestHub, credentials: &Credentials) -> QueryClient<tonic::transport::Channel> {
    QueryClient::new(connect(hub.api, &hub.ca(), Some(credentials)).await.expect("the chain itself is good"))
}

/// Whether a look of this connection is let through to the grants: nobody has one.
async fn admitted(client: &QueryClient<tonic::transport::Channel>) -> Option<Reason> {
    let by = Some(v1::get_record_request::By::RecordId(format!("{TYPE}.market-regulation.{}", "a".repeat(26))));
    let request = v1::GetRecordRequest { look: Some(look(ITEM, None)), by };
    reason_of(&client.clone().get_record(request).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_4_another_authority_speaks_for_whom_an_operator_admitted_and_for_nobody_else() {
    let theirs = Theirs::new();
    let configured = theirs.configured(&["window/city-"]);
    let mut hub = TestHub::start_with(|config| config.tls.client_ca.push(configured)).await;
    let department = hub.department("market-regulation", &[TYPE]).await;

    // Theirs is trusted for a handshake, but speaks for nobody else, not even with a serial that is in force.
    for name in ["operator/wang", "window/hall-1", "window/city", "department/market-regulation/adapter/main"] {
        let forged = theirs.certificate(&hub, name, &Forged::operator(&hub).serial);
        assert_eq!(refused_as(&hub, &forged).await, Some(Reason::NoIdentity), "{name}");
    }
    // What it may name still needs the registry's word.
    let (first, second) = ("01".repeat(16), "a2".repeat(16));
    let credentials = theirs.certificate(&hub, "window/city-1", &first);
    assert_eq!(refused_as(&hub, &credentials).await, Some(Reason::IdentityRevoked));
    for (identity, authority, reason) in [
        ("window/city-1", "town", Reason::BadRequest),
        ("window/city-1", "", Reason::BadRequest),
        ("window/hall-1", "city", Reason::BadRequest),
        ("operator/zhao", "city", Reason::BadRequest),
        ("window/city-1", "city", Reason::NotFound),
    ] {
        let status = admit(&hub, identity, authority).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(reason), "{identity} through {authority}: {status}");
    }
    register_window(&hub, "city-1").await;
    let change = admit(&hub, "window/city-1", "city").await.unwrap();
    assert_eq!((change.entity.as_str(), change.revision), ("identity/window/city-1", 1));
    assert_eq!(reason_of(&admit(&hub, "window/city-1", "city").await.unwrap_err()), Some(Reason::AlreadyExists));
    let open = queries(&hub, &credentials).await;
    let other = queries(&hub, &theirs.certificate(&hub, "window/city-1", &second)).await;
    assert_eq!((admitted(&open).await, admitted(&other).await), (Some(Reason::Denied), Some(Reason::Denied)));
    one_authority_speaks_for_an_identity(&hub, &theirs, &first).await;

    // The registry's word is first: one certificate, then the identity, at the next request of what is open.
    let taken_back =
        |serial: String| v1::RevokeIdentityRequest { identity: "window/city-1".into(), why: "lost".into(), serial };
    let mut operator = hub.operator(OPERATOR_NAMES[0]).await;
    operator.revoke_identity(taken_back(first.to_uppercase())).await.unwrap();
    assert_eq!((admitted(&open).await, admitted(&other).await), (Some(Reason::IdentityRevoked), Some(Reason::Denied)));
    assert_eq!(refused_as(&hub, &credentials).await, Some(Reason::IdentityRevoked));
    operator.revoke_identity(taken_back(String::new())).await.unwrap();
    assert_eq!(admitted(&other).await, Some(Reason::IdentityRevoked));
    // Who is admitted again comes back, but not with the certificate that was taken back.
    admit(&hub, "window/city-1", "city").await.unwrap();
    assert_eq!((admitted(&open).await, admitted(&other).await), (Some(Reason::IdentityRevoked), Some(Reason::Denied)));

    still_serves(&department, 103).await;
    hub.stop().await;
}

/// Of the hub's own authority and theirs, each for its own.
async fn one_authority_speaks_for_an_identity(hub: &TestHub, theirs: &Theirs, serial: &str) {
    // The hub's own authority does not speak for one of theirs any more, nor renew its certificates.
    let names = vec![uri("spiffe://weft.test/window/city-1")];
    let of_the_hub = Forged { serial: serial.into(), ..Forged::operator(hub) }.named(names).sign(&hubs_authority(hub));
    assert_eq!(refused_as(hub, &of_the_hub).await, Some(Reason::IdentityRevoked));
    let credentials = theirs.certificate(hub, "window/city-1", serial);
    let channel = connect(hub.api, &hub.ca(), Some(&credentials)).await.unwrap();
    let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let renewed = RenewalClient::new(channel).renew(v1::RenewRequest { csr }).await.unwrap_err();
    assert_eq!(reason_of(&renewed), Some(Reason::WrongState));
    // Nor does theirs for one whom the hub's own has certified, with that certificate's number.
    let own = hub.window("city-2").await;
    let serial = weft_hub::identity::presented(&der_of(&own.credentials.certificate), "weft.test").unwrap().serial;
    let stolen = theirs.certificate(hub, "window/city-2", &serial);
    assert_eq!(refused_as(hub, &stolen).await, Some(Reason::IdentityRevoked));
    assert_eq!(reason_of(&admit(hub, "window/city-2", "city").await.unwrap_err()), Some(Reason::WrongState));
    assert_eq!(admitted(&own.client).await, Some(Reason::Denied));
}

fn der_of(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// A hub that knows one window by another authority's certificate.
struct City {
    hub: TestHub,
    ca: String,
    theirs: Theirs,
    credentials: Credentials,
}

/// The number of its certificate.
const CITY_SERIAL: &str = "01010101010101010101010101010101";

impl City {
    async fn open() -> Self {
        let theirs = Theirs::new();
        let configured = theirs.configured(&["window/city-"]);
        let hub = TestHub::start_with(|config| config.tls.client_ca.push(configured)).await;
        register_window(&hub, "city-1").await;
        admit(&hub, "window/city-1", "city").await.unwrap();
        let credentials = theirs.certificate(&hub, "window/city-1", CITY_SERIAL);
        Self { ca: hub.ca(), hub, theirs, credentials }
    }

    async fn attempt(&self) -> Result<rustls::HandshakeKind, String> {
        is_let_in(self.hub.api, tls(&self.ca, Some(&self.credentials), TLS13)).await
    }

    async fn let_in(&self) {
        eventually(PATIENCE, || self.attempt()).await;
    }

    async fn kept_out(&self, what: &str) {
        eventually(PATIENCE, || async {
            match self.attempt().await {
                Ok(_) => Err(format!("{what}: still let in")),
                Err(_) => Ok(()),
            }
        })
        .await;
    }

    async fn alarms(&self, alarm: &str, said: &str) -> usize {
        self.hub.alarms().await.iter().filter(|one| one.alarm == alarm && one.detail.contains(said)).count()
    }

    fn good(&self) -> String {
        self.theirs.list(&[], 2080)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_4_without_a_good_revocation_list_nobody_comes_in_by_its_authority() {
    let city = City::open().await;
    city.attempt().await.expect("a good list that does not name it");
    for (what, list) in [
        ("on the list", city.theirs.list(&[CITY_SERIAL], 2080)),
        ("out of date", city.theirs.list(&[], 2021)),
        ("of another issuer under its name", revocation_list(&other_authority().1, &[], 2080)),
    ] {
        let open = queries(&city.hub, &city.credentials).await;
        assert_eq!(admitted(&open).await, Some(Reason::Denied), "{what}");
        city.theirs.publish(&list);
        city.kept_out(what).await;
        // An open connection ends within 10 s.
        eventually(CUT_OFF, || async {
            match admitted(&open).await {
                Some(Reason::IdentityRevoked) => Ok(()),
                other => Err(format!("{what}: {other:?}")),
            }
        })
        .await;
        city.theirs.publish(&city.good());
        city.let_in().await;
    }
    std::fs::remove_file(city.theirs.folder.path().join("crl.pem")).unwrap();
    city.kept_out("missing").await;
    city.theirs.publish(&city.good());
    city.let_in().await;
    for said in ["out of date", "another issuer", "missing"] {
        eventually(PATIENCE, || async {
            match city.alarms("revocation_list_unusable", said).await {
                1 => Ok(()),
                number => Err(format!("{number} alarms: {said}")),
            }
        })
        .await;
    }
    let mut hub = city.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_5_files_are_replaced_under_500_open_streams_and_half_a_file_changes_nothing() {
    let city = City::open().await;
    let department = city.hub.department("market-regulation", &[TYPE]).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let channel = connect(city.hub.api, &city.ca, Some(&department.credentials)).await.unwrap();
        let client = PublishingClient::new(channel);
        for _ in 0..100 {
            streams.push(idle_stream(&client, false).await);
        }
    }
    let crl_file = city.theirs.folder.path().join("crl.pem");
    // Who was kept out still is.
    city.theirs.publish(&city.theirs.list(&[CITY_SERIAL], 2080));
    city.kept_out("on the list").await;
    let good = city.good();
    for half in ["", &good[..good.len() / 2], "no list at all"] {
        std::fs::write(&crl_file, half).unwrap();
        told_again(&city).await;
        city.attempt().await.expect_err("the list before named it");
    }
    // And who was let in.
    city.theirs.publish(&good);
    city.let_in().await;
    std::fs::write(&crl_file, &good[..good.len() / 2]).unwrap();
    std::fs::write(city.theirs.folder.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    told_again(&city).await;
    city.attempt().await.expect("the list before did not name it");

    for (at, (_, stream)) in streams.iter_mut().enumerate() {
        assert!(timeout(Duration::from_millis(1), stream.message()).await.is_err(), "stream {at} was dropped");
    }
    still_serves(&department, 106).await;
    let mut hub = city.hub;
    hub.stop().await;
}

/// Waits until the hub has looked at a file that it cannot use: the same trouble is told once an hour, so the clock goes on by one.
async fn told_again(city: &City) {
    let told = city.alarms("tls_file_unusable", "crl.pem").await;
    let now = weft_hub::clock::Clock::now(city.hub.clock.as_ref());
    let ahead = now - weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock);
    city.hub.clock.shift_to(ahead + 3_600_000);
    eventually(PATIENCE, || async {
        let now = city.alarms("tls_file_unusable", "crl.pem").await;
        if now > told { Ok(()) } else { Err("not told".to_owned()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_4_no_two_authorities_are_configured_for_the_same_names() {
    let theirs = Theirs::new();
    let named = |name: &str, prefixes: &[&str]| ClientCa { name: name.into(), ..theirs.configured(prefixes) };
    for (what, configured) in [
        ("a prefix of everything", vec![named("city", &[""])]),
        ("no prefix", vec![named("city", &[])]),
        ("a prefix across kinds", vec![named("city", &["w"])]),
        ("no name", vec![named("", &["window/city-"])]),
        ("one name twice", vec![named("city", &["window/city-"]), named("city", &["window/town-"])]),
        ("one within the other", vec![named("city", &["window/city-"]), named("town", &["window/city-1"])]),
        ("the same", vec![named("city", &["window/city-"]), named("town", &["window/town-", "window/city-"])]),
    ] {
        let mut hub = TestHub::start_with(|config| config.tls.client_ca = configured).await;
        let error = hub.ended().await.expect_err(what).to_string();
        assert!(error.contains("client_ca"), "{what}: {error}");
    }
    let file = "[[tls.client_ca]]\nname = 'city'\nfile = 'ca.pem'\nprefixes = ['window/city-']";
    let error = weft_hub::config::Config::parse(file).expect_err("a list is mandatory").to_string();
    assert!(error.contains("crl_file"), "{error}");
}

/// Opens a publish stream and sends nothing; with `half_closed` the sending side is closed, as it stands while an adapter
/// waits for its last outcomes.
async fn idle_stream(
    client: &PublishingClient<tonic::transport::Channel>,
    half_closed: bool,
) -> (Option<mpsc::Sender<v1::PublishRequest>>, tonic::Streaming<v1::PublishResponse>) {
    let (sender, requests) = mpsc::channel(1);
    let answers = client.clone().publish(ReceiverStream::new(requests)).await.unwrap().into_inner();
    ((!half_closed).then_some(sender), answers)
}

async fn revoke(hub: &TestHub, identity: &str) {
    let request =
        v1::RevokeIdentityRequest { identity: identity.into(), why: "taken away".into(), serial: String::new() };
    hub.operator(OPERATOR_NAMES[0]).await.revoke_identity(request).await.expect("it is revoked");
}

async fn heads(client: &PublishingClient<tonic::transport::Channel>) -> Result<(), tonic::Status> {
    let request = v1::HeadsRequest { record_type: TYPE.into(), ..Default::default() };
    client.clone().heads(request).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_4_a_revoked_identity_is_cut_off_on_open_streams_and_new_connections() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let other = hub.department("civil-affairs", &["marriage-certificate"]).await;
    let window = hub.window("hall-1").await;
    let (_sender, mut idle) = idle_stream(&department.client, false).await;
    let (_, mut listening) = idle_stream(&department.client, true).await;
    let (_kept, mut others) = idle_stream(&other.client, false).await;
    heads(&department.client).await.expect("in force");

    let begun = tokio::time::Instant::now();
    revoke(&hub, "department/market-regulation/adapter/main").await;
    // The open connection: its next request at once, its streams within 10 s, whichever side is idle.
    let status = heads(&department.client).await.expect_err("the next request of the open connection");
    assert_eq!((status.code(), reason_of(&status)), (Code::Unauthenticated, Some(Reason::IdentityRevoked)));
    let status = department.publish_refused().await;
    assert_eq!(reason_of(&status), Some(Reason::IdentityRevoked));
    for (what, stream) in [("idle", &mut idle), ("half closed", &mut listening)] {
        let left = CUT_OFF.saturating_sub(begun.elapsed());
        let ended = timeout(left, stream.message()).await.unwrap_or_else(|_| panic!("{what}: open after 10 s"));
        assert_eq!(ended.unwrap_err().code(), Code::Unauthenticated, "{what}");
    }
    // A new connection.
    assert_eq!(refused_as(&hub, &department.credentials).await, Some(Reason::IdentityRevoked));
    // Others stay.
    assert!(timeout(Duration::from_millis(1), others.message()).await.is_err(), "another's stream goes on");

    // Who joins again has a new certificate; the old one stays out.
    let again = TestDepartment::enrol(&hub, "market-regulation", "main").await;
    still_serves(&again, 104).await;
    assert_eq!(refused_as(&hub, &department.credentials).await, Some(Reason::IdentityRevoked));

    revoke(&hub, "window/hall-1").await;
    let status = window.get("x", look(ITEM, None)).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::IdentityRevoked));
    revoke(&hub, "operator/li").await;
    assert_eq!(refused_as(&hub, &hub.operator_credentials("li")).await, Some(Reason::IdentityRevoked));
    still_serves(&again, 105).await;
    hub.stop().await;
}

/// A department whose stream is refused.
trait Refused {
    /// The status that ends the stream.
    async fn publish_refused(&self) -> tonic::Status;
}

impl Refused for TestDepartment {
    async fn publish_refused(&self) -> tonic::Status {
        let sealed = self.seal(&Example::business_licence(199), 1, Event::Issue, Status::Valid);
        let bytes = vec![sealed.token.into_bytes()];
        weft_tests::department::publish_at(&mut self.client.clone(), bytes).await.expect_err("it is refused")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_2_a_certificate_that_ends_while_its_connection_is_open_ends_there() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    heads(&department.client).await.expect("in force");
    hub.clock.shift_to(91 * 86_400_000);
    let status = heads(&department.client).await.expect_err("its certificate has ended");
    assert_eq!(status.code(), Code::Unauthenticated);
    hub.clock.shift_to(0);
    heads(&department.client).await.expect("in force again");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_tls_1_2_only_where_it_is_switched_on_and_never_a_resumption() {
    let mut hub = TestHub::start().await;
    let (ca, operator) = (hub.ca(), hub.operator_credentials("wang"));
    drop(hub.operator("wang").await);
    is_let_in(hub.api, tls(&ca, Some(&operator), TLS12)).await.expect_err("TLS 1.2");
    is_let_in(hub.enrolment, tls(&ca, None, TLS12)).await.expect_err("TLS 1.2");
    // The second connection proves its certificate as the first did: no ticket to go on with, so no early data either.
    let config = tls(&ca, Some(&operator), TLS13);
    for _ in 0..2 {
        assert_eq!(is_let_in(hub.api, config.clone()).await, Ok(rustls::HandshakeKind::Full));
    }
    hub.stop().await;

    let mut hub = TestHub::start_with(|config| config.tls.allow_tls12 = true).await;
    drop(hub.operator("wang").await);
    let (ca, operator) = (hub.ca(), hub.operator_credentials("wang"));
    is_let_in(hub.api, tls(&ca, Some(&operator), TLS12)).await.expect("switched on");
    hub.stop().await;
}
