//! One customer's verification, and what may come next.

use kit::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a code is good.
pub const CODE: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// After this long it begins anew.
const WHOLE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How many codes are sent: one, and one more.
pub const CODES: u32 = 2;
/// How often a code may be wrong.
pub const TRIES: i32 = 5;

/// Kept under a keyed hash of who was asked for; for somebody who is no customer, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Whom the code lets in; nobody where there is no such customer.
    pub customer_ids: Vec<String>,
    /// Names this round among those under the same hash.
    pub round: String,
    /// How many codes were sent.
    pub sent: u32,
    /// The keyed hash of the last one.
    pub code_hash: String,
    #[serde(with = "store::time")]
    pub code_until: Timestamp,
    /// How often the last one was wrong.
    pub tries: i32,
    /// The code was right: the next one who asks begins anew.
    pub used: bool,
    /// When the wish was taken instead.
    #[serde(default, with = "store::time::option")]
    pub wished_at: Option<Timestamp>,
    #[serde(with = "store::time")]
    pub until: Timestamp,
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    CodeSent { until: Timestamp, resend_left: bool },
    Verified { token: String, until: Timestamp },
    Manual,
}

/// What is done for one who asks for a code.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This is written down, and the code goes out.
    Send(Verification),
    /// No further code: the wish is taken.
    Wish,
}

impl Verification {
    /// What follows on an ask, where this stands.
    pub fn next(
        before: Option<&Self>,
        customer_ids: Vec<String>,
        code_hash: String,
        round: String,
        now: Timestamp,
    ) -> Next {
        let going = before.filter(|b| !b.used && b.until > now);
        let sent = going.map_or(0, |b| b.sent);
        if sent >= CODES {
            return Next::Wish;
        }
        Next::Send(Self {
            customer_ids,
            round: going.map_or(round, |b| b.round.clone()),
            sent: sent + 1,
            code_hash,
            code_until: kit::clock::millis(now + CODE),
            tries: 0,
            used: false,
            wished_at: going.and_then(|b| b.wished_at),
            until: going.map_or_else(|| kit::clock::millis(now + WHOLE), |b| b.until),
        })
    }

    /// What one who asked is told.
    pub fn told(&self) -> Answer {
        Answer::CodeSent { until: self.code_until, resend_left: self.sent < CODES }
    }

    /// Whether this is the code, and still good.
    pub fn fits(&self, code_hash: &str, now: Timestamp) -> bool {
        !self.used && self.tries < TRIES && self.code_until > now && self.code_hash == code_hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_mins(minutes)
    }

    fn ask(before: Option<&Verification>, minutes: i64) -> Next {
        Verification::next(
            before,
            vec!["cus_1".into()],
            format!("h{minutes}"),
            format!("r{minutes}"),
            at(minutes),
        )
    }

    fn sent(next: Next) -> Verification {
        match next {
            Next::Send(v) => v,
            Next::Wish => panic!("no code"),
        }
    }

    #[test]
    fn two_codes_and_then_a_wish() {
        let first = sent(ask(None, 0));
        assert_eq!(first.told(), Answer::CodeSent { until: at(15), resend_left: true });
        let second = sent(ask(Some(&first), 5));
        assert_eq!(second.told(), Answer::CodeSent { until: at(20), resend_left: false });
        assert_eq!((second.round.as_str(), second.until), ("r0", first.until));
        assert_eq!(ask(Some(&second), 6), Next::Wish);
        assert_eq!(sent(ask(Some(&second), 24 * 60)).sent, 1, "the next day it begins anew");
        let used = Verification { used: true, ..second };
        assert_eq!(sent(ask(Some(&used), 7)).sent, 1, "who came in may come again");
    }

    #[test]
    fn a_code_is_good_once_for_its_time_and_for_so_many_tries() {
        let first = sent(ask(None, 0));
        assert!(first.fits("h0", at(14)) && !first.fits("h1", at(14)));
        assert!(!first.fits("h0", at(15)));
        assert!(!Verification { tries: TRIES, ..first.clone() }.fits("h0", at(1)));
        let second = sent(ask(Some(&first), 5));
        assert!(!second.fits("h0", at(6)), "the first one is good for nothing any more");
        assert!(!Verification { used: true, ..second.clone() }.fits("h5", at(6)));
        assert!(second.fits("h5", at(6)));
    }
}
