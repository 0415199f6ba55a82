//! The contract's text, held against a copy: a change of a published interface is seen in review.

use wit_component::{OutputToString, WitPrinter};

use crate::wit;

#[test]
fn the_contract_is_the_one_that_was_agreed_on() {
    let (resolve, packages) = wit::read();
    for (name, package) in packages {
        let mut printer = WitPrinter::new(OutputToString::default());
        printer.print(&resolve, package, &[]).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        insta::assert_snapshot!(name, printer.output.to_string());
    }
}

#[test]
fn every_folder_of_the_contract_is_read() {
    let (_, packages) = wit::read();
    let mut read: Vec<String> = packages.iter().map(|(name, _)| format!("outrigger-{name}")).collect();
    read.sort();
    let entries = std::fs::read_dir(wit::folder()).expect("the contract");
    let mut there: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    there.sort();
    assert_eq!(read, there);
}

#[test]
fn everything_in_the_contract_is_documented() {
    let (resolve, _) = wit::read();
    let mut bare = Vec::new();
    for (_, interface) in &resolve.interfaces {
        let Some(name) = &interface.name else { continue };
        if interface.docs.is_empty() {
            bare.push(name.clone());
        }
        for (function, item) in &interface.functions {
            if item.docs.is_empty() {
                bare.push(format!("{name}#{function}"));
            }
        }
    }
    for (_, item) in &resolve.types {
        let Some(name) = &item.name else { continue };
        // What `use` brings in is documented where it comes from.
        let documented: Vec<(String, bool)> = match &item.kind {
            wit_parser::TypeDefKind::Type(_) | wit_parser::TypeDefKind::Handle(_) => continue,
            wit_parser::TypeDefKind::Record(record) => {
                record.fields.iter().map(|field| (field.name.clone(), field.docs.is_empty())).collect()
            }
            wit_parser::TypeDefKind::Enum(cases) => {
                cases.cases.iter().map(|case| (case.name.clone(), case.docs.is_empty())).collect()
            }
            wit_parser::TypeDefKind::Variant(cases) => {
                cases.cases.iter().map(|case| (case.name.clone(), case.docs.is_empty())).collect()
            }
            // Generators for several languages trip over flags.
            wit_parser::TypeDefKind::Flags(_) => panic!("{name} is a set of flags; use booleans"),
            _ => Vec::new(),
        };
        if item.docs.is_empty() {
            bare.push(name.clone());
        }
        bare.extend(documented.into_iter().filter(|(_, bare)| *bare).map(|(member, _)| format!("{name}.{member}")));
    }
    assert!(bare.is_empty(), "without documentation: {bare:?}");
}
