//! Offers between the wire and the model; `rpc.rs` would be too long with them.

use kit::locale::LocalText;
use kit::{Currency, Money, Timestamp};
use proto::billing as pb;
use proto::common;
use store::Stored;

use super::ledger::{Use, month};
use super::model::{Audience, CodePolicy, Draft, Limits, Offer, Purpose, Stacking, State};
use super::ops::Seen;
use super::terms::{Kind, Terms};
use crate::error::{Error, Result};
use crate::events::money;
use crate::providers::{Cut, Term};
use crate::subscription::{interval_from, interval_to, state_from as subscription_state, state_to_wire};

pub(super) fn draft_from(request: pb::CreateOfferRequest) -> Result<Draft> {
    let pb::CreateOfferRequest {
        name,
        kind,
        purpose,
        terms,
        audience,
        limits,
        stacking,
        code_policy,
        shared_code,
        text,
        terms_text,
        valid_from,
        valid_until,
    } = request;
    let kind = kind_from(pb::OfferKind::try_from(kind).unwrap_or_default())?;
    let terms = terms_from(terms)?;
    if terms.kind() != kind {
        return Err(Error::field(
            "terms",
            "wrong_kind",
            format!("the terms must be those of a {}", kind.as_str()),
        ));
    }
    Ok(Draft {
        name,
        purpose: purpose_from(purpose).unwrap_or(Purpose::Retain),
        terms,
        audience: audience.map(audience_from).unwrap_or_default(),
        limits: limits.map(limits_from).transpose()?.unwrap_or_default(),
        stacking: stacking_from(stacking).unwrap_or(Stacking::Refuse),
        code_policy: policy_from(code_policy).unwrap_or(CodePolicy::None),
        shared_code,
        text: text.map(local_from).unwrap_or_default(),
        terms_text: terms_text.map(local_from),
        valid_from: time_from(valid_from.as_ref()),
        valid_until: time_from(valid_until.as_ref()),
    })
}

/// The offer as a draft, with the fields changed that the request's mask names.
pub(super) fn draft_with(old: &Offer, request: pb::UpdateOfferRequest) -> Result<Draft> {
    let pb::UpdateOfferRequest {
        id: _,
        version: _,
        name,
        terms,
        audience,
        limits,
        stacking,
        code_policy,
        shared_code,
        text,
        terms_text,
        valid_from,
        valid_until,
        update_mask,
    } = request;
    let paths = update_mask.map(|m| m.paths).unwrap_or_default();
    let named = |field: &str| paths.iter().any(|p| p == field || p.starts_with(&format!("{field}.")));
    let given = |field: &str, there: bool| there || named(field);
    let new_terms = if given("terms", terms.is_some()) { Some(terms_from(terms)?) } else { None };
    // Words made from the terms follow new terms; words of the company's own stay until it changes them.
    let own_words = old.terms_text != LocalText::of("en", &old.terms.in_words());
    let words = if given("terms_text", terms_text.is_some()) {
        terms_text.map(local_from)
    } else {
        own_words.then(|| old.terms_text.clone())
    };
    Ok(Draft {
        name: name.unwrap_or_else(|| old.name.clone()),
        purpose: old.purpose,
        terms: new_terms.unwrap_or_else(|| old.terms.clone()),
        audience: if given("audience", audience.is_some()) {
            audience.map(audience_from).unwrap_or_default()
        } else {
            old.audience.clone()
        },
        limits: if given("limits", limits.is_some()) {
            limits.map(limits_from).transpose()?.unwrap_or_default()
        } else {
            old.limits.clone()
        },
        stacking: stacking.and_then(stacking_from).unwrap_or(old.stacking),
        code_policy: code_policy.and_then(policy_from).unwrap_or(old.code_policy),
        shared_code: shared_code.unwrap_or_else(|| old.shared_code.clone()),
        text: if given("text", text.is_some()) {
            text.map(local_from).unwrap_or_default()
        } else {
            old.text.clone()
        },
        terms_text: words,
        valid_from: if given("valid_from", valid_from.is_some()) {
            time_from(valid_from.as_ref())
        } else {
            old.valid_from
        },
        valid_until: if given("valid_until", valid_until.is_some()) {
            time_from(valid_until.as_ref())
        } else {
            old.valid_until
        },
    })
}

