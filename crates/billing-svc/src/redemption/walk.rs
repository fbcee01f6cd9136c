//! The way of a claimed redemption to its end, `verified` or `reversed`, as plain decisions: what is to be done next, and
//! what follows from what came of it. Who walks it does each step by one conditional write or one provider call
//! (`drive.rs`); the histories of the tests walk it with anything going wrong between any two steps.

use kit::Timestamp;

use super::model::{Before, NoWay, Redemption, State};
use crate::providers::{Act, ExternalId, IdempotencyKey, Receipt, Snapshot};

/// How often the provider is read until it shows the effect, before the job is left to look again.
const READS: u32 = 3;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read the subscription at the provider; `shown`: and whether what was promised is there.
    Look { shown: bool },
    /// Ask the provider for this under this key, if the lease still holds.
    Ask { act: Act, key: IdempotencyKey },
    /// Write this down, if nobody came between, and walk on.
    Save(Box<Redemption>),
    /// Write this down, if nobody came between; the job comes back to it.
    Note(Box<Redemption>),
    /// End it so, and give limit and budget back. `replaced`: what it took the place of is gone at the provider.
    GiveBack { ended: Box<Redemption>, replaced: bool },
    /// For now nothing more can be done; the job comes back to it.
    Rest,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The provider's reading. `shown`: whether what was promised is there, and what it is.
    Looked {
        snapshot: Box<Snapshot>,
        shown: Option<Option<ExternalId>>,
    },
    /// The provider took the request.
    Answered(Receipt),
    Trouble(Trouble),
}

/// No answer that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub slug: &'static str,
    /// It may have been done all the same, now or a little later.
    pub uncertain: bool,
}

/// One step of the way: from what is written down to what is to be written down next.
#[derive(Clone, Debug)]
pub struct Walk {
    r: Redemption,
    token: i64,
    undo_key: IdempotencyKey,
    at: At,
}

/// What was asked for last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Waiting,
    Beginning,
    TakingOver,
    Asking,
    /// Looking for what may have been done.
    Finding(&'static str),
    /// With so many readings left.
    Verifying(u32),
    Undoing,
    TakingAway(Act),
    /// Whether it is gone.
    Checking,
}

impl Walk {
    /// The next step of a redemption under the lease of this token; none where it has come to an end. `waits`: another one
    /// of this subscription has begun and not come to its end. What it did could not be told from what this one does.
    pub fn from(r: &Redemption, id: &str, token: i64, waits: bool) -> Result<Option<(Self, Next)>, NoWay> {
        let look = Next::Look { shown: true };
        let (at, next) = match r.state {
            State::Claimed if r.terms.is_by_hand() => (At::Beginning, save(r.pending()?)),
            State::Claimed if waits => (At::Waiting, Next::Look { shown: false }),
            State::Claimed => (At::Beginning, Next::Look { shown: false }),
            // Somebody else's attempt: the effect may be there already, which is all we want.
            State::Applying if r.fence != token => (At::TakingOver, look),
            State::Applying => match r.act() {
                Some(act) => (At::Asking, Next::Ask { act, key: IdempotencyKey::new(id) }),
                None => (At::Asking, save(r.failed("nothing_to_apply")?)),
            },
            State::Applied => (At::Verifying(READS), look),
            // Nothing was begun, so there is nothing to undo, whether or not the provider answers.
            State::Failed if r.before.is_none() => (At::Undoing, give_back(r, false)?),
            State::Failed => (At::Undoing, look),
            _ => return Ok(None),
        };
        // A provider that answered with its own failure answers so again to the same key.
        let undo_key = match r.undos {
            0 => IdempotencyKey::new(format!("{id}:undo")),
            n => IdempotencyKey::new(format!("{id}:undo:{n}")),
        };
        Ok(Some((Self { r: r.clone(), token, undo_key, at }, next)))
    }

