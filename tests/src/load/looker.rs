//! A window that looks again and again.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tonic::{Code, transport::Channel};
use weft_proto::v1::{self, query_client::QueryClient};

use super::{Desk, Target};
use crate::{
    history::{Answer, Call},
    window::{ITEM, TestWindow, look},
};

const EVERY: Duration = Duration::from_millis(50);
/// After so long a window gives a look up, and its connection.
const GIVE_UP: Duration = Duration::from_secs(3);

/// Looks until the load is to finish; a look under way is waited for.
pub(super) async fn look_on(desk: Desk, window: TestWindow, nth: usize) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    let mut turn = nth * 17;
    loop {
        tokio::select! {
            () = desk.finish.cancelled() => return,
            _ = tick.tick() => {}
        }
        let Some(target) = desk.shared.target(turn) else { continue };
        turn += 31;
        if client.is_none() {
            let channel = desk.connect(&window.credentials, GIVE_UP, &desk.finish).await;
            client = channel.map(QueryClient::new);
        }
        let Some(connection) = client.as_mut() else { continue };
        if !one_look(&desk, &window, connection, &target).await {
            client = None;
        }
    }
}

/// Whether the connection is worth keeping.
async fn one_look(desk: &Desk, window: &TestWindow, client: &mut QueryClient<Channel>, target: &Target) -> bool {
    let look = look(ITEM, Some(("uscc", &target.uscc)));
    let (request_id, record_id) = (look.request_id.clone(), target.record_id.clone());
    let by = Some(v1::get_record_request::By::RecordId(record_id.clone()));
    let epoch = desk.epoch();
    let history = &desk.shared.history;
    let op = history.invoke(Call::Look { window: window.name.clone(), request_id, record_id });
    let asking = client.get_record(v1::GetRecordRequest { look: Some(look), by });
    match tokio::time::timeout(GIVE_UP, asking).await {
        Ok(Ok(response)) => {
            let answer = response.into_inner().answer.expect("an answer");
            let version = Some(answer.version).filter(|version| *version > 0);
            let ledger_entry = answer.receipt.expect("a look's receipt").entry_id;
            history.ok(op, Answer::Look { ledger_entry, version });
            if version.unwrap_or(0) < target.version {
                let Target { record_id, version: indexed, .. } = target;
                desk.shared.complain(format!("{record_id}: version {indexed} was indexed, a look saw {version:?}"));
            }
            desk.seen.send_modify(|seen| seen.answered(epoch));
            true
        }
        Ok(Err(status)) => {
            if matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument | Code::Internal) {
                desk.shared.complain(format!("a look was refused: {status}"));
            }
            history.unknown(op, &format!("{:?}: {}", status.code(), status.message()));
            false
        }
        Err(_) => {
            history.unknown(op, "no answer in time");
            false
        }
    }
}
