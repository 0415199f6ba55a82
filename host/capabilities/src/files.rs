//! `outrigger:workspace`: local files.

use crate::bindings::outrigger::step::types;
use crate::bindings::outrigger::workspace::files;
use crate::operations::rows;
use crate::state::StepState;
use crate::workspace::{Entry, EntryKind};

/// Entries of a page where the guest does not say.
const PAGE: u32 = 1_000;
/// Most entries of a page.
const LARGEST_PAGE: u32 = 10_000;

fn entry(entry: Entry) -> files::Entry {
    files::Entry {
        path: entry.path,
        kind: match entry.kind {
            EntryKind::File => files::Kind::File,
            EntryKind::Directory => files::Kind::Directory,
            EntryKind::Other => files::Kind::Other,
        },
        size: entry.size,
        modified: entry.modified,
    }
}

impl files::Host for StepState {
    async fn stat(&mut self, path: String) -> wasmtime::Result<Result<files::Entry, types::Failure>> {
        let workspace = self.context.workspace.clone();
        self.pass(&rows::workspace_files::stat, path, |path| async move {
            workspace.run(move |files| files.stat(&path)).await.map(entry)
        })
        .await
    }

    async fn list_files(
        &mut self,
        input: files::ListFilesInput,
    ) -> wasmtime::Result<Result<files::ListFilesOutput, types::Failure>> {
        let workspace = self.context.workspace.clone();
        self.pass(&rows::workspace_files::list_files, input, |input| async move {
            let most = input.max_entries.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
            let page = workspace
                .run(move |files| {
                    files.list_files(&input.path, input.follow_symlinks, Some(most), input.next_token.as_deref())
                })
                .await?;
            Ok(files::ListFilesOutput { entries: page.entries.into_iter().map(entry).collect(), next_token: page.next })
        })
        .await
    }

    async fn remove_files(&mut self, paths: Vec<String>) -> wasmtime::Result<Result<(), types::Failure>> {
        let workspace = self.context.workspace.clone();
        self.pass(&rows::workspace_files::remove_files, paths, |paths| async move {
            workspace.run(move |files| files.remove_files(&paths)).await
        })
        .await
    }
}
