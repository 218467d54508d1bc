//! The listeners of one instance, and what is served on each.

use std::sync::{Arc, atomic::AtomicI64};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use weft_proto::v1::{
    catalogue_server::CatalogueServer, enrolment_server::EnrolmentServer, fleet_server::FleetServer,
    operator_server::OperatorServer, publishing_server::PublishingServer, query_server::QueryServer,
    renewal_server::RenewalServer,
};

use super::{Error, Listeners, Parts, read};
use crate::{
    catalogue_service::CatalogueService,
    config::Config,
    console::{self, Console},
    fleet::stream::{Attending, MAX_HEARTBEAT_BYTES},
    identity::{tls, trust::Trust},
    keys::Keys,
    operator::OperatorService,
    server::{
        self, Endpoint, MAX_MESSAGE_BYTES, auth::Authenticator, certificate::server_certificate, enrolment::Enrolling,
        looking::Looking, publishing::Publishing,
    },
};

/// Opens the listeners.
pub(super) fn serve(
    config: &Config,
    listeners: Listeners,
    parts: Parts,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let certificate = server_certificate(config, &parts.keys, parts.clock.now())?;
    let trust = Arc::new(trust(config, &parts.keys)?);
    let authenticator = Arc::new(Authenticator::new(
        Arc::clone(&trust),
        Arc::clone(&parts.registry),
        Arc::clone(&parts.clock),
        config.trust_domain.clone(),
    ));
    let tls_error = |error: tls::TlsError| Error::Tls(error.to_string());
    let enrolling = Enrolling::new(
        Arc::clone(&parts.registry),
        Arc::clone(&parts.keys),
        Arc::clone(&parts.clock),
        config.trust_domain.clone(),
    );
    let enrolment_address = enrolment_address(config, &listeners);
    let console = console(config, &parts, Arc::clone(&certificate.not_after));
    let api = Endpoint {
        tls: Arc::new(tls::mutual(Arc::clone(&certificate.current), trust, config.tls.allow_tls12).map_err(tls_error)?),
        routes: api_routes(config, &parts, &enrolling, &authenticator, enrolment_address),
        authenticator: Some(authenticator),
        metrics: Arc::clone(&parts.metrics),
    };
    let enrolment = Endpoint {
        tls: Arc::new(tls::server_only(Arc::clone(&certificate.current), config.tls.allow_tls12).map_err(tls_error)?),
        routes: Routes::new(EnrolmentServer::new(enrolling).max_decoding_message_size(64 * 1024)),
        authenticator: None,
        metrics: Arc::clone(&parts.metrics),
    };
    tasks.spawn(server::serve(listeners.api, api, stop.clone()));
    tasks.spawn(server::serve(listeners.enrolment, enrolment, stop.clone()));
    tasks.spawn(console::serve(listeners.console, console, stop.clone()));
    tasks.spawn(certificate.keep_current(
        config.clone(),
        Arc::clone(&parts.keys),
        Arc::clone(&parts.clock),
        stop.clone(),
    ));
    tasks.spawn(Arc::clone(&parts.ledger).mark_withheld(parts.withheld, stop.clone()));
    Ok(())
}

fn api_routes(
    config: &Config,
    parts: &Parts,
    enrolling: &Enrolling,
    authenticator: &Arc<Authenticator>,
    enrolment_address: String,
) -> Routes {
    let publishing = Publishing::new(
        Arc::clone(&parts.publisher),
        Arc::clone(&parts.stores.index),
        Arc::clone(&parts.registry),
        Arc::clone(&parts.follower),
        Arc::clone(authenticator),
        Arc::clone(&parts.keys),
        Arc::clone(&parts.clock),
    );
    let looking =
        Looking::new(Arc::clone(&parts.query), Arc::clone(&parts.keys), &config.limits, Arc::clone(&parts.metrics));
    let operator = OperatorService {
        registry: Arc::clone(&parts.registry),
        log: Arc::clone(&parts.stores.log),
        index: Arc::clone(&parts.stores.index),
        partitions: Arc::clone(&parts.partitions),
        fleet: Arc::clone(&parts.fleet),
        keys: Arc::clone(&parts.keys),
        clock: Arc::clone(&parts.clock),
        trust_domain: config.trust_domain.clone(),
        enrolment_address,
    };
    let attending = Attending::new(
        Arc::clone(&parts.fleet),
        Arc::clone(&parts.registry),
        Arc::clone(&parts.partitions),
        Arc::clone(authenticator),
        Arc::clone(&parts.clock),
    );
    let (_, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(PublishingServer::new(publishing).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(QueryServer::new(looking).max_decoding_message_size(64 * 1024))
        .add_service(OperatorServer::new(operator).max_decoding_message_size(256 * 1024))
        .add_service(
            CatalogueServer::new(CatalogueService::new(Arc::clone(&parts.registry)))
                .max_decoding_message_size(64 * 1024),
        )
        .add_service(FleetServer::new(attending).max_decoding_message_size(MAX_HEARTBEAT_BYTES))
        .add_service(RenewalServer::new(enrolling.clone()).max_decoding_message_size(64 * 1024))
        .add_service(health);
    match reflection(config) {
        Some(reflection) => routes.add_service(reflection),
        None => routes,
    }
}

/// gRPC reflection, where the configuration switches it on.
fn reflection(config: &Config) -> Option<ServerReflectionServer<impl ServerReflection>> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(weft_proto::FILE_DESCRIPTOR_SET);
    // The descriptors are compiled in; a test holds them against the .proto files.
    config.listen.reflection.then(|| builder.build_v1().ok()).flatten()
}

fn console(config: &Config, parts: &Parts, certificate_not_after: Arc<AtomicI64>) -> Console {
    Console {
        registry: Arc::clone(&parts.registry),
        log: Arc::clone(&parts.stores.log),
        index: Arc::clone(&parts.stores.index),
        partitions: Arc::clone(&parts.partitions),
        keys: Arc::clone(&parts.keys),
        clock: Arc::clone(&parts.clock),
        metrics: Arc::clone(&parts.metrics),
        limits: config.limits.clone(),
        certificate_not_after,
    }
}

fn enrolment_address(config: &Config, listeners: &Listeners) -> String {
    if !config.listen.enrolment_address.is_empty() {
        return config.listen.enrolment_address.clone();
    }
    let port = listeners.enrolment.local_addr().map_or(config.listen.enrolment.port(), |address| address.port());
    format!("https://{}:{port}", config.hub_name)
}

fn trust(config: &Config, keys: &Keys) -> Result<Trust, Error> {
    let mut authorities = vec![(keys.ca.certificate_pem().to_owned(), vec![String::new()])];
    for ca in &config.tls.client_ca {
        authorities.push((read(&ca.file)?, ca.prefixes.clone()));
    }
    Trust::new(&authorities).map_err(|error| Error::Tls(error.to_string()))
}
