//! The tree of a build on the terminal of standard error, drawn anew while it changes and while time goes by.
//!
//! A thread of its own draws, so that the time goes on while whoever tells events waits for the next. Neither the cursor nor a mode
//! of the terminal is changed: what ends the program at any moment leaves nothing to put back.

use std::{
    io::Write as _,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use minke_build_client::BuildEvent;

use super::tree::{Stand, Tree};
use crate::{output, paint::Painter, terminal};

/// How often it is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// A tree that is on the terminal.
#[derive(Debug)]
pub(super) struct Live {
    scene: Arc<Mutex<Scene>>,
    /// Dropped, it ends the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Scene {
    tree: Tree,
    painter: Painter,
    began: Instant,
    colours: bool,
}

impl Live {
    pub(super) fn begin() -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let scene =
            Scene { tree: Tree::default(), painter: Painter::default(), began: Instant::now(), colours };
        let scene = Arc::new(Mutex::new(scene));
        let (end, ended) = mpsc::channel();
        let drawn = Arc::clone(&scene);
        let thread = std::thread::spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(FRAME) {
                lock(&drawn).draw(Stand::Running);
            }
        });
        Self { scene, end: Some(end), thread: Some(thread) }
    }

    pub(super) fn event(&self, event: &BuildEvent) {
        let mut scene = lock(&self.scene);
        let now = scene.began.elapsed();
        scene.tree.event(event, now);
    }

    /// Draws it for the last time; it stays. Calls `failed` with each step that failed and the end of what it said.
    pub(super) fn finish(
        mut self,
        stand: Stand,
        mut failed: impl FnMut(&str, &mut dyn Iterator<Item = &str>),
    ) {
        self.stop();
        let mut scene = lock(&self.scene);
        scene.draw(stand);
        for warning in scene.tree.warnings() {
            output::note(&format!("WARNING: {warning}"));
        }
        for (name, tail) in scene.tree.failed() {
            failed(name, &mut tail.iter().map(String::as_str));
        }
    }

    fn stop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // One that has panicked draws no more, which is what is wanted.
            let _ = thread.join();
        }
    }
}

/// A build that is given up leaves its last picture.
impl Drop for Live {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(scene: &Mutex<Scene>) -> std::sync::MutexGuard<'_, Scene> {
    scene.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene {
    fn draw(&mut self, stand: Stand) {
        let (columns, height) = terminal::size().unwrap_or((80, 24));
        let rows = self.tree.rows(self.began.elapsed(), usize::from(height), stand);
        let text = self.painter.frame(&rows, usize::from(columns), self.colours);
        let mut stderr = std::io::stderr().lock();
        // There is nowhere to report a failure to.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}
