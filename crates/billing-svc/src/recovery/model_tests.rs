use proptest::prelude::*;

use super::*;

pub fn step(kind: StepKind, day: u32) -> Step {
    let text = |words: &str| Some(LocalText::of("en", words));
    let texts = matches!(kind, StepKind::Mail | StepKind::LastChanceOffer);
    Step {
        kind,
        day,
        hour: None,
        subject: if texts { text("{{amount_due}} is open") } else { None },
        body: if texts { text("Dear {{name}}, please pay.") } else { None },
        offer_id: if kind == StepKind::LastChanceOffer { "off_1".into() } else { String::new() },
        link: String::new(),
    }
}

pub fn plan(steps: Vec<Step>) -> Plan {
    let variable =
        |key: &str, words: &str| Variable { key: key.into(), fallback: LocalText::of("en", words) };
    Plan {
        steps,
        variables: vec![variable("name", "customer"), variable("amount_due", "Your invoice")],
        ..Plan::default()
    }
}

fn draft(plan: Plan) -> Draft {
    Draft { name: "Failed cards".into(), priority: 0, persona_ids: Vec::new(), plan }
}

fn faults(plan: Plan) -> Vec<(String, String)> {
    let wrong = draft(plan).campaign().err().unwrap_or_default();
    wrong.into_iter().map(|e| (e.field, e.code)).collect()
}

#[test]
fn a_plan_says_every_field_that_is_wrong() {
    let good =
        plan(vec![step(StepKind::RetryHint, 0), step(StepKind::Mail, 3), step(StepKind::InAppNotice, 3)]);
    assert_eq!(faults(good), []);
    let mail = |change: fn(&mut Step)| {
        let mut step = step(StepKind::Mail, 1);
        change(&mut step);
        faults(plan(vec![step]))
    };
    let one = |field: &str, code: &str| vec![(format!("plan.{field}"), code.to_owned())];
    assert_eq!(mail(|s| s.subject = None), one("steps[0].subject", "required"));
    assert_eq!(mail(|s| s.link = "http://pay.example".into()), one("steps[0].link", "not_https"));
    assert_eq!(mail(|s| s.link = "javascript:alert(1)".into()), one("steps[0].link", "not_https"));
    assert_eq!(
        mail(|s| s.body = Some(LocalText::of("en", "Dear {{iban}}"))),
        one("steps[0].body", "unknown_variable")
    );
    assert_eq!(mail(|s| s.day = 30), one("steps[0].day", "out_of_range"), "it has given up by then");
    let order = plan(vec![step(StepKind::Mail, 3), step(StepKind::Mail, 1)]);
    assert_eq!(faults(order), one("steps[1].day", "out_of_order"));
    let two = plan(vec![step(StepKind::LastChanceOffer, 1), step(StepKind::LastChanceOffer, 2)]);
    assert_eq!(faults(two), one("steps", "duplicate"));
    let nameless = Step { offer_id: String::new(), ..step(StepKind::LastChanceOffer, 1) };
    assert_eq!(faults(plan(vec![nameless])), one("steps[0].offer_id", "required"));
}

#[test]
fn a_ticket_step_may_be_written_and_not_activated() {
    let campaign = draft(plan(vec![step(StepKind::Ticket, 1)])).campaign().unwrap();
    assert_eq!(campaign.not_ready().unwrap().0, "ticketing_not_connected");
    assert_eq!(draft(plan(Vec::new())).campaign().unwrap().not_ready().unwrap().0, "no_steps");
}

#[test]
fn another_plan_is_another_number_once_cases_may_hold_it() {
    let first = draft(plan(vec![step(StepKind::Mail, 1)]));
    let other = || draft(plan(vec![step(StepKind::Mail, 2)]));
    let written = first.clone().campaign().unwrap().changed(other()).unwrap();
    assert_eq!(written.number, 1, "nobody had the draft");
    let active = written.moved(Status::Active);
    assert_eq!((active.claims.clone(), active.begun), (vec!["*".to_owned()], true));
    assert_eq!(active.changed(other()).unwrap().number, 1, "the same plan");
    let changed = active.changed(first.clone()).unwrap();
    assert_eq!((changed.number, changed.status), (2, Status::Active));
    let paused = active.moved(Status::Paused);
    assert!(paused.claims.is_empty(), "who waits claims nobody");
    assert_eq!(paused.changed(first).unwrap().number, 2, "its cases still hold the first");
}

#[test]
fn an_hour_is_one_of_the_company_s_time_zone() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let due = |day: u32, hour: u32, failed_at: &str| {
        Step { hour: Some(hour), ..step(StepKind::Mail, day) }.due_at(at(failed_at), &berlin)
    };
    // Late in the evening UTC it is the next day there; and the clocks go back on October 25th.
    assert_eq!(due(1, 9, "2026-10-23T22:30:00Z"), at("2026-10-25T08:00:00Z"));
    assert_eq!(due(0, 9, "2026-10-23T08:30:00Z"), at("2026-10-23T08:30:00Z"), "the hour has passed: at once");
    assert_eq!(due(0, 12, "2026-10-23T08:30:00Z"), at("2026-10-23T10:00:00Z"));
    assert_eq!(
        step(StepKind::Mail, 2).due_at(at("2026-10-23T08:30:00Z"), &berlin),
        at("2026-10-25T08:30:00Z")
    );
}

proptest! {
    #[test]
    fn no_step_is_due_before_the_payment_failed(
        day in 0_u32..=90,
        hour in prop::option::of(0_u32..24),
        second in 1_600_000_000_i64..1_900_000_000,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Pacific/Auckland", "America/New_York"]),
    ) {
        let (failed_at, zone) = (Timestamp::from_second(second).unwrap(), TimeZone::get(zone).unwrap());
        let due = Step { hour, ..step(StepKind::Mail, day) }.due_at(failed_at, &zone);
        prop_assert!(due >= failed_at);
        // A day has 23 to 25 hours, and the hour of it may be any.
        prop_assert!(due.duration_since(failed_at).as_hours() <= i64::from(day + 1) * 24 + 1);
    }
}
