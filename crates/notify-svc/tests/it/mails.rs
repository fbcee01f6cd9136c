//! Which events become which mails, and that none becomes two.

use notify_svc::email::{TEMPLATES, Templates};
use proto::common::{LocalText, Money};
use proto::events::event::Data;
use proto::events::{
    CustomerErased, FlowSessionChanged, MailRequested, NotificationRequested, PaymentChanged, PersonaCount,
    PersonasRefreshed, RecoveryCaseChanged, RedemptionChanged, SubscriptionChanged,
};
use serde_json::json;

use crate::world::{World, readable};

fn code(to: &str, key: &str) -> Data {
    let fields = [
        ("code".to_owned(), text("482913")),
        ("name".to_owned(), text("Ada <b>")),
        (
            "minutes".to_owned(),
            prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(10.0)) },
        ),
    ];
    Data::MailRequested(MailRequested {
        template: "sign_in_code".into(),
        to: to.into(),
        locale: "en".into(),
        values: Some(prost_types::Struct { fields: fields.into() }),
        dedupe_key: key.into(),
        ..Default::default()
    })
}

fn text(value: &str) -> prost_types::Value {
    prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(value.into())) }
}

fn redemption(state: &str) -> Data {
    Data::RedemptionChanged(RedemptionChanged {
        redemption_id: "red_1".into(),
        offer_name: "20 % for 3 months".into(),
        customer_id: "cus_1".into(),
        subscription_id: "sub_1".into(),
        state: state.into(),
        code: "STAY-7K2M".into(),
        terms_text: Some(LocalText {
            default_locale: "en".into(),
            texts: [("en".to_owned(), "20 % off for 3 months, then $29.85 a month.".to_owned())].into(),
        }),
        effect_ends_at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        ..Default::default()
    })
}

fn session(state: &str, minor: i64) -> Data {
    Data::FlowSessionChanged(FlowSessionChanged {
        flow_session_id: "fls_1".into(),
        customer_id: "cus_1".into(),
        subscription_id: "sub_1".into(),
        state: state.into(),
        mrr: Some(Money { minor, currency: "USD".into() }),
        wished_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        ..Default::default()
    })
}

#[tokio::test]
async fn a_sign_in_code_goes_out_once_however_often_it_is_asked_for() {
    let world = World::new().await;
    for _ in 0..3 {
        world.hear("mail.requested", "otp_1", 1, code("ada@telco.example", "sign_in/otp_1")).await;
    }
    let sent = world.sent("sign_in_code").await;
    assert_eq!(sent.len(), 1, "invariant 9: the same event again leaves the same state");
    let mail = readable(&sent[0]);
    assert!(mail.contains("482913") && mail.contains("To: ada@telco.example"), "{mail}");
    assert!(mail.contains("Ada &lt;b&gt;"), "what people wrote is no HTML: {mail}");
    assert!(mail.contains("Auto-Submitted: auto-generated"));
}

#[tokio::test]
async fn invariant_9_the_code_of_an_offer_is_mailed_once_for_all_events_of_its_redemption() {
    let world = World::new().await;
    world.hear("redemption.claimed", "red_1", 2, redemption("claimed")).await;
    world.hear("redemption.claimed", "red_1", 2, redemption("claimed")).await;
    world.hear("redemption.verified", "red_1", 5, redemption("verified")).await;
    let sent = world.sent("Offer_Code").await;
    assert_eq!(sent.len(), 1);
    let mail = readable(&sent[0]);
    for part in
        ["STAY-7K2M", "Grace Hopper", "$29.85 a month", "Telco", "2027-01-15", "To: grace@example.com"]
    {
        assert!(mail.contains(part), "{part} in {mail}");
    }
}

