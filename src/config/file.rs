//! The words of a config file: every key that Bifrost's `config.json` knows, its type, and what this version does with
//! it: honoured, accepted without effect, or refused. Data only; `validate` walks a document with it.

mod unserved;

pub(crate) use unserved::plugin_config;
use unserved::{
    AUTH, BATCH_S3, BEDROCK, CIRCUIT_BREAKER, CLIENT_WEBHOOK, CONFIG_STORE_CONFIG, FRAMEWORK, HEADER_FILTER,
    OAUTH2_SERVER, OBJECT_STORAGE, PROMPT_CACHE, REPLICATE, TOOL_MANAGER, VECTOR_STORE, WEBSOCKET, WRITER,
};

use super::operations::{ALLOWED_REQUESTS, PATH_OVERRIDES};
use super::pacing;

/// One key of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// As it is written in the file.
    pub(crate) name: &'static str,
    /// What its value must look like.
    pub(crate) kind: Kind,
    /// What we do with it.
    pub(crate) effect: Effect,
    /// Its text is a secret that no reader takes up: one that stands in the file is worth a warning.
    pub(crate) is_secret: bool,
}

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number between two bounds, both included.
    Integer(u64, u64),
    /// A number from 0 to a bound.
    Number(f64),
    /// A string.
    Text,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// An array of strings.
    Texts,
    /// A string, or an object that names where the string comes from (`reference`).
    Reference,
    /// The same, or a whole number.
    ReferenceOrInteger,
    /// Milliseconds or seconds as a whole number, or a string such as `500ms` (`duration`).
    Duration,
    /// The same, or `off`.
    DurationOrOff,
    /// An object whose values are strings.
    TextMap,
    /// An object whose values are booleans.
    BoolMap,
    /// An object with these keys.
    Object(&'static [Key]),
    /// An array of objects with these keys.
    List(&'static [Key]),
    /// A list of targets, or an object with such a list for each model (`fallbacks`).
    Fallbacks,
    /// An object that nobody looks into.
    AnyObject,
    /// An array that nobody looks into.
    AnyList,
    /// Anything.
    Any,
}

/// What this version does with a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// It means what Bifrost's documentation says, or its reader says what it means.
    Honoured,
    /// Accepted, named in a warning with this reason.
    Ignored(When, &'static str),
    /// The file is refused, with this sentence.
    Refused(When, &'static str),
}

/// Which values an effect is about. `null` is the same as left out everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// Any.
    Given,
    /// Those that ask for something: not `false`, 0, "" or [], and no object that is empty, says `enabled: false` or
    /// asks for nothing in any member.
    Asking,
}

const fn honoured(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, effect: Effect::Honoured, is_secret: false }
}

/// A secret that nobody reads.
const fn secret(name: &'static str) -> Key {
    Key { is_secret: true, ..honoured(name, Kind::Reference) }
}

/// No effect, whatever it says.
const fn given(name: &'static str, kind: Kind, why: &'static str) -> Key {
    Key { name, kind, effect: Effect::Ignored(When::Given, why), is_secret: false }
}

/// No effect, worth a word only where it asks for something.
const fn asking(name: &'static str, kind: Kind, why: &'static str) -> Key {
    Key { name, kind, effect: Effect::Ignored(When::Asking, why), is_secret: false }
}

/// Refused where it asks for something.
const fn refused(name: &'static str, kind: Kind, why: &'static str) -> Key {
    Key { name, kind, effect: Effect::Refused(When::Asking, why), is_secret: false }
}

const ANY_COUNT: Kind = Kind::Integer(0, u64::MAX);
const MCP: &str = "MCP is not served by this version";
const NO_MCP_AUTH: &str =
    "it would say who may use the MCP server, which this version does not have: remove it";
const NO_STORE: &str = "this version keeps nothing that it would apply to";
const NO_ACCESS: &str = "it would restrict who may do what, and this version does not enforce it: remove it, \
     or restrict access in front of corelane";
const NO_SPENDING: &str = "it would limit spending or use, and this version does not enforce it: remove it";
const ENTERPRISE: &str = "an enterprise section that this version does not have";

