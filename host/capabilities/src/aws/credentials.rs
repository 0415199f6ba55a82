//! `outrigger:aws/credentials`: identities as handles.

use outrigger_door::{Failure, Reason};
use wasmtime::component::Resource;

use super::NO_REGION;
use crate::bindings::outrigger::aws::credentials::{self, CredentialsProvenance};
use crate::bindings::outrigger::step::types;
use crate::operations::rows;
use crate::state::{CredentialsHandle, StepState};

/// Whether a text can be the name of a region: the door is no place for surprises in host names.
fn is_region(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

impl credentials::HostCredentials for StepState {
    async fn region(
        &mut self,
        credentials: Resource<CredentialsHandle>,
    ) -> wasmtime::Result<Result<String, types::Failure>> {
        let region = self.table.get(&credentials)?.region.clone();
        self.pass(&rows::aws_credentials::region, (), |()| async move {
            region.ok_or_else(|| Failure::new(Reason::InvalidInput, NO_REGION).with_code("NoRegion"))
        })
        .await
    }

    async fn in_region(
        &mut self,
        credentials: Resource<CredentialsHandle>,
        region: String,
    ) -> wasmtime::Result<Result<Resource<CredentialsHandle>, types::Failure>> {
        let identity = self.table.get(&credentials)?.identity.clone();
        let answer = self
            .pass(&rows::aws_credentials::in_region, region.clone(), |region| async move {
                if !is_region(&region) {
                    let message = format!("`{region}` cannot be the name of a region");
                    return Err(Failure::new(Reason::InvalidInput, message));
                }
                Ok(())
            })
            .await?;
        match answer {
            Ok(()) => Ok(Ok(self.table.push(CredentialsHandle { identity, region: Some(region) })?)),
            Err(failure) => Ok(Err(failure)),
        }
    }

    async fn drop(&mut self, credentials: Resource<CredentialsHandle>) -> wasmtime::Result<()> {
        self.table.delete(credentials)?;
        Ok(())
    }
}

impl credentials::Host for StepState {
    async fn default(&mut self) -> wasmtime::Result<Result<Resource<CredentialsHandle>, types::Failure>> {
        let identities = self.context.identities.clone();
        let opened = std::sync::Mutex::new(None);
        let answer = self
            .pass(&rows::aws_credentials::default, (), |()| async {
                let identity = identities.open(None).await?;
                if let Ok(mut opened) = opened.lock() {
                    *opened = Some(identity);
                }
                Ok(())
            })
            .await?;
        match answer {
            Ok(()) => {
                let identity = opened.into_inner().ok().flatten();
                let region = identity.as_ref().and_then(|identity| identity.region.clone());
                Ok(Ok(self.table.push(CredentialsHandle { identity, region })?))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }

    async fn describe_provenance(
        &mut self,
        credentials: Resource<CredentialsHandle>,
    ) -> wasmtime::Result<Result<CredentialsProvenance, types::Failure>> {
        let handle = self.table.get(&credentials)?.clone();
        self.pass(&rows::aws_credentials::describe_provenance, (), |()| async move {
            let identity = handle
                .identity
                .ok_or_else(|| Failure::new(Reason::Internal, "a replay has no credentials to describe"))?;
            Ok(CredentialsProvenance {
                level: identity.level.clone(),
                provider: identity.provider.clone(),
                hops: identity.hops.clone(),
                region: handle.region,
                region_origin: identity.region_origin.clone(),
            })
        })
        .await
    }
}
