//! Checking files and folders as a whole: which jobs are there, what calls what, what can run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{
    IndexedJob, Job, JobFile, JobIndex, Position, Problem, Severity, job_files, parse_leniently, read_file, read_text,
};
use crate::steps::PluginCatalog;

use super::job::{Call, Found, Surroundings};
use super::plugin::Plugins;
use super::report::{CheckReport, FileReport, JobReport};
use super::{CheckOptions, declared, job};

/// Checks one file. Job references are looked for in it, in its folder and in the projects' folders.
pub fn check_file(path: &Path, catalog: &dyn PluginCatalog, options: &CheckOptions) -> CheckReport {
    check_paths(&[path.to_path_buf()], catalog, options)
}

/// Checks all job files below a folder. Files that hold no jobs are named in a note.
pub fn check_dir(path: &Path, catalog: &dyn PluginCatalog, options: &CheckOptions) -> CheckReport {
    check_paths(&[path.to_path_buf()], catalog, options)
}

/// Checks files and folders together, as if they were one set of jobs.
pub fn check_paths(paths: &[PathBuf], catalog: &dyn PluginCatalog, options: &CheckOptions) -> CheckReport {
    let mut set = CheckSet::new(catalog, options);
    for path in paths {
        if path.is_dir() {
            match job_files(path) {
                Ok(files) if files.is_empty() => {
                    let name = path.display().to_string();
                    set.failures.push(Problem::error(
                        &name,
                        Position::default(),
                        "no-job",
                        "there is no `*.yaml` or `*.yml` file in this folder",
                    ));
                }
                Ok(files) => files.iter().for_each(|file| set.add_path(file, true)),
                Err(problem) => set.failures.push(problem),
            }
        } else {
            set.add_path(path, false);
        }
    }
    let folders: BTreeSet<PathBuf> =
        paths.iter().filter(|path| !path.is_dir()).filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
    set.add_neighbours(&folders);
    set.finish()
}

/// Checks the text of a file that may be nowhere, such as an editor's.
pub fn check_text(text: &str, file_name: &str, catalog: &dyn PluginCatalog, options: &CheckOptions) -> CheckReport {
    let mut set = CheckSet::new(catalog, options);
    set.add_text(text.to_owned(), file_name, false);
    set.add_neighbours(&BTreeSet::new());
    set.finish()
}

struct Checked {
    file: Arc<JobFile>,
    text: String,
    not_jobs: bool,
}

struct CheckSet<'a> {
    catalog: &'a dyn PluginCatalog,
    options: &'a CheckOptions,
    files: Vec<Checked>,
    index: JobIndex,
    failures: Vec<Problem>,
}

impl<'a> CheckSet<'a> {
    fn new(catalog: &'a dyn PluginCatalog, options: &'a CheckOptions) -> Self {
        Self { catalog, options, files: Vec::new(), index: JobIndex::new(), failures: Vec::new() }
    }

    fn add_path(&mut self, path: &Path, in_folder: bool) {
        let name = path.display().to_string();
        if self.files.iter().any(|checked| checked.file.path == name) {
            return;
        }
        match read_text(path) {
            Ok(text) => self.add_text(text, &name, in_folder),
            Err(problem) => self.failures.push(problem),
        }
    }

    fn add_text(&mut self, text: String, name: &str, in_folder: bool) {
        let file = Arc::new(parse_leniently(&text, name));
        // A folder of jobs may hold other YAML files, such as access rules; what has neither a name nor steps is no job.
        let not_jobs =
            in_folder && file.jobs.iter().all(|job| job.name.value.is_empty() && job.sequence.steps.is_empty());
        let not_jobs = not_jobs && !file.jobs.is_empty();
        if !not_jobs {
            self.index.add(self.options.project.as_deref(), Arc::clone(&file));
        }
        self.files.push(Checked { file, text, not_jobs });
    }

