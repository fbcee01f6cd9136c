//! The versions of the API and their lives: current, then deprecated, then gone. An answer of a version that ends says so
//! in `Deprecation` (RFC 9745) and `Sunset` (RFC 8594).

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use serde::Serialize;

/// When a version is no longer the one to build on.
pub const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
/// When it stops to answer.
pub const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// One version: the first part of its paths, and its days.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub name: &'static str,
    pub since: Date,
    pub deprecated: Option<Date>,
    pub sunset: Option<Date>,
}

/// Every version that answers.
pub const VERSIONS: &[Version] =
    &[Version { name: "v1", since: date(2026, 11, 23), deprecated: None, sunset: None }];

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Current,
    Deprecated,
    Retired,
}

/// A version as `GET /v1/versions` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub version: &'static str,
    pub state: State,
    pub since: Date,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset: Option<Date>,
}

impl Version {
    pub fn state(&self, now: Timestamp) -> State {
        let today = now.to_zoned(TimeZone::UTC).date();
        if self.sunset.is_some_and(|day| day <= today) {
            State::Retired
        } else if self.deprecated.is_some_and(|day| day <= today) {
            State::Deprecated
        } else {
            State::Current
        }
    }

    pub fn told(&self, now: Timestamp) -> Told {
        let Self { name, since, deprecated, sunset } = *self;
        Told { version: name, state: self.state(now), since, deprecated, sunset }
    }

    /// Says on an answer when the version ends. A date to come is said, too: the sooner the better.
    pub fn mark(&self, headers: &mut HeaderMap) {
        let at = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
        if let Some(day) = self.deprecated.and_then(at)
            && let Ok(value) = HeaderValue::from_str(&format!("@{}", day.as_second()))
        {
            headers.entry(DEPRECATION).or_insert(value);
        }
        let sunset = self.sunset.and_then(at);
        let sunset = sunset.and_then(|day| DateTimePrinter::new().timestamp_to_rfc9110_string(&day).ok());
        if let Some(value) = sunset.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.entry(SUNSET).or_insert(value);
        }
    }
}

/// The version a path belongs to.
pub fn of(versions: &'static [Version], path: &str) -> Option<&'static Version> {
    let first = path.strip_prefix('/')?.split('/').next()?;
    versions.iter().find(|v| v.name == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version {
        name: "v0",
        since: date(2025, 1, 1),
        deprecated: Some(date(2026, 1, 1)),
        sunset: Some(date(2026, 11, 11)),
    };

    fn on(day: Date) -> Timestamp {
        day.to_zoned(TimeZone::UTC).unwrap().timestamp()
    }

    #[test]
    fn a_version_goes_through_its_states_by_its_dates() {
        assert_eq!(OLD.state(on(date(2025, 12, 31))), State::Current);
        assert_eq!(OLD.state(on(date(2026, 1, 1))), State::Deprecated);
        assert_eq!(OLD.state(on(date(2026, 11, 11))), State::Retired);
        let told = serde_json::to_value(OLD.told(on(date(2026, 2, 1)))).unwrap();
        assert_eq!(told["state"], "deprecated");
        assert_eq!(told["sunset"], "2026-11-11");
    }

    #[test]
    fn one_that_ends_says_so_and_one_that_does_not_is_silent() {
        let mut headers = HeaderMap::new();
        OLD.mark(&mut headers);
        assert_eq!(headers[DEPRECATION], "@1767225600");
        assert_eq!(headers[SUNSET], "Wed, 11 Nov 2026 00:00:00 GMT");
        let mut headers = HeaderMap::new();
        VERSIONS[0].mark(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_path_belongs_to_the_version_it_begins_with() {
        assert_eq!(of(VERSIONS, "/v1/cards").unwrap().name, "v1");
        assert!(of(VERSIONS, "/v10/cards").is_none());
        assert!(of(VERSIONS, "/docs/index.html").is_none());
    }

    #[test]
    fn the_table_is_sound() {
        for v in VERSIONS {
            assert!(v.deprecated.is_none_or(|d| v.since <= d), "{}", v.name);
            assert!(v.sunset.is_none_or(|s| v.deprecated.is_some_and(|d| d < s)), "{}", v.name);
        }
    }
}
