//! Departments publish their exports; a window asks for what a case needs.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use tokio::time::Instant;
use weft_adapter::runner::Summary as Ran;
use weft_proto::v1::{self, query_client::QueryClient};

use super::{
    departments::{BUSINESSES, PUBLISHING, Publishing},
    hall::{Hall, OPERATOR_NAMES},
    publish::publish,
    told::Bars,
    unusable,
};
use crate::{
    failure::Failure,
    query::answer::{Checking, Shown},
    window,
};

static SAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../adapters/samples");

/// The service item of the case, and what the window may see for it.
pub(super) const ITEM: &str = "food-business-licence-application";
const WINDOW: &str = "hall-1";
const FIELDS: [&str; 5] = ["uscc", "name", "legalRep", "address", "scope"];
/// How many of the export's businesses the window asks about.
const ASKED: usize = 5;

/// What the story came to.
pub(super) struct Summary {
    /// What the adapter of each department did.
    pub(super) departments: Vec<(&'static Publishing, Ran)>,
    /// The answers, with their proofs checked.
    pub(super) answers: Vec<Shown>,
    /// The hub's state at the end.
    pub(super) status: v1::StatusResponse,
    /// How long it took.
    pub(super) elapsed_ms: u128,
}

impl Summary {
    /// Whether every step held: all that was published has an outcome, every answer is satisfied and proved.
    pub(super) fn held(&self) -> bool {
        let settled = self.departments.iter().all(|(_, ran)| {
            ran.published > 0 && ran.indexed > 0 && ran.indexed + ran.duplicate + ran.quarantined >= ran.published
        });
        let proved = !self.answers.is_empty() && self.answers.iter().all(|one| one.holds() && one.is_presented());
        settled && proved && self.status.ledger_entries >= self.answers.len() as u64
    }
}

/// Writes the built-in sample exports.
pub(super) fn export_samples(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
    SAMPLES.extract(folder).map_err(|error| unusable(&error))
}

/// Runs the story.
pub(super) async fn run(hall: &mut Hall, samples: Option<&Path>, bars: &Bars) -> Result<Summary, Failure> {
    let began = Instant::now();
    let samples = match samples {
        Some(folder) => folder.to_owned(),
        None => {
            let folder = hall.folder.join("samples");
            export_samples(&folder)?;
            folder
        }
    };
    let mut departments = Vec::new();
    for department in &PUBLISHING {
        let ran = publish(hall, department, &samples, bars).await?;
        departments.push((department, ran));
    }
    let answers = ask(hall, &samples, bars).await?;
    let status = settled_status(hall, answers.len() as u64).await?;
    Ok(Summary { departments, answers, status, elapsed_ms: began.elapsed().as_millis() })
}

/// A window joins, gets its grant by four eyes, and asks for each business of a case.
async fn ask(hall: &Hall, samples: &Path, bars: &Bars) -> Result<Vec<Shown>, Failure> {
    let mut first = hall.operator(OPERATOR_NAMES[0]).await?;
    let window =
        v1::RegisterWindowRequest {
            window: WINDOW.into(), name_zh: "综合受理一号窗口".into(), hall: "gaoqing".into()
        };
    first.register_window(window).await?;
    let token = v1::CreateJoinTokenRequest { identity: format!("window/{WINDOW}"), valid_seconds: 600 };
    let token = first.create_join_token(token).await?.into_inner().join_token;
    let folder = hall.folder.join("windows").join(WINDOW);
    window::join_with(&folder, &token).await?;
    grant(hall).await?;
    let channel = hall.channel(&folder.join(window::CERTIFICATE), &folder.join(window::KEY)).await?;
    let mut client = QueryClient::new(channel);
    let checking = Checking::of_console(hall.console_url());
    let files = checking.files()?;
    let mut answers = Vec::new();
    let businesses = businesses(&samples.join(BUSINESSES))?;
    for (at, uscc) in businesses.iter().enumerate() {
        bars.looking(at + 1, businesses.len());
        let response = client.list_holder_records(question(uscc, at)).await?.into_inner();
        for answer in response.answers {
            answers.push(Shown::new(answer, &checking, &files).await?);
        }
    }
    Ok(answers)
}

async fn grant(hall: &Hall) -> Result<(), Failure> {
    let grant = v1::GrantInfo {
        window: WINDOW.into(),
        service_item: ITEM.into(),
        record_type: "business-licence".into(),
        department: PUBLISHING[0].code.into(),
        fields: FIELDS.iter().map(ToString::to_string).collect(),
        purpose: "核验申请人主体资格".into(),
        ..v1::GrantInfo::default()
    };
    let mut first = hall.operator(OPERATOR_NAMES[0]).await?;
    let change = first.request_grant(v1::RequestGrantRequest { grant: Some(grant) }).await?.into_inner();
    let id = change.entity.trim_start_matches("grant/").to_owned();
    let listed = first.list_all_grants(v1::ListAllGrantsRequest {}).await?.into_inner();
    if listed.grants.iter().any(|one| one.grant_id == id && one.state == "active") {
        return Ok(());
    }
    let decide = v1::DecideGrantRequest { grant_id: id, state: "active".into(), why: "符合条件".into() };
    hall.operator(OPERATOR_NAMES[1]).await?.decide_grant(decide).await?;
    Ok(())
}

fn question(uscc: &str, at: usize) -> v1::ListHolderRecordsRequest {
    let case = v1::CaseRef {
        number: format!("GQ-2026-{:06}", at + 1),
        service_item: ITEM.into(),
        party_role: "applicant".into(),
    };
    v1::ListHolderRecordsRequest {
        look: Some(v1::Look {
            request_id: hex::encode(weft_hub::clock::random::<16>()),
            case: Some(case),
            purpose: "食品经营许可申请，核验营业执照".into(),
            clerk: "001".into(),
            holder: Some(v1::Holder { scheme: "uscc".into(), value: uscc.into() }),
            ..v1::Look::default()
        }),
        record_type: "business-licence".into(),
        ..v1::ListHolderRecordsRequest::default()
    }
}

/// The first businesses of the export, as their codes stand there.
fn businesses(export: &Path) -> Result<Vec<String>, Failure> {
    use weft_record::identifier::{Rule, Verdict, check};
    let text = std::fs::read_to_string(export).map_err(|error| unusable(&format!("{}: {error}", export.display())))?;
    let codes = text.lines().filter_map(|line| line.split(',').next()).map(str::trim);
    let valid = codes.filter(|code| code.is_ascii() && matches!(check(Rule::Uscc, code).verdict, Verdict::Valid));
    Ok(valid.map(str::to_owned).take(ASKED).collect())
}

/// The hub's state, once its ledger view has caught up.
async fn settled_status(hall: &Hall, looks: u64) -> Result<v1::StatusResponse, Failure> {
    let mut operator = hall.operator(OPERATOR_NAMES[0]).await?;
    let asked = Instant::now();
    loop {
        let status = operator.status(v1::StatusRequest { with_index_digest: false }).await?.into_inner();
        if status.ledger_entries >= looks || asked.elapsed().as_secs() > 20 {
            return Ok(status);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Where the demo's window keeps its certificate.
pub(super) fn window_folder(hall: &Hall) -> PathBuf {
    hall.folder.join("windows").join(WINDOW)
}
