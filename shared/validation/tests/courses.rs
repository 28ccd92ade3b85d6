//! The course that an event happened in, of chains of organizations and parts of any length and shape.
use proptest::prelude::*;
use serde_json::{Value, json};
use vernier_validation::{Mode, Policy, Profile, read_envelope};

#[path = "common/graded.rs"]
#[allow(dead_code)] // each test binary uses its part
mod common;

use common::{LEARNER, V1P2, event};

/// What an event says of an organization or a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Course(&'static str),
    Team,
    /// An object without a type, or of a type that nobody knows.
    Untyped,
    Foreign,
    /// An IRI in the object's place, with which a chain ends.
    Named,
    /// Another organization, or a resource.
    Other(&'static str),
}

impl Kind {
    const fn type_name(self) -> Option<&'static str> {
        match self {
            Self::Course(name) | Self::Other(name) => Some(name),
            Self::Team => Some("Group"),
            Self::Foreign => Some("https://school.example/types/House"),
            Self::Untyped | Self::Named => None,
        }
    }
}

/// An entity with what it lies in.
#[derive(Debug, Clone)]
struct Entity {
    kind: Kind,
    id: String,
    organization: Option<Box<Entity>>,
    whole: Option<Box<Entity>>,
}

impl Entity {
    fn json(&self) -> Value {
        if self.kind == Kind::Named {
            return json!(self.id);
        }
        let mut object = json!({ "id": self.id });
        if let Some(name) = self.kind.type_name() {
            object["type"] = json!(name);
        }
        for (name, other) in [
            ("subOrganizationOf", &self.organization),
            ("isPartOf", &self.whole),
        ] {
            if let Some(other) = other {
                object[name] = other.json();
            }
        }
        object
    }

    /// What an entity lies in by its own word: an IRI says nothing.
    fn above<'e>(&self, other: &'e Option<Box<Self>>) -> Option<&'e Self> {
        match self.kind {
            Kind::Named => None,
            _ => other.as_deref(),
        }
    }

    /// This and the organizations that it lies in.
    fn organizations(&self) -> Vec<&Self> {
        std::iter::successors(Some(self), |at| at.above(&at.organization)).collect()
    }

    /// This and what it is a part of.
    fn wholes(&self) -> Vec<&Self> {
        std::iter::successors(Some(self), |at| at.above(&at.whole)).collect()
    }

    /// The first course among an entity's organizations; a team's parent of no known type is one.
    fn course(&self) -> Option<&str> {
        let chain = self.organizations();
        let is_course = |(at, entity): (usize, &&Self)| {
            let of_a_team = at > 0 && chain[at - 1].kind == Kind::Team;
            match entity.kind {
                Kind::Course(_) => true,
                Kind::Untyped | Kind::Foreign | Kind::Named => of_a_team,
                Kind::Team | Kind::Other(_) => false,
            }
        };
        let at = chain.iter().enumerate().position(is_course)?;
        Some(&chain[at].id)
    }

    /// The course of what stands where events have their course.
    fn course_of_place(&self) -> &str {
        self.course().unwrap_or(&self.id)
    }

    /// The course of what something is a part of.
    fn course_of_wholes(&self) -> Option<&str> {
        self.wholes().into_iter().skip(1).find_map(Self::course)
    }
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => Just(Kind::Course("CourseSection")),
        1 => Just(Kind::Course("CourseOffering")),
        3 => Just(Kind::Team),
        1 => Just(Kind::Untyped),
        1 => Just(Kind::Foreign),
        1 => Just(Kind::Named),
        1 => Just(Kind::Other("Organization")),
        1 => Just(Kind::Other("WebPage")),
        1 => Just(Kind::Other("Forum")),
        1 => Just(Kind::Other("Chapter")),
    ]
}

/// Entities of few ids, so that chains go in circles.
fn any_entity() -> impl Strategy<Value = Entity> {
    let bare = || (any_kind(), "https://school\\.example/[a-d]");
    let leaf = bare().prop_map(|(kind, id)| Entity {
        kind,
        id,
        organization: None,
        whole: None,
    });
    leaf.prop_recursive(24, 60, 2, move |inner| {
        let inner = inner.prop_map(Box::new).boxed();
        let organization = prop::option::weighted(0.8, inner.clone());
        let whole = prop::option::weighted(0.6, inner);
        (bare(), organization, whole).prop_map(|((kind, id), organization, whole)| Entity {
            kind,
            id,
            organization,
            whole,
        })
    })
}

/// The section of a view of such places, in every profile, which is one.
fn section(group: Option<&Entity>, membership: Option<&Entity>, object: &Entity) -> Option<String> {
    let mut view = event("ViewEvent", "Viewed", LEARNER);
    view["object"] = object.json();
    view.as_object_mut().expect("an object").remove("group");
    if let Some(group) = group {
        view["group"] = group.json();
    }
    if let Some(organization) = membership {
        view["membership"] =
            json!({"id": "_:m", "type": "Membership", "organization": organization.json()});
    }
    let body = json!({"sensor": "s", "sendTime": "2026-09-01T09:16:00.000Z", "dataVersion": V1P2, "data": [view]});
    let body = body.to_string();
    let of = |mode, profile| {
        let read =
            read_envelope(body.as_bytes(), &Policy::new(mode, profile)).expect("an envelope");
        read.items[0].columns.group.as_deref().map(str::to_owned)
    };
    let found = of(Mode::Strict, Profile::Generic);
    for profile in Profile::ALL {
        assert_eq!(of(Mode::Lenient, profile), found, "{profile}: {body}");
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn an_event_is_of_one_course_and_never_of_a_page_or_forum(
        group in prop::option::of(any_entity()),
        membership in prop::option::of(any_entity()),
        object in any_entity(),
    ) {
        let stated = group.as_ref().or(membership.as_ref());
        let wanted = match stated {
            Some(organization) => Some(organization.course_of_place()),
            None => object.course_of_wholes(),
        };
        let found = section(group.as_ref(), membership.as_ref(), &object);
        prop_assert_eq!(found.as_deref(), wanted);
    }

    /// Teams within teams to any depth, and pages within pages, end at the one course above them.
    #[test]
    fn a_long_chain_ends_at_its_course(teams in 0..28usize, pages in 0..28usize, circles: bool) {
        let entity = |kind, id: String| Entity { kind, id, organization: None, whole: None };
        let number = |n: usize| if circles { n % 3 } else { n };
        let course = entity(Kind::Course("CourseSection"), "https://school.example/course".into());
        let in_teams = (0..teams).fold(course, |inner, n| Entity {
            organization: Some(Box::new(inner)),
            ..entity(Kind::Team, format!("https://school.example/teams/{}", number(n)))
        });
        let in_pages = (0..=pages).fold(in_teams.clone(), |inner, n| Entity {
            whole: Some(Box::new(inner)),
            ..entity(Kind::Other("WebPage"), format!("https://school.example/pages/{}", number(n)))
        });
        let wanted = Some("https://school.example/course".to_owned());
        prop_assert_eq!(section(None, None, &in_pages), wanted.clone());
        let page = entity(Kind::Other("WebPage"), "https://school.example/p".into());
        prop_assert_eq!(section(Some(&in_teams), None, &page), wanted.clone());
        prop_assert_eq!(section(None, Some(&in_teams), &page), wanted);
    }
}
