//! What the table keeps of a tenant itself: settings, tokens, schemas, rates, and its end.

mod directory;
mod offboarding;
mod rates;
mod refused;
mod schemas;
