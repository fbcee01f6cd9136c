//! A provider in memory: the simulated one's own rules, without a database, and everything that can go wrong on the way.

use std::collections::VecDeque;

use billing_svc::providers::simulated::{Contract, No, Outcome, Payment, Tariff};
use billing_svc::providers::{Act, ExternalId, Interval, Receipt, Snapshot, SwitchAt};
use billing_svc::redemption::{Told, Trouble as Reply};
use kit::Timestamp;

use super::plan::{CUSTOMERS, Foreign, Trouble};
use crate::rooms::world::eur;

/// A subscription in the books, with a version that rises with every change.
#[derive(Clone, Debug, PartialEq)]
pub struct Booked {
    pub contract: Contract,
    pub version: i64,
    /// Somebody else changed what our effects are read from.
    pub disturbed: bool,
}

#[derive(Default)]
pub struct Books {
    pub booked: Vec<Booked>,
    pub troubles: VecDeque<Trouble>,
    pub down: bool,
    /// Requests that are still on their way, and when they arrive at the latest.
    late: Vec<(Timestamp, usize, Act, String)>,
    /// Events to be sent: whose subscription changed.
    pub events: Vec<usize>,
}

/// How long the last customer's trial lasts, in days.
pub const TRIAL: i64 = 25;
/// How long a request may be on its way after we stopped listening.
const ON_THE_WAY_SECONDS: i64 = 90;

fn dsl() -> Tariff {
    Tariff {
        price_id: "dsl_month".into(),
        plan: "dsl".into(),
        name: "DSL".into(),
        amount: eur(1_500),
        interval: Interval::Month,
        interval_count: 1,
    }
}

fn fibre() -> Tariff {
    Tariff { price_id: "fibre_month".into(), plan: "fibre".into(), amount: eur(2_000), ..dsl() }
}

impl Books {
    pub fn subscribe(&mut self, customer: usize, now: Timestamp) {
        let start = kit::time::add_days(now, -100);
        let Tariff { price_id, plan, amount, interval, interval_count, .. } = fibre();
        let mut contract = Contract {
            external_id: format!("sub_{customer}"),
            customer: format!("c{customer}"),
            plan,
            price_id,
            price: amount,
            quantity: 1,
            interval,
            interval_count,
            started_at: start,
            anchor: start,
            trial_end: None,
            trial_told: None,
            period_start: start,
            period_end: kit::time::add_days(start, 30),
            past_due_since: None,
            cancel_at: None,
            ended_at: None,
            paused_at: None,
            resumes_at: None,
            next: None,
            grants: Vec::new(),
            credits: Vec::new(),
            payment: Payment::Ok,
            invoices: Vec::new(),
            reason: None,
            due_at: None,
            done: Vec::new(),
            news: Vec::new(),
        };
        contract.settle(now);
        if customer + 1 == CUSTOMERS {
            let end = kit::time::add_days(now, TRIAL);
            (contract.trial_end, contract.anchor, contract.period_end) = (Some(end), end, end);
            contract.settle(now);
        }
        self.booked.push(Booked { contract, version: 1, disturbed: false });
    }

    fn changed(&mut self, of: usize, mut contract: Contract) {
        let booked = &mut self.booked[of];
        // What is told of it is only where to look.
        contract.news.clear();
        if contract != booked.contract {
            booked.contract = contract;
            booked.version += 1;
            self.events.push(of);
        }
    }

    /// Lets time pass: what was on its way arrives, each at its time, and what was due happens.
    pub fn settle(&mut self, now: Timestamp) {
        while let Some(next) = self.late.iter().position(|l| l.0 <= now) {
            let (at, of, act, key) = self.late.remove(next);
            self.pass(of, at);
            self.carry_out(of, &act, &key, at).ok();
        }
        (0..self.booked.len()).for_each(|of| self.pass(of, now));
    }

    fn pass(&mut self, of: usize, now: Timestamp) {
        let mut contract = self.booked[of].contract.clone();
        contract.settle(now);
        self.changed(of, contract);
    }

    /// The next moment at which something arrives late.
    pub fn next_arrival(&self) -> Option<Timestamp> {
        self.late.iter().map(|l| l.0).min()
    }

    /// A subscription as it stands, whatever goes wrong.
    pub fn snapshot(&self, of: usize, now: Timestamp) -> Snapshot {
        let Booked { contract, version, .. } = &self.booked[of];
        contract.snapshot(*version, now)
    }

