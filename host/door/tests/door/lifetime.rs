//! Deadline and cancellation: soft first, hard after the grace period. The clock of these tests stands still but for waits.

use std::time::Duration;

use outrigger_door::{IntentOutcome, Lifetime, Operation, Reason, Stop};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{FIRE, LOOK, SET, STOP, Scene, Setting, never};

const DEADLINE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(2);

/// A scene that ends by its deadline, or by a cancellation at the same time.
fn scene(reason: Reason) -> Scene {
    let cancel = CancellationToken::new();
    let lifetime = match reason {
        Reason::Timeout => Lifetime::new(Some(Instant::now() + DEADLINE), GRACE, cancel),
        _ => {
            let token = cancel.clone();
            tokio::spawn(async move {
                sleep(DEADLINE).await;
                token.cancel();
            });
            Lifetime::until_cancelled(cancel, GRACE)
        }
    };
    Scene::new(Setting { lifetime: Some(lifetime), ..Setting::default() })
}

#[tokio::test(start_paused = true)]
async fn the_call_in_flight_hears_of_the_end_once_and_later_calls_work() {
    for reason in [Reason::Timeout, Reason::Cancelled] {
        let scene = scene(reason);
        let door = scene.door("1", "local", 1);
        let start = Instant::now();

        let failure = scene.call_with(&door, &LOOK, Value::Null, |_| never()).await.unwrap().unwrap_err();
        assert_eq!((failure.reason, start.elapsed()), (reason, DEADLINE));
        assert!(failure.message.contains("test:Look was interrupted"), "{failure}");
        assert!(!failure.message.contains("not known"), "a read is never in doubt: {failure}");

        // Later reads work, also long ones.
        let slow = |_| async {
            sleep(Duration::from_secs(1)).await;
            Ok(json!("late"))
        };
        assert_eq!(scene.call_with(&door, &LOOK, Value::Null, slow).await.unwrap().unwrap(), json!("late"));

        // At the end of the grace period everything ends, also what is in flight.
        let stop = scene.call_with(&door, &LOOK, Value::Null, |_| never()).await.unwrap_err();
        assert_eq!((stop, start.elapsed()), (Stop::Over(reason), DEADLINE + GRACE));
        assert_eq!(scene.call(&door, &LOOK, Value::Null).await.unwrap_err(), Stop::Over(reason));
        assert_eq!(scene.call(&door, &STOP, Value::Null).await.unwrap_err(), Stop::Over(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_grace_period_only_clean_up_writes() {
    for reason in [Reason::Timeout, Reason::Cancelled] {
        let scene = scene(reason);
        let door = scene.door("1", "local", 1);
        sleep(DEADLINE).await;
        tokio::task::yield_now().await;
        // Nothing was in flight when it ended: the next call hears of it, once.
        let failure = scene.call(&door, &LOOK, Value::Null).await.unwrap().unwrap_err();
        assert_eq!(failure.reason, reason);
        assert!(failure.message.contains("test:Look was not begun"), "{failure}");
        assert_eq!(scene.events.take(), Vec::<String>::new());
        for (operation, allowed) in [(&LOOK, true), (&STOP, true), (&SET, false), (&FIRE, false)] {
            let answer = scene.call(&door, operation, Value::Null).await.unwrap();
            let events = scene.events.take();
            if allowed {
                answer.unwrap();
                assert!(events.contains(&format!("call {}", operation.function)), "{events:?}");
            } else {
                let failure = answer.unwrap_err();
                assert_eq!(failure.reason, reason);
                assert!(failure.message.contains("only clean-up operations may write now"), "{failure}");
                assert_eq!(events, Vec::<String>::new(), "{}: nothing is asked, written or sent", operation.function);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_write_is_unknown_in_answer_journal_and_audit() {
    for reason in [Reason::Timeout, Reason::Cancelled] {
        let scene = scene(reason);
        let door = scene.door("1", "local", 1);
        let failure = scene.call_with(&door, &FIRE, json!({}), |_| never()).await.unwrap().unwrap_err();
        assert_eq!(failure.reason, reason);
        assert!(failure.message.contains("whether it took effect is not known"), "{failure}");
        assert_eq!(
            scene.events.take(),
            [
                "authorise fire",
                "intent fire begins",
                "intent fire is on disk",
                "call fire",
                "outcome unknown",
                "audit unknown"
            ]
        );
        assert_eq!(scene.journal.memory.intents()[0].1, Some(IntentOutcome::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_that_outlasts_the_grace_period_is_unknown_and_ends_the_guest() {
    let scene = scene(Reason::Cancelled);
    let door = scene.door("1", "local", 1);
    sleep(DEADLINE + Duration::from_millis(1)).await;
    assert_eq!(scene.call_with(&door, &STOP, json!({}), |_| never()).await.unwrap_err(), Stop::Over(Reason::Cancelled));
    assert_eq!(
        scene.events.take(),
        [
            "authorise stop",
            "intent stop begins",
            "intent stop is on disk",
            "call stop",
            "outcome unknown",
            "audit unknown"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_in_time_counts_whatever_comes_with_it() {
    // The answer and the deadline fall into the same moment: what the service said is not thrown away.
    let scene = scene(Reason::Timeout);
    let door = scene.door("1", "local", 1);
    let just = |_| async {
        sleep(DEADLINE).await;
        Ok(json!("in time"))
    };
    assert_eq!(scene.call_with(&door, &FIRE, json!({}), just).await.unwrap().unwrap(), json!("in time"));
    assert_eq!(scene.journal.memory.intents()[0].1, Some(IntentOutcome::Done));
}

#[tokio::test(start_paused = true)]
async fn a_door_that_is_dropped_in_a_write_leaves_it_in_doubt() {
    let scene = scene(Reason::Timeout);
    let door = scene.door("1", "local", 1);
    let ended =
        tokio::time::timeout(Duration::from_secs(1), scene.call_with(&door, &FIRE, json!({}), |_| never())).await;
    assert!(ended.is_err());
    let operation: &'static Operation = &FIRE;
    let [(intent, outcome)] = scene.journal.memory.intents().try_into().unwrap();
    assert_eq!((intent.function, outcome), (operation.import(), None));
}
