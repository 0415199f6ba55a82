//! What a step says while it runs: redacted, made harmless, filtered, and cut where it is too much.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::engine::Engine;
use super::event::RunEventKind;
use crate::filters::{FilterChain, FilterOutput, FilteredLine, LineBreaks, neutralise};
use crate::steps::{LogLevel, LogLine, StepSink};

/// Milliseconds between two progress reports of a step, the last one aside.
const PROGRESS_MILLIS: i128 = 100;

/// The log of one attempt of a step.
pub(super) struct StepLog {
    engine: Arc<Engine>,
    step: String,
    node: String,
    threshold: LogLevel,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chain: FilterChain,
    output: FilterOutput,
    data: Vec<(String, String)>,
    outputs: IndexMap<String, Value>,
    lines: u64,
    bytes: u64,
    cut: bool,
    closed: bool,
    progress: Option<Timestamp>,
}

/// What an attempt left behind.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// Values that log filters found.
    pub(super) data: Vec<(String, String)>,
    /// Typed outputs.
    pub(super) outputs: IndexMap<String, Value>,
}

impl StepLog {
    pub(super) fn new(
        engine: &Arc<Engine>,
        step: &str,
        node: &str,
        threshold: LogLevel,
        chain: FilterChain,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine: Arc::clone(engine),
            step: step.to_owned(),
            node: node.to_owned(),
            threshold,
            state: Mutex::new(State { chain, ..State::default() }),
        })
    }

    /// Ends the log: filters that look at the whole of it do so now. What comes later is dropped.
    pub(super) fn close(&self) -> Captured {
        let mut state = self.lock();
        let state = &mut *state;
        if !state.closed {
            state.closed = true;
            state.chain.finish(&mut state.output);
            self.emit(state);
        }
        Captured { data: std::mem::take(&mut state.data), outputs: std::mem::take(&mut state.outputs) }
    }

    /// A badge that a step sets itself.
    pub(super) fn badge(&self, badge: crate::filters::Badge) {
        let mut state = self.lock();
        state.output.badges.push(badge);
        self.emit(&mut state);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic of an observer must not make the log of the step unusable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, state: &mut State) {
        let (step, node) = (&self.step, &self.node);
        for line in state.output.lines.drain(..) {
            if line.level < self.threshold {
                continue;
            }
            if state.cut {
                continue;
            }
            let limits = &self.engine.limits;
            state.lines += 1;
            state.bytes = state.bytes.saturating_add(line.text.len() as u64);
            let (level, text, data_type, title, highlights) =
                if state.lines > limits.log_lines || state.bytes > limits.log_bytes {
                    state.cut = true;
                    let text = format!(
                        "[log cut here: a step may show {} lines and {} bytes; the step goes on]",
                        limits.log_lines, limits.log_bytes
                    );
                    (LogLevel::Warn, text, None, None, Vec::new())
                } else {
                    let breaks = if line.data_type.is_some() { LineBreaks::Keep } else { LineBreaks::Escape };
                    let FilteredLine { level, text, data_type, title, highlights } = line;
                    // Only what a filter added can still hold control characters, and nothing stands out there.
                    let text = match neutralise(&text, breaks) {
                        std::borrow::Cow::Borrowed(_) => text,
                        std::borrow::Cow::Owned(clean) => clean,
                    };
                    let highlights = highlights.into_iter().filter(|h| text.get(h.start..h.end).is_some()).collect();
                    (level, text, data_type, title, highlights)
                };
            self.engine.emit(RunEventKind::Log {
                step: step.clone(),
                node: node.clone(),
                level,
                text,
                data_type,
                title,
                highlights,
            });
        }
        for badge in state.output.badges.drain(..) {
            let text = self.engine.clean(&badge.text);
            self.engine.emit(RunEventKind::Badge {
                step: step.clone(),
                node: node.clone(),
                text,
                status: badge.status,
            });
        }
        for warning in state.output.warnings.drain(..) {
            self.engine.warn(Some(step), &warning);
        }
        state.data.append(&mut state.output.data);
    }
}

impl StepSink for StepLog {
    fn log(&self, line: LogLine) {
        let text = self.engine.redactor().redact(&line.text);
        let breaks = if line.data_type.is_some() { LineBreaks::Keep } else { LineBreaks::Escape };
        let text = neutralise(&text, breaks);
        let text = shorten(&text, self.engine.limits.line_bytes);
        let data_type = line.data_type.map(|data_type| self.engine.clean(&data_type));
        let mut state = self.lock();
        let state = &mut *state;
        if state.closed {
            return;
        }
        state.chain.line(FilteredLine::from(LogLine { level: line.level, text, data_type }), &mut state.output);
        self.emit(state);
    }

    fn progress(&self, done: u64, total: Option<u64>, what: &str) {
        let now = self.engine.now();
        let mut state = self.lock();
        let recent = state
            .progress
            .is_some_and(|last| now.duration_since(last).as_millis() < PROGRESS_MILLIS && total != Some(done));
        if state.closed || recent {
            return;
        }
        state.progress = Some(now);
        self.engine.emit(RunEventKind::Progress {
            step: self.step.clone(),
            node: self.node.clone(),
            done,
            total,
            what: self.engine.clean(what),
        });
    }

    fn output(&self, name: &str, value: Value) {
        let mut state = self.lock();
        if !state.closed {
            state.outputs.insert(name.to_owned(), value);
        }
    }
}

/// Outputs for people and records.
pub(super) fn shown_outputs(engine: &Engine, outputs: &IndexMap<String, Value>) -> Map<String, Value> {
    let shown = Value::Object(outputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    match engine.clean_json(shown) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} [line cut here: {} bytes]", text.get(..end).unwrap_or_default(), text.len())
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(super::shorten("ääää", 3), "ä [line cut here: 8 bytes]");
        assert_eq!(super::shorten("abc", 3), "abc");
    }
}
