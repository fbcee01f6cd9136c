//! From test mode to live: templates, with the cards and questionnaires they pin, as copies. A copy's id follows from the
//! original's, so that doing it again changes the same copies, and a promotion that broke off is taken up by the next one.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use kit::{Caller, Fault, Mode, Scope};

use super::model::TemplateContent;
use super::ops::Templates;
use crate::card_elements::{Element, Props};
use crate::cards::CardContent;
use crate::error::Error;
use crate::questionnaire::QuestionnaireContent;
use crate::rule::Rule;
use crate::versioned::{
    Change, Content, Filter, Frozen, Objects, Pin, Published, State, View, Which, changes,
};

/// How a promotion is to go.
#[derive(Clone, Debug, Default)]
pub struct Promotion {
    /// Offers and personas by their ids in test mode: what they are called in live.
    pub replace: BTreeMap<String, String>,
    pub publish: bool,
    pub dry_run: bool,
    pub note: String,
}

/// What happens to one piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Create,
    Update,
    Nothing,
}

impl Act {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Nothing => "nothing",
        }
    }
}

/// One piece of content that was promoted, or would be.
#[derive(Clone, Debug, PartialEq)]
pub struct Promoted {
    pub kind: &'static str,
    pub from_id: String,
    pub from_number: u32,
    pub name: String,
    pub id: String,
    pub act: Act,
    /// None for a dry run.
    pub state: Option<State>,
    pub changes: Vec<Change>,
}

/// One original, and what its copy is to be.
struct Wanted<C: Content> {
    from: Pin,
    name: String,
    id: String,
    head: C::Head,
    content: C,
}

impl Templates {
    /// Copies what is published in test mode to live: questionnaires first, then the cards that ask them, then the pages.
    pub async fn promote(
        &self,
        caller: &Caller,
        ids: &[String],
        how: &Promotion,
    ) -> Result<Vec<Promoted>, Error> {
        let company = caller.scope()?.company.clone();
        let test = Scope::new(company.clone(), Mode::Test);
        let live = Caller { scope: Some(Scope::new(company, Mode::Live)), ..caller.clone() };
        let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
        let templates = self.objects.newest(&test, &asked).await?;
        if ids.iter().any(|id| !templates.iter().any(|t| t.id == *id)) {
            return Err(Fault::not_found("published template of test mode").into());
        }
        let cards = self.cards.objects.several(&test, &pinned(&templates, CardContent::NOUN)).await?;
        let mut copies = Vec::new();
        let mut asking = Vec::new();
        for pin in newest(templates.iter().flat_map(|t| &t.frozen.pins), CardContent::NOUN) {
            let frozen = self.cards.version(&test, &pin.id, &pin.hash).await?;
            let Some(card) = cards.iter().find(|c| c.id == pin.id) else { continue };
            asking.extend(frozen.pins.clone());
            let mut content = card_in(&live, &frozen, how)?;
            self.pictures_in(&live, &test, &mut content, how).await?;
            copies.push(Wanted {
                id: twin(&live, &pin.id)?,
                name: card.body.name.clone(),
                head: card.body.head.clone(),
                content,
                from: pin,
            });
        }
        let mut done = Vec::new();
        let room = &self.cards.questionnaires;
        for pin in newest(asking.iter(), QuestionnaireContent::NOUN) {
            let frozen = room.version(&test, &pin.id, &pin.hash).await?;
            let name = room.objects.one(&test, &pin.id).await?.body.name;
            let content = questionnaire_in(&frozen, how);
            let copy = Wanted { id: twin(&live, &pin.id)?, name, head: (), content, from: pin };
            let (mut promoted, view) = place(&room.objects, &live, copy, how).await?;
            if let Some(view) = view.filter(|_| how.publish) {
                let published = room.publish(&live, &promoted.id, view.version, how.note.clone()).await;
                promoted.state = Some(settled(published, view)?);
            }
            done.push(promoted);
        }
        for copy in copies {
            let (mut promoted, view) = place(&self.cards.objects, &live, copy, how).await?;
            if let Some(view) = view.filter(|_| how.publish) {
                let published = self.cards.publish(&live, &promoted.id, view.version, how.note.clone()).await;
                promoted.state = Some(settled(published, view)?);
            }
            done.push(promoted);
        }
        for id in ids {
            let Some(template) = templates.iter().find(|t| t.id == *id) else { continue };
            let copy = Wanted {
                // One of this key that people made in live is the one that is meant.
                id: match self.keyed(&live, &template.head.key).await? {
                    Some(id) => id,
                    None => twin(&live, id)?,
                },
                name: template.name.clone(),
                head: template.head.clone(),
                content: template_in(&live, &template.frozen.content)?,
                from: Pin::of(template),
            };
            let (mut promoted, view) = place(&self.objects, &live, copy, how).await?;
            if let Some(view) = view.filter(|_| how.publish) {
                let published = self.publish(&live, &promoted.id, view.version, how.note.clone()).await;
                promoted.state = Some(settled(published, view)?);
            }
            done.push(promoted);
        }
        Ok(done)
    }

    /// Pictures of the company's media: the same bytes are media of live, too. An address stays what it is, as it names the
    /// bytes.
    async fn pictures_in(
        &self,
        live: &Caller,
        test: &Scope,
        content: &mut CardContent,
        how: &Promotion,
    ) -> Result<(), Error> {
        for element in &mut content.elements {
            let Props::Image { url, media_id, picture, .. } = &mut element.props else { continue };
            let ids: Vec<&str> = media_id.as_deref().into_iter().collect();
            let found = self.cards.media.ready(test, &ids, &[url.as_str()]).await?;
            let Some(media) = found.first() else { continue };
            let id = twin(live, &media.id)?;
            let there = if how.dry_run { id } else { self.cards.media.copied(live, media, id).await? };
            if let Some(named) = media_id {
                *named = there;
                // Publishing fills them in anew; a draft of live holds what a person would have put there.
                url.clear();
                *picture = None;
            }
        }
        Ok(())
    }

