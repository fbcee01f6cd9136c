//! Looking at a file: that a picture really is one, how large it is seen, and the same made smaller. Takes memory and
//! processor, so both are bounded: a small file may unfold into a huge picture.

use std::io::Cursor;

use aws_lc_rs::digest;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{PngDecoder, PngEncoder};
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::{DynamicImage, ImageDecoder, ImageEncoder, Limits};
use kit::{Code, Fault};

use super::kind::Kind;
use super::model::Variant;

/// Into which widths a picture is made smaller: phones, tablets, and a page's column on a dense screen.
pub const WIDTHS: [u32; 3] = [320, 640, 1280];
/// The longest side.
const LONGEST: u32 = 10_000;
/// The most pixels.
const PIXELS: u64 = 16_000_000;
/// The most memory one picture may unfold into.
const UNFOLDED: u64 = 96 * 1024 * 1024;
const QUALITY: u8 = 82;

/// What was seen.
#[derive(Debug, Default)]
pub struct Looked {
    pub width: u32,
    pub height: u32,
    pub smaller: Vec<Smaller>,
}

/// A picture made smaller.
#[derive(Debug)]
pub struct Smaller {
    pub variant: Variant,
    pub bytes: Vec<u8>,
}

/// SHA-256 in hex.
pub fn hash(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// Looks at a file. Takes a while: not for a thread that others wait for.
pub fn look(kind: Kind, bytes: &[u8]) -> Result<Looked, Fault> {
    match kind {
        Kind::Pdf => Ok(Looked::default()),
        // It may move: it stays as it is.
        Kind::Gif => {
            let side =
                |at: usize| bytes.get(at..at + 2).map_or(0, |b| u32::from(u16::from_le_bytes([b[0], b[1]])));
            let (width, height) = (side(6), side(8));
            fits(width, height)?;
            Ok(Looked { width, height, smaller: Vec::new() })
        }
        Kind::Png => {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits()).map_err(broken)?;
            let moves = decoder.is_apng().map_err(broken)?;
            seen(decoder, moves, kind, bytes.len())
        }
        Kind::Jpeg => seen(JpegDecoder::new(Cursor::new(bytes)).map_err(broken)?, false, kind, bytes.len()),
        Kind::Webp => {
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(broken)?;
            let moves = decoder.has_animation();
            seen(decoder, moves, kind, bytes.len())
        }
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST);
    limits.max_image_height = Some(LONGEST);
    limits.max_alloc = Some(UNFOLDED);
    limits
}

fn broken(error: image::ImageError) -> Fault {
    if matches!(error, image::ImageError::Limits(_)) {
        return too_many_pixels();
    }
    tracing::info!(error = %error, "a picture cannot be read: {error}");
    Fault::new(Code::Invalid, "not_a_picture", "the file cannot be read as the picture it begins like")
}

fn too_many_pixels() -> Fault {
    let text = "a picture has at most 16 million pixels, and no side longer than 10000";
    Fault::new(Code::Invalid, "too_many_pixels", text)
}

fn fits(width: u32, height: u32) -> Result<(), Fault> {
    if width == 0 || height == 0 {
        return Err(Fault::new(Code::Invalid, "not_a_picture", "the picture has no pixels"));
    }
    let large = width > LONGEST || height > LONGEST || u64::from(width) * u64::from(height) > PIXELS;
    if large { Err(too_many_pixels()) } else { Ok(()) }
}

fn seen(mut decoder: impl ImageDecoder, moves: bool, kind: Kind, size: usize) -> Result<Looked, Fault> {
    let (width, height) = decoder.dimensions();
    // Before anything is unfolded.
    fits(width, height)?;
    if decoder.total_bytes() > UNFOLDED {
        return Err(too_many_pixels());
    }
    decoder.set_limits(limits()).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    // What is written is RGB: a profile of other colours would be a wrong one.
    let profile = decoder.icc_profile().ok().flatten().filter(|p| p.get(16..20) == Some(b"RGB "));
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    // A camera held upright writes the picture lying and says so beside it.
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    let mut smaller = Vec::new();
    for to in WIDTHS.into_iter().filter(|to| !moves && *to < width) {
        let scaled = u64::from(height) * u64::from(to) / u64::from(width);
        let rows = u32::try_from(scaled).unwrap_or(1).max(1);
        let made = encoded(&picture.thumbnail_exact(to, rows), kind, profile.as_deref())?;
        // One that takes more than the original serves nobody.
        if made.bytes.len() < size {
            smaller.push(made);
        }
    }
    Ok(Looked { width, height, smaller })
}

