//! Laws of runs, over random workflows, with workers that die between any two writes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use kit::Timestamp;
use kit::locale::LocalText;
use proptest::prelude::*;

use super::model::*;
use super::stride::{Seen, Stride, stride};
use crate::flow_session::FlowRef;
use crate::workflow::graph_tests::{action, condition, end, known, node, split, workflow};
use crate::workflow::{
    Action, EndOutcome, Limits, Mail, Node, NodeKind, Trigger, Wait, WorkflowContent, fit_to_publish,
};

const ID: &str = "wfr_1";

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn mail(id: &str, next: &str) -> Node {
    let words = |text: &str| LocalText::of("en", text);
    let mail = Mail { subject: words("Hello"), body: words("There"), link: String::new(), variables: vec![] };
    node(
        id,
        NodeKind::Action(Action { action: "mail".into(), mail: Some(mail), tag: None, next: next.into() }),
    )
}

fn background(nodes: Vec<Node>) -> WorkflowContent {
    let limits = Limits { max_days: 10, ..Limits::default() };
    WorkflowContent { trigger: Trigger::Manual, limits, ..workflow(nodes) }
}

/// Nodes that lead on, and waits that lead anywhere.
fn random_flow() -> impl Strategy<Value = WorkflowContent> {
    let kinds = (0_u8..7, any::<u8>(), any::<u8>(), any::<u8>(), 0_u32..40, any::<bool>());
    proptest::collection::vec(kinds, 1..9).prop_map(|made| {
        let n = made.len();
        let name = |i: usize| if i < n { format!("n{i}") } else { "kept".into() };
        let mut nodes: Vec<Node> = made
            .iter()
            .enumerate()
            .map(|(i, (kind, a, b, c, hours, event))| {
                let id = format!("n{i}");
                let on = |x: &u8| name(i + 1 + usize::from(*x) % (n - i));
                let any = |x: &u8| name(usize::from(*x) % (n + 1));
                match kind {
                    0 => mail(&id, &on(a)),
                    1 => action(&id, &on(a)),
                    2 => condition(&id, known(), &on(a), &on(b)),
                    3 => split(&id, &on(a), &on(b), &on(c)),
                    _ => {
                        let event = if *event { "payment.failed" } else { "" };
                        let late = (!event.is_empty() && *hours > 0).then(|| any(b));
                        let hours = if event.is_empty() { (*hours).max(1) } else { *hours };
                        node(&id, NodeKind::Wait(Wait { hours, event: event.into(), next: any(a), late }))
                    }
                }
            })
            .collect();
        nodes.push(end("kept", EndOutcome::Kept));
        background(nodes)
    })
}

/// The world of one run: what is written, and what was done outside.
struct World {
    flow: WorkflowContent,
    run: WorkflowRun,
    now: Timestamp,
    /// Mails ride in the write: by key.
    mails: Vec<String>,
    /// Tags are set before it: by key, how often.
    tags: BTreeMap<String, u32>,
    events: u32,
}

impl World {
    fn new(flow: WorkflowContent) -> Self {
        let pinned = FlowRef { id: "wfl_1".into(), number: 1, hash: String::new() };
        let run = WorkflowRun {
            customer_id: "cus_1".into(),
            ends_by: kit::time::add_days(now(), i64::from(flow.limits.max_days)),
            ..WorkflowRun::new(pinned, Trigger::Manual, "manual/1".into(), &flow.start, now())
        };
        Self { flow, run, now: now(), mails: Vec::new(), tags: BTreeMap::new(), events: 0 }
    }

    fn write(&mut self, next: WorkflowRun) {
        let (from, to) = (self.run.state, next.state);
        // `failed` is passed through within one write.
        let passes = from.leads_to(to) || (from.leads_to(RunState::Failed) && RunState::Failed.leads_to(to));
        assert!(passes, "{from:?} leads to {to:?}");
        self.run = next;
    }

    /// A worker takes it up and goes on until there is nothing to do, or it dies.
    fn work(&mut self, seen: &Seen, dies: &mut dyn FnMut() -> bool, fails: &mut dyn FnMut() -> bool) {
        self.write(self.run.taken(self.now));
        while self.run.state == RunState::Running {
            if dies() {
                return;
            }
            match stride(&self.run, ID, &self.flow, seen, self.now) {
                Stride::Rest(next) => self.write(*next),
                Stride::Act { action, key, mut then } => {
                    if fails() {
                        self.write(self.run.failed(ID, "unavailable", false, self.now));
                        continue;
                    }
                    if action.tag.is_some() {
                        *self.tags.entry(key.clone()).or_default() += 1;
                        if dies() {
                            return;
                        }
                    } else {
                        self.mails.push(key.clone());
                    }
                    let last = then.visits.last_mut().unwrap();
                    let (action, at) = (action.action, self.now);
                    last.effect = Some(Effect { key, action, outcome: "done".into(), at });
                    self.write(*then);
                }
            }
        }
    }

