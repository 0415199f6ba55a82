//! Output of a command by way of CloudWatch Logs: complete, and while the command runs.

use std::collections::BTreeMap;

use outrigger_plugin_sdk::aws::Credentials;
use outrigger_plugin_sdk::aws::log_events::{self, GetLogEventsInput};
use outrigger_plugin_sdk::log::Level;
use outrigger_plugin_sdk::{Failure, Reason, TimeSpan, clock, warn};

use crate::node::{Node, print};

/// Times that the end of a log is looked for after the command is over.
const LAST_LOOKS: usize = 10;

/// Reads the streams that the agents write.
pub struct Tail {
    group: String,
    command: String,
    plugin: String,
    delay: TimeSpan,
    streams: BTreeMap<(String, &'static str), Position>,
}

#[derive(Default)]
struct Position {
    token: Option<String>,
    bytes: usize,
}

impl Tail {
    /// A reader for a command's streams in a group. They are named `command/instance/plugin/stdout` and `.../stderr`.
    pub fn new(group: &str, command: &str, plugin: &str, delay: TimeSpan) -> Self {
        Self {
            group: group.to_owned(),
            command: command.to_owned(),
            plugin: plugin.replace(':', "-"),
            delay,
            streams: BTreeMap::new(),
        }
    }

    /// Shows what is new of a node's streams, and gives the number of new events.
    pub fn follow(&mut self, aws: &Credentials, node: &Node, prefix: &str) -> Result<usize, Failure> {
        let mut events = 0;
        for (stream, level) in [("stdout", Level::Info), ("stderr", Level::Error)] {
            events += self.read(aws, &node.id, stream, level, prefix)?;
        }
        Ok(events)
    }

    fn read(
        &mut self,
        aws: &Credentials,
        id: &str,
        stream: &'static str,
        level: Level,
        prefix: &str,
    ) -> Result<usize, Failure> {
        let position = self.streams.entry((id.to_owned(), stream)).or_default();
        let mut count = 0;
        loop {
            let input = GetLogEventsInput {
                log_group_name: self.group.clone(),
                log_stream_name: format!("{}/{id}/{}/{stream}", self.command, self.plugin),
                next_token: position.token.clone(),
                limit: None,
            };
            let page = match log_events::get_log_events(aws, &input) {
                Ok(page) => page,
                // The agent makes group and stream with the first output.
                Err(failure) if failure.reason == Reason::NotFound => return Ok(count),
                Err(failure) => return Err(failure),
            };
            let lines: Vec<String> = page.events.into_iter().map(|event| event.message).collect();
            position.bytes += lines.iter().map(|line| line.len() + 1).sum::<usize>();
            count += lines.len();
            print(level, prefix, &lines);
            let again = page.next_forward_token.is_none() || page.next_forward_token == position.token;
            position.token = page.next_forward_token.or(position.token.take());
            if again {
                return Ok(count);
            }
        }
    }

    /// Whether as much arrived as Systems Manager has of the node's output.
    fn has_all(&self, node: &Node) -> bool {
        [("stdout", &node.stdout), ("stderr", &node.stderr)].iter().all(|(stream, seen)| {
            let arrived = self.streams.get(&(node.id.clone(), *stream)).map_or(0, |position| position.bytes);
            arrived + 1 >= seen.content.trim_end().len()
        })
    }

    /// Shows the rest after the end of the command. Logs arrive some seconds late; what does not arrive at all is shown from what
    /// Systems Manager has.
    pub fn finish(
        &mut self,
        aws: &Credentials,
        nodes: &mut [Node],
        prefix: impl Fn(&Node) -> String,
    ) -> Result<(), Failure> {
        let mut open: Vec<usize> = (0..nodes.len()).collect();
        for _ in 0..LAST_LOOKS {
            clock::sleep(self.delay.seconds().max(1) * 1_000)?;
            let mut still = Vec::new();
            for index in open {
                let Some(node) = nodes.get(index) else { continue };
                let new = self.follow(aws, node, &prefix(node))?;
                // A cut output says nothing of its length: then the end is where nothing new comes.
                if !self.has_all(node) || (node.is_cut() && new > 0) {
                    still.push(index);
                }
            }
            open = still;
            if open.is_empty() {
                return Ok(());
            }
        }
        for index in open {
            let Some(node) = nodes.get_mut(index) else { continue };
            let arrived = ["stdout", "stderr"]
                .iter()
                .any(|stream| self.streams.get(&(node.id.clone(), *stream)).is_some_and(|position| position.bytes > 0));
            if arrived {
                warn!("{}: the end of the output did not arrive in the log group {}", node.id, self.group);
            } else {
                warn!(
                    "{}: no output arrived in the log group {}; does the instance profile allow logs:CreateLogStream and \
                     logs:PutLogEvents? What Systems Manager has of it:",
                    node.id, self.group
                );
                let prefix = prefix(node);
                node.show_rest(&prefix);
            }
        }
        Ok(())
    }
}
