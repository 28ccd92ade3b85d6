//! The trigger's model: held against what is documented, and around the real stream handler.

mod documented;
mod handler;
mod partial;
mod script;
mod shapes;
