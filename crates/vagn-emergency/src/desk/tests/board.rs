//! The board of the desk: its indexes are true whatever happens.

use super::*;

/// A long run of whatever may happen to incidents of five vehicles, in random order.
struct Run {
    desk: Desk,
    rng: fastrand::Rng,
    at_ms: i64,
    answers: Vec<Answer>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let rules = Rules { drill: Some(turn("drill", 60)), ..rules() };
        Self {
            desk: Desk::new(rules, seed),
            rng: fastrand::Rng::with_seed(seed),
            at_ms: 0,
            answers: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.at_ms += self.rng.i64(0..400_000);
        let at_ms = self.at_ms;
        match self.rng.u8(0..11) {
            0..3 => self.admit_one(),
            3 => record(&mut self.desk),
            4 => {
                let status = *self.rng.choice(&[200, 404, 503]).unwrap();
                send_due_once(&mut self.desk, at_ms, status);
            }
            5 => tidy(&mut self.desk, at_ms),
            6 => self.act(),
            7 => self.locate(),
            8 => {
                let left = self.desk.newest_first(None).take(2).cloned().collect();
                self.desk.restore(left, now(at_ms));
            }
            9 => self.decide(),
            _ => self.desk.store_down(),
        }
    }

    fn admit_one(&mut self) {
        let vehicle_id = format!("bus {}", self.rng.u8(0..5));
        let mut alarm = alarm(&vehicle_id, self.at_ms);
        if self.rng.u8(0..4) == 0 {
            alarm.kind = Some(Kind::Test);
        }
        if self.rng.bool() {
            alarm.fix = None;
        }
        let (alarm, answer) = waiting(alarm);
        self.answers.push(answer);
        admit(&mut self.desk, vec![alarm]);
    }

    fn act(&mut self) {
        let kinds =
            [RequestKind::Acknowledge, RequestKind::Resolve, RequestKind::Comment, RequestKind::Replay];
        let kind = *self.rng.choice(&kinds).unwrap();
        let id = self.desk.newest_first(None).next().map(|incident| incident.id);
        if let Some(id) = id {
            // A refusal is as good as any other step.
            self.desk.act(id, &request(kind), now(self.at_ms)).ok();
        }
    }

    fn decide(&mut self) {
        for (id, _) in self.desk.take_undecided(2) {
            let standings = [Standing::Known, Standing::Undecided, Standing::Stranger];
            self.desk.decide(id, *self.rng.choice(&standings).unwrap());
        }
    }

    fn locate(&mut self) {
        for (id, _) in self.desk.take_unlocated() {
            if self.rng.bool() {
                self.desk.located(id, Fix::at(1.0, 2.0, self.at_ms, false), ms(self.at_ms as u64));
            } else {
                self.desk.unlocated(id);
            }
        }
    }
}

/// Sends one notice, if one is due, and answers it.
fn send_due_once(desk: &mut Desk, at_ms: i64, status: u16) {
    if let Some(notice) = desk.next_notice(now(at_ms)) {
        answer(desk, &notice, status, at_ms);
    }
}

#[test]
fn every_incident_is_in_the_indexes_in_which_it_belongs_after_whatever_happens() {
    let mut used = [false; 9];
    for seed in 0..20 {
        let mut run = Run::new(seed);
        for _ in 0..500 {
            run.step();
            let used_now = run.desk.board.indexes().check(run.desk.board.all(), &run.desk.rules);
            for (used, used_now) in used.iter_mut().zip(used_now) {
                *used |= used_now;
            }
        }
    }
    assert_eq!(used, [true; 9], "an index was never used");
}
