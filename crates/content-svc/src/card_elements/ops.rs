//! What can be done with kept pieces.

use kit::{Caller, Code, Fault, Outgoing, Page, PageRequest, Role, Scope, SharedClock};
use store::Stored;

use super::model::{CardElement, Element, Props};
use super::store::ElementStore;
use crate::error::Error;
use crate::events;

/// The kept pieces.
#[derive(Clone)]
pub struct CardElements {
    store: ElementStore,
    clock: SharedClock,
}

impl CardElements {
    pub fn new(store: ElementStore, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// A new piece: the company's own, or, by an operator, the library's.
    pub async fn create(
        &self,
        caller: &Caller,
        name: String,
        element: Element,
        library: bool,
    ) -> Result<Stored<CardElement>, Error> {
        let scope = if library { library_of(caller)? } else { caller.scope()?.clone() };
        let element = admitted(caller, element)?;
        let id = kit::id::new("cel");
        let audit = self.audit(caller, &scope, &id, "create");
        Ok(self.store.insert(&scope, id, CardElement { name, element, archived: false }, audit).await?)
    }

    /// One piece, of the company or of the library.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Stored<CardElement>, Error> {
        match self.store.get(caller.scope()?, id).await {
            Err(store::Error::NotFound(_)) => Ok(self.store.get(&Scope::platform(), id).await?),
            other => Ok(other?),
        }
    }

    /// One page, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        library: bool,
        archived: bool,
        page: &PageRequest,
    ) -> Result<Page<Stored<CardElement>>, Error> {
        let scope = if library { Scope::platform() } else { caller.scope()?.clone() };
        Ok(self.store.list(&scope, archived, page).await?)
    }

    /// Changes a piece. Published cards hold copies and stay as they are.
    pub async fn edit(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        name: Option<String>,
        element: Option<Element>,
    ) -> Result<Stored<CardElement>, Error> {
        let read = self.own(caller, id).await?;
        if read.version != version {
            return Err(Error::Stale);
        }
        if read.body.archived {
            return Err(Error::Archived);
        }
        let element = element.map(|e| admitted(caller, e)).transpose()?;
        let changed = CardElement {
            name: name.unwrap_or(read.body.name.clone()),
            element: element.unwrap_or(read.body.element.clone()),
            archived: false,
        };
        let audit = self.audit(caller, &read.scope, id, "update");
        Ok(self.store.replace(&read, changed, audit).await?)
    }

    /// Takes a piece out of use. Twice is once.
    pub async fn archive(&self, caller: &Caller, id: &str) -> Result<Stored<CardElement>, Error> {
        let read = self.own(caller, id).await?;
        if read.body.archived {
            return Ok(read);
        }
        let changed = CardElement { archived: true, ..read.body.clone() };
        let audit = self.audit(caller, &read.scope, id, "archive");
        Ok(self.store.replace(&read, changed, audit).await?)
    }

    /// A copy, of a piece of the library too, as the company's own.
    pub async fn duplicate(
        &self,
        caller: &Caller,
        id: &str,
        name: String,
    ) -> Result<Stored<CardElement>, Error> {
        let scope = caller.scope()?;
        let CardElement { name: old, element, .. } = self.get(caller, id).await?.body;
        let name = if name.is_empty() { format!("{old} (copy)") } else { name };
        let id = kit::id::new("cel");
        let audit = self.audit(caller, scope, &id, "create");
        Ok(self.store.insert(scope, id, CardElement { name, element, archived: false }, audit).await?)
    }

    /// The pieces of these ids, of the company or of the library; archived ones are left out.
    pub async fn several(&self, scope: &Scope, ids: &[&str]) -> Result<Vec<Stored<CardElement>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = self.store.several(scope, ids).await?;
        if found.len() < ids.len() {
            found.extend(self.store.several(&Scope::platform(), ids).await?);
        }
        Ok(found)
    }

    /// The company's pieces that hold one of these values in one of these fields.
    pub async fn naming(
        &self,
        scope: &Scope,
        fields: &[(String, Vec<String>)],
    ) -> Result<Vec<Stored<CardElement>>, Error> {
        Ok(self.store.naming(scope, fields).await?)
    }

    /// A piece the caller may change: a company's own, or the library's for an operator.
    async fn own(&self, caller: &Caller, id: &str) -> Result<Stored<CardElement>, Error> {
        let read = self.get(caller, id).await?;
        if read.scope == Scope::platform() {
            library_of(caller)?;
        }
        Ok(read)
    }

    fn audit(&self, caller: &Caller, scope: &Scope, id: &str, act: &str) -> Vec<Outgoing> {
        vec![events::audited(caller, scope, self.clock.now(), "card_element", id, act)]
    }
}

fn library_of(caller: &Caller) -> Result<Scope, Error> {
    if caller.role == Role::KaleAdmin {
        return Ok(Scope::platform());
    }
    Err(Fault::new(Code::Forbidden, "library_is_the_operators", "the library belongs to the operator").into())
}

/// Lets only operators bring in HTML, and only such as is harmless; a kept piece is not made of another.
pub(crate) fn admitted(caller: &Caller, mut element: Element) -> Result<Element, Error> {
    match &mut element.props {
        Props::Html { .. } if caller.role != Role::KaleAdmin => {
            Err(Fault::new(Code::Forbidden, "html_is_the_operators", "only operators may use HTML").into())
        }
        Props::Html { html } => {
            for text in html.texts.values_mut() {
                *text = ammonia::clean(text);
            }
            Ok(element)
        }
        Props::Element { .. } => {
            let message = "a kept piece is not made of another kept piece";
            Err(Fault::field("element.element", "nested_element", message).into())
        }
        _ => Ok(element),
    }
}
