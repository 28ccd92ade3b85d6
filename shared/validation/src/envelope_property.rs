//! The properties of an envelope other than its `data`.
use crate::{
    check::string,
    columns,
    envelope::{Reader, Seen},
    policy::Mode,
    refusal::{Refusal, RefusalKind, form},
    report::found,
    rules::Version,
    scan::{Node, NodeKind},
    text, time,
};

impl Reader<'_, '_> {
    pub(crate) fn sensor(&mut self, pointer: &dyn Fn() -> String, node: &Node) {
        let text = self.scanner.text;
        match string(text, node).filter(|s| !s.is_empty()) {
            Some(sensor) => {
                self.envelope.sensor.get_or_insert(sensor);
            }
            None => self.problem(
                false,
                form(
                    pointer(),
                    "envelope.sensor",
                    "the sensor's identifier, a string",
                    found(text, node),
                ),
            ),
        }
    }

    pub(crate) fn send_time(&mut self, pointer: &dyn Fn() -> String, node: &Node) {
        let text = self.scanner.text;
        let read = columns::instant_in(text, node);
        let exact = string(text, node).is_some_and(|s| time::is_caliper_time(s.as_bytes()));
        self.envelope.send_time = self.envelope.send_time.or(read);
        if !exact {
            let expected = "a time as YYYY-MM-DDTHH:mm:ss.SSSZ";
            self.problem(
                true,
                form(pointer(), "envelope.send-time", expected, found(text, node)),
            );
        }
    }

    pub(crate) fn data_version(
        &mut self,
        pointer: &dyn Fn() -> String,
        node: &Node,
        seen: &mut Seen,
    ) -> Result<(), Refusal> {
        let text = self.scanner.text;
        let Some(version) = string(text, node) else {
            // Lenient readers take a null as a version that is not there.
            self.problem(
                node.kind == NodeKind::Null,
                form(
                    pointer(),
                    "envelope.data-version",
                    "the IRI of a Caliper context",
                    found(text, node),
                ),
            );
            return Ok(());
        };
        seen.version = Version::of_context(&version);
        if seen.version.is_none() {
            seen.version = Version::of_spelling(&version);
            let expected = "http://purl.imsglobal.org/ctx/caliper/v1p2 or …/v1p1";
            let found = text::shorten(&version);
            let problem = form(pointer(), "envelope.data-version", expected, found);
            if seen.version.is_none() || self.policy.mode == Mode::Strict {
                return Err(Refusal::new(RefusalKind::UnsupportedVersion, problem));
            }
            self.problem(true, problem);
        }
        self.envelope.data_version.get_or_insert(version);
        Ok(())
    }
}
