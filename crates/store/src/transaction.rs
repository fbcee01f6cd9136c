//! Several documents that must agree: one transaction, bounded in time, tried again where the database says so.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::Bson;
use kit::Outgoing;
use mongodb::options::{ReadConcern, TransactionOptions, WriteConcern};
use mongodb::{ClientSession, Database};

use crate::{Error, Record, Result, outbox};

/// How long a transaction may take with all its repetitions.
const LIMIT: Duration = Duration::from_secs(10);

/// A transaction under way; handed to the `…_in` methods of repositories.
pub struct Transaction {
    session: ClientSession,
    /// Where events will wait once it is committed.
    told: BTreeSet<&'static str>,
}

impl Transaction {
    pub(crate) fn will_tell<T: Record>(&mut self, events: &[Outgoing]) {
        if !events.is_empty() {
            self.told.insert(T::COLLECTION);
        }
    }

    pub(crate) fn session(&mut self) -> &mut ClientSession {
        &mut self.session
    }
}

/// Runs `work` in a transaction and commits it. A conflict with another transaction runs it again, so it must be safe
/// to run twice; any error of its own takes everything back.
pub async fn transaction<T, E, F>(db: &Database, mut work: F) -> std::result::Result<T, E>
where
    E: From<Error> + Retryable,
    F: AsyncFnMut(&mut Transaction) -> std::result::Result<T, E>,
{
    let whole = async {
        let session = db.client().start_session().await.map_err(unavailable)?;
        let mut tx = Transaction { session, told: BTreeSet::new() };
        loop {
            let options = TransactionOptions::builder()
                .read_concern(ReadConcern::snapshot())
                .write_concern(WriteConcern::majority())
                .build();
            tx.session.start_transaction().with_options(options).await.map_err(unavailable)?;
            match work(&mut tx).await {
                Ok(value) => match commit(&mut tx).await? {
                    true => return Ok(value),
                    false => continue,
                },
                Err(error) => {
                    // The first error counts; a transaction that cannot be aborted ends by itself.
                    tx.session.abort_transaction().await.ok();
                    if !error.is_retryable() {
                        return Err(error);
                    }
                }
            }
        }
    };
    match tokio::time::timeout(LIMIT, whole).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Busy.into()),
    }
}

/// Commits; false when the whole must run again.
async fn commit(tx: &mut Transaction) -> Result<bool> {
    loop {
        match tx.session.commit_transaction().await {
            Ok(()) => {
                tx.told.iter().copied().for_each(outbox::wake);
                return Ok(true);
            }
            Err(e) if e.contains_label("UnknownTransactionCommitResult") => {}
            Err(e) if e.contains_label("TransientTransactionError") => return Ok(false),
            Err(e) => return Err(unavailable(e)),
        }
    }
}

fn unavailable(error: mongodb::error::Error) -> Error {
    Error::of(error, "record")
}

/// Whether an error only says "run the transaction again".
pub trait Retryable {
    fn is_retryable(&self) -> bool;
}

impl Retryable for Error {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(e) | Self::Database(e) => e.contains_label("TransientTransactionError"),
            _ => false,
        }
    }
}

/// Kept so that a body can be written by field: the BSON form of any value.
pub fn bson<T: serde::Serialize>(value: &T) -> Result<Bson> {
    Ok(bson::serialize_to_bson(value)?)
}
