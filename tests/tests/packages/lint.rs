//! What other people's tools say of packages, of their bills of materials and of the container recipes.

use std::process::Command;

use crate::made::{NOW, ROOT, packages, run, sh};

#[test]
fn lintian_finds_no_error() {
    let debs = packages(NOW, "deb");
    assert_eq!(debs.len(), 4, "{debs:?}");
    let profile = ["--no-cfg", "--allow-root", "--fail-on", "error"];
    let said = run(Command::new("lintian").args(profile).args(debs));
    println!("{said}");
}

#[test]
fn rpmlint_finds_no_error() {
    let rpms = packages(NOW, "rpm");
    assert_eq!(rpms.len(), 4, "{rpms:?}");
    let config = format!("{ROOT}/packaging/rpm/rpmlint.toml");
    let said = run(Command::new("rpmlint")
        .args(["--config", &config])
        .args(rpms));
    println!("{said}");
    assert!(said.contains(" 0 errors"), "{said}");
}

#[test]
fn bills_of_materials_are_valid_and_name_what_is_linked() {
    for program in ["tidegate", "tidegate-authority"] {
        let bill = format!("{ROOT}/{NOW}/{program}.cdx.json");
        let validate = "import sys; from cyclonedx.schema import SchemaVersion; \
                        from cyclonedx.validation.json import JsonStrictValidator; \
                        error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()); \
                        sys.exit(str(error) if error else 0)";
        run(Command::new("python3")
            .env(
                "PYTHONPATH",
                format!("{ROOT}/target/tools/python/cyclonedx"),
            )
            .args(["-c", validate, &bill]));
        let bill: serde_json::Value =
            serde_json::from_slice(&std::fs::read(bill).unwrap()).unwrap();
        let names: Vec<_> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        let (linked, foreign) = match program {
            "tidegate" => (["boringtun", "tidegate-core", "rust-std"], "sqlx"),
            _ => (["sqlx", "tidegate-proto", "sqlite"], "boringtun"),
        };
        assert!(linked.iter().all(|one| names.contains(one)), "{names:?}");
        assert!(!names.contains(&foreign) && !names.contains(&"proptest"));
    }
}

#[test]
fn container_recipes_are_sound() {
    let recipes = format!("{ROOT}/packaging/container");
    for program in ["agent", "authority"] {
        run(
            Command::new(format!("{ROOT}/target/tools/python/hadolint/bin/hadolint"))
                .args(["--failure-threshold", "warning"])
                .arg(format!("{recipes}/{program}.Containerfile")),
        );
    }
    let lint = format!("{ROOT}/target/tools/python/compose-lint");
    run(Command::new(format!("{lint}/bin/compose-lint"))
        .env("PYTHONPATH", &lint)
        .args(["check", "--strict-config", "--config"])
        .arg(format!("{recipes}/compose-lint.yml"))
        .arg(format!("{recipes}/compose.yaml")));
    sh(&format!(
        "for script in {recipes}/tryout/*; do sh -n \"$script\"; done"
    ));
}
