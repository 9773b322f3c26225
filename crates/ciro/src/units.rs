//! Sizes, durations and pairs as people type them: `8GiB`, `1h30m`, `name=value`.

use ciro_api::time::Time;
use ciro_core::amount::Fri;
use ciro_core::time::Timestamp;
use std::str::FromStr;
use std::time::Duration;

/// `512MiB`, `2GB`, `1048576`.
///
/// # Errors
/// A sentence that says what is accepted.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("a size is a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB: 512MiB".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a size begins with a whole number: 512MiB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "that is more bytes than there are".into())
}

/// `1.5STRK`, `2500FRI`; a bare number is FRI, of which a STRK has 10^18.
///
/// # Errors
/// A sentence that says what is accepted.
pub(crate) fn fri(text: &str) -> Result<Fri, String> {
    const EXPECTED: &str = "an amount is 1.5STRK, or a whole number of FRI (1e-18 STRK): 2500FRI";
    const DECIMALS: usize = 18;
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    match unit.trim().to_ascii_uppercase().as_str() {
        "" | "FRI" => number.parse().map_err(|_| EXPECTED.to_owned()),
        "STRK" => {
            let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() || decimals.len() > DECIMALS || number.ends_with('.') {
                return Err(EXPECTED.into());
            }
            format!("{whole}{decimals:0<DECIMALS$}").parse().map_err(|_| EXPECTED.to_owned())
        }
        _ => Err(EXPECTED.into()),
    }
}

/// `500ms`, `90s`, `1h30m`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what is accepted.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "a duration is made of numbers with d, h, m, s or ms: 1h30m, 90s, 500ms";
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(EXPECTED.into());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(EXPECTED.into()),
        };
        let number: u64 = number.parse().map_err(|_| EXPECTED.to_owned())?;
        let part = number.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms));
        total_ms = part.ok_or_else(|| "that is longer than time can tell".to_owned())?;
        rest = behind;
    }
    Ok(Duration::from_millis(total_ms))
}

/// A duration in whole milliseconds.
///
/// # Errors
/// A sentence that says what is accepted.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    duration(text).map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// `name=value`.
///
/// # Errors
/// A sentence that says what is accepted.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected name=value".into()),
    }
}

/// Cores: `2`, `0.5`, or thousandths as `500m`. In thousandths.
///
/// # Errors
/// A sentence that says what is accepted.
pub(crate) fn cores(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "cores are a number such as 2, 0.5 or 500m (thousandths)";
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().map_err(|_| EXPECTED.to_owned());
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EXPECTED.into());
    }
    let whole: u64 = whole.parse().map_err(|_| EXPECTED.to_owned())?;
    let part: u64 = format!("{part:0<3}").parse().map_err(|_| EXPECTED.to_owned())?;
    whole.checked_mul(1_000).map(|w| w + part).ok_or_else(|| EXPECTED.to_owned())
}

/// An instant that is typed as RFC 3339 or as a duration, its distance to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// On the calendar.
    At(Time),
    /// So far from now.
    In(Duration),
}

impl When {
    /// The instant, a duration meant as from now on.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Time {
        self.at(now, 1)
    }

    /// The instant, a duration meant as so long ago.
    #[must_use]
    pub fn before(self, now: Timestamp) -> Time {
        self.at(now, -1)
    }

    fn at(self, now: Timestamp, sign: i64) -> Time {
        match self {
            When::At(time) => time,
            When::In(span) => {
                let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                Time(Timestamp(now.0.saturating_add(sign.saturating_mul(ms))))
            }
        }
    }
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<When, String> {
        match text.parse::<Time>() {
            Ok(time) => Ok(When::At(time)),
            Err(_) => duration(text).map(When::In).map_err(|_| {
                "expected an instant such as 2026-11-22T18:00:00Z, or a duration such as 2h".into()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood_and_the_rest_refused() {
        assert_eq!(size("8GiB"), Ok(8 << 30));
        assert_eq!((size("512"), size("2MB"), size("4k")), (Ok(512), Ok(2_000_000), Ok(4096)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(
            (duration_ms("500ms"), duration_ms("90"), duration_ms("2m1s")),
            (Ok(500), Ok(90_000), Ok(121_000))
        );
        assert_eq!(
            (cores("2"), cores("0.5"), cores("250m"), cores("1.25")),
            (Ok(2_000), Ok(500), Ok(250), Ok(1_250))
        );
        assert_eq!(
            (fri("1.5STRK"), fri("20 strk")),
            (Ok(Fri(15 * 10_u128.pow(17))), Ok(Fri(2 * 10_u128.pow(19))))
        );
        assert_eq!(
            (fri("7"), fri("7FRI"), fri("0.000000000000000001STRK")),
            (Ok(Fri(7)), Ok(Fri(7)), Ok(Fri(1)))
        );
        for bad in [
            "",
            "STRK",
            "1.STRK",
            ".5STRK",
            "1.5",
            "1.5FRI",
            "-1STRK",
            "1..5STRK",
            "1.0000000000000000001STRK",
            "1ETH",
        ] {
            assert!(fri(bad).is_err(), "{bad}");
        }
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        for bad in ["", "GiB", "1XiB", "-1", "99999999999999TiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["", "h", "1y", "1h-2", "99999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(
            cores("1.").is_err() && cores(".5").is_err() && cores("1.2345").is_err() && pair("=x").is_err()
        );
    }
}
