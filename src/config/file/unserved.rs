//! The words inside sections that this version refuses or leaves without effect as a whole: known, so that a misspelt one
//! is named, and so that a secret among them is warned of. What is done about each section stands where it is named.

use super::{Key, Kind, honoured, secret};

const fn any(name: &'static str) -> Key {
    honoured(name, Kind::Any)
}

/// `auth_config` and `governance.auth_config`.
pub(super) static AUTH: &[Key] = &[
    honoured("admin_username", Kind::Reference),
    secret("admin_password"),
    honoured("is_enabled", Kind::Bool),
    honoured("disable_auth_on_inference", Kind::Bool),
];

/// `client.header_filter_config`.
pub(super) static HEADER_FILTER: &[Key] =
    &[honoured("allowlist", Kind::Texts), honoured("denylist", Kind::Texts)];

/// `client.oauth2_server_config`.
pub(super) static OAUTH2_SERVER: &[Key] =
    &[any("issuer_url"), any("auth_code_ttl"), any("access_token_ttl"), any("disable_vk_identity")];

/// `client.webhook_config`.
pub(super) static CLIENT_WEBHOOK: &[Key] = &[any("delivery_history_retention_days")];

/// `framework`.
pub(super) static FRAMEWORK: &[Key] = &[honoured("pricing", Kind::Object(PRICING))];

static PRICING: &[Key] =
    &[any("pricing_url"), any("pricing_sync_interval"), any("model_parameters_url"), any("mcp_library_url")];

/// `mcp.tool_manager_config`.
pub(super) static TOOL_MANAGER: &[Key] = &[
    honoured("tool_execution_timeout", Kind::Duration),
    any("max_agent_depth"),
    any("code_mode_binding_level"),
    any("disable_auto_tool_inject"),
];

/// `websocket`.
pub(super) static WEBSOCKET: &[Key] = &[
    any("max_connections_per_user"),
    any("transcript_buffer_size"),
    honoured("pool", Kind::Object(WEBSOCKET_POOL)),
];

static WEBSOCKET_POOL: &[Key] =
    &[any("max_idle_per_key"), any("max_total"), any("idle_timeout"), any("max_lifetime")];

/// `circuit_breaker_config`.
pub(super) static CIRCUIT_BREAKER: &[Key] = &[honoured("policies", Kind::AnyList), any("default_cooldown")];

/// `providers.<name>.prompt_cache`.
pub(super) static PROMPT_CACHE: &[Key] =
    &[any("auto_inject"), any("ttl"), any("cache_control_injection_points")];

/// `vector_store`.
pub(super) static VECTOR_STORE: &[Key] = &[
    honoured("enabled", Kind::Bool),
    honoured("type", Kind::Choice(&["weaviate", "redis", "qdrant", "pinecone"])),
    honoured("config", Kind::Object(VECTOR_STORE_CONFIG)),
];

/// Of all four types.
static VECTOR_STORE_CONFIG: &[Key] = &[
    any("addr"),
    any("username"),
    secret("password"),
    any("db"),
    any("use_tls"),
    any("insecure_skip_verify"),
    any("ca_cert_pem"),
    any("cluster_mode"),
    any("pool_size"),
    any("max_active_conns"),
    any("min_idle_conns"),
    any("max_idle_conns"),
    any("conn_max_lifetime"),
    any("conn_max_idle_time"),
    any("dial_timeout"),
    any("read_timeout"),
    any("write_timeout"),
    any("context_timeout"),
    any("scheme"),
    any("host"),
    any("port"),
    secret("api_key"),
    any("grpc_config"),
    any("headers"),
    any("timeout"),
    any("max_recv"),
    any("index_host"),
];

/// `config_store.config` of either type.
pub(super) static CONFIG_STORE_CONFIG: &[Key] = &[
    any("path"),
    any("host"),
    any("port"),
    any("user"),
    secret("password"),
    any("password_command"),
    any("db_name"),
    any("ssl_mode"),
    any("max_idle_conns"),
    any("max_open_conns"),
    any("conn_max_lifetime"),
];

