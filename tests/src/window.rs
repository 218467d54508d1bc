//! A window under test.

use std::time::Duration;

use tonic::transport::Channel;
use weft_proto::v1::{self, query_client::QueryClient};

use crate::{
    client::{Credentials, connect},
    enrol::redeem,
    hub::TestHub,
};

/// How long a window asks again.
const PATIENCE: Duration = Duration::from_secs(60);

/// An enrolled window.
#[derive(Clone, Debug)]
pub struct TestWindow {
    /// Its name.
    pub name: String,
    /// Its certificate.
    pub credentials: Credentials,
    /// Connected to the hub it was enrolled at.
    pub client: QueryClient<Channel>,
}

impl TestWindow {
    /// Enrols a registered window.
    pub async fn enrol(hub: &TestHub, name: &str) -> Self {
        let token = hub.join_token(&format!("window/{name}")).await;
        let (_, credentials) = redeem(hub, &token, "").await.expect("the window is enrolled");
        let channel = connect(hub.api, &hub.ca(), Some(&credentials)).await.expect("the window connects");
        Self { name: name.into(), credentials, client: QueryClient::new(channel) }
    }

    /// A client of the same window at another hub instance.
    pub async fn at(&self, hub: &TestHub) -> QueryClient<Channel> {
        QueryClient::new(connect(hub.api, &hub.ca(), Some(&self.credentials)).await.expect("the window connects"))
    }

    /// A look by record identifier.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn get(&self, record_id: &str, look: v1::Look) -> Result<v1::Answer, tonic::Status> {
        let by = Some(v1::get_record_request::By::RecordId(record_id.into()));
        let response = self.client.clone().get_record(v1::GetRecordRequest { look: Some(look), by }).await?;
        Ok(response.into_inner().answer.expect("an answer"))
    }

    /// As [`TestWindow::get`]; what the hub cannot answer at the moment is asked again, as a real window does.
    ///
    /// # Panics
    /// When it is refused, or not answered within the patience.
    pub async fn answered(&self, record_id: &str, look: v1::Look) -> v1::Answer {
        crate::eventually(PATIENCE, || async {
            match self.get(record_id, look.clone()).await {
                Err(status) if status.code() == tonic::Code::Unavailable => Err(status.to_string()),
                answer => Ok(answer.expect("an answer")),
            }
        })
        .await
    }
}

/// The service item of the tests' looks.
pub const ITEM: &str = "food-business-licence-application";

/// A grant for [`ITEM`].
#[must_use]
pub fn grant(window: &str, record_type: &str, department: &str, fields: &[&str]) -> v1::GrantInfo {
    v1::GrantInfo {
        window: window.into(),
        service_item: ITEM.into(),
        record_type: record_type.into(),
        department: department.into(),
        fields: fields.iter().map(ToString::to_string).collect(),
        purpose: "核验主体资格".into(),
        ..v1::GrantInfo::default()
    }
}

/// What a look carries, for a service item and a holder.
#[must_use]
pub fn look(service_item: &str, holder: Option<(&str, &str)>) -> v1::Look {
    v1::Look {
        request_id: hex::encode(weft_hub::clock::random::<16>()),
        case: Some(v1::CaseRef {
            number: "GQ-2026-000001".into(),
            service_item: service_item.into(),
            party_role: "applicant".into(),
        }),
        purpose: "核验申请人证照".into(),
        clerk: "001".into(),
        holder: holder.map(|(scheme, value)| v1::Holder { scheme: scheme.into(), value: value.into() }),
        fields: Vec::new(),
        after_submission: Vec::new(),
        as_of: None,
    }
}
