//! Invariant 7 for every route: no token, one without the scope, another tenant's, a learner's.
//!
//! [`DOORS`] has an entry for each route of template.yaml; the repository tier holds them together.

use super::{post, settled};
use crate::envelopes::{bytes, event, graded};
use crate::world::{Answer, Call, Member, World};
use serde_json::{Value, json};
use uuid::Uuid;
use vernier_ledger::access::Scope;
use vernier_ledger::clock;
use vernier_validation::{Mode, Profile};

/// Where the envelopes' events take place.
const SECTION: &str = "https://school.example/sections/3";

/// What a route's call names of its tenant's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Nothing.
    Nothing,
    /// A receipt.
    Receipt,
    /// An event.
    Event,
    /// A seal.
    Seal,
    /// A playback.
    Playback,
    /// A type of the tenant's own.
    Type,
    /// A report, and what it is about.
    Report(&'static str),
    /// A file of the page.
    File,
}

/// A route and who may pass.
#[derive(Debug)]
pub struct Door {
    /// Its method.
    pub method: &'static str,
    /// Its path as template.yaml has it.
    pub route: &'static str,
    names: Names,
    /// One of these is needed; none is for routes that need no token.
    scopes: &'static [Scope],
    /// Whether a learner's token passes, and finds its own.
    learners: bool,
}

impl Door {
    /// Its path in openapi.json, which has one for each report.
    #[must_use]
    pub fn path(&self) -> String {
        match self.names {
            Names::Report(name) => format!("/reports/{name}"),
            _ => self.route.replace("+}", "}"),
        }
    }

    /// Its scopes' names; one of them is needed.
    #[must_use]
    pub fn scopes(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.as_str()).collect()
    }

    /// Whether a learner's token passes.
    #[must_use]
    pub const fn is_for_learners(&self) -> bool {
        self.learners
    }
}

const fn door(
    method: &'static str,
    route: &'static str,
    names: Names,
    scopes: &'static [Scope],
) -> Door {
    Door {
        method,
        route,
        names,
        scopes,
        learners: false,
    }
}

const fn open(route: &'static str, names: Names, scopes: &'static [Scope]) -> Door {
    Door {
        learners: true,
        ..door("GET", route, names, scopes)
    }
}

const WRITE: &[Scope] = &[Scope::EventsWrite];
const READ: &[Scope] = &[Scope::EventsRead];
const REPORTS: &[Scope] = &[Scope::ReportsRead];
const REPORT: &str = "/reports/{report}";
const AUDIT: &[Scope] = &[Scope::AuditRead];
const USE: &[Scope] = &[Scope::AuditRead, Scope::Admin];
const PLAY: &[Scope] = &[Scope::Playback];
const ADMIN: &[Scope] = &[Scope::Admin];
const TYPES: &[Scope] = &[Scope::EventsWrite, Scope::EventsRead, Scope::Admin];

/// Every route of template.yaml.
pub const DOORS: &[Door] = &[
    door("POST", "/caliper", Names::Nothing, WRITE),
    door("GET", "/caliper", Names::Nothing, WRITE),
    door("GET", "/schemas", Names::Nothing, TYPES),
    door("GET", "/schemas/{type+}", Names::Type, TYPES),
    door("PUT", "/schemas/{type+}", Names::Type, ADMIN),
    open("/me", Names::Nothing, &Scope::ALL),
    door("GET", "/receipts/{id}", Names::Receipt, READ),
    open("/events", Names::Nothing, READ),
    open("/events/{id}", Names::Event, READ),
    door("GET", "/events/{id}/proof", Names::Event, READ),
    door("GET", "/quarantine", Names::Nothing, READ),
    door("GET", "/deviations", Names::Nothing, READ),
    door("GET", "/seals", Names::Nothing, AUDIT),
    door("GET", "/seals/{sequence}", Names::Seal, AUDIT),
    open(REPORT, Names::Report("assignments"), REPORTS),
    open(REPORT, Names::Report("assignments.csv"), REPORTS),
    door("GET", REPORT, Names::Report("grades"), REPORTS),
    door("GET", REPORT, Names::Report("grades.csv"), REPORTS),
    door("GET", REPORT, Names::Report("sections"), REPORTS),
    door("GET", REPORT, Names::Report("sections.csv"), REPORTS),
    open(REPORT, Names::Report("activity"), REPORTS),
    open(REPORT, Names::Report("activity.csv"), REPORTS),
    door("GET", REPORT, Names::Report("usage"), REPORTS),
    door("GET", REPORT, Names::Report("usage.csv"), REPORTS),
    open(REPORT, Names::Report("history"), REPORTS),
    open(REPORT, Names::Report("history.csv"), REPORTS),
    door("GET", REPORT, Names::Report("traffic"), USE),
    door("GET", REPORT, Names::Report("traffic.csv"), USE),
    door("GET", "/healthz", Names::Nothing, &[]),
    door("GET", "/openapi.json", Names::Nothing, &[]),
    door("GET", "/insights", Names::Nothing, &[]),
    door("GET", "/insights/{file}", Names::File, &[]),
    door("GET", "/windows", Names::Nothing, AUDIT),
    door("POST", "/playbacks", Names::Nothing, PLAY),
    door("GET", "/playbacks", Names::Nothing, PLAY),
    door("GET", "/playbacks/{id}", Names::Playback, PLAY),
    door("POST", "/playbacks/{id}/pause", Names::Playback, PLAY),
    door("POST", "/playbacks/{id}/resume", Names::Playback, PLAY),
    door("POST", "/playbacks/{id}/cancel", Names::Playback, PLAY),
];

