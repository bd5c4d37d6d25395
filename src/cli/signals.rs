//! Ctrl-C and requests to end.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sweep::StopFlag;

use super::error::Exit;
use super::output::{discard_drafts, remark};

/// What is said when a signal comes.
type Word = Box<dyn Fn() -> String + Send>;

/// What a signal does.
enum Reaction {
    /// It ends the process.
    End(Word),
    /// It asks for a tidy stop; the next one ends the process.
    Stop(Arc<StopFlag>, Word),
}

static REACTION: Mutex<Option<Reaction>> = Mutex::new(None);

/// On a signal, takes the drafts away, says `word` and ends the process; a later call changes the
/// reaction.
pub(super) fn watch_interrupt(word: impl Fn() -> String + Send + 'static) {
    react(Reaction::End(Box::new(word)));
}

/// On a signal, says `word` and sets `stop`, for the work to come to a tidy end. A second signal
/// ends the process.
pub(super) fn watch_stop(stop: Arc<StopFlag>, word: impl Fn() -> String + Send + 'static) {
    react(Reaction::Stop(stop, Box::new(word)));
}

/// The word before anything is written.
pub(super) fn nothing_written() -> String {
    "interrupted: nothing was written".to_owned()
}

fn react(reaction: Reaction) {
    let first = lock().replace(reaction).is_none();
    if first && let Err(error) = ctrlc::set_handler(came) {
        remark(&format!("note: Ctrl-C will end the program without a word ({error})"));
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Reaction>> {
    REACTION.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::exit, reason = "a person asked for it, and nothing is half written")]
fn came() {
    let mut reaction = lock();
    if let Some(Reaction::Stop(stop, word)) = &*reaction {
        remark(&word());
        stop.stop();
        *reaction = Some(Reaction::End(Box::new(|| "ended at once".to_owned())));
        return;
    }
    let word = match &*reaction {
        Some(Reaction::End(word)) => word(),
        _ => "interrupted".to_owned(),
    };
    discard_drafts();
    remark(&word);
    std::process::exit(i32::from(Exit::Interrupted.code()));
}
