//! Opening, against what `sealdrop-core` seals and against what an attacker would send.

mod hostile;
mod maker;
mod roundtrip;
