//! What an operator asks of an adapter. It is a registry event: who asked what when, and every instance can tell it.

use weft_proto::{Reason, Refusal, v1};

use super::{
    OperatorService,
    check::{Faults, millis},
};
use crate::{
    identity::Identity,
    log::EntryId,
    registry::{
        Registry,
        event::{Act, After, Command},
    },
};

const MAX_SOURCE: usize = 64;

impl OperatorService {
    pub(super) async fn command(
        &self,
        who: &str,
        request: v1::CommandAdapterRequest,
    ) -> Result<v1::CommandAdapterResponse, Refusal> {
        let asked = request.command.unwrap_or_default();
        let mut faults = Faults::default();
        let act = act(&asked, self.clock.now(), &mut faults);
        if asked.source.chars().count() > MAX_SOURCE || asked.source.chars().any(char::is_control) {
            faults.add("command.source", "is no name of a source");
        }
        faults.done()?;
        let id = EntryId::new().to_string();
        let path =
            Identity::Adapter { department: request.department.clone(), adapter: request.adapter.clone() }.to_string();
        let make = |registry: &Registry| {
            let known = registry.identities.get(&path).is_some_and(|identity| identity.revoked.is_none());
            if !known {
                return Err(Refusal::new(Reason::NotFound).field("adapter", "is not enrolled, or was cut off"));
            }
            let act = act.ok_or_else(|| Refusal::new(Reason::BadRequest))?;
            let command = Command {
                id: id.clone(),
                department: request.department,
                adapter: request.adapter,
                act,
                source: asked.source,
            };
            Ok((format!("command/{id}"), After::Command(command)))
        };
        self.registry.administer(who, make).await?;
        Ok(v1::CommandAdapterResponse { command_id: id })
    }
}

fn act(asked: &v1::Command, now: crate::clock::Millis, faults: &mut Faults) -> Option<Act> {
    match asked.kind() {
        v1::CommandKind::Pause => Some(Act::Pause {}),
        v1::CommandKind::Resume => Some(Act::Resume {}),
        v1::CommandKind::Reconcile => Some(Act::Reconcile { repair: asked.repair }),
        v1::CommandKind::Renew => Some(Act::Renew {}),
        v1::CommandKind::Resync => match asked.since.as_ref().map(millis) {
            Some(since) if since <= now => Some(Act::Resync { since }),
            Some(_) => {
                faults.add("command.since", "lies in the future");
                None
            }
            None => {
                faults.add("command.since", "must be given");
                None
            }
        },
        v1::CommandKind::Unspecified => {
            faults.add("command.kind", "must be given");
            None
        }
    }
}
