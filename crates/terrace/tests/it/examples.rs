//! The examples of what users can add run.

#[path = "../../examples/own_codec.rs"]
mod own_codec;
#[path = "../../examples/own_layer.rs"]
mod own_layer;
#[path = "../../examples/own_store.rs"]
mod own_store;
#[path = "../../examples/stack.rs"]
mod stack;
#[path = "../../examples/switch.rs"]
mod switch;

#[test]
fn each_does_what_it_says() {
    for main in [own_codec::main, own_layer::main, own_store::main, stack::main, switch::main] {
        main().unwrap();
    }
}