pub(super) fn offer_to(stored: Stored<Offer>, used: Option<&Use>, now: Timestamp) -> pb::Offer {
    let Stored { id, version, created_at, updated_at, body, .. } = stored;
    let Offer {
        name,
        kind,
        purpose,
        state,
        number,
        terms,
        audience,
        limits,
        stacking,
        code_policy,
        shared_code,
        text,
        terms_text,
        terms_hash,
        frozen,
        valid_from,
        valid_until,
    } = body;
    let spent = |budget: Money| {
        let minor = used.and_then(|u| u.spent.get(&month(now))).copied().unwrap_or(0);
        money(Money::new(minor, budget.currency))
    };
    let claimed = used.map_or(0, |u| u.claimed);
    let r#use = pb::OfferUse {
        claimed: u64::try_from(claimed).unwrap_or(0),
        spent_this_month: limits.monthly_budget.map(spent),
    };
    pb::Offer {
        id,
        name,
        kind: kind_to(kind).into(),
        purpose: purpose_to(purpose).into(),
        state: state_to(state).into(),
        number,
        terms: Some(terms_to(terms)),
        audience: Some(audience_to(audience)),
        limits: Some(limits_to(limits)),
        stacking: stacking_to(stacking).into(),
        code_policy: policy_to(code_policy).into(),
        shared_code,
        text: Some(local_to(text)),
        terms_text: Some(local_to(terms_text)),
        terms_hash,
        frozen,
        valid_from: valid_from.map(kit::time::to_proto),
        valid_until: valid_until.map(kit::time::to_proto),
        r#use: Some(r#use),
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
    }
}

pub(super) fn eligibility_to(seen: Seen) -> pb::OfferEligibility {
    let Seen { id, offer, reasons } = seen;
    let offer = match offer {
        None => pb::EligibleOffer { id, ..pb::EligibleOffer::default() },
        Some(stored) => pb::EligibleOffer {
            id,
            version: stored.body.number,
            name: stored.body.name,
            kind: kind_to(stored.body.kind).into(),
            terms: Some(terms_to(stored.body.terms)),
            terms_hash: stored.body.terms_hash,
            text: Some(local_to(stored.body.text)),
            terms_text: Some(local_to(stored.body.terms_text)),
        },
    };
    let reason = |r: super::eligibility::Reason| pb::Reason { code: r.code.into(), message: r.message };
    pb::OfferEligibility {
        offer: Some(offer),
        eligible: reasons.is_empty(),
        reasons: reasons.into_iter().map(reason).collect(),
    }
}

fn terms_from(terms: Option<pb::OfferTerms>) -> Result<Terms> {
    let missing = || Error::field("terms", "required", "say what is given");
    match terms.and_then(|t| t.kind).ok_or_else(missing)? {
        pb::offer_terms::Kind::Discount(pb::DiscountTerms { percent, amount, duration, months }) => {
            let cut = match (percent, amount) {
                (0, Some(amount)) => Cut::Amount(money_from("terms.discount.amount", amount)?),
                (0, None) => {
                    return Err(Error::field("terms.discount", "required", "give a percent or an amount"));
                }
                (percent, None) => Cut::percent(percent),
                (_, Some(_)) => {
                    return Err(Error::field(
                        "terms.discount",
                        "ambiguous",
                        "give a percent or an amount, not both",
                    ));
                }
            };
            let term = match pb::DiscountDuration::try_from(duration) {
                Ok(pb::DiscountDuration::Once) => Term::Once,
                Ok(pb::DiscountDuration::Repeating) => Term::Months(months),
                Ok(pb::DiscountDuration::Forever) => Term::Forever,
                Ok(pb::DiscountDuration::Unspecified) | Err(_) => {
                    return Err(Error::field("terms.discount.duration", "required", "say how long it runs"));
                }
            };
            Ok(Terms::Discount { cut, term })
        }
        pb::offer_terms::Kind::Pause(pb::PauseTerms { months }) => Ok(Terms::Pause { months }),
        pb::offer_terms::Kind::PlanSwitch(pb::PlanSwitchTerms {
            plan,
            price_id,
            price,
            interval,
            interval_count,
        }) => {
            let path = "terms.plan_switch.price";
            let price = price.ok_or_else(|| Error::field(path, "required", "say what the plan costs"))?;
            let interval = interval_from(interval).ok_or_else(|| {
                Error::field("terms.plan_switch.interval", "required", "say how often it is charged")
            })?;
            let interval_count = interval_count.max(1);
            Ok(Terms::PlanSwitch {
                plan,
                price_id,
                price: money_from(path, price)?,
                interval,
                interval_count,
            })
        }
        pb::offer_terms::Kind::TrialExtension(pb::ExtensionTerms { days }) => {
            Ok(Terms::TrialExtension { days })
        }
        pb::offer_terms::Kind::TermExtension(pb::ExtensionTerms { days }) => {
            Ok(Terms::TermExtension { days })
        }
        pb::offer_terms::Kind::Credit(pb::CreditTerms { amount }) => {
            let path = "terms.credit.amount";
            let amount = amount.ok_or_else(|| Error::field(path, "required", "say how much it is"))?;
            Ok(Terms::Credit { amount: money_from(path, amount)? })
        }
        pb::offer_terms::Kind::Refund(pb::RefundTerms { percent, amount, within_days }) => {
            let cut = match (percent, amount) {
                (0, Some(amount)) => Cut::Amount(money_from("terms.refund.amount", amount)?),
                (0, None) => {
                    return Err(Error::field("terms.refund", "required", "give a percent or an amount"));
                }
                (percent, None) => Cut::percent(percent),
                (_, Some(_)) => {
                    let text = "give a percent or an amount, not both";
                    return Err(Error::field("terms.refund", "ambiguous", text));
                }
            };
            Ok(Terms::Refund { cut, within_days })
        }
        pb::offer_terms::Kind::Contact(pb::ContactTerms { url, within_hours }) => {
            Ok(Terms::Contact { url, within_hours })
        }
        pb::offer_terms::Kind::Redirect(pb::RedirectTerms { url }) => Ok(Terms::Redirect { url }),
        pb::offer_terms::Kind::Custom(pb::CustomTerms { reference, cost }) => {
            let cost = cost.map(|cost| money_from("terms.custom.cost", cost)).transpose()?;
            Ok(Terms::Custom { reference, cost })
        }
    }
}

