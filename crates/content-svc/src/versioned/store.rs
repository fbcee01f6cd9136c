//! Where objects and their frozen versions are kept.

use std::collections::HashSet;

use bson::{Bson, Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Content, Frozen, Object};

impl<C: Content> Record for Object<C::Head, C> {
    const COLLECTION: &'static str = C::COLLECTION;
    const NOUN: &'static str = C::NOUN;

    fn indexes() -> Vec<Index> {
        let mut indexes =
            vec![Index::on(&["body.archived", "_id"]), Index::on(&["body.archived", "body.facet", "_id"])];
        indexes.extend(C::INDEXES.iter().map(|fields| Index::on(fields)));
        indexes.extend(C::UNIQUE.iter().map(|fields| Index::on(fields).unique()));
        indexes
    }
}

impl<C: Content> Record for Frozen<C> {
    const COLLECTION: &'static str = C::VERSIONS;
    const NOUN: &'static str = "version";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.pins.hash"])]
    }
}

/// An object as it is stored.
pub type StoredObject<C> = Stored<Object<<C as Content>::Head, C>>;

/// Which objects a list holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Archived ones too.
    pub archived: bool,
    /// Only those whose working copy is of this kind.
    pub facet: Option<&'static str>,
    /// Only those where a field of the object holds this text.
    pub holding: Option<(&'static str, String)>,
}

/// Objects and versions of one kind of content.
#[derive(Clone)]
pub struct ObjectStore<C: Content> {
    objects: Repo<Object<C::Head, C>>,
    versions: Repo<Frozen<C>>,
}