/// The whole file.
pub(crate) static ROOT: &[Key] = &[
    honoured("$schema", Kind::Text),
    honoured("version", Kind::Integer(1, 2)),
    honoured("client", Kind::Object(CLIENT)),
    honoured("providers", Kind::AnyObject), // walked by `providers`, which knows whether each is served
    honoured("config_store", Kind::AnyObject), // by `stores`
    honoured("logs_store", Kind::AnyObject), // by `stores`
    honoured("governance", Kind::Object(GOVERNANCE)),
    honoured("source_of_truth", Kind::Choice(&["split", "config.json"])),
    honoured("plugins", Kind::List(PLUGIN)), // some are refused, by `validate`
    honoured("mcp", Kind::Object(MCP_SECTION)),
    honoured("server", Kind::Object(SERVER)),
    Key {
        is_secret: true,
        ..asking("encryption_key", Kind::Reference, "nothing is stored that it would encrypt")
    },
    asking("env_label", Kind::Text, "there is no web page to show it"),
    refused("auth_config", Kind::Object(AUTH), NO_ACCESS),
    refused("access_profiles", Kind::Any, NO_ACCESS),
    refused("scim_config", Kind::AnyObject, NO_ACCESS),
    refused("guardrails_config", Kind::AnyObject, NO_ACCESS),
    asking("framework", Kind::Object(FRAMEWORK), "there is no price list to load"),
    asking("alerting", Kind::Any, ENTERPRISE),
    asking("audit_logs", Kind::Any, ENTERPRISE),
    asking("cluster_config", Kind::Any, "nodes share the file and need no cluster"),
    asking("load_balancer_config", Kind::Any, ENTERPRISE),
    asking("large_payload_optimization", Kind::Any, "bodies are passed through without it"),
    asking("webhooks", Kind::Any, "there are no asynchronous jobs"),
    asking("vector_store", Kind::Object(VECTOR_STORE), "there is no semantic cache"),
    asking("skills_registry", Kind::Any, NO_STORE),
    asking("websocket", Kind::Object(WEBSOCKET), "there is no WebSocket API"),
    asking("feature_flags", Kind::AnyObject, "there are no feature flags"),
    asking(
        "circuit_breaker_config",
        Kind::Object(CIRCUIT_BREAKER),
        "breakers are each provider's: `providers.<name>.breaker`",
    ),
];

/// Ours but for the first.
static SERVER: &[Key] = &[
    given("read_buffer_size", ANY_COUNT, "a request's head may have 64 KiB, fixed"),
    honoured("tls", Kind::Object(SERVER_TLS)),
    honoured("trusted_proxies", Kind::Texts),
    honoured("proxy_protocol", Kind::Bool),
    honoured("admin_address", Kind::Text),
    secret("admin_token"),
    honoured("request_total_timeout_seconds", Kind::Integer(1, super::server::REQUEST_TOTAL_SECONDS_MAX)),
    honoured("max_connections_per_core", Kind::Integer(1, super::server::CONNECTIONS_PER_CORE_MAX)),
];

/// `server.tls`.
pub(crate) static SERVER_TLS: &[Key] = &[
    honoured("cert", Kind::Reference),
    honoured("key", Kind::Reference),
    honoured("client_ca", Kind::Reference),
];

