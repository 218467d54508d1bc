//! The listeners of one instance, and what is served on each.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use weft_proto::v1::{
    catalogue_server::CatalogueServer, enrolment_server::EnrolmentServer, fleet_server::FleetServer,
    operator_server::OperatorServer, publishing_server::PublishingServer, query_server::QueryServer,
    renewal_server::RenewalServer,
};

use super::{Error, Listeners, Parts};
use crate::{
    alarms,
    catalogue_service::CatalogueService,
    config::Config,
    console::{self, Console},
    fleet::stream::{Attending, MAX_HEARTBEAT_BYTES},
    identity::tls,
    operator::OperatorService,
    server::{
        self, Endpoint, MAX_MESSAGE_BYTES, auth::Authenticator, authorities::Authorities,
        certificate::server_certificate, enrolment::Enrolling, looking::Looking, publishing::Publishing, quota::Quotas,
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
    let (authorities, trusted) = Authorities::open(config, &parts.keys, &certificate, &parts.alarms, &parts.clock)?;
    let authenticator = Arc::new(Authenticator::new(
        Arc::clone(&trusted.trust),
        Arc::clone(&parts.registry),
        Arc::clone(&parts.clock),
        config.trust_domain.clone(),
    ));
    let enrolling = Enrolling::new(
        Arc::clone(&parts.registry),
        Arc::clone(&parts.keys),
        Arc::clone(&parts.clock),
        config.trust_domain.clone(),
    );
    let enrolment_address = enrolment_address(config, &listeners);
    let console = console(config, &parts, Arc::clone(&certificate.not_after));
    let api = Endpoint {
        tls: Arc::clone(&trusted.tls),
        routes: api_routes(config, &parts, &enrolling, &authenticator, enrolment_address),
        authenticator: Some(authenticator),
        metrics: Arc::clone(&parts.metrics),
    };
    let server_only = tls::server_only(Arc::clone(&certificate.current), config.tls.allow_tls12);
    let enrolment = Endpoint {
        tls: Arc::new(ArcSwap::from_pointee(server_only.map_err(|error| Error::Tls(error.to_string()))?)),
        routes: Routes::new(EnrolmentServer::new(enrolling).max_decoding_message_size(64 * 1024)),
        authenticator: None,
        metrics: Arc::clone(&parts.metrics),
    };
    tasks.spawn(server::serve(listeners.api, api, stop.clone()));
    tasks.spawn(server::serve(listeners.enrolment, enrolment, stop.clone()));
    tasks.spawn(console::serve(listeners.console, console, stop.clone()));
    tasks.spawn(authorities.keep_current(trusted, stop.clone()));
    tasks.spawn(certificate.keep_current(
        config.clone(),
        Arc::clone(&parts.keys),
        Arc::clone(&parts.alarms),
        Arc::clone(&parts.clock),
        stop.clone(),
    ));
    tasks.spawn(Arc::clone(&parts.ledger).mark_withheld(parts.withheld, stop.clone()));
    let keys_dir = config.keys_dir.clone();
    tasks.spawn(Arc::clone(&parts.keys).watch_signer(keys_dir, Arc::clone(&parts.alarms), stop.clone()));
    tasks.spawn(alarms::keep(Arc::clone(&parts.stores.index), parts.raised, stop.clone()));
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
    let quotas = Quotas::new(
        config.limits.clone(),
        Arc::clone(&parts.registry),
        Arc::clone(&parts.alarms),
        Arc::clone(&parts.clock),
    );
    let looking = Looking::new(
        Arc::clone(&parts.query),
        Arc::clone(&parts.keys),
        quotas,
        Duration::from_millis(config.limits.look_deadline_ms),
        Arc::clone(&parts.metrics),
    );
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
        authorities: config.tls.client_ca.iter().map(|ca| (ca.name.clone(), ca.prefixes.clone())).collect(),
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
        .add_service(OperatorServer::new(operator).max_decoding_message_size(1024 * 1024))
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
