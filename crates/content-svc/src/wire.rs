//! Enums between the wire and the models: same names on both sides, said once.

use kit::Fault;

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
