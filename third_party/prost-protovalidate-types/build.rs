//! What upstream's build does, with protox in the place of `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (protos, includes) = (["buf/validate/validate.proto"], ["proto"]);
    println!("cargo:rerun-if-changed=proto");
    let set = PathBuf::from(std::env::var("OUT_DIR")?).join("file_descriptor_set.bin");
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_source_info(true).include_imports(true).open_files(protos)?;
    let encoded = compiler.encode_file_descriptor_set();
    std::fs::write(&set, &encoded)?;

    let mut config = prost_build::Config::new();
    for message in prost_reflect::DescriptorPool::decode(encoded.as_slice())?.all_messages() {
        let name = message.full_name();
        config
            .type_attribute(name, "#[derive(::prost_reflect::ReflectMessage)]")
            .type_attribute(name, format!(r#"#[prost_reflect(message_name = "{name}")]"#))
            .type_attribute(name, r#"#[prost_reflect(descriptor_pool = "DESCRIPTOR_POOL")]"#);
    }
    config.file_descriptor_set_path(&set).skip_protoc_run().compile_protos(&protos, &includes)?;
    Ok(())
}
