//! Setting the stage for a look: the page as it stands or as it was frozen, somebody in front of it, an offer on the table.

use std::sync::Arc;

use kit::locale::LocalText;
use kit::{Caller, Scope};
use store::Stored;

use super::model::Look;
use super::ops::TemplateViewer;
use crate::engine::Known;
use crate::error::Error;
use crate::flow_session::{FlowSession, LOOK, OnTable, Segments, State, Subject, Use};
use crate::hosted_page::rpc::framed;
use crate::questionnaire::QuestionnaireContent;
use crate::region_rule::{Applied, Whereabouts};
use crate::render::{self, Screen};
use crate::template::{Layout, Place, TemplateContent, TemplateKind};
use crate::text::Findings;
use crate::versioned::{Content, Frozen, Pin, Published};
use crate::workflow::Page;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    pub kind: Kind,
    pub id: String,
    /// 0: the working copy.
    pub version: u32,
    /// With a working copy: what it holds as working copies too.
    pub drafts: bool,
}

/// Of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Template,
    Card,
}

impl What {
    pub fn template(id: &str, version: u32, drafts: bool) -> Self {
        Self { kind: Kind::Template, id: id.to_owned(), version, drafts }
    }

    pub fn card(id: &str, version: u32, drafts: bool) -> Self {
        Self { kind: Kind::Card, id: id.to_owned(), version, drafts }
    }
}

/// Somebody in front of a page.
#[derive(Clone, Debug, Default)]
pub struct Onlooker {
    pub customer_id: String,
    pub subscription_id: String,
    pub locale: String,
    pub subject: Subject,
    pub known: Known,
    pub segments: Segments,
}

/// A page nobody was shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub read: Stored<FlowSession>,
    pub screen: Screen,
    pub html: String,
    pub size: (u32, u32),
    pub rule: Applied,
    /// Cards this customer does not see.
    pub hidden: Vec<String>,
    pub warnings: Findings,
}

impl TemplateViewer {
    /// The page as this customer would see it.
    pub(super) async fn show(
        &self,
        caller: &Caller,
        scope: &Scope,
        page: &Page,
        look: &Look,
        onlooker: Onlooker,
        mut warnings: Findings,
    ) -> Result<Shown, Error> {
        let Onlooker { customer_id, subscription_id, locale, subject, known, segments } = onlooker;
        let whole = known.regions.first().map_or("", String::as_str);
        let place = [look.region.as_str(), subject.country.as_str(), whole];
        let place = place.into_iter().find(|p| !p.is_empty()).unwrap_or_default().to_owned();
        let whereabouts = Whereabouts { billing: &place, ..Whereabouts::default() };
        let rule = self.rules.applied(scope, &whereabouts).await?;
        let known = Known { regions: rule.regions.clone(), ..known };
        let locale = if look.locale.is_empty() { locale } else { look.locale.clone() };
        let mut session =
            FlowSession::new(customer_id, subscription_id, subject, known, locale, rule.clone());
        session.state = State::Active;
        session.offer = self.on_table(caller, page, look, &session, &segments, &mut warnings).await?;
        let now = self.clock.now();
        let read = Stored {
            id: String::new(),
            scope: scope.clone(),
            version: 0,
            created_at: now,
            updated_at: now,
            body: session,
        };
        let is_frame = page.template.content.kind == TemplateKind::HostedPage;
        let frame = match look.hosted_template_id.as_deref() {
            _ if is_frame => Some(page.clone()),
            Some(id) => Some(self.page(scope, &What::template(id, 0, false), &mut warnings).await?),
            None => None,
        };
        let frame = frame.map(|f| render::screen(&framed(&read.body), Some(&f), &read.id));
        let mut screen = render::screen(&read.body, Some(page).filter(|_| !is_frame), &read.id);
        if let Some(tokens) = &self.tokens {
            let token = tokens.seal(scope, Use::Look, now + LOOK)?;
            screen.let_look(&token);
        }
        let html = render::html(&screen, frame.as_ref(), "")?;
        let seen = if is_frame { frame.as_ref() } else { Some(&screen) };
        let seen: Vec<&str> =
            seen.iter().flat_map(|s| &s.places).flat_map(|p| &p.cards).map(|c| c.id.as_str()).collect();
        let held = page.template.content.card_ids().into_iter();
        let hidden = held.filter(|id| !seen.contains(id)).map(str::to_owned).collect();
        Ok(Shown { read, screen, html, size: look.device.size(), rule, hidden, warnings })
    }

    /// The offer on the table, without its being presented to anybody.
    async fn on_table(
        &self,
        caller: &Caller,
        page: &Page,
        look: &Look,
        session: &FlowSession,
        segments: &Segments,
        warnings: &mut Findings,
    ) -> Result<Option<OnTable>, Error> {
        let named = page.cards.iter().find_map(|c| c.content.offer_id.clone());
        let Some(id) = look.offer_id.clone().or(named) else {
            if page.cards.iter().any(|c| c.content.has_offer_slot()) {
                let message = "name an offer to see the cards that show one";
                warnings.warning("no_offer_on_the_table", "setting.offer_id", message);
            }
            return Ok(None);
        };
        let Some(facts) = self.offers.look_up(caller, &[&id]).await?.remove(&id) else {
            warnings.warning("offer_missing", "setting.offer_id", format!("there is no offer {id}"));
            return Ok(None);
        };
        if !session.subscription_id.is_empty() {
            let asked = [id.clone()];
            let seen = self.billing.candidates(caller, &session.subscription_id, &asked, segments).await?;
            for (code, message) in seen.into_iter().filter(|c| !c.eligible).flat_map(|c| c.reasons) {
                let message = format!("this customer would not be offered it: {code}: {message}");
                warnings.warning("offer_withheld", "setting.offer_id", message);
            }
        }
        Ok(Some(OnTable {
            offer_id: id,
            name: facts.name,
            kind: facts.kind,
            redemption_id: String::new(),
            terms_hash: facts.terms_hash,
            text: facts.text,
            terms_text: facts.terms_text,
            url: String::new(),
        }))
    }