/// JPEG stays JPEG; what lets through what is behind it stays lossless; else whichever is made is the smaller one to send.
fn encoded(picture: &DynamicImage, kind: Kind, profile: Option<&[u8]>) -> Result<Smaller, Fault> {
    let mut bytes = Vec::new();
    let failed =
        |e: image::ImageError| Fault::internal(anyhow::anyhow!("a picture cannot be made smaller: {e}"));
    let sealed = !picture.color().has_alpha();
    let kind = match kind {
        Kind::Jpeg => Kind::Jpeg,
        // The encoder of WebP is lossless: of a photograph it makes more, not less.
        Kind::Webp if sealed => Kind::Jpeg,
        Kind::Webp => Kind::Webp,
        _ => Kind::Png,
    };
    match kind {
        Kind::Jpeg => {
            let flat = DynamicImage::from(picture.to_rgb8());
            write(JpegEncoder::new_with_quality(&mut bytes, QUALITY), &flat, profile).map_err(failed)?;
        }
        Kind::Webp => {
            let whole = DynamicImage::from(picture.to_rgba8());
            write(WebPEncoder::new_lossless(&mut bytes), &whole, profile).map_err(failed)?;
        }
        _ => write(PngEncoder::new(&mut bytes), picture, profile).map_err(failed)?,
    }
    let variant = Variant {
        width: picture.width(),
        height: picture.height(),
        bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        content_type: kind.content_type().to_owned(),
        hash: hash(&bytes),
    };
    Ok(Smaller { variant, bytes })
}

fn write(
    mut encoder: impl ImageEncoder,
    picture: &DynamicImage,
    profile: Option<&[u8]>,
) -> Result<(), image::ImageError> {
    if let Some(profile) = profile {
        // One that cannot carry it shows the colours a little differently, and that is all.
        encoder.set_icc_profile(profile.to_vec()).ok();
    }
    picture.write_with_encoder(encoder)
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use kit::Coded;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let at = |x: u32, y: u32| {
            let noise = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503);
            image::Rgb([(x % 256) as u8, (y % 256) as u8, (noise >> 13) as u8])
        };
        let mut bytes = Vec::new();
        let picture = DynamicImage::from(RgbImage::from_fn(width, height, at));
        picture.write_with_encoder(PngEncoder::new(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn a_picture_is_made_smaller_and_never_larger() {
        let looked = look(Kind::Png, &png(700, 350)).unwrap();
        assert_eq!((looked.width, looked.height), (700, 350));
        let sizes: Vec<_> = looked.smaller.iter().map(|s| (s.variant.width, s.variant.height)).collect();
        assert_eq!(sizes, [(320, 160), (640, 320)]);
        for made in &looked.smaller {
            let again = look(Kind::of(&made.bytes).unwrap(), &made.bytes).unwrap();
            assert_eq!((again.width, again.height), (made.variant.width, made.variant.height));
            assert_eq!(made.variant.hash, hash(&made.bytes));
        }
        assert!(look(Kind::Png, &png(300, 10)).unwrap().smaller.is_empty());
    }

    #[test]
    fn a_small_file_that_unfolds_into_a_huge_picture_is_refused_before_it_does() {
        // The head of a PNG of 50,000 by 50,000 pixels.
        let mut head = png(1, 1);
        head[16..20].copy_from_slice(&50_000_u32.to_be_bytes());
        head[20..24].copy_from_slice(&50_000_u32.to_be_bytes());
        let crc = crc(&head[12..29]);
        head[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(look(Kind::Png, &head).unwrap_err().code().1, "too_many_pixels");
        let gif = [b"GIF89a".as_slice(), &60_000_u16.to_le_bytes(), &60_000_u16.to_le_bytes()].concat();
        assert_eq!(look(Kind::Gif, &gif).unwrap_err().code().1, "too_many_pixels");
    }

    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
        };
        !bytes.iter().fold(u32::MAX, step)
    }

    #[test]
    fn half_a_picture_is_none() {
        let whole = png(64, 64);
        assert_eq!(look(Kind::Png, &whole[..whole.len() / 2]).unwrap_err().code().1, "not_a_picture");
        assert_eq!(look(Kind::Jpeg, b"\xff\xd8\xff\xe0 nothing").unwrap_err().code().1, "not_a_picture");
        assert_eq!(look(Kind::Gif, b"GIF89a").unwrap_err().code().1, "not_a_picture");
        assert_eq!(look(Kind::Pdf, b"%PDF-1.7").unwrap().width, 0);
    }
}
