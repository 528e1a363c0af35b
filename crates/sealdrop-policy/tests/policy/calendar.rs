//! Clocks, held against a calendar of another making.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use sealdrop_policy::clock::{Calendar, Clock};
use sealdrop_policy::schema::{Clocks, Day, Weekday};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(tz: &str, holidays: &[Date]) -> Calendar {
    Calendar::of(&Clocks {
        tz: Some(tz.into()),
        holidays: holidays.iter().copied().map(Day).collect(),
        ..Clocks::default()
    })
    .unwrap()
}

#[track_caller]
fn due(clock: &str, tz: &str, holidays: &[Date], start: &str, expected: &str) {
    let clock: Clock = clock.parse().unwrap();
    let due = clock.due(at(start), &calendar(tz, holidays)).unwrap();
    assert_eq!(due.to_string(), expected);
}

#[test]
fn hours_do_not_care_for_the_calendar() {
    due(
        "48h",
        "Europe/Berlin",
        &[],
        "2026-03-28T12:00:00Z",
        "2026-03-30T12:00:00Z",
    );
    due(
        "48h",
        "UTC",
        &[date(2028, 2, 29)],
        "2028-02-28T12:00:00Z",
        "2028-03-01T12:00:00Z",
    );
}

#[test]
fn a_friday_evening_leaves_the_weekend_out() {
    due(
        "5bd",
        "UTC",
        &[],
        "2026-11-20T21:00:00Z",
        "2026-11-28T00:00:00Z",
    );
    // In Auckland it is Saturday already.
    due(
        "1bd",
        "Pacific/Auckland",
        &[],
        "2026-11-20T21:00:00Z",
        "2026-11-23T11:00:00Z",
    );
    due(
        "1bd",
        "UTC",
        &[],
        "2026-11-21T10:00:00Z",
        "2026-11-24T00:00:00Z",
    );
}

#[test]
fn a_holiday_on_monday_is_no_business_day() {
    due(
        "1bd",
        "Europe/London",
        &[date(2026, 5, 4)],
        "2026-05-01T09:00:00Z",
        "2026-05-05T23:00:00Z",
    );
}

#[test]
fn a_day_ends_at_midnight_before_and_after_clocks_change() {
    // Berlin changes on Sunday 2026-03-29, and on 2026-10-25.
    due(
        "1bd",
        "Europe/Berlin",
        &[],
        "2026-03-27T09:00:00Z",
        "2026-03-30T22:00:00Z",
    );
    due(
        "1bd",
        "Europe/Berlin",
        &[],
        "2026-10-23T09:00:00Z",
        "2026-10-26T23:00:00Z",
    );
    // Where midnight itself is skipped, the day begins at one.
    due(
        "1bd",
        "Africa/Cairo",
        &[],
        "2026-04-22T09:00:00Z",
        "2026-04-23T22:00:00Z",
    );
}

#[test]
fn a_leap_day_is_a_day() {
    due(
        "1bd",
        "UTC",
        &[],
        "2028-02-28T09:00:00Z",
        "2028-03-01T00:00:00Z",
    );
    due(
        "2bd",
        "UTC",
        &[],
        "2028-02-28T09:00:00Z",
        "2028-03-02T00:00:00Z",
    );
}

#[test]
fn where_no_time_is_promised_nothing_is_ever_due() {
    for clock in ["none", "prompt"] {
        let clock: Clock = clock.parse().unwrap();
        assert_eq!(
            clock.due(at("2026-11-20T00:00:00Z"), &calendar("UTC", &[])),
            None
        );
    }
}

#[test]
fn a_week_of_weekends_is_no_calendar() {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let week = vec![
        Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday,
    ];
    let clocks = Clocks {
        weekend: Some(week),
        ..Clocks::default()
    };
    assert!(Calendar::of(&clocks).is_none());
}

/// Days since 1970-01-01 to year, month and day, by counting: no library.
fn by_counting(mut days: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let months = [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    (year, month as i64 + 1, days + 1)
}

proptest! {
    /// In UTC: day by day, a week being seven of them since a Thursday, and holidays compared as year, month and day.
    #[test]
    fn business_days_are_as_one_counts_them(
        start in 0_i64..4_000_000_000,
        days in 1_u16..40,
        holidays in proptest::collection::vec(0_i64..60, 0..10),
    ) {
        let first = start / 86_400;
        let free: Vec<(i64, i64, i64)> = holidays.iter().map(|after| by_counting(first + after)).collect();
        let list: Vec<Date> = free.iter().map(|(y, m, d)| date(*y as i16, *m as i8, *d as i8)).collect();
        let (mut day, mut left) = (first, days);
        while left > 0 {
            day += 1;
            // 1970-01-01 was a Thursday.
            let is_weekend = matches!((day + 4) % 7, 0 | 6);
            if !is_weekend && !free.contains(&by_counting(day)) {
                left -= 1;
            }
        }
        let due = Clock::BusinessDays(days).due(Timestamp::from_second(start).unwrap(), &calendar("UTC", &list));
        prop_assert_eq!(due.unwrap().as_second(), (day + 1) * 86_400);
    }
}
