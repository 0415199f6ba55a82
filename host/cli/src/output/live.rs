//! Takes the events of a run and writes them from a thread of its own.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use outrigger_jobs::workflow::{RunEvent, RunObserver};

/// Events that may wait for a slow reader before the run waits too.
const WAITING: usize = 8_192;

/// Writes events.
pub(crate) trait Render: Send + 'static {
    /// Writes one event. May keep it back until [`Render::flush`].
    ///
    /// # Errors
    /// The reader is gone; the run goes on and nothing more is written.
    fn event(&mut self, event: &RunEvent) -> io::Result<()>;

    /// Writes what was kept back.
    ///
    /// # Errors
    /// As [`Render::event`].
    fn flush(&mut self) -> io::Result<()>;
}

enum Message {
    Event(Box<RunEvent>),
    End,
}

/// Gives events to the thread that writes.
#[derive(Debug)]
pub(crate) struct Feed(SyncSender<Message>);

impl RunObserver for Feed {
    fn event(&self, event: &RunEvent) {
        // The thread ends last, so nobody is left behind where this fails.
        drop(self.0.send(Message::Event(Box::new(event.clone()))));
    }
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct Live {
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
}

impl Live {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(renderers: Vec<Box<dyn Render>>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread =
            std::thread::Builder::new().name("output".to_owned()).spawn(move || write(&receiver, renderers))?;
        Ok(Self { sender, thread })
    }

    /// What the run is given.
    pub(crate) fn feed(&self) -> Feed {
        Feed(self.sender.clone())
    }

    /// Waits until everything is written.
    pub(crate) fn finish(self) {
        drop(self.sender.send(Message::End));
        // A thread that broke off has nothing left to write.
        drop(self.thread.join());
    }
}

fn write(receiver: &Receiver<Message>, mut renderers: Vec<Box<dyn Render>>) {
    loop {
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                renderers.retain_mut(|renderer| renderer.flush().is_ok());
                match receiver.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            }
        };
        match message {
            Message::Event(event) => renderers.retain_mut(|renderer| renderer.event(&event).is_ok()),
            Message::End => break,
        }
    }
    for renderer in &mut renderers {
        // Whoever read this is gone.
        drop(renderer.flush());
    }
}

/// One event as JSON on a line of its own.
pub(crate) struct JsonLines<W: io::Write> {
    out: io::BufWriter<W>,
}

impl<W: io::Write> JsonLines<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out: io::BufWriter::new(out) }
    }
}

impl<W: io::Write + Send + 'static> Render for JsonLines<W> {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        io::Write::write_all(&mut self.out, b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut self.out)
    }
}
