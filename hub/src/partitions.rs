//! Which partitions are current: no appends go to one that is under repair, at any instance.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use weft_proto::{Reason, Refusal};

use crate::{
    index::{SharedIndex, rows::PositionRow},
    log::Partition,
};

/// The positions as the index last said, read every half second.
#[derive(Debug)]
pub struct Partitions {
    index: SharedIndex,
    rows: ArcSwap<Vec<PositionRow>>,
    repairing: ArcSwap<HashSet<Partition>>,
}

impl Partitions {
    /// Nothing read yet: every partition counts as current.
    pub fn new(index: SharedIndex) -> Arc<Self> {
        Arc::new(Self { index, rows: ArcSwap::default(), repairing: ArcSwap::default() })
    }

    /// Refuses while the partition is under repair.
    pub fn open_to_appends(&self, partition: &Partition) -> Result<(), Refusal> {
        if self.repairing.load().contains(partition) {
            return Err(Refusal::new(Reason::PartitionNotCurrent));
        }
        Ok(())
    }

    /// The positions as last read.
    pub fn rows(&self) -> Arc<Vec<PositionRow>> {
        self.rows.load_full()
    }

    /// Reads the positions until `shutdown`.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = every.tick() => {}
            }
            match self.index.positions().await {
                Ok(rows) => {
                    let repairing = rows.iter().filter(|row| !row.current).map(|row| row.partition.clone()).collect();
                    self.repairing.store(Arc::new(repairing));
                    self.rows.store(Arc::new(rows));
                }
                Err(error) => tracing::warn!(%error, "positions cannot be read"),
            }
        }
    }
}
