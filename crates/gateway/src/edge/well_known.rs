//! JSON of protobuf's own messages: times, masks, and the free values.

use std::fmt::Write as _;
use std::io::Write as _;

use super::json::{DEEPEST, Damaged, Reader, Wire, integer, number, text};

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "what protobuf says of its varints"
)]
fn seconds_and_nanos(encoded: &[u8]) -> Result<(i64, i32), Damaged> {
    let (mut seconds, mut nanos) = (0, 0);
    for item in Reader(encoded) {
        match item? {
            (1, Wire::Varint(n)) => seconds = n as i64,
            (2, Wire::Varint(n)) => nanos = n as i32,
            _ => {}
        }
    }
    Ok((seconds, nanos))
}

pub(super) fn timestamp(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
    let (seconds, nanos) = seconds_and_nanos(encoded)?;
    let at = jiff::Timestamp::new(seconds, nanos).map_err(|_| Damaged)?;
    write!(out, "\"{at}\"").map_err(|_| Damaged)
}

pub(super) fn duration(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
    let (seconds, nanos) = seconds_and_nanos(encoded)?;
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let mut text = format!("{sign}{}", seconds.unsigned_abs());
    if nanos != 0 {
        write!(text, ".{:09}", nanos.unsigned_abs()).map_err(|_| Damaged)?;
        text.truncate(text.trim_end_matches('0').len());
    }
    write!(out, "\"{text}s\"").map_err(|_| Damaged)
}

pub(super) fn mask(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
    let mut paths = Vec::new();
    for item in Reader(encoded) {
        if let (1, Wire::Bytes(path)) = item? {
            paths.push(std::str::from_utf8(path).map_err(|_| Damaged)?);
        }
    }
    text(&paths.join(","), out);
    Ok(())
}

pub(super) fn structure(encoded: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let mut sorted = std::collections::BTreeMap::new();
    for item in Reader(encoded) {
        let (1, Wire::Bytes(entry)) = item? else { continue };
        let (mut name, mut held): (&[u8], &[u8]) = (&[], &[]);
        for item in Reader(entry) {
            match item? {
                (1, Wire::Bytes(b)) => name = b,
                (2, Wire::Bytes(b)) => held = b,
                _ => {}
            }
        }
        sorted.insert(std::str::from_utf8(name).map_err(|_| Damaged)?, held);
    }
    out.push(b'{');
    for (at, (name, held)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(name, out);
        out.push(b':');
        value(held, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

pub(super) fn value(encoded: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Damaged> {
    if depth > DEEPEST {
        return Err(Damaged);
    }
    let mut last = None;
    for item in Reader(encoded) {
        last = Some(item?);
    }
    match last {
        Some((2, Wire::Fixed64(bits))) => {
            let n = f64::from_bits(bits);
            // A whole number is written as one: that is how it was sent.
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
            if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 {
                integer(n as i64, out);
            } else {
                number(n, None, out);
            }
        }
        Some((3, Wire::Bytes(b))) => text(std::str::from_utf8(b).map_err(|_| Damaged)?, out),
        Some((4, Wire::Varint(n))) => out.extend_from_slice(if n != 0 { b"true" } else { b"false" }),
        Some((5, Wire::Bytes(b))) => structure(b, depth + 1, out)?,
        Some((6, Wire::Bytes(b))) => list_value(b, depth + 1, out)?,
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}

pub(super) fn list_value(encoded: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Damaged> {
    out.push(b'[');
    let mut first = true;
    for item in Reader(encoded) {
        if let (1, Wire::Bytes(held)) = item? {
            if !first {
                out.push(b',');
            }
            first = false;
            value(held, depth + 1, out)?;
        }
    }
    out.push(b']');
    Ok(())
}
