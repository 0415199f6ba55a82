//! AWS / SSM / Send Command.

mod managed;
mod node;
mod script;
mod tail;
mod targets;

use std::collections::BTreeMap;

use outrigger_plugin_sdk::aws::ssm::{
    self, GetCommandInvocationInput, ListCommandInvocationsInput, SendCommandInput, Target,
};
use outrigger_plugin_sdk::aws::{AwsConnection, Credentials, console_url, credentials};
use outrigger_plugin_sdk::{MAX_OUTPUT_BYTES, pages, prelude::*};

use node::{Invocation, Node, verdict};
use tail::Tail;
use targets::TargetsInput;

/// Nodes of a command by tag whose output is asked for while it runs; of more it is read at their end.
const MOST_STREAMED: usize = 20;

/// Ids that one command takes; tags reach more.
const MOST_IDS: usize = 50;

/// Runs a command on managed nodes.
pub struct SendCommand;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Ids of managed nodes with commas: `i-...`, or `mi-...` for machines outside EC2. At most 50.
    #[serde(default)]
    #[schemars(title = "Instance IDs", example = "i-0123456789abcdef0")]
    pub instance_ids: CommaList,
    /// Nodes by tag instead of ids, one target a line: `tag:Name=web,db`. All of them must match.
    #[serde(default)]
    #[schemars(title = "Targets", with = "TargetsInput", example = "tag:Role=web")]
    pub targets: Option<TargetsInput>,
    /// Script to run, with the document `AWS-RunShellScript`, or `AWS-RunPowerShellScript` where the nodes run Windows.
    #[serde(default)]
    #[schemars(title = "Commands", with = "String", extend("x-outrigger-display" = "code:shell"))]
    pub commands: Option<String>,
    /// Document. Chosen by the nodes' platform where it is left out and `commands` is given.
    #[serde(default)]
    #[schemars(title = "Document", with = "String", example = "AWS-RunShellScript")]
    pub document_name: Option<String>,
    /// Version of the document.
    #[serde(default)]
    #[schemars(title = "Document version", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub document_version: Option<String>,
    /// Parameters of the document: a JSON object of texts or lists of texts.
    #[serde(default)]
    #[schemars(title = "Parameters", with = "JsonInput", example = r#"{"Operation": ["Scan"]}"#)]
    pub parameters: Option<JsonInput>,
    /// Folder that the script runs in.
    #[serde(default)]
    #[schemars(title = "Working directory", with = "String", extend("x-outrigger-group" = "Script"))]
    pub working_directory: Option<String>,
    /// Variables of the script's environment: a JSON object. They are part of the command, so put no secret here.
    #[serde(default)]
    #[schemars(title = "Environment", with = "JsonInput", extend("x-outrigger-group" = "Script"))]
    pub environment: Option<JsonInput>,
    /// User that the script runs as, by `sudo`; the agent's own, `root`, where it is left out.
    #[serde(default)]
    #[schemars(title = "Run as", with = "String", extend("x-outrigger-group" = "Script"))]
    pub run_as: Option<String>,
    /// Time that the script gets on a node: 1 second to 48 hours; an hour where it is left out.
    #[serde(default)]
    #[schemars(title = "Execution timeout", with = "TimeSpan", extend("x-outrigger-group" = "Waiting"))]
    pub execution_timeout: Option<TimeSpan>,
    /// Time within which a node must have taken the command: 30 seconds to 30 days.
    #[serde(default = "ten_minutes")]
    #[schemars(title = "Delivery timeout", extend("x-outrigger-group" = "Waiting"))]
    pub delivery_timeout: TimeSpan,
    /// Comment that the command carries, at most 100 characters.
    #[serde(default)]
    #[schemars(title = "Comment", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub comment: Option<String>,
    /// Nodes at once: a number or a percentage; 50 where it is left out.
    #[serde(default)]
    #[schemars(title = "Max concurrency", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub max_concurrency: Option<String>,
    /// Errors after which no more nodes are tried: a number or a percentage; 0 where it is left out.
    #[serde(default)]
    #[schemars(title = "Max errors", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub max_errors: Option<String>,
    /// Bucket for the complete output.
    #[serde(default)]
    #[schemars(title = "Output bucket", with = "String", extend("x-outrigger-group" = "Output"))]
    pub output_s3_bucket_name: Option<String>,
    /// Prefix in that bucket.
    #[serde(default)]
    #[schemars(title = "Output prefix", with = "String", extend("x-outrigger-group" = "Output"))]
    pub output_s3_key_prefix: Option<String>,
    /// Log group for the output: shown while the command runs, and complete. Without it, 24,000 characters are shown.
    #[serde(default)]
    #[schemars(title = "CloudWatch log group", with = "String", extend("x-outrigger-group" = "Output"))]
    pub cloud_watch_log_group: Option<String>,
    /// Time to wait for the end of the log after the command.
    #[serde(default = "two_seconds")]
    #[schemars(title = "Log retrieve delay", extend("x-outrigger-group" = "Output"))]
    pub log_retrieve_delay: TimeSpan,
    /// Step of the document whose output is shown, where it has several.
    #[serde(default)]
    #[schemars(title = "Plugin", with = "String", extend("x-outrigger-group" = "Output"))]
    pub plugin_name: Option<String>,
    /// Look first whether the nodes are managed by Systems Manager.
    #[serde(default = "yes")]
    #[schemars(title = "Check nodes", extend("x-outrigger-group" = "Advanced"))]
    pub check_managed: bool,
    /// Wait until the command is over on all nodes, and cancel it when the step is aborted or times out.
    #[serde(default = "yes")]
    #[schemars(title = "Wait", extend("x-outrigger-group" = "Waiting"))]
    pub wait: bool,
    /// How long to wait for all nodes; delivery and execution timeout together and a minute more where it is left out.
    #[serde(default)]
    #[schemars(title = "Timeout", with = "TimeSpan", extend("x-outrigger-group" = "Waiting"))]
    pub timeout: Option<TimeSpan>,
    /// Time between two looks: seconds, or a text such as `500ms`. Left out, it grows while nothing changes.
    #[serde(default)]
    #[schemars(title = "Poll interval", with = "TimeSpan", extend("x-outrigger-group" = "Waiting"))]
    pub poll_interval: Option<TimeSpan>,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