#[tokio::test]
async fn a_mail_waits_for_the_customers_address() {
    let world = World::new().await;
    let to = |customer: &str, id: &str| {
        let Data::RedemptionChanged(r) = redemption("claimed") else { unreachable!() };
        let (customer_id, redemption_id) = (customer.to_owned(), id.to_owned());
        Data::RedemptionChanged(RedemptionChanged { customer_id, redemption_id, ..r })
    };
    // The customer's own event is still under way: a first sync has thousands of them.
    world.hear("redemption.claimed", "red_2", 2, to("cus_2", "red_2")).await;
    assert!(world.sent("Offer_Code").await.is_empty());
    world.customer("cus_2", "Alan", "alan@example.com", 1).await;
    world.clock.advance(jiff::SignedDuration::from_secs(6));
    let sent = world.sent("Offer_Code").await;
    assert_eq!(sent.len(), 1);
    assert!(readable(&sent[0]).contains("Hello Alan") && sent[0].contains("To: alan@example.com"));
    world.customer("cus_3", "Nobody", "", 1).await;
    world.hear("redemption.claimed", "red_3", 2, to("cus_3", "red_3")).await;
    assert_eq!(
        world.sent("Offer_Code").await.len(),
        1,
        "without an address nothing is sent and nothing waits"
    );
}

#[tokio::test]
async fn a_wish_that_people_carry_out_is_confirmed_and_told_to_admins() {
    let world = World::new().await;
    for _ in 0..2 {
        world.hear("flow.session.manual_requested", "fls_1", 4, session("manual", 2_985)).await;
    }
    let received = world.sent("cancel_request_received").await;
    assert_eq!(received.len(), 1);
    assert!(readable(&received[0]).contains("2023-11-14"), "dated as of the wish");
    let told: Vec<_> = world.sent("Email_Notification_RA").await.iter().map(|m| readable(m)).collect();
    assert_eq!(told.len(), 2, "both admins, and no expert");
    let to = |who: &str| told.iter().find(|m| m.contains(&format!("To: {who}@telco.example"))).unwrap();
    assert!(
        to("usr_ada").contains("Grace Hopper") && to("usr_ada").contains("A wish to cancel waits for you")
    );
    assert!(to("usr_max").contains("G. H.") && !to("usr_max").contains("Hopper"), "as far as they may see");
    assert!(to("usr_max").contains("Eine Kündigung wartet auf Sie"), "in the reader's language");
}

#[tokio::test]
async fn valuable_sessions_are_told_and_others_are_not() {
    let world = World::new().await;
    world.hear("flow.session.started", "fls_1", 1, session("created", 2_985)).await;
    assert!(world.sent("Email_Notification_RA").await.is_empty());
    world.hear("flow.session.started", "fls_1", 1, session("created", 25_000)).await;
    world.hear("flow.session.saved", "fls_1", 4, session("saved", 25_000)).await;
    let told = world.sent("Email_Notification_RA").await;
    assert_eq!(told.len(), 4);
    assert!(readable(&told[0]).contains("250.00"), "{}", readable(&told[0]));
}

#[tokio::test]
async fn a_refresh_is_told_to_admins_and_experts_with_what_has_moved() {
    let world = World::new().await;
    let count = |name: &str, members, entered, left| PersonaCount {
        persona_id: name.into(),
        name: name.into(),
        members,
        entered,
        left,
    };
    let refreshed = PersonasRefreshed {
        job_id: "job_1".into(),
        customers: 7_043,
        personas: vec![count("Fibre, first year", 120, 30, 1), count("Quiet", 500, 2, 3)],
        ..Default::default()
    };
    world.hear("persona.refreshed", "job_1", 1, Data::PersonasRefreshed(refreshed.clone())).await;
    let sent = world.sent("Segmentation_Data_Refresh").await;
    assert_eq!(sent.len(), 3);
    let english = sent.iter().map(|m| readable(m)).find(|m| m.contains("usr_eve")).unwrap();
    for part in ["7043 customers", "Fibre, first year (changed by more than 10 %)", "Quiet"] {
        assert!(english.contains(part), "{part} in {english}");
    }
    assert!(!english.contains("Quiet (changed"));
    let failed = PersonasRefreshed { job_id: "job_2".into(), failure: "no data".into(), ..refreshed };
    world.hear("persona.refreshed", "job_2", 1, Data::PersonasRefreshed(failed)).await;
    let sent = world.sent("Segmentation_Data_Refresh").await;
    assert!(sent.iter().any(|m| readable(m).contains("could not be refreshed: no data")));
}

