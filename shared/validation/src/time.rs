//! Times of day and durations as Caliper writes them.

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// A date and time with a zone, and what it lacks of Caliper's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) millis: i64,
    /// It ends in `Z`.
    pub(crate) utc: bool,
    /// Digits of the second's fraction.
    pub(crate) fraction_digits: usize,
}

/// The parts of a date and time of day.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millis: i64,
}

impl Parts {
    /// Whether there is such a day and such a time; a minute may have a leap second.
    fn exist(&self) -> bool {
        (1..=12).contains(&self.month)
            && self.day >= 1
            && (self.day <= 28 || self.day <= days_in_month(self.year, self.month))
            && self.hour <= 23
            && self.minute <= 59
            && self.second <= 60
    }

    fn millis_since_1970(&self, offset_minutes: i64) -> i64 {
        let seconds = days_from_civil(self.year, self.month, self.day) * 86_400
            + self.hour * 3_600
            + (self.minute - offset_minutes) * 60
            + self.second.min(59);
        seconds * 1_000 + self.millis
    }
}

/// Eight bytes of a time less those of `form`, in which `0` stands for any digit; nothing when a
/// byte is another than the form has there.
#[inline]
fn digits_of(text: &[u8], at: usize, form: &[u8; 8]) -> Option<[i64; 8]> {
    let eight = u64::from_le_bytes(*text.get(at..)?.first_chunk()?) ^ u64::from_le_bytes(*form);
    // Added to a byte, what sets its highest bit when it is too large: above 9 or, where the form
    // has no digit, above 0. A byte that carries into the next has that bit already.
    let room = form.map(|byte| if byte == b'0' { 0x76 } else { 0x7f });
    let large = eight.wrapping_add(u64::from_le_bytes(room)) | eight;
    (large & 0x8080_8080_8080_8080 == 0).then(|| eight.to_le_bytes().map(i64::from))
}

/// Reads a time in Caliper's form, `YYYY-MM-DDTHH:mm:ss.SSSZ`, that may exist.
#[inline]
fn caliper_form(text: &[u8]) -> Option<Parts> {
    if text.len() != 24 {
        return None;
    }
    let [y1, y2, y3, y4, _, m1, m2, _] = digits_of(text, 0, b"0000-00-")?;
    let [d1, d2, _, h1, h2, _, n1, n2] = digits_of(text, 8, b"00T00:00")?;
    let [_, s1, s2, _, f1, f2, f3, _] = digits_of(text, 16, b":00.000Z")?;
    Some(Parts {
        year: y1 * 1_000 + y2 * 100 + y3 * 10 + y4,
        month: m1 * 10 + m2,
        day: d1 * 10 + d2,
        hour: h1 * 10 + h2,
        minute: n1 * 10 + n2,
        second: s1 * 10 + s2,
        millis: f1 * 100 + f2 * 10 + f3,
    })
}

/// Whether `text` is a time as YYYY-MM-DDTHH:mm:ss.SSSZ that exists.
#[inline]
pub(crate) fn is_caliper_time(text: &[u8]) -> bool {
    caliper_form(text).is_some_and(|parts| parts.exist())
}

/// Reads an RFC 3339 time, the profile of ISO 8601 that a date and time with a zone has.
pub(crate) fn date_time(text: &[u8]) -> Option<Time> {
    let Some(parts) = caliper_form(text) else {
        return date_time_of_any_form(text);
    };
    parts.exist().then(|| Time {
        millis: parts.millis_since_1970(0),
        utc: true,
        fraction_digits: 3,
    })
}

fn date_time_of_any_form(b: &[u8]) -> Option<Time> {
    if b.len() < 20
        || b[4] != b'-'
        || b[7] != b'-'
        || !matches!(b[10], b'T' | b't')
        || b[13] != b':'
        || b[16] != b':'
    {
        return None;
    }
    let mut parts = Parts {
        year: number(&b[..4])?,
        month: number(&b[5..7])?,
        day: number(&b[8..10])?,
        hour: number(&b[11..13])?,
        minute: number(&b[14..16])?,
        second: number(&b[17..19])?,
        millis: 0,
    };
    if !parts.exist() {
        return None;
    }
    let mut at = 19;
    let mut fraction_digits = 0;
    if b[at] == b'.' {
        at += 1;
        let mut scale = 100;
        while let Some(digit @ b'0'..=b'9') = b.get(at) {
            parts.millis += i64::from(digit - b'0') * scale;
            scale /= 10;
            at += 1;
            fraction_digits += 1;
        }
        if fraction_digits == 0 {
            return None;
        }
    }
    let zone = &b[at..];
    let offset_minutes = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    Some(Time {
        millis: parts.millis_since_1970(offset_minutes),
        utc: matches!(zone, [b'Z']),
        fraction_digits,
    })
}

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

    /// The quick way for the usual form says what the way for all forms says.
    #[test]
    fn the_usual_form_is_read_like_any_other() {
        let all_forms = |text: &[u8]| {
            let usual = text.len() == 24 && text[10] == b'T' && text[19] == b'.';
            let time = date_time_of_any_form(text);
            (time, usual && text[23] == b'Z' && time.is_some())
        };
        for good in [
            "2018-11-15T10:15:00.000Z",
            "2024-02-29T23:59:60.999Z",
            "0000-12-31T00:00:00.001Z",
        ] {
            for at in 0..good.len() {
                for byte in 0..=u8::MAX {
                    let mut text = good.as_bytes().to_vec();
                    text[at] = byte;
                    let both = (date_time(&text), is_caliper_time(&text));
                    assert_eq!(both, all_forms(&text), "{good} with {byte} at {at}");
                }
            }
        }
        for (month, day) in (0..14).flat_map(|m| (0..33).map(move |d| (m, d))) {
            for year in [1900, 2000, 2023, 2024] {
                let text = format!("{year}-{month:02}-{day:02}T23:00:00.000Z");
                let both = (date_time(text.as_bytes()), is_caliper_time(text.as_bytes()));
                assert_eq!(both, all_forms(text.as_bytes()), "{text}");
            }
        }
    }

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

    fn millis(text: &str) -> Option<i64> {
        date_time(text.as_bytes()).map(|t| t.millis)
    }

    #[test]
    fn times() {
        assert_eq!(millis("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(millis("2018-11-15T10:15:00.123Z"), Some(1_542_276_900_123));
        assert_eq!(
            millis("2018-11-15T12:15:00.123456+02:00"),
            Some(1_542_276_900_123)
        );
        assert_eq!(millis("2018-11-15T04:45:00-05:30"), Some(1_542_276_900_000));
        assert_eq!(millis("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), Some(-1));
        for bad in [
            "2016-08-01",
            "2018-13-15T10:15:00.000Z",
            "2019-02-29T10:15:00.000Z",
            "2018-11-15T24:15:00.000Z",
            "2018-11-15T10:15:00.000",
            "2018-11-15T10:15:00.Z",
            "2018-11-15 10:15:00.000Z",
            "2018-11-15T10:15:00.000+0200",
            "",
        ] {
            assert_eq!(millis(bad), None, "{bad}");
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
