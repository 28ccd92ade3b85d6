//! Emulator tier: the same bodies on the deployed stack, and what only it can show.

mod emulator_only;

use vernier_tests::deployed::DeployedWorld;

macro_rules! on_the_stack {
    ($($module:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            vernier_tests::bodies::$module::$name(&DeployedWorld::from_env().await).await;
        }
    )*};
}

vernier_tests::for_each_body!(on_the_stack);