impl<C: Content> ObjectStore<C> {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        let objects = Repo::open(db, clock.clone()).await?;
        Ok(Self { objects, versions: Repo::open(db, clock).await? })
    }

    /// The object of this id.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<StoredObject<C>, store::Error> {
        self.objects.get(scope, id).await
    }

    /// The objects of these ids, in no order; unknown ids are left out.
    pub async fn several(&self, scope: &Scope, ids: &[&str]) -> Result<Vec<StoredObject<C>>, store::Error> {
        let ids: HashSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.objects.get_many(scope, &Vec::from_iter(ids)).await
    }

    /// One page, in the order of the kind: newest first where it has none of its own.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: Filter,
        page: &PageRequest,
    ) -> Result<Page<StoredObject<C>>, store::Error> {
        let mut query = Document::new();
        if !filter.archived {
            query.insert("body.archived", false);
        }
        if let Some(facet) = filter.facet {
            query.insert("body.facet", facet);
        }
        if let Some((field, text)) = filter.holding {
            query.insert(field, Bson::String(text));
        }
        self.objects.list(scope, query, C::ORDER.map_or(Sort::Newest, Sort::By), page).await
    }

    /// Every object in use whose live content holds this text in a field.
    pub async fn in_use(
        &self,
        scope: &Scope,
        field: &str,
        text: &str,
    ) -> Result<Vec<StoredObject<C>>, store::Error> {
        self.all(
            scope,
            doc! { format!("body.live.content.{field}"): text, "body.archived": false },
            Sort::Oldest,
        )
        .await
    }

    /// Every object, in use or in draft, that holds one of these values in a field.
    pub async fn holding(
        &self,
        scope: &Scope,
        field: &str,
        text: &str,
    ) -> Result<Vec<StoredObject<C>>, store::Error> {
        let either = doc! { "$or": [
            { format!("body.live.content.{field}"): text }, { format!("body.draft.content.{field}"): text },
        ] };
        self.all(scope, either, Sort::Oldest).await
    }

    /// Every object in use that holds one of these values in one of these fields, live or in draft.
    pub async fn naming(
        &self,
        scope: &Scope,
        fields: &[(String, Vec<String>)],
    ) -> Result<Vec<StoredObject<C>>, store::Error> {
        let either: Vec<_> = ["live", "draft"]
            .into_iter()
            .flat_map(|part| fields.iter().map(move |(field, values)| (part, field, values)))
            .map(|(part, field, values)| doc! { format!("body.{part}.content.{field}"): { "$in": values } })
            .collect();
        self.all(scope, doc! { "$or": either, "body.archived": false }, Sort::Oldest).await
    }

    /// Every object in use whose version in use is one of these.
    pub async fn live_as(
        &self,
        scope: &Scope,
        hashes: &HashSet<String>,
    ) -> Result<Vec<StoredObject<C>>, store::Error> {
        let hashes: Vec<&String> = hashes.iter().collect();
        let query = doc! { "body.live.release.hash": { "$in": hashes }, "body.archived": false };
        self.all(scope, query, Sort::Oldest).await
    }

    /// The hashes of the frozen versions that hold one of these values in one of these fields.
    pub async fn frozen_naming(
        &self,
        scope: &Scope,
        fields: &[(String, Vec<String>)],
    ) -> Result<HashSet<String>, store::Error> {
        let either = fields
            .iter()
            .map(|(field, values)| doc! { format!("body.content.{field}"): { "$in": values } })
            .collect::<Vec<_>>();
        self.frozen(scope, doc! { "$or": either }).await
    }

    /// The hashes of the frozen versions that pin one of these.
    pub async fn frozen_pinning(
        &self,
        scope: &Scope,
        hashes: &HashSet<String>,
    ) -> Result<HashSet<String>, store::Error> {
        let hashes: Vec<&String> = hashes.iter().collect();
        self.frozen(scope, doc! { "body.pins.hash": { "$in": hashes } }).await
    }

    async fn frozen(&self, scope: &Scope, query: Document) -> Result<HashSet<String>, store::Error> {
        let (mut found, mut cursor) = (HashSet::new(), String::new());
        loop {
            let request = PageRequest::new(kit::page::MAX_LIMIT, cursor);
            let page = self.versions.list(scope, query.clone(), Sort::Oldest, &request).await?;
            found.extend(page.items.into_iter().map(|v| v.body.hash));
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(found),
            }
        }
    }

    /// Every object of the company, page by page; for the few kinds a company has dozens of.
    pub async fn everything(&self, scope: &Scope) -> Result<Vec<StoredObject<C>>, store::Error> {
        self.all(scope, doc! { "body.archived": false }, Sort::Oldest).await
    }

    async fn all(
        &self,
        scope: &Scope,
        query: Document,
        sort: Sort,
    ) -> Result<Vec<StoredObject<C>>, store::Error> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let request = PageRequest::new(kit::page::MAX_LIMIT, cursor);
            let page = self.objects.list(scope, query.clone(), sort, &request).await?;
            found.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(found),
            }
        }
    }

    /// A new object.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        object: Object<C::Head, C>,
        events: Vec<Outgoing>,
    ) -> Result<StoredObject<C>, store::Error> {
        self.objects.insert(scope, id, object, events).await
    }

    /// The object as changed, unless somebody else changed it since it was read.
    pub async fn replace(
        &self,
        read: &StoredObject<C>,
        object: Object<C::Head, C>,
        events: Vec<Outgoing>,
    ) -> Result<StoredObject<C>, store::Error> {
        self.objects.replace(read, object, events).await
    }

    /// Keeps a frozen version. One that is there already is the same one.
    pub async fn freeze(&self, scope: &Scope, frozen: Frozen<C>) -> Result<(), store::Error> {
        let key = Frozen::<C>::key(&frozen.object_id, &frozen.hash);
        match self.versions.insert(scope, key, frozen, Vec::new()).await {
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// A frozen version.
    pub async fn version(&self, scope: &Scope, id: &str, hash: &str) -> Result<Frozen<C>, store::Error> {
        Ok(self.versions.get(scope, &Frozen::<C>::key(id, hash)).await?.body)
    }
}
