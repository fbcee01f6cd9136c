//! What must not be lost or done twice when MongoDB loses its primary.

use std::sync::Arc;

use bson::doc;
use identity_svc::audit::AuditStore;
use identity_svc::audit::verify::verify;
use kit::{Caller, Mode, Scope};
use proto::identity as pb;
use proto::identity::company_service_client::CompanyServiceClient;
use testkit::Replicas;
use tonic::{Code, Status};

use crate::rig::{OPERATOR, Rig, public};

const ROTATIONS: usize = 30;
const RENAMINGS: usize = 60;

/// Asks until there is an answer, as a browser's tab does.
async fn persist<T>(ask: impl AsyncFn() -> Result<T, Status>) -> T {
    testkit::eventually("an answer", async || match ask().await {
        Ok(answer) => Some(answer),
        Err(no) => {
            assert!(matches!(no.code(), Code::Unavailable | Code::DeadlineExceeded), "{no:?}");
            None
        }
    })
    .await
}

async fn refreshed(rig: &Rig, token: &str) -> String {
    let ask = async || {
        let request = pb::RefreshSessionRequest { refresh_token: token.into() };
        rig.sessions().refresh_session(rig.ask(&public(), request)).await
    };
    persist(ask).await.into_inner().refresh_token
}

async fn company(rig: &Rig, caller: &Caller, id: &str) -> pb::Company {
    let ask = async || {
        let request = pb::GetCompanyRequest { id: id.into() };
        CompanyServiceClient::new(rig.up.channel()).get_company(rig.ask(caller, request)).await
    };
    persist(ask).await.into_inner()
}

/// Renames on what was read. A renaming without an answer may have been done: then the version is old.
async fn rename(rig: &Rig, caller: &Caller, id: &str, name: &str) {
    loop {
        let now = company(rig, caller, id).await;
        if now.name == name {
            return;
        }
        let request = pb::UpdateCompanyRequest {
            id: id.into(),
            version: now.version,
            name: Some(name.into()),
            ..Default::default()
        };
        let done = CompanyServiceClient::new(rig.up.channel()).update_company(rig.ask(caller, request)).await;
        if let Err(no) = done {
            assert!(
                matches!(no.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted),
                "{no:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_makes_no_second_rotation_and_loses_no_audit_entry() {
    let mut replicas = Replicas::start().await;
    let rig = Rig::on(replicas.db(), testkit::clock(), &[]).await;
    let (telco, ada) = rig.company("Telco", "ada@telco.example").await;
    let grant = rig.sign_in(OPERATOR, rig.mails_to(OPERATOR) + 1).await;
    let begun = company(&rig, &ada, &telco.id).await.version;

    let rotating = async {
        let mut token = grant.refresh_token.clone();
        for _ in 0..ROTATIONS {
            let (one, other) = tokio::join!(refreshed(&rig, &token), refreshed(&rig, &token));
            assert_eq!(one, other, "two tabs, one successor");
            token = one;
        }
    };
    let renaming = async {
        for n in 0..RENAMINGS {
            rename(&rig, &ada, &telco.id, &format!("Telco {n}")).await;
        }
    };
    // In the middle of both.
    let losing = async {
        let third = async || (company(&rig, &ada, &telco.id).await.version >= begun + 20).then_some(());
        testkit::eventually("a third of the renamings", third).await;
        replicas.lose_primary().await;
    };
    tokio::join!(rotating, renaming, losing);

    assert!(rig.resolve(&grant.session_id).await.is_ok(), "nobody was taken for a thief");
    let database = rig.db.db("identity-svc").await;
    let sessions = database.collection::<bson::Document>("sessions");
    let session = sessions.find_one(doc! { "_id": &grant.session_id }).await.unwrap().unwrap();
    let used = session.get_document("body").unwrap().get_array("used").unwrap().len();
    assert_eq!(used, ROTATIONS, "each rotation once");

    let end = company(&rig, &ada, &telco.id).await;
    let accepted = u64::try_from(end.version - begun).unwrap();
    assert_eq!(accepted, RENAMINGS as u64, "each renaming once");
    let entries = database.collection::<bson::Document>("audit_entries");
    let told = doc! { "body.action": "company.update", "body.resource_id": &telco.id };
    let all = async || (entries.count_documents(told.clone()).await.ok()? >= accepted).then_some(());
    testkit::eventually("every renaming in the trail", all).await;
    assert_eq!(entries.count_documents(told).await.unwrap(), accepted);
    let trail = AuditStore::open(&database, Arc::new(rig.clock.clone())).await.unwrap();
    let verdict = verify(&trail, &Scope::new(&telco.id, Mode::Live)).await.unwrap();
    assert_eq!(verdict.broken, None);
}
