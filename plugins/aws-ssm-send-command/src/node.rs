//! One node of a command: what is known of it, and what its end means.

use outrigger_plugin_sdk::aws::ssm::{CommandInvocation, GetCommandInvocationOutput};
use outrigger_plugin_sdk::log::{self, Level};
use outrigger_plugin_sdk::{Failure, Reason};
use schemars::JsonSchema;
use serde::Serialize;

/// Characters that GetCommandInvocation gives of the standard output, and of the standard error.
const MOST_STDOUT: usize = 24_000;
const MOST_STDERR: usize = 8_000;

/// A node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Instance id.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Status, such as `InProgress`.
    pub status: String,
    /// Status in detail, such as `DeliveryTimedOut`, without blanks.
    pub details: String,
    /// Exit code; -1 while there is none.
    pub exit_code: i32,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// Whether the last invocation of this node was read.
    pub read: bool,
    stdout_url: Option<String>,
    stderr_url: Option<String>,
}

/// One of a node's streams: what was read of it, and how much of that was shown.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// What was read.
    pub content: String,
    shown: usize,
}

impl Stream {
    /// Takes what was read now and gives the lines that are new. A last line without its end waits for more, unless this is all.
    pub fn new_lines(&mut self, content: String, is_all: bool) -> Vec<String> {
        if !content.starts_with(self.content.get(..self.shown).unwrap_or_default()) {
            // Another text than before, not a longer one: nothing of it was shown.
            self.shown = 0;
        }
        self.content = content;
        let rest = self.content.get(self.shown..).unwrap_or_default();
        let new = if is_all { rest } else { rest.get(..rest.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default() };
        self.shown += new.len();
        new.lines().map(str::to_owned).collect()
    }
}

/// A node in the outputs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invocation {
    /// Instance id.
    instance_id: String,
    /// Name of the node.
    instance_name: Option<String>,
    /// `Success`, `Failed`, `TimedOut` or `Cancelled`.
    status: String,
    /// More detail, such as `ExecutionTimedOut`.
    status_details: String,
    /// Exit code; -1 where the command did not run.
    exit_code: i32,
    /// Standard output, at most 24,000 characters.
    stdout: String,
    /// Standard error, at most 8,000 characters.
    stderr: String,
    /// Where the whole standard output is, if a bucket was given.
    stdout_url: Option<String>,
    /// Where the whole standard error is, if a bucket was given.
    stderr_url: Option<String>,
}

impl Node {
    /// A node of which nothing is known.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), status: "Pending".to_owned(), exit_code: -1, ..Self::default() }
    }

    /// Whether the command is over on this node.
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "Success" | "Failed" | "TimedOut" | "Cancelled")
    }

    /// Takes a line of the list of invocations.
    pub fn list(&mut self, listed: &CommandInvocation) {
        self.name = listed.instance_name.clone().filter(|name| !name.is_empty());
        self.set_status(&listed.status, listed.status_details.as_deref());
    }

    fn set_status(&mut self, status: &str, details: Option<&str>) {
        self.status = status.to_owned();
        self.details = details.unwrap_or(status).replace(' ', "");
    }

    /// Takes an invocation, and writes what is new of its output where `show` is set.
    pub fn take(&mut self, invocation: GetCommandInvocationOutput, show: bool, prefix: &str) {
        self.set_status(&invocation.status, invocation.status_details.as_deref());
        self.exit_code = invocation.response_code;
        self.stdout_url = invocation.standard_output_url.filter(|url| !url.is_empty());
        self.stderr_url = invocation.standard_error_url.filter(|url| !url.is_empty());
        let over = self.is_over();
        self.read = over;
        if !show {
            self.stdout.content = invocation.standard_output_content;
            self.stderr.content = invocation.standard_error_content;
            return;
        }
        print(Level::Info, prefix, &self.stdout.new_lines(invocation.standard_output_content, over));
        print(Level::Error, prefix, &self.stderr.new_lines(invocation.standard_error_content, over));
    }

    /// Writes what was read but not shown.
    pub fn show_rest(&mut self, prefix: &str) {
        for (level, stream) in [(Level::Info, &mut self.stdout), (Level::Error, &mut self.stderr)] {
            let content = stream.content.clone();
            print(level, prefix, &stream.new_lines(content, true));
        }
    }

    /// Whether Systems Manager cut the output.
    pub fn is_cut(&self) -> bool {
        self.stdout.content.chars().count() >= MOST_STDOUT || self.stderr.content.chars().count() >= MOST_STDERR
    }

    /// Why the command failed on this node; none where it did not.
    pub fn failure(&self) -> Option<Failure> {
        let id = &self.id;
        let (reason, code, message) = match self.details.as_str() {
            "Success" => return None,
            _ if self.status == "Success" => return None,
            "DeliveryTimedOut" => (
                Reason::Timeout,
                "DeliveryTimedOut",
                format!(
                    "{id} did not take the command in time: see whether it runs and its agent is online, or raise `deliveryTimeout`"
                ),
            ),
            "ExecutionTimedOut" => (
                Reason::Timeout,
                "ExecutionTimedOut",
                format!("the command did not end on {id} in time: raise `executionTimeout`"),
            ),
            "Undeliverable" => (
                Reason::Connection,
                "Undeliverable",
                format!("the command could not be delivered to {id}: it does not exist, or its agent does not answer"),
            ),
            "Terminated" => (
                Reason::Conflict,
                "Terminated",
                format!("{id} was not tried, since the command failed on more nodes than `maxErrors` allows"),
            ),
            "InvalidPlatform" => (
                Reason::InvalidInput,
                "InvalidPlatform",
                format!("the document is for another platform than that of {id}"),
            ),
            "AccessDenied" => (
                Reason::AccessDenied,
                "AccessDenied",
                format!("the role or user that sent the command may not send it to {id} (ssm:SendCommand)"),
            ),
            "Cancelled" => (Reason::Remote, "Cancelled", format!("somebody cancelled the command on {id}")),
            _ if self.exit_code > 0 => {
                let error = last_line(&self.stderr.content);
                (Reason::Remote, "NonZeroResultCode", format!("exit code {} on {id}{error}", self.exit_code))
            }
            other => {
                (Reason::Remote, other, format!("the command is {other} on {id}{}", last_line(&self.stderr.content)))
            }
        };
        Some(Failure::new(reason, message).with_code(code))
    }

    /// The node for the outputs, its streams cut to so many bytes each.
    pub fn output(&self, most: usize) -> Invocation {
        let cut = |text: &str| {
            let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.get(..end).unwrap_or_default().to_owned()
        };
        Invocation {
            instance_id: self.id.clone(),
            instance_name: self.name.clone(),
            status: self.status.clone(),
            status_details: self.details.clone(),
            exit_code: self.exit_code,
            stdout: cut(&self.stdout.content),
            stderr: cut(&self.stderr.content),
            stdout_url: self.stdout_url.clone(),
            stderr_url: self.stderr_url.clone(),
        }
    }
}

