//! A home that is open: its settings, plugins, keys and clients.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use outrigger_capabilities::aws::{AwsClients, Endpoints};
use outrigger_capabilities::http::GuestHttp;
use outrigger_config::{GrantKind, Home, KeyPath, KeyStore, Level, ProjectKeys, Settings};
use outrigger_credential_providers::{
    EndpointSettings, Env, MfaPrompter, Providers, ProvidersContext, Proxy, http_client,
};
use outrigger_jobs::check::ConfigurationSchema;
use outrigger_journal::Store;
use outrigger_redaction::{Redactor, Secret};
use outrigger_runtime::{Compiler, ComponentInfo, EngineLimits, Plugins};

use crate::added::AddedPlugins;
use crate::error::EngineError;
use crate::identities::IdentityMaker;
use crate::providers::ComponentProviders;
use crate::steps::Catalog;

/// Services that guests reach, by the names that endpoint settings use.
const SERVICES: [&str; 8] = ["athena", "autoscaling", "ec2", "lambda", "logs", "s3", "ssm", "sts"];

/// How a host is opened.
pub struct HostOptions {
    /// The project whose settings hold.
    pub project: Option<String>,
    /// Folders that steps may use besides those of the configuration (`--allow-dir`).
    pub allow_dirs: Vec<PathBuf>,
    /// How components of others are compiled.
    pub compiler: Compiler,
    /// Who is asked for multi-factor codes.
    pub mfa: Arc<dyn MfaPrompter>,
    /// How often the AWS SDK tries a call that may be repeated.
    pub attempts: u32,
}

/// A home that is open.
pub struct Host {
    home: Home,
    options: HostOptions,
    settings: Arc<Settings>,
    plugins: Arc<Plugins>,
    key_store: Arc<KeyStore>,
    redactor: Redactor,
    clients: OnceLock<Arc<AwsClients>>,
    identities: OnceLock<Arc<IdentityMaker>>,
    pub(crate) journal: OnceLock<Store>,
    /// Compiled input schemas, by digest of the component.
    pub(crate) schemas: Mutex<HashMap<String, Arc<ConfigurationSchema>>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Host").field("home", &self.home.config_file).finish_non_exhaustive()
    }
}

impl Host {
    /// Opens a home: reads its configuration and takes in the bundled and the added plugins.
    pub async fn open(home: Home, options: HostOptions) -> Result<Arc<Self>, EngineError> {
        let settings = Arc::new(Settings::load(&home, options.project.as_deref())?);
        home.create_folders()?;
        let limits = settings.limits();
        let engine = EngineLimits {
            memory_bytes: usize::try_from(limits.memory_mib.value).unwrap_or(usize::MAX).saturating_mul(1024 * 1024),
            ..EngineLimits::default()
        };
        let plugins = Arc::new(Plugins::new(engine, Some(&home.cache_dir), options.compiler.clone())?);
        for component in outrigger_plugin_bundle::components() {
            plugins.add_bundled(component.name, component.bytes, component.digest).await?;
        }
        for added in AddedPlugins::read(&home)?.plugins {
            plugins.add_file(added.file(&home), added.info);
        }
        Ok(Arc::new(Self {
            key_store: settings.key_store(),
            home,
            options,
            settings,
            plugins,
            redactor: Redactor::new(),
            clients: OnceLock::new(),
            identities: OnceLock::new(),
            journal: OnceLock::new(),
            schemas: Mutex::default(),
        }))
    }

    /// Where the files are.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The plugins.
    pub fn plugins(&self) -> &Arc<Plugins> {
        &self.plugins
    }

    /// How it was opened.
    pub fn options(&self) -> &HostOptions {
        &self.options
    }

    /// Masks every secret that this process came to know.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Plugins as job files name them.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::new(Catalog::new(self.plugins.clone(), self.settings.aliases()))
    }

    /// Key storage, whole.
    pub fn key_store(&self) -> &Arc<KeyStore> {
        &self.key_store
    }

    /// Key storage as the project sees it.
    pub fn keys(&self) -> ProjectKeys {
        self.settings.keys(self.key_store.clone())
    }

    fn endpoint_settings(&self, level: Level) -> EndpointSettings {
        let urls = SERVICES
            .iter()
            .filter_map(|service| Some(((*service).to_owned(), self.settings.endpoint_url(service, level)?.value)));
        EndpointSettings {
            endpoint_url: None,
            endpoint_urls: urls.collect(),
            use_fips: self.settings.use_fips().map(|value| value.value),
            use_dual_stack: self.settings.use_dual_stack().map(|value| value.value),
        }
    }

    fn http(&self, level: Level) -> Result<outrigger_credential_providers::SharedHttpClient, EngineError> {
        let bundle = self.settings.ca_bundle(level).map(|value| value.value);
        Ok(http_client(bundle.as_deref(), Proxy::Environment)?)
    }

    /// The AWS clients of the process; made when they are first asked for.
    pub fn clients(&self) -> Result<Arc<AwsClients>, EngineError> {
        if let Some(clients) = self.clients.get() {
            return Ok(clients.clone());
        }
        let env = Env::process();
        let settings = self.endpoint_settings(Level::Project);
        let urls =
            SERVICES.iter().filter_map(|service| Some(((*service).to_owned(), settings.url(service, &env)?))).collect();
        let endpoints = Endpoints {
            url: None,
            urls,
            use_fips: settings.fips(&env),
            use_dual_stack: settings.dual_stack(&env),
            s3_path_style: self.settings.s3_path_style().is_some_and(|value| value.value),
        };
        let clients = Arc::new(AwsClients::new(self.http(Level::Project)?, endpoints, self.options.attempts));
        Ok(self.clients.get_or_init(|| clients).clone())
    }

    /// Makes identities; made when it is first asked for.
    pub fn identity_maker(self: &Arc<Self>) -> Result<Arc<IdentityMaker>, EngineError> {
        if let Some(maker) = self.identities.get() {
            return Ok(maker.clone());
        }
        let providers = |level: Level| -> Result<Providers, EngineError> {
            let http = self.http(level)?;
            let store = self.key_store.clone();
            // Who may read which key was decided with the block; here it is only read.
            let keys = move |path: &KeyPath| store.get(&path.0).map_err(|error| error.to_string());
            let redactor = self.redactor.clone();
            let observe = move |secret: &Secret| {
                redactor.register(secret);
            };
            let mut context = ProvidersContext::new(http, Arc::new(keys), Arc::new(observe));
            context.endpoints = self.endpoint_settings(level);
            context.mfa = self.options.mfa.clone();
            context.components = Arc::new(ComponentProviders::new(self));
            Ok(Providers::new(context))
        };
        let maker = Arc::new(IdentityMaker {
            settings: self.settings.clone(),
            keys: self.keys(),
            system: providers(Level::System)?,
            project: providers(Level::Project)?,
        });
        Ok(self.identities.get_or_init(|| maker).clone())
    }

    /// Outgoing HTTP of a component: the origins that its grant and the configuration both list.
    pub fn guest_http(&self, component: &ComponentInfo) -> Option<Arc<GuestHttp>> {
        if component.imports.iter().all(|import| !import.starts_with("outrigger:http/")) {
            return None;
        }
        let permissions = self.settings.permissions();
        let origins = self.settings.allow_origins().map(|value| value.value).unwrap_or_default();
        let networks = self.settings.allow_networks().map(|value| value.value).unwrap_or_default();
        let granted: Vec<String> = origins
            .into_iter()
            .filter(|origin| permissions.granted(&component.provider, GrantKind::Http, origin))
            .collect();
        crate::providers::guest_http(&granted, &networks)
    }
}
