//! A JSON object whose properties keep the order they were given in, whatever other crates of
//! the build make of `serde_json`'s maps: the same seed must give the same bytes.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A JSON object in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Node(Vec<(&'static str, Value)>);

/// What a property can hold.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(u64),
    Decimal(f64),
    Text(String),
    Object(Node),
    List(Vec<Value>),
}

impl Node {
    /// A Caliper entity: every one has an id and a type.
    pub(super) fn entity(id: impl Into<String>, kind: &'static str) -> Self {
        Self::default().with("id", id.into()).with("type", kind)
    }

    /// Adds a property at the end.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Puts another value in a property's place, or adds it.
    pub(super) fn replace(&mut self, name: &'static str, value: impl Into<Value>) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name, value.into())),
        }
    }

    /// Takes a property out.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| *n != name);
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_u64(*value),
            Self::Decimal(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Object(value) => value.serialize(serializer),
            Self::List(values) => values.serialize(serializer),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Decimal(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Node> for Value {
    fn from(value: Node) -> Self {
        Self::Object(value)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}
