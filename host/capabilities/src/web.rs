//! `outrigger:http`: requests to listed origins.

use outrigger_door::{Failure, Reason};
use wasmtime::component::Resource;

use crate::bindings::outrigger::http::client;
use crate::bindings::outrigger::step::types::{self, NameValue};
use crate::http::{GuestHttp, GuestRequest, SecretHeader};
use crate::operations::{HTTP_READ, rows};
use crate::state::{SecretHandle, StepState};

impl client::Host for StepState {
    async fn send(
        &mut self,
        request: client::Request,
        secrets: Vec<Resource<SecretHandle>>,
    ) -> wasmtime::Result<Result<client::Response, types::Failure>> {
        let mut known = Vec::with_capacity(secrets.len());
        for handle in &secrets {
            known.push(self.table.get(handle)?.secret.clone());
        }
        let http = self.context.http.clone();
        let operation = if GuestHttp::is_read(&request.method) { &HTTP_READ } else { &rows::http_client::send };
        self.pass(operation, request, |request| async move {
            let http = http.ok_or_else(|| {
                Failure::new(Reason::AccessDenied, "no origin is listed for this plugin in [http] allow-origins")
            })?;
            let secret_headers = request
                .secret_headers
                .into_iter()
                .map(|header| {
                    let secret = usize::try_from(header.secret).ok().and_then(|index| known.get(index)).cloned();
                    secret
                        .map(|secret| SecretHeader { name: header.name.clone(), prefix: header.prefix, secret })
                        .ok_or_else(|| {
                            let message = format!("the header {} names a secret that was not given", header.name);
                            Failure::new(Reason::InvalidInput, message)
                        })
                })
                .collect::<Result<_, _>>()?;
            let answer = http
                .send(GuestRequest {
                    method: request.method,
                    url: request.url,
                    headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
                    secret_headers,
                    body: request.body,
                })
                .await?;
            Ok(client::Response {
                status: answer.status,
                headers: answer.headers.into_iter().map(|(name, value)| NameValue { name, value }).collect(),
                body: answer.body,
            })
        })
        .await
    }
}
