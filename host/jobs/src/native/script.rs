//! A script's file, and the command that runs it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use super::{NativeCommand, NativePolicy, SCRIPT_FILE};
use crate::context::join_words;

/// A program with its arguments, and the folder that must live as long as it runs.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) words: Vec<String>,
    /// Held for its `Drop`, which removes the script.
    _folder: Option<TempDir>,
}

/// Makes ready what a command needs.
pub(super) fn prepare(policy: &NativePolicy, command: &NativeCommand) -> io::Result<Program> {
    let shell = policy.shell.to_string_lossy().into_owned();
    match command {
        NativeCommand::Shell(command) => {
            Ok(Program { words: vec![shell, "-c".to_owned(), command.clone()], _folder: None })
        }
        NativeCommand::Script { text, args, interpreter, quoted, extension } => {
            let (folder, file) = write(policy, text, extension.as_deref())?;
            let words = words(&file, text, args, interpreter, *quoted, shell);
            Ok(Program { words, _folder: Some(folder) })
        }
    }
}

fn words(file: &str, text: &str, args: &[String], interpreter: &[String], quoted: bool, shell: String) -> Vec<String> {
    let mut words: Vec<String> = interpreter.iter().map(|word| word.replace(SCRIPT_FILE, file)).collect();
    let named = interpreter.iter().any(|word| word.contains(SCRIPT_FILE));
    let mut rest: Vec<String> = Vec::new();
    if words.is_empty() {
        if !text.starts_with("#!") {
            words.push(shell);
        }
        words.push(file.to_owned());
    } else if !named {
        rest.push(file.to_owned());
    }
    rest.extend_from_slice(args);
    if quoted && !interpreter.is_empty() {
        // For interpreters such as `sudo su -c`, which read one argument as a command line.
        if !rest.is_empty() {
            words.push(join_words(rest.iter().map(String::as_str)));
        }
    } else {
        words.append(&mut rest);
    }
    words
}

fn write(policy: &NativePolicy, text: &str, extension: Option<&str>) -> io::Result<(TempDir, String)> {
    let folder = tempfile::Builder::new().prefix("outrigger-script-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
    let extension: String = extension
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        .collect();
    let name = if extension.is_empty() {
        "script".to_owned()
    } else {
        format!("script.{}", extension.trim_start_matches('.'))
    };
    let path = folder.path().join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
    // Files of job editors on Windows have line ends that `#!` lines choke on.
    file.write_all(text.replace("\r\n", "\n").as_bytes())?;
    drop(file);
    if policy.user.is_some() || policy.group.is_some() {
        give(policy, folder.path())?;
        give(policy, &path)?;
    }
    let path =
        path.to_str().ok_or_else(|| io::Error::other("the folder for temporary files has a name that is no UTF-8"))?;
    Ok((folder, path.to_owned()))
}

/// Makes the step's user the owner.
fn give(policy: &NativePolicy, path: &Path) -> io::Result<()> {
    use nix::unistd::{Gid, Uid, chown};
    chown(path, policy.user.map(Uid::from_raw), policy.group.map(Gid::from_raw)).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::words;

    fn built(text: &str, args: &[&str], interpreter: &[&str], quoted: bool) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        words("/t/s", text, &owned(args), &owned(interpreter), quoted, "/bin/sh".to_owned())
    }

    #[test]
    fn the_interpreter_gets_the_file() {
        assert_eq!(built("echo", &["a b"], &[], false), ["/bin/sh", "/t/s", "a b"]);
        assert_eq!(built("#!/x", &["a"], &[], false), ["/t/s", "a"]);
        assert_eq!(built("", &["a"], &["python3", "-u"], false), ["python3", "-u", "/t/s", "a"]);
        assert_eq!(built("", &["a"], &["env", "${scriptfile}", "-x"], false), ["env", "/t/s", "-x", "a"]);
        assert_eq!(built("", &["a b"], &["su", "-c"], true), ["su", "-c", "/t/s 'a b'"]);
    }
}