static CLIENT: &[Key] = &[
    honoured("drop_excess_requests", Kind::Bool),
    honoured("response_headers", Kind::Choice(super::client::RESPONSE_HEADERS)), // ours
    honoured("enable_logging", Kind::Bool),
    honoured("disable_content_logging", Kind::Bool),
    honoured("allowed_origins", Kind::Texts),
    honoured("allowed_headers", Kind::Texts),
    honoured("max_request_body_size_mb", Kind::Integer(0, super::client::BODY_MIB_MAX)),
    honoured("disable_db_pings_in_health", Kind::Bool), // always so
    given("initial_pool_size", ANY_COUNT, "corelane has no object pool"),
    asking("prometheus_labels", Kind::Texts, "metrics have fixed labels in this version"),
    asking("allow_per_request_content_storage_override", Kind::Bool, "headers do not change what is logged"),
    asking("allow_per_request_raw_override", Kind::Bool, "raw bodies are not added to answers"),
    asking("dump_errors_in_console_logs", Kind::Bool, "errors are in the log rows"),
    given("log_retention_days", ANY_COUNT, "rows are never deleted by this version"),
    refused("enforce_auth_on_inference", Kind::Bool, NO_ACCESS),
    refused("enforce_governance_header", Kind::Bool, NO_ACCESS),
    refused("enforce_scim_auth", Kind::Bool, NO_ACCESS),
    given("dual_credential_conflict_behavior", Kind::Text, "callers have no credentials in this version"),
    asking("compat", Kind::Object(COMPAT), "requests are not converted between APIs by it"),
    honoured("header_filter_config", Kind::Object(HEADER_FILTER)),
    given("async_job_result_ttl", ANY_COUNT, "there are no asynchronous jobs"),
    refused("required_headers", Kind::Texts, NO_ACCESS),
    asking("logging_headers", Kind::Texts, "headers are not copied into log rows"),
    asking("whitelisted_routes", Kind::Texts, "no route asks for credentials in this version"),
    given("hide_deleted_virtual_keys_in_filters", Kind::Bool, "there is no web page"),
    refused(
        "allow_direct_keys",
        Kind::Bool,
        "this version never uses a caller's own provider key, and the keys of this file would pay instead: remove it",
    ),
    given("mcp_agent_depth", ANY_COUNT, MCP),
    given("mcp_tool_execution_timeout", Kind::Duration, MCP),
    given("mcp_code_mode_binding_level", Kind::Text, MCP),
    given("mcp_tool_sync_interval", Kind::Duration, MCP),
    given("mcp_disable_auto_tool_inject", Kind::Bool, MCP),
    refused("mcp_enable_temp_token_auth", Kind::Bool, NO_MCP_AUTH),
    given("mcp_external_client_url", Kind::Any, MCP),
    given("mcp_external_server_url", Kind::Any, MCP),
    refused("mcp_server_auth_mode", Kind::Text, NO_MCP_AUTH),
    refused("oauth2_server_config", Kind::Object(OAUTH2_SERVER), NO_MCP_AUTH),
    given("routing_chain_max_depth", ANY_COUNT, "there are no routing rules"),
    given("webhook_config", Kind::Object(CLIENT_WEBHOOK), "there are no asynchronous jobs"),
    asking(
        "enable_governance",
        Kind::Bool,
        "there is no governance in this version; alone it restricts nothing",
    ),
    asking(
        "enable_litellm_fallbacks",
        Kind::Bool,
        "fallbacks are those that a request or its provider names",
    ),
    asking("response_extra_fields", Kind::Bool, "this version adds no fields to answers"),
];

static COMPAT: &[Key] = &[
    honoured("convert_text_to_chat", Kind::Bool),
    honoured("convert_chat_to_responses", Kind::Bool),
    honoured("should_drop_params", Kind::Bool),
    honoured("should_convert_params", Kind::Bool),
];

static GOVERNANCE: &[Key] = &[
    refused("virtual_keys", Kind::AnyList, NO_ACCESS),
    refused("budgets", Kind::AnyList, NO_SPENDING),
    refused("rate_limits", Kind::AnyList, NO_SPENDING),
    refused("customers", Kind::AnyList, NO_SPENDING),
    refused("teams", Kind::AnyList, NO_SPENDING),
    refused("business_units", Kind::AnyList, NO_SPENDING),
    refused("model_configs", Kind::AnyList, NO_SPENDING),
    refused("providers", Kind::AnyList, NO_SPENDING),
    refused("roles", Kind::AnyList, NO_ACCESS),
    refused("auth_config", Kind::Object(AUTH), NO_ACCESS),
    refused(
        "routing_rules",
        Kind::AnyList,
        "they would change which provider serves a request, and this version does not apply them: remove them",
    ),
    asking("pricing_overrides", Kind::AnyList, "costs are not computed by this version"),
    asking("complexity_analyzer_config", Kind::AnyObject, "there are no routing rules"),
];

