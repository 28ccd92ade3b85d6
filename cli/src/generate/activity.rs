//! What a learner does in one cycle, moment by moment, in the order of cause and effect.

use super::catalog::{PAGES, USER_AGENTS};
use super::plan::Cycle;
use super::random::Random;

/// Milliseconds.
pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Events of one sitting around an attempt: logged in, navigated, viewed, logged out.
const ATTEMPT_SITTING_EVENTS: u64 = 4;
/// Session, navigation, view and media events of one unit of a cycle.
const BROWSING_EVENTS: u64 = 28;

/// From a login to the logout or the time-out.
#[derive(Debug)]
pub(super) struct Sitting {
    pub(super) id: String,
    pub(super) user_agent: &'static str,
    pub(super) client: String,
    pub(super) started: i64,
    pub(super) ended: i64,
}

/// One item of one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) started: i64,
    pub(super) ended: i64,
    /// Half points given.
    pub(super) halves: u64,
    /// Which of the possible answers.
    pub(super) choice: u64,
}

/// One attempt at the week's assessment.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) started: i64,
    pub(super) submitted: i64,
    pub(super) answers: Vec<Answer>,
}

/// What happens in a moment. Indices point into the activity.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    LoggedIn,
    LoggedOut,
    TimedOut,
    Navigated {
        page: usize,
        from: Option<usize>,
    },
    Viewed {
        page: usize,
    },
    Media {
        film: u64,
        action: &'static str,
        position: i64,
        length: i64,
    },
    NavigatedToAssessment,
    ViewedAssessment,
    Assessment {
        attempt: usize,
        action: &'static str,
    },
    Item {
        attempt: usize,
        item: usize,
        action: &'static str,
    },
    ItemGraded {
        attempt: usize,
        item: usize,
    },
    /// The attempt's score, counting the items graded so far.
    Graded {
        attempt: usize,
        score: u64,
        halves: u64,
    },
}

/// One moment of a cycle.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) at: i64,
    pub(super) id: String,
    pub(super) sitting: usize,
    pub(super) act: Act,
}

/// A cycle played through.
#[derive(Debug)]
pub(super) struct Activity {
    pub(super) cycle: Cycle,
    pub(super) sittings: Vec<Sitting>,
    pub(super) tries: Vec<Try>,
    /// In order of time.
    pub(super) moments: Vec<Moment>,
}

/// Points that an item can give, in halves: one, one, three, five points and over again.
pub(super) const fn item_halves_max(item: usize) -> u64 {
    [2, 2, 6, 10][item % 4]
}

/// When a cycle begins: the first choice of its stream.
pub(super) fn start(week_start: i64, random: &mut Random) -> i64 {
    let day = random.between(0, 2) as i64;
    let within_day = random.between(8 * HOUR as u64, 20 * HOUR as u64) as i64;
    week_start + day * DAY + within_day
}

impl Activity {
    /// Plays a cycle that begins at `start` (milliseconds since the epoch).
    pub(super) fn play(cycle: Cycle, start: i64, random: Random) -> Self {
        let mut player = Player {
            random,
            now: start,
            activity: Self {
                cycle,
                sittings: vec![],
                tries: vec![],
                moments: vec![],
            },
        };
        let units = cycle.units();
        let browsing = units * BROWSING_EVENTS - cycle.attempts * ATTEMPT_SITTING_EVENTS;
        if cycle.attempts == units {
            for attempt in 0..cycle.attempts {
                player.study(browsing / units);
                player.attempt(attempt);
            }
        } else {
            for _ in 0..units {
                player.study(browsing / units);
            }
            player.attempt(0);
        }
        // Grades come when they come; the sort is stable, so cause stays before effect.
        player.activity.moments.sort_by_key(|m| m.at);
        player.activity
    }
}

struct Player {
    random: Random,
    now: i64,
    activity: Activity,
}

impl Player {
    fn wait(&mut self, low: i64, high: i64) {
        let (low, high) = (low.max(0) as u64, high.max(0) as u64);
        self.now += self.random.between(low, high) as i64;
    }

    fn act_at(&mut self, at: i64, act: Act) {
        let sitting = self.activity.sittings.len() - 1;
        let id = self.random.urn_uuid();
        self.activity.moments.push(Moment {
            at,
            id,
            sitting,
            act,
        });
    }

    fn act(&mut self, act: Act) {
        self.act_at(self.now, act);
    }

    fn log_in(&mut self) {
        if !self.activity.sittings.is_empty() {
            self.wait(HOUR, 14 * HOUR);
        }
        let sitting = Sitting {
            id: self.random.hex40(),
            user_agent: self.random.pick(&USER_AGENTS),
            client: self.random.urn_uuid(),
            started: self.now,
            ended: self.now,
        };
        self.activity.sittings.push(sitting);
        self.act(Act::LoggedIn);
    }

    fn leave(&mut self, times_out: bool) {
        if times_out {
            self.now += 30 * MINUTE;
        } else {
            self.wait(5 * SECOND, 2 * MINUTE);
        }
        if let Some(sitting) = self.activity.sittings.last_mut() {
            sitting.ended = self.now;
        }
        self.act(if times_out {
            Act::TimedOut
        } else {
            Act::LoggedOut
        });
    }

