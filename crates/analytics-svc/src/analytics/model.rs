//! What is kept of sessions and redemptions, and the figures of `domain.md` §11 over them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kit::{Currency, Money};
use serde::{Deserialize, Serialize};

use crate::stats::Rate;

/// How long after an abandoned session its subscription must hold to count as deflected.
const DEFLECTED: i64 = 7;
/// The marks of the durable save rate, in days.
pub const MARKS: [i64; 3] = [30, 60, 90];

/// A cancel-flow session as last told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionTold {
    pub customer: String,
    pub subscription: String,
    pub state: String,
    pub bounced: bool,
    pub personas: Vec<String>,
    pub reason: String,
    pub reason_category: String,
    /// Presented offers.
    pub offers: Vec<String>,
    pub offer: String,
    pub mrr: Option<Money>,
    #[serde(with = "store::time")]
    pub started_at: Timestamp,
    #[serde(default, with = "store::time::option")]
    pub ended_at: Option<Timestamp>,
    pub holdout: bool,
}

/// A redemption as last told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redemption {
    pub offer: String,
    pub name: String,
    pub kind: String,
    pub session: String,
    pub state: String,
    pub claimed: bool,
    #[serde(with = "store::time")]
    pub at: Timestamp,
}

/// A moment at which a subscription turned `non_renewing` or `ended`, or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    #[serde(with = "store::time")]
    pub at: Timestamp,
    pub gone: bool,
}

/// Something another service told.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Session { id: String, sequence: i64, told: SessionTold },
    Subscription { id: String, sequence: i64, gone: bool, at: Timestamp },
    Redemption { id: String, sequence: i64, told: Redemption },
}

/// A session with what became of its subscription and its offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub told: SessionTold,
    /// By the sequence of the event.
    pub turns: BTreeMap<i64, Turn>,
    pub redemptions: Vec<Redemption>,
}

impl Session {
    /// Whether the subscription is lost at an instant: the last turn before it decides.
    fn gone_at(&self, at: Timestamp) -> bool {
        self.turns.values().rfind(|t| t.at <= at).is_some_and(|t| t.gone)
    }

    /// Whether the subscription turned away within so many days of the session's end.
    fn turned_within(&self, days: i64) -> bool {
        let until = kit::time::add_days(self.told.ended_at.unwrap_or(self.told.started_at), days);
        self.turns.values().any(|t| t.gone && t.at >= self.told.started_at && t.at <= until)
    }
}

/// Amounts by currency.
pub type Amounts = BTreeMap<Currency, i64>;

/// The main figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    pub sessions: u64,
    pub saved: u64,
    pub canceled: u64,
    pub abandoned: u64,
    pub manual: u64,
    pub offer_rate: Rate,
    pub acceptance: Rate,
    /// By offer: name, kind, rate.
    pub offers: BTreeMap<String, (String, String, Rate)>,
    pub accepted_save: Rate,
    pub deflection: Rate,
    pub durable: [Rate; MARKS.len()],
    pub at_stake: Amounts,
    pub lost: Amounts,
    pub kept: Amounts,
    /// By category: sessions and their monthly value.
    pub reasons: BTreeMap<String, (u64, Amounts)>,
}

impl Overview {
    /// Counts one session, as of `now`. One that never reached `active` does not count.
    pub fn add(&mut self, session: &Session, now: Timestamp) {
        let told = &session.told;
        if told.bounced || told.state == "created" {
            return;
        }
        self.sessions += 1;
        let saved = told.state == "saved";
        match told.state.as_str() {
            "saved" => self.saved += 1,
            "canceled" => self.canceled += 1,
            "abandoned" => self.abandoned += 1,
            "manual" => self.manual += 1,
            _ => {}
        }
        self.offer_rate.add(!told.offers.is_empty());
        for redemption in &session.redemptions {
            self.acceptance.add(redemption.claimed);
            let (name, kind, rate) = self.offers.entry(redemption.offer.clone()).or_default();
            name.clone_from(&redemption.name);
            kind.clone_from(&redemption.kind);
            rate.add(redemption.claimed);
        }
        self.accepted_save.add(saved);
        self.deflection.add(saved || (told.state == "abandoned" && !session.turned_within(DEFLECTED)));
        for (rate, days) in self.durable.iter_mut().zip(MARKS) {
            let mark = kit::time::add_days(told.started_at, days);
            if mark <= now {
                rate.add(!session.gone_at(mark));
            }
        }
        let category =
            if told.reason_category.is_empty() { "unanswered" } else { told.reason_category.as_str() };
        let reason = self.reasons.entry(category.to_owned()).or_default();
        reason.0 += 1;
        if let Some(mrr) = told.mrr {
            put(&mut reason.1, mrr);
            put(&mut self.at_stake, mrr);
            match told.state.as_str() {
                "saved" => put(&mut self.kept, mrr),
                "canceled" => put(&mut self.lost, mrr),
                _ => {}
            }
        }
    }
}

