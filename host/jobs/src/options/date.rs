//! Dates in options: `${DATE:yyyy-MM-dd}` and `dateFormat`.
//!
//! The two use different alphabets. `${DATE…}` takes Java's `SimpleDateFormat`
//! (<https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/text/SimpleDateFormat.html>), `dateFormat` takes
//! moment.js's (<https://momentjs.com/docs/#/parsing/string-format/>), because Rundeck fills in the first on the server
//! and checks the second in its form.

use jiff::Zoned;
use jiff::civil::Date;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Widest padding of a number; a longer run of letters is a mistake.
const WIDEST: usize = 9;

/// Replaces `${DATE:format}`, `${DATE+2:format}` and `${DATE-1:format}` (days) in a text.
///
/// # Errors
/// A sentence about the first part that is no date format or no day count.
pub fn expand_dates(text: &str, now: &Zoned) -> Result<String, String> {
    const OPEN: &str = "${DATE";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        out.push_str(before);
        let inner = after.split_once('}').and_then(|(inner, left)| Some((split_shift(inner)?, left)));
        match inner {
            Some(((shift, format), left)) => {
                let days: i64 = if shift.is_empty() {
                    0
                } else {
                    shift.parse().map_err(|_| format!("`{shift}` is no number of days"))?
                };
                let moment = i32::try_from(days)
                    .ok()
                    .and_then(|days| now.checked_add(jiff::Span::new().try_days(days).ok()?).ok())
                    .ok_or_else(|| format!("`{shift}` days from now is out of range"))?;
                out.push_str(&java_format(format, &moment)?);
                rest = left;
            }
            // `${DATES}` or an unclosed brace is text.
            None => {
                out.push_str(OPEN);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `+2:yyyy` as `("+2", "yyyy")`, `:yyyy` as `("", "yyyy")`.
fn split_shift(inner: &str) -> Option<(&str, &str)> {
    let (shift, format) = inner.split_once(':')?;
    (shift.is_empty() || shift.starts_with(['+', '-'])).then_some((shift, format))
}

/// Splits a pattern into runs of the same letter and other text.
fn run_length(rest: &str, letter: char) -> usize {
    rest.chars().take_while(|next| *next == letter).count()
}

fn name(names: &[&'static str], index: i8, short: bool) -> &'static str {
    let full = usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default();
    if short { full.get(..3).unwrap_or(full) } else { full }
}

/// Formats a moment by a pattern of Java's `SimpleDateFormat`.
fn java_format(pattern: &str, moment: &Zoned) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            let inner = rest.get(1..).unwrap_or_default();
            let (literal, left) = inner.split_once('\'').ok_or_else(|| format!("`{pattern}` has an open quote"))?;
            out.push_str(if literal.is_empty() { "'" } else { literal });
            rest = left;
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            out.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            continue;
        }
        let width = run_length(rest, letter);
        rest = rest.get(width..).unwrap_or_default();
        if width > WIDEST {
            return Err(format!("`{letter}` is repeated too often in the date format `{pattern}`"));
        }
        let hour = i64::from(moment.hour());
        let number = match letter {
            'y' if width == 2 => Some((i64::from(moment.year()) % 100, 2)),
            'y' | 'Y' => {
                let year = if letter == 'Y' { moment.date().iso_week_date().year() } else { moment.year() };
                Some((i64::from(year), width.max(4)))
            }
            'M' | 'L' if width <= 2 => Some((i64::from(moment.month()), width)),
            'd' => Some((i64::from(moment.day()), width)),
            'D' => Some((i64::from(moment.day_of_year()), width)),
            'H' => Some((hour, width)),
            'k' => Some((if hour == 0 { 24 } else { hour }, width)),
            'K' => Some((hour % 12, width)),
            'h' => Some((if hour % 12 == 0 { 12 } else { hour % 12 }, width)),
            'm' => Some((i64::from(moment.minute()), width)),
            's' => Some((i64::from(moment.second()), width)),
            'S' => Some((i64::from(moment.millisecond()), width)),
            'u' => Some((i64::from(moment.weekday().to_monday_one_offset()), width)),
            'w' => Some((i64::from(moment.date().iso_week_date().week()), width)),
            _ => None,
        };
        if let Some((number, width)) = number {
            out.push_str(&format!("{number:0width$}"));
            continue;
        }
        match letter {
            'M' | 'L' => out.push_str(name(&MONTHS, moment.month().saturating_sub(1), width == 3)),
            'E' => out.push_str(name(&DAYS, moment.weekday().to_monday_zero_offset(), width <= 3)),
            'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'G' => out.push_str("AD"),
            'z' => out.push_str(&moment.strftime("%Z").to_string()),
            'Z' => out.push_str(&moment.strftime("%z").to_string()),
            'X' if moment.offset().seconds() == 0 => out.push('Z'),
            'X' => {
                let text = moment.strftime("%:z").to_string();
                match width {
                    1 => out.push_str(text.get(..3).unwrap_or(&text)),
                    2 => out.push_str(&text.replace(':', "")),
                    _ => out.push_str(&text),
                }
            }
            _ => return Err(format!("`{letter}` is no letter of a date format in `{pattern}`")),
        }
    }
    Ok(out)
}

/// Checks that a text is a date in moment.js's `pattern`, and a day that exists.
///
/// # Errors
/// A sentence on why it is not, without the text itself.
pub fn check_date(text: &str, pattern: &str) -> Result<(), String> {
    let mut reader = DateReader { rest: text, ..DateReader::default() };
    let mut format = pattern;
    while let Some(letter) = format.chars().next() {
        if let Some(inner) = format.strip_prefix('[') {
            let (literal, left) = inner.split_once(']').unwrap_or((inner, ""));
            reader.literal(literal)?;
            format = left;
            continue;
        }
        if let Some(left) = format.strip_prefix("Do") {
            reader.day = Some(reader.number("Do", 1, 2)?);
            let suffix = ["st", "nd", "rd", "th"].into_iter().find_map(|suffix| reader.rest.strip_prefix(suffix));
            reader.rest = suffix.ok_or("an ordinal such as `1st` is expected")?;
            format = left;
            continue;
        }
        let width = run_length(format, letter).min(4);
        let width = if letter.is_ascii_alphabetic() { width } else { 1 };
        let token = format.get(..width.saturating_mul(letter.len_utf8())).unwrap_or(format);
        format = format.get(token.len()..).unwrap_or_default();
        reader.token(letter, width, token)?;
    }
    if !reader.rest.is_empty() {
        return Err(format!("there is more after the date; the format is `{pattern}`"));
    }
    reader.finish()
}

#[derive(Default)]
struct DateReader<'text> {
    rest: &'text str,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
}

impl DateReader<'_> {
    fn literal(&mut self, literal: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| format!("`{literal}` is expected"))?;
        Ok(())
    }

    fn number(&mut self, token: &str, least: usize, most: usize) -> Result<i64, String> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return Err(format!("a number is expected for `{token}`"));
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().map_err(|_| format!("the number for `{token}` is too large"))
    }

    fn within(&mut self, token: &str, width: usize, low: i64, high: i64) -> Result<i64, String> {
        let number = self.number(token, width.min(2), 2)?;
        if number < low || number > high {
            return Err(format!("the number for `{token}` is not within {low} and {high}"));
        }
        Ok(number)
    }

    fn name(&mut self, names: &[&str], short: bool, token: &str) -> Result<i64, String> {
        for (index, full) in names.iter().enumerate() {
            let wanted = if short { full.get(..3).unwrap_or(full) } else { full };
            let start = self.rest.get(..wanted.len());
            if start.is_some_and(|start| start.eq_ignore_ascii_case(wanted)) {
                self.rest = self.rest.get(wanted.len()..).unwrap_or_default();
                return Ok(i64::try_from(index).unwrap_or_default().saturating_add(1));
            }
        }
        Err(format!("a name is expected for `{token}`"))
    }

    fn token(&mut self, letter: char, width: usize, token: &str) -> Result<(), String> {
        match letter {
            'Y' if width == 2 => self.year = Some(self.number(token, 2, 2)?.saturating_add(2000)),
            'Y' => self.year = Some(self.number(token, 4, 4)?),
            'M' if width == 3 => self.month = Some(self.name(&MONTHS, true, token)?),
            'M' if width == 4 => self.month = Some(self.name(&MONTHS, false, token)?),
            'M' => self.month = Some(self.within(token, width, 1, 12)?),
            'D' if width <= 2 => self.day = Some(self.within(token, width, 1, 31)?),
            'd' if width >= 3 => {
                self.name(&DAYS, width == 3, token)?;
            }
            'H' => {
                self.within(token, width, 0, 23)?;
            }
            'k' => {
                self.within(token, width, 1, 24)?;
            }
            'h' => {
                self.within(token, width, 1, 12)?;
            }
            'm' | 's' => {
                self.within(token, width, 0, 59)?;
            }
            'S' => {
                self.number(token, width, width)?;
            }
            'X' | 'x' => {
                self.number(token, 1, 14)?;
            }
            'a' | 'A' => {
                self.name(&["am", "pm"], false, token)?;
            }
            'Z' => self.offset(token)?,
            other if other.is_ascii_alphabetic() => {
                return Err(format!("`{token}` is no part of a date format that is known"));
            }
            _ => self.literal(token)?,
        }
        Ok(())
    }

    /// `+01:00`, `+0100` or `Z`.
    fn offset(&mut self, token: &str) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(());
        }
        self.rest = self.rest.strip_prefix(['+', '-']).ok_or_else(|| format!("an offset is expected for `{token}`"))?;
        self.within(token, 2, 0, 23)?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        self.within(token, 2, 0, 59)?;
        Ok(())
    }

    /// Whether the day is in the month.
    fn finish(&self) -> Result<(), String> {
        let (Some(month), Some(day)) = (self.month, self.day) else { return Ok(()) };
        // A leap year where the format has none.
        let year = self.year.unwrap_or(2000);
        let date = (i16::try_from(year), i8::try_from(month), i8::try_from(day));
        match date {
            (Ok(year), Ok(month), Ok(day)) if Date::new(year, month, day).is_ok() => Ok(()),
            _ => Err("there is no such day".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-02-28T15:04:05.678+01:00[Europe/Berlin]".parse().expect("a moment")
    }

    #[test]
    fn expands_dates() {
        for (text, expected) in [
            ("${DATE:yyyy-MM-dd}", "2026-02-28"),
            ("${DATE+2:yyyy-MM-dd}", "2026-03-02"),
            ("${DATE-1:dd.M.yy}", "27.2.26"),
            ("a-${DATE:hh:mm a}-${DATE:EEE}", "a-03:04 PM-Sat"),
            ("${DATE:yyyy-MM-dd'T'HH:mm:ss.SSSXXX}", "2026-02-28T15:04:05.678+01:00"),
            ("${DATE:MMMM D}", "February 59"),
            ("${DATES} ${DATE", "${DATES} ${DATE"),
            ("${option.DATE}", "${option.DATE}"),
        ] {
            assert_eq!(expand_dates(text, &now()).as_deref(), Ok(expected), "{text}");
        }
        assert!(expand_dates("${DATE:yyyy-bb}", &now()).is_err());
        assert!(expand_dates("${DATE+99999999999:yyyy}", &now()).is_err());
        assert!(expand_dates("${DATE:'open}", &now()).is_err());
    }

    #[test]
    fn checks_dates() {
        for (text, format) in [
            ("2026-02-28", "YYYY-MM-DD"),
            ("02/28/2026 03:04 pm", "MM/DD/YYYY hh:mm a"),
            ("1st of March 2026", "Do [of] MMMM YYYY"),
            ("2026-02-28T15:04:05+01:00", "YYYY-MM-DDTHH:mm:ssZ"),
            ("Sat 7.3.26", "ddd D.M.YY"),
        ] {
            // `T` stands between date and time without brackets in many files; moment.js takes it as text.
            let format = format.replace('T', "[T]");
            assert_eq!(check_date(text, &format), Ok(()), "{text} {format}");
        }
        for (text, format) in [
            ("2026-02-30", "YYYY-MM-DD"),
            ("2026-2-28", "YYYY-MM-DD"),
            ("2026-02-28x", "YYYY-MM-DD"),
            ("28.02.2026", "YYYY-MM-DD"),
            ("13/01/2026", "MM/DD/YYYY"),
            ("", "YYYY"),
        ] {
            assert!(check_date(text, format).is_err(), "{text} {format}");
        }
    }
}
