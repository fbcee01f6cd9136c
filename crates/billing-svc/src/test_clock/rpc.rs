//! The clock of test mode over gRPC.

use std::time::Duration;

use jiff::SignedDuration;
use kit::Caller;
use proto::billing as pb;
use proto::billing::test_clock_service_server::TestClockService;
use tonic::{Request, Response, Status};

use super::model::TestClock;
use super::ops::{Shown, TestClocks, To};
use crate::error::Error;

pub(crate) struct Rpc(pub TestClocks);

type Reply<T> = Result<Response<T>, Status>;

/// How long an answer waits for the clock to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

#[tonic::async_trait]
impl TestClockService for Rpc {
    async fn get_test_clock(&self, request: Request<pb::GetTestClockRequest>) -> Reply<pb::TestClock> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|e| kit::error::status(&e))?;
        let shown = self.0.get(scope).await.map_err(|e| kit::error::status(&e))?;
        Ok(Response::new(to_proto(shown)))
    }

    async fn advance_test_clock(
        &self,
        request: Request<pb::AdvanceTestClockRequest>,
    ) -> Reply<pb::TestClock> {
        let caller = Caller::of(&request)?;
        let to = to(request.into_inner()).map_err(|e| kit::error::status(&e))?;
        let moved = async {
            self.0.advance(&caller, to).await?;
            self.0.arrived(caller.scope()?, PATIENCE).await
        };
        let shown = moved.await.map_err(|e: Error| kit::error::status(&e))?;
        Ok(Response::new(to_proto(shown)))
    }
}

fn to(request: pb::AdvanceTestClockRequest) -> Result<To, Error> {
    let pb::AdvanceTestClockRequest { seconds, until } = request;
    let wrong = |field, message| Err(Error::field(field, "clock.one_of", message));
    match until {
        Some(_) if seconds != 0 => wrong("until", "is one too many beside seconds"),
        Some(at) => match kit::time::from_proto(&at) {
            Some(at) => Ok(To::Until(at)),
            None => wrong("until", "is no time"),
        },
        None if seconds == 0 => wrong("seconds", "or until must be given"),
        None => Ok(To::Later(SignedDuration::from_secs(seconds))),
    }
}

fn to_proto(shown: Shown) -> pb::TestClock {
    let Shown { clock: TestClock { ahead_ms, moving_to, told: _ }, now } = shown;
    let state = match moving_to {
        Some(_) => pb::TestClockState::Moving,
        None => pb::TestClockState::Ready,
    };
    pb::TestClock {
        now: Some(kit::time::to_proto(now)),
        state: state.into(),
        ahead_seconds: ahead_ms / 1_000,
        moving_to: moving_to.map(kit::time::to_proto),
    }
}
