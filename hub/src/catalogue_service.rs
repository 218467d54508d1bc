//! The Catalogue service: what exists to be asked for, and who may ask. For every identity.

use std::{fmt, sync::Arc};

use tonic::{Request, Response, Status};
use weft_proto::{
    Refusal,
    v1::{self, catalogue_server::Catalogue},
};
use weft_record::catalogue::{Field, RecordType, Sensitivity, Share};

use crate::{
    identity::Identity,
    operator::grant_info,
    registry::{Registry, RegistryView, event::Grant},
    server::auth::caller,
};

/// The service.
#[derive(Clone)]
pub struct CatalogueService {
    registry: Arc<RegistryView>,
}

impl fmt::Debug for CatalogueService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogueService").finish_non_exhaustive()
    }
}

impl CatalogueService {
    /// Over a registry view, which knows the catalogue.
    pub fn new(registry: Arc<RegistryView>) -> Self {
        Self { registry }
    }
}

#[tonic::async_trait]
impl Catalogue for CatalogueService {
    async fn list_record_types(
        &self,
        request: Request<v1::ListRecordTypesRequest>,
    ) -> Result<Response<v1::ListRecordTypesResponse>, Status> {
        caller(&request)?;
        let registry = self.registry.snapshot();
        let types = registry.catalogue().record_types().map(|record_type| record_type_info(&registry, record_type));
        Ok(Response::new(v1::ListRecordTypesResponse { record_types: types.collect() }))
    }

    async fn list_service_items(
        &self,
        request: Request<v1::ListServiceItemsRequest>,
    ) -> Result<Response<v1::ListServiceItemsResponse>, Status> {
        caller(&request)?;
        let registry = self.registry.snapshot();
        let items = registry.catalogue().service_items().map(|item| v1::ServiceItemInfo {
            service_item: item.item.clone(),
            name_zh: item.name.zh.clone(),
            name_en: item.name.en.clone(),
        });
        Ok(Response::new(v1::ListServiceItemsResponse { service_items: items.collect() }))
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        let identity = caller(&request)?.identity;
        // A grant decided a moment ago at another instance is in the answer.
        self.confirmed().await?;
        let registry = self.registry.snapshot();
        let grants = registry.grants.values().filter(|grant| concerns(grant, &identity)).map(grant_info).collect();
        Ok(Response::new(v1::ListGrantsResponse { grants }))
    }
}

impl CatalogueService {
    async fn confirmed(&self) -> Result<(), Refusal> {
        let waited = tokio::time::timeout(crate::registry::CONFIRM_EVERY * 4, self.registry.confirm()).await;
        waited.map_err(|_| Refusal::new(weft_proto::Reason::RegistryStale))
    }
}

/// A window sees its own grants, a department those on its records, an operator all.
fn concerns(grant: &Grant, identity: &Identity) -> bool {
    match identity {
        Identity::Window(name) => grant.window == *name,
        Identity::Adapter { department, .. } => grant.department == *department,
        Identity::Operator(_) => true,
    }
}

fn record_type_info(registry: &Registry, record_type: &RecordType) -> v1::RecordTypeInfo {
    let definition = &record_type.definition;
    v1::RecordTypeInfo {
        record_type: definition.name.clone(),
        version: definition.version,
        name_zh: definition.title.zh.clone(),
        name_en: definition.title.en.clone(),
        json_schema: record_type.schema.to_string(),
        fields: definition.fields.iter().map(|(name, field)| field_info(name, field)).collect(),
        departments: registry.owners(&definition.name).map(|department| department.code.clone()).collect(),
    }
}

fn field_info(name: &str, field: &Field) -> v1::FieldInfo {
    let sensitivity = match field.sensitivity {
        Sensitivity::Public => "public",
        Sensitivity::Restricted => "restricted",
        Sensitivity::Sensitive => "sensitive",
    };
    let share = match field.share {
        Share::Unconditional => "unconditional",
        Share::Conditional => "conditional",
        Share::Withheld => "withheld",
    };
    v1::FieldInfo {
        field: name.to_owned(),
        name_zh: field.name.zh.clone(),
        name_en: field.name.en.clone(),
        sensitivity: sensitivity.into(),
        share: share.into(),
        legal_basis: field.legal_basis.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::event::GrantState;

    #[test]
    fn each_sees_the_grants_that_concern_it() {
        let grant = Grant {
            id: "g".into(),
            window: "hall-1".into(),
            service_item: "i".into(),
            record_type: "t".into(),
            department: "market-regulation".into(),
            fields: vec![],
            purpose: "p".into(),
            by_record: false,
            state: GrantState::Active,
            requested_by: "operator/one".into(),
            decided_by: None,
            why: None,
            valid_from: None,
            valid_until: None,
            exact_purpose: false,
        };
        for (path, sees) in [
            ("window/hall-1", true),
            ("window/hall-2", false),
            ("department/market-regulation/adapter/main", true),
            ("department/natural-resources/adapter/main", false),
            ("operator/anyone", true),
        ] {
            assert_eq!(concerns(&grant, &Identity::parse_path(path).unwrap()), sees, "{path}");
        }
    }
}
