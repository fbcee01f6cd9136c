//! The rules of all rooms with a database of maps beneath them: the same decisions as in the service, every write
//! conditional on the version that was read, and a scheduler that says whose turn it is and who dies.

use std::collections::BTreeMap;

use billing_svc::offer::{Facts, Ledger, Offer, State as OfferState, Use};
use billing_svc::providers::{ProviderKind, Snapshot};
use billing_svc::redemption::{Next, Redemption, State, Told, Walk, presented};
use billing_svc::subscription::{Reading, Subscription};
use kit::Timestamp;

use super::plan::{CUSTOMERS, Plan, Step, Task, Work};
use super::provider::Books;

/// A record and its version.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<T> {
    pub version: u64,
    pub body: T,
}

impl<T> Kept<T> {
    fn new(body: T) -> Self {
        Self { version: 1, body }
    }

    /// Writes if nobody came between.
    pub fn replace(&mut self, read: u64, body: T) -> bool {
        let fits = self.version == read;
        if fits {
            *self = Self { version: read + 1, body };
        }
        fits
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    pub token: i64,
    pub expires: Option<Timestamp>,
}

/// One request that changed something, or was to.
#[derive(Clone, Debug)]
pub struct Asked {
    pub key: String,
    pub redemption: usize,
    /// How the redemption stood.
    pub state: State,
    pub had_lease: bool,
    pub as_promised: bool,
}

pub struct World {
    pub now: Timestamp,
    pub offers: Vec<Offer>,
    pub uses: Vec<Use>,
    pub ledgers: Vec<Kept<Ledger>>,
    pub mirrors: Vec<Kept<Subscription>>,
    pub redemptions: Vec<Kept<Redemption>>,
    pub(super) leases: Vec<Lease>,
    pub books: Books,
    /// Events that were delivered and wait to be worked on.
    inbox: Vec<usize>,
    /// Every event that was ever sent.
    sent: Vec<usize>,
    pub asked: Vec<Asked>,
    foreign: usize,
}

/// Where some work has come to.
pub(super) enum Place {
    /// Nothing read yet; so many tries left.
    Start(u32),
    /// Facts read and decided; to be written.
    Taking(Box<Taking>),
    /// To be walked on under the lock.
    Lock(usize),
    Step {
        of: usize,
        token: i64,
        walk: Box<Walk>,
        next: Next,
        read: u64,
    },
    Heard {
        of: usize,
        token: i64,
        walk: Box<Walk>,
        told: Box<Told>,
        read: u64,
    },
    /// A reading of the provider that is not yet written.
    Observed {
        of: usize,
        snapshot: Box<Snapshot>,
        left: Vec<usize>,
    },
    Release {
        of: usize,
        token: i64,
    },
    Over,
}

pub(super) struct Taking {
    pub of: usize,
    pub read: u64,
    pub ledger_read: u64,
    pub taken: billing_svc::redemption::Taken,
}

struct Worker {
    work: Work,
    place: Place,
    /// What the job still has to walk on with.
    rest: Vec<usize>,
    dies: Option<usize>,
}

pub(super) fn id(of: usize) -> String {
    format!("red_{of}")
}

impl World {
    /// Near a month's end, so that small moves cross it.
    pub fn first_day() -> Timestamp {
        "2026-10-31T20:00:00Z".parse().unwrap()
    }

    pub fn new(plan: &Plan) -> Self {
        let now = Self::first_day();
        let mut books = Books::default();
        for customer in 0..CUSTOMERS {
            books.subscribe(customer, now);
        }
        let offers: Vec<_> = plan.offers.iter().map(|o| o.draft().offer().unwrap()).collect();
        let offers: Vec<_> = offers.into_iter().map(|o| Offer { state: OfferState::Active, ..o }).collect();
        let mirror = |c: usize| {
            let snapshot = books.snapshot(c, now);
            Kept::new(Subscription::seen(ProviderKind::Simulated, format!("cus_{c}"), snapshot, now))
        };
        Self {
            now,
            uses: vec![Use::default(); offers.len()],
            offers,
            ledgers: (0..CUSTOMERS).map(|_| Kept::new(Ledger::default())).collect(),
            mirrors: (0..CUSTOMERS).map(mirror).collect(),
            redemptions: Vec::new(),
            leases: vec![Lease::default(); CUSTOMERS],
            books,
            inbox: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            foreign: 0,
        }
    }

    /// Whose subscription a redemption is about.
    pub fn customer(&self, of: usize) -> usize {
        self.redemptions[of].body.subscription_id.trim_start_matches("sub_").parse().unwrap()
    }

