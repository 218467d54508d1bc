//! Other CAs, as their files say they are, kept current without a restart.
//!
//! A file that is half written is passed over and what it said before stays. A revocation list that is missing, out of date or of another
//! issuer closes its CA: nobody comes in by it until a good one is there. Each is an alarm.

use std::{io::ErrorKind, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::FromDer;

use super::certificate::Serving;
use crate::{
    alarms::{Alarms, REVOCATION_LIST_UNUSABLE, TLS_FILE_UNUSABLE},
    clock::{Millis, SharedClock},
    config::{ClientCa, Config},
    hub::Error,
    identity::{
        is_name, tls,
        trust::{Authority, EXPIRED, MISSING, OF_ANOTHER, OnUnusable, Trust, TrustError, verifier_of},
    },
    keys::Keys,
};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// The same trouble is one alarm an hour.
const HOUR_MS: Millis = 3_600_000;

/// What the API listener trusts now.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// Asked at every connection, and again when its generation changes.
    pub trust: Arc<ArcSwap<Trust>>,
    /// The listener's TLS, with the same trust in it.
    pub tls: Arc<ArcSwap<ServerConfig>>,
}

/// Keeps [`Trusted`] current.
#[derive(Debug)]
pub struct Authorities {
    config: Config,
    keys: Arc<Keys>,
    serving: Arc<tls::ServerCertificate>,
    alarms: Arc<Alarms>,
    clock: SharedClock,
    known: Vec<Known>,
    generation: u64,
}

/// One CA, as it was last understood.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    authority: Authority,
    /// Why nobody comes in by it.
    closed: Option<&'static str>,
}

impl Authorities {
    /// Reads the files for the first time. A CA whose own certificate cannot be read is an error; one whose revocation list cannot is closed.
    pub fn open(
        config: &Config,
        keys: &Arc<Keys>,
        serving: &Serving,
        alarms: &Arc<Alarms>,
        clock: &SharedClock,
    ) -> Result<(Self, Trusted), Error> {
        check(&config.tls.client_ca).map_err(Error::Tls)?;
        let mut authorities = Self {
            config: config.clone(),
            keys: Arc::clone(keys),
            serving: Arc::clone(&serving.current),
            alarms: Arc::clone(alarms),
            clock: Arc::clone(clock),
            known: Vec::new(),
            generation: 0,
        };
        for ca in &config.tls.client_ca {
            let certificates = certificates(ca).map_err(|error| Error::Tls(error.to_string()))?;
            let authority =
                Authority { name: ca.name.clone(), prefixes: ca.prefixes.clone(), certificates, lists: None };
            authorities.known.push(Known { authority, closed: Some(MISSING) });
        }
        authorities.known = authorities.read();
        let (trust, tls) = authorities.build().map_err(|error| Error::Tls(error.to_string()))?;
        let trusted = Trusted { trust: Arc::new(ArcSwap::new(trust)), tls: Arc::new(ArcSwap::from_pointee(tls)) };
        Ok((authorities, trusted))
    }

    /// Takes up what changed, until `stop`.
    pub async fn keep_current(mut self, trusted: Trusted, stop: CancellationToken) {
        if self.known.is_empty() {
            return stop.cancelled().await;
        }
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            let known = self.read();
            if known == self.known {
                continue;
            }
            let before = std::mem::replace(&mut self.known, known);
            self.generation += 1;
            match self.build() {
                Ok((trust, tls)) => {
                    tracing::info!(generation = self.generation, "certificate authorities were read anew");
                    trusted.trust.store(trust);
                    trusted.tls.store(Arc::new(tls));
                }
                Err(error) => {
                    self.known = before;
                    tracing::error!(%error, "certificate authorities cannot be used, what was before stays");
                }
            }
        }
    }

    fn build(&self) -> Result<(Arc<Trust>, ServerConfig), tls::TlsError> {
        let alarms = Arc::clone(&self.alarms);
        let on_unusable: OnUnusable =
            Arc::new(move |name, why| alarms.raise(REVOCATION_LIST_UNUSABLE, &subject(name), HOUR_MS, why));
        let open: Vec<Authority> = self.known.iter().map(|known| known.authority.clone()).collect();
        let trust = Trust::new(self.keys.ca.certificate_pem(), &open, self.generation, on_unusable);
        let trust = Arc::new(trust.map_err(tls::TlsError::from)?);
        let config = tls::mutual(Arc::clone(&self.serving), Arc::clone(&trust), self.config.tls.allow_tls12)?;
        Ok((trust, config))
    }

    /// What the files say now; of one that cannot be understood, what it said before.
    fn read(&self) -> Vec<Known> {
        self.config.tls.client_ca.iter().zip(&self.known).map(|(ca, known)| self.read_one(ca, known)).collect()
    }

    fn read_one(&self, ca: &ClientCa, known: &Known) -> Known {
        let subject = subject(&ca.name);
        let unusable = |error: TrustError| self.alarms.raise(TLS_FILE_UNUSABLE, &subject, HOUR_MS, &error.why);
        let mut authority = known.authority.clone();
        match certificates(ca) {
            Ok(certificates) => authority.certificates = certificates,
            Err(error) => unusable(error),
        }
        match lists(ca, &authority) {
            Ok(lists) => authority.lists = lists,
            Err(error) => unusable(error),
        }
        let closed = closed(&authority, self.clock.now());
        if let Some(why) = closed {
            self.alarms.raise(REVOCATION_LIST_UNUSABLE, &subject, HOUR_MS, why);
        }
        Known { authority, closed }
    }
}

