//! A customer of a company without a backend shows who they are: by a program, by forms, and not at all.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use content_svc::flow_session::State;
use content_svc::hosted_page::rpc::Rpc;
use content_svc::verification::{
    Answer, Asking, Company, Found, People, VerificationStore, Verifications, Who,
};
use jiff::SignedDuration;
use kit::{Coded, Fault, Mode, PageRequest, Scope};
use proto::content as pb;
use proto::content::hosted_page_service_server::HostedPageService;
use tonic::Request;

use crate::flow::Flow;

/// The company's customers, by address or own id.
pub struct Known(pub Mutex<Vec<(Who, Found)>>);

#[async_trait]
impl People for Known {
    async fn company(&self, key: &str) -> Result<Option<Company>, Fault> {
        let known = ["com_1", "acme"].contains(&key);
        Ok(known.then(|| Company { id: "com_1".into(), name: "Acme".into() }))
    }

    async fn customers(&self, scope: &Scope, who: &Who) -> Result<Vec<Found>, Fault> {
        assert_eq!(scope.company, "com_1");
        let known = self.0.lock().unwrap();
        Ok(known.iter().filter(|(known, _)| known == who).map(|(_, found)| found.clone()).collect())
    }
}

fn ada() -> Who {
    Who::Email("ada@example.com".into())
}

fn found(customer: &str, reachable: bool) -> Found {
    Found { customer_id: customer.into(), reachable }
}

async fn verifications(flow: &Flow, known: Vec<(Who, Found)>) -> Verifications {
    let clock = Arc::new(flow.world.clock.clone());
    Verifications::new(
        VerificationStore::open(&flow.world.db, clock.clone()).await.unwrap(),
        Arc::new(Known(Mutex::new(known))),
        flow.flows.clone(),
        &"secret".to_owned().into(),
        clock,
    )
}

pub async fn rpc(flow: &Flow, known: Vec<(Who, Found)>) -> Rpc {
    let verifications = verifications(flow, known).await;
    Rpc { flows: flow.flows.clone(), verifications, public_url: "https://ret.example/".into() }
}

fn asking(who: Who) -> Asking {
    Asking {
        company: "acme".into(),
        who,
        mode: Mode::Live,
        subscription: "sub_1".into(),
        locale: String::new(),
    }
}

/// The values of the mails that were asked for, oldest first: code and key.
async fn mails(flow: &Flow) -> Vec<(String, String)> {
    use futures_util::TryStreamExt;
    use prost::Message;
    let kept = flow.world.db.collection::<bson::Document>("hosted_verifications");
    let all: Vec<_> = kept.find(bson::doc! {}).await.unwrap().try_collect().await.unwrap();
    let entries = all.iter().filter_map(|d| d.get_array("_outbox").ok()).flatten();
    let bodies = entries.map(|e| e.as_document().unwrap().get_binary_generic("body").unwrap().clone());
    let mails = bodies.map(|body| {
        let event = proto::events::Event::decode(body.as_slice()).unwrap();
        let Some(proto::events::event::Data::MailRequested(mail)) = event.data else { panic!("no mail") };
        assert_eq!((mail.template.as_str(), mail.to.as_str()), ("hosted_code", ""));
        let values = mail.values.map(proto::json::object_from_wire).unwrap_or_default();
        (values["code"].as_str().unwrap().to_owned(), mail.dedupe_key)
    });
    mails.collect()
}

/// The visits that ended with a wish that people carry out.
async fn wishes(flow: &Flow) -> Vec<(String, String)> {
    let all = flow.flows.list(&flow.world.admin, Some(State::Manual), None, &PageRequest::new(50, "")).await;
    let all = all.unwrap().items.into_iter();
    all.map(|v| {
        assert!(v.body.unverified && v.body.wished_at.is_some() && !v.body.open);
        (v.body.customer_id, v.body.subscription_id)
    })
    .collect()
}

#[tokio::test]
async fn a_code_leads_in_once() {
    let flow = Flow::new().await;
    let room = verifications(&flow, vec![(ada(), found("cus_1", true))]).await;
    let sent = room.ask(&asking(ada())).await.unwrap();
    assert!(matches!(sent, Answer::CodeSent { resend_left: true, .. }));
    let (code, _) = mails(&flow).await.remove(0);
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = room.verify(&asking(ada()), wrong).await.unwrap_err();
    assert_eq!(refused.code().1, "wrong_code");
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let Answer::Verified { token, .. } = room.verify(&asking(ada()), &spaced).await.unwrap() else {
        panic!("the code is right")
    };
    let visit = flow.flows.start(&token, "").await.unwrap();
    assert_eq!((visit.body.customer_id.as_str(), visit.body.subscription_id.as_str()), ("cus_1", "sub_1"));
    assert_eq!(room.verify(&asking(ada()), &code).await.unwrap_err().code().1, "wrong_code", "it is used up");
    let again = room.ask(&asking(ada())).await.unwrap();
    assert!(matches!(again, Answer::CodeSent { resend_left: true, .. }), "who came in may come again");
}

