//! Record types, registered at run time from a folder as it stands under `schemas/record-types/`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use weft_proto::v1::{CheckRecordTypeRequest, RecordTypeText, RegisterRecordTypeRequest};

use super::{changed, operator};
use crate::{client::ClientArgs, failure::Failure, files, report::Report};

/// The hub takes no longer text.
const MAX_BYTES: u64 = 256 << 10;

/// `weft admin record-type`
#[derive(Debug, Subcommand)]
pub(crate) enum RecordTypeCommand {
    /// Whether a type, or a new version of one, would be taken, and which grants and service items it would break
    Check(FolderArgs),
    /// Register a type, or a new version of one
    Register(FolderArgs),
}

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgs {
    /// The folder with `type.toml` and `v<version>.schema.json`
    folder: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

impl RecordTypeCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Check(args) => check(&args).await,
            Self::Register(args) => {
                let record_type = Some(text(&args.folder)?);
                let request = args.client.request(RegisterRecordTypeRequest { record_type });
                Ok(changed(operator(&args.client).await?.register_record_type(request).await?.get_ref()))
            }
        }
    }
}

/// Exits with the code for problems where the type would be refused.
async fn check(args: &FolderArgs) -> Result<Report, Failure> {
    let request = args.client.request(CheckRecordTypeRequest { record_type: Some(text(&args.folder)?) });
    let checked = operator(&args.client).await?.check_record_type(request).await?.into_inner();
    if checked.incompatibilities.is_empty() {
        return Ok(Report::sheet(json!({
            "record_type": checked.record_type, "version": checked.version, "compatible": true,
        })));
    }
    let named = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    Err(Failure::problems("新版本与现行版本不兼容", "the new version is not compatible with the present one").because(
        format!(
            "grants: {}; service items: {}; {}",
            named(&checked.grants),
            named(&checked.service_items),
            checked.incompatibilities.join("; ")
        ),
    ))
}

/// The two texts; of several schemas the one that the definition's version names.
fn text(folder: &Path) -> Result<RecordTypeText, Failure> {
    let read = |path: PathBuf| Ok::<_, Failure>(files::read_text(&path.to_string_lossy(), MAX_BYTES)?.to_string());
    let definition = read(folder.join("type.toml"))?;
    let wrong = |why: String| Failure::usage("type.toml 无法使用", "type.toml cannot be used").because(why);
    let table: toml::Table = definition.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let version = table.get("version").and_then(toml::Value::as_integer);
    let version = version.ok_or_else(|| wrong("it has no version".to_owned()))?;
    let schema = read(folder.join(format!("v{version}.schema.json")))?;
    Ok(RecordTypeText { definition, schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_one_of_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("type.toml", "type = \"a\"\nversion = 2\n");
        write("v1.schema.json", "1");
        assert!(text(folder.path()).is_err(), "there is no v2.schema.json");
        write("v2.schema.json", "2");
        assert_eq!(text(folder.path()).unwrap().schema, "2");
        write("type.toml", "type = \"a\"\n");
        assert!(text(folder.path()).is_err());
    }
}