    /// The template of this key.
    pub async fn keyed(&self, caller: &Caller, key: &str) -> Result<Option<String>, Error> {
        let holding = Some(("body.head.key", key.to_owned()));
        let filter = Filter { archived: true, facet: None, holding };
        let found = self.objects.list(caller, filter, &kit::PageRequest::new(1, "")).await?;
        Ok(found.items.into_iter().next().map(|t| t.id))
    }
}

/// Writes a copy into the working copy of live, or says what that would do.
async fn place<C: Content>(
    objects: &Objects<C>,
    live: &Caller,
    copy: Wanted<C>,
    how: &Promotion,
) -> Result<(Promoted, Option<View<C>>), Error> {
    let Wanted { from, name, id, head, content } = copy;
    let there = match objects.get(live, &id, Which::Working).await {
        Err(Error::Store(store::Error::NotFound(_))) => None,
        found => Some(found?),
    };
    let before = there.as_ref().and_then(|v| v.content.clone());
    let act = match &before {
        None => Act::Create,
        Some(before) if *before == content => Act::Nothing,
        Some(_) => Act::Update,
    };
    let differs = match &before {
        Some(before) => changes(before, &content).map_err(Fault::internal)?,
        None => Vec::new(),
    };
    let mut promoted = Promoted {
        kind: C::NOUN,
        from_id: from.id,
        from_number: from.number,
        name: name.clone(),
        id: id.clone(),
        act,
        state: None,
        changes: differs,
    };
    if how.dry_run {
        return Ok((promoted, None));
    }
    let view = match there {
        None => objects.create_as(live, id, name, head, content).await?,
        Some(view) if act == Act::Nothing => view,
        Some(view) => objects.edit(live, &id, view.version, |object| object.edit(content)).await?,
    };
    promoted.state = Some(view.state);
    Ok((promoted, Some(view)))
}

/// The state after publishing; that there was nothing to publish is no failure here.
fn settled<C: Content>(published: Result<View<C>, Error>, before: View<C>) -> Result<State, Error> {
    match published {
        Err(Error::NoDraft) => Ok(before.state),
        other => Ok(other?.state),
    }
}

/// The id of the copy in live: it follows from the company and the original's.
fn twin(live: &Caller, id: &str) -> Result<String, Error> {
    let company = &live.scope()?.company;
    let (prefix, _) = id.split_once('_').unwrap_or((id, ""));
    let hash = digest::digest(&digest::SHA256, format!("live {company} {id}").as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
    Ok(format!("{prefix}_{hex}"))
}

fn pinned<'t>(templates: &'t [Published<TemplateContent>], noun: &str) -> Vec<&'t str> {
    let pins = templates.iter().flat_map(|t| &t.frozen.pins);
    pins.filter(|p| p.kind == noun).map(|p| p.id.as_str()).collect()
}

/// What is pinned of a kind, once each: the newest where two pages pin different versions.
fn newest<'p>(pins: impl Iterator<Item = &'p Pin>, noun: &str) -> Vec<Pin> {
    let mut found: Vec<Pin> = Vec::new();
    for pin in pins.filter(|p| p.kind == noun) {
        match found.iter_mut().find(|f| f.id == pin.id) {
            Some(known) if known.number >= pin.number => {}
            Some(known) => *known = pin.clone(),
            None => found.push(pin.clone()),
        }
    }
    found
}

fn named(how: &Promotion, id: &str) -> String {
    how.replace.get(id).cloned().unwrap_or_else(|| id.to_owned())
}

fn rule_in(rule: Option<Rule>, how: &Promotion) -> Option<Rule> {
    rule.map(|r| r.renamed(&|id| named(how, id)))
}

fn questionnaire_in(frozen: &Frozen<QuestionnaireContent>, how: &Promotion) -> QuestionnaireContent {
    let mut content = frozen.content.clone();
    for question in &mut content.questions {
        question.show_if = rule_in(question.show_if.take(), how);
        for choice in &mut question.choices {
            choice.show_if = rule_in(choice.show_if.take(), how);
        }
    }
    content
}

/// A kept piece stays behind: live has none of its id, and the frozen card holds a copy.
fn card_in(live: &Caller, frozen: &Frozen<CardContent>, how: &Promotion) -> Result<CardContent, Error> {
    let mut content = frozen.content.clone();
    content.elements = content.elements.into_iter().map(whole).collect();
    for element in &mut content.elements {
        element.visible_if = rule_in(element.visible_if.take(), how);
    }
    content.persona_ids = content.persona_ids.iter().map(|id| named(how, id)).collect();
    content.offer_id = content.offer_id.map(|id| named(how, &id));
    content.questionnaire_id = content.questionnaire_id.map(|id| twin(live, &id)).transpose()?;
    Ok(content)
}

fn whole(element: Element) -> Element {
    let piece = element.resolved().clone();
    let both = match (element.visible_if.clone(), piece.visible_if.clone()) {
        (Some(outer), Some(inner)) if outer != inner => Some(Rule::All(vec![outer, inner])),
        (outer, inner) => outer.or(inner),
    };
    Element { key: element.key, visible_if: both, ..piece }
}

fn template_in(live: &Caller, content: &TemplateContent) -> Result<TemplateContent, Error> {
    let mut content = content.clone();
    for place in &mut content.places {
        place.card_ids = place.card_ids.iter().map(|id| twin(live, id)).collect::<Result<_, _>>()?;
    }
    Ok(content)
}
