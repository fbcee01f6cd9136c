//! Fifty customers, and in every visit a service is killed. Whoever presses "cancel" is heard, whoever was in the middle goes
//! on, and in the end nothing is lost or done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{eventually, within};

use crate::company::Company;
use crate::customer::{Customer, active, at_the_provider, is_over};
use crate::processes::Processes;

const FLOWS: usize = 50;
/// A billing-svc that was killed leaves its lock for the lock's 30 seconds; what waits for it is looked at every ten,
/// and each look waits up to five for the lock.
const SETTLED: Duration = Duration::from_secs(30 + 10 + 5 + 15);

/// Kills the service so long after the customer pressed, and starts it again afterwards; what the press was answered.
async fn press_while_it_dies(
    system: &mut Processes,
    customer: &Customer<'_>,
    screen: &Value,
    victim: &'static str,
    after: Duration,
) -> Option<Value> {
    let pressed = async {
        let mut pressed = std::pin::pin!(customer.press(screen));
        let early = tokio::time::timeout(after, &mut pressed).await;
        system.kill(victim).await;
        match early {
            Ok(answered) => answered,
            Err(_) => pressed.await,
        }
    };
    let pressed = match pressed.await {
        // Dead now, and pressed again: whoever wants to leave does not wait for us to come back.
        None => customer.press(screen).await,
        some => some,
    };
    system.restart(victim).await;
    pressed
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_customers_are_heard_though_a_service_dies_in_every_visit() {
    let mut system = Processes::start().await;
    let company = Company::demo(&system).await;
    let active = active(&company).await;
    let names = system.names();
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    for n in 0..FLOWS {
        let external_id = active[n % active.len()].clone();
        if ends.contains_key(&external_id) {
            continue;
        }
        let victim = names[n % names.len()];
        // At which press it dies: while entering, at the first page or at the next.
        let moment = n / names.len() / 2 % 3;
        // And how far the press has got: from not yet sent to long answered.
        let after = Duration::from_millis(u64::try_from(n * 7 % 100).unwrap());
        // Of each service's deaths, one half hits who stays and one half who goes.
        let stays = (n + n / names.len()) % 2 == 0;
        let mut customer = Customer::new(&company, &system.gateway, &external_id, stays);
        if moment == 0 {
            system.kill(victim).await;
            customer.enter().await;
            system.restart(victim).await;
        }
        while customer.session.is_empty() {
            if customer.enter().await.is_none() {
                tokio::task::yield_now().await;
            }
        }
        let mut presses = 0;
        let state = loop {
            let screen = eventually("a screen", || customer.look()).await;
            if screen["state"] == "manual" {
                let path = customer.session.replace("/v1/flow/sessions", "/v1/flow-sessions") + "/explain";
                let why = company.admin.get(&path).await.unwrap();
                panic!("{victim} died after {after:?}, and people have to help: {why:#}");
            }
            if is_over(&screen) {
                break screen["state"].as_str().unwrap().to_owned();
            }
            if screen["state"] == "settling" {
                within(SETTLED, "what was decided being carried out", async || {
                    customer.look().await.filter(|s| s["state"] != "settling").map(drop)
                })
                .await;
                continue;
            }
            presses += 1;
            if presses == moment.max(1) {
                let answered = press_while_it_dies(&mut system, &customer, &screen, victim, after).await;
                // Only who is asked first can keep a wish from being recorded, and that only until it is back.
                if !customer.stays && !matches!(victim, "gateway" | "content-svc") {
                    assert!(answered.is_some(), "{victim} was down, and {external_id} could not cancel");
                }
            } else {
                customer.press(&screen).await;
            }
            assert!(presses < 10, "{external_id} gets nowhere: {screen}");
        };
        ends.insert(external_id, state);
    }
    assert!(ends.len() >= FLOWS.min(active.len()));
    check(&system, &company, &ends).await;
}

/// Nothing is lost and nothing was done twice: at the provider, in the visits, in the figures and in the mailbox.
async fn check(system: &Processes, company: &Company, ends: &BTreeMap<String, String>) {
    let of = |state: &str| ends.values().filter(|s| *s == state).count();
    let (saved, canceled, kept) = (of("saved"), of("canceled"), of("abandoned"));
    assert_eq!(saved + canceled + kept, ends.len(), "{ends:?}");
    // Without an offer only where billing could not be asked for one.
    assert!(saved > 15 && canceled > 15 && kept < 5, "{ends:?}");
    at_the_provider(company, ends).await;
    let visits = company.admin.all("/v1/flow-sessions").await.unwrap();
    let decided = visits.iter().filter(|v| v["state"] == "saved" || v["state"] == "canceled").count();
    assert_eq!(decided, saved + canceled, "one visit each");
    assert!(visits.iter().all(|v| v["state"] != "canceled" || v["wished_at"].is_string()));
    let (want_saved, want_canceled) = (json!(saved), json!(canceled));
    let right = |o: &Value| o["saved"] == want_saved && o["canceled"] == want_canceled;
    company.until(&company.machine, "/v1/analytics/overview", "the overview counting all", right).await;
    let mails = system.file("mail");
    // What a service held that was killed is given again a minute later (`ack_wait` of the bus).
    within(Duration::from_secs(90), "the mails of all who stayed", async || {
        let names = std::fs::read_dir(&mails).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        (names.filter(|n| n.contains("-Offer_Code-") && !n.starts_with('.')).count() == saved).then_some(())
    })
    .await;
}