static PLUGIN: &[Key] = &[
    honoured("name", Kind::Text),
    honoured("enabled", Kind::Bool),
    honoured("config", Kind::Any),
    honoured("path", Kind::Text),
    honoured("version", ANY_COUNT),
    honoured("placement", Kind::Text),
    honoured("order", Kind::Any),
];

static MCP_SECTION: &[Key] = &[
    refused("client_configs", Kind::AnyList, "MCP is not served by this version: remove the clients"),
    asking("tool_manager_config", Kind::Object(TOOL_MANAGER), MCP),
    asking("tool_sync_interval", Kind::Duration, MCP),
    asking("tool_groups", Kind::AnyList, MCP),
];

/// One `providers.<name>`.
pub(crate) static PROVIDER: &[Key] = &[
    honoured("keys", Kind::List(PROVIDER_KEY)),
    honoured("network_config", Kind::Object(NETWORK)),
    honoured("custom_provider_config", Kind::Object(CUSTOM)),
    honoured("description", Kind::Text),
    honoured("concurrency_and_buffer_size", Kind::Object(CONCURRENCY)),
    honoured("balance", Kind::Choice(pacing::BALANCES)), // ours, like the next three
    honoured("breaker", Kind::Object(BREAKER)),
    honoured("on_client_gone", Kind::Choice(pacing::CLIENT_GONE)),
    honoured("fallbacks", Kind::Fallbacks),
    honoured("proxy_config", Kind::Object(PROXY)),
    asking("send_back_raw_request", Kind::Bool, "raw bodies are not added to answers"),
    asking("send_back_raw_response", Kind::Bool, "raw bodies are not added to answers"),
    asking("store_raw_request_response", Kind::Bool, "raw bodies are not stored"),
    honoured("openai_config", Kind::Object(OPENAI)),
    asking(
        "prompt_cache",
        Kind::Object(PROMPT_CACHE),
        "requests are not changed to use a provider's prompt cache",
    ),
];

static OPENAI: &[Key] = &[refused(
    "disable_store",
    Kind::Bool,
    "this version does not change a request's `store`, and the provider would keep what you forbid: \
     let the callers send \"store\": false and remove it",
)];

static CONCURRENCY: &[Key] = &[
    honoured("concurrency", Kind::Integer(0, pacing::CONCURRENCY_MAX)),
    honoured("buffer_size", Kind::Integer(0, pacing::CONCURRENCY_MAX)),
];

/// `providers.<name>.breaker`.
static BREAKER: &[Key] = &[
    honoured("failures_in_a_row", Kind::Integer(1, pacing::FAILURES_MAX)),
    honoured("failure_ratio", Kind::Number(1.0)),
    honoured("requests_min", Kind::Integer(1, pacing::REQUESTS_MIN_MAX)),
    honoured("window_seconds", Kind::Integer(1, pacing::WINDOW_SECONDS_MAX)),
    honoured("open_seconds", Kind::Integer(1, pacing::OPEN_SECONDS_MAX)),
];

/// An element of `fallbacks`, in its object form.
pub(crate) static FALLBACK: &[Key] = &[honoured("provider", Kind::Text), honoured("model", Kind::Text)];

static PROXY: &[Key] = &[
    honoured("type", Kind::Choice(&["none", "http", "socks5", "environment", ""])),
    honoured("url", Kind::Reference),
    honoured("username", Kind::Reference),
    honoured("password", Kind::Reference),
    honoured("ca_cert_pem", Kind::Reference),
];

static CUSTOM: &[Key] = &[
    honoured("base_provider_type", Kind::Text),
    honoured("is_key_less", Kind::Bool),
    honoured("allowed_requests", Kind::Object(ALLOWED_REQUESTS)),
    honoured("request_path_overrides", Kind::Object(PATH_OVERRIDES)),
];

/// Most seconds that a request timeout may have: a day.
const REQUEST_TIMEOUT_SECONDS_MAX: u64 = 86_400;

