//! A person in front of a terminal: what the program shows them is waited for, then they type.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
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
    closed: Arc<AtomicBool>,
    glass: JoinHandle<()>,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
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
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = closed.clone();
        let glass = thread::spawn(move || {
            let mut piece = [0; 4096];
            // Its end of the terminal must not outlive a closed one.
            while !is_closed.load(Ordering::SeqCst) {
                let mut ready = [PollFd::new(&glass, PollFlags::IN)];
                let moment = Timespec {
                    tv_sec: 0,
                    tv_nsec: 20_000_000,
                };
                if poll(&mut ready, Some(&moment)).unwrap() == 0 {
                    continue;
                }
                let Ok(n @ 1..) = glass.read(&mut piece) else {
                    return;
                };
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
            closed,
            glass,
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

    /// Closes the terminal and waits for the end, which must come; the exit code.
    #[track_caller]
    pub(crate) fn close(self) -> Option<i32> {
        self.closed.store(true, Ordering::SeqCst);
        self.glass.join().unwrap();
        drop(self.keyboard);
        ended(self.child)
    }

    /// Sends one signal and waits for the end, which must come; the exit code.
    #[track_caller]
    pub(crate) fn signal(self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        ended(self.child)
    }
}

#[track_caller]
fn ended(mut child: Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the program does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
}
