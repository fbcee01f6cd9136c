//! A company's way to its first live flow: steps complete by what the other services tell, and open again by it.

use kit::clock::Clock as _;
use kit::{Caller, Role};
use proto::events as ev;
use proto::events::event::Data;
use proto::identity as pb;
use proto::identity::{OnboardingState, OnboardingStepKey as Key, OnboardingStepState as Step};
use serde_json::{Value, json};

use crate::rig::{Rig, person, slug};

type Onboarding = pb::onboarding_service_client::OnboardingServiceClient<tonic::transport::Channel>;

fn room(rig: &Rig) -> Onboarding {
    Onboarding::new(rig.up.channel())
}

async fn get(rig: &Rig, caller: &Caller) -> pb::Onboarding {
    let ask = rig.ask(caller, pb::GetOnboardingRequest {});
    room(rig).get_onboarding(ask).await.unwrap().into_inner()
}

async fn complete(rig: &Rig, caller: &Caller, key: Key) -> Result<pb::Onboarding, tonic::Status> {
    let ask = rig.ask(caller, pb::CompleteOnboardingStepRequest { key: key.into() });
    room(rig).complete_onboarding_step(ask).await.map(tonic::Response::into_inner)
}

async fn skip(rig: &Rig, caller: &Caller, key: Key) -> Result<pb::Onboarding, tonic::Status> {
    let ask = rig.ask(caller, pb::SkipOnboardingStepRequest { key: key.into() });
    room(rig).skip_onboarding_step(ask).await.map(tonic::Response::into_inner)
}

async fn reopen(rig: &Rig, caller: &Caller, key: Key) -> Result<pb::Onboarding, tonic::Status> {
    let ask = rig.ask(caller, pb::ReopenOnboardingStepRequest { key: key.into() });
    room(rig).reopen_onboarding_step(ask).await.map(tonic::Response::into_inner)
}

async fn save(
    rig: &Rig,
    caller: &Caller,
    key: Key,
    version: i64,
    data: Value,
) -> Result<pb::Onboarding, tonic::Status> {
    let data = proto::json::object_to_wire(&data);
    let ask = pb::UpdateOnboardingStepRequest { key: key.into(), version, data };
    room(rig).update_onboarding_step(rig.ask(caller, ask)).await.map(tonic::Response::into_inner)
}

fn step(o: &pb::Onboarding, key: Key) -> &pb::OnboardingStep {
    o.steps.iter().find(|s| s.key() == key).unwrap()
}

/// Waits until a step stands so.
async fn until(rig: &Rig, caller: &Caller, key: Key, state: Step) -> pb::Onboarding {
    testkit::eventually("the step", async || {
        let o = get(rig, caller).await;
        (step(&o, key).state() == state).then_some(o)
    })
    .await
}

/// Tells what another service would of this company.
async fn tell(
    rig: &Rig,
    company: &str,
    mode: &str,
    kind: &str,
    (subject, sequence): (&str, i64),
    data: Option<Data>,
) {
    let event = ev::Event {
        id: kit::id::new("evt"),
        r#type: kind.into(),
        version: 1,
        company_id: company.into(),
        mode: mode.into(),
        occurred_at: Some(kit::time::to_proto(rig.clock.now())),
        subject: subject.into(),
        sequence,
        data,
    };
    rig.tell(event).await;
}

fn connection(status: &str, synced_at: Option<prost_types::Timestamp>) -> Option<Data> {
    let data = ev::ConnectionChanged {
        provider: "stripe".into(),
        status: status.into(),
        last_error: String::new(),
        synced_at,
    };
    Some(Data::ConnectionChanged(data))
}

async fn give_domain(rig: &Rig, admin: &Caller, company: &pb::Company) {
    let update = pb::UpdateCompanyRequest {
        id: company.id.clone(),
        version: company.version,
        domain: Some("telco.example".into()),
        ..Default::default()
    };
    let mut companies = pb::company_service_client::CompanyServiceClient::new(rig.up.channel());
    companies.update_company(rig.ask(admin, update)).await.unwrap();
}

fn answers() -> Value {
    json!({ "answers": { "goal": "fewer cancellations" }, "note": "call them on Mondays" })
}

