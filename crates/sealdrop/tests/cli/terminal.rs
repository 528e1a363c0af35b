//! A person in front of a terminal: what the program shows them is waited for, then they type.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long nothing may be shown that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    /// How much of it was waited for.
    seen: usize,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 50,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = || {
            let name = name.to_str().unwrap();
            File::options().read(true).write(true).open(name).unwrap()
        };
        let child = command
            .env("TERM", "xterm")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        // The program's ends of the terminal are the only ones, so that it closes with the program.
        drop(command);
        let keyboard = File::from(master);
        let mut glass = keyboard.try_clone().unwrap();
        let (show, screen) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = glass.read(&mut piece) {
                if show.send(piece[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            shown: Vec::new(),
            seen: 0,
        }
    }

    /// Waits until `text` is shown, after what was waited for before, and types the answer.
    #[track_caller]
    pub(crate) fn answer(&mut self, text: &str, answer: &str) -> &mut Self {
        loop {
            let new = String::from_utf8_lossy(&self.shown[self.seen..]).into_owned();
            if let Some(at) = new.find(text) {
                self.seen += at + text.len();
                break;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown.extend(piece),
                Err(_) => panic!("{text:?} does not come, but {new:?}"),
            }
        }
        self.keyboard.write_all(answer.as_bytes()).unwrap();
        self
    }

    /// Waits for the end; the exit code and all that was shown.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        while let Ok(piece) = self.screen.recv_timeout(PATIENCE) {
            self.shown.extend(piece);
        }
        (code, String::from_utf8_lossy(&self.shown).into_owned())
    }
}