    /// What follows.
    pub fn on(&mut self, told: Told, now: Timestamp) -> Result<Next, NoWay> {
        let at = self.at.clone();
        let r = &self.r;
        Ok(match (at, told) {
            (At::Waiting, _) => self.given_up("another_under_way", now)?,
            // Nobody gives days later what was promised for now.
            (At::Beginning, Told::Looked { .. }) if r.out_of_patience(now) => save(r.failed("too_late")?),
            (At::Beginning, Told::Looked { snapshot, .. }) => match r.collides_with(&snapshot, now) {
                Some(why) => save(r.failed(why)?),
                None => save(r.applying(Before::of(&snapshot), self.token, now)?),
            },
            (At::TakingOver, Told::Looked { snapshot, shown }) => match shown {
                Some(_) => save(r.applied(&Receipt::default(), now)?),
                // Too late to ask once more.
                None if r.out_of_patience(now) => self.given_up("not_confirmed", now)?,
                None => save(r.applying(Before::of(&snapshot), self.token, now)?),
            },
            (At::Asking, Told::Answered(receipt)) => save(r.applied(&receipt, now)?),
            (At::Asking, Told::Trouble(t)) if t.uncertain => self.go(At::Finding(t.slug), LOOK),
            (At::Asking, Told::Trouble(t)) => save(r.failed(t.slug)?),
            (At::Finding(_), Told::Looked { shown: Some(_), .. }) => {
                save(r.applied(&Receipt::default(), now)?)
            }
            (At::Finding(slug), _) => self.given_up(slug, now)?,
            (At::Verifying(left), Told::Looked { shown, .. }) => match shown {
                Some(effect) => save(r.verified(effect, now)?),
                None if left > 1 => self.go(At::Verifying(left - 1), LOOK),
                None => self.given_up("not_confirmed", now)?,
            },
            (At::Beginning | At::TakingOver | At::Verifying(_), Told::Trouble(t)) => {
                self.given_up(t.slug, now)?
            }
            // What cannot be undone and turns out to have been done is not given back but stands.
            (At::Undoing, Told::Looked { snapshot, shown: Some(_) }) if !r.terms.is_reversible() => {
                save(r.applying(Before::of(&snapshot), self.token, now)?)
            }
            (At::Undoing, Told::Looked { snapshot, shown }) => match r.undo(&snapshot, shown) {
                // An earlier one of several requests may be on its way still.
                None if r.attempts > 1 && r.may_still_come(now) => Next::Rest,
                None => give_back(r, r.applied_at.is_some() && !runs(&snapshot, now))?,
                Some(act) => {
                    let ask = Next::Ask { act: act.clone(), key: self.undo_key.clone() };
                    self.go(At::TakingAway(act), ask)
                }
            },
            (At::TakingAway(_), Told::Answered(_)) => self.go(At::Checking, LOOK),
            // All but this one may be done twice: they name what is to be, not by how much it is to change.
            (At::TakingAway(Act::TakeCredit { .. }), Told::Trouble(_)) => Next::Rest,
            (At::TakingAway(_), Told::Trouble(t)) if t.uncertain => Next::Note(Box::new(r.undo_troubled())),
            (At::Checking, Told::Looked { snapshot, shown }) => match r.undo(&snapshot, shown) {
                Some(_) => Next::Rest,
                // It was there, whatever we had heard of it.
                None => {
                    let been = Redemption { applied_at: r.applied_at.or(Some(now)), ..r.clone() };
                    give_back(&been, !runs(&snapshot, now))?
                }
            },
            _ => Next::Rest,
        })
    }

    fn go(&mut self, at: At, next: Next) -> Next {
        self.at = at;
        next
    }

    /// The provider did not help: wait for the job while there is patience, and for what was asked last to have come or
    /// not to come any more; else give up.
    fn given_up(&self, slug: &str, now: Timestamp) -> Result<Next, NoWay> {
        if self.r.out_of_patience(now) && !self.r.may_still_come(now) {
            return Ok(save(self.r.failed(slug)?));
        }
        Ok(Next::Rest)
    }
}

const LOOK: Next = Next::Look { shown: true };

fn save(next: Redemption) -> Next {
    Next::Save(Box::new(next))
}

/// A failed redemption never burns the customer's chance.
fn give_back(r: &Redemption, replaced: bool) -> Result<Next, NoWay> {
    Ok(Next::GiveBack { ended: Box::new(r.reversed()?), replaced })
}

/// Whether a discount of ours runs. Of two that were claimed at once the later may have been given first, and the earlier
/// taken its place: then our books, which go by the claims, must not say that nothing runs.
fn runs(snapshot: &Snapshot, now: Timestamp) -> bool {
    snapshot.discounts.iter().any(|d| d.retention && d.runs_at(now))
}