    pub fn offer(&self, of: usize) -> usize {
        self.redemptions[of].body.offer_id.trim_start_matches("off_").parse().unwrap()
    }

    /// One step; `check` is called whenever something was written.
    pub fn step(&mut self, step: &Step, check: &mut dyn FnMut(&Self)) {
        match step {
            Step::Show { customer, offer } => self.show(*customer, *offer),
            Step::Decline(of) => self.answer(*of, |r, _| r.declined().ok()),
            Step::Fulfil { redemption, kept: true } => self.answer(*redemption, |r, now| {
                Some(r).filter(|r| r.state == State::FulfilPending)?.verified(None, now).ok()
            }),
            Step::Fulfil { redemption, kept: false } => {
                if let Some(of) = self.pick(*redemption)
                    && let Ok(rejected) = self.redemptions[of].body.rejected()
                {
                    self.give_back(of, self.redemptions[of].version, rejected, false);
                }
            }
            Step::Together { tasks, turns } => self.together(tasks, turns, check),
            Step::Trouble(troubles) => self.books.troubles.extend(troubles),
            Step::Down(down) => self.books.down = *down,
            Step::Foreign { customer, what } => {
                self.foreign += 1;
                self.books.foreign(*customer, *what, self.foreign, self.now);
            }
            Step::Again => self.inbox.extend(self.sent.last().copied()),
            Step::Lost => drop(self.inbox.pop()),
            Step::Minutes(minutes) => self.later(*minutes * 60),
            Step::Exhaust => self.exhaust(),
        }
        check(self);
    }

    pub fn later(&mut self, seconds: i64) {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        self.books.settle(self.now);
        self.deliver();
    }

    fn deliver(&mut self) {
        let events = std::mem::take(&mut self.books.events);
        self.sent.extend(&events);
        self.inbox.extend(events);
    }

    pub(super) fn pick(&self, n: usize) -> Option<usize> {
        (!self.redemptions.is_empty()).then(|| n % self.redemptions.len())
    }

