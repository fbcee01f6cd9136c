//! Changes of a subscription. Each act reads first, so that its parameters depend on what is there, never on what we
//! believe we did before, and so that an act whose key Chargebee has forgotten is not done again.
//!
//! Chargebee answers a repeated key with its first answer and does not say whether the parameters were the same. So a
//! repeated answer that does not show what was asked for is taken for another act's: the key was used twice.

use kit::Timestamp;

use super::client::{Client, Form, step};
use super::{credit, map, refund, sync, wire};
use crate::providers::{Act, Cut, ExternalId, IdempotencyKey, Keep, ProviderError, Receipt, SwitchAt, Term};

pub async fn read(client: &Client, id: &ExternalId) -> Result<wire::Subscription, ProviderError> {
    let missing = || ProviderError::NotFound("subscription");
    let path = format!("/subscriptions/{}", step(id).ok_or_else(missing)?);
    match client.get::<wire::Wrapped>("subscription.read", &path, &[]).await {
        Err(ProviderError::NotFound(_)) => Err(missing()),
        other => other?.subscription.ok_or_else(missing),
    }
}

pub async fn apply(
    client: &Client,
    id: &ExternalId,
    act: &Act,
    key: &IdempotencyKey,
    at: Timestamp,
) -> Result<Receipt, ProviderError> {
    let now = read(client, id).await?;
    let over = now.deleted || matches!(now.status.as_str(), "cancelled" | "transferred");
    // A credit is the customer's: it can be taken away from one who left.
    if over && !matches!(act, Act::TakeCredit { .. }) {
        // Ended is what a cancellation is after; everything else comes too late.
        return match act {
            Act::CancelAtPeriodEnd { .. } | Act::CancelNow { .. } => Ok(done_before()),
            _ => Err(refused("subscription_ended", "the subscription has ended")),
        };
    }
    let to = To { client, now: &now, key };
    match act {
        Act::Discount { cut, term, keep } => to.discount(*cut, *term, keep).await,
        Act::RemoveDiscount { discount } => to.remove_discount(discount.as_str()).await,
        Act::Pause { .. } if now.status == "paused" => Ok(done_before()),
        Act::Pause { resumes_at, .. } => {
            let day = resumes_at.as_second().to_string();
            let form = form(&[("pause_option", "immediately"), ("resume_date", &day)]);
            to.ask("subscription.pause", "/pause", form, |s| s.status == "paused").await
        }
        Act::Resume if now.status != "paused" => Ok(done_before()),
        Act::Resume => {
            let form = form(&[("resume_option", "immediately")]);
            to.ask("subscription.resume", "/resume", form, |s| s.status != "paused").await
        }
        Act::SwitchPlan { price_id, at } => to.switch(price_id, *at).await,
        Act::ExtendTrial { .. } if now.status != "in_trial" => {
            Err(refused("not_in_trial", "there is no trial to extend"))
        }
        Act::ExtendTrial { until } if now.trial_end == Some(until.as_second()) => Ok(done_before()),
        // The end of a term must lie ahead; zero is how a trial ends now.
        Act::ExtendTrial { until } if until.as_second() <= at.as_second() => {
            let form = form(&[("trial_end", "0")]);
            to.ask("subscription.end_trial", to.update(), form, |s| s.status != "in_trial").await
        }
        Act::ExtendTrial { until } => {
            let until = until.as_second();
            let form = form(&[("term_ends_at", &until.to_string())]);
            let shown = |s: &wire::Subscription| s.trial_end == Some(until);
            to.ask("subscription.extend_trial", "/change_term_end", form, shown).await
        }
        Act::ExtendTerm { until } if now.current_term_end == Some(until.as_second()) => Ok(done_before()),
        Act::ExtendTerm { until } => {
            let until = until.as_second();
            let form = form(&[("term_ends_at", &until.to_string()), ("prorate", "false")]);
            let shown = |s: &wire::Subscription| s.current_term_end == Some(until);
            to.ask("subscription.extend_term", "/change_term_end", form, shown).await
        }
        Act::Credit { amount } => credit::give(client, &now.customer_id, *amount, key).await,
        Act::TakeCredit { credit, amount } => {
            credit::take(client, &now.customer_id, credit, *amount, key).await
        }
        Act::Refund { amount, not_before } => refund::give(client, &now, *amount, *not_before, key).await,
        Act::CancelAtPeriodEnd { .. } if is_ending(&now) => Ok(done_before()),
        Act::CancelAtPeriodEnd { feedback } => to.cancel(true, feedback.as_deref()).await,
        Act::CancelNow { feedback } => to.cancel(false, feedback.as_deref()).await,
        Act::UndoCancel if !is_ending(&now) => Ok(done_before()),
        Act::UndoCancel => {
            let path = "/remove_scheduled_cancellation";
            to.ask("subscription.undo_cancel", path, Form::new(), |s| !is_ending(s)).await
        }
    }
}

