//! What only a real engine can show: the walls around a game, seen from inside, and its signals.

use crate::bench::{Heard, free_port, kept, on_docker, random};
use futures_util::FutureExt;
use mamba_core::{
    clock::{SystemClock, SystemEntropy, UnixMs, draw},
    ids::ServerId,
    server::{Capability, PortBinding, PortProtocol, Sharing, Signal},
};
use mamba_edge::{
    console::{Consoles, catch_up, pump},
    runtime::{
        Bind, ContainerStatus, OutputSource, Runtime, RuntimeError,
        docker::{DockerRuntime, Registries, RegistryLogin},
    },
};
use mamba_wire::node::LineSource;
use std::{
    fs::Permissions,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn a_game_cannot_leave_its_container() {
    on_docker(async |bench| {
        let mut spec = bench.game().await;
        spec.capabilities = vec![Capability::Chown];
        let (_, mut heard) = bench.run(&spec).await;
        assert_eq!(heard.ask("id -u; id -g; id -G").await, "988\n988\n988");
        let status = heard.ask("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status").await;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        // CAP_CHOWN is bit 0; a user other than root holds none of its bounding set.
        assert_eq!(field("CapBnd"), "0000000000000001");
        assert_eq!(field("CapEff"), "0000000000000000");
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2");
        let write = |path: &str| format!("(echo x > {path}/probe) 2>&1 && echo written");
        for (path, expected) in [("/home/container", true), ("/tmp", true), ("/", false), ("/etc", false)] {
            let said = heard.ask(&write(path)).await;
            assert_eq!(said.ends_with("written"), expected, "{path}: {said}");
        }
        assert!(spec.data_dir.join("probe").exists());
        assert_eq!(heard.ask("ulimit -c; ulimit -n").await, "0\n16384");
        assert_eq!(heard.ask("echo $GREETING; pwd; echo $HOME").await, "hello\n/home/container\n/home/container");
        // Nothing of the machine is mounted but the engine's own three files and the data folder.
        let mounts = heard.ask("cut -d' ' -f2 /proc/mounts | grep -vE '^/(proc|sys|dev)' | sort").await;
        assert_eq!(mounts, "/\n/etc/hostname\n/etc/hosts\n/etc/resolv.conf\n/home/container\n/tmp\n/usr/sbin/docker-init");
        assert_eq!(heard.ask("ls /proc | grep -cE '^[0-9]+$' | { read n; test $n -lt 12 && echo few; }").await, "few");
    })
    .await;
}

/// The engine takes a tenth of a second to remove a container: no start waits for that.
#[tokio::test]
async fn what_is_left_of_a_run_is_set_aside_and_removed_after_the_next_look() {
    on_docker(async |bench| {
        let spec = bench.game().await;
        let (first, mut heard) = bench.run(&spec).await;
        heard.type_line("leave").await;
        heard.read_to_end().await;
        assert_eq!(bench.ended(&first).await, (7, false));
        let second = bench.runtime.create(&spec).await.unwrap();
        assert_eq!(kept(bench.node), 2);
        assert_eq!(bench.status(&first).await, None, "gone for whoever looks");
        let found = bench.runtime.list(bench.node).await.unwrap();
        assert_eq!(found.iter().map(|it| &it.id).collect::<Vec<_>>(), [&second]);
        for _ in 0..600 {
            if kept(bench.node) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(kept(bench.node), 1);
        assert_eq!(bench.status(&second).await, Some(ContainerStatus::Created));
    })
    .await;
}

/// Networks of servers have no IPv6 of their own: the engine brings it in where it is published.
#[tokio::test]
async fn a_port_is_published_on_an_address_of_version_6() {
    on_docker(async |bench| {
        let port = match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener.local_addr().unwrap().port(),
            Err(err) => return println!("skipped: this machine has no `::1`: {err}"),
        };
        let mut spec = bench.game().await;
        let ip = Ipv6Addr::LOCALHOST.into();
        spec.ports = vec![PortBinding { ip, port, protocol: PortProtocol::Both }];
        let (_, mut heard) = bench.run(&spec).await;
        let answer = format!("(while true; do echo hello | nc -l -p {port}; done) & echo listens");
        heard.type_line(&answer).await;
        heard.wait(OutputSource::Stdout, "listens").await;
        // The engine accepts before the game does, and then ends the connection without a word.
        let said = async {
            loop {
                let mut said = String::new();
                if let Ok(mut stream) = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await {
                    stream.read_to_string(&mut said).await.ok();
                }
                if !said.is_empty() {
                    return said;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(15), said).await;
        assert_eq!(said.expect("an answer at `::1`"), "hello\n");
        let other = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        assert!(other.is_err(), "it is published at that address alone");
    })
    .await;
}

#[tokio::test]
async fn a_game_shares_the_node_as_it_is_told() {
    on_docker(async |bench| {
        let mut spec = bench.game().await;
        spec.limits.sharing = Sharing {
            threads: Some("1".parse().unwrap()),
            io_weight: Some(300),
            oom_disabled: true,
        };
        let lacks = bench.runtime.info().await.unwrap().lacks;
        let (id, mut heard) = bench.run(&spec).await;
        if !lacks.contains(&"binding to processors") {
            let allowed = heard.ask("grep Cpus_allowed_list /proc/self/status").await;
            assert_eq!(allowed.split_whitespace().last(), Some("1"));
        }
        let Some(ContainerStatus::Running { pid, .. }) = bench.status(&id).await else {
            panic!("it does not run");
        };
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        // A group's file, by its controller in the first version of control groups or by none.
        let read = |controller: &str, file: &str| {
            let mark = format!(":{controller}:");
            let first = groups.lines().find_map(|line| line.split_once(&mark));
            let first = first.map(|(_, path)| format!("/sys/fs/cgroup/{controller}{path}/{file}"));
            let second = groups.lines().find_map(|line| line.strip_prefix("0::"));
            let second = second.map(|path| format!("/sys/fs/cgroup{path}/{file}"));
            let found = [first, second].into_iter().flatten();
            found.into_iter().find_map(|path| std::fs::read_to_string(path).ok())
        };
        if !lacks.contains(&"waiting for memory instead of being killed") {
            let control = read("memory", "memory.oom_control").unwrap();
            assert!(control.contains("oom_kill_disable 1"), "{control}");
        }
        if !lacks.contains(&"weights at the disk") {
            let files = ["blkio.weight", "blkio.bfq.weight", "io.weight", "io.bfq.weight"];
            assert!(files.iter().any(|file| read("blkio", file).is_some()));
        }
        // A processor that the machine does not have is refused by the engine, with its name.
        spec.server = ServerId::new(UnixMs(4), draw(&SystemEntropy));
        spec.limits.sharing.threads = Some("500".parse().unwrap());
        let err = bench.runtime.create(&spec).await.unwrap_err();
        assert!(format!("{err:?}").contains("500"), "{err:?}");
    })
    .await;
}

/// Row of the advisories: CVE-2021-32699.
#[tokio::test]
async fn a_fork_bomb_ends_at_its_limit() {
    on_docker(async |bench| {
        let (id, mut heard) = bench.run(&bench.game().await).await;
        let bomb = "i=0; while test $i -lt 60; do sleep 60 & i=$((i+1)); done 2>/dev/null";
        heard.type_line(bomb).await;
        heard.type_line("echo over").await;
        // The shell gives up at the limit or lives on below it; the machine never holds more.
        let said = tokio::time::timeout(Duration::from_secs(5), heard.read_to_end()).await;
        let status = bench.status(&id).await.unwrap();
        if let ContainerStatus::Running { pid, .. } = status {
            let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            let path =
                cgroup.lines().find_map(|line| line.split_once(":pids:").or(line.split_once("::")));
            let path = path.unwrap().1;
            let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
            let peak = roots.iter().find_map(|root| {
                std::fs::read_to_string(format!("{root}{path}/pids.current")).ok()
            });
            let count: u32 = peak.unwrap().trim().parse().unwrap();
            assert!((20..=32).contains(&count), "{count} processes");
        } else {
            assert!(said.is_ok(), "{status:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn signals_reach_a_game_behind_any_start_line() {
    on_docker(async |bench| {
        for startup in [
            "sh ./game.sh",
            "exec sh ./game.sh",
            "true && if test -n \"$GREETING\"; then sh ./game.sh; fi; echo not reached",
            "while true; do sh ./game.sh; done",
            "(cd /tmp; sh /home/container/game.sh)",
        ] {
            let mut spec = bench.game().await;
            spec.startup = startup.to_owned();
            let (id, mut heard) = bench.run(&spec).await;
            bench.runtime.signal(&id, Signal::Int).await.unwrap();
            heard.read_to_end().await;
            assert_eq!(heard.text[0], "ready\nsaving\n", "{startup}");
            assert_eq!(bench.ended(&id).await, (5, false), "{startup}");
        }
    })
    .await;
}

#[tokio::test]
async fn tenants_do_not_reach_each_other() {
    on_docker(async |bench| {
        let (mut server, stranger) = (bench.game().await, bench.game().await);
        let friend = bench.game_of(server.tenant).await;
        let port = free_port();
        server.ports = vec![port.clone()];
        let (_, mut listening) = bench.run(&server).await;
        let listen = format!("while true; do echo hello | nc -l -p {}; done &", port.port);
        listening.type_line(&listen).await;
        let address = listening.ask("hostname -i").await;
        let connect = format!("nc -w 2 {address} {} </dev/null; echo code $?", port.port);
        let (_, mut other) = bench.run(&friend).await;
        let mut said = other.ask(&connect).await;
        for _ in 0..20 {
            if said.contains("hello") {
                break;
            }
            said = other.ask(&connect).await;
        }
        assert_eq!(said, "hello\ncode 0", "a server of the same tenant");
        let (_, mut other) = bench.run(&stranger).await;
        assert_eq!(other.ask(&connect).await, "code 1", "a server of another tenant");
        // Its published port answers on the machine.
        let address = (port.ip, port.port);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello\n");
    })
    .await;
}

#[tokio::test]
async fn an_absent_engine_is_unreachable() {
    let runtime = DockerRuntime::new(Path::new("/nonexistent/docker.sock"));
    let error = runtime.info().await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unreachable(_)), "{error}");
    let mut events = runtime.events(mamba_core::ids::NodeId::from_bytes([0; 16]));
    assert!(futures_util::StreamExt::next(&mut events).now_or_never().is_none());
}

#[tokio::test]
async fn lines_printed_while_the_daemon_was_away_are_neither_lost_nor_doubled() {
    on_docker(async |bench| {
        let dir = tempfile::tempdir().unwrap();
        let open = || Consoles::open(dir.path(), Arc::new(SystemClock::new().unwrap())).unwrap();
        let mut spec = bench.game().await;
        let count = 400 + random() % 100;
        spec.startup = format!(
            "i=0; while test $i -lt {count}; do i=$((i+1)); echo line $i; echo same; \
             test $((i % 20)) -eq 0 && sleep 0.1; done; echo over; sleep 600"
        );
        let id = bench.runtime.create(&spec).await.unwrap();
        // The first daemon goes away in the middle.
        let consoles = open();
        let sink = consoles.sink(spec.server);
        let attached = bench.runtime.attach(&id).await.unwrap();
        bench.runtime.start(&id).await.unwrap();
        let away = Duration::from_millis(600);
        assert!(tokio::time::timeout(away, pump(attached.output, &sink)).await.is_err());
        drop((sink, consoles));
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The second one comes, while the game still prints.
        let consoles = open();
        let sink = consoles.sink(spec.server);
        let attached = catch_up(&bench.runtime, &id, &sink).await.unwrap();
        let follow = async {
            let printing = pump(attached.output, &sink);
            tokio::pin!(printing);
            while !consoles.last_lines(spec.server, 5).iter().any(|line| line.text == "over") {
                let pause = Duration::from_millis(20);
                assert!(tokio::time::timeout(pause, &mut printing).await.is_err(), "ended");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), follow).await.expect("over");
        let lines = consoles.last_lines(spec.server, 10_000);
        let said: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        let mut expected: Vec<String> =
            (1..=count).flat_map(|at| [format!("line {at}"), "same".to_owned()]).collect();
        expected.push("over".to_owned());
        assert_eq!(said, expected);
        assert!(lines.iter().all(|line| line.source == LineSource::Stdout));
    })
    .await;
}

#[tokio::test]
async fn a_game_that_floods_is_drained() {
    on_docker(async |bench| {
        let mut spec = bench.game().await;
        spec.startup =
            "yes 0123456789012345678901234567890123456789 | head -n 200000; echo over >&2; read x"
                .to_owned();
        let id = bench.runtime.create(&spec).await.unwrap();
        let mut heard = Heard::new(bench.runtime.attach(&id).await.unwrap());
        bench.runtime.start(&id).await.unwrap();
        heard.wait(OutputSource::Stderr, "over").await;
        heard.type_line("go").await;
        heard.read_to_end().await;
        assert_eq!(heard.text[0].lines().count(), 200_000);
    })
    .await;
}

#[tokio::test]
async fn a_game_sees_the_folders_that_it_was_given() {
    on_docker(async |bench| {
        let shared = tempfile::tempdir().unwrap();
        for folder in ["maps", "worlds"] {
            let path = shared.path().join(folder);
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
            std::fs::write(path.join("one"), format!("{folder}\n")).unwrap();
        }
        let mut spec = bench.game().await;
        let bind = |folder: &str, target: &str, read_only| Bind {
            source: shared.path().join(folder),
            target: target.to_owned(),
            read_only,
        };
        // One of them inside of the game's own folder, as shared maps usually are.
        spec.mounts =
            vec![bind("maps", "/home/container/maps", true), bind("worlds", "/mnt/worlds", false)];
        let (_, mut heard) = bench.run(&spec).await;
        assert_eq!(heard.ask("cat /home/container/maps/one /mnt/worlds/one").await, "maps\nworlds");
        let write =
            |path: &str| format!("(echo x > {path}/two) 2>/dev/null && echo written || echo no");
        assert_eq!(heard.ask(&write("/home/container/maps")).await, "no");
        assert_eq!(heard.ask(&write("/mnt/worlds")).await, "written");
        assert!(shared.path().join("worlds/two").exists());
    })
    .await;
}

/// Answers as a registry that lets nobody in without a login and has no images; keeps the logins.
async fn refuse_pulls(listener: TcpListener, logins: Arc<Mutex<Vec<String>>>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let mut head = vec![0; 8192];
        let Ok(count) = stream.read(&mut head).await else { continue };
        let head = String::from_utf8_lossy(&head[..count]).into_owned();
        // The engine tries TLS first.
        if !head.starts_with("GET ") && !head.starts_with("HEAD ") {
            continue;
        }
        let login = head.lines().find_map(|line| line.strip_prefix("Authorization: "));
        let status = match login {
            None => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"games\"",
            Some(login) => {
                logins.lock().unwrap().push(login.to_owned());
                if head.starts_with("GET /v2/ ") { "200 OK" } else { "404 Not Found" }
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok();
    }
}

#[tokio::test]
async fn a_registry_is_shown_the_login_of_its_own_host_and_no_other() {
    on_docker(async |bench| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let logins = Arc::new(Mutex::new(vec![]));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(refuse_pulls(listener, Arc::clone(&logins)));

        // In base64 this has both signs that differ between the alphabets.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "p?????~~~~~>>>>>\n").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let login = RegistryLogin { user: "bot".to_owned(), password_file: file };
        let pull = async |host: &str, of: &str| {
            let registries = Registries::from([(of.to_owned(), login.clone())]);
            let runtime = bench.runtime.clone().with_registries(registries);
            let (progress, _told) = tokio::sync::mpsc::channel(1);
            runtime.ensure_image(&format!("{host}/none:1"), progress).await.unwrap_err()
        };
        let err = pull(&host, "localhost").await;
        assert!(matches!(err, RuntimeError::ImageMissing { .. }), "{err}");
        assert_eq!(*logins.lock().unwrap(), [""; 0]);
        let err = pull(&host, &host).await;
        assert!(matches!(err, RuntimeError::ImageMissing { .. }), "{err}");
        let seen = logins.lock().unwrap().clone();
        assert!(!seen.is_empty());
        for login in seen {
            assert_eq!(login, "Basic Ym90OnA/Pz8/P35+fn5+Pj4+Pj4=");
        }
    })
    .await;
}
