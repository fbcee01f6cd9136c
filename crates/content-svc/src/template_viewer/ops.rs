//! What can be done at the viewer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{Caller, Code, Fault, Page as ListPage, PageRequest, SharedClock};
use store::Stored;

use super::model::{DAYS, Look, ShareLink, Standing, hash};
use super::stage::{Onlooker, Shown, What};
use super::store::LinkStore;
use crate::Rooms;
use crate::engine::{Answer, Known};
use crate::error::Error;
use crate::events;
use crate::flow_session::{Billing, Tokens};
use crate::offers::Offers;
use crate::region_rule::RegionRules;
use crate::text::Findings;
use crate::workflow::Page;
use crate::workflow_viewer::Sample;

/// What billing says of every subscription and no customer is told apart by.
const IMPERSONAL: [&str; 6] = ["country", "plan", "subscription_state", "period_end", "currency", "price"];

/// The looks at pages.
#[derive(Clone)]
pub struct TemplateViewer {
    pub(super) rooms: Rooms,
    pub(super) billing: Arc<dyn Billing>,
    pub(super) offers: Arc<dyn Offers>,
    pub(super) rules: RegionRules,
    links: LinkStore,
    pub(super) clock: SharedClock,
    /// Seals the way to pictures that are not public yet.
    pub(super) tokens: Option<Tokens>,
}

/// What a link leads to.
pub enum Shared {
    Page(Box<Shown>),
    /// There is no such link.
    Unknown,
    /// It was revoked, or its time is over.
    Over,
}

impl TemplateViewer {
    pub fn new(
        rooms: Rooms,
        billing: Arc<dyn Billing>,
        offers: Arc<dyn Offers>,
        rules: RegionRules,
        links: LinkStore,
        clock: SharedClock,
    ) -> Self {
        Self { rooms, billing, offers, rules, links, clock, tokens: None }
    }

    /// The same, showing pictures that are not public yet, too.
    #[must_use]
    pub fn with_pictures(self, tokens: Tokens) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    /// The page as somebody would see it. `read` makes answers of what was sent, by the questions the page asks.
    pub async fn preview(
        &self,
        caller: &Caller,
        what: &What,
        look: &Look,
        who: Option<Sample>,
        read: impl FnOnce(Option<&Page>) -> Result<Vec<(String, Answer)>, Fault> + Send,
    ) -> Result<Shown, Error> {
        let scope = caller.scope()?;
        let mut warnings = Findings::default();
        let page = self.page(scope, what, &mut warnings).await?;
        let mut onlooker = self.onlooker(caller, who).await?;
        hear(&mut onlooker.known, &page, read(Some(&page))?)?;
        Box::pin(self.show(caller, scope, &page, look, onlooker, warnings)).await
    }

    async fn onlooker(&self, caller: &Caller, who: Option<Sample>) -> Result<Onlooker, Error> {
        let (customer, subscription) = match who {
            None => return Ok(Onlooker::default()),
            Some(Sample::MadeUp { known, .. }) => {
                return Ok(Onlooker { known: *known, ..Onlooker::default() });
            }
            Some(Sample::Real { customer, subscription }) => (customer, subscription),
        };
        let (visitor, segments) = tokio::join!(
            self.billing.visitor(caller, &customer, &subscription),
            self.billing.segments(caller, &customer),
        );
        let (mut visitor, segments) = (visitor?, segments?);
        if !caller.sees_personal_data() {
            visitor.facts.retain(|key, _| IMPERSONAL.contains(&key.as_str()));
        }
        let known = Known::of(&visitor.subject.country, visitor.facts, &segments);
        Ok(Onlooker {
            customer_id: visitor.customer_id,
            subscription_id: visitor.subscription_id,
            locale: visitor.locale,
            subject: visitor.subject,
            known,
            segments,
        })
    }

    /// A link to a look at a template; the token is told here and never again.
    pub async fn share(
        &self,
        caller: &Caller,
        what: &What,
        look: Look,
        who: Option<Sample>,
        days: u32,
        read: impl FnOnce(Option<&Page>) -> Result<Vec<(String, Answer)>, Fault> + Send,
    ) -> Result<(Stored<ShareLink>, String), Error> {
        let scope = caller.scope()?;
        let mut known = match who {
            None => Known::default(),
            Some(Sample::MadeUp { known, .. }) => *known,
            Some(Sample::Real { .. }) => {
                let message =
                    "a link shows somebody made up: what is known of customers stays in the company";
                return Err(Fault::new(Code::Refused, "only_samples_are_shared", message).into());
            }
        };
        // What cannot be shown is refused now, and not when the reader opens the link.
        let page = self.page(scope, what, &mut Findings::default()).await?;
        hear(&mut known, &page, read(Some(&page))?)?;
        let mut token = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut token)
            .map_err(|_| Fault::internal(anyhow::anyhow!("the system gives no random bytes")))?;
        let token = URL_SAFE_NO_PAD.encode(token);
        let now = self.clock.now();
        let days = if days == 0 { DAYS } else { days };
        let link = ShareLink {
            token_hash: hash(&token),
            template_id: what.id.clone(),
            version: what.version,
            drafts: what.drafts,
            look,
            known,
            author: format!("{}:{}", caller.actor.kind, caller.actor.id),
            expires_at: kit::time::add_days(now, i64::from(days)),
            revoked_at: None,
        };
        let id = kit::id::new("shl");
        let audit = events::audited(caller, scope, now, "share_link", &id, "create");
        Ok((self.links.insert(scope, id, link, vec![audit]).await?, token))
    }

    /// Links, newest first.
    pub async fn links(
        &self,
        caller: &Caller,
        template: Option<&str>,
        page: &PageRequest,
    ) -> Result<ListPage<Stored<ShareLink>>, Error> {
        Ok(self.links.list(caller.scope()?, template, page).await?)
    }

    /// Ends a link at once. Twice is once.
    pub async fn revoke(&self, caller: &Caller, id: &str) -> Result<Stored<ShareLink>, Error> {
        let (scope, now) = (caller.scope()?, self.clock.now());
        let audit = events::audited(caller, scope, now, "share_link", id, "revoke");
        Ok(self.links.revoke(scope, id, now, vec![audit]).await?)
    }

    /// What a link leads to, for whoever holds it.
    pub async fn shared(&self, token: &str) -> Result<Shared, Error> {
        let Some(link) = self.links.by_token(&hash(token)).await? else { return Ok(Shared::Unknown) };
        let Stored { scope, body: link, .. } = link;
        if link.standing(self.clock.now()) == Standing::Over {
            return Ok(Shared::Over);
        }
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let what = What::template(&link.template_id, link.version, link.drafts);
        let mut warnings = Findings::default();
        let page = match self.page(&scope, &what, &mut warnings).await {
            // Archived since.
            Err(Error::Archived | Error::Store(store::Error::NotFound(_))) => return Ok(Shared::Over),
            page => page?,
        };
        let onlooker = Onlooker { known: link.known, ..Onlooker::default() };
        let shown = Box::pin(self.show(&caller, &scope, &page, &link.look, onlooker, warnings)).await?;
        Ok(Shared::Page(Box::new(shown)))
    }
}

/// Takes answers as a visit does; none is required of somebody who only looks.
fn hear(known: &mut Known, page: &Page, given: Vec<(String, Answer)>) -> Result<(), Error> {
    let asked: Vec<_> = page.questionnaires.iter().map(|q| &q.content).collect();
    known.hear(given, &asked, &[]).map_err(|f| Error::Answers(f.into_vec()))
}