#[tokio::test]
async fn a_company_goes_live_by_evidence_and_stays_so_when_some_of_it_breaks() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let id = company.id.as_str();
    let new = get(&rig, &ada).await;
    assert_eq!(
        (new.state(), new.percent, new.current_step()),
        (OnboardingState::NotStarted, 0, Key::CompanyProfile)
    );
    assert_eq!(step(&new, Key::CompanyProfile).missing, ["domain"]);
    assert_eq!(slug(complete(&rig, &ada, Key::CompanyProfile).await), "evidence_missing");
    assert_eq!(slug(complete(&rig, &ada, Key::Intake).await), "step_locked");
    give_domain(&rig, &ada, &company).await;
    let profiled = until(&rig, &ada, Key::CompanyProfile, Step::Completed).await;
    assert_eq!((profiled.state(), profiled.percent), (OnboardingState::InProgress, 8));
    // Billing is connected before its turn; what is heard twice or late changes nothing.
    tell(&rig, id, "live", "connection.changed", ("con_1", 5), connection("connected", None)).await;
    tell(&rig, id, "live", "connection.changed", ("con_1", 4), connection("revoked", None)).await;
    let read = get(&rig, &ada).await.version;
    assert_eq!(slug(save(&rig, &ada, Key::Intake, read + 9, answers()).await), "stale_version");
    let taken = testkit::eventually("the intake", async || {
        let read = get(&rig, &ada).await.version;
        save(&rig, &ada, Key::Intake, read, answers()).await.ok()
    })
    .await;
    assert_eq!(step(&taken, Key::Intake).state(), Step::Completed);
    let connected = until(&rig, &ada, Key::BillingConnected, Step::Completed).await;
    assert_eq!(step(&connected, Key::BillingConnected).done_by, "", "evidence did it");
    assert_eq!(connected.current_step(), Key::CustomersSynced);
    assert_eq!(slug(skip(&rig, &ada, Key::CustomersSynced).await), "step_required");
    let now = Some(kit::time::to_proto(rig.clock.now()));
    tell(&rig, id, "live", "connection.changed", ("con_1", 6), connection("connected", now)).await;
    until(&rig, &ada, Key::CustomersSynced, Step::Completed).await;
    for key in [Key::TicketingConnected, Key::SlackConnected] {
        let skipped = skip(&rig, &ada, key).await.unwrap();
        assert_eq!(
            (step(&skipped, key).state(), step(&skipped, key).done_by.as_str()),
            (Step::Skipped, ada.actor.id.as_str())
        );
    }
    tell(
        &rig,
        id,
        "live",
        "usage.upload.completed",
        ("upl_1", 1),
        Some(Data::UsageUploadCompleted(Default::default())),
    )
    .await;
    until(&rig, &ada, Key::UsageUploaded, Step::Completed).await;
    let refreshed =
        ev::PersonasRefreshed { personas: vec![ev::PersonaCount::default()], ..Default::default() };
    tell(&rig, id, "live", "persona.refreshed", ("job_1", 1), Some(Data::PersonasRefreshed(refreshed))).await;
    until(&rig, &ada, Key::PersonasDefined, Step::Completed).await;
    skip(&rig, &ada, Key::ChallengesChosen).await.unwrap();
    let flow = ev::ContentPublished {
        kind: "workflow".into(),
        content_id: "wfl_1".into(),
        number: 1,
        ..Default::default()
    };
    tell(&rig, id, "test", "content.published", ("wfl_1", 1), Some(Data::ContentPublished(flow))).await;
    until(&rig, &ada, Key::FlowPublished, Step::Completed).await;
    let session = || Some(Data::FlowSessionChanged(ev::FlowSessionChanged::default()));
    tell(&rig, id, "test", "flow.session.started", ("fls_1", 1), session()).await;
    let ready = until(&rig, &ada, Key::WidgetVerified, Step::Completed).await;
    assert_eq!(
        (ready.state(), ready.percent, ready.current_step()),
        (OnboardingState::Ready, 91, Key::GoLive)
    );
    assert_eq!(slug(complete(&rig, &ada, Key::GoLive).await), "evidence_missing");
    tell(&rig, id, "live", "flow.session.started", ("fls_2", 1), session()).await;
    let live = until(&rig, &ada, Key::GoLive, Step::Completed).await;
    assert_eq!((live.state(), live.percent, live.current_step), (OnboardingState::Live, 100, None));
    assert!(live.live_at.is_some() && live.warnings.is_empty());
    tell(&rig, id, "live", "connection.changed", ("con_1", 7), connection("revoked", None)).await;
    let broken = until(&rig, &ada, Key::BillingConnected, Step::InProgress).await;
    assert!(step(&broken, Key::BillingConnected).reopened);
    assert_eq!((broken.state(), broken.live_at), (OnboardingState::Live, live.live_at));
    assert_eq!(broken.warnings().collect::<Vec<_>>(), [Key::BillingConnected]);
    assert_eq!(slug(complete(&rig, &ada, Key::BillingConnected).await), "evidence_missing");
    tell(&rig, id, "live", "connection.changed", ("con_1", 8), connection("connected", None)).await;
    until(&rig, &ada, Key::BillingConnected, Step::Completed).await;
}

