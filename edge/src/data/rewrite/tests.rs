//! Every format: what is set, what stays, what is refused.

use super::*;
use proptest::prelude::*;

fn set(key: &str, value: &str) -> Replacement {
    Replacement { key: key.into(), value: value.into(), kind: ValueKind::Text, if_value: None }
}

fn json(key: &str, value: &str) -> Replacement {
    Replacement { kind: ValueKind::Json, ..set(key, value) }
}

fn when(key: &str, present: &str, value: &str) -> Replacement {
    Replacement { if_value: Some(present.into()), ..set(key, value) }
}

#[track_caller]
fn check(parser: ConfigParser, text: &str, replace: &[Replacement], expected: &str) {
    let once = rewrite(parser, text, replace).unwrap();
    assert_eq!(once, expected);
    assert_eq!(rewrite(parser, &once, replace).unwrap(), expected, "the second time");
}

#[test]
fn lines_are_found_by_their_beginning() {
    check(
        ConfigParser::File,
        "# sv_name a\nsv_port 1\nsv_portal 2\n  port = 1\n",
        &[
            set("sv_port ", "sv_port 8304"),
            set("sv_name ", "sv_name \"x y\""),
            set("  port", "  port = 7"),
            set("  ip", "  ip = 7"),
        ],
        "# sv_name a\nsv_port 8304\nsv_portal 2\n  port = 7\nsv_name \"x y\"\n",
    );
}

#[test]
fn what_would_not_be_found_again_is_not_added() {
    for (parser, key, value) in [
        (ConfigParser::File, "port", "7"),
        (ConfigParser::Properties, "a=", "7"),
        (ConfigParser::Properties, "#a", "7"),
        (ConfigParser::Properties, " a", "7"),
        (ConfigParser::Ini, "[a", "7]"),
        (ConfigParser::Ini, " a.b", "7"),
    ] {
        check(parser, "x=1\n", &[set(key, value)], "x=1\n");
    }
}

#[test]
fn half_a_line_end_at_the_end_is_made_whole() {
    let port = [set("port", "port 7")];
    check(ConfigParser::File, "# x\r", &port, "# x\nport 7\n");
    check(ConfigParser::File, "# x\r\nport 1\r", &port, "# x\r\nport 7\r\n");
    check(ConfigParser::Properties, "a=b\r", &[set("c", "d")], "a=b\nc=d\n");
    check(ConfigParser::Properties, "\n", &[], "\n");
}

#[test]
fn properties_keep_comments_order_and_line_ends() {
    check(
        ConfigParser::Properties,
        "#port=1\r\nport = 2\r\n\r\nmotd=hi\r\n",
        &[set("port", "3"), set("motd", "a=b"), set("new", "x")],
        "#port=1\r\nport = 3\r\n\r\nmotd=a=b\r\nnew=x\r\n",
    );
    check(ConfigParser::Properties, "", &[set("a", "1")], "a=1\n");
}

#[test]
fn ini_keys_belong_to_their_section() {
    check(
        ConfigParser::Ini,
        "port=0\n[a]\nport = 1\n\n[/Script/Engine.GameSession]\nport=2\n[Host Settings]\nx=1\n",
        &[
            set("a.port", "7"),
            set("[/Script/Engine.GameSession].port", "8"),
            set("[Host Settings].x", "2"),
            set("a.new", "9"),
            set("z.k", "v"),
        ],
        "port=0\n[a]\nport = 7\nnew=9\n\n[/Script/Engine.GameSession]\nport=8\n[Host Settings]\nx=2\n\
         [z]\nk=v\n",
    );
    check(ConfigParser::Ini, "[a]\nx=1\n", &[set("x", "2")], "x=2\n[a]\nx=1\n");
    check(ConfigParser::Ini, "x=  #\n", &[set("x", "  #")], "x=  #\n");
}

#[test]
fn the_first_condition_that_holds_decides() {
    let replace = [when("a", "1", "2"), when("a", "2", "3"), when("a", "regex:^x(\\d+)$", "y$1z")];
    for (text, expected) in
        [("a=0\n", "a=0\n"), ("a=1\n", "a=2\n"), ("a=2\n", "a=3\n"), ("a=x12\n", "a=y12z\n")]
    {
        assert_eq!(rewrite(ConfigParser::Properties, text, &replace).unwrap(), expected);
    }
    assert_eq!(rewrite(ConfigParser::Properties, "b=1\n", &replace).unwrap(), "b=1\n");
    let dollar = [when("a", "regex:1", "$ $x $$")];
    assert_eq!(rewrite(ConfigParser::Properties, "a=1\n", &dollar).unwrap(), "a=$ $x $$\n");
}

