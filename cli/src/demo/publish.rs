//! One department publishes: registered, its adapter enrolled and its key confirmed, its records read.

use std::{path::Path, sync::Arc};

use include_dir::{Dir, include_dir};
use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Surroundings, join, keys::Directory, run_once, runner::Summary as Ran};
use weft_proto::v1;

use super::{
    departments::Publishing,
    hall::{Hall, OPERATOR_NAMES},
    post, supply,
    told::Bars,
    unusable,
};
use crate::failure::Failure;

static DEPARTMENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../adapters/departments");

/// Registers a department, enrols its adapter, has its key confirmed by a second person, and lets it publish its samples.
pub(super) async fn publish(
    hall: &Hall,
    department: &'static Publishing,
    samples: &Path,
    bars: &Bars,
) -> Result<Ran, Failure> {
    let mut first = hall.operator(OPERATOR_NAMES[0]).await?;
    first.register_department(department.registration()).await?;
    let identity = format!("department/{}/adapter/main", department.code);
    let token = v1::CreateJoinTokenRequest { identity, valid_seconds: 600 };
    let token = first.create_join_token(token).await?.into_inner().join_token;
    let folder = hall.folder.join("departments").join(department.code);
    let mut config = configuration(department, &folder)?;
    config.hub = vec![format!("https://localhost:{}", hall.api.port())];
    let surroundings = Surroundings { progress: bars.department(department.zh), ..Surroundings::system() };
    let directory = Directory::new(&config.state_dir);
    let joined = join(&token, &directory, &surroundings).await.map_err(|error| unusable(&error))?;
    let confirm = v1::SetSealingKeyStateRequest {
        department: department.code.into(),
        kid: joined.fingerprint,
        state: v1::KeyState::Active.into(),
        since: None,
    };
    hall.operator(OPERATOR_NAMES[1]).await?.set_sealing_key_state(confirm).await?;
    let _serving = supply::supply(&mut config, department, samples, &folder).await?;
    if department.posts().is_empty() {
        return run_once(config, surroundings, CancellationToken::new()).await.map_err(|error| unusable(&error));
    }
    let progress = Arc::clone(&surroundings.progress);
    post::run(config, Surroundings { progress, ..surroundings }, department.posts(), samples).await
}

/// The department's ready configuration.
fn configuration(department: &Publishing, folder: &Path) -> Result<Config, Failure> {
    let text = DEPARTMENTS.get_file(format!("{}.toml", department.code)).and_then(|file| file.contents_utf8());
    let text = text.ok_or_else(|| unusable(&"a department's configuration is missing"))?;
    Config::parse(text, folder).map_err(|error| unusable(&error))
}
