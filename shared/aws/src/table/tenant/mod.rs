//! What the table keeps of a tenant itself: settings, tokens, schemas, rates, spread, and its end.

mod directory;
mod offboarding;
mod rates;
mod refused;
mod schemas;
mod spread;
