//! The built-in certificate authority: signs what the registry has seen, and nothing of a CSR but its public key.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};

use super::Identity;
use crate::clock::{Millis, random};

const DAY_MS: Millis = 86_400_000;

/// How long an identity's certificate lives. It renews itself from day 60.
pub const CERTIFICATE_DAYS: Millis = 90;
const CA_DAYS: Millis = 3650;
/// A certificate is valid from a little before it was made, for clocks that are behind.
const BACKDATE_MS: Millis = 5 * 60_000;

/// What the CA could not do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The CSR is not a readable PKCS#10 request whose signature verifies.
    #[error("the certificate signing request cannot be used: {0}")]
    Csr(String),
    /// The CA's own key or certificate cannot be used.
    #[error("the certificate authority cannot sign: {0}")]
    Own(String),
}

/// The CA's key and certificate.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

/// A certificate that was signed.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM.
    pub pem: String,
    /// Lower-case hex.
    pub serial: String,
    /// When it ends.
    pub not_after: Millis,
}

impl Ca {
    /// Makes a new CA: (certificate PEM, key PEM).
    pub fn create(name: &str, now: Millis) -> Result<(String, String), CaError> {
        let key = KeyPair::generate().map_err(own)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, CA_DAYS)?;
        let certificate = params.self_signed(&key).map_err(own)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Loads a CA from PEM.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key_pem).map_err(own)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(own)?;
        Ok(Self { issuer, certificate_pem: certificate_pem.into() })
    }

    /// The CA's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A serial number for a certificate that is to be signed: 16 random bytes, the first bit zero (RFC 5280 section 4.1.2.2).
    pub fn new_serial() -> String {
        let mut serial = random::<16>();
        serial[0] = (serial[0] & 0x3f) | 0x40;
        hex::encode(serial)
    }

    /// Whether a CSR can be used: readable, and signed by the key that it holds.
    pub fn check_csr(csr_der: &[u8]) -> Result<(), CaError> {
        read_csr(csr_der).map(|_| ())
    }

    /// Signs a client certificate for an identity. Of the CSR only the public key is used, after its signature was checked.
    pub fn sign_identity(
        &self,
        csr_der: &[u8],
        identity: &Identity,
        trust_domain: &str,
        serial: &str,
        now: Millis,
    ) -> Result<Issued, CaError> {
        let csr = read_csr(csr_der)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("weft");
        let uri = identity.uri(trust_domain).try_into().map_err(own)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from_slice(&hex::decode(serial).map_err(own)?));
        set_validity(&mut params, now, CERTIFICATE_DAYS)?;
        let certificate = params.signed_by(&csr.public_key, &self.issuer).map_err(own)?;
        Ok(Issued { pem: certificate.pem(), serial: serial.into(), not_after: now + CERTIFICATE_DAYS * DAY_MS })
    }

    /// Makes a server certificate for these DNS names and IP addresses: (certificate PEM, key PEM, end).
    pub fn server_certificate(&self, names: &[String], now: Millis) -> Result<(String, String, Millis), CaError> {
        let key = KeyPair::generate().map_err(own)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(own)?;
        params.distinguished_name = common_name("weft hub");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from_slice(&hex::decode(Self::new_serial()).map_err(own)?));
        set_validity(&mut params, now, CERTIFICATE_DAYS)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(own)?;
        Ok((certificate.pem(), key.serialize_pem(), now + CERTIFICATE_DAYS * DAY_MS))
    }
}

fn read_csr(der: &[u8]) -> Result<CertificateSigningRequestParams, CaError> {
    CertificateSigningRequestParams::from_der(&der.into()).map_err(|error| CaError::Csr(error.to_string()))
}

fn own(error: impl std::fmt::Display) -> CaError {
    CaError::Own(error.to_string())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, now: Millis, days: Millis) -> Result<(), CaError> {
    params.not_before = moment(now - BACKDATE_MS)?;
    params.not_after = moment(now + days * DAY_MS)?;
    Ok(())
}

fn moment(at: Millis) -> Result<time::OffsetDateTime, CaError> {
    time::OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).map_err(own)
}
