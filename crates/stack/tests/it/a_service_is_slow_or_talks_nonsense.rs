//! A service that answers late, or with something else, costs customers their offers at most: each page is there in time,
//! each wish to leave is taken at once and carried out when that is possible again, and nobody gets anything twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::within;

use crate::company::Company;
use crate::customer::{Customer, active, at_the_provider, is_over};
use crate::processes::Processes;

/// How many customers come while something is wrong, and how many of them at once.
const EACH: usize = 50;
const ABREAST: usize = 10;
/// How late a slow service is: later than anybody waits.
const LATE: Duration = Duration::from_secs(5);
/// By when a page has to be there: two calls are given up after 1.5 seconds each, and an offer or a cancellation that is
/// carried out may take a few. On a loaded machine the rest takes its time, too.
const IN_TIME: Duration = Duration::from_secs(12);
/// A lock of a call that was given up lasts 30 seconds, and what waits is looked at every ten.
const SETTLED: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
enum Wrong {
    Slow,
    Noise,
}

/// What a customer saw of a visit.
struct Seen {
    external_id: String,
    slowest: Duration,
    /// Whether every press was answered.
    heard: bool,
}

/// One customer, from the link to the last press.
async fn visit(customer: &mut Customer<'_>, link: &str) -> Seen {
    let (mut slowest, mut heard) = (Duration::ZERO, true);
    let mut timed = |begun: Instant| slowest = slowest.max(begun.elapsed());
    let begun = Instant::now();
    heard &= customer.follow(link).await.is_some();
    timed(begun);
    for _ in 0..5 {
        let begun = Instant::now();
        let Some(screen) = customer.look().await else { break };
        timed(begun);
        if is_over(&screen) || screen["state"] == "settling" || screen["state"] == "manual" {
            break;
        }
        let begun = Instant::now();
        heard &= customer.press(&screen).await.is_some();
        timed(begun);
    }
    Seen { external_id: customer.external_id.clone(), slowest, heard }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_customers_are_heard_while_a_service_is_slow_or_talks_nonsense() {
    let system = Processes::start().await;
    let company = Company::demo(&system).await;
    let active = active(&company).await;
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    let troubles = ["billing-svc", "analytics-svc"].map(|s| [(s, Wrong::Slow), (s, Wrong::Noise)]);
    for (trouble, ids) in troubles.as_flattened().iter().zip(active.chunks_exact(EACH)) {
        let (service, wrong) = *trouble;
        let mut customers = Vec::new();
        for (n, id) in ids.iter().enumerate() {
            let customer = Customer::new(&company, &system.gateway, id, n % 2 == 0);
            let link = customer.link().await.unwrap();
            customers.push((customer, link));
        }
        let line = &system.lines[service];
        match wrong {
            Wrong::Slow => line.slow(LATE),
            Wrong::Noise => line.garble(),
        }
        for some in customers.chunks_mut(ABREAST) {
            for seen in join_all(some.iter_mut().map(|(customer, link)| visit(customer, link))).await {
                let Seen { external_id, slowest, heard } = seen;
                assert!(heard, "{service}: {wrong:?}, and {external_id} was not heard");
                assert!(slowest < IN_TIME, "{service}: {wrong:?}, and {external_id} waited {slowest:?}");
            }
        }
        line.mend();
        for (customer, _) in &customers {
            let ended = within(SETTLED, "what was decided being carried out", async || {
                let screen = customer.look().await?;
                let state = screen["state"].as_str()?;
                assert_ne!(state, "manual", "{service}: {wrong:?}: {screen}");
                is_over(&screen).then(|| state.to_owned())
            });
            let state = ended.await;
            assert!(
                customer.stays || state == "canceled",
                "{} wanted to leave: {state}",
                customer.external_id
            );
            ends.insert(customer.external_id.clone(), state);
        }
        let of = |state: &str| ends.values().filter(|s| *s == state).count();
        println!("{service}, {wrong:?}: {} saved, {} canceled so far", of("saved"), of("canceled"));
    }
    at_the_provider(&company, &ends).await;
}
