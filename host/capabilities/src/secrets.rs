//! `outrigger:secrets`: handles, and the two interfaces that need a grant.

use outrigger_door::{Failure, Reason};
use outrigger_redaction::Secret;
use wasmtime::component::Resource;

use crate::bindings::outrigger::secrets::{reveal, seal, secrets};
use crate::bindings::outrigger::step::types;
use crate::operations::rows;
use crate::state::{SecretHandle, StepState};

impl secrets::HostSecret for StepState {
    async fn size(&mut self, secret: Resource<SecretHandle>) -> wasmtime::Result<u64> {
        let size = self.table.get(&secret)?.secret.expose().len() as u64;
        let size = self.pass(&rows::secrets::size, (), |()| async move { Ok(size) }).await?;
        size.map_err(|failure| wasmtime::Error::msg(failure.message))
    }

    async fn drop(&mut self, secret: Resource<SecretHandle>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

impl secrets::Host for StepState {
    async fn get(&mut self, field: String) -> wasmtime::Result<Result<Resource<SecretHandle>, types::Failure>> {
        let known = self.context.secrets.get(&field).cloned();
        let missing = known.is_none();
        let answer = self
            .pass(&rows::secrets::get, field, |field| async move {
                if missing {
                    let message = format!("no secret was configured in the field {field}");
                    return Err(Failure::new(Reason::NotFound, message));
                }
                Ok(())
            })
            .await?;
        match answer {
            // A replay has no secrets; what is done with the handle is answered from the recording.
            Ok(()) => {
                let secret = known.unwrap_or_else(|| Secret::new(String::new()));
                Ok(Ok(self.table.push(SecretHandle { secret })?))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }
}

impl reveal::Host for StepState {
    async fn reveal(&mut self, secret: Resource<SecretHandle>) -> wasmtime::Result<Result<String, types::Failure>> {
        let text = self.table.get(&secret)?.secret.clone();
        self.pass(&rows::secrets_reveal::reveal, (), |()| async move { Ok(text.expose().to_owned()) }).await
    }
}

impl seal::Host for StepState {
    async fn seal(&mut self, text: String) -> wasmtime::Result<Result<Resource<SecretHandle>, types::Failure>> {
        const LONGEST: usize = 64 * 1024;
        let secret = Secret::new(text);
        self.context.door.redactor().register(&secret);
        let size = secret.expose().len();
        let answer = self
            .pass(&rows::secrets_seal::seal, (), |()| async move {
                if size > LONGEST {
                    let message = format!("a secret of {size} bytes is not sealed: at most {LONGEST} are");
                    return Err(Failure::new(Reason::InvalidInput, message));
                }
                Ok(())
            })
            .await?;
        match answer {
            Ok(()) => Ok(Ok(self.table.push(SecretHandle { secret })?)),
            Err(failure) => Ok(Err(failure)),
        }
    }
}
