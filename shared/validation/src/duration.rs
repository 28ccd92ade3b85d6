//! Durations as Caliper writes them: ISO 8601.

/// Whether `text` is an ISO 8601 duration (`PnYnMnDTnHnMnS` or `PnW`).
pub(crate) fn is_duration(text: &str) -> bool {
    let Some(body) = text.strip_prefix('P') else {
        return false;
    };
    let (date, time) = match body.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (body, None),
    };
    if time.is_some_and(str::is_empty) || body.is_empty() {
        return false;
    }
    parts(date, b"YMWD") && time.is_none_or(|t| parts(t, b"HMS"))
}

fn parts(mut text: &str, units: &[u8]) -> bool {
    let mut from = 0;
    while !text.is_empty() {
        let Some(length) = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',') else {
            return false;
        };
        let figure = &text[..length];
        let well_formed = {
            let mut halves = figure.split(['.', ',']);
            let whole = halves.next().is_some_and(|h| !h.is_empty());
            let fraction = halves.next().is_none_or(|h| !h.is_empty());
            whole && fraction && halves.next().is_none()
        };
        let unit = text.as_bytes()[length];
        let Some(place) = units[from..].iter().position(|&u| u == unit) else {
            return false;
        };
        if !well_formed {
            return false;
        }
        from += place + 1;
        text = &text[length + 1..];
    }
    true
}

/// Milliseconds of an ISO 8601 duration, less what is below one; none for text that is none, and for
/// years and months, which have no fixed length.
pub(crate) fn duration_millis(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes().strip_prefix(b"P")?;
    let (mut millis, mut in_time, mut parts) = (0_i64, false, 0);
    // Each unit is smaller than the one before it.
    let mut last = i64::MAX;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'T' && !in_time && !after.is_empty() {
            (rest, in_time) = (after, true);
            continue;
        }
        let (whole, after) = digits(rest)?;
        let (thousandths, after) = match after.split_first() {
            Some((b'.' | b',', after)) => thousandths(after)?,
            _ => (0, after),
        };
        let (&unit, after) = after.split_first()?;
        let unit = match unit {
            b'W' if !in_time => 604_800_000,
            b'D' if !in_time => 86_400_000,
            b'H' if in_time => 3_600_000,
            b'M' if in_time => 60_000,
            b'S' if in_time => 1_000,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        let fraction = unit / 1_000 * thousandths;
        millis = millis.checked_add(whole.checked_mul(unit)?.checked_add(fraction)?)?;
        (rest, last, parts) = (after, unit, parts + 1);
    }
    (parts > 0).then_some(millis)
}

/// The number that digits at the front make; none without a digit.
fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (figure, after) = text.split_at(length);
    let add = |sum: i64, digit: &u8| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'));
    let number = figure.iter().try_fold(0, add)?;
    (length > 0).then_some((number, after))
}

/// The first three digits of a fraction; none without a digit.
fn thousandths(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (figure, after) = text.split_at(length);
    let places = figure.iter().chain(b"000").take(3);
    let number = places.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    (length > 0).then_some((number, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_milliseconds() {
        for (text, millis) in [
            ("PT50M12S", Some(3_012_000)),
            ("PT0.5S", Some(500)),
            ("PT1,25S", Some(1_250)),
            ("P1DT1H", Some(90_000_000)),
            ("P2W", Some(1_209_600_000)),
            ("P0D", Some(0)),
            ("P1M", None),
            ("P1Y2M3DT4H5M6S", None),
            ("PT99999999999999999999H", None),
            ("PT0.0129S", Some(12)),
            ("P1W1D", Some(691_200_000)),
            ("PT1S1M", None),
            ("PT1M1M", None),
            ("P1DT", None),
            ("P1H", None),
            ("PT1.S", None),
            ("PT.5S", None),
            ("P", None),
            ("PT", None),
            ("12", None),
        ] {
            assert_eq!(duration_millis(text), millis, "{text}");
            assert!(millis.is_none() || is_duration(text), "{text}");
        }
    }

    #[test]
    fn durations() {
        for good in [
            "PT05M21S",
            "P1Y2M3DT4H5M6S",
            "P3W",
            "PT0.5S",
            "PT50M30S",
            "P0D",
            "PT3000S",
        ] {
            assert!(is_duration(good), "{good}");
        }
        for bad in [
            "",
            "P",
            "PT",
            "5M",
            "PT5",
            "P1S",
            "PT1M1H",
            "PT1..5S",
            "P1DT",
            "2016-11-15T10:05:00.000Z",
            "-PT5M",
        ] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
