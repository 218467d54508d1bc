//! What verification asks of the registry ([`weft_record::verify::RegistryView`]).

use weft_record::{
    catalogue::RecordType,
    keys::KeyState,
    verify::{RegisteredKey, RegistryView, Sender, department_of},
};

use super::{Registry, event::KeyStanding};

impl RegistryView for Registry {
    fn public_name(&self) -> &str {
        self.hub_name.as_deref().unwrap_or_default()
    }

    fn may_publish(&self, sender: &Sender, record_type: &str) -> bool {
        self.departments.get(&sender.department).is_some_and(|department| {
            let owned = department.record_types.iter().any(|one| one == record_type);
            let coverage = department.coverage.iter().find(|one| one.record_type == record_type);
            owned && coverage.is_none_or(|coverage| coverage.adapter.is_empty() || coverage.adapter == sender.adapter)
        })
    }

    fn key(&self, issuer: &str, kid: &str) -> Option<RegisteredKey<'_>> {
        let department = department_of(self.public_name(), issuer)?;
        let registered = self.sealing_keys.get(&(department.to_owned(), kid.to_owned()))?;
        let key = self.verifying_key(department, kid)?;
        let state = match registered.standing {
            KeyStanding::Pending => KeyState::Pending,
            KeyStanding::Active { .. } => KeyState::Active,
            KeyStanding::Retired { at } => KeyState::Retired { at_ms: at },
            KeyStanding::Compromised { since } => KeyState::Compromised { since_ms: since },
        };
        Some(RegisteredKey { key, state })
    }

    fn record_type(&self, vct: &str) -> Option<&RecordType> {
        self.catalogue().record_type_of_vct(vct).map(AsRef::as_ref)
    }
}