    /// Adds the jobs that references may mean: of the files' folders and of the projects.
    fn add_neighbours(&mut self, folders: &BTreeSet<PathBuf>) {
        let project = self.options.project.as_deref();
        for folder in folders {
            // Other files of the folder are not what is checked: those that cannot be read are left out.
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            let mut paths: Vec<PathBuf> = entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
                .map(|path| path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path))
                .collect();
            paths.sort();
            for path in paths {
                let name = path.display().to_string();
                if !self.files.iter().any(|checked| checked.file.path == name)
                    && let Ok(file) = read_file(&path)
                {
                    self.index.add(project, Arc::new(file));
                }
            }
        }
        for (name, folder) in &self.options.project_jobs {
            if folder.is_dir()
                && let Err(problem) = self.index.add_folder(Some(name), folder)
            {
                self.failures.push(problem);
            }
        }
    }

    fn finish(self) -> CheckReport {
        let plugins = Plugins::new(self.catalog);
        let mut graph = Graph::default();
        let mut reports: BTreeMap<usize, Vec<Problem>> = BTreeMap::new();
        for (number, checked) in self.files.iter().enumerate() {
            let problems = reports.entry(number).or_default();
            if checked.not_jobs {
                let message = "the file holds no jobs and is left out";
                problems.push(Problem::note(&checked.file.path, Position { line: 1, column: 1 }, "no-job", message));
                continue;
            }
            problems.extend(checked.file.remarks.iter().cloned());
            let lines: Vec<&str> = checked.text.lines().collect();
            let surroundings = Surroundings {
                file: &checked.file.path,
                lines: &lines,
                plugins: &plugins,
                options: self.options,
                index: &self.index,
                project: self.options.project.as_deref(),
            };
            let mut native = None;
            for one in &checked.file.jobs {
                declared::check(&checked.file.path, one, self.options, problems);
                let Found { problems: found, calls, native: first } = job::check(one, &surroundings);
                native = native.or(first);
                problems.extend(found);
                let call = Call::of(&checked.file.path, one);
                graph.names.insert(call.clone(), one.path());
                graph.calls.insert(call, calls);
            }
            note_native(&checked.file, native, self.options, problems);
            note_unused(&checked.file, problems);
        }
        self.check_duplicates(&mut reports);
        self.add_outside_calls(&plugins, &mut graph);
        self.check_cycles(&graph, &mut reports);
        self.report(&graph, reports)
    }

    /// The calls of jobs that are not checked themselves, so that cycles through them are found.
    fn add_outside_calls(&self, plugins: &Plugins<'_>, graph: &mut Graph) {
        let mut open: Vec<Call> = graph.calls.values().flatten().map(|(call, _)| call.clone()).collect();
        let known: HashMap<Call, &IndexedJob> = self
            .index
            .jobs()
            .iter()
            .filter_map(|indexed| Some((Call::of(&indexed.file.path, indexed.job()?), indexed)))
            .collect();
        while let Some(call) = open.pop() {
            if graph.calls.contains_key(&call) {
                continue;
            }
            let Some((indexed, one)) = known.get(&call).and_then(|indexed| Some((*indexed, indexed.job()?))) else {
                continue;
            };
            let surroundings = Surroundings {
                file: &indexed.file.path,
                lines: &[],
                plugins,
                options: self.options,
                index: &self.index,
                project: indexed.project.as_deref(),
            };
            let Found { problems, calls, .. } = job::check(one, &surroundings);
            let mut all = problems;
            declared::check(&indexed.file.path, one, self.options, &mut all);
            let unreadable = indexed.file.remarks.iter().any(|problem| problem.severity == Severity::Error);
            if unreadable || all.iter().any(|problem| problem.severity == Severity::Error) {
                graph.broken.insert(call.clone());
            }
            open.extend(calls.iter().map(|(call, _)| call.clone()));
            graph.names.insert(call.clone(), one.path());
            graph.calls.insert(call, calls);
        }
    }

    fn check_duplicates(&self, reports: &mut BTreeMap<usize, Vec<Problem>>) {
        let mut uuids: HashMap<String, (String, u32)> = HashMap::new();
        let mut names: HashMap<String, (String, u32)> = HashMap::new();
        for (number, checked) in self.files.iter().enumerate().filter(|(_, checked)| !checked.not_jobs) {
            let path = &checked.file.path;
            let problems = reports.entry(number).or_default();
            let place = |(file, line): &(String, u32)| {
                if file == path { format!("line {line}") } else { format!("{file}, line {line}") }
            };
            for one in &checked.file.jobs {
                if let Some(uuid) = &one.uuid {
                    let key = uuid.value.to_ascii_lowercase();
                    if let Some(first) = uuids.get(&key) {
                        let message = format!("the uuid `{}` is there twice", crate::file::clip(&uuid.value));
                        problems.push(
                            Problem::error(path, uuid.position, "duplicate-uuid", message)
                                .with_help(format!("{} has it too; remove it from the copy", place(first))),
                        );
                    } else {
                        uuids.insert(key, (path.clone(), uuid.position.line));
                    }
                }
                let full = one.path();
                if one.name.value.is_empty() {
                    continue;
                }
                if let Some(first) = names.get(&full) {
                    let message = format!("another job is called `{}` too", crate::file::clip(&full));
                    problems.push(Problem::warning(path, one.name.position, "duplicate-name", message).with_help(
                        format!("it is in {}; job references by name cannot tell them apart", place(first)),
                    ));
                } else {
                    names.insert(full, (path.clone(), one.name.position.line));
                }
            }
        }
    }

    fn check_cycles(&self, graph: &Graph, reports: &mut BTreeMap<usize, Vec<Problem>>) {
        let loops = graph.loops();
        for (number, checked) in self.files.iter().enumerate().filter(|(_, checked)| !checked.not_jobs) {
            for one in &checked.file.jobs {
                let own = Call::of(&checked.file.path, one);
                let Some(circle) = loops.get(&own) else { continue };
                let mut told = BTreeSet::new();
                for (target, position) in graph.calls.get(&own).into_iter().flatten() {
                    if loops.get(target) != Some(circle) || !told.insert(target) {
                        continue;
                    }
                    let message = match graph.path(target, &own, MAX_CIRCLE) {
                        Some(path) => {
                            let mut names = vec![one.path()];
                            names.extend(path.iter().map(|call| graph.name(call)));
                            format!("the job calls itself: {}", names.join(" → "))
                        }
                        None => format!("the job calls itself through more than {MAX_CIRCLE} others"),
                    };
                    reports.entry(number).or_default().push(
                        Problem::error(&checked.file.path, *position, "job-cycle", message)
                            .with_help("it would never end; remove one of the calls"),
                    );
                }
            }
        }
    }

    fn report(self, graph: &Graph, mut reports: BTreeMap<usize, Vec<Problem>>) -> CheckReport {
        for problems in reports.values_mut() {
            problems.sort_by_key(|problem| (problem.line, problem.column, problem.severity));
            problems.dedup();
        }
        let mut broken = graph.broken.clone();
        let mut own_reasons: HashMap<Call, Vec<String>> = HashMap::new();
        for (number, checked) in self.files.iter().enumerate().filter(|(_, checked)| !checked.not_jobs) {
            let errors: Vec<&Problem> = reports
                .get(&number)
                .into_iter()
                .flatten()
                .filter(|problem| problem.severity == Severity::Error)
                .collect();
            for (one, reasons) in checked.file.jobs.iter().zip(assign(&checked.file.jobs, &errors)) {
                let call = Call::of(&checked.file.path, one);
                if !reasons.is_empty() {
                    broken.insert(call.clone());
                }
                own_reasons.insert(call, reasons);
            }
        }
        graph.spread(&mut broken);
        let mut files = Vec::with_capacity(self.files.len());
        for (number, checked) in self.files.iter().enumerate() {
            let problems = reports.remove(&number).unwrap_or_default();
            let jobs = if checked.not_jobs { &[][..] } else { &checked.file.jobs };
            let jobs = jobs
                .iter()
                .map(|one| {
                    let call = Call::of(&checked.file.path, one);
                    let mut reasons = own_reasons.get(&call).cloned().unwrap_or_default();
                    for (target, _) in graph.calls.get(&call).into_iter().flatten() {
                        let reason = format!("it calls `{}`, which cannot run", graph.name(target));
                        if broken.contains(target) && *target != call && !reasons.contains(&reason) {
                            reasons.push(reason);
                        }
                    }
                    JobReport {
                        name: one.name.value.clone(),
                        group: one.group.as_ref().map(|group| group.value.clone()),
                        uuid: one.uuid.as_ref().map(|uuid| uuid.value.clone()),
                        line: one.position.line,
                        can_run: !broken.contains(&call),
                        reasons,
                    }
                })
                .collect();
            files.push(FileReport { path: checked.file.path.clone(), problems, jobs });
        }
        for problem in self.failures {
            files.push(FileReport { path: problem.file.clone(), problems: vec![problem], jobs: Vec::new() });
        }
        CheckReport::new(files)
    }
}

