//! Makes the plugin reference from what the components say of themselves.

use std::fmt::Write as _;

use serde_json::Value;

use crate::console::Shell;

fn json(shell: &Shell, command: &str) -> Value {
    let (code, output) = shell.command(command);
    assert_eq!(code, Some(0), "{command}:\n{output}");
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{command}: {error}:\n{output}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The provider ids of the bundled plugins, sorted.
pub fn providers(shell: &Shell) -> Vec<String> {
    let all = json(shell, "outrigger plugin list --format json");
    let mut providers: Vec<String> =
        all.as_array().expect("a list").iter().map(|plugin| text(plugin, "provider").to_owned()).collect();
    providers.sort();
    assert!(providers.len() > 5, "{providers:?}");
    providers
}

/// The page.
pub fn reference(shell: &Shell) -> String {
    let mut page = String::from(
        "# Plugins\n\n\
         This page is made from the bundled components: what each says of itself, and what it imports. `outrigger plugin inspect NAME` \
         prints the same. A test compares the two.\n\n\
         Inputs stand below `configuration` of a step. All of them may be written as text. A blank one counts as absent. Fields of \
         the credentials are taken out by the host; the component never sees them. Outputs are read as `${data.<output>}` and \
         `${data.<label>.<output>}`.\n\n\
         | Plugin | |\n|---|---|\n",
    );
    let providers = providers(shell);
    let described: Vec<Value> = providers
        .iter()
        .map(|provider| json(shell, &format!("outrigger plugin inspect {provider} --format json")))
        .collect();
    for plugin in &described {
        let _ = writeln!(page, "| [`{0}`](#{0}) | {1} |", text(plugin, "provider"), cell(text(plugin, "summary")));
    }
    for plugin in &described {
        section(&mut page, plugin);
    }
    page
}

fn section(page: &mut String, plugin: &Value) {
    let _ =
        write!(page, "\n## {}\n\n*{}.* {}\n", text(plugin, "provider"), text(plugin, "title"), text(plugin, "summary"));
    let empty = Value::Null;
    let input = plugin.get("input_schema").unwrap_or(&empty);
    let required: Vec<&str> = list(input, "required").filter_map(Value::as_str).collect();
    let (mut own, mut credentials) = (Vec::new(), Vec::new());
    for (name, property) in input.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if property.get("x-outrigger-credential").is_some() {
            credentials.push(format!("`{name}` ({})", text(property, "x-outrigger-credential")));
        } else {
            own.push((name, property));
        }
    }
    if !own.is_empty() {
        page.push_str("\n| Input | Type | Default | |\n|---|---|---|---|\n");
    }
    for (name, property) in own {
        let default = match property.get("default") {
            _ if required.contains(&name.as_str()) => "*required*".to_owned(),
            None | Some(Value::Null) => String::new(),
            Some(Value::Array(items)) if items.is_empty() => String::new(),
            Some(Value::String(text)) if text.is_empty() => String::new(),
            Some(Value::String(text)) => format!("`{}`", cell(text)),
            Some(other) => format!("`{}`", cell(&other.to_string())),
        };
        let _ =
            writeln!(page, "| `{name}` | {} | {default} | {} |", kind(property), cell(text(property, "description")));
    }
    if !credentials.is_empty() {
        let _ = write!(page, "\nCredentials and connection: {}.\n", credentials.join(", "));
    }
    page.push_str("\n| Output | Type | |\n|---|---|---|\n");
    let output = plugin.get("output_schema").unwrap_or(&empty);
    for (name, property) in output.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let _ = writeln!(page, "| `{name}` | {} | {} |", kind(property), cell(text(property, "description")));
    }
    let imports: Vec<&str> =
        list(plugin, "imports").filter_map(Value::as_str).filter(|name| !name.contains("[resource-drop]")).collect();
    page.push_str("\nImports:\n\n");
    for import in &imports {
        let _ = writeln!(page, "- `{import}`");
    }
    let mut actions = list(plugin, "actions").peekable();
    if actions.peek().is_none() {
        page.push_str("\nIAM actions: none.\n");
        return;
    }
    page.push_str("\n| IAM action | Access | |\n|---|---|---|\n");
    for action in actions {
        let dependent = action.get("dependent").and_then(Value::as_bool).unwrap_or_default();
        let dependent = if dependent { "dependent" } else { "" };
        let _ = writeln!(page, "| `{}` | {} | {dependent} |", text(action, "action"), text(action, "access"));
    }
}

/// The type of a property in words.
fn kind(property: &Value) -> String {
    let choices =
        |values: &[Value]| values.iter().filter(|value| !value.is_null()).map(plain).collect::<Vec<_>>().join(", ");
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return choices(values);
    }
    for keyword in ["oneOf", "anyOf"] {
        let Some(variants) = property.get(keyword).and_then(Value::as_array) else { continue };
        let constants: Vec<Value> = variants.iter().filter_map(|variant| variant.get("const").cloned()).collect();
        if constants.len() == variants.len() {
            return choices(&constants);
        }
        let mut kinds: Vec<String> =
            variants.iter().map(kind).filter(|kind| !kind.is_empty() && kind != "null").collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    if text(property, "x-outrigger-display") == "json" {
        return "JSON".to_owned();
    }
    match property.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => {
            let names: Vec<&str> = several.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            names.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// A text that fits into a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