fn terms_to(terms: Terms) -> pb::OfferTerms {
    let kind = match terms {
        Terms::Discount { cut, term } => {
            let (percent, amount) = match cut {
                Cut::BasisPoints(bp) => (bp / 100, None),
                Cut::Amount(m) => (0, Some(money(m))),
            };
            let (duration, months) = match term {
                Term::Once => (pb::DiscountDuration::Once, 0),
                Term::Months(m) => (pb::DiscountDuration::Repeating, m),
                Term::Forever => (pb::DiscountDuration::Forever, 0),
            };
            let duration = duration.into();
            pb::offer_terms::Kind::Discount(pb::DiscountTerms { percent, amount, duration, months })
        }
        Terms::Pause { months } => pb::offer_terms::Kind::Pause(pb::PauseTerms { months }),
        Terms::PlanSwitch { plan, price_id, price, interval, interval_count } => {
            pb::offer_terms::Kind::PlanSwitch(pb::PlanSwitchTerms {
                plan,
                price_id,
                price: Some(money(price)),
                interval: interval_to(interval).into(),
                interval_count,
            })
        }
        Terms::TrialExtension { days } => pb::offer_terms::Kind::TrialExtension(pb::ExtensionTerms { days }),
        Terms::TermExtension { days } => pb::offer_terms::Kind::TermExtension(pb::ExtensionTerms { days }),
        Terms::Credit { amount } => {
            pb::offer_terms::Kind::Credit(pb::CreditTerms { amount: Some(money(amount)) })
        }
        Terms::Refund { cut, within_days } => {
            let (percent, amount) = match cut {
                Cut::BasisPoints(bp) => (bp / 100, None),
                Cut::Amount(m) => (0, Some(money(m))),
            };
            pb::offer_terms::Kind::Refund(pb::RefundTerms { percent, amount, within_days })
        }
        Terms::Contact { url, within_hours } => {
            pb::offer_terms::Kind::Contact(pb::ContactTerms { url, within_hours })
        }
        Terms::Redirect { url } => pb::offer_terms::Kind::Redirect(pb::RedirectTerms { url }),
        Terms::Custom { reference, cost } => {
            pb::offer_terms::Kind::Custom(pb::CustomTerms { reference, cost: cost.map(money) })
        }
    };
    pb::OfferTerms { kind: Some(kind) }
}

fn audience_from(audience: pb::OfferAudience) -> Audience {
    let pb::OfferAudience { intervals, plans, states, min_tenure_days, persona_ids } = audience;
    Audience {
        intervals: intervals.into_iter().filter_map(interval_from).collect(),
        plans,
        states: states.into_iter().filter_map(subscription_state).collect(),
        min_tenure_days,
        persona_ids,
    }
}

fn audience_to(audience: Audience) -> pb::OfferAudience {
    let Audience { intervals, plans, states, min_tenure_days, persona_ids } = audience;
    pb::OfferAudience {
        intervals: intervals.into_iter().map(|i| interval_to(i).into()).collect(),
        plans,
        states: states.into_iter().map(state_to_wire).collect(),
        min_tenure_days,
        persona_ids,
    }
}

fn limits_from(limits: pb::OfferLimits) -> Result<Limits> {
    let pb::OfferLimits { total, per_customer, cooldown_days, monthly_budget } = limits;
    let monthly_budget = monthly_budget.map(|m| money_from("limits.monthly_budget", m)).transpose()?;
    Ok(Limits { total, per_customer, cooldown_days, monthly_budget })
}

fn limits_to(limits: Limits) -> pb::OfferLimits {
    let Limits { total, per_customer, cooldown_days, monthly_budget } = limits;
    pb::OfferLimits { total, per_customer, cooldown_days, monthly_budget: monthly_budget.map(money) }
}