fn subject(name: &str) -> String {
    format!("client_ca/{name}")
}

/// Each CA has a name and beginnings of paths of its own, which no other may vouch for.
fn check(configured: &[ClientCa]) -> Result<(), String> {
    for (at, ca) in configured.iter().enumerate() {
        let refused = |why: String| Err(format!("tls.client_ca {}: {why}", ca.name));
        if !is_name(&ca.name) || configured[..at].iter().any(|one| one.name == ca.name) {
            return refused("name must be 1 to 41 of a-z, 0-9 and -, and no other's".into());
        }
        if ca.prefixes.is_empty() {
            return refused("prefixes must name at least one beginning of an identity's path".into());
        }
        for prefix in &ca.prefixes {
            if !["department/", "window/", "operator/"].iter().any(|kind| prefix.starts_with(kind)) {
                return refused(format!("prefix {prefix:?} must begin with department/, window/ or operator/"));
            }
            let others = configured[..at].iter().flat_map(|one| &one.prefixes);
            if let Some(other) = others.into_iter().find(|one| one.starts_with(prefix) || prefix.starts_with(*one)) {
                return refused(format!(
                    "prefix {prefix:?} and another authority's {other:?} name the same identities"
                ));
            }
        }
    }
    Ok(())
}

fn read(ca: &ClientCa, file: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrustError { name: ca.name.clone(), why: format!("{}: {error}", file.display()) }),
    }
}

fn unreadable(ca: &ClientCa, file: &Path, why: impl std::fmt::Display) -> TrustError {
    TrustError { name: ca.name.clone(), why: format!("{} cannot be read: {why}", file.display()) }
}

fn certificates(ca: &ClientCa) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let text = read(ca, &ca.file)?.ok_or_else(|| unreadable(ca, &ca.file, "there is no such file"))?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unreadable(ca, &ca.file, error))?;
    let readable = |one: &CertificateDer<'_>| x509_parser::parse_x509_certificate(one).is_ok();
    if certificates.is_empty() || !certificates.iter().all(readable) {
        return Err(unreadable(ca, &ca.file, "it holds no whole certificate"));
    }
    Ok(certificates)
}

/// The revocation lists; `None` where the file is not there.
fn lists(
    ca: &ClientCa,
    authority: &Authority,
) -> Result<Option<Vec<CertificateRevocationListDer<'static>>>, TrustError> {
    let Some(text) = read(ca, &ca.crl_file)? else { return Ok(None) };
    let lists = CertificateRevocationListDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| unreadable(ca, &ca.crl_file, error))?;
    if lists.is_empty() {
        return Err(unreadable(ca, &ca.crl_file, "it holds no whole revocation list"));
    }
    verifier_of(authority, &lists)?;
    Ok(Some(lists))
}

/// Why nobody comes in by a CA; whether a list's signature is good is found at the handshake.
fn closed(authority: &Authority, now: Millis) -> Option<&'static str> {
    let Some(lists) = &authority.lists else { return Some(MISSING) };
    for certificate in &authority.certificates {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return Some(OF_ANOTHER) };
        let own = lists.iter().filter_map(|list| {
            let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(list).ok()?;
            (list.issuer() == certificate.subject()).then(|| list.next_update().map(|at| at.timestamp()))
        });
        let ends: Vec<Option<i64>> = own.collect();
        if ends.is_empty() {
            return Some(OF_ANOTHER);
        }
        if !ends.iter().any(|end| end.is_some_and(|end| end > now.div_euclid(1000))) {
            return Some(EXPIRED);
        }
    }
    None
}
