//! Instants as text: the one reader and the one printer of the whole ledger.
//!
//! Caliper writes `YYYY-MM-DDTHH:mm:ss.SSSZ`. Sensors also write other offsets, fractions and
//! separators of ISO 8601; what they mean is read, and whether the form was Caliper's is asked apart.

const DAY_MILLIS: i64 = 86_400_000;
const MINUTE_MILLIS: i64 = 60_000;

/// The first instant of year 0 in UTC, milliseconds since 1970-01-01T00:00:00Z.
const YEAR_0_MILLIS: i64 = days_from_civil(0, 1, 1) * DAY_MILLIS;

/// The first instant of year 10000 in UTC, milliseconds since 1970-01-01T00:00:00Z.
const YEAR_10000_MILLIS: i64 = days_from_civil(10_000, 1, 1) * DAY_MILLIS;

/// The largest offset that a text may have, minutes.
const OFFSET_MINUTES_MAX: i64 = 23 * 60 + 59;

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of the proleptic Gregorian calendar, by days since 1970-01-01. Years are
/// counted from March, so that a leap day is the last of its year.
fn civil_from_days(days: i64) -> [i64; 3] {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    [era * 400 + year_of_era + i64::from(month <= 2), month, day]
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

/// Reads an instant, milliseconds since 1970-01-01T00:00:00Z: a date, a time of day and a zone.
///
/// Besides RFC 3339 it takes what leaves no doubt of the instant: an offset without its colon or its
/// minutes, small `t` and `z`, a space for the `T` and before the zone, a comma for the point, no
/// seconds. A leap second is the second before it; digits beyond milliseconds are cut. A time
/// without a zone is none.
pub fn read_instant(text: &[u8]) -> Option<i64> {
    match caliper_form(text) {
        Some(parts) => parts.exist().then(|| parts.millis_since_1970(0)),
        None => instant_of_any_form(text),
    }
}

/// Reads 13 digits as milliseconds since 1970-01-01T00:00:00Z: instants from 2001 to 2286. Seconds
/// have 10 digits in those years, microseconds 16.
pub(crate) fn epoch_millis(text: &[u8]) -> Option<i64> {
    let plausible = text.len() == 13 && text[0] != b'0';
    plausible.then(|| number(text)).flatten()
}

fn instant_of_any_form(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<16>()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b't' | b' ',
        h1,
        h2,
        b':',
        n1,
        n2,
    ] = *head
    else {
        return None;
    };
    let (second, rest) = second_of(rest)?;
    let (millis, rest) = fraction_millis(rest)?;
    let parts = Parts {
        year: number(&[y1, y2, y3, y4])?,
        month: number(&[m1, m2])?,
        day: number(&[d1, d2])?,
        hour: number(&[h1, h2])?,
        minute: number(&[n1, n2])?,
        second,
        millis,
    };
    let zone = rest.strip_prefix(b" ").unwrap_or(rest);
    let offset_minutes = offset_minutes(zone)?;
    parts
        .exist()
        .then(|| parts.millis_since_1970(offset_minutes))
}

/// The seconds at the front, 0 where there are none, and what follows.
fn second_of(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [b':', s1, s2, rest @ ..] => Some((number(&[*s1, *s2])?, rest)),
        _ => Some((0, text)),
    }
}

/// Milliseconds of a fraction at the front, 0 where there is none, and what follows; nothing for a
/// separator without a digit.
fn fraction_millis(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', after)) = text.split_first() else {
        return Some((0, text));
    };
    let length = after.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = after.split_at(length);
    let places = digits.iter().chain(b"00").take(3);
    let millis = places.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    (length > 0).then_some((millis, rest))
}

/// A zone's offset from UTC, minutes.
fn offset_minutes(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2] => (sign, [*h1, *h2], [b'0', b'0']),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (number(&hours)?, number(&minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hours * 60 + minutes),
        b'-' => Some(-(hours * 60 + minutes)),
        _ => None,
    }
}

