//! The way of a request, whatever comes in which order.

use personal::{Done, How};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn ada() -> Whose {
    Whose { customers: vec!["cus_1".into()], external: vec!["ada".into()] }
}

fn running(kind: Kind) -> Request {
    let asked = Request::received(kind, "cus_1", "usr_1", "ticket 7", at(0));
    asked.verified("signed in", "usr_1", at(1)).unwrap().begun(ada(), at(1)).unwrap()
}

fn receipt(sequence: i64, held: bool) -> Receipt {
    let hold = Held { what: "flow_sessions".into(), count: 1, why: "evidence".into(), until: at(9_000) };
    let part = Part {
        done: vec![Done::new("customers", How::Emptied, 1)],
        held: held.then_some(hold).into_iter().collect(),
    };
    Receipt { answered_at: at(2), sequence, part }
}

fn all(mut request: Request, order: personal::Kind, held: bool) -> Request {
    for service in SERVICES {
        assert!(!request.is_done() || request.is_lifting());
        let held = held && service == "content-svc";
        request = request.answered(service, order, receipt(1, held), at(3)).unwrap();
    }
    request
}

#[test]
fn it_is_done_when_everybody_has_answered_and_not_before() {
    let done = all(running(Kind::Erasure), personal::Kind::Erasure, false);
    assert_eq!((done.state, done.completed_at), (State::Completed, Some(at(3))));
    assert_eq!(done.note, "", "what was noted may name the person");
    assert!(done.place.is_some(), "nobody is erased twice");
    assert_eq!(
        done.round.as_ref().unwrap().whose,
        Whose::default(),
        "what the person was called is not kept"
    );
    assert_eq!(done.due_at, kit::time::add_days(at(0), 30));
    let access = all(running(Kind::Access), personal::Kind::Access, false);
    assert_eq!((access.place.as_ref(), access.note.as_str()), (None, "ticket 7"));
    assert!(
        access.has_file(kit::time::add_days(at(3), 6)) && !access.has_file(kit::time::add_days(at(3), 7))
    );
}

#[test]
fn what_a_law_holds_is_done_when_it_is_let_go() {
    let held = all(running(Kind::Erasure), personal::Kind::Erasure, true);
    assert_eq!((held.state, held.completed_at), (State::PartlyHeld, None));
    assert_eq!(held.held_until(), Some(at(9_000)));
    let let_go = held.answered("content-svc", personal::Kind::Erasure, receipt(2, false), at(9_001)).unwrap();
    assert_eq!((let_go.state, let_go.completed_at), (State::Completed, Some(at(9_001))));
    assert_eq!(let_go.held_until(), None);
}

#[test]
fn a_restriction_is_in_force_until_everybody_has_lifted_it() {
    let restricted = all(running(Kind::Restriction), personal::Kind::Restriction, false);
    let lifting = restricted.lifting(ada(), at(50)).unwrap();
    assert!(lifting.lifted_at.is_none() && lifting.place.is_some());
    assert!(
        lifting.answered("billing-svc", personal::Kind::Restriction, receipt(9, false), at(51)).is_none()
    );
    let lifted = all(lifting, personal::Kind::Lift, false);
    assert_eq!((lifted.state, lifted.lifted_at, lifted.place), (State::Completed, Some(at(3)), None));
    let erased = all(running(Kind::Erasure), personal::Kind::Erasure, false);
    assert!(erased.lifting(ada(), at(50)).is_err(), "only a restriction is lifted");
}

#[test]
fn nothing_begins_before_it_is_verified_and_what_is_refused_stays_so() {
    let asked = Request::received(Kind::Access, "cus_1", "usr_1", "", at(0));
    assert!(asked.begun(ada(), at(1)).is_err());
    let refused = asked.refused("nobody knows who asked", at(1)).unwrap();
    assert_eq!(refused.reason, "nobody knows who asked");
    assert!(refused.verified("x", "usr_1", at(2)).is_err() && refused.place.is_none());
    assert!(running(Kind::Access).refused("late", at(2)).is_err());
}

#[test]
fn the_pause_between_two_askings_doubles_up_to_an_hour() {
    let mut request = running(Kind::Access);
    let mut now = at(1);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let next = request.round.as_ref().unwrap().ask_at.unwrap();
        pauses.push(next.duration_since(now).as_secs());
        now = next;
        request = request.asked_again(now);
    }
    assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
}

proptest! {
    #[test]
    fn receipts_in_any_order_and_any_number_come_to_the_same(order in prop::collection::vec((0_usize..6, 1_i64..4), 0..40)) {
        let mut request = running(Kind::Erasure);
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for (who, sequence) in order {
            let service = SERVICES.get(who).copied().unwrap_or("gateway");
            if let Some(next) = request.answered(service, personal::Kind::Erasure, receipt(sequence, false), at(3)) {
                prop_assert!(next.state == request.state || request.state.leads_to(next.state));
                request = next;
            }
            if who < SERVICES.len() {
                let known = newest.entry(service).or_default();
                *known = (*known).max(sequence);
            }
        }
        let round = request.round.as_ref().unwrap();
        let kept: BTreeMap<_, _> = round.receipts.iter().map(|(s, r)| (s.as_str(), r.sequence)).collect();
        prop_assert_eq!(kept, newest.clone());
        prop_assert_eq!(request.is_done(), newest.len() == SERVICES.len());
    }
}
