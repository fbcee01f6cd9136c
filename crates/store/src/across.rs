//! All companies' records at once. Only jobs, and look-ups that find out whose something is, use it.

use bson::{Document, doc};
use futures_util::TryStreamExt;
use kit::Scope;
use mongodb::options::ReturnDocument;

use crate::repo::{Record, read};
use crate::{Repo, Result, Stored};

/// Reading over all companies; what it finds says whose it is.
pub struct Across<'a, T>(&'a Repo<T>);

impl<'a, T: Record> Across<'a, T> {
    pub(crate) fn over(repo: &'a Repo<T>) -> Self {
        Self(repo)
    }

    /// The first that matches, whosever it is.
    pub async fn find(&self, filter: Document) -> Result<Option<Stored<T>>> {
        let found = self.0.raw.find_one(filter).await.map_err(Repo::<T>::error)?;
        found.as_ref().map(read).transpose()
    }

    /// Some that match, at most so many.
    pub async fn list(&self, filter: Document, limit: u32) -> Result<Vec<Stored<T>>> {
        let found = self.0.raw.find(filter).limit(i64::from(limit));
        let raws: Vec<_> =
            found.await.map_err(Repo::<T>::error)?.try_collect().await.map_err(Repo::<T>::error)?;
        raws.iter().map(read).collect()
    }

    /// The first by id that match, at most so many: for going through all of them.
    pub async fn next(&self, filter: Document, limit: u32) -> Result<Vec<Stored<T>>> {
        let found = self.0.raw.find(filter).sort(doc! { "_id": 1 }).limit(i64::from(limit));
        let raws: Vec<_> =
            found.await.map_err(Repo::<T>::error)?.try_collect().await.map_err(Repo::<T>::error)?;
        raws.iter().map(read).collect()
    }

    /// How many match.
    pub async fn count(&self, filter: Document) -> Result<u64> {
        self.0.raw.count_documents(filter).await.map_err(Repo::<T>::error)
    }

    /// The companies and modes that have any that match.
    pub async fn scopes(&self, filter: Document) -> Result<Vec<Scope>> {
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$group": { "_id": { "company": "$company_id", "mode": "$mode" } } },
            doc! { "$sort": { "_id": 1 } },
        ];
        let cursor = self.0.raw.aggregate(pipeline).await.map_err(Repo::<T>::error)?;
        let found: Vec<Document> = cursor.try_collect().await.map_err(Repo::<T>::error)?;
        found
            .into_iter()
            .filter_map(|d| d.get("_id").cloned())
            .map(|id| Ok(bson::deserialize_from_bson(id)?))
            .collect()
    }

    /// Changes the first that matches in this order, and answers it as it then is: how work is taken from a queue. Two
    /// callers never take the same one, as the filter is looked at and the change made in one step.
    pub async fn take(
        &self,
        filter: Document,
        sort: Document,
        update: Document,
    ) -> Result<Option<Stored<T>>> {
        let update = self.0.with_events(update, self.0.clock.now(), Vec::new())?;
        let found = self.0.raw.find_one_and_update(filter, update).sort(sort);
        let found = found.return_document(ReturnDocument::After).await.map_err(Repo::<T>::error)?;
        found.as_ref().map(read).transpose()
    }
}