/// Prints an instant as RFC 3339 with milliseconds, such that [`read_instant`] gives it back: in UTC,
/// or, where UTC's year would not have four digits, with the least offset of whole minutes for which
/// it has. None of an instant for which that offset would be a day or more, which no text with a year
/// of four digits means.
pub fn print_instant(millis: i64) -> Option<String> {
    if (YEAR_0_MILLIS..YEAR_10000_MILLIS).contains(&millis) {
        return Some(print_local(millis, "Z"));
    }
    let (east, minutes) = if millis < YEAR_0_MILLIS {
        let missing = YEAR_0_MILLIS.checked_sub(millis)?;
        (true, (missing - 1) / MINUTE_MILLIS + 1)
    } else {
        (false, (millis - YEAR_10000_MILLIS) / MINUTE_MILLIS + 1)
    };
    if minutes > OFFSET_MINUTES_MAX {
        return None;
    }
    let (sign, offset_millis) = match east {
        true => ('+', minutes * MINUTE_MILLIS),
        false => ('-', -minutes * MINUTE_MILLIS),
    };
    let zone = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    Some(print_local(millis + offset_millis, &zone))
}

/// What a clock shows so many milliseconds after its 1970-01-01T00:00, in years 0 to 9999, and a zone.
fn print_local(millis: i64, zone: &str) -> String {
    let [year, month, day] = civil_from_days(millis.div_euclid(DAY_MILLIS));
    let of_day = millis.rem_euclid(DAY_MILLIS);
    let (second, millis) = (of_day / 1_000, of_day % 1_000);
    let mut text = String::with_capacity(29);
    for (number, digits, after) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (second / 3_600, 2, ':'),
        (second / 60 % 60, 2, ':'),
        (second % 60, 2, '.'),
    ] {
        push_digits(&mut text, number, digits);
        text.push(after);
    }
    push_digits(&mut text, millis, 3);
    text.push_str(zone);
    text
}