    /// A sitting of so many events with pages and films.
    fn study(&mut self, events: u64) {
        self.log_in();
        let mut left = events - 2;
        let mut page = None;
        while left > 0 {
            self.wait(10 * SECOND, 4 * MINUTE);
            let choice = self.random.below(100);
            left -= match left {
                4.. if choice < 25 => self.film(true),
                3.. if choice < 45 => self.film(false),
                2.. => {
                    let next = self.random.below(PAGES.len() as u64) as usize;
                    self.act(Act::Navigated {
                        page: next,
                        from: page,
                    });
                    self.wait(SECOND / 5, 2 * SECOND);
                    self.act(Act::Viewed { page: next });
                    page = Some(next);
                    2
                }
                _ => {
                    self.act(Act::Viewed {
                        page: page.unwrap_or(0),
                    });
                    1
                }
            };
        }
        let times_out = self.random.chance(15);
        self.leave(times_out);
    }

    /// Watches a film, with a pause or a jump; says how many events that made.
    fn film(&mut self, pause: bool) -> u64 {
        let film = self.random.between(1, 3);
        // A film is the same length for everybody: it follows from its place.
        let place = self.activity.cycle.week * 3 + film;
        let length = (240 + (place * 137) % 900) as i64;
        let middle = self.random.between(30, length as u64 - 60) as i64;
        let media = |action, position| Act::Media {
            film,
            action,
            position,
            length,
        };
        self.act(media("Started", 0));
        self.now += middle * SECOND;
        if pause {
            self.act(media("Paused", middle));
            self.wait(10 * SECOND, 5 * MINUTE);
            self.act(media("Resumed", middle));
            self.now += (length - middle) * SECOND;
            self.act(media("Ended", length));
            return 4;
        }
        let target = self.random.between(middle as u64, length as u64 - 10) as i64;
        self.act(media("JumpedTo", target));
        self.now += (length - target) * SECOND;
        self.act(media("Ended", length));
        3
    }

    /// A sitting with one attempt, and what it is given for it.
    fn attempt(&mut self, attempt: u64) {
        let attempt = attempt as usize;
        self.log_in();
        self.wait(5 * SECOND, MINUTE);
        self.act(Act::NavigatedToAssessment);
        self.wait(SECOND / 5, 2 * SECOND);
        self.act(Act::ViewedAssessment);
        self.wait(10 * SECOND, 2 * MINUTE);
        let started = self.now;
        self.act(Act::Assessment {
            attempt,
            action: "Started",
        });
        self.activity.tries.push(Try {
            started,
            submitted: started,
            answers: vec![],
        });
        let items = self.activity.cycle.items as usize;
        for item in 0..items {
            if item == 4 {
                self.wait(SECOND, 10 * SECOND);
                self.act(Act::Assessment {
                    attempt,
                    action: "Paused",
                });
                self.wait(MINUTE, 10 * MINUTE);
                self.act(Act::Assessment {
                    attempt,
                    action: "Resumed",
                });
            }
            self.item(attempt, item);
        }
        self.wait(5 * SECOND, MINUTE);
        let submitted = self.now;
        self.activity.tries[attempt].submitted = submitted;
        self.act(Act::Assessment {
            attempt,
            action: "Submitted",
        });
        self.grade(attempt, submitted);
        self.leave(false);
    }

    fn item(&mut self, attempt: usize, item: usize) {
        self.wait(SECOND, 10 * SECOND);
        let started = self.now;
        self.act(Act::Item {
            attempt,
            item,
            action: "Started",
        });
        self.wait(5 * SECOND, 3 * MINUTE);
        let skipped = self.random.chance(6);
        let halves = if skipped {
            0
        } else {
            self.random.between(0, item_halves_max(item))
        };
        let answer = Answer {
            started,
            ended: self.now,
            halves,
            choice: self.random.below(4),
        };
        self.activity.tries[attempt].answers.push(answer);
        let action = if skipped { "Skipped" } else { "Completed" };
        self.act(Act::Item {
            attempt,
            item,
            action,
        });
    }

    /// An exam has a first score at once, from the items that grade themselves. The open items
    /// (every fourth) wait for the instructor, then comes the final score.
    fn grade(&mut self, attempt: usize, submitted: i64) {
        let answers = self.activity.tries[attempt].answers.clone();
        let all: u64 = answers.iter().map(|a| a.halves).sum();
        let open: Vec<usize> = (3..answers.len()).step_by(4).collect();
        let mut score = 1;
        if self.activity.cycle.exam() {
            let at = submitted + self.random.between(500, 30_000) as i64;
            let halves = all - open.iter().map(|i| answers[*i].halves).sum::<u64>();
            self.act_at(
                at,
                Act::Graded {
                    attempt,
                    score,
                    halves,
                },
            );
            score += 1;
        }
        let mut at = submitted + HOUR + self.random.below(2 * DAY as u64) as i64;
        for item in open {
            self.act_at(at, Act::ItemGraded { attempt, item });
            at += self.random.between(30_000, 300_000) as i64;
        }
        self.act_at(
            at,
            Act::Graded {
                attempt,
                score,
                halves: all,
            },
        );
    }
}