    /// The page of what is looked at.
    pub(super) async fn page(
        &self,
        scope: &Scope,
        what: &What,
        warnings: &mut Findings,
    ) -> Result<Page, Error> {
        match (what.kind, what.version) {
            (Kind::Template, 0) => {
                let content = self.rooms.templates.objects.working(scope, &what.id).await?;
                self.as_it_stands(scope, &what.id, content, what.drafts, warnings).await
            }
            (Kind::Template, number) => {
                let template = self.rooms.templates.objects.numbered(scope, &what.id, number).await?;
                self.rooms.workflows.page_of(scope, template, number).await
            }
            (Kind::Card, 0) => self.as_it_stands(scope, "", alone(&what.id), what.drafts, warnings).await,
            (Kind::Card, number) => {
                let card = self.rooms.cards.objects.numbered(scope, &what.id, number).await?;
                let pins = vec![pin(card.as_ref(), number)];
                let template =
                    Arc::new(Frozen::new("", alone(&what.id), pins).map_err(kit::Fault::internal)?);
                self.rooms.workflows.page_of(scope, template, 0).await
            }
        }
    }

    /// A page as publishing would freeze it today; with `drafts`, as it would if everything it holds were published first.
    /// Of what was never published, the working copy is shown, and said.
    async fn as_it_stands(
        &self,
        scope: &Scope,
        id: &str,
        content: TemplateContent,
        drafts: bool,
        warnings: &mut Findings,
    ) -> Result<Page, Error> {
        let alone = id.is_empty();
        let published = if drafts || alone {
            Vec::new()
        } else {
            self.rooms.cards.objects.newest(scope, &content.card_ids()).await?
        };
        let (mut pins, mut cards, mut questionnaires) = (Vec::new(), Vec::new(), Vec::new());
        for id in content.card_ids() {
            if let Some(card) = published.iter().find(|c| c.id == id) {
                for pin in card.frozen.pins.iter().filter(|p| p.kind == QuestionnaireContent::NOUN) {
                    questionnaires.push(self.rooms.questionnaires.version(scope, &pin.id, &pin.hash).await?);
                }
                pins.push(Pin::of(card));
                cards.push(card.frozen.clone());
                continue;
            }
            if !drafts && !alone {
                let message = format!("card {id} is not published: its working copy is shown");
                warnings.warning("card_not_published", "places", message);
            }
            let card = match self.rooms.cards.as_it_stands(scope, id, warnings).await {
                Err(e) if !alone && not_there(&e) => {
                    warnings.error("card_missing", "places", format!("there is no card {id}"));
                    continue;
                }
                card => card?,
            };
            let asked = match &card.questionnaire_id {
                Some(asked) => self.questions(scope, asked, drafts, warnings).await?,
                None => None,
            };
            let asked_pin = asked.as_ref().map(|q| pin(q.as_ref(), 0));
            let frozen = Frozen::new(id, card, asked_pin.into_iter().collect());
            let frozen = Arc::new(frozen.map_err(kit::Fault::internal)?);
            pins.push(pin(frozen.as_ref(), 0));
            cards.push(frozen);
            questionnaires.extend(asked);
        }
        let template = Arc::new(Frozen::new(id, content, pins).map_err(kit::Fault::internal)?);
        Ok(Page { pin: pin(template.as_ref(), 0), template, cards, questionnaires })
    }

    /// The questions of a card's working copy.
    async fn questions(
        &self,
        scope: &Scope,
        id: &str,
        drafts: bool,
        warnings: &mut Findings,
    ) -> Result<Option<Arc<Frozen<QuestionnaireContent>>>, Error> {
        let room = &self.rooms.questionnaires;
        let published: Option<Published<_>> = if drafts { None } else { room.newest(scope, id).await? };
        if let Some(published) = published {
            return Ok(Some(published.frozen));
        }
        match room.objects.working(scope, id).await {
            Ok(content) => {
                if !drafts {
                    let message = format!("questionnaire {id} is not published: its working copy is shown");
                    warnings.warning("questionnaire_not_published", "questionnaire_id", message);
                }
                let frozen = Frozen::new(id, content, Vec::new()).map_err(kit::Fault::internal)?;
                Ok(Some(Arc::new(frozen)))
            }
            Err(e) if not_there(&e) => {
                let message = format!("there is no questionnaire {id}");
                warnings.error("questionnaire_missing", "questionnaire_id", message);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

fn not_there(e: &Error) -> bool {
    matches!(e, Error::Store(store::Error::NotFound(_)) | Error::Archived)
}

fn pin<C: Content>(frozen: &Frozen<C>, number: u32) -> Pin {
    Pin { kind: C::NOUN.into(), id: frozen.object_id.clone(), number, hash: frozen.hash.clone() }
}

/// A page that holds one card and nothing else.
fn alone(card: &str) -> TemplateContent {
    TemplateContent {
        kind: TemplateKind::FlowPage,
        layout: Layout::Single,
        title: LocalText::default(),
        theme: Default::default(),
        places: vec![Place { name: "main".into(), card_ids: vec![card.to_owned()] }],
        variables: Vec::new(),
        locales: Vec::new(),
    }
}