static NETWORK: &[Key] = &[
    honoured("base_url", Kind::Text),
    honoured("extra_headers", Kind::TextMap),
    honoured("default_request_timeout_in_seconds", Kind::Integer(0, REQUEST_TIMEOUT_SECONDS_MAX)),
    honoured("stream_idle_timeout_in_seconds", Kind::Integer(0, 3_600)),
    honoured("keep_alive_timeout_in_seconds", Kind::Integer(0, 3_600)),
    honoured("max_retries", Kind::Integer(0, super::network::RETRIES_MAX)),
    honoured("retry_backoff_initial", Kind::Duration),
    honoured("retry_backoff_max", Kind::Duration),
    honoured("first_token_timeout", Kind::Duration), // ours, like the next
    honoured("first_token_hold_ms", Kind::Integer(0, super::network::FIRST_TOKEN_HOLD_MS_MAX)),
    asking("enforce_http2", Kind::Bool, "providers are spoken to in HTTP/1.1"),
    honoured("insecure_skip_verify", Kind::Bool),
    honoured("ca_cert_pem", Kind::Reference),
    honoured("max_conns_per_host", ANY_COUNT), // clamped by `transport`
    honoured("allow_private_network", Kind::Bool),
    asking("beta_header_overrides", Kind::BoolMap, "a caller's beta headers are passed on as they are"),
];

const OTHER_PROVIDER: &str = "it belongs to another provider";

/// `keys[].bedrock_key_config`; whose it is, and what goes together, by `aws`.
pub(crate) static BEDROCK_KEY: &[Key] = &[
    honoured("region", Kind::Reference),
    honoured("access_key", Kind::Reference),
    honoured("secret_key", Kind::Reference),
    honoured("session_token", Kind::Reference),
    honoured("arn", Kind::Reference),      // by `aws`, like `deployments`
    honoured("role_arn", Kind::Reference), // refused by `aws`, and with it the next two
    honoured("external_id", Kind::Reference),
    honoured("session_name", Kind::Reference),
    asking("project_id", Kind::Reference, "no request names a project"),
    honoured("deployments", Kind::AnyObject),
    asking("batch_s3_config", Kind::Object(BATCH_S3), "this version serves no batches of Bedrock's"),
];

/// `keys[].azure_key_config`; what of it is not served, by `clouds`.
static AZURE: &[Key] = &[
    honoured("endpoint", Kind::Reference),
    honoured("client_id", Kind::Reference),
    secret("client_secret"),
    honoured("tenant_id", Kind::Reference),
    honoured("scopes", Kind::Texts),
    honoured("api_version", Kind::Reference),
    honoured("deployments", Kind::AnyObject),
];

/// `keys[].vertex_key_config`, likewise.
static VERTEX: &[Key] = &[
    honoured("project_id", Kind::Reference),
    honoured("project_number", Kind::ReferenceOrInteger),
    honoured("region", Kind::Reference),
    secret("auth_credentials"),
    honoured("force_single_region", Kind::Bool),
    honoured("deployments", Kind::AnyObject),
];

static PROVIDER_KEY: &[Key] = &[
    honoured("id", Kind::Text),
    honoured("name", Kind::Text),
    honoured("description", Kind::Text),
    honoured("value", Kind::Reference),
    honoured("models", Kind::Texts),
    honoured("blacklisted_models", Kind::Texts),
    honoured("weight", Kind::Number(super::keys::WEIGHT_MAX)),
    honoured("aliases", Kind::AnyObject), // string or object each, by `keys`
    honoured("enabled", Kind::Bool),
    honoured("use_for_batch_api", Kind::Bool),
    honoured("azure_key_config", Kind::Object(AZURE)), // whose they are, by `clouds`
    honoured("vertex_key_config", Kind::Object(VERTEX)),
    honoured("bedrock_key_config", Kind::Object(BEDROCK_KEY)),
    asking("bedrock_mantle_key_config", Kind::Object(BEDROCK), OTHER_PROVIDER),
    honoured("vllm_key_config", Kind::Object(VLLM)), // whose they are, by `own_place`
    honoured("ollama_key_config", Kind::Object(URL_KEY)),
    honoured("sgl_key_config", Kind::Object(URL_KEY)),
    asking("replicate_key_config", Kind::Object(REPLICATE), OTHER_PROVIDER),
    asking("huggingface_key_config", Kind::AnyObject, "requests go to the router's own choice"),
    asking("sapaicore_key_config", Kind::AnyObject, OTHER_PROVIDER),
    asking("databricks_key_config", Kind::AnyObject, OTHER_PROVIDER),
];