fn ten_minutes() -> TimeSpan {
    TimeSpan::from_seconds(600)
}

fn two_seconds() -> TimeSpan {
    TimeSpan::from_seconds(2)
}

/// What came of the command.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Command id.
    command_id: String,
    /// `Success`, `Failed`, or `Pending` where the step does not wait.
    status: String,
    /// Exit code: that of the first node on which the command failed, else 0; -1 where it did not run.
    exit_code: Option<i32>,
    /// Exit codes by instance id.
    exit_codes: Option<BTreeMap<String, i32>>,
    /// All nodes.
    invocations: Option<Vec<Invocation>>,
    /// Standard output of the first node, at most 24,000 characters.
    stdout: Option<String>,
    /// Standard error of the first node, at most 8,000 characters.
    stderr: Option<String>,
}

impl JobStep for SendCommand {
    const PROVIDER: &'static str = "aws-ssm-send-command-step";
    const TITLE: &'static str = "AWS / SSM / Send Command";
    const SUMMARY: &'static str = "Runs a script or a document of Systems Manager on nodes by id or tag, shows their output, and fails where one of them does.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        let ids = input.instance_ids.distinct();
        let targets = input.targets.as_ref().map(TargetsInput::targets).transpose()?.unwrap_or_default();
        check(&input, &ids, &targets)?;
        let aws = credentials()?;
        let found = if input.check_managed { managed::check(&aws, &ids, &targets)? } else { None };
        let document = match &input.document_name {
            Some(name) => name.trim().to_owned(),
            None => managed::script_document(found.as_deref().unwrap_or_default())?.to_owned(),
        };
        let request = request(&input, &document, ids.clone(), targets)?;
        let command = ssm::send_command(&aws, &request).context(format!("sending {document}"))?;
        let id = command.command_id;
        let region = aws.region()?;
        info!("command {id}: {}", console_url(&region, &format!("systems-manager/run-command/{id}?region={region}")));
        output("commandId", &id)?;
        if !input.wait {
            return outputs(&Outputs { command_id: id, status: command.status, ..Outputs::default() });
        }
        let expected = if ids.is_empty() { found.map_or(1, |nodes| nodes.len()) } else { ids.len() };
        let mut watch = Watch::new(&aws, &input, &id, &document, ids, expected);
        watch.wait(&input)?;
        watch.finish()
    }
}