fn put(amounts: &mut Amounts, money: Money) {
    let sum = amounts.entry(money.currency).or_default();
    *sum = sum.saturating_add(money.minor);
}

/// Which sessions to count.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub from: Timestamp,
    pub to: Timestamp,
    pub include_holdout: bool,
    pub persona: Option<String>,
    pub reason_category: Option<String>,
    pub offer: Option<String>,
}

impl Query {
    /// How many days back a report goes where nobody said.
    pub fn default_from(to: Timestamp) -> Timestamp {
        to.saturating_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(day: i64) -> Timestamp {
        kit::time::add_days("2031-01-01T00:00:00Z".parse().unwrap(), day)
    }

    fn session(state: &str, turns: &[(i64, bool)]) -> Session {
        let told = SessionTold {
            customer: "cus_1".into(),
            subscription: "sub_1".into(),
            state: state.into(),
            bounced: state == "bounced",
            personas: Vec::new(),
            reason: String::new(),
            reason_category: "price".into(),
            offers: vec!["off_1".into()],
            offer: String::new(),
            mrr: Some(Money::new(7_000, Currency::parse("USD").unwrap())),
            started_at: at(0),
            ended_at: Some(at(0)),
            holdout: false,
        };
        let turns =
            (1..).zip(turns).map(|(i, (day, gone))| (i, Turn { at: at(*day), gone: *gone })).collect();
        Session { told, turns, redemptions: Vec::new() }
    }

    fn overview(sessions: &[Session], day: i64) -> Overview {
        let mut all = Overview::default();
        sessions.iter().for_each(|s| all.add(s, at(day)));
        all
    }

    #[test]
    fn each_outcome_counts_as_defined() {
        let all = overview(
            &[
                session("saved", &[]),
                session("saved", &[(20, true)]),
                session("canceled", &[(0, true)]),
                session("abandoned", &[]),
                session("abandoned", &[(6, true)]),
                session("abandoned", &[(8, true)]),
                session("bounced", &[]),
                session("created", &[]),
            ],
            31,
        );
        assert_eq!((all.sessions, all.saved, all.canceled, all.abandoned), (6, 2, 1, 3));
        assert_eq!(all.accepted_save, Rate::new(2, 6));
        assert_eq!(all.deflection, Rate::new(4, 6));
        assert_eq!(all.durable, [Rate::new(2, 6), Rate::new(0, 0), Rate::new(0, 0)]);
        assert_eq!(all.offer_rate, Rate::new(6, 6));
        let usd = Currency::parse("USD").unwrap();
        assert_eq!((all.at_stake[&usd], all.kept[&usd], all.lost[&usd]), (42_000, 14_000, 7_000));
    }

    #[test]
    fn a_subscription_that_came_back_before_the_mark_held() {
        let back = session("canceled", &[(0, true), (10, false)]);
        assert_eq!(overview(std::slice::from_ref(&back), 30).durable[0], Rate::new(1, 1));
        assert_eq!(overview(&[back], 29).durable[0], Rate::new(0, 0));
    }

    proptest! {
        #[test]
        fn no_rate_counts_more_than_there_is(
            states in proptest::collection::vec(
                (proptest::sample::select(vec!["saved", "canceled", "abandoned", "manual", "active", "bounced"]), 0_i64..120, any::<bool>()),
                0..60,
            ),
            day in 0_i64..200,
        ) {
            let sessions: Vec<_> = states.iter().map(|(s, d, gone)| session(s, &[(*d, *gone)])).collect();
            let all = overview(&sessions, day);
            let rates = [all.offer_rate, all.accepted_save, all.deflection, all.durable[0], all.durable[1], all.durable[2]];
            prop_assert!(rates.iter().all(|r| r.count <= r.of && r.of <= all.sessions));
            prop_assert!(all.accepted_save.count <= all.deflection.count);
            prop_assert_eq!(all.reasons.values().map(|r| r.0).sum::<u64>(), all.sessions);
        }
    }
}
