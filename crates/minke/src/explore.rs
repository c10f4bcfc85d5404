//! `minke image explore`: the layers of an image on a full screen.
//!
//! ```text
//!   keys ──▶ state (pure: which layer, which folders are open) ──▶ view (ratatui) ──▶ terminal
//! ```

mod state;
mod view;

use std::io;

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use self::{
    state::{Explorer, Key},
    view::View,
};
use crate::{failure::Failure, layers::report::Report, terminal::TerminalMode};

/// Shows `report` until the user leaves.
///
/// # Errors
/// When the terminal can't be read or written.
pub(crate) async fn run(image: String, report: Report) -> Result<(), Failure> {
    // Waiting for keys blocks; signals end the program all the same.
    let shown = tokio::task::spawn_blocking(move || show(&mut Explorer::new(image, report)));
    let shown = shown.await.map_err(|error| Failure::doing("show the layers", error))?;
    shown.map_err(|error| Failure::doing("show the layers on the terminal", error))
}

fn show(explorer: &mut Explorer) -> io::Result<()> {
    let mode = TerminalMode::full_screen()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut view = View::default();
    loop {
        terminal.draw(|frame| view.draw(frame, explorer))?;
        let key = match event::read()? {
            Event::Key(pressed) if pressed.kind != KeyEventKind::Release => key(pressed),
            _ => None,
        };
        match key {
            Some(Key::Quit) => break,
            Some(key) => explorer.press(key, view.page()),
            None => {}
        }
    }
    drop((terminal, mode));
    Ok(())
}

/// What a key means.
fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(pressed.code, KeyCode::Char('c' | 'd')).then_some(Key::Quit);
    }
    Some(match pressed.code {
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::Left | KeyCode::Char('h') => Key::Left,
        KeyCode::Right | KeyCode::Char('l') => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Enter | KeyCode::Char(' ') => Key::Enter,
        KeyCode::Char('a') => Key::All,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        _ => return None,
    })
}