    /// What happens next: an event it waits for, or time until something may be done.
    fn pass(&mut self, event: bool) {
        if event && self.run.listens_to.is_some() {
            self.events += 1;
            let id = format!("evt_{}", self.events);
            let woken = self.run.woken(&id, self.now).unwrap();
            self.write(woken);
            // Given twice, it is heard once.
            assert_eq!(self.run.woken(&id, self.now), None);
        }
        self.now = self.now.max(self.run.due_at);
    }

    /// Until it has ended; how many rounds that took.
    fn run_out(&mut self, seen: &Seen, luck: &mut dyn FnMut(u8) -> bool) -> usize {
        for round in 0..20_000 {
            if self.run.state.is_final() {
                return round;
            }
            self.pass(luck(120));
            let luck = std::cell::RefCell::new(&mut *luck);
            self.work(seen, &mut || (luck.borrow_mut())(25), &mut || (luck.borrow_mut())(25));
        }
        panic!("the run does not end: {:?} at {}", self.run.state, self.run.node);
    }
}

/// Says yes with a chance of so many in 255, out of what a test was given.
fn luck(bytes: &[u8]) -> impl FnMut(u8) -> bool {
    let mut at = 0_usize;
    move |chance| {
        at += 1;
        // Not always the same ones: a test with few bytes must not go round for ever.
        let byte = bytes[at % bytes.len()].wrapping_add(u8::try_from(at / bytes.len() % 251).unwrap_or(0));
        byte < chance
    }
}

fn seen(in_persona: bool, holdout: bool) -> Seen {
    let personas = in_persona.then(|| "per_1".to_owned()).into_iter().collect();
    let known = crate::engine::Known { personas, ..Default::default() };
    Seen { known, state: "active".into(), locale: "en".into(), holdout }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Every run ends, within its days and its visits, whatever happens to it and to those who work on it.
    #[test]
    fn every_run_ends(flow in random_flow(), bytes in proptest::collection::vec(any::<u8>(), 16..128), per in any::<bool>(), out in any::<bool>()) {
        if fit_to_publish(&flow).has_errors() {
            return Ok(());
        }
        let nodes = flow.nodes.len();
        let mut world = World::new(flow);
        world.run_out(&seen(per, out), &mut luck(&bytes));
        prop_assert!(world.run.open.is_none() && world.run.ended_at.is_some());
        prop_assert!(world.run.visits.len() <= MOST_VISITS + nodes);
        // Beside waits only tries that failed take time, and there are few of them in a row.
        prop_assert!(world.now <= world.run.ends_by + SignedDuration::from_hours(24 * 2), "{}", world.now);
    }

    /// What an action does outside is done once: mails by their one write, tags by being the same under the same key.
    #[test]
    fn each_effect_happens_at_most_once(flow in random_flow(), bytes in proptest::collection::vec(any::<u8>(), 16..128)) {
        if fit_to_publish(&flow).has_errors() {
            return Ok(());
        }
        let mut world = World::new(flow);
        world.run_out(&seen(false, false), &mut luck(&bytes));
        let once: BTreeSet<&String> = world.mails.iter().collect();
        prop_assert_eq!(once.len(), world.mails.len(), "a mail was asked for twice");
        let effects: Vec<&Effect> = world.run.visits.iter().filter_map(|v| v.effect.as_ref()).collect();
        let traced: BTreeSet<&String> = effects.iter().map(|e| &e.key).collect();
        prop_assert_eq!(traced.len(), effects.len(), "no key stands twice in the trace");
        for mail in &world.mails {
            prop_assert!(traced.contains(mail), "{} was asked for and is not in the trace", mail);
        }
        // A worker may have died for good between a tag and its write: then that one is missing, and no other.
        let untold = world.tags.keys().filter(|key| !traced.contains(key)).count();
        prop_assert!(untold == 0 || (untold == 1 && world.run.state == RunState::Dead), "{}", untold);
    }

    /// Who dies and who does not come to the same end, as long as nobody dies too often.
    #[test]
    fn a_crash_changes_nothing_but_when(flow in random_flow(), at in 0_usize..12, per in any::<bool>()) {
        if fit_to_publish(&flow).has_errors() {
            return Ok(());
        }
        let whole = |crash: Option<usize>| {
            let mut world = World::new(flow.clone());
            let mut steps = 0;
            for _ in 0..20_000 {
                if world.run.state.is_final() {
                    break;
                }
                world.pass(false);
                let mut dies = || {
                    steps += 1;
                    crash == Some(steps)
                };
                world.work(&seen(per, false), &mut dies, &mut || false);
            }
            let way: Vec<_> = world.run.visits.iter().map(|v| (v.node.clone(), v.exit.clone())).collect();
            (world.run.state, way, world.mails.clone())
        };
        let (state, way, mails) = whole(None);
        let (late, late_way, late_mails) = whole(Some(at + 1));
        // A minute lost may be the last one of a run.
        if state == late {
            let short = way.len().min(late_way.len()).saturating_sub(1);
            prop_assert_eq!(&way[..short], &late_way[..short]);
            let mails_short = mails.len().min(late_mails.len());
            prop_assert_eq!(&mails[..mails_short], &late_mails[..mails_short]);
        }
    }
}