fn check(input: &Input, ids: &[String], targets: &[Target]) -> Result<(), Failure> {
    let wrong = |message: String| Err(Failure::invalid_input(message));
    match (ids.len(), targets.len()) {
        (0, 0) => return wrong("no node is named: set `instanceIds` or `targets`".to_owned()),
        (1.., 1..) => {
            return wrong("`instanceIds` and `targets` are both given: a command takes one of them".to_owned());
        }
        (count, _) if count > MOST_IDS => {
            return wrong(format!("`instanceIds` has {count} ids; a command takes {MOST_IDS}: use `targets`"));
        }
        _ => {}
    }
    if input.document_name.is_none() && input.commands.is_none() {
        return wrong("nothing to run: set `commands`, or `documentName`".to_owned());
    }
    let delivery = input.delivery_timeout;
    if !(TimeSpan::from_seconds(30)..=TimeSpan::from_seconds(2_592_000)).contains(&delivery) {
        return wrong(format!("`deliveryTimeout` is {delivery}; Systems Manager takes 30 seconds to 30 days"));
    }
    script::execution_timeout(input).map(|_| ())
}

fn request(input: &Input, document: &str, ids: Vec<String>, targets: Vec<Target>) -> Result<SendCommandInput, Failure> {
    Ok(SendCommandInput {
        document_name: document.to_owned(),
        document_version: input.document_version.clone(),
        instance_ids: ids,
        targets,
        parameters: script::parameters(input, document)?,
        comment: input.comment.clone(),
        timeout_seconds: i32::try_from(input.delivery_timeout.seconds()).ok(),
        max_concurrency: input.max_concurrency.clone(),
        max_errors: input.max_errors.clone(),
        output_s3_bucket_name: input.output_s3_bucket_name.clone(),
        output_s3_key_prefix: input.output_s3_key_prefix.clone(),
        cloud_watch_log_group_name: input.cloud_watch_log_group.clone(),
    })
}

/// A command that is followed.
struct Watch<'a> {
    aws: &'a Credentials,
    id: String,
    nodes: Vec<Node>,
    /// Nodes that there should be.
    expected: usize,
    /// Whether the nodes are found by listing the invocations.
    listed: bool,
    /// Looks that showed the same number of nodes, all of them over.
    settled: u32,
    plugin: Option<String>,
    /// Whether the document has several steps, so that there is no output to ask for.
    outputless: bool,
    tail: Option<Tail>,
}

impl<'a> Watch<'a> {
    fn new(aws: &'a Credentials, input: &Input, id: &str, document: &str, ids: Vec<String>, expected: usize) -> Self {
        let plugin = input.plugin_name.clone();
        let stream = plugin.clone().unwrap_or_else(|| {
            if document.ends_with(script::POWERSHELL) { "aws:runPowerShellScript" } else { "aws:runShellScript" }
                .to_owned()
        });
        let tail = |group: &String| Tail::new(group, id, &stream, input.log_retrieve_delay);
        Self {
            aws,
            id: id.to_owned(),
            listed: ids.is_empty(),
            nodes: ids.iter().map(|id| Node::new(id)).collect(),
            expected,
            settled: 0,
            plugin,
            outputless: false,
            tail: input.cloud_watch_log_group.as_ref().map(tail),
        }
    }