#[test]
fn json_keeps_its_bytes_and_the_types_of_its_values() {
    check(
        ConfigParser::Json,
        "{\n\t// the port\n\t\"port\": 1, \"name\": \"5\",\n\t\"big\": 1.50e3,\n\t\"list\": [{\"x\": true}, \
         {\"x\" : false}],\n}\n",
        &[
            set("port", "2"),
            set("name", "6"),
            set("list.0.x", "0"),
            set("list[1].x", "true"),
            json("on", "true"),
            set("n.m", "q"),
            set("n.k", "25565"),
        ],
        "{\n\t// the port\n\t\"port\": 2, \"name\": \"6\",\n\t\"big\": 1.50e3,\n\t\"list\": [{\"x\": false}, \
         {\"x\" : true}],\n\t\"on\": true,\n\t\"n\": {\"m\":\"q\",\"k\": 25565},\n}\n",
    );
    check(ConfigParser::Json, "", &[set("a.b", "1")], "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n");
    check(
        ConfigParser::Json,
        "{\"s\":{\"a\":{\"p\":\"127.0.0.1:1\"},\"b\":{\"p\":\"x\"}}}",
        &[when("s.*.p", "regex:^127\\.0\\.0\\.1(:\\d+)$", "10.0.0.1$1")],
        "{\"s\":{\"a\":{\"p\":\"10.0.0.1:1\"},\"b\":{\"p\":\"x\"}}}",
    );
    check(ConfigParser::Json, "[[1,2],[]]", &[set("*[0]", "3")], "[[3,2],[3]]");
    let through = rewrite(ConfigParser::Json, r#"{"a":1}"#, &[set("a.b", "1")]);
    assert_eq!(through, Err(RewriteError::NoContainer { key: "a.b".into() }));
    for bad in ["{", "{\"a\" 1}", "{\"a\":}", "[1 2]", "{} x", "\"a", "{\"a\":\"\\", "/*"] {
        let refused = rewrite(ConfigParser::Json, bad, &[set("a", "1")]);
        assert!(matches!(refused, Err(RewriteError::Syntax { .. })), "{bad}: {refused:?}");
    }
}

#[test]
fn yaml_keeps_its_comments_where_a_value_stands_alone() {
    check(
        ConfigParser::Yaml,
        "# top\nlisteners:\n- query_port: 1 # port\n  host: \"0.0.0.0:1\"\n  tab: 'x'\nservers:\n  lobby:\n    \
         address: localhost:2\n    motd: >-\n      folded\n  \"game\":\n    address: example.org\nlist:\n  - a\n  \
         - b\non: true\n",
        &[
            set("listeners[0].query_port", "4000"),
            set("listeners[0].host", "0.0.0.0:4000"),
            when(
                "servers.*.address",
                "regex:^(127\\.0\\.0\\.1|localhost)(:\\d{1,5})?$",
                "10.0.0.1$2",
            ),
            set("list[1]", "c"),
            json("on", "false"),
        ],
        "# top\nlisteners:\n- query_port: 4000 # port\n  host: 0.0.0.0:4000\n  tab: 'x'\nservers:\n  lobby:\n    \
         address: 10.0.0.1:2\n    motd: >-\n      folded\n  \"game\":\n    address: example.org\nlist:\n  - a\n  \
         - c\non: false\n",
    );
}

#[test]
fn yaml_is_written_anew_where_it_must() {
    for (text, key, value) in [
        ("", "a.b", "1"),
        ("a: {b: 2, c: x}\n", "a.b", "1"),
        ("a:\n  c: 1\n", "a.b", "yes"),
        ("a:\n  b: |\n    several\n    lines\n", "a.b", "one"),
        ("a: &x\n  b: 2\nd: *x\n", "a.b", "3"),
    ] {
        let new = rewrite(ConfigParser::Yaml, text, &[set(key, value)]).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&new).unwrap();
        let got = match &read["a"]["b"] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(got, value, "{new}");
    }
    let same = "a:   1   # x\nb: [1,\n  2]\n";
    check(ConfigParser::Yaml, same, &[set("a", "1")], same);
}

#[test]
fn toml_values_are_set() {
    let text = "# c\na = 1\n[s]\nb = \"x\"\n";
    check(ConfigParser::Toml, text, &[set("a", "1")], text);
    let new = rewrite(ConfigParser::Toml, text, &[set("s.b", "y"), set("s.n", "7")]).unwrap();
    let read: toml::Table = toml::from_str(&new).unwrap();
    assert_eq!(read["s"]["b"].as_str(), Some("y"));
    assert_eq!(read["s"]["n"].as_integer(), Some(7));
}

