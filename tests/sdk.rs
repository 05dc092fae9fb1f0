//! The providers' own SDKs against a running corelane, configured by the seed: the programs of `tests/sdk` assert, this
//! file installs what they need, starts what they talk to, and counts the rows that they left. It asserts no answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests share an installation and wait on conditions"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod support;

use serde_json::{Value, json};
use support::node::{DRIVERS, Mock, Node};
use support::postgres::Postgres;
use support::seed;
use support::upstream::Upstream;

#[test]
fn the_openai_python_package() {
    on_both_drivers("openai_python", &Sdks::python, "openai_client.py");
}

#[test]
fn the_anthropic_python_package() {
    on_both_drivers("anthropic_python", &Sdks::python, "anthropic_client.py");
}

#[test]
fn the_openai_npm_package() {
    on_both_drivers("openai_npm", &Sdks::node, "openai_client.cjs");
}

#[test]
fn the_table_of_python_packages() {
    for sdk in ["openai", "responses", "anthropic", "genai", "cohere", "boto3", "langchain", "litellm"] {
        in_the_table(&Sdks::python, "table.py", sdk);
    }
}

#[test]
fn the_cohere_python_package() {
    in_the_table(&Sdks::python, "cohere_client.py", "");
}

#[test]
fn the_table_of_npm_packages() {
    in_the_table(&Sdks::node, "table.cjs", "");
}

#[test]
fn what_is_asked_beside_conversations() {
    in_the_table(&Sdks::python, "operations.py", "");
}

#[test]
fn sound_images_files_and_batches() {
    in_the_table(&Sdks::python, "media.py", "");
    in_the_table(&Sdks::node, "media.cjs", "");
}

/// The second library that reads our assertions.
#[test]
fn a_service_accounts_assertion_is_googles() {
    let sdks = Sdks::installed();
    let key_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/rsa.pem");
    for driver in DRIVERS {
        let endpoint = Upstream::answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
        let audience = format!("http://{}/token", endpoint.address);
        let account = json!({
            "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "k1",
            "private_key": fs::read_to_string(&key_file).unwrap(), "token_uri": audience
        });
        let section =
            json!({ "project_id": "p", "region": "global", "auth_credentials": account.to_string() });
        let keys = json!([{ "name": "v", "models": ["*"], "vertex_key_config": section }]);
        let _node = Node::start(&json!({ "providers": { "vertex": { "keys": keys } } }).to_string(), driver);
        let asked = endpoint.request(0);
        let mut command = sdks.python();
        let output =
            command.arg(sources().join("tokens.py")).args([asked.text(), &audience]).arg(&key_file).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{driver}:\n{}", said(&output));
    }
}

#[test]
fn azure_and_vertex() {
    in_front_of(&clouds_config, &Sdks::python, "clouds.py", "");
    in_front_of(&clouds_config, &Sdks::node, "clouds.cjs", "");
}

#[test]
fn goldens_are_of_the_python_packages_models() {
    judge_goldens("validate_goldens.py");
}

#[test]
fn goldens_are_of_the_npm_packages_types() {
    judge_goldens("typed_goldens.py");
}

/// All goldens of the dialects by one program, which finds the npm packages in the installation.
fn judge_goldens(program: &str) {
    let sdks = Sdks::installed();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect");
    let output = sdks.python().arg(sources().join(program)).args([&goldens, &sdks.folder]).output().unwrap();
    assert!(output.status.success(), "{program}:\n{}", said(&output));
}

/// One program of the table, on each driver, in front of every dialect that is served.
fn in_the_table(interpreter: &dyn Fn(&Sdks) -> Command, program: &str, sdk: &str) {
    in_front_of(&table_config, interpreter, program, sdk);
}

/// The same in front of other providers.
fn in_front_of(
    config: &dyn Fn(&Mock) -> Value,
    interpreter: &dyn Fn(&Sdks) -> Command,
    program: &str,
    sdk: &str,
) {
    let sdks = Sdks::installed();
    for driver in DRIVERS {
        let mock = Mock::start(&[]);
        let node = Node::try_start(&config(&mock).to_string(), driver, &TABLE_KEYS)
            .unwrap_or_else(|lines| panic!("no start: {lines:#?}"));
        let mut command = interpreter(&sdks);
        command.arg(sources().join(program));
        command.args([format!("http://{}", node.address), format!("http://{}", mock.address)]);
        command.args([SPEAKS, sdk]);
        let output = command.output().unwrap();
        let node_said = node.said();
        assert!(
            output.status.success(),
            "{program} {sdk}, {driver}:\n{}\ncorelane said {node_said:#?}",
            said(&output)
        );
    }
}

