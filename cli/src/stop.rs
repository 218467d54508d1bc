//! How a service is stopped: SIGTERM or SIGINT drains it, a second one ends it at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// A token that is cancelled by the first signal. The second signal ends the process with 130 without draining.
pub(crate) fn on_signal() -> Result<CancellationToken, Failure> {
    let failed = |error| Failure::usage("无法接收信号", "signals cannot be received").because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let token = CancellationToken::new();
    let stopping = token.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if last {
                tracing::warn!("stopped without draining");
                std::process::exit(130);
            }
            tracing::info!("stopping; once more to stop without draining");
            stopping.cancel();
        }
    });
    Ok(token)
}
