//! Random histories of many customers, many requests, a provider that fails in every way and processes that die
//! anywhere: whatever happens, money moves exactly once. `pure.rs` runs tens of thousands over the rules alone;
//! `real.rs` runs fewer over the rooms themselves, with a real database and provider beneath them.

mod checks;
mod plan;
mod provider;
mod pure;
mod real;
mod way;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use self::plan::{ORDINARY, Plan, Run, plan};
use crate::rooms::world::World;

/// What a history came to, for a look at whether the histories are worth anything.
#[derive(Debug, Default)]
struct Tally {
    claims: u64,
    verified: u64,
    reversed: u64,
    asked: u64,
}

fn run(plan: &Plan, tally: &mut Tally) {
    let mut w = pure::World::new(plan);
    checks::always(&w);
    for step in &plan.steps {
        w.step(step, &mut checks::always);
    }
    checks::mend(&mut w);
    checks::finally(&mut w);
    tally.asked += w.asked.len() as u64;
    for r in &w.redemptions {
        use billing_svc::redemption::State;
        tally.claims += u64::from(r.body.claimed_at.is_some());
        tally.verified += u64::from(matches!(r.body.state, State::Verified | State::Exhausted));
        tally.reversed += u64::from(r.body.state == State::Reversed);
    }
}

#[test]
fn money_moves_exactly_once_in_ten_thousand_random_histories_of_the_rules() {
    let run_of = Run::of(ORDINARY);
    let tally = std::cell::RefCell::new(Tally::default());
    let outcome = run_of.runner(0).run(&plan(24), |plan| {
        let one = AssertUnwindSafe(|| run(&plan, &mut tally.borrow_mut()));
        catch_unwind(one).map_err(|panic| TestCaseError::fail(said(&*panic)))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, plan)) => panic!("seed {}: {why}\n{plan:#?}", run_of.seed),
        Err(other) => panic!("seed {}: {other}", run_of.seed),
    }
    let tally = tally.into_inner();
    println!("{} histories from seed {}: {tally:?}", run_of.histories, run_of.seed);
    let histories = u64::from(run_of.histories);
    assert!(
        tally.verified > histories / 2 && tally.reversed > histories / 10,
        "they must be about something: {tally:?}"
    );
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// How many histories run beside each other, each lane with a database and a clock of its own.
const LANES: usize = 6;
/// How often a history that fails is run again to find out what of it matters.
const SHRINKS: usize = 60;

/// Over the real rooms; why it fails, if it does.
async fn fails(world: &mut World, nth: usize, plan: &Plan) -> Option<String> {
    let one = AssertUnwindSafe(real::history(world, nth, plan)).catch_unwind().await;
    one.err().map(|panic| said(&*panic))
}

#[test]
fn money_moves_exactly_once_in_random_histories_of_the_real_rooms() {
    let run_of = Run::of(300);
    let left = Arc::new(AtomicUsize::new(run_of.histories as usize));
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (left, runner, seed) =
                (left.clone(), run_of.runner(u8::try_from(lane).unwrap()), run_of.seed);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let outcome = runtime.block_on(on_a_lane(runner, &left));
                outcome.map_err(|why| format!("seed {seed}, lane {lane}, {why}"))
            })
        })
        .collect();
    let done: Vec<_> = lanes.into_iter().map(|lane| lane.join().unwrap().unwrap()).collect();
    println!("{} histories of the real rooms from seed {}", done.iter().sum::<usize>(), run_of.seed);
}

/// Histories one after the other while some are left; how many, or what of the first that fails matters.
async fn on_a_lane(mut runner: TestRunner, left: &AtomicUsize) -> Result<usize, String> {
    let (mut world, mut nth) = (World::start().await, 0);
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
        let mut tree = plan(12).new_tree(&mut runner).unwrap();
        let Some(mut why) = fails(&mut world, nth, &tree.current()).await else {
            nth += 1;
            continue;
        };
        let mut least = tree.current();
        let mut smaller = tree.simplify();
        for _ in 0..SHRINKS {
            if !smaller {
                break;
            }
            smaller = match fails(&mut World::start().await, 0, &tree.current()).await {
                Some(again) => {
                    (why, least) = (again, tree.current());
                    tree.simplify()
                }
                None => tree.complicate(),
            };
        }
        return Err(format!("history {nth}: {why}\n{least:#?}"));
    }
    Ok(nth)
}