/// `keys[].vllm_key_config`.
static VLLM: &[Key] = &[honoured("url", Kind::Reference), honoured("model_name", Kind::Text)];

/// `keys[].ollama_key_config` and `sgl_key_config`.
static URL_KEY: &[Key] = &[honoured("url", Kind::Reference)];

const ALIAS_DETAIL: &str = "of an alias only model_id is used by this version";

/// An entry of `aliases`, in its object form.
pub(crate) static ALIAS: &[Key] = &[
    honoured("model_id", Kind::Text),
    honoured("description", Kind::Text),
    honoured("model_name", Kind::Text),
    honoured("model_family", Kind::Text),
    asking("region", Kind::Any, ALIAS_DETAIL),
    asking("api_version", Kind::Any, ALIAS_DETAIL),
    asking("anthropic_version", Kind::Any, ALIAS_DETAIL),
    asking("endpoint", Kind::Any, ALIAS_DETAIL),
    asking("project_id", Kind::Any, ALIAS_DETAIL),
    asking("project_number", Kind::Any, ALIAS_DETAIL),
    asking("force_single_region", Kind::Any, ALIAS_DETAIL),
    asking("inference_profile_arn", Kind::Any, ALIAS_DETAIL),
    asking("use_deployments_endpoint", Kind::Any, ALIAS_DETAIL),
];

/// The object forms of a value that may come from elsewhere.
pub(crate) static REFERENCE: &[Key] = &[
    honoured("value", Kind::Text),
    honoured("env_var", Kind::Text),
    honoured("from_env", Kind::Bool),
    honoured("ref", Kind::Text),
    honoured("type", Kind::Choice(&["plain_text", "env", "vault"])),
];

/// `config_store`.
pub(crate) static CONFIG_STORE: &[Key] = &[
    refused(
        "enabled",
        Kind::Bool,
        "the file is the only truth of a node: set it to false, write what the store holds into this file, and give \
         all nodes the same file (a store of our own comes later)",
    ),
    honoured("type", Kind::Text),
    honoured("config", Kind::Object(CONFIG_STORE_CONFIG)),
    honoured("vault_store", Kind::Any),
];

/// `logs_store`. What stands inside `config` depends on the type.
pub(crate) static LOGS_STORE: &[Key] = &[
    honoured("enabled", Kind::Bool),
    honoured("type", Kind::Choice(&["sqlite", "postgres", "clickhouse"])),
    honoured("config", Kind::AnyObject),
    asking("writer", Kind::Object(WRITER), "batches have fixed bounds"),
    asking("object_storage", Kind::Object(OBJECT_STORAGE), "bodies are kept in the row"),
    asking("object_storage_exclude_fields", Kind::Texts, "bodies are kept in the row"),
    given("retention_days", ANY_COUNT, "rows are never deleted by this version"),
];

/// `logs_store.config` of type sqlite.
pub(crate) static SQLITE: &[Key] = &[honoured("path", Kind::Reference)];

const ONE_CONNECTION: &str = "one writer has one connection";

/// `logs_store.config` of type postgres.
pub(crate) static POSTGRES: &[Key] = &[
    honoured("host", Kind::Reference),
    honoured("port", Kind::ReferenceOrInteger),
    honoured("user", Kind::Reference),
    honoured("password", Kind::Reference),
    honoured("db_name", Kind::Reference),
    honoured("ssl_mode", Kind::Reference),
    refused(
        "password_command",
        Kind::Any,
        "not served by this version: give the password as \"password\": \"env.NAME\"",
    ),
    given("max_idle_conns", ANY_COUNT, ONE_CONNECTION),
    given("max_open_conns", ANY_COUNT, ONE_CONNECTION),
    given("conn_max_lifetime", Kind::Duration, ONE_CONNECTION),
    given("matview_refresh_interval", Kind::DurationOrOff, "there are no materialised views"),
    given("matview_refresh_timeout", Kind::Duration, "there are no materialised views"),
];
