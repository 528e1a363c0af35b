//! Policies that are taken, and those that are refused with line, reason and mend.

#[cfg(test)]
mod calendar;
#[cfg(test)]
mod form;
#[cfg(test)]
mod import;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod seeds;
