//! Whatever happens to lines, in whatever order: never too many connections, and never a line that was forgotten.

use proptest::prelude::*;

use super::*;

/// Something that happens; numbers are taken around among what there is.
#[derive(Debug, Clone)]
enum Happens {
    Accept(usize),
    Refuse(usize),
    Ban(usize),
    Vanish(usize),
    Close(usize),
    Overlapped(u64),
    Renew(u64, Renewal),
    ReconnectOne(u64),
    ReconnectAll,
    Vouch,
    /// From now on there are these of three shards.
    Follow([bool; 3]),
    Pass(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let why = prop_oneof![Just(Renewal::Age), Just(Renewal::Shutdown), Just(Renewal::Lag)];
    prop_oneof![
        12 => (0usize..6).prop_map(Happens::Accept),
        2 => (0usize..6).prop_map(Happens::Refuse),
        1 => (0usize..6).prop_map(Happens::Ban),
        3 => (0usize..6).prop_map(Happens::Vanish),
        2 => (0usize..6).prop_map(Happens::Close),
        6 => (0u64..4).prop_map(Happens::Overlapped),
        4 => (0u64..6, why).prop_map(|(back, why)| Happens::Renew(back, why)),
        1 => (0u64..6).prop_map(Happens::ReconnectOne),
        1 => Just(Happens::ReconnectAll),
        2 => Just(Happens::Vouch),
        2 => prop::array::uniform3(any::<bool>()).prop_map(Happens::Follow),
        8 => (1u64..40).prop_map(Happens::Pass),
        2 => (40u64..4_000).prop_map(Happens::Pass),
    ]
}

/// What stands between the feed and the test.
#[derive(Default)]
struct World {
    dials: Vec<Dial>,
    peers: Vec<Peer>,
}

impl World {
    /// Lets what is ready happen and looks at what there is.
    async fn look(&mut self, feed: &mut Feed, most: usize, most_of_a_line: i32) {
        settle().await;
        while let Ok(dial) = feed.dials.try_recv() {
            self.dials.push(dial);
        }
        self.dials.retain(|dial| !dial.answer.is_closed());
        self.peers.retain(Peer::is_open);
        let there_are = self.dials.len() + self.peers.len();
        assert!(there_are <= most, "{there_are} connections or attempts, {:?}", feed.told());
        let up = *feed.up.lock().unwrap();
        assert!(up.iter().all(|up| (0..=most_of_a_line).contains(up)), "{up:?}");
        assert!(!feed.running.is_finished());
    }

    async fn let_happen(&mut self, what: &Happens, feed: &Feed, newest: u64) {
        let back = |back: u64| SessionId(newest.saturating_sub(back));
        let nth = |number: usize, of: usize| if of == 0 { None } else { Some(number % of) };
        let (dial, peer) = match what {
            Happens::Accept(number) | Happens::Refuse(number) | Happens::Ban(number) => {
                (nth(*number, self.dials.len()).map(|at| self.dials.remove(at)), None)
            }
            Happens::Vanish(number) => (None, nth(*number, self.peers.len()).map(|at| self.peers.remove(at))),
            _ => (None, None),
        };
        match what {
            Happens::Accept(_) => {
                if let Some(dial) = dial {
                    self.peers.push(dial.accept().await);
                }
            }
            Happens::Refuse(_) => drop(dial),
            Happens::Ban(_) => {
                if let Some(dial) = dial {
                    dial.answer_status(429, Some(90 * SECOND));
                }
            }
            Happens::Vanish(_) => {
                if let Some(peer) = peer {
                    peer.vanish();
                }
            }
            Happens::Close(number) => {
                if let Some(at) = nth(*number, self.peers.len()) {
                    self.peers[at].close(1001);
                }
            }
            Happens::Overlapped(ago) => feed.steering.overlapped(back(*ago)),
            Happens::Renew(ago, why) => feed.steering.renew(back(*ago), *why),
            Happens::ReconnectOne(ago) => feed.steering.reconnect_session(back(*ago)),
            Happens::ReconnectAll => feed.steering.reconnect(ShardId(0)),
            Happens::Vouch => feed.steering.vouch(ShardId(0)),
            Happens::Follow(shards) => feed.follow(&numbers(*shards)),
            Happens::Pass(seconds) => sleep(Duration::from_secs(*seconds)).await,
        }
    }
}

fn numbers(shards: [bool; 3]) -> Vec<u16> {
    (0..3).filter(|shard| shards[usize::from(*shard)]).collect()
}

/// Plays what happens on lines that nobody but their age renews, or everybody.
async fn play(lines: u8, only_by_age: bool, story: &[Happens]) {
    // Where silence ends connections, few of them come of age.
    let settings = if only_by_age { settings } else { impatient };
    let mut feed = Feed::start(settings(lines, HOUR / 6));
    let (mut shards, copies) = (vec![0], usize::from(lines));
    let most = |shards: &[u16]| {
        let lines = copies * shards.len();
        if only_by_age { lines + 1 } else { 2 * lines }
    };
    let mut world = World::default();
    // Without a connection ever a refusal ends the run, but none of these refuses for good.
    for what in story {
        if only_by_age && matches!(what, Happens::Renew(..)) {
            continue;
        }
        world.look(&mut feed, most(&shards), 2).await;
        let newest = feed.arrived().iter().filter(|line| line.starts_with("opened")).count() as u64;
        world.let_happen(what, &feed, newest).await;
        if let Happens::Follow(followed) = what {
            shards = numbers(*followed);
        }
    }
    world.look(&mut feed, most(&shards), 2).await;
    // Longer than any wait: nobody is forgotten.
    for _ in 0..4 {
        sleep(30 * SECOND).await;
        world.look(&mut feed, most(&shards), 2).await;
    }
    let is_up: Vec<_> = (0..).zip(*feed.up.lock().unwrap()).filter(|(_, up)| *up > 0).collect();
    assert!(is_up.iter().all(|(line, _)| shards.contains(&(line / 3))), "{shards:?}: {is_up:?}");
    let up = is_up.len();
    assert!(
        up + world.dials.len() >= copies * shards.len(),
        "{up} lines up, {} attempts, {:?}",
        world.dials.len(),
        feed.told()
    );
    let (told, up) = (Arc::clone(&feed.told), Arc::clone(&feed.up));
    let asked = Instant::now();
    feed.stop().await.expect("nothing was refused for good");
    assert!(asked.elapsed() <= SECOND, "{:?}", asked.elapsed());
    settle().await;
    assert_eq!(*up.lock().unwrap(), [0; LINES], "{:?}", told.lock().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn there_are_never_too_many_connections_and_no_line_is_ever_forgotten(
        lines in 1u8..=3,
        only_by_age in any::<bool>(),
        story in prop::collection::vec(happens(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(play(lines, only_by_age, &story));
    }
}