#[test]
fn a_wait_ends_by_time_or_by_its_event_and_leads_where_each_says() {
    let wait =
        Wait { hours: 24, event: "payment.failed".into(), next: "kept".into(), late: Some("tag".into()) };
    let nodes = vec![node("day", NodeKind::Wait(wait)), action("tag", "kept"), end("kept", EndOutcome::Kept)];
    let ways = [false, true].map(|event| {
        let mut world = World::new(background(nodes.clone()));
        world.run_out(&seen(false, false), &mut |chance| event && chance == 120);
        let nodes: Vec<_> = world.run.visits.iter().map(|v| format!("{} {}", v.node, v.exit)).collect();
        (nodes.join(", "), world.run.state)
    });
    let done = RunState::Completed;
    assert_eq!(ways, [("day late, tag next, kept ".into(), done), ("day next, kept ".into(), done)]);
}

#[test]
fn a_wait_that_nothing_ends_is_timed_out_with_the_run() {
    let wait = Wait { event: "payment.failed".into(), next: "kept".into(), ..Wait::default() };
    let flow = background(vec![node("ever", NodeKind::Wait(wait)), end("kept", EndOutcome::Kept)]);
    let mut world = World::new(flow);
    world.run_out(&seen(false, false), &mut |_| false);
    assert_eq!((world.run.state, world.run.reason.as_str()), (RunState::TimedOut, "max_days"));
    assert_eq!(world.run.ended_at, Some(world.run.ends_by));
}

#[test]
fn what_fails_five_times_is_dead_and_who_dies_each_time_too() {
    let flow = background(vec![action("tag", "kept"), end("kept", EndOutcome::Kept)]);
    let mut fails = World::new(flow.clone());
    let rounds = (0..20).take_while(|_| {
        fails.pass(false);
        fails.work(&seen(false, false), &mut || false, &mut || true);
        !fails.run.state.is_final()
    });
    assert_eq!(rounds.count(), 4, "the fifth try is the last");
    assert_eq!((fails.run.state, fails.run.reason.as_str()), (RunState::Dead, "unavailable"));
    assert!(fails.tags.is_empty());
    let mut dies = World::new(flow);
    for _ in 0..20 {
        if !dies.run.state.is_final() {
            dies.pass(false);
            let crashed = dies.run.tries < MOST_TRIES;
            dies.work(&seen(false, false), &mut || crashed, &mut || false);
        }
    }
    assert_eq!((dies.run.state, dies.run.reason.as_str()), (RunState::Dead, "worker_lost"));
}

#[test]
fn a_run_whose_reason_is_gone_is_canceled_before_it_does_anything_more() {
    let flow = background(vec![action("tag", "kept"), end("kept", EndOutcome::Kept)]);
    let by = |trigger, state: &str, was_seen| {
        let mut world = World::new(flow.clone());
        (world.run.began, world.run.seen) = (Began::By(trigger), was_seen);
        let seen = Seen { state: state.into(), ..seen(false, false) };
        world.work(&seen, &mut || false, &mut || false);
        (world.run.reason, world.tags.len())
    };
    let gone = |reason: &str| (reason.to_owned(), 0);
    let done = (String::new(), 1);
    assert_eq!(by(Trigger::PaymentFailed, "past_due", false), done);
    assert_eq!(by(Trigger::PaymentFailed, "active", false), done, "billing may not show it yet");
    assert_eq!(by(Trigger::PaymentFailed, "active", true), gone("paid"));
    assert_eq!(by(Trigger::PaymentFailed, "ended", false), gone("left"));
    assert_eq!(by(Trigger::TrialEnding, "trialing", false), done);
    assert_eq!(by(Trigger::TrialEnding, "active", false), gone("converted"));
    assert_eq!(by(Trigger::PauseEnding, "active", false), gone("resumed"));
    assert_eq!(by(Trigger::SubscriptionEnded, "ended", false), done);
    assert_eq!(by(Trigger::SubscriptionEnded, "active", true), gone("reactivated"));
    assert_eq!(by(Trigger::Manual, "ended", true), done);
}
