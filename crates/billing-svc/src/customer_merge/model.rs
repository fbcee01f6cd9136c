//! How two customers become one, and two again.

use std::collections::{BTreeMap, BTreeSet};

use kit::Timestamp;
use serde::{Deserialize, Serialize};

use crate::customers::{Attribute, Customer, EXTERNAL, name_of};

/// How long a merge can be undone.
pub const UNDO_DAYS: i64 = 30;

/// One merge. The absorbed customer's own record holds what it said itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    pub survivor_id: String,
    pub absorbed_id: String,
    pub taken: Taken,
    /// What moved with the absorbed one.
    pub subscription_ids: Vec<String>,
    pub redemption_ids: Vec<String>,
    /// The redemptions that stood in the absorbed one's ledger.
    pub grant_ids: BTreeSet<String>,
    pub by: String,
    #[serde(with = "store::time")]
    pub merged_at: Timestamp,
    #[serde(with = "store::time")]
    pub undo_until: Timestamp,
    #[serde(with = "store::time::option", default)]
    pub undone_at: Option<Timestamp>,
    /// Set while it stands: a customer is part of one other at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<bool>,
}

impl Merge {
    /// Taken back.
    pub fn undone(&self, now: Timestamp) -> Self {
        Self { undone_at: Some(now), standing: None, ..self.clone() }
    }

    /// Without the person, who was erased: it cannot be undone any more.
    pub fn forgotten(&self, now: Timestamp) -> Self {
        Self { taken: Taken::default(), undo_until: self.undo_until.min(now), ..self.clone() }
    }
}

/// What the survivor took over, and what the absorbed one was called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Fields that were empty at the survivor.
    pub fields: BTreeSet<String>,
    pub tags: Vec<String>,
    /// Attributes, and what stood there before.
    pub attributes: BTreeMap<String, Option<Attribute>>,
    /// Providers at which the survivor had no record.
    pub providers: BTreeSet<String>,
    pub external_id: String,
    pub links: BTreeMap<String, String>,
    pub link_versions: BTreeMap<String, i64>,
    pub also: Vec<String>,
}

impl Taken {
    /// What the absorbed one was called by the company (`external`) or a provider.
    pub fn names<'a>(&'a self, of: &'a str) -> impl Iterator<Item = &'a str> {
        let own = if of == EXTERNAL { Some(&self.external_id) } else { self.links.get(of) };
        let further = self.also.iter().filter_map(move |n| n.strip_prefix(of)?.strip_prefix('/'));
        own.map(String::as_str).into_iter().chain(further)
    }
}

/// The fields of which the survivor's own value wins, and an empty one is filled.
fn fields(c: &mut Customer) -> [(&'static str, &mut String); 6] {
    [
        ("email", &mut c.email),
        ("name", &mut c.name),
        ("locale", &mut c.locale),
        ("country", &mut c.country),
        ("currency", &mut c.currency),
        ("owner", &mut c.owner),
    ]
}

/// The survivor with what it takes over, the absorbed record as it is kept, and what was taken.
pub fn unite(
    (survivor_id, survivor): (&str, &Customer),
    (absorbed_id, absorbed): (&str, &Customer),
) -> (Customer, Customer, Taken) {
    let (mut united, mut kept) = (survivor.clone(), absorbed.clone());
    let mut taken = Taken {
        external_id: absorbed.external_id.clone(),
        links: absorbed.links.clone(),
        link_versions: absorbed.link_versions.clone(),
        also: absorbed.also.clone(),
        ..Taken::default()
    };
    for ((name, own), (_, theirs)) in fields(&mut united).into_iter().zip(fields(&mut kept)) {
        if own.is_empty() && !theirs.is_empty() {
            own.clone_from(theirs);
            taken.fields.insert(name.to_owned());
        }
    }
    taken.tags = absorbed.tags.iter().filter(|t| !survivor.tags.contains(t)).cloned().collect();
    united.tags.extend(taken.tags.iter().cloned());
    united.tags.sort();
    for (key, theirs) in &absorbed.attributes {
        let own = survivor.attributes.get(key);
        if own.is_none_or(|own| own.observed_at < theirs.observed_at) {
            taken.attributes.insert(key.clone(), own.cloned());
            united.attributes.insert(key.clone(), theirs.clone());
        }
    }
    united.also.push(name_of(EXTERNAL, &absorbed.external_id));
    united.also.extend(absorbed.also.iter().cloned());
    for (provider, id) in &absorbed.links {
        if united.links.contains_key(provider) {
            united.also.push(name_of(provider, id));
        } else {
            united.links.insert(provider.clone(), id.clone());
            if let Some(version) = absorbed.link_versions.get(provider) {
                united.link_versions.insert(provider.clone(), *version);
            }
            taken.providers.insert(provider.clone());
        }
    }
    united.restricted |= absorbed.restricted;
    // Its names belong to the survivor: two records cannot have one.
    kept.external_id = format!("merged-{absorbed_id}");
    kept.links.clear();
    kept.link_versions.clear();
    kept.also.clear();
    kept.merged_into = Some(survivor_id.to_owned());
    (united, kept, taken)
}

/// Takes a merge back: the survivor without what it took over, as far as nobody has said otherwise since, and the
/// absorbed one as it was.
pub fn part(united: &Customer, kept: &Customer, taken: &Taken) -> (Customer, Customer) {
    let (mut survivor, mut absorbed) = (united.clone(), kept.clone());
    for ((name, now), (_, theirs)) in fields(&mut survivor).into_iter().zip(fields(&mut absorbed)) {
        if taken.fields.contains(name) && now == theirs {
            now.clear();
        }
    }
    survivor.tags.retain(|t| !taken.tags.contains(t));
    for (key, before) in &taken.attributes {
        if survivor.attributes.get(key) != absorbed.attributes.get(key) {
            continue;
        }
        match before {
            Some(before) => survivor.attributes.insert(key.clone(), before.clone()),
            None => survivor.attributes.remove(key),
        };
    }
    let theirs: BTreeSet<_> = std::iter::once(name_of(EXTERNAL, &taken.external_id))
        .chain(taken.links.iter().map(|(provider, id)| name_of(provider, id)))
        .chain(taken.also.iter().cloned())
        .collect();
    survivor.also.retain(|name| !theirs.contains(name));
    for provider in &taken.providers {
        if survivor.links.get(provider) == taken.links.get(provider) {
            survivor.links.remove(provider);
            survivor.link_versions.remove(provider);
        }
    }
    absorbed.external_id.clone_from(&taken.external_id);
    absorbed.links.clone_from(&taken.links);
    absorbed.link_versions.clone_from(&taken.link_versions);
    absorbed.also.clone_from(&taken.also);
    absorbed.merged_into = None;
    (survivor, absorbed)
}