/// `logs_store.writer`.
pub(super) static WRITER: &[Key] = &[
    any("max_batch_size"),
    honoured("batch_interval", Kind::Duration),
    any("max_batch_bytes"),
    any("write_queue_capacity"),
    any("deferred_usage_concurrency"),
];

/// `logs_store.object_storage`.
pub(super) static OBJECT_STORAGE: &[Key] = &[
    any("type"),
    any("bucket"),
    any("prefix"),
    any("compress"),
    honoured("s3", Kind::Object(S3)),
    honoured("gcs", Kind::Object(GCS)),
];

static S3: &[Key] = &[
    any("region"),
    any("endpoint"),
    any("access_key_id"),
    secret("secret_access_key"),
    secret("session_token"),
    any("role_arn"),
    any("force_path_style"),
];

static GCS: &[Key] = &[secret("credentials_json"), any("project_id")];

/// `keys[].bedrock_mantle_key_config`.
pub(super) static BEDROCK: &[Key] = &[
    any("region"),
    any("access_key"),
    secret("secret_key"),
    secret("session_token"),
    any("arn"),
    any("role_arn"),
    any("external_id"),
    any("session_name"),
    any("project_id"),
    any("deployments"),
    honoured("batch_s3_config", Kind::Object(BATCH_S3)),
];

/// `batch_s3_config` of either.
pub(super) static BATCH_S3: &[Key] = &[honoured("buckets", Kind::List(BUCKET))];

static BUCKET: &[Key] = &[any("bucket_name"), any("prefix"), any("is_default")];

/// `keys[].replicate_key_config`.
pub(super) static REPLICATE: &[Key] = &[any("use_deployments_endpoint")];

/// The words of a plugin's `config`, by the plugin's name; `None`: one that we know nothing of.
pub(crate) fn plugin_config(name: &str) -> Option<&'static [Key]> {
    Some(match name {
        "telemetry" => TELEMETRY,
        "logging" => LOGGING,
        "governance" => GOVERNANCE,
        "semantic_cache" | "semanticcache" => SEMANTIC_CACHE,
        "otel" => OTEL,
        "maxim" => MAXIM,
        _ => return None,
    })
}

static LOGGING: &[Key] = &[any("disable_content_logging"), any("logging_headers")];

static GOVERNANCE: &[Key] = &[any("is_vk_mandatory"), any("required_headers"), any("is_enterprise")];

static MAXIM: &[Key] = &[secret("api_key"), any("log_repo_id")];

static TELEMETRY: &[Key] = &[
    any("custom_labels"),
    honoured("push_gateway", Kind::Object(PUSH_GATEWAY)),
    any("metrics_enabled"),
    any("overhead_breakdown_enabled"),
    any("user_labels_enabled"),
];

static PUSH_GATEWAY: &[Key] = &[
    any("enabled"),
    any("push_gateway_url"),
    any("job_name"),
    any("instance_id"),
    any("push_interval"),
    honoured("basic_auth", Kind::Object(BASIC_AUTH)),
];

static BASIC_AUTH: &[Key] = &[any("username"), secret("password")];

static SEMANTIC_CACHE: &[Key] = &[
    any("dimension"),
    any("provider"),
    any("embedding_model"),
    any("keys"),
    any("ttl"),
    any("threshold"),
    any("conversation_history_threshold"),
    any("cache_by_model"),
    any("cache_by_provider"),
    any("exclude_system_prompt"),
    any("default_cache_key"),
    any("vector_store_namespace"),
    any("cleanup_on_shutdown"),
];

static OTEL: &[Key] = &[
    any("collector_url"),
    any("protocol"),
    any("trace_type"),
    any("service_name"),
    any("headers"),
    any("tls_ca_cert"),
    any("insecure"),
    any("metrics_enabled"),
    any("metrics_endpoint"),
    any("metrics_push_interval"),
    any("disable_content_logging"),
    any("group_traces_by_session"),
    any("plugin_span_filter"),
    any("profiles"),
];
