//! The private half of a sealing key. It stays with the adapter; the hub knows [`VerifyingKey`] alone.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::keys::{Algorithm, VerifyingKey};

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Why a private key cannot be made or read. Says nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one PEM block `PRIVATE KEY`.
    #[error("not a pem file with one unencrypted pkcs#8 private key")]
    NotPem,
    /// Not PKCS#8 of an Ed25519 or P-256 key.
    #[error("not a pkcs#8 private key for ed25519 or p-256")]
    NotPkcs8,
    /// The library failed, or the random source gave no usable key.
    #[error("the key could not be made")]
    Unusable,
}

/// A department's private key. Wiped from memory when dropped; never printed.
pub struct SealingKey {
    secret: Secret,
    public: VerifyingKey,
}

enum Secret {
    /// Wiped by ed25519-dalek's own `Drop`.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// Wiped by AWS-LC, which cleanses whatever it frees.
    P256(EcdsaKeyPair),
}

impl SealingKey {
    /// Makes a new key from a cryptographic random source.
    ///
    /// # Errors
    /// The source gave no usable key (for P-256: eight times a number outside the group, which no sound source does).
    pub fn generate(algorithm: Algorithm, random: &mut dyn FnMut(&mut [u8])) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        match algorithm {
            Algorithm::EdDsa => {
                random(seed.as_mut());
                Self::from_ed25519(ed25519_dalek::SigningKey::from_bytes(&seed))
            }
            Algorithm::Es256 => {
                for _ in 0..8 {
                    random(seed.as_mut());
                    let der = ec_private_key(&seed);
                    if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
                        return Self::from_p256(pair);
                    }
                }
                Err(KeyError::Unusable)
            }
        }
    }

    /// Reads PKCS#8 in DER, of either algorithm.
    ///
    /// # Errors
    /// Anything else, another curve, or a public key inside that is not the private key's.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Self::from_ed25519(key);
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| KeyError::NotPkcs8)?;
        Self::from_p256(pair)
    }

    /// Reads PKCS#8 in PEM: one block, nothing else but white space.
    ///
    /// # Errors
    /// As [`SealingKey::from_pkcs8_der`], and any other PEM.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let body =
            pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END)).ok_or(KeyError::NotPem)?;
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| KeyError::NotPem)?);
        Self::from_pkcs8_der(&der)
    }

    /// PKCS#8 version 1 in DER (RFC 5208, RFC 8410).
    ///
    /// # Errors
    /// The library failed.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match &self.secret {
            Secret::Ed25519(key) => {
                let bytes = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                let document = bytes.to_pkcs8_der().map_err(|_| KeyError::Unusable)?;
                Ok(Zeroizing::new(document.as_bytes().to_vec()))
            }
            Secret::P256(pair) => {
                let document = pair.to_pkcs8v1().map_err(|_| KeyError::Unusable)?;
                Ok(Zeroizing::new(document.as_ref().to_vec()))
            }
        }
    }

    /// PKCS#8 in PEM, in lines of 64 characters.
    ///
    /// # Errors
    /// The library failed.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let body = Zeroizing::new(STANDARD.encode(self.to_pkcs8_der()?.as_slice()));
        // Large enough from the start: a buffer that grows would leave copies behind.
        let mut pem = Zeroizing::new(String::with_capacity(body.len() * 2 + 128));
        pem.push_str(PEM_BEGIN);
        for (index, character) in body.chars().enumerate() {
            if index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push('\n');
        pem.push_str(PEM_END);
        pem.push('\n');
        Ok(pem)
    }

    fn from_ed25519(key: ed25519_dalek::SigningKey) -> Result<Self, KeyError> {
        let public = VerifyingKey::ed25519(key.verifying_key().as_bytes()).map_err(|_| KeyError::Unusable)?;
        Ok(Self { secret: Secret::Ed25519(Box::new(key)), public })
    }

    fn from_p256(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Unusable)?;
        let public = VerifyingKey::p256(point).map_err(|_| KeyError::Unusable)?;
        Ok(Self { secret: Secret::P256(pair), public })
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The public half as a JWK with `kid`, `alg` and `use`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public.to_jwk()
    }

    /// The key's name: the RFC 7638 thumbprint of its public half.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Signs a message: 64 bytes, R‖S or r‖s. Also for what is no record: a hub signs its statements with such a key.
    ///
    /// # Errors
    /// The library failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            Secret::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Secret::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Unusable)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({} {}, secret)", self.algorithm().name(), self.kid())
    }
}

/// `ECPrivateKey` (RFC 5915) of a P-256 scalar, without the public point, which the library computes.
fn ec_private_key(scalar: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    const HEAD: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    const TAIL: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut der = Zeroizing::new(Vec::with_capacity(51));
    der.extend_from_slice(&HEAD);
    der.extend_from_slice(scalar);
    der.extend_from_slice(&TAIL);
    der
}