    pub fn read(&mut self, of: usize, now: Timestamp) -> Result<Snapshot, Reply> {
        self.settle(now);
        if self.down {
            return Err(Reply { slug: "provider_unavailable", uncertain: false });
        }
        Ok(self.snapshot(of, now))
    }

    /// The read-back of a credit.
    pub fn given(&self, of: usize, key: &str) -> Option<ExternalId> {
        let credits = &self.booked[of].contract.credits;
        credits.iter().find(|c| c.key == key).map(|c| ExternalId::new(&c.id))
    }

    fn carry_out(&mut self, of: usize, act: &Act, key: &str, now: Timestamp) -> Result<Receipt, Reply> {
        let mut contract = self.booked[of].contract.clone();
        let tariff = match act {
            Act::SwitchPlan { price_id, .. } => {
                [dsl(), fibre()].into_iter().find(|t| t.price_id == *price_id)
            }
            _ => None,
        };
        let outcome = contract.carry_out(act, key, tariff, now);
        self.changed(of, contract);
        match outcome {
            Ok(Outcome::Done(made)) => Ok(receipt(made, false)),
            Ok(Outcome::Before(made)) => Ok(receipt(made, true)),
            Err(No::Refused { .. }) => Err(Reply { slug: "provider_refused", uncertain: false }),
            Err(No::KeyReused) => Err(Reply { slug: "idempotency_key_reused", uncertain: true }),
        }
    }

    /// One request that changes something, and whatever comes back.
    pub fn ask(&mut self, of: usize, act: &Act, key: &str, now: Timestamp) -> Told {
        self.settle(now);
        let lost = Reply { slug: "provider_unavailable", uncertain: true };
        if self.down {
            return Told::Trouble(lost);
        }
        let trouble = self.troubles.pop_front();
        let answer = match trouble {
            Some(Trouble::Busy) => Err(Reply { slug: "provider_busy", uncertain: true }),
            Some(Trouble::NoAnswer) => Err(lost),
            Some(Trouble::Refuses) => Err(Reply { slug: "provider_refused", uncertain: false }),
            Some(Trouble::Forgets) => Ok(Receipt::default()),
            Some(Trouble::Late) => {
                let arrives = now.checked_add(jiff::SignedDuration::from_secs(ON_THE_WAY_SECONDS)).unwrap();
                self.late.push((arrives, of, act.clone(), key.to_owned()));
                Err(lost)
            }
            Some(Trouble::AnswerLost) => {
                self.carry_out(of, act, key, now).ok();
                Err(lost)
            }
            Some(Trouble::Html) => {
                self.carry_out(of, act, key, now).ok();
                Err(Reply { slug: "provider_unreadable", uncertain: true })
            }
            None => self.carry_out(of, act, key, now),
        };
        match answer {
            Ok(receipt) => Told::Answered(receipt),
            Err(reply) => Told::Trouble(reply),
        }
    }

    /// What somebody else does.
    pub fn foreign(&mut self, of: usize, what: Foreign, nth: usize, now: Timestamp) {
        self.settle(now);
        match what.change(now) {
            Change::Act(act) => drop(self.carry_out(of, &act, &format!("theirs-{nth}"), now)),
            Change::Payment(payment) => {
                let mut contract = self.booked[of].contract.clone();
                contract.pays(payment, now);
                self.changed(of, contract);
            }
        }
        self.booked[of].disturbed = true;
    }
}

/// What a change of somebody else's is at the provider.
pub enum Change {
    Act(Act),
    Payment(Payment),
}

impl Foreign {
    pub fn change(self, now: Timestamp) -> Change {
        Change::Act(match self {
            Self::Cancel => Act::CancelAtPeriodEnd { feedback: None },
            Self::UndoCancel => Act::UndoCancel,
            Self::SwitchPlan => {
                Act::SwitchPlan { price_id: "dsl_month".into(), at: SwitchAt::Now { prorate: true } }
            }
            Self::Pause => Act::Pause { months: 1, resumes_at: kit::time::add_days(now, 30) },
            Self::Resume => Act::Resume,
            Self::CardFails => return Change::Payment(Payment::Fails),
            Self::CardWorks => return Change::Payment(Payment::Ok),
        })
    }
}

fn receipt(made: Option<String>, replayed: bool) -> Receipt {
    Receipt { request_id: None, replayed, made: made.map(ExternalId::from) }
}
