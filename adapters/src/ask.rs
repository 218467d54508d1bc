//! Asking something of the adapter from its own machine: of the one that runs, or in its place where none does.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Surroundings,
    config::Config,
    keys::Directory,
    runner::{Adapter, Error},
    spool::{Order, OrderKind, Spool, Told},
};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub kind: OrderKind,
    /// Of this source alone; empty means all.
    pub source: String,
    /// Of a resync: milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Of a reconcile: send again what differs.
    pub repair: bool,
}

/// Asks, and waits until it is carried out or refused. Durable from the first moment: when `stop` comes first, the adapter that runs
/// carries it out all the same.
///
/// # Errors
/// The state cannot be used, or the waiting was stopped.
pub async fn ask(
    config: Config,
    asked: Asked,
    surroundings: Surroundings,
    stop: CancellationToken,
) -> Result<Told, Error> {
    config.verify()?;
    if !asked.source.is_empty() && !config.sources.iter().any(|source| source.name == asked.source) {
        return Err(Error::NoSource(asked.source));
    }
    let directory = Directory::new(&config.state_dir);
    let mut id = [0; 16];
    surroundings.chance.fill(&mut id).map_err(crate::sealing::Error::from)?;
    let order = Order {
        id: hex::encode(id),
        kind: asked.kind,
        source: asked.source,
        since_ms: asked.since_ms,
        repair: asked.repair,
    };
    let now_ms = surroundings.clock.now().as_millisecond();
    match Adapter::open(config, surroundings.clone()).await {
        Ok(adapter) => {
            let spool = adapter.spool();
            let told = async {
                spool.order(&order, now_ms).await?;
                adapter.carry_out_all().await?;
                Ok::<_, Error>(spool.ended_order(&order.id).await?)
            };
            let told = told.await;
            spool.close().await;
            Ok(told?.unwrap_or_else(unanswered))
        }
        Err(Error::Keys(crate::keys::Error::InUse(_))) => {
            let key = directory.spool_key()?;
            let spool = Spool::beside(&directory.spool(), &key, Arc::clone(&surroundings.chance)).await?;
            spool.order(&order, now_ms).await?;
            let told = wait(&spool, &order.id, &stop).await;
            spool.close().await;
            told
        }
        Err(error) => Err(error),
    }
}

fn unanswered() -> Told {
    Told { done: false, zh: "未执行".to_owned(), en: "not carried out".to_owned() }
}

/// The adapter that runs looks for orders twice a second.
async fn wait(spool: &Spool, id: &str, stop: &CancellationToken) -> Result<Told, Error> {
    loop {
        if let Some(told) = spool.ended_order(id).await? {
            return Ok(told);
        }
        tokio::select! {
            () = stop.cancelled() => return Err(Error::Stopped),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}
