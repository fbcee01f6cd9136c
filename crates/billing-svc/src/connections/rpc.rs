//! Connections over gRPC. No secret leaves by here: only fingerprints do.

use kit::{Caller, SecretString, Timestamp};
use proto::billing as pb;
use proto::billing::connection_service_server::ConnectionService;
use store::Stored;
use tonic::{Request, Response, Status as GrpcStatus};

use super::model::{Connection, Drift, Drifted, Status, Sync, SyncState, Watch};
use super::ops::{Connections, Keys};
use super::sync::Syncs;
use crate::error::Error;
use crate::events::money;
use crate::inbound::{Inbound, Lag};
use crate::providers::recurly::Region;
use crate::providers::{self, Abilities, Ability, Cut, ProviderKind, Term};
use crate::subscription::interval_to;

pub(crate) struct Rpc {
    pub connections: Connections,
    pub syncs: Syncs,
    pub inbound: Inbound,
}

impl Rpc {
    /// A connection and how far behind its events are.
    async fn shown(&self, stored: Stored<Connection>) -> Reply<pb::Connection> {
        let lag = self.inbound.lag(&stored.scope, stored.body.provider).await.map_err(wrong)?;
        let now = self.connections.now();
        Ok(Response::new(connection_to(stored, lag, now)))
    }
}

type Reply<T> = Result<Response<T>, GrpcStatus>;

fn wrong(e: Error) -> GrpcStatus {
    kit::error::status(&e)
}

fn kind(text: &str) -> Result<ProviderKind, GrpcStatus> {
    let missing = || kit::error::status(&kit::Fault::not_found("billing provider"));
    ProviderKind::parse(text).ok_or_else(missing)
}

#[tonic::async_trait]
impl ConnectionService for Rpc {
    async fn put_connection(&self, request: Request<pb::PutConnectionRequest>) -> Reply<pb::Connection> {
        let caller = Caller::of(&request)?;
        let pb::PutConnectionRequest { provider, secret, webhook_secret, account_name, region, site } =
            request.into_inner();
        let given = |text: String| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
        let keys = Keys {
            provider: kind(&provider)?,
            secret: given(secret).map(SecretString::from),
            webhook_secret: given(webhook_secret).map(SecretString::from),
            account_name: given(account_name),
            region: Region::parse(&region),
            site: given(site),
        };
        let stored = self.connections.put(&caller, keys).await.map_err(wrong)?;
        self.shown(stored).await
    }

    async fn list_connections(
        &self,
        request: Request<pb::ListConnectionsRequest>,
    ) -> Reply<pb::ListConnectionsResponse> {
        let caller = Caller::of(&request)?;
        let all = self.connections.list(&caller).await.map_err(wrong)?;
        let mut items = Vec::with_capacity(all.len());
        for stored in all {
            items.push(self.shown(stored).await?.into_inner());
        }
        Ok(Response::new(pb::ListConnectionsResponse { items, next_cursor: String::new() }))
    }

    async fn get_connection(&self, request: Request<pb::GetConnectionRequest>) -> Reply<pb::Connection> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let stored = self.connections.get(scope, kind(&request.get_ref().provider)?).await.map_err(wrong)?;
        self.shown(stored).await
    }

    async fn delete_connection(
        &self,
        request: Request<pb::DeleteConnectionRequest>,
    ) -> Reply<pb::Connection> {
        let caller = Caller::of(&request)?;
        let kind = kind(&request.get_ref().provider)?;
        let stored = self.connections.remove(&caller, kind).await.map_err(wrong)?;
        self.shown(stored).await
    }

    async fn test_connection(&self, request: Request<pb::TestConnectionRequest>) -> Reply<pb::Connection> {
        let caller = Caller::of(&request)?;
        let kind = kind(&request.get_ref().provider)?;
        let stored = self.connections.test(&caller, kind).await.map_err(wrong)?;
        self.shown(stored).await
    }

    async fn sync_connection(&self, request: Request<pb::SyncConnectionRequest>) -> Reply<pb::Connection> {
        let caller = Caller::of(&request)?;
        let pb::SyncConnectionRequest { provider, since } = request.into_inner();
        let since = since.as_ref().and_then(kit::time::from_proto);
        let stored = self.connections.start_sync(&caller, kind(&provider)?, since).await.map_err(wrong)?;
        self.syncs.wake();
        self.shown(stored).await
    }

    async fn get_catalog(&self, request: Request<pb::GetCatalogRequest>) -> Reply<pb::Catalog> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let catalog = self.connections.catalog(scope, kind(&request.get_ref().provider)?).await;
        Ok(Response::new(catalog_to(catalog.map_err(wrong)?)))
    }

    async fn get_capabilities(
        &self,
        request: Request<pb::GetCapabilitiesRequest>,
    ) -> Reply<pb::Capabilities> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let kind = kind(&request.get_ref().provider)?;
        let provider = self.connections.provider(scope, kind).await.map_err(wrong)?;
        Ok(Response::new(capabilities_to(provider.abilities())))
    }
}

