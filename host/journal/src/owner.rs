//! The process that a run belongs to, and whether it is still there.

use std::fs;
use std::sync::OnceLock;

/// What tells one process from every other one, past ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: i64,
    /// Start of the process in clock ticks since boot (`proc_pid_stat(5)`, field 22); process ids are used again.
    pub(crate) started: Option<i64>,
    /// Name of the machine, or of the container.
    pub(crate) host: String,
    /// Names one boot of the machine: ticks start again with each.
    pub(crate) boot: String,
}

impl Owner {
    /// This process.
    pub(crate) fn current() -> &'static Self {
        static CURRENT: OnceLock<Owner> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let pid = i64::from(std::process::id());
            Self {
                pid,
                started: start(pid),
                host: line("/proc/sys/kernel/hostname"),
                boot: line("/proc/sys/kernel/random/boot_id"),
            }
        })
    }

    /// Whether the process is known to be dead. Nothing is known of other machines, nor where there is no `/proc`.
    pub(crate) fn is_dead(&self) -> bool {
        let here = Self::current();
        if self == here || self.host != here.host || here.started.is_none() {
            return false;
        }
        self.boot != here.boot || start(self.pid) != self.started
    }
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The start of a process that is alive.
fn start(pid: i64) -> Option<i64> {
    parse_start(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program, in brackets, may itself hold brackets and spaces; what follows the last one does not.
fn parse_start(stat: &str) -> Option<i64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // Field 3. A process that is dead and was not waited for yet is a zombie.
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_an_odd_name() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200";
        assert_eq!(parse_start(&format!("42 (a) b (c)) S {rest}")), Some(987_654));
        assert_eq!(parse_start(&format!("42 (sh) Z {rest}")), None);
        assert_eq!(parse_start("42 (sh"), None);
        assert_eq!(parse_start("42 (sh) S 1 2"), None);
    }

    #[test]
    fn this_process_lives_and_its_past_namesakes_do_not() {
        let here = Owner::current().clone();
        assert!(here.started.is_some());
        assert!(!here.is_dead());
        assert!(Owner { started: Some(1), ..here.clone() }.is_dead());
        assert!(Owner { boot: "another".into(), ..here.clone() }.is_dead());
        assert!(Owner { pid: i64::from(i32::MAX), ..here.clone() }.is_dead());
        assert!(!Owner { host: "elsewhere".into(), pid: i64::from(i32::MAX), ..here }.is_dead());
    }
}
