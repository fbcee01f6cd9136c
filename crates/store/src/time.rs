//! Instants as BSON dates: `#[serde(with = "store::time")]`. Always dates, whatever the serialiser, so that `$set` and
//! an insert write the same.

use bson::DateTime;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The stored form.
pub fn to_bson(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millisecond())
}

/// The form we think in.
pub fn from_bson(at: DateTime) -> Timestamp {
    Timestamp::from_millisecond(at.timestamp_millis()).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    to_bson(*at).serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    DateTime::deserialize(deserializer).map(from_bson)
}

/// The same for what may be absent: `#[serde(default, with = "store::time::option")]`.
pub mod option {
    use super::{DateTime, Deserialize, Deserializer, Serialize, Serializer, Timestamp, from_bson, to_bson};

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(to_bson).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<DateTime>::deserialize(deserializer)?.map(from_bson))
    }
}