#[test]
fn xml_keeps_everything_but_the_text() {
    check(
        ConfigParser::Xml,
        "<?xml version=\"1.0\"?>\n<!-- c -->\n<A>\n  <Port>1</Port>\n  <Name a='b'/>\n  <p name=\"x\" value=\"1\"/>\n  \
         <p name=\"y.z\" value='2'/>\n</A>\n",
        &[
            set("A.Port", "4000"),
            set("A.Name", "a < b & c"),
            set("A.p[@name='y.z']", "[value='3']"),
            set("A.New.Deep", "1"),
        ],
        "<?xml version=\"1.0\"?>\n<!-- c -->\n<A>\n  <Port>4000</Port>\n  <Name a='b'>a &lt; b &amp; c</Name>\n  \
         <p name=\"x\" value=\"1\"/>\n  <p name=\"y.z\" value=\"3\"/>\n<New><Deep>1</Deep></New></A>\n",
    );
    check(ConfigParser::Xml, "", &[set("A.B", "1")], "<A><B>1</B></A>\n");
    check(
        ConfigParser::Xml,
        "<A><x>1</x><y>2</y></A>",
        &[set("A.*", "3")],
        "<A><x>3</x><y>3</y></A>",
    );
    let other_root = rewrite(ConfigParser::Xml, "<A/>", &[set("B.C", "1")]);
    assert_eq!(other_root, Err(RewriteError::NoContainer { key: "B.C".into() }));
    for bad in ["<A>", "<A></B>", "<A b=></A"] {
        let refused = rewrite(ConfigParser::Xml, bad, &[set("A", "1")]);
        assert!(matches!(refused, Err(RewriteError::Syntax { .. })), "{bad}: {refused:?}");
    }
}

/// CVE-2026-52857: a config parser without a size limit.
#[test]
fn huge_deep_and_growing_files_are_refused() {
    const ALL: [ConfigParser; 7] = [
        ConfigParser::File,
        ConfigParser::Properties,
        ConfigParser::Ini,
        ConfigParser::Json,
        ConfigParser::Yaml,
        ConfigParser::Xml,
        ConfigParser::Toml,
    ];
    let text = "a".repeat(FILE_BYTES_MAX + 1);
    for parser in ALL {
        let refused = rewrite(parser, &text, &[]);
        assert_eq!(
            refused,
            Err(RewriteError::TooLarge { bytes: FILE_BYTES_MAX + 1 }),
            "{parser:?}"
        );
    }
    let deep = 100_000;
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(deep), close.repeat(deep));
    for (parser, text) in [
        (ConfigParser::Json, nested("[", "]")),
        (ConfigParser::Yaml, nested("[", "]")),
        (ConfigParser::Xml, nested("<a>", "</a>")),
        (ConfigParser::Toml, format!("a = {}", nested("[", "]"))),
        (ConfigParser::Json, format!("[{}1]", "1,".repeat(VALUES_MAX))),
        (ConfigParser::Xml, format!("<a>{}</a>", "<b/>".repeat(VALUES_MAX))),
    ] {
        let refused = rewrite(parser, &text, &[set("x", "1")]);
        assert!(refused.is_err(), "{parser:?}");
    }
    // Billion laughs.
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..20 {
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            format!("*a{},", level - 1).repeat(9)
        ));
    }
    assert!(rewrite(ConfigParser::Yaml, &bomb, &[set("x", "1")]).is_err());
    // A small file that becomes large.
    let wide = format!("[{}1]", "1,".repeat(100_000));
    let refused = rewrite(ConfigParser::Json, &wide, &[set("*", &"v".repeat(1_000))]);
    assert!(matches!(refused, Err(RewriteError::TooLarge { .. })), "{refused:?}");
    let lines = "a\n".repeat(1_000_000);
    let refused = rewrite(ConfigParser::File, &lines, &[set("a", &"a".repeat(1_000))]);
    assert!(matches!(refused, Err(RewriteError::TooLarge { .. })));
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        "[ -~\u{e4}\n]{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is in a file, setting a value sets it and changes nothing else.
    #[test]
    fn a_set_value_is_there_and_the_rest_stays(root in any_value(), value in "[ -~]{0,12}", yaml in any::<bool>()) {
        let serde_json::Value::Object(mut map) = root else { return Ok(()) };
        let whole = serde_json::Value::Object(map.clone());
        let (parser, text) = if yaml {
            (ConfigParser::Yaml, serde_saphyr::to_string(&whole).unwrap())
        } else {
            (ConfigParser::Json, serde_json::to_string_pretty(&whole).unwrap())
        };
        let new = rewrite(parser, &text, &[set("key", &value)]).unwrap();
        let read: serde_json::Value = if yaml {
            serde_saphyr::from_str(&new).unwrap()
        } else {
            serde_json::from_str(&new).unwrap()
        };
        let expected = tree::typed(&serde_json::Value::Null, &New { text: value, kind: ValueKind::Text });
        map.insert("key".into(), expected);
        prop_assert_eq!(read, serde_json::Value::Object(map));
    }

    /// No bytes make a parser panic.
    #[test]
    fn no_text_breaks_a_parser(text in "[\\[\\]{}<>/a-c:,\"'#\\-|&* =\n\\\\é]{0,60}", key in "[a-c.\\[\\]0*]{1,8}") {
        for parser in [ConfigParser::File, ConfigParser::Properties, ConfigParser::Ini, ConfigParser::Json,
            ConfigParser::Yaml, ConfigParser::Xml, ConfigParser::Toml] {
            let _new = rewrite(parser, &text, &[set(&key, "1"), when(&key, "regex:1", "$1")]);
        }
    }
}