/// The last so many decimal digits of a number that is not negative.
fn push_digits(text: &mut String, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        text.push(char::from(b'0' + digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The quick way for the usual form says what the way for all forms says.
    #[test]
    fn the_usual_form_is_read_like_any_other() {
        let all_forms = |text: &[u8]| {
            let usual = text.len() == 24 && text[10] == b'T' && text[16] == b':';
            let usual = usual && text[19] == b'.' && text[22] != b' ' && text[23] == b'Z';
            let time = instant_of_any_form(text);
            (time, usual && time.is_some())
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
                    let both = (read_instant(&text), is_caliper_time(&text));
                    assert_eq!(both, all_forms(&text), "{good} with {byte} at {at}");
                }
            }
        }
        for (month, day) in (0..14).flat_map(|m| (0..33).map(move |d| (m, d))) {
            for year in [1900, 2000, 2023, 2024] {
                let text = format!("{year}-{month:02}-{day:02}T23:00:00.000Z");
                let both = (
                    read_instant(text.as_bytes()),
                    is_caliper_time(text.as_bytes()),
                );
                assert_eq!(both, all_forms(text.as_bytes()), "{text}");
            }
        }
    }

    fn millis(text: &str) -> Option<i64> {
        read_instant(text.as_bytes())
    }

    #[test]
    fn times() {
        assert_eq!(millis("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(millis("2018-11-15T10:15:00.123Z"), Some(1_542_276_900_123));
        assert_eq!(
            millis("2018-11-15T12:15:00.123456789012+02:00"),
            Some(1_542_276_900_123)
        );
        assert_eq!(millis("2018-11-15T04:45:00-05:30"), Some(1_542_276_900_000));
        assert_eq!(millis("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), Some(-1));
        let before = millis("2016-12-31T23:59:59.250Z");
        assert_eq!(millis("2016-12-31T23:59:60.250Z"), before);
        for bad in [
            "2016-08-01",
            "2018-13-15T10:15:00.000Z",
            "2019-02-29T10:15:00.000Z",
            "2018-11-15T24:15:00.000Z",
            "2018-11-15T10:15:61.000Z",
            "2018-11-15T10:15:00.000",
            "2018-11-15T10:15:00.Z",
            "2018-11-15T10:15:00.000+24:00",
            "2018-11-15T10:15:00.000+02:60",
            "2018-11-15T10:15:00.000+2",
            "2018-11-15T10:15:00.000+020",
            "2018-11-15T10:15:00.000 UTC",
            "2018-11-15  10:15:00Z",
            "2018-11-15_10:15:00Z",
            "+018-11-15T10:15:00Z",
            "1542276900123",
            "",
        ] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }

    /// What real sensors write: none of it is Caliper's form, all of it is one instant.
    #[test]
    fn forms_of_sensors_are_read() {
        for text in [
            "2018-11-15T10:15:00.120+0000",
            "2018-11-15T05:15:00.120-0500",
            "2018-11-15T12:15:00.120+02",
            "2018-11-15t10:15:00.120z",
            "2018-11-15T10:15:00,120Z",
            "2018-11-15 10:15:00.120Z",
            "2018-11-15 10:15:00.120 +0000",
            "2018-11-15T10:15:00.12Z",
            "2018-11-15T10:15:00.120999Z",
        ] {
            assert_eq!(millis(text), Some(1_542_276_900_120), "{text}");
            assert!(!is_caliper_time(text.as_bytes()), "{text}");
        }
        assert_eq!(millis("2018-11-15T10:15Z"), Some(1_542_276_900_000));
        assert_eq!(millis("2018-11-15T10:15:00Z"), Some(1_542_276_900_000));
        assert_eq!(epoch_millis(b"1542276900120"), Some(1_542_276_900_120));
        for other in [
            "1542276900",
            "154227690012",
            "0542276900120",
            "-542276900120",
        ] {
            assert_eq!(epoch_millis(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_printed_and_read() {
        for (text, printed) in [
            (
                "0000-01-01T00:00:00.000+23:59",
                "0000-01-01T00:00:00.000+23:59",
            ),
            (
                "0000-01-01T00:00:30.000+00:01",
                "0000-01-01T00:00:30.000+00:01",
            ),
            ("0000-01-01T00:00:00.000Z", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            (
                "9999-12-31T20:00:00.000-05:00",
                "9999-12-31T23:59:00.000-01:01",
            ),
            (
                "9999-12-31T23:59:60.999-23:59",
                "9999-12-31T23:59:59.999-23:59",
            ),
        ] {
            let at = millis(text).expect(text);
            assert_eq!(print_instant(at).as_deref(), Some(printed), "{text}");
            assert_eq!(millis(printed), Some(at), "{text}");
        }
        let first = millis("0000-01-01T00:00:00.000+23:59").expect("a time");
        let last = millis("9999-12-31T23:59:59.999-23:59").expect("a time");
        for beyond in [first - MINUTE_MILLIS, last + 1, i64::MIN, i64::MAX] {
            assert_eq!(print_instant(beyond), None, "{beyond}");
        }
    }

    proptest! {
        /// Whatever instant a text can mean, the printer and the reader agree on it.
        #[test]
        fn every_instant_comes_back(at in YEAR_0_MILLIS - 86_340_000..YEAR_10000_MILLIS + 86_340_000) {
            let text = print_instant(at).expect("within the range");
            prop_assert_eq!(millis(&text), Some(at));
            prop_assert_eq!(is_caliper_time(text.as_bytes()), text.ends_with('Z'));
        }

        /// Any offset in any spelling moves the instant by that much and by nothing else.
        #[test]
        fn offsets_are_the_clocks_distance_from_utc(
            at in YEAR_0_MILLIS..YEAR_10000_MILLIS, offset in -1_439i64..=1_439, colon: bool,
        ) {
            let text = print_instant(at).expect("within the range");
            let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let colon = if colon { ":" } else { "" };
            let zone = format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
            let text = text.replace('Z', &zone);
            prop_assert_eq!(millis(&text), Some(at - offset * MINUTE_MILLIS), "{}", text);
            let again = print_instant(at - offset * MINUTE_MILLIS).expect("it was in a text");
            prop_assert_eq!(millis(&again), millis(&text));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
            let _ = (read_instant(&bytes), epoch_millis(&bytes));
        }
    }
}
