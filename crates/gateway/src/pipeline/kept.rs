//! What identity and content answered about a credential, kept while it is good: until a change of what it is about is
//! heard, and for seconds in any case. While they are down, what is kept serves on.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bus::{Bus, Heard};
use kit::Timestamp;
use moka::sync::Cache;
use tonic::{Code, Status};

use super::heard::Changes;
use crate::edge::problem::Problem;

/// How long an answer is good while changes are heard, and how long when they may not be: a revoked key or session lives
/// on no longer than this. Seconds.
const HEARING: i64 = 10;
const DEAF: i64 = 1;
/// How long an answer serves while nobody answers.
pub const STALE: Duration = Duration::from_secs(600);

/// What a credential is kept by.
pub type Hash = [u8; 32];

pub fn hash(text: &str) -> Hash {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

/// Whose change makes an answer old.
pub trait About {
    fn ids(&self) -> Vec<&str>;
}

/// The changes heard, and whether any could be missed.
pub struct Hearing {
    bus: Bus,
    changes: Changes,
}

/// When an answer was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Clock seconds.
    at: i64,
    /// How far changes had been heard.
    mark: u64,
    /// Over which connection they are heard; none when there was none.
    connection: Option<u64>,
}

impl Hearing {
    pub fn new(bus: Bus) -> Self {
        Self { bus, changes: Changes::new(STALE * 2) }
    }

    pub fn hear(&self, heard: &Heard) {
        self.changes.hear(heard);
    }

    /// Whether events reach this replica.
    pub fn hears(&self) -> bool {
        self.bus.connection().is_some()
    }

    fn asked(&self, now: Timestamp) -> Asked {
        Asked { at: now.as_second(), mark: self.changes.mark(), connection: self.bus.connection() }
    }
}

/// Answers by the hash of what was asked about.
pub struct Kept<T>(Cache<Hash, (Option<Arc<T>>, Asked)>);

impl<T: About + Send + Sync + 'static> Kept<T> {
    pub fn new(most: u64) -> Self {
        Self(Cache::builder().max_capacity(most).time_to_live(STALE).build())
    }

    /// Answers from what is kept while it is good, else asks. "Not there" is an answer too, and is kept like one.
    pub async fn resolve<F, Fut>(
        &self,
        hearing: &Hearing,
        now: Timestamp,
        hash: Hash,
        ask: F,
    ) -> Result<Option<Arc<T>>, Problem>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let asked = hearing.asked(now);
        let unchanged = |(answer, then): &(Option<Arc<T>>, Asked)| {
            answer.as_ref().is_none_or(|a| !hearing.changes.since(then.mark, &a.ids()))
        };
        let old = self.0.get(&hash).filter(unchanged);
        if let Some((answer, then)) = &old {
            let heard_all = asked.connection.is_some() && asked.connection == then.connection;
            // What is not there may come to be without anybody telling of it.
            let good = if heard_all && answer.is_some() { HEARING } else { DEAF };
            if asked.at - then.at < good {
                return Ok(answer.clone());
            }
        }
        // Seldom, and large: in a room of its own, it does not make every request larger.
        let answer = match Box::pin(ask()).await {
            Ok(found) => Some(Arc::new(found)),
            Err(status) if is_answer(&status) => None,
            Err(status) => return old.map(|(answer, _)| answer).ok_or_else(|| status.into()),
        };
        self.0.insert(hash, (answer.clone(), asked));
        Ok(answer)
    }
}

/// A refusal that says there is no such thing, and not that nobody could say.
fn is_answer(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::NotFound | Code::Unauthenticated | Code::InvalidArgument | Code::PermissionDenied
    )
}