    pub(super) fn facts<'a>(&'a self, offer_id: &'a str, offer: &'a Offer, at: (usize, usize)) -> Facts<'a> {
        let (offer_at, customer) = at;
        Facts {
            offer_id,
            offer,
            subscription: &self.mirrors[customer].body,
            personas: &[],
            used: &self.uses[offer_at],
            ledger: &self.ledgers[customer].body,
            abilities: Some(billing_svc::providers::abilities(ProviderKind::Simulated)),
            now: self.now,
        }
    }

    fn show(&mut self, customer: usize, offer: usize) {
        let offer_at = offer % self.offers.len();
        let (offer_id, offer) = (format!("off_{offer_at}"), &self.offers[offer_at]);
        if !self.facts(&offer_id, offer, (offer_at, customer)).reasons().is_empty() {
            return;
        }
        let session = format!("fls_{}", self.redemptions.len());
        let about = (format!("sub_{customer}"), &self.mirrors[customer].body);
        let shown = presented(&offer_id, offer.clone(), (&about.0, about.1), &session, vec![], self.now);
        self.redemptions.push(Kept::new(shown));
    }

    fn answer(&mut self, of: usize, change: impl FnOnce(&Redemption, Timestamp) -> Option<Redemption>) {
        if let Some(of) = self.pick(of)
            && let Some(next) = change(&self.redemptions[of].body, self.now)
        {
            let read = self.redemptions[of].version;
            self.redemptions[of].replace(read, next);
        }
    }

    fn exhaust(&mut self) {
        for of in 0..self.redemptions.len() {
            let r = self.redemptions[of].clone();
            if r.body.state == State::Verified && r.body.effect_ends_at.is_some_and(|at| at < self.now) {
                self.redemptions[of].replace(r.version, r.body.exhausted().unwrap());
            }
        }
    }

    fn together(&mut self, tasks: &[Task], turns: &[usize], check: &mut dyn FnMut(&Self)) {
        let start =
            |t: &Task| Worker { work: t.work, place: Place::Start(8), rest: Vec::new(), dies: t.dies };
        let mut workers: Vec<_> = tasks.iter().map(start).collect();
        let mut turns = turns.iter().copied().chain(std::iter::successors(Some(0), |n| Some(n + 1)));
        while !workers.is_empty() {
            let turn = turns.next().unwrap_or_default() % workers.len();
            let worker = &mut workers[turn];
            if worker.dies == Some(0) {
                workers.remove(turn);
                continue;
            }
            worker.dies = worker.dies.map(|left| left - 1);
            let place = std::mem::replace(&mut worker.place, Place::Over);
            let mut moved = self.turn(worker.work, place, &mut worker.rest);
            if matches!(moved, Place::Over)
                && let Some(next) = worker.rest.pop()
            {
                moved = Place::Lock(next);
            }
            match moved {
                Place::Over => drop(workers.remove(turn)),
                place => workers[turn].place = place,
            }
            self.deliver();
            check(self);
        }
    }

    fn turn(&mut self, work: Work, place: Place, rest: &mut Vec<usize>) -> Place {
        match place {
            Place::Start(tries) => self.start(work, tries, rest),
            Place::Taking(taking) => self.take(*taking),
            Place::Lock(of) => self.lock(of),
            Place::Step { of, token, walk, next, read } => self.walk(of, token, walk, next, read),
            Place::Heard { of, token, mut walk, told, read } => {
                let next = walk.on(*told, self.now).unwrap();
                Place::Step { of, token, walk, next, read }
            }
            Place::Observed { of, snapshot, mut left } => {
                self.observe(of, *snapshot);
                match left.pop() {
                    Some(next) => self.reading(next, left),
                    None => Place::Over,
                }
            }
            Place::Release { of, token } => {
                if self.leases[of].token == token {
                    self.leases[of].expires = None;
                }
                Place::Over
            }
            Place::Over => Place::Over,
        }
    }

    fn start(&mut self, work: Work, tries: u32, rest: &mut Vec<usize>) -> Place {
        match work {
            Work::Claim(n) => self.pick(n).map_or(Place::Over, |of| self.claim(of, tries)),
            Work::Reverse(n) => {
                let Some(of) = self.pick(n) else { return Place::Over };
                let r = self.redemptions[of].clone();
                match r.body.state {
                    State::Failed => Place::Lock(of),
                    State::Verified if self.others(of).any(|other| r.body.is_under(other)) => Place::Over,
                    State::Verified => {
                        self.redemptions[of].replace(r.version, r.body.failed("reversed_by_admin").unwrap());
                        Place::Lock(of)
                    }
                    _ => Place::Over,
                }
            }
            Work::Sweep => {
                let all = 0..self.redemptions.len();
                *rest = all.filter(|of| self.redemptions[*of].body.state.is_under_way()).collect();
                Place::Over
            }
            Work::Event { newest } => {
                let next = if newest {
                    self.inbox.pop()
                } else {
                    (!self.inbox.is_empty()).then(|| self.inbox.remove(0))
                };
                next.map_or(Place::Over, |of| self.reading(of, Vec::new()))
            }
            Work::Sync => self.reading(0, (1..CUSTOMERS).collect()),
        }
    }

    /// Reads now what is written later: whoever is faster meanwhile has the newer reading.
    fn reading(&mut self, of: usize, left: Vec<usize>) -> Place {
        match self.books.read(of, self.now) {
            Ok(snapshot) => Place::Observed { of, snapshot: Box::new(snapshot), left },
            Err(_) => Place::Over,
        }
    }

    pub fn observe(&mut self, of: usize, snapshot: Snapshot) {
        let mirror = &mut self.mirrors[of];
        if let Reading::Newer(next) = mirror.body.read(snapshot, self.now) {
            mirror.replace(mirror.version, *next);
        }
    }

    /// What stands in the end: everything but when it was last heard of.
    pub fn standing(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let books: Vec<_> = self.books.booked.iter().map(|b| b.contract.clone()).collect();
        let redemptions: Vec<_> = self.redemptions.iter().map(|r| r.body.clone()).collect();
        let uses: BTreeMap<_, _> = self.uses.iter().cloned().enumerate().collect();
        let mirrors: Vec<_> = self
            .mirrors
            .iter()
            .map(|m| Subscription { synced_at: Timestamp::UNIX_EPOCH, ..m.body.clone() })
            .collect();
        (books, redemptions, uses, mirrors)
    }

    /// Everything that was ever sent, once more.
    pub fn everything_again(&mut self, check: &mut dyn FnMut(&Self)) {
        self.inbox = self.sent.clone();
        let all = self.redemptions.len();
        let mut tasks = vec![Work::Sync];
        tasks.extend(self.inbox.iter().map(|_| Work::Event { newest: true }));
        tasks.extend(
            (0..all).filter(|of| self.redemptions[*of].body.state != State::Presented).map(Work::Claim),
        );
        let tasks: Vec<_> = tasks.into_iter().map(|work| Task { work, dies: None }).collect();
        self.together(&tasks, &[], check);
    }
}