fn money_from(path: &str, m: common::Money) -> Result<Money> {
    let common::Money { minor, currency } = m;
    let unknown =
        || Error::field(&format!("{path}.currency"), "unknown_currency", "must be an ISO 4217 currency");
    Ok(Money::new(minor, Currency::parse(&currency).ok_or_else(unknown)?))
}

fn local_from(text: common::LocalText) -> LocalText {
    let common::LocalText { default_locale, texts } = text;
    LocalText { default_locale, texts: texts.into_iter().collect() }
}

pub(crate) fn local_to(text: LocalText) -> common::LocalText {
    let LocalText { default_locale, texts } = text;
    common::LocalText { default_locale, texts: texts.into_iter().collect() }
}

fn time_from(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(kit::time::from_proto)
}

/// A kind from the wire.
pub(super) fn kind_from(kind: pb::OfferKind) -> Result<Kind> {
    match kind {
        pb::OfferKind::Discount => Ok(Kind::Discount),
        pb::OfferKind::Pause => Ok(Kind::Pause),
        pb::OfferKind::PlanSwitch => Ok(Kind::PlanSwitch),
        pb::OfferKind::TrialExtension => Ok(Kind::TrialExtension),
        pb::OfferKind::TermExtension => Ok(Kind::TermExtension),
        pb::OfferKind::Credit => Ok(Kind::Credit),
        pb::OfferKind::Refund => Ok(Kind::Refund),
        pb::OfferKind::Contact => Ok(Kind::Contact),
        pb::OfferKind::Redirect => Ok(Kind::Redirect),
        pb::OfferKind::Custom => Ok(Kind::Custom),
        pb::OfferKind::Unspecified => Err(Error::field("kind", "required", "say what kind of offer it is")),
    }
}

fn kind_to(kind: Kind) -> pb::OfferKind {
    match kind {
        Kind::Discount => pb::OfferKind::Discount,
        Kind::Pause => pb::OfferKind::Pause,
        Kind::PlanSwitch => pb::OfferKind::PlanSwitch,
        Kind::TrialExtension => pb::OfferKind::TrialExtension,
        Kind::TermExtension => pb::OfferKind::TermExtension,
        Kind::Credit => pb::OfferKind::Credit,
        Kind::Refund => pb::OfferKind::Refund,
        Kind::Contact => pb::OfferKind::Contact,
        Kind::Redirect => pb::OfferKind::Redirect,
        Kind::Custom => pb::OfferKind::Custom,
    }
}

fn purpose_to(purpose: Purpose) -> pb::OfferPurpose {
    match purpose {
        Purpose::Retain => pb::OfferPurpose::Retain,
        Purpose::WinBack => pb::OfferPurpose::WinBack,
        Purpose::Convert => pb::OfferPurpose::Convert,
        Purpose::Recover => pb::OfferPurpose::Recover,
    }
}

fn purpose_from(purpose: i32) -> Option<Purpose> {
    let all = [Purpose::Retain, Purpose::WinBack, Purpose::Convert, Purpose::Recover];
    all.into_iter().find(|p| i32::from(purpose_to(*p)) == purpose)
}

fn state_to(state: State) -> pb::OfferState {
    match state {
        State::Draft => pb::OfferState::Draft,
        State::Active => pb::OfferState::Active,
        State::Paused => pb::OfferState::Paused,
        State::Archived => pb::OfferState::Archived,
    }
}

pub(super) fn state_from(state: i32) -> Option<State> {
    let all = [State::Draft, State::Active, State::Paused, State::Archived];
    all.into_iter().find(|s| i32::from(state_to(*s)) == state)
}

fn stacking_to(stacking: Stacking) -> pb::Stacking {
    match stacking {
        Stacking::Merge => pb::Stacking::Merge,
        Stacking::Replace => pb::Stacking::Replace,
        Stacking::Refuse => pb::Stacking::Refuse,
    }
}

fn stacking_from(stacking: i32) -> Option<Stacking> {
    let all = [Stacking::Merge, Stacking::Replace, Stacking::Refuse];
    all.into_iter().find(|s| i32::from(stacking_to(*s)) == stacking)
}

fn policy_to(policy: CodePolicy) -> pb::CodePolicy {
    match policy {
        CodePolicy::None => pb::CodePolicy::None,
        CodePolicy::Shared => pb::CodePolicy::Shared,
        CodePolicy::SingleUse => pb::CodePolicy::SingleUse,
    }
}

fn policy_from(policy: i32) -> Option<CodePolicy> {
    let all = [CodePolicy::None, CodePolicy::Shared, CodePolicy::SingleUse];
    all.into_iter().find(|p| i32::from(policy_to(*p)) == policy)
}