const TABLE_KEYS: [(&str, &str); 7] = [
    ("OPENAI_API_KEY", "sk-openai"),
    ("ANTHROPIC_API_KEY", "sk-ant"),
    ("GEMINI_API_KEY", "gemini-key"),
    ("COHERE_API_KEY", "co-key"),
    ("BEDROCK_API_KEY", "bedrock-key"),
    ("AZURE_API_KEY", "azure-key"),
    ("VERTEX_API_KEY", "vertex-key"),
];

/// The dialects in which corelane is asked; one more than there are vendors.
const SPEAKS: &str = "openai,responses,anthropic,gemini,cohere,bedrock";

/// The vendors whose APIs the mock speaks.
const VENDORS: [&str; 5] = ["openai", "anthropic", "gemini", "cohere", "bedrock"];

/// Each vendor with one key for the models that the programs ask for.
fn table_config(mock: &Mock) -> Value {
    let mut config = json!({ "providers": {} });
    for name in VENDORS {
        let models: &[&str] = match name {
            "openai" => &[
                "gpt-4o-mini",
                "text-embedding-3-small",
                "omni-moderation-latest",
                "gpt-3.5-turbo-instruct",
                "tts-1",
                "whisper-1",
                "gpt-image-1",
                "dall-e-2",
            ],
            "anthropic" => &["claude-sonnet-4-20250514", "claude-sonnet-4-5"],
            "cohere" => &["command-a-03-2025", "embed-v4.0", "rerank-v3.5"],
            "bedrock" => &["anthropic.claude-sonnet-4-20250514-v1:0"],
            _ => &["gemini-2.5-flash", "gemini-embedding-001"],
        };
        let value = format!("env.{}_API_KEY", name.to_ascii_uppercase());
        config["providers"][name] = json!({
            "keys": [{ "name": format!("{name}-key"), "value": value, "models": models, "weight": 1.0 }],
            "network_config": { "base_url": format!("http://{}", mock.address), "max_retries": 0 },
        });
        // A second one for batches and files, drawn for nothing else where the first serves.
        let mut second = config["providers"][name]["keys"][0].clone();
        second["name"] = json!(format!("{name}-batches"));
        second["use_for_batch_api"] = json!(true);
        second["models"] = json!([]);
        if matches!(name, "openai" | "anthropic") {
            config["providers"][name]["keys"].as_array_mut().unwrap().push(second);
        }
    }
    config
}

/// The same, and both clouds: Azure by keys of two versions, the first of which has files and batches, too.
fn clouds_config(mock: &Mock) -> Value {
    let mut config = table_config(mock);
    let place = format!("http://{}", mock.address);
    let models =
        ["gpt-4o-mini", "claude-sonnet-4-5", "text-embedding-3-small", "whisper", "tts", "gpt-image-1"];
    let azure = |name: &str, version: &str| {
        json!({
            "name": name, "value": "env.AZURE_API_KEY", "models": models, "use_for_batch_api": version == "v1",
            "azure_key_config": { "endpoint": place.as_str(), "api_version": version,
                "deployments": { "gpt-4o-mini": "my-gpt" } },
        })
    };
    config["providers"]["azure"] =
        json!({ "keys": [azure("azure-v1", "v1"), azure("azure-dated", "2024-10-21")] });
    let models = ["gemini-2.5-flash", "claude-sonnet-4-5", "meta/llama-4", "4711", "text-embedding-005"];
    config["providers"]["vertex"] = json!({
        "keys": [{ "name": "vertex-key", "value": "env.VERTEX_API_KEY", "models": models,
            "vertex_key_config": { "project_id": "my-project", "region": "us-east5" } }],
        "network_config": { "base_url": place.as_str() },
    });
    config
}

