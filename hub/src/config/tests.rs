//! The settings file, what it says about mistakes, and the environment.

use super::*;

const EXAMPLE: &str = include_str!("../../hub.toml.example");
const LEAST: &str = "data_dir = \"/d\"\npublic_link_address = \"h:1\"\n";

#[track_caller]
fn check(text: &str, expected: &str) {
    let shown = Config::parse("hub.toml", text).unwrap_err().to_string();
    assert!(shown.starts_with(&format!("hub.toml {expected}")), "{shown}");
}

#[test]
fn the_shipped_example_is_valid_and_its_comments_are_the_defaults() {
    let file = "hub.toml.example";
    let example = Config::parse(file, EXAMPLE).unwrap();
    let commented_in: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    // An empty text stands for nothing.
    let commented_in: String = commented_in
        .lines()
        .filter(|line| !line.ends_with("= \"\""))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_ne!(commented_in, EXAMPLE);
    assert_eq!(Config::parse(file, &commented_in).unwrap(), example);
    let keys =
        ["http_plain_public", "trusted_proxies", "log", "dir", "keep", "consoles_per_user_max"];
    for key in keys {
        assert!(commented_in.lines().any(|line| line.starts_with(key)), "{key}");
    }
}

#[test]
fn mistakes_name_line_and_key() {
    check("data_dir = ", "line 1");
    check("data_dir = \"/d\"\n", "line 1: missing field `public_link_address`");
    check(&format!("{LEAST}colour = 1\n"), "line 3: unknown field `colour`");
    check(&format!("{LEAST}[backup]\nkeep = 1\n"), "line 4: `backup.keep` must be 2 to 1000");
    check(&format!("{LEAST}[backup]\nkeep = \"x\"\n"), "line 4: invalid type");
    check(
        &format!("{LEAST}http_listen = \"0.0.0.0:80\"\n"),
        "line 3: `http_listen` must be a loopback address",
    );
    check(&format!("{LEAST}link_listen = \"here\"\n"), "line 3: `link_listen` must be");
    check(&format!("{LEAST}log = \"a=b=c\"\n"), "line 3: `log` must be a filter");
    check(
        &format!("{LEAST}trusted_proxies = [\"::1\", \"10.0.0.0/8\"]\n"),
        "line 3: `trusted_proxies` must be addresses",
    );
    for address in ["h", "h:0", ":1", "h:x", "a b:1", "[1]:1"] {
        check(
            &format!("data_dir = \"/d\"\npublic_link_address = \"{address}\"\n"),
            "line 2: `public_link_address` must be a host and a port",
        );
    }
}