#[tokio::test]
async fn an_expert_acts_on_content_and_goes_along_while_a_member() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let (other, bob) = rig.company("Other", "bob@other.example").await;
    let eve = rig.join(&ada, "eve@expert.example", pb::UserRole::RetExp).await;
    let expert = person(Role::RetExp, &eve, Some(&company.id));
    assert_eq!(slug(complete(&rig, &expert, Key::CompanyProfile).await), "forbidden");
    assert_eq!(slug(skip(&rig, &expert, Key::SlackConnected).await), "forbidden");
    assert_eq!(slug(skip(&rig, &expert, Key::ChallengesChosen).await), "step_locked");
    give_domain(&rig, &ada, &company).await;
    let profiled = complete(&rig, &ada, Key::CompanyProfile).await.unwrap();
    assert_eq!(step(&profiled, Key::CompanyProfile).state(), Step::Completed, "the record is looked at anew");
    let taken = testkit::eventually("the intake", async || {
        let read = get(&rig, &expert).await.version;
        save(&rig, &expert, Key::Intake, read, answers()).await.ok()
    })
    .await;
    assert_eq!(step(&taken, Key::Intake).state(), Step::Completed);
    let open = reopen(&rig, &expert, Key::Intake).await.unwrap();
    assert_eq!(
        (step(&open, Key::Intake).state(), step(&open, Key::Intake).reopened),
        (Step::InProgress, true)
    );
    let done = complete(&rig, &expert, Key::Intake).await.unwrap();
    assert_eq!(step(&done, Key::Intake).done_by, eve);
    // Only an active expert of this company goes along with it.
    let assign = async |caller: &Caller, user: &str| {
        let ask = rig.ask(caller, pb::AssignOnboardingExpertRequest { user_id: user.into() });
        room(&rig).assign_onboarding_expert(ask).await.map(tonic::Response::into_inner)
    };
    assert_eq!(slug(assign(&bob, &eve).await), "invalid_request");
    assert_eq!(slug(assign(&ada, &ada.actor.id).await), "invalid_request");
    assert_eq!(assign(&ada, &eve).await.unwrap().expert_id, eve);
    let operator = rig.operator().await;
    let overview = async |ask: pb::ListOnboardingOverviewRequest| {
        room(&rig).list_onboarding_overview(rig.ask(&operator, ask)).await.unwrap().into_inner()
    };
    let theirs =
        overview(pb::ListOnboardingOverviewRequest { expert_id: eve.clone(), ..Default::default() }).await;
    assert_eq!((theirs.items.len(), theirs.items[0].company_id.as_str()), (1, company.id.as_str()));
    assert_eq!((theirs.items[0].percent, theirs.items[0].company_name.as_str()), (16, "Telco"));
    // Every company is in the overview, also one nobody has looked at.
    let all = testkit::eventually("both companies", async || {
        let first = overview(pb::ListOnboardingOverviewRequest { limit: 1, ..Default::default() }).await;
        let cursor = first.next_cursor.clone();
        if cursor.is_empty() {
            return None;
        }
        let second =
            overview(pb::ListOnboardingOverviewRequest { limit: 1, cursor, ..Default::default() }).await;
        assert!(second.next_cursor.is_empty());
        Some([first.items[0].company_id.clone(), second.items[0].company_id.clone()])
    });
    assert_eq!(all.await, [other.id.clone(), company.id.clone()], "newest first");
    let begun =
        pb::ListOnboardingOverviewRequest { state: OnboardingState::InProgress.into(), ..Default::default() };
    assert_eq!(overview(begun).await.items.len(), 1);
    // Nothing of it reaches the other company; all of it is in the trail, without what was entered.
    assert_eq!(get(&rig, &bob).await.state(), OnboardingState::NotStarted);
    let search = pb::ListAuditEntriesRequest { resource: "onboarding".into(), ..Default::default() };
    let entries = testkit::eventually("the audit entries", async || {
        let mut audit = pb::audit_service_client::AuditServiceClient::new(rig.up.channel());
        let found = audit.list_audit_entries(rig.ask(&ada, search.clone())).await.unwrap().into_inner();
        (found.items.len() == 4).then_some(found.items)
    });
    assert!(!format!("{:?}", entries.await).contains("Mondays"));
    let mut users = pb::user_profile_service_client::UserProfileServiceClient::new(rig.up.channel());
    users.delete_user(rig.ask(&ada, pb::DeleteUserRequest { id: eve })).await.unwrap();
    testkit::eventually("the expert's leaving", async || {
        get(&rig, &ada).await.expert_id.is_empty().then_some(())
    })
    .await;
}
