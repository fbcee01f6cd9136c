//! The gRPC face of reports.

use kit::error::status;
use kit::time::{from_proto, to_proto};
use proto::analytics as pb;
use tonic::{Request, Response, Status};

use super::model::{Amounts, MARKS, Overview, Query};
use super::ops::Overviews;
use crate::error::Error;
use crate::stats::Rate;

pub struct Rpc {
    pub overviews: Overviews,
}

#[tonic::async_trait]
impl pb::analytics_service_server::AnalyticsService for Rpc {
    async fn get_overview(
        &self,
        request: Request<pb::GetOverviewRequest>,
    ) -> Result<Response<pb::Overview>, Status> {
        let caller = kit::Caller::of(&request)?;
        let got = async {
            let query = self.query(request.into_inner())?;
            let overview = self.overviews.overview(caller.scope()?, &query).await?;
            Ok((query, overview))
        };
        let (query, overview) = got.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(to_message(&query, overview)))
    }
}

impl Rpc {
    fn query(&self, request: pb::GetOverviewRequest) -> Result<Query, Error> {
        let pb::GetOverviewRequest { from, to, include_holdout, persona_id, reason_category, offer_id } =
            request;
        // Up to and with this moment.
        let end = || kit::Timestamp::from_millisecond(self.overviews.now().as_millisecond() + 1);
        let to = to.as_ref().and_then(from_proto).or_else(|| end().ok()).unwrap_or(kit::Timestamp::MAX);
        let from = from.as_ref().and_then(from_proto).unwrap_or_else(|| Query::default_from(to));
        if from >= to {
            return Err(Error::field("from", "order", "must be before `to`"));
        }
        let given = |text: String| Some(text).filter(|t| !t.is_empty());
        Ok(Query {
            from,
            to,
            include_holdout,
            persona: given(persona_id),
            reason_category: given(reason_category),
            offer: given(offer_id),
        })
    }
}

fn to_message(query: &Query, overview: Overview) -> pb::Overview {
    let Overview {
        sessions,
        saved,
        canceled,
        abandoned,
        manual,
        offer_rate,
        acceptance,
        offers,
        accepted_save,
        deflection,
        durable,
        at_stake,
        lost,
        kept,
        reasons,
    } = overview;
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
    let share = |(category, (count, amounts)): (String, (u64, Amounts))| pb::ReasonShare {
        category,
        share: Some(rate(Rate::new(count, sessions))),
        mrr: money(amounts),
    };
    let offers = offers.into_iter().map(|(offer_id, (name, kind, r))| pb::OfferAcceptance {
        offer_id,
        name,
        kind,
        acceptance_rate: Some(rate(r)),
    });
    let durable = MARKS.into_iter().zip(durable).map(|(days, r)| pb::DurableRate {
        days: u32::try_from(days).unwrap_or_default(),
        rate: Some(rate(r)),
    });
    pb::Overview {
        from: Some(to_proto(query.from)),
        to: Some(to_proto(query.to)),
        sessions,
        saved,
        canceled,
        abandoned,
        manual,
        offer_rate: Some(rate(offer_rate)),
        acceptance_rate: Some(rate(acceptance)),
        offers: offers.collect(),
        accepted_save_rate: Some(rate(accepted_save)),
        deflection_rate: Some(rate(deflection)),
        durable_save_rates: durable.collect(),
        mrr_at_stake: money(at_stake),
        mrr_lost: money(lost),
        mrr_saved: money(kept),
        reasons: reasons.into_iter().map(share).collect(),
    }
}

fn rate(rate: Rate) -> pb::Rate {
    pb::Rate { count: rate.count, of: rate.of, percent: rate.percent() }
}

fn money(amounts: Amounts) -> Vec<proto::common::Money> {
    let each = |(currency, minor): (kit::Currency, i64)| proto::common::Money {
        minor,
        currency: currency.as_str().to_owned(),
    };
    amounts.into_iter().map(each).collect()
}