/// A mail of a recovery, as billing asks for it.
fn recovery(subscription: &str, key: &str) -> Data {
    let words = |en: &str, de: &str| json!({ "default_locale": "en", "texts": { "en": en, "de": de } });
    let values = json!({
        "amount_due": "29.85 USD", "failed_at": "2026-03-01", "link": "https://telco.example/billing",
        "text": {
            "subject": words("{{amount_due}} is still open", "{{amount_due}} ist noch offen"),
            "body": words("Dear {{name}},\n\nplease look at your card. {{plan}}", "Guten Tag {{name}}"),
            "fallbacks": { "plan": words("Your plan goes on.", "Ihr Tarif läuft weiter.") },
        },
    });
    Data::MailRequested(MailRequested {
        template: "recovery_mail".into(),
        values: proto::json::object_to_wire(&values),
        dedupe_key: key.into(),
        customer_id: "cus_1".into(),
        recovery_of: subscription.into(),
        ..Default::default()
    })
}

fn payment(subscription: &str) -> Data {
    Data::PaymentChanged(PaymentChanged { subscription_id: subscription.into(), ..Default::default() })
}

fn subscription(id: &str, state: &str, before: &str) -> Data {
    Data::SubscriptionChanged(SubscriptionChanged {
        subscription_id: id.into(),
        state: state.into(),
        previous_state: before.into(),
        ..Default::default()
    })
}

fn ended(subscription: &str) -> Data {
    Data::RecoveryCaseChanged(RecoveryCaseChanged {
        subscription_id: subscription.into(),
        state: "stopped".into(),
        ..Default::default()
    })
}

