//! `plugin list`, `plugin inspect`, `plugin policy`, `plugin remove`; the others have files of their own.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use outrigger_engine::Host;
use outrigger_runtime::{ComponentInfo, Plugin};
use serde_json::{Value, json};

use super::{done, plugin_add, plugin_new, plugin_wit, policy};
use crate::app::App;
use crate::arguments::Formatted;
use crate::output::style::{Style, printable};
use crate::output::table::{Look, Table};
use crate::output::{stdout, time, write_json};
use crate::trouble::{Outcome, Trouble};

/// Commands about plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the plugins
    List(ListArguments),
    /// Show what a plugin is, takes and may do, read from the component itself
    Inspect(InspectArguments),
    /// Print the least IAM policy for plugins
    Policy(PolicyArguments),
    /// Add a component, after showing what it may do
    Add(AddArguments),
    /// Remove a component that was added
    Remove(RemoveArguments),
    /// Make a project for a plugin of your own
    New(plugin_new::Arguments),
    /// Print the part of the contract that a component needs
    Wit(plugin_wit::Arguments),
}

/// Arguments of `plugin list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `plugin inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger plugin inspect aws-vm-start-step
  outrigger plugin inspect aws-vm-start-step --format json | jq -r '.actions[].action'

A component imports one function for each operation that it may call, and gets no other: its \
imports are its permissions.")]
pub(crate) struct InspectArguments {
    /// Provider id, such as aws-vm-start-step
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `plugin policy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger plugin policy aws-vm-start-step aws-vm-stop-step > policy.json")]
pub(crate) struct PolicyArguments {
    /// Provider ids
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `plugin add`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger plugin add ./target/wasm32-unknown-unknown/release/restart.wasm
  outrigger plugin add ./restart.wasm --yes     agree without being asked

The component is copied into the home and pinned by its digest. Adding another version of it \
shows what changes.")]
pub(crate) struct AddArguments {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
    /// Agree to what it may do
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of `plugin remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Provider id
    #[arg(value_name = "NAME")]
    name: String,
}

/// Carries a command out.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    let runtime = App::runtime()?;
    let host = || runtime.block_on(app.host(None, Vec::new()));
    match command {
        Command::List(arguments) => list(app, &*host()?, &arguments),
        Command::Inspect(arguments) => inspect(app, &*host()?, &arguments),
        Command::Policy(arguments) => {
            policy::print(app, &policy::of_plugins(&*host()?, &arguments.names)?, arguments.format)
        }
        Command::Add(arguments) => {
            let host = host()?;
            runtime.block_on(plugin_add::add(app, &host, &arguments))
        }
        Command::Remove(arguments) => remove(&*host()?, &arguments),
        // These two know everything without a home.
        Command::New(arguments) => plugin_new::run(&arguments),
        Command::Wit(arguments) => plugin_wit::run(&arguments),
    }
}

