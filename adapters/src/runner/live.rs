//! What goes on beside reading and sending: the hub is told how the adapter is, orders are carried out, the status file is kept.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Adapter, Error};
use crate::{
    connect::{self, Attendant},
    link::{Endpoint, Link},
    orders::Orders,
    snapshot::Looker,
    source,
    spool::Spool,
    status::Writer,
};

/// The three together.
pub(super) struct Live {
    pub(super) attendant: Attendant,
    pub(super) orders: Orders,
    pub(super) writer: Writer,
}

impl Adapter {
    pub(super) fn live(&self) -> Live {
        let config_digest = self.config.digest();
        let looker = Looker {
            config_digest: config_digest.clone(),
            directory: self.directory.clone(),
            min_free_bytes: self.config.limits.min_free_mib << 20,
            inboxes: source::inboxes(&self.config),
        };
        let endpoints = self.config.hub.iter().filter_map(|endpoint| Endpoint::parse(endpoint)).collect();
        let (life, spool) = (Arc::clone(&self.intake.life), self.intake.spool.clone());
        let attendant = Attendant {
            // A link of its own: that one stream fails says nothing of the other's endpoint.
            link: Link::new(endpoints, self.directory.clone()),
            spool: spool.clone(),
            life: Arc::clone(&life),
            looker: looker.clone(),
            hello: connect::hello(&self.config, &config_digest),
            every: Duration::from_millis(self.config.limits.heartbeat_ms),
            surroundings: self.surroundings.clone(),
        };
        let orders = Orders {
            intake: self.intake.clone(),
            life: Arc::clone(&life),
            link: Arc::clone(&self.link),
            directory: self.directory.clone(),
            origins: self.origins.clone(),
            surroundings: self.surroundings.clone(),
            reconcile_ms: i64::from(self.config.limits.reconcile_hours) * 3_600_000,
        };
        Live { attendant, orders, writer: Writer { looker, life, spool, surroundings: self.surroundings.clone() } }
    }

    /// Carries out every order that is there, while nothing else works on the state.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn carry_out_all(&self) -> Result<(), Error> {
        let orders = self.live().orders;
        orders.all(false).await?;
        Ok(orders.all(true).await?)
    }

    /// The spool.
    pub(crate) fn spool(&self) -> Spool {
        self.intake.spool.clone()
    }
}

impl Live {
    /// Goes on until `stop`; stops everything when the spool fails.
    pub(super) async fn run(&self, stop: &CancellationToken) -> Result<(), Error> {
        let orders = async {
            let ended = self.orders.run(stop).await;
            if ended.is_err() {
                stop.cancel();
            }
            ended
        };
        let (ended, (), ()) = tokio::join!(orders, self.attendant.run(stop), self.writer.run(stop));
        Ok(ended?)
    }
}
