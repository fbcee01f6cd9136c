//! Runs that people start and stop, and runs of customers who are merged, restricted or erased.

use std::sync::Arc;

use content_svc::privacy::ContentHolder;
use content_svc::workflow::{Trigger, rpc};
use content_svc::workflow_run::RunState;
use kit::{Caller, Coded, Mode, Role};
use personal::{Desk, Kind, Order, Whose};
use proto::content as pb;
use proto::content::workflow_service_server::WorkflowService;
use proto::events as ev;
use proto::events::event::Data;
use tonic::Request;

use crate::runs::{Background, DAY, background, done, dunning, failed, tag, wait};
use crate::world::{node, person};

fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(caller.clone()));
    request
}

#[tokio::test]
async fn customers_are_sent_by_hand_once_per_key_and_archiving_may_stop_them() {
    let b = Background::new().await;
    let nodes = vec![node("day", wait(24, "", "tag")), node("tag", tag("sent", "done")), done()];
    let id = b.publish("By hand", background(Trigger::Manual, nodes)).await;
    let dunning = b.publish("Dunning", dunning()).await;
    let room = rpc::Rpc(b.world.rooms.workflows.clone(), b.runs.clone());
    let ask = |id: &str, key: &str, customers: &[&str]| pb::StartWorkflowRunsRequest {
        id: id.into(),
        key: key.into(),
        customers: customers
            .iter()
            .map(|c| pb::RunStart { customer: (*c).into(), subscription: format!("sub_of_{c}") })
            .collect(),
    };
    let admin = &b.world.admin;
    let start = async |key: &str, customers: &[&str]| {
        let answer = room.start_workflow_runs(by(admin, ask(&id, key, customers))).await.unwrap();
        let items = answer.into_inner().items;
        items.into_iter().map(|i| (i.outcome, i.run_id)).collect::<Vec<_>>()
    };
    let first = start("spring", &["cus_1", "cus_2"]).await;
    assert!(first.iter().all(|(outcome, run)| outcome == "started" && !run.is_empty()), "{first:?}");
    let again = start("spring", &["cus_1", "cus_2"]).await;
    assert_eq!(again, [("known".into(), first[0].1.clone()), ("known".into(), first[1].1.clone())]);
    assert_eq!(start("summer", &["cus_1"]).await[0].0, "under_way");
    *b.biller.gone.lock().unwrap() = true;
    assert_eq!(start("summer", &["cus_3"]).await, [("unknown".into(), String::new())]);
    *b.biller.gone.lock().unwrap() = false;
    let said = |e: tonic::Status| kit::error::said(&e).slug;
    let not_manual = room.start_workflow_runs(by(admin, ask(&dunning, "x", &["cus_1"]))).await;
    assert_eq!(said(not_manual.unwrap_err()), "not_manual");
    for other in [person(Role::RetAdmin, "com_2", Mode::Live), person(Role::RetAdmin, "com_1", Mode::Test)] {
        let stranger = room.start_workflow_runs(by(&other, ask(&id, "x", &["cus_1"]))).await;
        assert_eq!(said(stranger.unwrap_err()), "not_found");
        assert_eq!(b.runs.get(&other, &first[0].1).await.unwrap_err().code().0.http(), 404);
    }

    b.round().await;
    let archive = |stop_runs| pb::ArchiveWorkflowRequest { id: id.clone(), stop_runs };
    room.archive_workflow(by(admin, archive(false))).await.unwrap();
    assert!(b.all().await.iter().all(|r| r.body.state == RunState::Waiting), "they keep their version");
    room.archive_workflow(by(admin, archive(true))).await.unwrap();
    let why: Vec<_> = b.all().await.into_iter().map(|r| (r.body.state, r.body.reason)).collect();
    assert_eq!(why, vec![(RunState::Canceled, "workflow_archived".to_owned()); 2]);
    let archived = room.start_workflow_runs(by(admin, ask(&id, "autumn", &["cus_1"]))).await;
    assert_eq!(said(archived.unwrap_err()), "archived");
    b.later(DAY * 2).await;
    assert_eq!(b.biller.take(), Vec::<String>::new());
}

#[tokio::test]
async fn runs_follow_whose_they_are_and_go_with_them() {
    let b = Background::new().await;
    b.publish("Dunning", dunning()).await;
    b.state("past_due");
    b.hear("evt_1", "payment.failed", failed(1)).await;
    b.round().await;
    let merged = |kind| {
        let merge = ev::CustomerMerged {
            survivor_id: "cus_7".into(),
            absorbed_id: "cus_1".into(),
            subscription_ids: vec!["sub_1".into()],
            ..Default::default()
        };
        b.hear("evt_2", kind, Data::CustomerMerged(merge))
    };
    merged("customer.merged").await;
    assert_eq!(b.only().await.customer_id, "cus_7");
    merged("customer.unmerged").await;
    assert_eq!((b.only().await.customer_id.as_str(), b.only().await.moved_from.len()), ("cus_1", 0));

    let clock = Arc::new(b.world.clock.clone());
    let visits = content_svc::flow_session::FlowStore::open(&b.world.db, clock.clone()).await.unwrap();
    let holder = ContentHolder { visits, runs: b.runs.clone(), evidence_days: 30 };
    let desk = Desk::open("content-svc", &b.world.db, clock, Arc::new(holder)).await.unwrap();
    let order = |kind| Order {
        request_id: format!("prv_{kind:?}"),
        kind,
        scope: b.scope().clone(),
        whose: Whose { customers: vec!["cus_1".into()], external: Vec::new() },
    };
    desk.carry_out(&order(Kind::Restriction)).await.unwrap();
    let run = b.only().await;
    assert_eq!((run.state, run.reason.as_str()), (RunState::Canceled, "customer_restricted"));
    *b.biller.restricted.lock().unwrap() = true;
    b.hear("evt_4", "payment.failed", failed(1)).await;
    assert_eq!(b.all().await.len(), 1, "nothing begins for somebody restricted");
    *b.biller.restricted.lock().unwrap() = false;
    b.hear("evt_5", "payment.failed", failed(1)).await;
    b.hear(
        "evt_6",
        "customer.erased",
        Data::CustomerErased(ev::CustomerErased { customer_id: "cus_1".into() }),
    )
    .await;
    assert_eq!(b.all().await[1].body.reason, "customer_erased");
    desk.carry_out(&order(Kind::Erasure)).await.unwrap();
    assert!(b.all().await.is_empty());
}
