//! An adapter without a state does not begin again at 1: it asks the hub where its records stand.

use tonic::transport::Channel;
use weft_proto::v1::{Head, HeadsRequest, publishing_client::PublishingClient};
use weft_record::status::{State, Status};

use crate::{
    link,
    spool::{self, Spool, Standing},
};

/// Why the heads are not here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub cannot be asked now.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// They cannot be kept.
    #[error(transparent)]
    Spool(#[from] spool::Error),
}

fn fact(record_type: &str) -> String {
    format!("heads:{record_type}")
}

/// Whether the hub's heads of a record type were taken over into this state.
///
/// # Errors
/// The spool failed.
pub async fn known(spool: &Spool, record_type: &str) -> Result<bool, spool::Error> {
    Ok(spool.fact(&fact(record_type)).await?.is_some())
}

/// Takes over the hub's heads of a record type, all pages, each durable before the next is asked for.
///
/// # Errors
/// The hub cannot be asked, or the spool failed: it is begun again from the first page.
pub async fn take_over(channel: Channel, spool: &Spool, record_type: &str) -> Result<u64, Error> {
    let mut client = PublishingClient::new(channel).max_decoding_message_size(4 * 1024 * 1024);
    let (mut page_token, mut count) = (String::new(), 0);
    loop {
        let request = HeadsRequest { record_type: record_type.to_owned(), page_size: 1_000, page_token };
        let page = client.heads(request).await.map_err(link::Error::from)?.into_inner();
        let mut writes = spool.begin().await?;
        for head in &page.heads {
            spool.take_head(&mut writes, &head.record_id, record_type, standing(head)).await?;
            count += 1;
        }
        spool.commit(writes).await?;
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    // It published before, and nothing here knows of it: the state was lost.
    if count > 0 && spool.is_new().await? {
        spool.set_recovered(0).await?;
    }
    spool.set_fact(&fact(record_type), "taken over").await?;
    tracing::info!(record_type, count, "the hub's heads were taken over");
    Ok(count)
}

/// A head says its status; which flags lie under it cannot be known, and only its own can be told.
pub(crate) fn standing(head: &Head) -> Standing {
    let state = head.status.parse::<Status>().ok().map(|status| State {
        status,
        frozen: status == Status::Frozen,
        suspended: status == Status::Suspended,
    });
    Standing { version: head.version, state, substance: head.substance_digest.as_slice().try_into().ok() }
}
