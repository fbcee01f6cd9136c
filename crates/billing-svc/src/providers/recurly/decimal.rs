//! Recurly's amounts: decimal numbers of the currency's major unit, read from the digits they are written with. Through a
//! binary fraction, 4.35 would be 4.3499….

use anyhow::{Context, ensure};
use kit::{Currency, Money};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A number as it stands in the JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// The amount with as many digits behind the point as its currency has.
    pub fn of(money: Money) -> Self {
        let exponent = money.currency.exponent();
        let sign = if money.minor < 0 { "-" } else { "" };
        let minor = money.minor.unsigned_abs();
        if exponent == 0 {
            return Self(format!("{sign}{minor}"));
        }
        let unit = 10_u64.pow(exponent);
        Self(format!("{sign}{}.{:0width$}", minor / unit, minor % unit, width = exponent as usize))
    }

    /// In minor units. An amount finer than the currency's smallest coin is an error, not rounded.
    pub fn money(&self, currency: Currency) -> anyhow::Result<Money> {
        let read = || format!("{} is no amount of {currency}", self.0);
        let (mantissa, power) = match self.0.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i32>().with_context(read)?),
            None => (self.0.as_str(), 0),
        };
        let (sign, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let plain = digits.len() <= 30 && digits.bytes().all(|b| b.is_ascii_digit());
        ensure!(plain && power.abs() <= 30, read());
        let number: i128 = digits.parse().with_context(read)?;
        let shift = i64::from(currency.exponent()) + i64::from(power) - i64::try_from(fraction.len())?;
        let unit = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs())?).with_context(read)?;
        let minor = if shift >= 0 {
            number.checked_mul(unit).with_context(read)?
        } else {
            ensure!(number % unit == 0, read());
            number / unit
        };
        Ok(Money::new(i64::try_from(sign * minor).with_context(read)?, currency))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        let text = raw.get();
        if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        Err(D::Error::custom("an amount that is no number"))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(S::Error::custom)?.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    fn minor(text: &str, code: &str) -> Option<i64> {
        serde_json::from_str::<Decimal>(text).unwrap().money(of(code)).ok().map(|m| m.minor)
    }

    #[test]
    fn amounts_are_read_from_their_digits() {
        for (text, code, expected) in [
            ("19.99", "USD", 1_999),
            ("4.35", "EUR", 435),
            ("20", "EUR", 2_000),
            ("20.0", "EUR", 2_000),
            ("-5.00", "EUR", -500),
            ("500", "JPY", 500),
            ("500.0", "JPY", 500),
            ("1.234", "KWD", 1_234),
            ("1e2", "EUR", 10_000),
            ("1.5E-1", "EUR", 15),
            ("1.10000", "EUR", 110),
            ("90071992547409.93", "USD", 9_007_199_254_740_993),
        ] {
            assert_eq!(minor(text, code), Some(expected), "{text} {code}");
        }
        for (text, code) in
            [("0.005", "USD"), ("0.5", "JPY"), ("1e40", "USD"), ("99999999999999999999", "USD")]
        {
            assert_eq!(minor(text, code), None, "{text} {code}");
        }
        assert!(serde_json::from_str::<Decimal>("\"19.99\"").is_err());
        assert_eq!(serde_json::from_str::<Option<Decimal>>("null").unwrap(), None);
    }

    #[test]
    fn amounts_are_written_with_their_currency_s_digits() {
        let written = |minor, code| serde_json::to_string(&Decimal::of(Money::new(minor, of(code)))).unwrap();
        assert_eq!(written(1_999, "USD"), "19.99");
        assert_eq!(written(-5, "EUR"), "-0.05");
        assert_eq!(written(500, "JPY"), "500");
        assert_eq!(written(1_200, "KWD"), "1.200");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(minor: i64, code in prop::sample::select(vec!["EUR", "JPY", "KWD"])) {
            prop_assume!(minor > i64::MIN);
            let money = Money::new(minor, of(code));
            let text = serde_json::to_string(&Decimal::of(money)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Decimal>(&text).unwrap().money(of(code)).unwrap(), money);
        }
    }
}