/// Writes lines of a node.
pub fn print(level: Level, prefix: &str, lines: &[String]) {
    if !lines.is_empty() {
        let lines: Vec<String> = lines.iter().map(|line| format!("{prefix}{line}")).collect();
        log::write(level, &lines.join("\n"));
    }
}

fn last_line(text: &str) -> String {
    match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!(": {}", line.chars().take(200).collect::<String>()),
        None => String::new(),
    }
}

/// The failure of a command that failed on these nodes, of so many; none where it failed on none.
pub fn verdict(nodes: &[Node]) -> Option<Failure> {
    let failures: Vec<Failure> = nodes.iter().filter_map(Node::failure).collect();
    // A node that was not tried tells less than the one because of which it was not.
    let first = failures.iter().find(|failure| !failure.is("Terminated")).or(failures.first())?.clone();
    if nodes.len() == 1 {
        return Some(first);
    }
    let messages: Vec<&str> = failures.iter().take(5).map(|failure| failure.message.as_str()).collect();
    let more = if failures.len() > 5 { format!("; and {} more", failures.len() - 5) } else { String::new() };
    let message = format!("{} of {} nodes failed: {}{more}", failures.len(), nodes.len(), messages.join("; "));
    Some(Failure { message, ..first })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, status: &str, details: &str, exit_code: i32) -> Node {
        let mut node = Node::new(id);
        node.set_status(status, Some(details));
        node.exit_code = exit_code;
        node
    }

    #[test]
    fn only_new_whole_lines_are_shown() {
        let mut stream = Stream::default();
        assert_eq!(stream.new_lines("one\ntw".to_owned(), false), ["one"]);
        assert!(stream.new_lines("one\ntw".to_owned(), false).is_empty());
        assert_eq!(stream.new_lines("one\ntwo\nthree".to_owned(), true), ["two", "three"]);
        assert!(stream.new_lines("one\ntwo\nthree".to_owned(), true).is_empty());
        assert_eq!(stream.new_lines("other\n".to_owned(), true), ["other"]);
    }

    #[test]
    fn every_end_has_its_own_failure() {
        for (status, details, exit_code, reason, code) in [
            ("TimedOut", "Delivery Timed Out", -1, Reason::Timeout, "DeliveryTimedOut"),
            ("TimedOut", "ExecutionTimedOut", 137, Reason::Timeout, "ExecutionTimedOut"),
            ("Failed", "Undeliverable", -1, Reason::Connection, "Undeliverable"),
            ("Failed", "Terminated", -1, Reason::Conflict, "Terminated"),
            ("Failed", "InvalidPlatform", -1, Reason::InvalidInput, "InvalidPlatform"),
            ("Failed", "AccessDenied", -1, Reason::AccessDenied, "AccessDenied"),
            ("Failed", "Failed", 3, Reason::Remote, "NonZeroResultCode"),
            ("Failed", "Failed", -1, Reason::Remote, "Failed"),
            ("Cancelled", "Cancelled", -1, Reason::Remote, "Cancelled"),
        ] {
            let node = node("i-1", status, details, exit_code);
            assert!(node.is_over());
            let failure = node.failure().unwrap();
            assert_eq!((failure.reason, failure.code.as_deref()), (reason, Some(code)), "{details}");
        }
        assert!(node("i-1", "Success", "Success", 0).failure().is_none());
        assert!(!node("i-1", "InProgress", "InProgress", -1).is_over());
    }

    #[test]
    fn a_failure_names_exit_code_and_last_error() {
        let mut node = node("i-1", "Failed", "Failed", 3);
        node.stderr.content = "first\nno such file\n\n".to_owned();
        assert_eq!(verdict(&[node]).unwrap().message, "exit code 3 on i-1: no such file");
    }

    #[test]
    fn the_cause_goes_before_its_consequence() {
        let nodes = [
            node("i-1", "Failed", "Terminated", -1),
            node("i-2", "Failed", "Failed", 1),
            node("i-3", "Success", "Success", 0),
        ];
        let failure = verdict(&nodes).unwrap();
        assert!(failure.is("NonZeroResultCode"));
        assert!(failure.message.starts_with("2 of 3 nodes failed: "), "{}", failure.message);
        assert!(verdict(&nodes[2..]).is_none());
    }
}