/// What a tenant has that others must not see.
pub(super) struct Property {
    pub(super) owner: Member,
    learner: String,
    receipt: String,
    event: String,
    playback: String,
    type_name: String,
    assignment: String,
}

impl Property {
    /// A tenant with one of each.
    pub(super) async fn of<W: World>(world: &W) -> Self {
        let owner = world.tenant(Mode::Strict, Profile::Generic).await;
        let name = Uuid::new_v4().simple().to_string();
        let grade = graded(&name, &name, 7.0, "2026-11-20T10:00:00.000Z");
        let learner = format!("https://school.example/users/{name}");
        let mut own = event();
        own["actor"]["id"] = json!(learner);
        let receipt = post(world, &owner, bytes(&[own.clone(), grade.clone()])).await;
        settled(world, &owner, &receipt).await;
        let now = clock::now();
        let request = json!({
            "from": now.plus_seconds(-3_600).rfc3339(), "to": now.rfc3339(), "target": "results", "dry_run": true,
        });
        let started = Call::post_to("/playbacks", &request).token(&owner.secret);
        let started = world.call(started).await;
        assert_eq!(started.status, 202, "{}", started.json());
        let started = started.json();
        let type_name = format!("https://school.example/types/{name}");
        let schema = json!({"schema": {"type": "object"}, "columns": {"id": "/id"}});
        let put = Call::put("/schemas/{type+}", &schema).id(&type_name);
        let put = world.call(put.token(&owner.secret)).await;
        assert!(put.status < 300, "{}", put.json());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            receipt,
            event: text(&own["id"]),
            playback: text(&started["id"]),
            type_name,
            assignment: text(&grade["object"]["assignable"]),
            learner,
            owner,
        }
    }

    /// The call of a door that names what is here.
    fn call(&self, door: &Door) -> Call {
        let call = Call {
            method: door.method,
            route: door.route,
            ..Call::default()
        };
        match door.names {
            Names::Nothing => call,
            Names::Receipt => call.id(&self.receipt),
            Names::Event => call.id(&self.event),
            Names::Seal => call.id("0"),
            Names::Playback => call.id(&self.playback),
            Names::Type => call.id(&self.type_name),
            Names::File => call.id("index.js"),
            Names::Report(name) => {
                let report = name.trim_end_matches(".csv");
                let parameters: &[(&str, &str)] = match report {
                    "sections" | "traffic" => &[],
                    "grades" => &[("section", SECTION)],
                    "usage" => &[("section", SECTION), ("bucket", "day")],
                    _ => &[("section", SECTION), ("learner", &self.learner)],
                };
                let add = |call: Call, (name, value): &(&str, &str)| call.query(name, value);
                parameters.iter().fold(call.id(name), add)
            }
        }
    }

    /// What of it an answer shows, beside what its call named.
    pub(super) fn shown(&self, call: &Call, answer: &Answer) -> Vec<&str> {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let secrets = [
            &self.owner.tenant,
            &self.learner,
            &self.receipt,
            &self.event,
            &self.playback,
            &self.type_name,
            &self.assignment,
        ];
        let secrets = secrets.into_iter().map(String::as_str);
        let is_named = |secret: &str| {
            let id = call.id.iter().chain(call.headers.values());
            let mut named = id.chain(call.query.iter().map(|(_, value)| value));
            named.any(|value| value.contains(secret))
        };
        let new = |secret: &&str| !is_named(secret) && body.contains(secret);
        secrets.filter(new).collect()
    }
}

fn said(door: &Door, answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    format!("{} {}: {} {body}", door.method, door.route, answer.status)
}

/// Without a token 401, without the scope 403.
pub async fn every_route_asks_for_its_scope<W: World>(world: &W) {
    let property = Property::of(world).await;
    for door in DOORS.iter().filter(|door| !door.scopes.is_empty()) {
        let call = property.call(door);
        let answer = world.call(call.clone()).await;
        assert_eq!(answer.status, 401, "{}", said(door, &answer));
        let other = |scope: &Scope| !door.scopes.contains(scope);
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(other).collect();
        let member = world.token(&property.owner.tenant, &others).await;
        let answer = world.call(call.token(&member.secret)).await;
        assert_eq!(answer.status, 403, "{}", said(door, &answer));
        assert_eq!(
            property.shown(&property.call(door), &answer),
            [""; 0],
            "{}",
            said(door, &answer)
        );
    }
}