#[test]
fn a_public_address_needs_a_word_for_it() {
    let text = format!(
        "{LEAST}http_listen = \"0.0.0.0:80\"\nhttp_plain_public = true\n\
         trusted_proxies = [\"::ffff:10.0.0.1\"]\n"
    );
    let config = Config::parse("hub.toml", &text).unwrap();
    assert_eq!(config.http_listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(config.trusted_proxies, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn every_key_of_the_parser_is_documented_and_the_other_way_round() {
    let known: std::collections::BTreeSet<String> =
        environment::keys().iter().map(environment::Key::path).collect();
    let mut asked = std::collections::BTreeSet::new();
    let sections =
        ["tls", "metrics", "backup", "limits", "accounts", "smtp", "provider", "audit", "legal"];
    for section in std::iter::once("").chain(sections) {
        let (head, dot) = match section {
            "" => (String::new(), String::new()),
            "provider" => ("[[provider]]\n".to_owned(), "provider.".to_owned()),
            section => (format!("[{section}]\n"), format!("{section}.")),
        };
        let err = Config::parse("f", &format!("{LEAST}{head}no_such_key = 1\n")).unwrap_err();
        let (_, names) = err.problem.split_once("expected ").unwrap();
        for name in names.split('`').skip(1).step_by(2) {
            let is_section = section.is_empty() && sections.contains(&name);
            asked.extend((!is_section).then(|| format!("{dot}{name}")));
        }
    }
    assert_eq!(asked, known);
}

#[test]
fn the_environment_wins_and_its_mistakes_name_the_variable() {
    let with = |variables: &[(&str, &str)]| {
        let own = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let text = format!("{LEAST}log = \"warn\"\n[backup]\nkeep = 7\n");
        Config::parse_with("hub.toml", &text, &own.collect::<Vec<_>>())
    };
    let config = with(&[
        ("MAMBA_HUB_LOG", "debug"),
        ("MAMBA_HUB_LIMITS_STORE_CACHE_MIB", "32"),
        ("MAMBA_HUB_TRUSTED_PROXIES", "10.0.0.1, ::1"),
        ("MAMBA_HUB_LOG_FORMAT", "json"),
        ("MAMBA_HUB_METRICS_LISTEN", "127.0.0.1:9464"),
        ("MAMBA_HUB_MASTER_KEY", "of another part"),
    ])
    .unwrap();
    assert_eq!((config.log.as_str(), config.backup.keep), ("debug", 7));
    assert_eq!((config.store_cache_bytes, config.trusted_proxies.len()), (32 << 20, 2));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.metrics.unwrap().listen.port(), 9_464);
    for (name, text, problem) in [
        ("MAMBA_HUB_BACKUP_KEEP", "1", "`backup.keep` must be 2 to 1000"),
        ("MAMBA_HUB_BACKUP_KEEP", "x", "`backup.keep` must be a number"),
        ("MAMBA_HUB_KEPT", "1", "is no setting of the hub"),
        ("MAMBA_HUB_PROVIDER_ID", "x", "is no setting of the hub"),
        ("MAMBA_HUB_PROVIDER_0_ID", "x", "is no setting of the hub"),
        ("MAMBA_HUB_PROVIDER_01_ID", "x", "is no setting of the hub"),
        ("MAMBA_HUB_PROVIDER_2_ID", "x", "is in section 2, but there are only 0"),
        ("MAMBA_HUB_METRICS_LISTEN", "0.0.0.0:1", "`metrics.listen` must be a loopback address"),
    ] {
        let err = with(&[(name, text)]).unwrap_err().to_string();
        assert!(err.starts_with(&format!("{name} line 1: {problem}")), "{err}");
    }
}

#[test]
fn sections_of_which_there_are_several_are_numbered_in_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let secret = secret.display().to_string();
    let text = format!(
        "{LEAST}[[provider]]\nid = \"one\"\nkind = \"google\"\nclient_id = \"c\"\n\
         client_secret_file = \"{secret}\"\n"
    );
    let with = |more: &[(&str, &str)]| {
        let second = [
            ("MAMBA_HUB_PROVIDER_2_ISSUER", "https://id.example.org"),
            ("MAMBA_HUB_PROVIDER_2_CLIENT_SECRET_FILE", secret.as_str()),
            ("MAMBA_HUB_PROVIDER_2_CLIENT_ID", "d"),
            ("MAMBA_HUB_PROVIDER_2_KIND", "oidc"),
            ("MAMBA_HUB_PROVIDER_2_ID", "two"),
            ("MAMBA_HUB_PROVIDER_1_CLIENT_ID", "other"),
        ];
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let all: Vec<_> = more.iter().chain(&second).map(own).collect();
        Config::parse_with("hub.toml", &text, &all)
    };
    let config = with(&[]).unwrap();
    let providers = config.accounts.providers.iter();
    let told: Vec<_> = providers.map(|it| (it.id.as_str(), it.client_id.as_str())).collect();
    assert_eq!(told, [("one", "other"), ("two", "d")]);
    assert!(
        config.shown().iter().any(|it| it.variable.as_deref() == Some("MAMBA_HUB_PROVIDER_2_KIND"))
    );
    for (name, text, problem) in [
        (
            "MAMBA_HUB_PROVIDER_1_KIND",
            "nonsense",
            "MAMBA_HUB_PROVIDER_1_KIND line 1: `provider.kind`",
        ),
        ("MAMBA_HUB_PROVIDER_4_KIND", "oidc", "MAMBA_HUB_PROVIDER_4_KIND line 1"),
    ] {
        let err = with(&[(name, text)]).unwrap_err().to_string();
        assert!(err.starts_with(problem), "{err}");
    }
}

#[test]
fn a_certificate_needs_its_key_and_opens_the_address() {
    let public = format!("{LEAST}http_listen = \"0.0.0.0:443\"\n");
    let pair = "[tls]\ncertificate_file = \"/c\"\nkey_file = \"/k\"\n";
    assert!(Config::parse("f", &format!("{public}{pair}")).unwrap().tls.is_some());
    let made = Config::parse("f", &format!("{public}[tls]\nself_made = true\n")).unwrap();
    assert_eq!(made.tls, Some(TlsConfig::SelfMade));
    check(&format!("{LEAST}[tls]\nkey_file = \"/k\"\n"), "line 4: `tls.key_file` needs");
    let both = format!("{LEAST}{pair}self_made = true\n");
    check(&both, "line 4: `tls.certificate_file` must not be given with");
}

#[test]
fn the_shown_settings_are_those_of_the_documented_file() {
    let shown = Config::parse("hub.toml.example", EXAMPLE).unwrap().shown();
    let keys: Vec<_> = environment::keys().into_iter().filter(|it| !it.is_repeated).collect();
    assert_eq!(shown.len(), keys.len());
    for (setting, key) in shown.iter().zip(keys) {
        let is_absent = key.section.as_deref() == Some("smtp");
        let expected = match key.example {
            _ if is_absent => String::new(),
            toml::Value::String(text) => text,
            toml::Value::Array(_) => String::new(),
            other => other.to_string(),
        };
        assert_eq!(setting.value, expected, "{}", setting.key);
    }
}

#[test]
fn shown_settings_tell_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "hunter2-canary\n").unwrap();
    let file = file.display();
    let text = format!(
        "{LEAST}[smtp]\nhost = \"smtp.example.org\"\nuser = \"panel\"\npassword_file = \"{file}\"\n\
         from = \"Panel <panel@example.org>\"\n[[provider]]\nid = \"google\"\nkind = \"google\"\n\
         client_id = \"c\"\nclient_secret_file = \"{file}\"\n"
    );
    let shown = Config::parse("hub.toml", &text).unwrap().shown();
    let value = |key: &str| shown.iter().find(|it| it.key == key).map(|it| it.value.as_str());
    assert_eq!(value("smtp.password_file"), Some("given"));
    assert_eq!(value("smtp.tls"), Some("starttls"));
    assert_eq!(value("provider.client_secret_file"), Some("given"));
    assert!(shown.iter().all(|it| !it.value.contains("canary")), "{shown:?}");
}