/// The messages of the errors that keep each job from running. What is wrong before the first job is wrong for all.
fn assign(jobs: &[Job], errors: &[&Problem]) -> Vec<Vec<String>> {
    let mut by_line: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, job) in jobs.iter().enumerate() {
        by_line.entry(job.position.line).or_default().push(place);
    }
    let mut reasons = vec![Vec::new(); jobs.len()];
    let mut told = BTreeSet::new();
    for problem in errors {
        // Jobs that begin in one line are told the problems of all of them.
        let inside = by_line.range(..=problem.line).next_back().map(|(_, places)| places.clone());
        for place in inside.unwrap_or_else(|| (0..jobs.len()).collect()) {
            if told.insert((place, problem.message.as_str()))
                && let Some(reasons) = reasons.get_mut(place)
            {
                reasons.push(problem.message.clone());
            }
        }
    }
    reasons
}

/// Longest circle of calls of which the jobs are named.
const MAX_CIRCLE: usize = 20;

/// Which job calls which.
#[derive(Default)]
struct Graph {
    calls: BTreeMap<Call, Vec<(Call, Position)>>,
    names: HashMap<Call, String>,
    broken: BTreeSet<Call>,
}

impl Graph {
    fn name(&self, call: &Call) -> String {
        self.names.get(call).cloned().unwrap_or_else(|| call.file.clone())
    }