#[tokio::test]
async fn a_code_is_good_for_its_time_and_for_five_tries() {
    let flow = Flow::new().await;
    let room = verifications(&flow, vec![(ada(), found("cus_1", true))]).await;
    room.ask(&asking(ada())).await.unwrap();
    let (first, _) = mails(&flow).await.remove(0);
    flow.world.clock.advance(SignedDuration::from_mins(15));
    assert_eq!(
        room.verify(&asking(ada()), &first).await.unwrap_err().code().1,
        "wrong_code",
        "its time is over"
    );
    room.ask(&asking(ada())).await.unwrap();
    let second = mails(&flow).await.into_iter().map(|(code, _)| code).find(|c| *c != first).unwrap();
    let wrong = ["000000", "000001", "000002"].into_iter().find(|c| *c != first && *c != second).unwrap();
    for _ in 0..5 {
        room.verify(&asking(ada()), wrong).await.unwrap_err();
    }
    assert_eq!(
        room.verify(&asking(ada()), &second).await.unwrap_err().code().1,
        "wrong_code",
        "tried too often"
    );
}

#[tokio::test]
async fn nobody_learns_who_is_a_customer_and_the_third_ask_is_a_wish() {
    let flow = Flow::new().await;
    let room = verifications(&flow, vec![(ada(), found("cus_1", true))]).await;
    let stranger = Who::Email("nobody@example.com".into());
    for _ in 0..4 {
        let (known, unknown) = (room.ask(&asking(ada())).await, room.ask(&asking(stranger.clone())).await);
        let told = |answer| match answer {
            Answer::CodeSent { resend_left, .. } => Some(resend_left),
            Answer::Manual => None,
            Answer::Verified { .. } => panic!("without a code"),
        };
        assert_eq!(told(known.unwrap()), told(unknown.unwrap()));
    }
    assert_eq!(mails(&flow).await.len(), 2, "one, and one more");
    assert_eq!(wishes(&flow).await, [("cus_1".to_owned(), String::new())], "once, and of the customer only");
    let wished =
        flow.flows.list(&flow.world.admin, Some(State::Manual), None, &PageRequest::new(1, "")).await;
    let told = flow.told(&wished.unwrap().items[0].id).await;
    assert_eq!(told, ["flow.session.manual_requested"]);
    assert_eq!(flow.biller.take(), [] as [String; 0], "nothing was done at the biller");
    assert!(room.verify(&asking(stranger), "123456").await.is_err());
}

#[tokio::test]
async fn a_wish_is_taken_where_no_code_can_be_sent() {
    let flow = Flow::new().await;
    let by_id = Who::Customer("c-9".into());
    let known = vec![(ada(), found("cus_1", true)), (by_id.clone(), found("cus_9", false))];
    let room = verifications(&flow, known).await;
    let sent = room.ask(&asking(by_id)).await.unwrap();
    assert!(matches!(sent, Answer::CodeSent { resend_left: true, .. }), "the answer does not say so");
    assert_eq!(wishes(&flow).await, [("cus_9".to_owned(), String::new())]);
    assert!(mails(&flow).await.is_empty());
    room.ask(&asking(ada())).await.unwrap();
    let (code, key) = mails(&flow).await.remove(0);
    *flow.biller.down.lock().unwrap() = true;
    for _ in 0..2 {
        room.undeliverable(flow.scope(), &key).await.unwrap();
    }
    let mut all = wishes(&flow).await;
    all.sort();
    assert_eq!(all.len(), 2, "a biller that is down stops no wish: {all:?}");
    assert_eq!(all[0].0, "cus_1");
    room.undeliverable(flow.scope(), "hosted_code/hvf_none/rnd_1/1").await.unwrap();
    room.undeliverable(flow.scope(), "sign_in/otp_1").await.unwrap();
    *flow.biller.down.lock().unwrap() = false;
    assert!(room.verify(&asking(ada()), &code).await.is_ok(), "a mail that came after all lets in");
}

