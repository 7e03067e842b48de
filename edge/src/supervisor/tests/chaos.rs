//! Everything that can fail does, at random by a seed; when it is over, the server is as wanted.

use super::*;
use crate::runtime::{
    RuntimeError,
    fake::{Act, Call, Script, Trouble, When},
};
use mamba_core::db::sim::SimMode;

/// Seeds in a run of the tests; `MAMBA_SEED=7` plays only that one, `MAMBA_SEEDS=500` so many.
const SEEDS: u64 = 24;
/// Things that happen in one seed.
const STEPS: u32 = 30;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap();
        from[index]
    }
}

fn trouble(dice: &mut Dice) -> Trouble {
    match dice.below(4) {
        0 => Trouble::Fail(RuntimeError::Unreachable("chaos".into())),
        1 => Trouble::Fail(RuntimeError::TimedOut { step: "chaos", ms: 1 }),
        2 => Trouble::Fail(RuntimeError::Refused { step: "chaos", error: "no".into() }),
        _ => Trouble::Slow(dice.below(20_000)),
    }
}

/// Lets one thing happen.
async fn step(machine: &Machine, daemon: Daemon, dice: &mut Dice) -> Daemon {
    const CALLS: &[Call] = &[
        Call::EnsureImage,
        Call::EnsureNetwork,
        Call::Create,
        Call::Attach,
        Call::LogsSince,
        Call::Start,
        Call::Signal,
        Call::StopSignal,
        Call::Update,
        Call::Inspect,
        Call::List,
    ];
    const POWERS: &[PowerAction] =
        &[PowerAction::Start, PowerAction::Stop, PowerAction::Restart, PowerAction::Kill];
    match dice.below(12) {
        0..3 => {
            // Refused while the disk takes no write.
            daemon.power(dice.pick(POWERS)).await.ok();
        }
        3..6 => {
            let (call, when) = (dice.pick(CALLS), dice.pick(&[When::Before, When::After]));
            machine.fake.trouble(call, when, trouble(dice));
        }
        6 => {
            let end = dice.pick(&[0, 1, 137]);
            machine.fake.act(server(1), Act::Exit(end));
        }
        7 => machine.fake.set_down(dice.below(2) == 0),
        8 => machine.disk.set_mode(dice.pick(&[SimMode::Works, SimMode::ReadOnly])),
        9 => {
            let mut wish = spec();
            wish.limits.memory_mib = Mib(256 + u32::try_from(dice.below(3)).unwrap());
            wish.image = dice.pick(&["game:1", "game:2"]).into();
            machine.wish(&daemon, server(1), wish).await;
        }
        10 => {
            machine.kill(daemon).await;
            pass(dice.below(20_000)).await;
            return machine.daemon().await;
        }
        _ => return machine.reboot(daemon).await,
    }
    daemon
}

async fn play(seed: u64) {
    let (machine, mut dice) = (Machine::new(), Dice(seed));
    machine.fake.script(server(1), [Script::game()]);
    let mut daemon = machine.daemon().await;
    assert_eq!(machine.wish(&daemon, server(1), spec()).await, DesiredOutcome::Adopted);
    for _ in 0..STEPS {
        daemon = step(&machine, daemon, &mut dice).await;
        pass(dice.below(5_000)).await;
        assert!(machine.processes() <= 1, "seed {seed}: two processes of one server");
    }
    machine.fake.set_down(false);
    machine.disk.set_mode(SimMode::Works);
    // Until every trouble that is still in store has been suffered.
    pass(60_000).await;
    daemon.power(PowerAction::Start).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Running).await;
    assert_eq!(machine.processes(), 1, "seed {seed}");
    pass(60_000).await;
    daemon.wait(server(1), |it| it.state == ServerState::Running && it.not_running.is_none()).await;
    daemon.power(PowerAction::Stop).await.unwrap();
    daemon.wait(server(1), |it| it.state == ServerState::Offline).await;
    pass(60_000).await;
    assert_eq!(machine.processes(), 0, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn after_any_run_of_failures_the_server_is_as_wanted() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let all = 0..number("MAMBA_SEEDS").unwrap_or(SEEDS);
    for seed in number("MAMBA_SEED").map_or(all, |seed| seed..seed + 1) {
        println!("seed {seed}");
        play(seed).await;
    }
}
