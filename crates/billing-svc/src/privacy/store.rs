//! The queries of privacy requests, and where billing's records of a person lie.

use bson::{Bson, Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use personal::{Erase, Shelf};
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Request, State};
use crate::customer_merge::Merge;
use crate::customers::Customer;
use crate::inbound::Event;
use crate::providers::simulated;
use crate::recovery;
use crate::redemption::Redemption;
use crate::subscription::Subscription;
use crate::timeline::Entry;

impl Record for Request {
    const COLLECTION: &'static str = "privacy_requests";
    const NOUN: &'static str = "privacy request";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.place"]).unique().partial(doc! { "body.place": { "$exists": true } }),
            Index::on(&["body.customer_id", "_id"]),
            Index::on(&["body.state", "_id"]),
            Index::global(&["body.round.ask_at"]),
        ]
    }
}

/// Which requests a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub customer_id: Option<String>,
}

#[derive(Clone)]
pub struct RequestStore {
    repo: Repo<Request>,
}

impl RequestStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Request>, store::Error> {
        self.repo.get(scope, id).await
    }

    /// The one there is to be no second of.
    pub async fn at(&self, scope: &Scope, place: &str) -> Result<Option<Stored<Request>>, store::Error> {
        self.repo.find(scope, doc! { "body.place": place }).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Request>>, store::Error> {
        let mut query = Document::new();
        if let Some(state) = filter.state {
            query.insert("body.state", state.as_str());
        }
        if let Some(customer) = &filter.customer_id {
            query.insert("body.customer_id", customer);
        }
        self.repo.list(scope, query, Sort::Newest, page).await
    }

    /// `Duplicate` when its place is taken.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        request: Request,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Request>, store::Error> {
        self.repo.insert(scope, id, request, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Request>,
        request: Request,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Request>, store::Error> {
        self.repo.replace(read, request, events).await
    }

    /// Those in which somebody is silent, over all companies.
    pub async fn silent(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<Request>>, store::Error> {
        let due = doc! { "body.round.ask_at": { "$lte": store::time::to_bson(now) } };
        self.repo.across().list(due, most).await
    }
}

/// What a person is called here and at providers.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Provider and its id of the person.
    pub links: Vec<(String, String)>,
    /// Provider and its id of a subscription.
    pub subscriptions: Vec<(String, String)>,
    pub emails: Vec<String>,
}

/// Where billing's records of these customers lie.
pub fn shelves(scope: &Scope, customers: &[String], names: &Names) -> Vec<Shelf> {
    let of = |field: &str| doc! { field: { "$in": customers } };
    // Merges that were undone, too: what the person was called stands in them.
    let mut into_others = of("body.absorbed_id");
    into_others.insert("body.survivor_id", doc! { "$nin": customers });
    let keeps = "prices, states and dates under the provider's id; nothing says who it is";
    let given = "what was given and what it cost; nothing says who it is";
    vec![
        Shelf::new("customers", Customer::COLLECTION, of("_id"), Erase::Apart),
        Shelf::new("customer_merges", Merge::COLLECTION, of("body.survivor_id"), Erase::Apart),
        Shelf::new("customer_merges", Merge::COLLECTION, into_others, Erase::Empty(vec![untold()])),
        Shelf::new("subscriptions", Subscription::COLLECTION, of("body.customer_id"), Erase::Keep(keeps)),
        Shelf::new("redemptions", Redemption::COLLECTION, of("body.customer_id"), Erase::Keep(given)),
        Shelf::new("customer_ledgers", crate::offer::Ledger::COLLECTION, of("_id"), Erase::Keep(given)),
        Shelf::new(
            "recovery_cases",
            recovery::Case::COLLECTION,
            of("body.customer_id"),
            Erase::Keep("amounts, steps and dates; nothing says who it is"),
        ),
        Shelf::new(
            "persona_memberships",
            recovery::Membership::COLLECTION,
            of("body.customer_id"),
            Erase::Remove,
        ),
        Shelf::new("timeline", Entry::COLLECTION, of("body.customer_id"), Erase::Remove),
        Shelf::new("inbound_events", Event::COLLECTION, heard_of(names), Erase::Empty(vec![emptied()])),
        Shelf::new(
            "simulated_customers",
            simulated::ACCOUNTS,
            doc! { "_id": { "$in": simulated_ids(scope, names) } },
            Erase::Empty(vec![nobody()]),
        ),
        Shelf::new(
            "privacy_requests",
            Request::COLLECTION,
            of("body.customer_id"),
            // That it was asked for, verified and done stays; what somebody noted beside it may name the person.
            Erase::Empty(vec![doc! { "$set": { "body.note": "" } }]),
        ),
    ]
}

/// Received events about somebody: by the provider's id of the person or of a subscription, or because the address stands
/// in what came. The last looks through the company's events of 30 days, once in a request.
fn heard_of(names: &Names) -> Document {
    let one = |field: &str, (provider, id): &(String, String)| doc! { "body.provider": provider, field: id };
    let customers = names.links.iter().map(|link| one("body.customer", link));
    let subscriptions = names.subscriptions.iter().map(|s| one("body.subscription", s));
    let emails = names.emails.iter().map(|email| {
        doc! { "body.raw.text": { "$regex": literally(email), "$options": "i" } }
    });
    let any: Vec<Bson> = customers.chain(subscriptions).chain(emails).map(Bson::from).collect();
    if any.is_empty() {
        doc! { "_id": { "$in": [] } }
    } else {
        doc! { "$or": any }
    }
}

/// A text as an expression that matches it and nothing else.
fn literally(text: &str) -> String {
    let escaped = |c: char| if c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") };
    text.chars().map(escaped).collect()
}

/// An event without what the call carried.
fn emptied() -> Document {
    doc! { "$set": { "body.headers": { "$literal": {} }, "body.raw": { "$literal": { "text": "" } } } }
}

/// A merge that says nothing of whom it took over.
fn untold() -> Document {
    let lists = ["fields", "tags", "providers", "also"].map(|f| (f.to_owned(), Bson::Array(Vec::new())));
    let maps = ["attributes", "links", "link_versions"].map(|f| (f.to_owned(), Bson::from(doc! {})));
    let name = ("external_id".to_owned(), Bson::from(""));
    let taken: Document = lists.into_iter().chain(maps).chain([name]).collect();
    doc! { "$set": { "body.taken": { "$literal": taken } } }
}

/// An account of the simulated provider, which is ours to empty: nobody else keeps it.
fn nobody() -> Document {
    doc! { "$set": {
        "body.email": Bson::Null,
        "body.name": Bson::Null,
        "body.locale": Bson::Null,
        "body.country": Bson::Null,
        "body.attributes": { "$literal": {} },
    } }
}

fn simulated_ids(scope: &Scope, names: &Names) -> Vec<String> {
    let ours = names.links.iter().filter(|(provider, _)| provider == "simulated");
    ours.map(|(_, id)| simulated::account_id(scope, id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_for_as_it_is_written() {
        assert_eq!(literally("a.b+c@x-y.example"), "a\\.b\\+c\\@x\\-y\\.example");
        let taken = untold().get_document("$set").unwrap().get_document("body.taken").unwrap().clone();
        let taken = taken.get_document("$literal").unwrap().clone();
        let read: crate::customer_merge::Taken = bson::deserialize_from_document(taken).unwrap();
        assert_eq!(read, crate::customer_merge::Taken::default());
        assert_eq!(heard_of(&Names::default()), doc! { "_id": { "$in": [] } }, "nobody's, not everybody's");
    }
}