/// Nothing has this name.
pub(crate) fn unknown(host: &Host, name: &str) -> Trouble {
    let all = host.plugins().all();
    let near = all
        .iter()
        .map(|plugin| plugin.info().provider.as_str())
        .map(|provider| (strsim::normalized_damerau_levenshtein(name, provider), provider))
        .filter(|(score, _)| *score >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let help = match near {
        Some((_, provider)) => format!("did you mean `{provider}`?"),
        None => "see `outrigger plugin list`".to_owned(),
    };
    Trouble::input(format!("there is no plugin `{name}`"), help)
}

/// A plugin for programs.
fn described(plugin: &Plugin) -> Value {
    let info = plugin.info();
    let actions: Vec<_> = info
        .actions()
        .iter()
        .map(|need| json!({ "action": need.action, "access": need.access, "dependent": need.dependent }))
        .collect();
    json!({
        "provider": info.provider,
        "title": info.title,
        "summary": info.summary,
        "worlds": info.worlds,
        "digest": info.digest,
        "size": info.size,
        "bundled": plugin.is_bundled(),
        "imports": info.imports,
        "actions": actions,
    })
}

fn list(app: &App, host: &Host, arguments: &ListArguments) -> Outcome {
    let all = host.plugins().all();
    if arguments.format.is_json() {
        write_json(&all.iter().map(|plugin| described(plugin)).collect())?;
        return done();
    }
    let mut table = Table::new(["PLUGIN", "TITLE", "ACTIONS", "WRITES", "SIZE", "FROM"]);
    for plugin in &all {
        let info = plugin.info();
        let actions = info.actions();
        let called = actions.iter().filter(|need| !need.dependent);
        let writes = called.clone().filter(|need| need.access == "write").count();
        table.looked([
            (info.provider.clone(), Look::Plain),
            (info.title.clone(), Look::Plain),
            (called.count().to_string(), Look::Plain),
            (writes.to_string(), if writes > 0 { Look::Odd } else { Look::Plain }),
            (time::bytes(u64::try_from(info.size).unwrap_or(u64::MAX)), Look::Faint),
            ((if plugin.is_bundled() { "bundled" } else { "added" }).to_owned(), Look::Faint),
        ]);
    }
    let mut out = stdout();
    write!(out, "{}", table.render(app.style(), "", 60))?;
    out.flush()?;
    done()
}

fn inspect(app: &App, host: &Host, arguments: &InspectArguments) -> Outcome {
    let plugin = host.plugins().get(&arguments.name).ok_or_else(|| unknown(host, &arguments.name))?;
    if arguments.format.is_json() {
        let mut value = described(&plugin);
        if let Value::Object(members) = &mut value {
            members.insert("input_schema".to_owned(), plugin.info().input_schema.clone());
            members.insert("output_schema".to_owned(), plugin.info().output_schema.clone());
        }
        write_json(&value)?;
        return done();
    }
    let style = app.style();
    let mut out = stdout();
    let info = plugin.info();
    writeln!(out, "{}  {}", style.bold(&printable(&info.provider)), printable(&info.title))?;
    for line in info.summary.lines() {
        writeln!(out, "  {}", printable(line))?;
    }
    writeln!(out)?;
    let from = if plugin.is_bundled() { "bundled" } else { "added" };
    let size = time::bytes(u64::try_from(info.size).unwrap_or(u64::MAX));
    writeln!(out, "  worlds  {}", info.worlds.join(", "))?;
    writeln!(out, "  digest  sha256:{}", info.digest)?;
    writeln!(out, "  size    {size}, {from}")?;
    write!(out, "{}", permissions(info, style))?;
    for (head, schema) in [("Inputs", &info.input_schema), ("Outputs", &info.output_schema)] {
        let table = properties(schema);
        if !table.is_empty() {
            writeln!(out, "\n{}", style.bold(head))?;
            write!(out, "{}", table.render(style, "  ", 400))?;
        }
    }
    out.flush()?;
    done()
}

/// What a component may do: its imports, and the IAM actions behind them.
pub(crate) fn permissions(info: &ComponentInfo, style: Style) -> String {
    let mut out = format!("\n{}\n", style.bold("Imports"));
    if info.imports.is_empty() {
        out.push_str("  none: it can only answer\n");
    }
    for import in &info.imports {
        out.push_str(&format!("  {}\n", printable(import)));
    }
    let actions = info.actions();
    out.push_str(&format!("\n{}\n", style.bold("IAM actions")));
    if actions.is_empty() {
        out.push_str("  none\n");
    } else {
        out.push_str(&policy::actions_table(&actions).render(style, "  ", 400));
    }
    out
}

/// The properties of a schema.
fn properties(schema: &Value) -> Table {
    let mut table = Table::new(["NAME", "TYPE", "", "WHAT"]);
    let required: Vec<_> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        let what = text("description").or_else(|| text("title")).unwrap_or_default();
        let needed = match (required.contains(&name.as_str()), property.get("default")) {
            (true, _) => "required".to_owned(),
            (false, Some(Value::String(default))) => format!("default {default}"),
            (false, Some(default)) if !default.is_null() => format!("default {default}"),
            (false, _) => String::new(),
        };
        table.looked([
            (name.clone(), Look::Plain),
            (type_of(referred(schema, property)), Look::Faint),
            (needed, Look::Faint),
            (what.lines().next().unwrap_or_default().to_owned(), Look::Plain),
        ]);
    }
    table
}

/// A property, or what it refers to in the same schema.
fn referred<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    let pointer = property.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| schema.pointer(pointer)).unwrap_or(property)
}

fn type_of(property: &Value) -> String {
    let words = |values: &[Value], key: Option<&str>| -> Vec<String> {
        let values = values.iter().filter_map(|value| key.map_or(Some(value), |key| value.get(key)));
        values.filter_map(Value::as_str).filter(|word| *word != "null").map(str::to_owned).collect()
    };
    let list = |key: &str| property.get(key).and_then(Value::as_array);
    if let Some(values) = list("enum") {
        return words(values, None).join("|");
    }
    if let Some(one_of) = list("oneOf").or_else(|| list("anyOf")) {
        let constants = words(one_of, Some("const"));
        return if constants.is_empty() { words(one_of, Some("type")).join("|") } else { constants.join("|") };
    }
    match property.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => words(several, None).join("|"),
        _ => String::new(),
    }
}

fn remove(host: &Host, arguments: &RemoveArguments) -> Outcome {
    if host.remove_plugin(&arguments.name)? {
        let mut out = stdout();
        writeln!(out, "removed {}", printable(&arguments.name))?;
        out.flush()?;
        return done();
    }
    match host.plugins().get(&arguments.name) {
        Some(_) => Err(Trouble::input(
            format!("`{}` is a bundled plugin, part of this program", arguments.name),
            "deny it with a [[permissions.deny]] rule where it must not be used",
        )),
        None => Err(unknown(host, &arguments.name)),
    }
}