    fn wait(&mut self, input: &Input) -> Result<(), Failure> {
        let (aws, id) = (self.aws, self.id.clone());
        let timeout = match input.timeout {
            Some(timeout) => timeout,
            None => {
                let execution = script::execution_timeout(input)?;
                TimeSpan::from_seconds(input.delivery_timeout.seconds() + execution.seconds() + 60)
            }
        };
        let polling = Polling::<0> { timeout, poll_interval: input.poll_interval };
        let cancel = || {
            warn!("cancelling command {id}");
            ssm::cancel_command(aws, &id)
        };
        Waiter::new(format!("command {id}")).polling(&polling).on_give_up(cancel).until(|| self.look())
    }

    fn look(&mut self) -> Result<Poll<()>, Failure> {
        if self.listed {
            self.list()?;
        }
        let several = self.several();
        let streamed = !self.listed || self.nodes.len() <= MOST_STREAMED;
        for index in 0..self.nodes.len() {
            self.read(index, several, streamed)?;
        }
        let is_open = |node: &&Node| !node.is_over() || !(node.read || self.outputless);
        let open = self.nodes.iter().filter(is_open).count();
        let all_there = self.nodes.len() >= self.expected.max(1);
        self.settled = if open == 0 && !self.nodes.is_empty() { self.settled + 1 } else { 0 };
        // The list of a command by tag fills up for some seconds; nodes that went away never come.
        if (open == 0 && all_there) || self.settled >= 3 {
            return Ok(Poll::Ready(()));
        }
        let states = self.nodes.iter().take(5).map(|node| format!("{} {}", node.id, node.status));
        let states = states.collect::<Vec<_>>().join(", ");
        Ok(Poll::Pending(if states.is_empty() { "no node has it yet".to_owned() } else { states }))
    }

    fn several(&self) -> bool {
        self.expected > 1 || self.nodes.len() > 1
    }

