//! The server's certificate: made by the built-in CA or taken from files, and kept current without a restart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    alarms::{Alarms, TLS_FILE_UNUSABLE},
    clock::{Millis, SharedClock},
    config::Config,
    hub::{Error, read},
    identity::tls,
    keys::Keys,
};

/// The server's certificate and its end.
#[derive(Debug)]
pub struct Serving {
    /// Swapped when a newer one is there.
    pub current: Arc<tls::ServerCertificate>,
    /// When it ends, milliseconds since 1970.
    pub not_after: Arc<AtomicI64>,
}

fn certificate_pems(config: &Config, keys: &Keys, now: Millis) -> Result<(String, String, Millis), Error> {
    match (&config.tls.certificate_file, &config.tls.key_file) {
        (Some(certificate), Some(key)) => {
            let pem = read(certificate)?;
            let end = tls::not_after(&pem).map_err(|error| Error::Tls(error.to_string()))?;
            Ok((pem, read(key)?, end))
        }
        _ => {
            let mut names = vec![config.hub_name.clone(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
            names.extend(config.tls.server_names.iter().cloned());
            names.dedup();
            keys.ca.server_certificate(&names, now).map_err(|error| Error::Tls(error.to_string()))
        }
    }
}

/// The first certificate of a hub that starts.
pub fn server_certificate(config: &Config, keys: &Keys, now: Millis) -> Result<Serving, Error> {
    let (chain, key, end) = certificate_pems(config, keys, now)?;
    let current = tls::ServerCertificate::new(&chain, &key).map_err(|error| Error::Tls(error.to_string()))?;
    Ok(Serving { current: Arc::new(current), not_after: Arc::new(end.into()) })
}

impl Serving {
    /// Takes up a changed certificate file, or makes a new certificate 30 days before the end. What cannot be used leaves the old one.
    pub fn keep_current(
        &self,
        config: Config,
        keys: Arc<Keys>,
        alarms: Arc<Alarms>,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (current, not_after) = (Arc::clone(&self.current), Arc::clone(&self.not_after));
        async move {
            let mut every = tokio::time::interval(Duration::from_secs(5));
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = every.tick() => {}
                }
                let own = config.tls.certificate_file.is_none();
                let ends = not_after.load(Ordering::Relaxed);
                if own && ends - clock.now() > 30 * 86_400_000 {
                    continue;
                }
                let renewed = certificate_pems(&config, &keys, clock.now()).and_then(|(chain, key, end)| {
                    current.replace(&chain, &key).map_err(|error| Error::Tls(error.to_string()))?;
                    Ok(end)
                });
                match renewed {
                    Ok(end) => not_after.store(end, Ordering::Relaxed),
                    Err(error) => {
                        tracing::error!(%error, "the new server certificate cannot be used, the old one stays");
                        alarms.raise(TLS_FILE_UNUSABLE, "certificate_file", 3_600_000, &error.to_string());
                    }
                }
            }
        }
    }
}