fn is_ending(s: &wire::Subscription) -> bool {
    s.status == "non_renewing" || s.cancelled_at.is_some()
}

/// One subscription as it was read, and the key of what is to be done to it.
struct To<'a> {
    client: &'a Client,
    now: &'a wire::Subscription,
    key: &'a IdempotencyKey,
}

impl To<'_> {
    /// The old product catalogue has other paths than the new one.
    fn has_plans(&self) -> bool {
        self.now.plan_id.is_some()
    }

    fn update(&self) -> &'static str {
        if self.has_plans() { "" } else { "/update_for_items" }
    }

    async fn ask(
        &self,
        operation: &'static str,
        path: &str,
        form: Form,
        shows: impl Fn(&wire::Subscription) -> bool,
    ) -> Result<Receipt, ProviderError> {
        self.ask_as(self.key, operation, path, form, shows).await
    }

    async fn ask_as(
        &self,
        key: &IdempotencyKey,
        operation: &'static str,
        path: &str,
        form: Form,
        shows: impl Fn(&wire::Subscription) -> bool,
    ) -> Result<Receipt, ProviderError> {
        let id = ExternalId::new(&self.now.id);
        let step = step(&id).ok_or(ProviderError::NotFound("subscription"))?;
        let path = format!("/subscriptions/{step}{path}");
        let (answer, receipt) = self.client.post(operation, &path, &form, key).await?;
        match answer.subscription {
            Some(s) if !receipt.replayed || shows(&s) => Ok(receipt),
            // A repeated answer to another question.
            _ if receipt.replayed => Err(ProviderError::KeyReused),
            _ => Err(ProviderError::Unreadable(anyhow::anyhow!("{operation} answered no subscription"))),
        }
    }

    async fn discount(&self, cut: Cut, term: Term, keep: &Keep) -> Result<Receipt, ProviderError> {
        let (coupon, terms) = coupon(cut, term, self.has_plans());
        let is_kept = |id: &str, ours: bool| match keep {
            Keep::All => true,
            Keep::Foreign => !ours,
            Keep::Only(ids) => ids.iter().any(|k| k.as_str() == id),
        };
        let there: Vec<&str> = self.now.coupons.iter().map(|c| c.coupon_id.as_str()).collect();
        let others = there.iter().copied().filter(|id| *id != coupon);
        let (kept, dropped): (Vec<&str>, Vec<&str>) =
            others.partition(|id| is_kept(id, id.starts_with(map::OURS)));
        let by_hand = sync::discounts(self.client, self.now).await?;
        let by_hand = by_hand.iter().filter(|d| !there.iter().any(|c| d.coupon_id.as_deref() == Some(*c)));
        let undone: Vec<&str> = by_hand.map(|d| d.id.as_str()).filter(|id| !is_kept(id, false)).collect();
        let made = Some(ExternalId::new(&coupon));
        if there.contains(&coupon.as_str()) && dropped.is_empty() && undone.is_empty() {
            return Ok(Receipt { made, ..done_before() });
        }
        self.make_coupon(&coupon, &terms).await?;
        let mut form = Form::new();
        // Where nothing goes, nothing that somebody adds meanwhile is lost.
        let added =
            if dropped.is_empty() { vec![coupon.as_str()] } else { [&kept[..], &[coupon.as_str()]].concat() };
        for (n, id) in added.into_iter().enumerate() {
            form.push((format!("coupon_ids[{n}]"), id.to_owned()));
        }
        form.push(("replace_coupon_list".into(), (!dropped.is_empty()).to_string()));
        remove_by_hand(&mut form, &undone);
        let shows = |s: &wire::Subscription| s.coupons.iter().any(|c| c.coupon_id == coupon);
        let receipt = self.ask("discount.add", self.update(), form, shows).await?;
        Ok(Receipt { made, ..receipt })
    }

    /// One coupon serves everybody who gets the same terms.
    async fn make_coupon(&self, id: &str, terms: &[(String, String)]) -> Result<(), ProviderError> {
        let path = if self.has_plans() { "/coupons" } else { "/coupons/create_for_items" };
        match self.client.post("coupon.create", path, terms, &self.key.part("coupon")).await {
            Ok((answer, receipt)) if receipt.replayed => match answer.coupon {
                Some(coupon) if coupon.id == id => Ok(()),
                _ => Err(ProviderError::KeyReused),
            },
            Ok(_) => Ok(()),
            Err(ProviderError::Refused { slug, .. }) if slug == "duplicate_entry" => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn remove_discount(&self, discount: &str) -> Result<Receipt, ProviderError> {
        if self.now.coupons.iter().any(|c| c.coupon_id == discount) {
            let form = form(&[("coupon_ids[0]", discount)]);
            let gone = |s: &wire::Subscription| s.coupons.iter().all(|c| c.coupon_id != discount);
            return self.ask("discount.remove", "/remove_coupons", form, gone).await;
        }
        let there = sync::discounts(self.client, self.now).await?;
        if !there.iter().any(|d| d.id == discount) {
            return Ok(done_before());
        }
        let mut form = Form::new();
        remove_by_hand(&mut form, &[discount]);
        let gone = |s: &wire::Subscription| s.discounts.iter().all(|d| d.id != discount);
        self.ask("discount.remove", self.update(), form, gone).await
    }

    async fn switch(&self, price_id: &str, at: SwitchAt) -> Result<Receipt, ProviderError> {
        let now = self.now;
        if map::line_count(now) != 1 {
            return Err(ProviderError::NotOffered("single_item_without_schedule"));
        }
        if now.has_scheduled_changes {
            // Ours, sent before, or somebody else's.
            let next = sync::next_price(self.client, now).await?;
            let same = at == SwitchAt::PeriodEnd && next.as_deref() == Some(price_id);
            return if same {
                Ok(done_before())
            } else {
                Err(ProviderError::NotOffered("single_item_without_schedule"))
            };
        }
        if map::price_of(now) == Some(price_id) {
            return Ok(done_before());
        }
        let plan = now.subscription_items.iter().find(|i| i.item_type == "plan");
        let quantity = plan.and_then(|i| i.quantity).or(now.plan_quantity).unwrap_or(1).to_string();
        let mut form = if self.has_plans() {
            form(&[("plan_id", price_id), ("plan_quantity", &quantity)])
        } else {
            form(&[
                ("subscription_items[item_price_id][0]", price_id),
                ("subscription_items[quantity][0]", &quantity),
                ("replace_items_list", "true"),
            ])
        };
        match at {
            SwitchAt::Now { prorate } => form.push(("prorate".into(), prorate.to_string())),
            SwitchAt::PeriodEnd if self.has_plans() => form.push(("end_of_term".into(), "true".into())),
            SwitchAt::PeriodEnd => form.push(("change_option".into(), "end_of_term".into())),
        }
        let shows = |s: &wire::Subscription| match at {
            SwitchAt::Now { .. } => map::price_of(s) == Some(price_id),
            SwitchAt::PeriodEnd => s.has_scheduled_changes,
        };
        match self.ask("subscription.switch", self.update(), form, shows).await {
            // The subscription was there a moment ago, so it is the price that is not.
            Err(ProviderError::NotFound(_)) => Err(refused("no_such_price", "there is no such price")),
            other => other,
        }
    }

    /// A site knows the reasons its company has set up, and refuses any other one: then it is left out.
    async fn cancel(&self, at_end: bool, reason: Option<&str>) -> Result<Receipt, ProviderError> {
        let path = if self.has_plans() { "/cancel" } else { "/cancel_for_items" };
        // The old path does not know the newer name in all its versions.
        let option = match (self.has_plans(), at_end) {
            (true, true) => ("end_of_term", "true"),
            (true, false) => ("end_of_term", "false"),
            (false, true) => ("cancel_option", "end_of_term"),
            (false, false) => ("cancel_option", "immediately"),
        };
        let shown = if at_end { is_ending } else { |s: &wire::Subscription| s.status == "cancelled" };
        let plain = form(&[option]);
        let Some(reason) = reason else {
            return self.ask("subscription.cancel", path, plain, shown).await;
        };
        let mut with = plain.clone();
        with.push(("cancel_reason_code".into(), reason.to_owned()));
        match self.ask("subscription.cancel", path, with, shown).await {
            Err(ProviderError::Refused { message, .. }) if message.contains("cancel_reason_code") => {
                let key = self.key.part("plain");
                self.ask_as(&key, "subscription.cancel", path, plain, shown).await
            }
            other => other,
        }
    }
}

fn remove_by_hand(form: &mut Form, ids: &[&str]) {
    for (n, id) in ids.iter().enumerate() {
        form.push((format!("discounts[operation_type][{n}]"), "remove".into()));
        form.push((format!("discounts[id][{n}]"), (*id).to_owned()));
    }
}

/// The coupon of these terms: its id says them, so the same terms are the same coupon.
fn coupon(cut: Cut, term: Term, plans: bool) -> (String, Form) {
    let (off, name, mut form) = match cut {
        Cut::BasisPoints(bp) => {
            let percent = format!("{}.{:02}", bp / 100, bp % 100);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            let pairs = [("discount_type", "percentage"), ("discount_percentage", percent)];
            (format!("{bp}bp"), format!("{percent}% off"), self::form(&pairs))
        }
        Cut::Amount(money) => {
            let (minor, currency) = (money.minor.to_string(), money.currency.as_str().to_uppercase());
            let pairs = [
                ("discount_type", "fixed_amount"),
                ("discount_amount", minor.as_str()),
                ("currency_code", currency.as_str()),
            ];
            (format!("{minor}{}", currency.to_lowercase()), format!("{money} off"), self::form(&pairs))
        }
    };
    let (long, said) = match term {
        Term::Once => ("once".to_owned(), "next invoice".to_owned()),
        Term::Forever => ("forever".to_owned(), "for ever".to_owned()),
        Term::Months(months) => (format!("{months}m"), format!("{months} months")),
    };
    let id = format!("{}{off}-{long}", map::OURS);
    form.push(("id".into(), id.clone()));
    // A site has no two coupons of one name.
    form.push(("name".into(), format!("Retention: {name}, {said}")));
    form.push(("apply_on".into(), "invoice_amount".into()));
    let duration = match term {
        Term::Once => "one_time",
        Term::Forever => "forever",
        Term::Months(_) => "limited_period",
    };
    form.push(("duration_type".into(), duration.into()));
    if let Term::Months(months) = term {
        if plans {
            form.push(("duration_month".into(), months.to_string()));
        } else {
            form.push(("period".into(), months.to_string()));
            form.push(("period_unit".into(), "month".into()));
        }
    }
    (id, form)
}

fn form(pairs: &[(&str, &str)]) -> Form {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub fn done_before() -> Receipt {
    Receipt { replayed: true, ..Receipt::default() }
}

pub fn refused(slug: &str, message: &str) -> ProviderError {
    ProviderError::Refused { slug: slug.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use kit::{Currency, Money};

    use super::*;

    #[test]
    fn the_same_terms_are_the_same_coupon() {
        let has = |form: &Form, k: &str, v: &str| form.contains(&(k.to_owned(), v.to_owned()));
        let (id, form) = coupon(Cut::BasisPoints(2_550), Term::Months(3), false);
        assert_eq!(id, "retention-2550bp-3m");
        assert!(has(&form, "discount_percentage", "25.5") && has(&form, "period", "3"), "{form:?}");
        let (_, whole) = coupon(Cut::percent(100), Term::Once, false);
        assert!(has(&whole, "discount_percentage", "100") && has(&whole, "duration_type", "one_time"));
        let five = Money::new(500, Currency::parse("EUR").unwrap());
        let (id, form) = coupon(Cut::Amount(five), Term::Forever, true);
        assert_eq!(id, "retention-500eur-forever");
        assert!(has(&form, "currency_code", "EUR"));
        assert!(has(&coupon(Cut::percent(5), Term::Months(2), true).1, "duration_month", "2"));
    }
}
