//! Instants between jiff, which we think in, and protobuf, which travels.

use jiff::Timestamp;

/// The wire form of an instant.
pub fn to_proto(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// An instant from the wire, cut to milliseconds; none when it is outside what a calendar holds.
pub fn from_proto(at: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok().map(crate::clock::millis)
}

/// The instant `days` days of 24 hours later, or the last one there is.
pub fn add_days(at: Timestamp, days: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX)
}