#[tokio::test]
async fn what_is_kept_names_nobody_and_goes_with_the_customer() {
    let flow = Flow::new().await;
    let room = verifications(&flow, vec![(ada(), found("cus_1", true))]).await;
    room.ask(&asking(ada())).await.unwrap();
    let (code, _) = mails(&flow).await.remove(0);
    testkit::relayed(&flow.world.db).await;
    assert_eq!(testkit::holding(&flow.world.db, &["ada@example.com", &code]).await, [] as [String; 0]);
    let shelf = content_svc::verification::shelf(&["cus_1".to_owned()]);
    let kept = flow.world.db.collection::<bson::Document>("hosted_verifications");
    assert_eq!(kept.count_documents(shelf).await.unwrap(), 1);
}

fn form(fields: &[(&str, &str)]) -> Request<pb::SubmitVerifyPageRequest> {
    let fields = fields.iter().map(|(n, v)| pb::FormField { name: (*n).into(), value: (*v).into() });
    Request::new(pb::SubmitVerifyPageRequest {
        company: "acme".into(),
        accept_language: "de-DE,de;q=0.9".into(),
        fields: fields.collect(),
    })
}

#[tokio::test]
async fn forms_lead_from_an_address_to_the_page() {
    let flow = Flow::new().await;
    let room = rpc(&flow, vec![(ada(), found("cus_1", true))]).await;
    let asked = pb::ShowVerifyPageRequest { company: "acme".into(), accept_language: "de".into() };
    let page = room.show_verify_page(Request::new(asked)).await.unwrap().into_inner();
    assert_eq!(page.status, 200);
    assert!(page.html.contains("Acme") && page.html.contains("E-Mail-Adresse"), "{}", page.html);
    assert!(!page.html.contains("<script"));
    assert!(page.html.replace("&#x2f;", "/").contains("action=\"/v1/hosted/acme/verify\""), "{}", page.html);
    let nobody = pb::ShowVerifyPageRequest { company: "other".into(), accept_language: "de".into() };
    assert_eq!(room.show_verify_page(Request::new(nobody)).await.unwrap().into_inner().status, 404);

    let odd = room.submit_verify_page(form(&[("email", "no address")])).await.unwrap().into_inner();
    assert_eq!(odd.status, 422);
    let given = [("email", " Ada@Example.com ")];
    let page = room.submit_verify_page(form(&given)).await.unwrap().into_inner();
    assert_eq!(page.status, 200);
    assert!(page.html.contains("name=\"email\" value=\"Ada@Example.com\""), "{}", page.html);
    assert!(page.html.contains("one-time-code"));
    let wrong = room.submit_verify_page(form(&[given[0], ("code", "0")])).await.unwrap().into_inner();
    assert_eq!(wrong.status, 422);
    assert!(wrong.html.contains("Dieser Code ist falsch"), "{}", wrong.html);
    let (code, _) = mails(&flow).await.remove(0);
    let led = room.submit_verify_page(form(&[given[0], ("code", &code)])).await.unwrap().into_inner();
    assert_eq!(led.status, 303);
    let token = led.location.strip_prefix("/v1/hosted/acme/").unwrap();
    assert!(flow.flows.start(token, "").await.is_ok());
}

#[tokio::test]
async fn a_program_is_told_the_same_in_json() {
    let flow = Flow::new().await;
    let room = rpc(&flow, vec![(ada(), found("cus_1", true))]).await;
    let send = async |email: &str, customer: &str, code: &str| {
        let asked = pb::VerifyHostedCustomerRequest {
            company: "com_1".into(),
            email: email.into(),
            customer: customer.into(),
            code: code.into(),
            subscription: "sub_1".into(),
            ..Default::default()
        };
        room.verify_hosted_customer(Request::new(asked)).await.map(tonic::Response::into_inner)
    };
    let sent = send("ada@example.com", "", "").await.unwrap();
    assert_eq!(sent.state(), pb::HostedVerificationState::CodeSent);
    assert!(sent.resend_left && sent.token.is_empty());
    let (code, _) = mails(&flow).await.remove(0);
    let led = send("ADA@example.com", "", &code).await.unwrap();
    assert_eq!(led.state(), pb::HostedVerificationState::Verified);
    assert_eq!(led.hosted_url, format!("https://ret.example/v1/hosted/com_1/{}", led.token));
    for (email, customer) in [("", ""), ("ada@example.com", "c-1"), ("ada", "")] {
        assert_eq!(send(email, customer, "").await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