#[tokio::test]
async fn a_recovery_mail_has_the_company_s_words_for_this_customer_and_goes_once() {
    let world = World::new().await;
    for _ in 0..2 {
        world.hear("mail.requested", "rcs_1", 2, recovery("sub_1", "recovery/rcs_1/0")).await;
    }
    let sent = world.sent("recovery_mail").await;
    assert_eq!(sent.len(), 1);
    let mail = readable(&sent[0]);
    for part in [
        "Subject: 29.85 USD is still open",
        "To: grace@example.com",
        "Dear Grace Hopper,",
        "Your plan goes on.",
        "https://telco.example/billing",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    assert!(!mail.contains("{{"), "{mail}");
}

#[tokio::test]
async fn invariant_10_recovery_mails_stop_when_the_customer_pays_or_leaves() {
    let world = World::new().await;
    let ids = ["sub_paid", "sub_left", "sub_1", "sub_paused", "sub_back", "sub_stopped", "sub_open"];
    for id in ids {
        world.hear("mail.requested", id, 2, recovery(id, &format!("recovery/{id}"))).await;
    }
    world.hear("payment.recovered", "sub_paid", 2, payment("sub_paid")).await;
    let changed = "subscription.changed";
    world.hear(changed, "sub_left", 2, subscription("sub_left", "non_renewing", "past_due")).await;
    world.hear("flow.session.canceled", "fls_1", 4, session("canceled", 100)).await;
    world.hear(changed, "sub_paused", 2, subscription("sub_paused", "paused", "past_due")).await;
    world.hear(changed, "sub_back", 2, subscription("sub_back", "active", "past_due")).await;
    world.hear("recovery.case_ended", "rcs_1", 2, ended("sub_stopped")).await;
    assert_eq!(world.sent("recovery_mail").await.len(), 1, "only the one still owed");
}

#[tokio::test]
async fn invariant_10_a_mail_asked_for_before_the_payment_stops_in_whichever_order_the_news_comes() {
    let world = World::new().await;
    // Billing read "past due", the customer paid, and the payment is heard of first.
    world.hear("payment.recovered", "sub_1", 3, payment("sub_1")).await;
    world.hear("mail.requested", "rcs_1", 2, recovery("sub_1", "recovery/rcs_1/1")).await;
    // Old news that comes late opens nothing.
    world.hear("payment.failed", "sub_1", 2, payment("sub_1")).await;
    world.hear("mail.requested", "rcs_1", 2, recovery("sub_1", "recovery/rcs_1/1")).await;
    assert!(world.sent("recovery_mail").await.is_empty());
    // Another payment fails next month: what is asked for then goes, and nobody has to lift anything.
    world.clock.advance(jiff::SignedDuration::from_hours(30 * 24));
    world.hear("mail.requested", "rcs_2", 2, recovery("sub_1", "recovery/rcs_2/0")).await;
    assert_eq!(world.sent("recovery_mail").await.len(), 1);
    // And a halt of the month before that is delivered late does not stop it.
    let halts = world.db.collection::<bson::Document>("recovery_halts");
    assert_eq!(halts.count_documents(bson::doc! {}).await.unwrap(), 1);
}

#[tokio::test]
async fn a_code_given_at_the_last_chance_is_a_recovery_mail_and_says_so() {
    let world = World::new().await;
    let given = |id: &str, subscription: &str| {
        let Data::RedemptionChanged(r) = redemption("claimed") else { unreachable!() };
        Data::RedemptionChanged(RedemptionChanged {
            redemption_id: id.into(),
            subscription_id: subscription.into(),
            flow_session_id: kit::id::new("rcs"),
            ..r
        })
    };
    world.hear("redemption.claimed", "red_8", 2, given("red_8", "sub_8")).await;
    world.hear("redemption.claimed", "red_9", 2, given("red_9", "sub_9")).await;
    world.hear("subscription.changed", "sub_9", 9, subscription("sub_9", "ended", "past_due")).await;
    let sent = world.sent("Offer_Code").await;
    assert_eq!(sent.len(), 1, "who left gets none");
    let mail = readable(&sent[0]);
    assert!(mail.contains("your next payments become easier") && mail.contains("STAY-7K2M"), "{mail}");
}

#[tokio::test]
async fn a_notice_of_recovery_is_in_the_dashboard_of_admins_and_in_no_mail() {
    let world = World::new().await;
    let values = json!({ "amount_due": "29.85 USD", "failed_at": "2026-03-01" });
    let words =
        |en: &str| LocalText { default_locale: "en".into(), texts: [("en".into(), en.into())].into() };
    let asked = NotificationRequested {
        kind: "payment_recovery".into(),
        values: proto::json::object_to_wire(&values),
        link: "/recovery/cases/rcs_1".into(),
        subject: "rcs_1".into(),
        dedupe_key: "recovery/rcs_1/2".into(),
        customer_id: "cus_1".into(),
        ..Default::default()
    };
    let own = NotificationRequested {
        title: Some(words("Call {{name}}")),
        body: Some(words("{{amount_due}} waits")),
        dedupe_key: "recovery/rcs_1/3".into(),
        ..asked.clone()
    };
    for _ in 0..2 {
        for asked in [&asked, &own] {
            let data = Data::NotificationRequested(asked.clone());
            world.hear("notification.requested", "rcs_1", 2, data).await;
        }
    }
    let told = async |who: &str| {
        let (person, page) = (world.person(who), kit::PageRequest::new(50, ""));
        let page = world.rooms.notifications.list(&person, false, &page);
        page.await.unwrap().items.into_iter().map(|n| (n.body.title, n.body.body)).collect::<Vec<_>>()
    };
    let pair = |title: &str, body: &str| (title.to_owned(), body.to_owned());
    let [ada, max, eve] = [told("usr_ada").await, told("usr_max").await, told("usr_eve").await];
    let ours = pair("A payment is still open", "29.85 USD of Grace Hopper is past due since 2026-03-01.");
    assert_eq!(ada, [pair("Call Grace Hopper", "29.85 USD waits"), ours]);
    let ours = pair("Eine Zahlung ist noch offen", "29.85 USD von G. H. stehen seit dem 2026-03-01 aus.");
    assert_eq!(max, [pair("Call G. H.", "29.85 USD waits"), ours], "as far as he may see");
    assert!(eve.is_empty(), "no expert");
    assert!(world.sent("Email_Notification_RA").await.is_empty());
}

#[tokio::test]
async fn an_erased_customer_is_in_no_mail_and_gets_none() {
    let world = World::new().await;
    world.hear("redemption.claimed", "red_1", 2, redemption("claimed")).await;
    world.sent("Offer_Code").await;
    world.hear("mail.requested", "rcs_1", 2, recovery("sub_open", "recovery/rcs_1/0")).await;
    let erased = Data::CustomerErased(CustomerErased { customer_id: "cus_1".into() });
    world.hear("customer.erased", "cus_1", 9, erased).await;
    assert!(world.sent("recovery_mail").await.is_empty());
    for collection in ["mails", "contacts"] {
        let all = world.db.collection::<bson::Document>(collection);
        let personal = bson::doc! { "$or": [
            { "body.to": { "$regex": "grace" } }, { "body.values": { "$regex": "Grace" } }, { "body.email": { "$regex": "grace" } },
        ] };
        assert_eq!(all.count_documents(personal).await.unwrap(), 0, "{collection}");
    }
}

#[test]
fn every_mail_renders_in_every_language_with_all_its_values() {
    let templates = Templates::new().unwrap();
    let values = json!({
        "code": "482913", "minutes": 10, "name": "Ada", "company": "Telco", "inviter": "Max", "role": "ret_exp",
        "note": "come", "sees_personal_data": false, "may_publish": true, "expires_at": "2026-12-01T10:00:00Z",
        "accept_link": "https://x.example/a?b=1&c=2", "decline_link": "javascript:alert(1)", "offer": "Less",
        "terms": "20 % off", "ends_at": "2027-01-01T00:00:00Z", "wished_at": "2026-11-23T09:00:00Z", "title": "T",
        "body": "B", "customer": "G. H.", "value": "29.85 USD", "link": "https://x.example/y", "customers": 5,
        "personas": [{ "name": "P", "members": 1, "entered": 1, "left": 0, "jumped": true }],
        "data_to": "2026-11-23T09:00:00Z", "rejected_rows": 3, "subject": "S", "paragraphs": ["A", "B <i>"],
        "amount_due": "29.85 USD",
    });
    for template in TEMPLATES {
        for locale in ["en", "de", "fr"] {
            let mail = templates.render(template, locale, &values).unwrap();
            let all = format!("{}{}{}", mail.subject, mail.html, mail.text);
            assert!(!mail.subject.is_empty() && !mail.text.trim().is_empty(), "{template} {locale}");
            for bad in ["{{", "{%", "javascript:", "<mj-", "undefined"] {
                assert!(!all.contains(bad), "{bad} in {template} {locale}: {all}");
            }
        }
    }
    let long = format!("https://x.example/v1/invitations/by-token/{}", "t".repeat(90));
    let mut invitation = values.clone();
    invitation["accept_link"] = json!(long);
    let invited = templates.render("Email_Invitation_RE", "en", &invitation).unwrap();
    assert!(invited.text.contains(&long), "an address on one line, in {}", invited.text);
    let english = templates.render("Email_Invitation_RE", "en", &values).unwrap();
    for part in
        ["Max", "Telco", "retention expert", "2026-12-01", "https://x.example/a?b=1", "hidden from you"]
    {
        assert!(english.html.contains(part) || english.text.contains(part), "{part}: {}", english.text);
    }
}
