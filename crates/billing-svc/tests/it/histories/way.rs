//! The writes of a claim and of its way to the end, each conditional on what was read before.

use billing_svc::offer::{Offer, month};
use billing_svc::redemption::{Next, Redemption, State, Told, Trouble, Walk};

use super::pure::{Asked, Kept, Place, Taking, World, id};

impl World {
    pub(super) fn claim(&mut self, of: usize, tries: u32) -> Place {
        let r = self.redemptions[of].clone();
        match r.body.state {
            State::Presented => {}
            state if state.is_under_way() => return Place::Lock(of),
            _ => return Place::Over,
        }
        let (offer_at, customer) = (self.offer(of), self.customer(of));
        let shown =
            Offer { terms: r.body.terms.clone(), stacking: r.body.stacking, ..self.offers[offer_at].clone() };
        let facts = self.facts(&r.body.offer_id, &shown, (offer_at, customer));
        if tries == 0 || !facts.reasons().is_empty() {
            return Place::Over;
        }
        let taken = r.body.take(&id(of), &facts, String::new()).unwrap();
        let ledger_read = self.ledgers[customer].version;
        Place::Taking(Box::new(Taking { of, read: r.version, ledger_read, taken }))
    }

    /// The transaction: all of it or nothing.
    pub(super) fn take(&mut self, taking: Taking) -> Place {
        let Taking { of, read, ledger_read, taken } = taking;
        let (offer_at, customer) = (self.offer(of), self.customer(of));
        let limits = self.offers[offer_at].limits.clone();
        // The condition of the write itself.
        if self.uses[offer_at].may_take(&limits, taken.cost, self.now).is_err() {
            return Place::Over;
        }
        if self.redemptions[of].version != read || self.ledgers[customer].version != ledger_read {
            return Place::Start(7);
        }
        self.uses[offer_at].claimed += 1;
        if limits.monthly_budget.is_some() {
            *self.uses[offer_at].spent.entry(month(self.now)).or_default() += taken.cost.minor;
        }
        self.ledgers[customer].replace(ledger_read, taken.ledger);
        self.redemptions[of].replace(read, taken.claimed);
        Place::Lock(of)
    }

    pub(super) fn lock(&mut self, of: usize) -> Place {
        let customer = self.customer(of);
        let lease = &mut self.leases[customer];
        if lease.expires.is_some_and(|at| at > self.now) {
            return Place::Over;
        }
        lease.token += 1;
        lease.expires = self.now.checked_add(jiff::SignedDuration::from_secs(30)).ok();
        let token = lease.token;
        self.begin(of, token)
    }

    pub(super) fn begin(&mut self, of: usize, token: i64) -> Place {
        let Kept { version: read, body } = self.redemptions[of].clone();
        let waits = self.others(of).any(|other| other.is_unsettled());
        match Walk::from(&body, &id(of), token, waits).unwrap() {
            None => Place::Release { of: self.customer(of), token },
            Some((walk, next)) => Place::Step { of, token, walk: Box::new(walk), next, read },
        }
    }

    /// The others of a redemption's subscription that are under way or stand.
    pub(super) fn others(&self, of: usize) -> impl Iterator<Item = &Redemption> {
        let about = &self.redemptions[of].body.subscription_id;
        let others = self.redemptions.iter().enumerate().filter(move |(other, _)| *other != of);
        let others = others.map(|(_, r)| &r.body).filter(move |r| r.subscription_id == *about);
        others.filter(|r| r.state.is_under_way() || r.state == State::Verified)
    }

    pub(super) fn walk(&mut self, of: usize, token: i64, walk: Box<Walk>, next: Next, read: u64) -> Place {
        let customer = self.customer(of);
        let release = Place::Release { of: customer, token };
        let told = match next {
            Next::Look { shown } => self.look(of, shown),
            Next::Ask { act, key } => {
                let lease = self.leases[customer];
                let had_lease = lease.token == token && lease.expires.is_some_and(|at| at > self.now);
                if !had_lease {
                    return release;
                }
                let stored = &self.redemptions[of].body;
                self.asked.push(Asked {
                    key: key.as_str().to_owned(),
                    redemption: of,
                    state: stored.state,
                    had_lease,
                    as_promised: stored.state == State::Failed || stored.act().as_ref() == Some(&act),
                });
                self.books.ask(customer, &act, key.as_str(), self.now)
            }
            Next::Save(next) if self.redemptions[of].replace(read, (*next).clone()) => {
                return self.begin(of, token);
            }
            Next::Note(next) => {
                self.redemptions[of].replace(read, *next);
                return release;
            }
            Next::GiveBack { ended, replaced } if self.give_back(of, read, (*ended).clone(), replaced) => {
                return self.begin(of, token);
            }
            // Somebody came between.
            Next::Save(_) | Next::GiveBack { .. } | Next::Rest => return release,
        };
        Place::Heard { of, token, walk, told: Box::new(told), read }
    }

    fn look(&mut self, of: usize, shown: bool) -> Told {
        let customer = self.customer(of);
        let snapshot = match self.books.read(customer, self.now) {
            Ok(snapshot) => snapshot,
            Err(trouble) => return Told::Trouble(Trouble { uncertain: false, ..trouble }),
        };
        self.observe(customer, snapshot.clone());
        let r = &self.redemptions[of].body;
        let shown = match shown {
            false => None,
            true if r.shows_in_subscriptions() => r.shows_in(&snapshot),
            true => self.books.given(customer, &id(of)).map(Some),
        };
        Told::Looked { snapshot: Box::new(snapshot), shown }
    }

    /// The other transaction.
    pub(super) fn give_back(&mut self, of: usize, read: u64, ended: Redemption, replaced: bool) -> bool {
        let (offer_at, customer) = (self.offer(of), self.customer(of));
        let (month, cost) = (ended.budget_month.clone(), ended.cost);
        if !self.redemptions[of].replace(read, ended) {
            return false;
        }
        self.uses[offer_at].claimed -= 1;
        if let (Some(month), Some(cost)) = (month, cost) {
            *self.uses[offer_at].spent.entry(month).or_default() -= cost.minor;
        }
        let ledger = &mut self.ledgers[customer];
        ledger.replace(ledger.version, ledger.body.without(&id(of), replaced));
        true
    }
}