    fn list(&mut self) -> Result<(), Failure> {
        let (aws, id) = (self.aws, self.id.clone());
        let invocations = pages(|next_token| {
            let input = ListCommandInvocationsInput { command_id: id.clone(), max_results: Some(50), next_token };
            let page = ssm::list_command_invocations(aws, &input)?;
            Ok((page.command_invocations, page.next_token))
        });
        for invocation in invocations {
            let invocation = invocation?;
            let known = self.nodes.iter_mut().find(|node| node.id == invocation.instance_id);
            match known {
                Some(node) if node.is_over() => {}
                Some(node) => node.list(&invocation),
                None => {
                    let mut node = Node::new(&invocation.instance_id);
                    node.list(&invocation);
                    self.nodes.push(node);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize, several: bool, streamed: bool) -> Result<(), Failure> {
        let (aws, show) = (self.aws, self.tail.is_none());
        let Some(node) = self.nodes.get_mut(index) else { return Ok(()) };
        if node.read || self.outputless || (!streamed && !node.is_over()) {
            return Ok(());
        }
        let prefix = prefix(node, several);
        let before = node.status.clone();
        let input = GetCommandInvocationInput {
            command_id: self.id.clone(),
            instance_id: node.id.clone(),
            plugin_name: self.plugin.clone(),
        };
        match ssm::get_command_invocation(aws, &input) {
            Ok(invocation) => node.take(invocation, show, &prefix),
            // For some seconds after the command was sent.
            Err(failure) if failure.is("InvocationDoesNotExist") => return Ok(()),
            Err(failure) if failure.is("InvalidPluginName") && self.plugin.is_none() => {
                warn!("the document has several steps: name one in `pluginName` to see its output");
                self.outputless = true;
                self.listed = true;
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        if node.status != before {
            verbose!("{}: {}", node.id, node.details);
        }
        match &mut self.tail {
            Some(tail) => tail.follow(aws, node, &prefix).map(|_| ()),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        let several = self.several();
        if let Some(tail) = &mut self.tail {
            tail.finish(self.aws, &mut self.nodes, |node| prefix(node, several))?;
        } else if let Some(node) = self.nodes.iter().find(|node| node.is_cut()) {
            warn!(
                "{}: Systems Manager gives the first 24,000 characters of the output and 8,000 of the errors; set \
                 `cloudWatchLogGroup` to see all",
                node.id
            );
        }
        let mut table = Table::new(["instance", "status", "exit code"]);
        for node in &self.nodes {
            table.row([node.id.clone(), node.details.clone(), node.exit_code.to_string()]);
        }
        table.print();
        let failure = verdict(&self.nodes);
        outputs(&to_outputs(&self.id, &self.nodes, failure.is_some()))?;
        failure.map_or(Ok(()), Err)
    }
}

fn prefix(node: &Node, several: bool) -> String {
    if several { format!("{}: ", node.id) } else { String::new() }
}

fn to_outputs(id: &str, nodes: &[Node], failed: bool) -> Outputs {
    let failing = nodes.iter().find(|node| node.failure().is_some() && node.exit_code > 0);
    let failing = failing.or_else(|| nodes.iter().find(|node| node.failure().is_some()));
    // JSON may need two bytes for one.
    let share = MAX_OUTPUT_BYTES / 4 / nodes.len().max(1);
    Outputs {
        command_id: id.to_owned(),
        status: if failed { "Failed" } else { "Success" }.to_owned(),
        exit_code: Some(failing.map_or(0, |node| node.exit_code)),
        exit_codes: Some(nodes.iter().map(|node| (node.id.clone(), node.exit_code)).collect()),
        invocations: Some(nodes.iter().map(|node| node.output(share)).collect()),
        stdout: nodes.first().map(|node| node.stdout.content.clone()),
        stderr: nodes.first().map(|node| node.stderr.content.clone()),
    }
}

outrigger_plugin_sdk::export_job_step!(SendCommand);

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, Value, json};

    fn refused(value: Value) -> Option<String> {
        let input: Input = json::from_value(value).unwrap();
        let targets = input.targets.as_ref().map(|targets| targets.targets().unwrap()).unwrap_or_default();
        check(&input, &input.instance_ids.distinct(), &targets).err().map(|failure| failure.message)
    }

    #[test]
    fn inputs_that_contradict_each_other_are_refused() {
        let many: Vec<String> = (0..51).map(|number| format!("i-{number}")).collect();
        for (input, part) in [
            (json!({"commands": "x"}), "no node"),
            (json!({"instanceIds": "i-1", "targets": "tag:a=b", "commands": "x"}), "one of them"),
            (json!({"instanceIds": many, "commands": "x"}), "use `targets`"),
            (json!({"instanceIds": "i-1"}), "nothing to run"),
            (json!({"instanceIds": "i-1", "commands": "x", "deliveryTimeout": 5}), "30 seconds"),
            (json!({"instanceIds": "i-1", "commands": "x", "executionTimeout": "49h"}), "48 hours"),
        ] {
            let message = refused(input).unwrap();
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(refused(json!({"targets": "tag:a=b", "documentName": "AWS-UpdateSSMAgent"})), None);
    }

    #[test]
    fn delivery_and_execution_have_their_own_limits() {
        let input: Input = json::from_value(json!({
            "instanceIds": "mi-1", "commands": "x", "deliveryTimeout": "1m", "executionTimeout": "2h"
        }))
        .unwrap();
        let request = request(&input, script::SHELL, vec!["mi-1".to_owned()], Vec::new()).unwrap();
        assert_eq!(request.timeout_seconds, Some(60));
        let execution = request.parameters.iter().find(|parameter| parameter.name == "executionTimeout").unwrap();
        assert_eq!(execution.values, ["7200"]);
    }

    #[test]
    fn the_exit_code_is_that_of_the_first_node_that_failed() {
        let mut good = Node::new("i-1");
        (good.status, good.details, good.exit_code) = ("Success".to_owned(), "Success".to_owned(), 0);
        let mut bad = Node::new("i-2");
        (bad.status, bad.details, bad.exit_code) = ("Failed".to_owned(), "Failed".to_owned(), 3);
        let outputs = json::to_value(to_outputs("c", &[good.clone(), bad], true)).unwrap();
        assert_eq!(outputs["exitCode"], 3);
        assert_eq!(outputs["exitCodes"], json!({"i-1": 0, "i-2": 3}));
        assert_eq!(json::to_value(to_outputs("c", &[good], false)).unwrap()["exitCode"], 0);
    }
}
