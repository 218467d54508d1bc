//! The Operator service: every administrative change of the hub, and what an operator must see to keep it running.
//!
//! - [`parties`]: departments, windows, join tokens
//! - [`identities`]: admitted through another authority, and cut off
//! - [`sealing`]: sealing keys
//! - [`grants`]: who may see what, with four eyes
//! - [`types`]: record types registered at run time
//! - [`erase`]: a version's text is overwritten everywhere
//! - [`correct`]: two persons confirm a correction of an ended record
//! - [`watch`]: quarantine, alarms, state
//! - [`fleet`]: adapters and what is asked of them
//!
//! Every change goes through [`RegistryView::administer`]: it is durable, and in force for every look that begins after the answer.

mod check;
mod correct;
mod erase;
mod fleet;
mod grants;
mod identities;
pub(crate) mod parties;
mod sealing;
mod types;
mod watch;

use std::{fmt, sync::Arc};

use tonic::{Request, Response, Status};
use weft_proto::{
    Reason, Refusal,
    v1::{self, operator_server::Operator},
};

use crate::{
    clock::SharedClock,
    fleet::Fleet,
    identity::Identity,
    index::SharedIndex,
    keys::Keys,
    log::{SharedLog, Topic},
    partitions::Partitions,
    registry::{Administered, RegistryView},
    server::auth::caller,
};

pub use grants::grant_info;

/// The service, over the parts of one instance.
#[derive(Clone)]
pub struct OperatorService {
    /// The registry: what is changed.
    pub registry: Arc<RegistryView>,
    /// Stubs and confirmed corrections are appended to it.
    pub log: SharedLog,
    /// What is looked at.
    pub index: SharedIndex,
    /// Which partitions may be appended to.
    pub partitions: Arc<Partitions>,
    /// What adapters say of themselves.
    pub fleet: Arc<Fleet>,
    /// Wraps a new department's keys; makes page tokens; names the CA.
    pub keys: Arc<Keys>,
    /// The time of events.
    pub clock: SharedClock,
    /// `spiffe://<trust_domain>/…`.
    pub trust_domain: String,
    /// What join tokens name as the enrolment address.
    pub enrolment_address: String,
    /// Other CAs: their names, and the beginnings of identity paths that each may vouch for.
    pub authorities: Vec<(String, Vec<String>)>,
}

impl fmt::Debug for OperatorService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorService").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

/// The path of the calling operator.
fn operator<T>(request: &Request<T>) -> Result<String, Refusal> {
    let identity = caller(request)?.identity;
    match &identity {
        Identity::Operator(_) => Ok(identity.to_string()),
        _ => Err(Refusal::new(Reason::WrongRole)),
    }
}

/// A change as it is answered.
fn change(administered: Administered) -> v1::Change {
    let position = v1::Position { topic: Topic::Registry.name(), partition: 0, offset: administered.offset };
    v1::Change { position: Some(position), entity: administered.entity, revision: administered.revision }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn register_department(&self, request: Request<v1::RegisterDepartmentRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.put_department(&who, request.into_inner()).await?)))
    }

    async fn list_departments(
        &self,
        request: Request<v1::ListDepartmentsRequest>,
    ) -> Answer<v1::ListDepartmentsResponse> {
        operator(&request)?;
        Ok(Response::new(v1::ListDepartmentsResponse { departments: self.departments() }))
    }

    async fn register_window(&self, request: Request<v1::RegisterWindowRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.put_window(&who, request.into_inner()).await?)))
    }

    async fn list_windows(&self, request: Request<v1::ListWindowsRequest>) -> Answer<v1::ListWindowsResponse> {
        operator(&request)?;
        Ok(Response::new(v1::ListWindowsResponse { windows: self.windows() }))
    }

    async fn admit_identity(&self, request: Request<v1::AdmitIdentityRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.admit(&who, request.into_inner()).await?)))
    }

    async fn revoke_identity(&self, request: Request<v1::RevokeIdentityRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.revoke(&who, request.into_inner()).await?)))
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        let who = operator(&request)?;
        Ok(Response::new(self.join_token(&who, request.into_inner()).await?))
    }

    async fn list_sealing_keys(
        &self,
        request: Request<v1::ListSealingKeysRequest>,
    ) -> Answer<v1::ListSealingKeysResponse> {
        operator(&request)?;
        Ok(Response::new(v1::ListSealingKeysResponse { keys: self.sealing_keys(&request.get_ref().department)? }))
    }

    async fn set_sealing_key_state(&self, request: Request<v1::SetSealingKeyStateRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.set_key_state(&who, request.into_inner()).await?)))
    }

    async fn request_grant(&self, request: Request<v1::RequestGrantRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.ask_grant(&who, request.into_inner()).await?)))
    }

    async fn decide_grant(&self, request: Request<v1::DecideGrantRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.decide(&who, request.into_inner()).await?)))
    }

    async fn list_all_grants(&self, request: Request<v1::ListAllGrantsRequest>) -> Answer<v1::ListAllGrantsResponse> {
        operator(&request)?;
        let grants = self.registry.snapshot().grants.values().map(grant_info).collect();
        Ok(Response::new(v1::ListAllGrantsResponse { grants }))
    }

    async fn check_record_type(
        &self,
        request: Request<v1::CheckRecordTypeRequest>,
    ) -> Answer<v1::CheckRecordTypeResponse> {
        operator(&request)?;
        Ok(Response::new(self.check_type(request.into_inner()).await?))
    }

    async fn register_record_type(&self, request: Request<v1::RegisterRecordTypeRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.register_type(&who, request.into_inner()).await?)))
    }

    async fn list_quarantine(&self, request: Request<v1::ListQuarantineRequest>) -> Answer<v1::ListQuarantineResponse> {
        let who = operator(&request)?;
        Ok(Response::new(self.quarantine(&who, request.into_inner()).await?))
    }

    async fn erase_version(&self, request: Request<v1::EraseVersionRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.erase(&who, request.into_inner()).await?)))
    }

    async fn confirm_correction(&self, request: Request<v1::ConfirmCorrectionRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.confirm(&who, request.into_inner()).await?)))
    }

    async fn list_alarms(&self, request: Request<v1::ListAlarmsRequest>) -> Answer<v1::ListAlarmsResponse> {
        operator(&request)?;
        Ok(Response::new(v1::ListAlarmsResponse { alarms: self.alarms().await? }))
    }

    async fn request_resend(&self, request: Request<v1::RequestResendRequest>) -> Answer<v1::Change> {
        let who = operator(&request)?;
        Ok(Response::new(change(self.resend(&who, request.into_inner()).await?)))
    }

    async fn list_fleet(&self, request: Request<v1::ListFleetRequest>) -> Answer<v1::ListFleetResponse> {
        operator(&request)?;
        Ok(Response::new(v1::ListFleetResponse { entries: self.fleet.entries(&request.get_ref().department) }))
    }

    async fn command_adapter(&self, request: Request<v1::CommandAdapterRequest>) -> Answer<v1::CommandAdapterResponse> {
        let who = operator(&request)?;
        Ok(Response::new(self.command(&who, request.into_inner()).await?))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        operator(&request)?;
        Ok(Response::new(self.state(request.get_ref().with_index_digest).await?))
    }
}
