//! Pipeline tier: the handlers over the fakes.

mod pipeline_only;

use vernier_tests::memory::MemoryWorld;

macro_rules! on_the_fakes {
    ($($module:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            vernier_tests::bodies::$module::$name(&MemoryWorld::default()).await;
        }
    )*};
}

vernier_tests::for_each_body!(on_the_fakes);
