//! Looking for somebody in everything that is stored: invariant 11 asks of every collection there is, also of those that
//! come after it was written.

use bson::RawDocumentBuf;
use mongodb::Database;

use crate::TestDb;

/// Where any of these words stands in a database, whatever the field, in whatever case: collection, id and word.
pub async fn holding(db: &Database, words: &[&str]) -> Vec<String> {
    let words: Vec<_> = words.iter().map(|w| w.to_lowercase()).collect();
    let mut found = Vec::new();
    for name in db.list_collection_names().await.unwrap() {
        let mut all = db.collection::<RawDocumentBuf>(&name).find(bson::doc! {}).await.unwrap();
        while all.advance().await.unwrap() {
            let record = all.current();
            let text = record.as_bytes().to_ascii_lowercase();
            let holds = |word: &&String| text.windows(word.len()).any(|w| w == word.as_bytes());
            let id = record.get_str("_id").unwrap_or("?");
            found.extend(words.iter().filter(holds).map(|w| format!("{}.{name} {id}: {w}", db.name())));
        }
    }
    found
}

/// What a relay does with the events of every record, for tests that run none.
pub async fn relayed(db: &Database) {
    let unset = bson::doc! { "$unset": { "_out": 1, "_outbox": 1 } };
    for name in db.list_collection_names().await.unwrap() {
        db.collection::<bson::Document>(&name).update_many(bson::doc! {}, unset.clone()).await.unwrap();
    }
}

impl TestDb {
    /// Where any of these words stands in the databases of all services.
    pub async fn holding(&self, words: &[&str]) -> Vec<String> {
        let client = mongodb::Client::with_uri_str(&self.data.mongo_uri).await.unwrap();
        let mut found = Vec::new();
        for name in client.list_database_names().await.unwrap() {
            if name.starts_with(&format!("{}_", self.data.mongo_prefix)) {
                found.extend(holding(&client.database(&name), words).await);
            }
        }
        found
    }
}
