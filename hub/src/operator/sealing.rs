//! Sealing keys: which of a department's keys are accepted, and since when not.

use weft_proto::{
    Reason, Refusal,
    v1::{self, KeyState},
};

use super::{
    OperatorService,
    check::{Faults, millis},
};
use crate::{
    clock::Millis,
    query::timestamp,
    registry::{
        Administered, Registry,
        event::{After, KeyStanding, SealingKey},
    },
};

impl OperatorService {
    /// Keys of a department, or of all when it is empty.
    pub(super) fn sealing_keys(&self, department: &str) -> Result<Vec<v1::SealingKeyInfo>, Refusal> {
        let registry = self.registry.snapshot();
        if !department.is_empty() && !registry.departments.contains_key(department) {
            return Err(Refusal::new(Reason::NotFound).field("department", "is not registered"));
        }
        let asked = |key: &&SealingKey| department.is_empty() || key.department == department;
        Ok(registry.sealing_keys.values().filter(asked).map(|key| info(&registry, key)).collect())
    }

    /// A previous key stays active until it is retired explicitly: so a rotation overlaps, and nothing on its way is refused.
    pub(super) async fn set_key_state(
        &self,
        who: &str,
        request: v1::SetSealingKeyStateRequest,
    ) -> Result<Administered, Refusal> {
        let now = self.clock.now();
        let wanted = wanted(&request, now)?;
        let make = |registry: &Registry| {
            let key = registry.sealing_keys.get(&(request.department.clone(), request.kid.clone()));
            let key = key.ok_or_else(|| {
                Refusal::new(Reason::NotFound).field("kid", "the department has no key with this thumbprint")
            })?;
            may_become(key, wanted, who)?;
            let entity = format!("key/{}/{}", key.department, key.kid);
            Ok((entity, After::SealingKey(SealingKey { standing: wanted, ..key.clone() })))
        };
        self.registry.administer(who, make).await
    }
}

fn wanted(request: &v1::SetSealingKeyStateRequest, now: Millis) -> Result<KeyStanding, Refusal> {
    let mut faults = Faults::default();
    let since = request.since.as_ref().map(millis);
    let standing = match request.state() {
        KeyState::Active => KeyStanding::Active { since: now },
        KeyState::Retired => KeyStanding::Retired { at: now },
        KeyState::Compromised => KeyStanding::Compromised { since: since.unwrap_or(now) },
        KeyState::Pending | KeyState::Unspecified => {
            faults.add("state", "must be active, retired or compromised");
            KeyStanding::Pending
        }
    };
    if since.is_some() && request.state() != KeyState::Compromised {
        faults.add("since", "goes with compromised only");
    }
    if since.is_some_and(|since| since > now) {
        faults.add("since", "lies in the future");
    }
    faults.done()?;
    Ok(standing)
}

/// pending → active by a second person; active → retired; anything → compromised, whose beginning only ever moves back.
fn may_become(key: &SealingKey, wanted: KeyStanding, who: &str) -> Result<(), Refusal> {
    let allowed = match (key.standing, wanted) {
        (KeyStanding::Pending, KeyStanding::Active { .. }) => {
            if key.proposed_by == who {
                return Err(Refusal::new(Reason::FourEyes));
            }
            true
        }
        (KeyStanding::Active { .. }, KeyStanding::Retired { .. }) => true,
        (KeyStanding::Compromised { since: known }, KeyStanding::Compromised { since }) => since < known,
        (_, KeyStanding::Compromised { .. }) => true,
        _ => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Refusal::new(Reason::WrongState).detail(format!("the key is {}", word(key.standing))))
    }
}

fn word(standing: KeyStanding) -> &'static str {
    match standing {
        KeyStanding::Pending => "pending",
        KeyStanding::Active { .. } => "active",
        KeyStanding::Retired { .. } => "retired",
        KeyStanding::Compromised { .. } => "compromised since then or before",
    }
}

fn info(registry: &Registry, key: &SealingKey) -> v1::SealingKeyInfo {
    let (state, since) = match key.standing {
        KeyStanding::Pending => (KeyState::Pending, None),
        KeyStanding::Active { since } => (KeyState::Active, Some(since)),
        KeyStanding::Retired { at } => (KeyState::Retired, Some(at)),
        KeyStanding::Compromised { since } => (KeyState::Compromised, Some(since)),
    };
    let algorithm = registry.verifying_key(&key.department, &key.kid).map(|key| key.algorithm().name());
    v1::SealingKeyInfo {
        department: key.department.clone(),
        kid: key.kid.clone(),
        algorithm: algorithm.unwrap_or_default().into(),
        state: state.into(),
        since: since.map(timestamp),
        adapter: key.adapter.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: KeyStanding = KeyStanding::Active { since: 1 };
    const RETIRED: KeyStanding = KeyStanding::Retired { at: 2 };
    const COMPROMISED: KeyStanding = KeyStanding::Compromised { since: 3 };

    fn key(standing: KeyStanding) -> SealingKey {
        SealingKey {
            department: "d".into(),
            adapter: "a".into(),
            kid: "k".into(),
            jwk: "{}".into(),
            standing,
            proposed_by: "operator/one".into(),
        }
    }

    #[test]
    fn a_key_goes_one_way() {
        let all = [KeyStanding::Pending, ACTIVE, RETIRED, COMPROMISED];
        let allowed = |from, to| may_become(&key(from), to, "operator/two").is_ok();
        let table: Vec<Vec<bool>> =
            all.iter().map(|from| all[1..].iter().map(|to| allowed(*from, *to)).collect()).collect();
        assert_eq!(
            table,
            [
                [true, false, true],   // pending → active, compromised
                [false, true, true],   // active → retired, compromised
                [false, false, true],  // retired → compromised
                [false, false, false], // compromised → nothing later
            ]
        );
        assert!(allowed(COMPROMISED, KeyStanding::Compromised { since: 2 }), "an earlier beginning is believed");
    }

    #[test]
    fn who_made_the_token_does_not_confirm_the_key() {
        let refusal = may_become(&key(KeyStanding::Pending), ACTIVE, "operator/one").unwrap_err();
        assert_eq!(refusal.reason, Reason::FourEyes);
        may_become(&key(ACTIVE), RETIRED, "operator/one").unwrap();
    }
}
