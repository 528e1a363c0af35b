//! Cold start, and sizes.

use anyhow::Result;

use crate::process::{Server, median, program, scratch};
use crate::site::Site;

pub(crate) fn run(quick: bool) -> Result<()> {
    let times = if quick { 5 } else { 20 };
    let dir = scratch()?;
    let mut site = Site::new();
    let data = dir.path().join("data");
    let (first, _) = site.serve(&data)?;
    drop(first);
    let again: Result<Vec<_>> = (0..times)
        .map(|_| Ok(Server::start(&mut site.command(&data)?)?.start))
        .collect();
    let new: Result<Vec<_>> = (0..times)
        .map(|n| {
            let data = dir.path().join(n.to_string());
            Ok(Server::start(&mut site.command(&data)?)?.start)
        })
        .collect();
    let ms =
        |times| median(times).map_or(0.0, |time: std::time::Duration| time.as_secs_f64() * 1e3);
    println!(
        "Start to ready message, medians of {times}: {:.1} ms in a folder that was killed, {:.1} ms in a new one (aim: under 25)",
        ms(again?),
        ms(new?)
    );
    Ok(())
}

pub(crate) fn sizes() -> Result<()> {
    println!("Programs (aim: server under 10 MB)");
    for name in ["sealdrop", "sealdrop-server", "sealdrop-desk"] {
        match program(name).and_then(|path| Ok(path.metadata()?.len())) {
            Ok(len) => println!("{name:<16} {:>6.2} MB", len as f64 / 1e6),
            Err(error) => println!("{name:<16} {error:#}"),
        }
    }
    Ok(())
}
