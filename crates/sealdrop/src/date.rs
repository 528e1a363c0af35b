//! Dates for people, in UTC: where a reporter is says too much.

use sealdrop_core::time::Time;

/// `2026-11-20`.
pub(crate) fn day(time: Time) -> String {
    let (year, month, day) = civil(time.0 / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-20 14:05 UTC`.
pub(crate) fn minute(time: Time) -> String {
    let minutes = time.0 / 60 % 1_440;
    format!("{} {:02}:{:02} UTC", day(time), minutes / 60, minutes % 60)
}

/// Year, month and day of the day number `days` since 1970-01-01, by the Gregorian calendar in eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01: the leap day is then the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        assert_eq!(minute(Time(0)), "1970-01-01 00:00 UTC");
        assert_eq!(minute(Time(951_782_400 + 86_399)), "2000-02-29 23:59 UTC");
        assert_eq!(day(Time(4_107_542_400)), "2100-03-01");
        assert_eq!(minute(Time(1_795_183_500)), "2026-11-20 14:05 UTC");
    }
}
