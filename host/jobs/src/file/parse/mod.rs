//! From YAML text to the model.
//!
//! The format is Rundeck's: <https://docs.rundeck.com/docs/manual/document-format-reference/job-yaml-v12.html>.
//! Its exports write most values as text (`'true'`, `'5'`), so every value is read in both ways.

mod job;
mod node;
mod option;
mod reader;
mod step;

pub(crate) use node::escape_pointer;
pub(crate) use reader::{clip, parse_boolean};

use node::NodeKind;
use reader::Reader;

use super::{Job, JobFile, Position, Problem, Severity};

/// Reads a file of jobs. A single job that stands alone, outside of a list, is read too.
///
/// `file_name` is what messages call the file.
///
/// # Errors
/// Everything that keeps the file from being used, each with line and column. Warnings of a file that can be used
/// are in [`JobFile::remarks`].
pub fn parse_jobs(text: &str, file_name: &str) -> Result<JobFile, Vec<Problem>> {
    let mut file = parse_leniently(text, file_name);
    if file.remarks.iter().any(|problem| problem.severity == Severity::Error) {
        file.remarks.retain(|problem| problem.severity == Severity::Error);
        return Err(file.remarks);
    }
    Ok(file)
}

/// Reads as much of a file as can be read; errors are among the remarks. For checking, which wants to show the
/// problems of the readable part too.
pub(crate) fn parse_leniently(text: &str, file_name: &str) -> JobFile {
    let mut reader = Reader { file: file_name, problems: Vec::new(), remarks: Vec::new() };
    let mut jobs = Vec::new();
    match node::read_documents(text, file_name) {
        Err(problems) => reader.problems = problems,
        Ok(documents) => read_documents(&mut reader, &documents, &mut jobs),
    }
    let mut remarks = reader.problems;
    remarks.append(&mut reader.remarks);
    remarks.sort_by_key(|problem| (problem.line, problem.column));
    JobFile { path: file_name.to_owned(), jobs, remarks }
}

fn read_documents(reader: &mut Reader<'_>, documents: &[node::Node], jobs: &mut Vec<Job>) {
    let before = reader.problems.len();
    for document in documents {
        match &document.kind {
            NodeKind::Null => {}
            NodeKind::List(items) => {
                for item in items {
                    if let Some(job) = job::read(reader, item) {
                        jobs.push(job);
                    }
                }
            }
            NodeKind::Map(_) => {
                if let Some(job) = job::read(reader, document) {
                    jobs.push(job);
                }
            }
            NodeKind::Scalar { .. } => {
                reader.error_with_help(
                    document.position,
                    "no-job",
                    "a job file is a list of jobs, this is text",
                    "export the job as YAML in Rundeck: Job Actions, Export Definition, YAML format",
                );
            }
        }
    }
    if jobs.is_empty() && reader.problems.len() == before {
        reader.error_with_help(
            Position { line: 1, column: 1 },
            "no-job",
            "the file has no job",
            "a job file is a list of jobs, each with `name` and `sequence`",
        );
    }
}
