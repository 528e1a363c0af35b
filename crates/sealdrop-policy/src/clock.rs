//! Clocks: how long something may take, and when that is. docs/policy.md, "Clocks".

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{self, Date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{Clocks, Weekday};

/// The longest time that a clock may run, in days.
const MAX_DAYS: u16 = 3_650;

/// How long something may take: `"48h"`, `"14d"`, `"5bd"` (business days), `"prompt"`, or `"none"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Clock {
    /// Nothing is promised.
    #[default]
    None,
    /// It is promised to be prompt, which is no time: there is no countdown.
    Prompt,
    /// Hours, at least one.
    Hours(u16),
    /// Days of 24 hours, at least one.
    Days(u16),
    /// Business days, at least one.
    BusinessDays(u16),
}

impl Clock {
    /// When the time is over that began at `start`; `None` where there is no countdown.
    ///
    /// The day on which it began does not count as a business day, and the last one counts to its end, in the calendar's time zone.
    #[must_use]
    pub fn due(self, start: Timestamp, calendar: &Calendar) -> Option<Timestamp> {
        let after = |hours: i64| start.checked_add(SignedDuration::from_hours(hours)).ok();
        match self {
            Self::None | Self::Prompt => None,
            Self::Hours(hours) => after(hours.into()),
            Self::Days(days) => after(24 * i64::from(days)),
            Self::BusinessDays(days) => calendar.after_business_days(start, days),
        }
    }
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[number.len()..];
        let count = number.parse::<u16>().ok().filter(|count| *count > 0);
        match (text, unit, count) {
            ("none", ..) => Ok(Self::None),
            ("prompt", ..) => Ok(Self::Prompt),
            (_, "h", Some(hours)) if hours <= 24 * 365 => Ok(Self::Hours(hours)),
            (_, "d", Some(days)) if days <= MAX_DAYS => Ok(Self::Days(days)),
            (_, "bd", Some(days)) if days <= MAX_DAYS => Ok(Self::BusinessDays(days)),
            (_, "h" | "d" | "bd", Some(_)) => {
                Err(format!("`{text}` is longer than a clock may run"))
            }
            _ => Err(format!(
                "`{text}` is no time: write \"48h\" (hours), \"14d\" (days), \"5bd\" (business days), \"prompt\" or \"none\""
            )),
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Prompt => f.write_str("prompt"),
            Self::Hours(hours) => write!(f, "{hours}h"),
            Self::Days(days) => write!(f, "{days}d"),
            Self::BusinessDays(days) => write!(f, "{days}bd"),
        }
    }
}

impl TryFrom<String> for Clock {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Clock> for String {
    fn from(clock: Clock) -> Self {
        clock.to_string()
    }
}

/// Which days are business days, and where they begin.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    weekend: Vec<civil::Weekday>,
    holidays: BTreeSet<Date>,
}

impl Calendar {
    /// The calendar of a policy; `None` if its time zone is none that is known, or every day is a weekend.
    #[must_use]
    pub fn of(clocks: &Clocks) -> Option<Self> {
        let zone = match &clocks.tz {
            Some(name) => TimeZone::get(name).ok()?,
            None => TimeZone::UTC,
        };
        let usual = [Weekday::Saturday, Weekday::Sunday];
        let weekend = clocks.weekend.as_deref().unwrap_or(&usual);
        let weekend: Vec<_> = weekend.iter().map(|day| day.to_civil()).collect();
        let works = |day: &Weekday| !weekend.contains(&day.to_civil());
        Weekday::ALL.iter().any(works).then(|| Self {
            zone,
            weekend,
            holidays: clocks.holidays.iter().map(|day| day.0).collect(),
        })
    }

    /// The day on which something is, here.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// Whether this is a business day.
    #[must_use]
    pub fn is_business_day(&self, day: Date) -> bool {
        !self.weekend.contains(&day.weekday()) && !self.holidays.contains(&day)
    }

    /// The end of the business day that is so many after the day of `start`. `None` if that is beyond the calendar.
    fn after_business_days(&self, start: Timestamp, days: u16) -> Option<Timestamp> {
        let mut day = self.day(start);
        let mut left = days;
        // Holidays are finite, so there is an end to it.
        while left > 0 {
            day = day.tomorrow().ok()?;
            left -= u16::from(self.is_business_day(day));
        }
        // A day may begin at one o'clock, where clocks are set forward at midnight.
        let next = day.tomorrow().ok()?.to_zoned(self.zone.clone()).ok()?;
        Some(next.timestamp())
    }
}

impl Weekday {
    const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    fn to_civil(self) -> civil::Weekday {
        match self {
            Self::Monday => civil::Weekday::Monday,
            Self::Tuesday => civil::Weekday::Tuesday,
            Self::Wednesday => civil::Weekday::Wednesday,
            Self::Thursday => civil::Weekday::Thursday,
            Self::Friday => civil::Weekday::Friday,
            Self::Saturday => civil::Weekday::Saturday,
            Self::Sunday => civil::Weekday::Sunday,
        }
    }
}