/// A token of another tenant finds nothing, by any route.
pub async fn no_route_shows_another_tenants_data<W: World>(world: &W) {
    let property = Property::of(world).await;
    let stranger = world.tenant(Mode::Strict, Profile::Generic).await;
    for door in DOORS {
        let call = property.call(door);
        if door.names == Names::Nothing && door.method != "GET" || door.method == "PUT" {
            continue; // They change the stranger's own data.
        }
        let answer = world.call(call.clone().token(&stranger.secret)).await;
        assert_eq!(
            property.shown(&call, &answer),
            [""; 0],
            "{}",
            said(door, &answer)
        );
        let expected = match door.names {
            Names::Nothing | Names::Report(_) => 200,
            _ => 404,
        };
        assert_eq!(answer.status, expected, "{}", said(door, &answer));
    }
    let state = Call::get("/playbacks/{id}").id(&property.playback);
    let state = world.call(state.token(&property.owner.secret)).await;
    assert_ne!(state.json()["state"], "cancelled", "{}", state.json());
}

/// A learner's token opens the doors that are for learners and no other, whatever scopes it has.
pub async fn a_learners_token_opens_no_other_door<W: World>(world: &W) {
    let property = Property::of(world).await;
    let tenant = &property.owner.tenant;
    let own = world.learner_token(tenant, &property.learner, &Scope::ALL);
    let own = own.await;
    let nobody = "https://school.example/users/nobody";
    let other = world.learner_token(tenant, nobody, &Scope::ALL).await;
    for door in DOORS.iter().filter(|door| !door.scopes.is_empty()) {
        let call = property.call(door);
        let answer = world.call(call.clone().token(&own.secret)).await;
        let expected = if door.learners { 200 } else { 403 };
        assert_eq!(answer.status, expected, "{}", said(door, &answer));
        let answer = world.call(call.clone().token(&other.secret)).await;
        let seen = property.shown(&call, &answer);
        // Both are of the tenant.
        assert!(
            seen.iter().all(|secret| *secret == tenant),
            "{seen:?}: {}",
            said(door, &answer)
        );
        let expected = match (door.learners, door.names) {
            (false, _) => 403,
            (true, Names::Nothing) => 200,
            // It names another learner.
            (true, Names::Report(_)) => 403,
            (true, _) => 404,
        };
        assert_eq!(answer.status, expected, "{}", said(door, &answer));
    }
}

/// A learner's token says whose it is, and reads what the learner did.
pub async fn a_learners_token_reads_its_own_events<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let [jane, joe] = ["jane", "joe"].map(|name| format!("https://school.example/users/{name}"));
    let by = |learner: &str| {
        let mut event = event();
        event["actor"]["id"] = json!(learner);
        event
    };
    let (mine, his) = (by(&jane), by(&joe));
    // Another's event with the id of hers.
    let mut borrowed = by(&joe);
    borrowed["id"] = mine["id"].clone();
    let sent = [mine.clone(), his.clone(), borrowed, by(&jane), by(&joe)];
    let receipt = post(world, &member, bytes(&sent)).await;
    settled(world, &member, &receipt).await;

    let scopes = [Scope::EventsRead];
    let token = world.learner_token(&member.tenant, &jane, &scopes).await;
    let me = world.call(Call::get("/me").token(&token.secret)).await;
    assert_eq!(
        me.json(),
        json!({
            "tenant": member.tenant, "sensor": "https://school.example/sensors/1",
            "token_id": token.token_id, "scopes": ["events:read"], "learner": jane,
        })
    );
    let me = world.call(Call::get("/me").token(&member.secret)).await;
    assert_eq!(me.json()["learner"], Value::Null);

    let list = |call: Call| call.query("disposition", "all").query("limit", "1");
    let mut call = list(Call::get("/events"));
    let mut actors = Vec::new();
    loop {
        let page = world.call(call.token(&token.secret)).await.json();
        let events = page["events"].as_array().cloned().expect("events");
        actors.extend(events.iter().map(|e| e["event"]["actor"]["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        call = Call::get("/events").query("cursor", cursor);
    }
    assert_eq!(actors, [json!(jane), json!(jane)]);
    for (actor, status) in [(&jane, 200), (&joe, 403)] {
        let call = list(Call::get("/events")).query("actor", actor);
        let answer = world.call(call.token(&token.secret)).await;
        assert_eq!(answer.status, status, "{}", answer.json());
    }
    let by_id = |event: &Value| {
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        Call::get("/events/{id}").id(&id).token(&token.secret)
    };
    assert_eq!(world.call(by_id(&his)).await.status, 404);
    let found = world.call(by_id(&mine)).await.json();
    assert_eq!(found["event"], mine);
    assert_eq!(found["occurrences"].as_array().map(Vec::len), Some(1));
}