fn connection_to(stored: Stored<Connection>, lag: Lag, now: Timestamp) -> pb::Connection {
    let Stored { id: _, version, created_at, updated_at, body, .. } = stored;
    let Connection {
        provider,
        status,
        account_name,
        account_id,
        region,
        site,
        secret,
        webhook_secrets,
        rights,
        last_sync_at,
        last_error,
        sync,
        changes_from: _,
        last_full_at,
        next_sync_at,
        watch,
        warning,
    } = body;
    let Watch { cursor: _, looked_at, due_at: _, missed, failures: _ } = watch;
    // What is being read in is as far behind as the reading is old.
    let reading = sync.as_ref().filter(|s| s.state == SyncState::Running);
    let reading = reading.map_or(0, |s| now.duration_since(s.started_at).as_secs());
    let lag_seconds = lag.seconds(now).max(u64::try_from(reading).unwrap_or(0));
    let region = Some(region).filter(|_| provider == ProviderKind::Recurly);
    pb::Connection {
        region: region.map_or("", Region::as_str).to_owned(),
        provider: provider.as_str().into(),
        status: status_to(status).into(),
        account_name,
        account_id,
        site: site.unwrap_or_default(),
        secret_fingerprint: secret.map(|s| s.fingerprint).unwrap_or_default(),
        webhook_secret_fingerprint: webhook_secrets
            .into_iter()
            .next()
            .map(|s| s.fingerprint)
            .unwrap_or_default(),
        rights,
        last_sync_at: last_sync_at.map(kit::time::to_proto),
        last_error,
        sync: sync.map(sync_to),
        lag_seconds,
        last_event_at: lag.newest_done.map(kit::time::to_proto),
        next_sync_at: next_sync_at.map(kit::time::to_proto),
        last_full_sync_at: last_full_at.map(kit::time::to_proto),
        events_missed: missed,
        events_looked_at: looked_at.map(kit::time::to_proto),
        warning,
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
    }
}

fn sync_to(sync: Sync) -> pb::SyncProgress {
    let Sync {
        state,
        customers,
        subscriptions,
        rejected,
        pages,
        started_at,
        ended_at,
        since,
        error,
        cursor: _,
        due_at: _,
        failures: _,
        full,
        compares,
        sweeping: _,
        drift,
    } = sync;
    let Drift { missing, stale, changed, vanished, examples } = drift;
    let example = |d: Drifted| {
        let Drifted { subscription, kind, fields } = d;
        pb::DriftExample { subscription, kind, fields }
    };
    let examples = examples.into_iter().map(example).collect();
    let drift = pb::Drift { missing, stale, changed, vanished, examples };
    pb::SyncProgress {
        state: state.as_str().into(),
        customers,
        subscriptions,
        rejected,
        pages,
        started_at: Some(kit::time::to_proto(started_at)),
        ended_at: ended_at.map(kit::time::to_proto),
        since: since.map(kit::time::to_proto),
        error,
        full,
        drift: compares.then_some(drift),
    }
}

fn status_to(status: Status) -> pb::ConnectionStatus {
    match status {
        Status::Disconnected => pb::ConnectionStatus::Disconnected,
        Status::Connecting => pb::ConnectionStatus::Connecting,
        Status::Connected => pb::ConnectionStatus::Connected,
        Status::Degraded => pb::ConnectionStatus::Degraded,
        Status::Revoked => pb::ConnectionStatus::Revoked,
    }
}

fn capabilities_to(abilities: &Abilities) -> pb::Capabilities {
    let Abilities {
        discount,
        pause,
        plan_switch_now,
        plan_switch_at_period_end: _,
        trial_extension,
        term_extension,
        credit,
        refund,
        cancel_at_period_end,
        cancel_now,
    } = *abilities;
    let word = |ability: Ability| ability.as_str().to_owned();
    pb::Capabilities {
        discount: word(discount),
        pause: word(pause),
        plan_switch: word(plan_switch_now),
        trial_extension: word(trial_extension),
        term_extension: word(term_extension),
        credit: word(credit),
        refund: word(refund),
        cancel_at_period_end: word(cancel_at_period_end),
        cancel_now: word(cancel_now),
    }
}

fn catalog_to(catalog: providers::Catalog) -> pb::Catalog {
    let providers::Catalog { plans: _, prices, coupons } = catalog;
    let price = |p: providers::Price| pb::CatalogPrice {
        price_id: p.id,
        plan: p.plan,
        name: p.name,
        price: p.amount.map(money),
        interval: interval_to(p.interval).into(),
        interval_count: p.interval_count,
        active: p.active,
    };
    let coupon = |c: providers::Coupon| {
        let (percent_off, amount_off) = match c.cut {
            Cut::BasisPoints(bp) => (bp.div_ceil(100), None),
            Cut::Amount(m) => (0, Some(money(m))),
        };
        let (duration, months) = match c.term {
            Term::Once => ("once", 0),
            Term::Months(m) => ("repeating", m),
            Term::Forever => ("forever", 0),
        };
        pb::CatalogCoupon {
            id: c.id,
            name: c.name,
            percent_off,
            amount_off,
            months,
            duration: duration.into(),
        }
    };
    pb::Catalog {
        prices: prices.into_iter().map(price).collect(),
        coupons: coupons.into_iter().map(coupon).collect(),
    }
}
