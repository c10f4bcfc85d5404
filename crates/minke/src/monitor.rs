//! `minke top`: all running containers on a full screen, live.
//!
//! ```text
//!   engine ──list, events, a stream of samples each──▶ feed ─┐
//!   keyboard ──────────────────────────────────────▶ keys ──┴▶ board (pure) ──▶ view (ratatui) ──▶ terminal
//! ```
//!
//! The feed is tasks of the event loop, the keyboard a thread that dies with the program. What comes is drawn at most every
//! [`PAUSE`], a key at once.

mod board;
mod feed;
mod history;
mod view;

use std::{io, time::Duration};

use minke_docker_client::Client;
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc;

use self::{
    board::{Board, Key},
    feed::News,
    view::View,
};
use crate::{failure::Failure, terminal::TerminalMode};

/// How long news are gathered before they are drawn.
const PAUSE: Duration = Duration::from_millis(100);

/// What the screen waits for.
enum Input {
    Key(Key),
    /// There is something else to draw: news, or another size of the window.
    Redraw,
    /// The keyboard is gone.
    Lost(io::Error),
}

/// Shows all running containers of the engine until the user leaves.
///
/// # Errors
/// When the engine can't be asked at first or goes away, or the terminal can't be read or written.
pub(crate) async fn run(client: &Client) -> Result<(), Failure> {
    let mut news = feed::start(client).await?;
    let on_terminal = |error| Failure::doing("show containers on the terminal", error);
    let mode = TerminalMode::full_screen().map_err(on_terminal)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout())).map_err(on_terminal)?;
    let mut keyboard = keyboard();
    let (mut board, mut view) = (Board::new(client.endpoint().to_string()), View::default());
    loop {
        terminal.draw(|frame| view.draw(frame, &board)).map_err(on_terminal)?;
        let input = tokio::select! {
            input = keyboard.recv() => input,
            () = gather(&mut news, &mut board) => Some(Input::Redraw),
        };
        match input {
            Some(Input::Key(key)) if board.is_quit(key) => break,
            Some(Input::Key(key)) => board.press(key, view.page()),
            Some(Input::Redraw) => {}
            None => break,
            Some(Input::Lost(error)) => return Err(on_terminal(error)),
        }
        if let Some(failure) = board.failure.take() {
            return Err(failure);
        }
    }
    drop((terminal, mode));
    Ok(())
}

/// Waits for news and takes in all that come within a moment.
async fn gather(news: &mut mpsc::UnboundedReceiver<News>, board: &mut Board) {
    let Some(first) = news.recv().await else { return std::future::pending().await };
    board.take(first);
    // What has been taken in stays, if a key interrupts this.
    let _ = tokio::time::timeout(PAUSE, async {
        while let Some(next) = news.recv().await {
            board.take(next);
        }
    })
    .await;
}

/// Reads the keyboard in a thread.
fn keyboard() -> mpsc::UnboundedReceiver<Input> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        loop {
            let input = match event::read() {
                Ok(Event::Key(pressed)) if pressed.kind != KeyEventKind::Release => {
                    key(pressed).map(Input::Key)
                }
                Ok(Event::Resize(..)) => Some(Input::Redraw),
                Ok(_) => None,
                Err(error) => {
                    let _ = sender.send(Input::Lost(error));
                    return;
                }
            };
            if input.is_some_and(|input| sender.send(input).is_err()) {
                return;
            }
        }
    });
    receiver
}

/// What a key means; letters are both themselves, for who types a filter, and commands.
fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(pressed.code, KeyCode::Char('c' | 'd')).then_some(Key::Quit);
    }
    Some(match pressed.code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Char(letter) => Key::Letter(letter),
        _ => return None,
    })
}
