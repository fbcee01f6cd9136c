//! What every room's face on the wire shares: replies, masks, and enums that have the same names on both sides.

use kit::{Coded, Fault};
use tonic::{Response, Status};

/// An enum of ours that has a twin on the wire.
pub trait Wire: Sized + Copy {
    /// The wire's number of it.
    fn to_wire(self) -> i32;
    /// The enum behind a number; none for "unspecified" and for numbers nobody knows.
    fn of_wire(number: i32) -> Option<Self>;
}

/// Reads an enum that may be left out.
pub fn enum_or<T: Wire>(number: i32, otherwise: T) -> T {
    T::of_wire(number).unwrap_or(otherwise)
}

/// Reads an enum that must be there.
pub fn enum_of<T: Wire>(field: &str, number: i32) -> Result<T, Fault> {
    T::of_wire(number).ok_or_else(|| Fault::field(field, "required", "one of the named values is required"))
}

/// Says that an enum of ours and one of the protos have the same variants.
macro_rules! mirror {
    ($ours:ty => $wire:ty { $($name:ident),+ $(,)? }) => {
        impl $crate::wire::Wire for $ours {
            fn to_wire(self) -> i32 {
                match self { $(Self::$name => <$wire>::$name as i32),+ }
            }

            fn of_wire(number: i32) -> Option<Self> {
                match <$wire>::try_from(number).ok()? {
                    $(<$wire>::$name => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use mirror;

/// What an rpc answers.
pub type Reply<T> = Result<Response<T>, Status>;

/// A reply, or the status an error travels as.
pub fn reply<T, E: Coded>(outcome: Result<T, E>) -> Reply<T> {
    outcome.map(Response::new).map_err(|e| kit::error::status(&e))
}

/// Whether a change names a field.
pub fn names(mask: Option<&prost_types::FieldMask>, field: &str) -> bool {
    mask.is_some_and(|m| m.paths.iter().any(|p| p == field))
}

/// Text that may be empty for "none".
pub fn some(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}