    fn targets<'graph>(&'graph self, call: &Call) -> impl Iterator<Item = &'graph Call> {
        self.calls.get(call).into_iter().flatten().map(|(target, _)| target)
    }

    /// The shortest way from one job to another over at most so many others, both included.
    fn path(&self, from: &Call, to: &Call, most: usize) -> Option<Vec<Call>> {
        let mut before: HashMap<&Call, &Call> = HashMap::new();
        let mut seen = BTreeSet::from([from]);
        let mut level = vec![from];
        for _ in 0..=most {
            if level.contains(&to) {
                let mut path = vec![to.clone()];
                let mut step = to;
                while step != from
                    && let Some(previous) = before.get(step)
                {
                    path.push((*previous).clone());
                    step = previous;
                }
                path.reverse();
                return Some(path);
            }
            let mut next = Vec::new();
            for here in level {
                for target in self.targets(here) {
                    if seen.insert(target) {
                        before.insert(target, here);
                        next.push(target);
                    }
                }
            }
            level = next;
        }
        None
    }

    /// Jobs that call themselves, through others or not, each with the number of its circle: the strongly connected
    /// components of the graph, found in two passes without recursion.
    fn loops(&self) -> HashMap<Call, usize> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for start in self.calls.keys() {
            let mut stack = vec![(start, false)];
            while let Some((call, done)) = stack.pop() {
                if done {
                    order.push(call);
                } else if seen.insert(call) {
                    stack.push((call, true));
                    stack.extend(
                        self.targets(call).filter(|target| !seen.contains(target)).map(|target| (target, false)),
                    );
                }
            }
        }
        let callers = self.callers();
        let mut circles: HashMap<Call, usize> = HashMap::new();
        let mut placed = BTreeSet::new();
        for (number, root) in order.into_iter().rev().enumerate() {
            let mut members = Vec::new();
            let mut stack = vec![root];
            while let Some(call) = stack.pop() {
                if placed.insert(call) {
                    members.push(call);
                    stack.extend(callers.get(call).into_iter().flatten().copied());
                }
            }
            let alone = members.len() == 1 && !self.targets(root).any(|target| target == root);
            if !alone {
                circles.extend(members.into_iter().map(|call| (call.clone(), number)));
            }
        }
        circles
    }

    fn callers(&self) -> HashMap<&Call, Vec<&Call>> {
        let mut callers: HashMap<&Call, Vec<&Call>> = HashMap::new();
        for (call, targets) in &self.calls {
            for (target, _) in targets {
                callers.entry(target).or_default().push(call);
            }
        }
        callers
    }

    /// Adds every job that calls one that cannot run.
    fn spread(&self, broken: &mut BTreeSet<Call>) {
        let callers = self.callers();
        let mut open: Vec<Call> = broken.iter().cloned().collect();
        while let Some(call) = open.pop() {
            for caller in callers.get(&call).into_iter().flatten() {
                if broken.insert((*caller).clone()) {
                    open.push((*caller).clone());
                }
            }
        }
    }
}

/// Native steps, where it is not known whether they are allowed: said once for a file.
fn note_native(file: &JobFile, first: Option<Position>, options: &CheckOptions, problems: &mut Vec<Problem>) {
    if let Some(position) = first
        && options.native_steps.is_none()
    {
        let message = "`exec` and `script` steps run outside of the sandbox, if the project allows them";
        problems.push(Problem::note(&file.path, position, "native-steps", message));
    }
}

/// Keys that are read but not acted on: said once for a file.
fn note_unused(file: &JobFile, problems: &mut Vec<Problem>) {
    let mut keys: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut first: Option<Position> = None;
    for key in file.jobs.iter().flat_map(|job| &job.unused_keys) {
        keys.entry(&key.key).or_default().push(key.position.line);
        first = Some(first.map_or(key.position, |first| first.min(key.position)));
    }
    let Some(position) = first else { return };
    let named: Vec<String> = keys
        .iter()
        .map(|(key, lines)| match lines.as_slice() {
            [one] => format!("`{key}` (line {one})"),
            several => format!("`{key}` ({} times)", several.len()),
        })
        .collect();
    let message = format!("read but not acted on: {}", named.join(", "));
    problems.push(Problem::note(&file.path, position, "unused-keys", message));
}
