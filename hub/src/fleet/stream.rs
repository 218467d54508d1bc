//! The Fleet service: heartbeats in, commands out.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weft_proto::{
    Reason, Refusal,
    v1::{self, FromAdapter, ToAdapter, fleet_server, from_adapter, to_adapter},
};
use weft_record::verify::Sender;

use super::{Fleet, command, is_done, told_to};
use crate::{
    clock::SharedClock,
    identity::Caller,
    log::Topic,
    operator::parties,
    partitions::Partitions,
    query::timestamp,
    registry::{RegistryView, event::After},
    server::auth::{Authenticator, sender},
};

/// The largest message of an adapter.
pub const MAX_HEARTBEAT_BYTES: usize = 256 * 1024;
/// How often new commands are looked for, and whether the caller is still in force.
const IDLE: Duration = Duration::from_secs(1);
/// An adapter's word is written this often at most; in between, this instance alone knows it.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// The service.
#[derive(Clone, Debug)]
pub struct Attending {
    fleet: Arc<Fleet>,
    registry: Arc<RegistryView>,
    partitions: Arc<Partitions>,
    authenticator: Arc<Authenticator>,
    clock: SharedClock,
}

/// One adapter's stream.
struct Attended {
    caller: Caller,
    sender: Sender,
    hello: Option<v1::Hello>,
    heartbeat: v1::Heartbeat,
    /// Told on this stream already.
    told: HashSet<String>,
    written: Option<Instant>,
}

type Out = mpsc::Sender<Result<ToAdapter, Status>>;

impl Attending {
    /// Over these parts.
    pub fn new(
        fleet: Arc<Fleet>,
        registry: Arc<RegistryView>,
        partitions: Arc<Partitions>,
        authenticator: Arc<Authenticator>,
        clock: SharedClock,
    ) -> Self {
        Self { fleet, registry, partitions, authenticator, clock }
    }

    async fn attend(self, mut one: Attended, messages: Streaming<FromAdapter>, out: Out) {
        self.listen(&mut one, messages, out).await;
        if one.written.is_some() {
            self.fleet.keep(&one.sender).await;
        }
    }

    async fn listen(&self, one: &mut Attended, mut messages: Streaming<FromAdapter>, out: Out) {
        let mut every = tokio::time::interval(IDLE);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let refused = loop {
            let message = tokio::select! {
                () = out.closed() => return,
                _ = every.tick() => None,
                message = messages.message() => match message {
                    Ok(Some(message)) => Some(message),
                    // The adapter ended it, or the connection is lost: its silence will tell.
                    Ok(None) | Err(_) => return,
                },
            };
            if let Err(refusal) = self.authenticator.still_in_force(&one.caller) {
                break refusal;
            }
            let taken = match message.and_then(|message| message.kind) {
                Some(kind) => self.take(one, kind, &out).await,
                None => Ok(()),
            };
            if let Err(refusal) = taken {
                break refusal;
            }
            if self.tell(one, &out).await.is_err() {
                return;
            }
        };
        // The receiver may be gone: then nobody needs to know.
        let _ = out.send(Err(refused.into())).await;
    }

    async fn take(&self, one: &mut Attended, kind: from_adapter::Kind, out: &Out) -> Result<(), Refusal> {
        match kind {
            from_adapter::Kind::Hello(hello) => {
                self.declare(&one.sender, &hello.coverage).await;
                one.hello = Some(hello);
            }
            from_adapter::Kind::Heartbeat(heartbeat) => {
                let hello = one.hello.as_ref();
                let hello = hello.ok_or_else(|| Refusal::new(Reason::BadRequest).field("kind", "hello comes first"))?;
                let due = one.written.is_none_or(|written| written.elapsed() >= WRITTEN_EVERY);
                self.fleet.hear(&one.sender, hello, &heartbeat, due).await;
                if due {
                    one.written = Some(Instant::now());
                }
                one.heartbeat = heartbeat;
                let rows = self.partitions.rows();
                let ledger = rows.iter().find(|row| row.partition.topic == Topic::Ledger);
                let heard = v1::Heard {
                    at: Some(timestamp(self.clock.now())),
                    ledger_position: ledger.map_or(0, |row| row.next),
                };
                // The receiver may be gone: the next turn of the loop sees it.
                let _ = out.send(Ok(ToAdapter { kind: Some(to_adapter::Kind::Heard(heard)) })).await;
            }
        }
        Ok(())
    }

    /// What an adapter declares becomes a registry event where it differs. That it cannot be taken now, or is wrong, keeps nothing
    /// else from going on: the adapter declares it again with its next stream.
    async fn declare(&self, sender: &Sender, coverage: &[v1::Coverage]) {
        let differs = parties::declared(&self.registry.snapshot(), sender, coverage);
        let changed = match differs {
            Ok(None) => return,
            Ok(Some(_)) => {
                let who = format!("department/{}/adapter/{}", sender.department, sender.adapter);
                let make = |registry: &crate::registry::Registry| {
                    let changed = parties::declared(registry, sender, coverage)?;
                    let changed = changed.ok_or_else(|| Refusal::new(Reason::AlreadyExists))?;
                    Ok((format!("department/{}", sender.department), After::Department(changed)))
                };
                self.registry.administer(&who, make).await.map(|_| ())
            }
            Err(refusal) => Err(refusal),
        };
        match changed {
            Ok(()) => tracing::info!(department = sender.department, "an adapter declared other coverage"),
            Err(refusal) if refusal.reason.code() == Reason::AlreadyExists.code() => {}
            Err(refusal) => {
                tracing::warn!(%refusal, department = sender.department, "declared coverage was not taken");
            }
        }
    }

    async fn tell(&self, one: &mut Attended, out: &Out) -> Result<(), ()> {
        // Its first heartbeat says what it has done already.
        if one.written.is_none() {
            return Ok(());
        }
        let registry = self.registry.snapshot();
        let (sender, now) = (one.sender.clone(), self.clock.now());
        for due in told_to(&registry, now, &sender.department, &sender.adapter) {
            if is_done(&one.heartbeat, &due.id) || !one.told.insert(due.id.clone()) {
                continue;
            }
            let kind = Some(to_adapter::Kind::Command(command(due)));
            out.send(Ok(ToAdapter { kind })).await.map_err(|_| ())?;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl fleet_server::Fleet for Attending {
    type ConnectAdapterStream = ReceiverStream<Result<ToAdapter, Status>>;

    async fn connect_adapter(
        &self,
        request: Request<Streaming<FromAdapter>>,
    ) -> Result<Response<Self::ConnectAdapterStream>, Status> {
        let (caller, sender) = sender(&request)?;
        let (out, answers) = mpsc::channel(16);
        let one = Attended {
            caller,
            sender,
            hello: None,
            heartbeat: v1::Heartbeat::default(),
            told: HashSet::new(),
            written: None,
        };
        tokio::spawn(self.clone().attend(one, request.into_inner(), out));
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