fn on_both_drivers(name: &str, interpreter: &dyn Fn(&Sdks) -> Command, program: &str) {
    let sdks = Sdks::installed();
    let postgres = Postgres::shared();
    for driver in DRIVERS {
        let mock = Mock::start(&[]);
        let database = format!("{name}_{driver}");
        postgres.database(&database);
        let mut node = seed::start(&seed::config(seed::LOGGING, &mock, &database), driver, &postgres);
        let mut command = interpreter(&sdks);
        command.arg(sources().join(program));
        command.args([format!("http://{}", node.address), format!("http://{}", mock.address)]);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{program}, driver {driver}:\n{}\ncorelane said {:#?}",
            said(&output),
            node.said()
        );
        node.signal("TERM");
        assert!(node.wait().success(), "{driver}: {:#?}", node.said());
        check_rows(&postgres, &database, &mock);
    }
}

/// What the programs asked for, and no more, is in the table: each send has its row, each row its tokens.
fn check_rows(postgres: &Postgres, database: &str, mock: &Mock) {
    let count =
        |condition: &str| postgres.number(database, &format!("SELECT count(*) FROM logs WHERE {condition}"));
    let seen = mock.requests();
    let chats = ["/v1/chat/completions", "/v1/messages"].map(|path| seen["by_path"][path].as_i64());
    let chats: i64 = chats.into_iter().flatten().sum();
    assert!(chats > 0);
    assert_eq!(count("attempts = 1"), chats, "a row for each request that a provider got");
    assert!(count("attempts = 0") > 0 && count("attempts > 1") == 0, "refused requests have rows, too");
    assert_eq!(postgres.number(database, "SELECT count(DISTINCT id) FROM logs"), count("true"));
    assert_eq!(count("status = 'success' AND (attempts <> 1 OR status_code <> 200)"), 0);
    assert_eq!(count("attempts = 0 AND status <> 'error'"), 0);
    let uncounted = "status = 'success' AND total_tokens IS NULL";
    assert_eq!(count(uncounted), 0, "tokens are counted, also of streams whose callers did not ask");
    assert_eq!(count("total_tokens <> prompt_tokens + completion_tokens"), 0);
}

/// The SDKs in a folder of their own, made once for each state of the lock files.
struct Sdks {
    folder: PathBuf,
}

impl Sdks {
    /// Installs them unless that was done. One at a time, among threads and processes; the mark is written last.
    fn installed() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let sdks = Self { folder: root.join(format!("sdk-{:016x}", fingerprint())) };
        let lock = File::create(root.join("sdk.lock")).unwrap();
        lock.lock().unwrap();
        let mark = sdks.folder.join("installed");
        if !mark.exists() {
            let _ = fs::remove_dir_all(&sdks.folder);
            fs::create_dir_all(&sdks.folder).unwrap();
            sdks.install_python();
            sdks.install_npm();
            File::create(mark).unwrap();
        }
        sdks
    }

    fn install_python(&self) {
        let folder = self.folder.join("python");
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--requirement"]);
        run(pip.arg(sources().join("requirements.txt")));
    }

    fn install_npm(&self) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(sources().join(name), self.folder.join(name)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(npm.current_dir(&self.folder));
    }

    fn python(&self) -> Command {
        let mut command = bare(self.folder.join("python/bin/python"));
        // Bytecode beside the programs would be litter in the repository; a model's end of life is not our news.
        command.args(["-B", "-X", "faulthandler", "-W", "ignore::DeprecationWarning"]);
        command
    }

    fn node(&self) -> Command {
        let mut command = bare("node");
        command.env("NODE_PATH", self.folder.join("node_modules"));
        command
    }
}

/// Longest run of one program, seconds: one that waits for ever is a failure, too.
const PROGRAM_S: &str = "60";

/// A command that sees nothing of our environment: no proxy, no key.
fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    // Python says then where it stood.
    command.args(["--signal", "ABRT", PROGRAM_S]).arg(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; these tests need python3 with venv, node and npm: `make deps` installs them")
    });
    assert!(output.status.success(), "{command:?}:\n{}", said(&output));
}

/// Of the lock files, and of the programs that an installation is made for.
fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in ["requirements.txt", "package-lock.json"] {
        fs::read(sources().join(name)).unwrap().hash(&mut hasher);
    }
    for program in ["python3", "node"] {
        let version = Command::new(program).arg("--version").output();
        version.map(|output| output.stdout).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

fn said(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{error}")
}
