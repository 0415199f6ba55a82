//! `plugin wit`: the part of the contract that a component needs, for tools that import whole interfaces.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use wit_component::{OutputToString, WitPrinter};
use wit_parser::{
    Function, Handle, InterfaceId, LiveTypes, PackageId, Resolve, Type, TypeDefKind, TypeId, TypeOwner,
    UnresolvedPackageGroup, WorldId, WorldItem,
};

use super::{done, sources};
use crate::output::stdout;
use crate::trouble::{Outcome, Trouble};

/// Arguments of `plugin wit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger plugin wit --list
  outrigger plugin wit --use ec2.start-instances,ec2.describe-instances,run.log
  outrigger plugin wit --use ec2.start-instances,run.log -o wit

A component may do what it imports. Rust components import what they call; those of Python and others import every function
of an interface, so give their tools a contract that has no more than they need. A name is PACKAGE.FUNCTION,
PACKAGE.INTERFACE, PACKAGE.INTERFACE.FUNCTION, or an import as `outrigger plugin inspect` shows it.")]
pub(crate) struct Arguments {
    /// Functions that the component calls, with commas
    #[arg(long = "use", value_name = "NAME", value_delimiter = ',', required_unless_present = "list")]
    functions: Vec<String>,
    /// World that it is built for
    #[arg(long, value_name = "WORLD", default_value = "job-step")]
    world: String,
    /// Folder for the packages, as bindings generators want them; without it they are printed as one text
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// List the functions of the world instead
    #[arg(long, conflicts_with_all = ["functions", "output"])]
    list: bool,
}

/// First words of what this command writes: a folder with it may be written again.
const MARK: &str = "// Written by `outrigger plugin wit";

/// Carries the command out.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let contract = Contract::read(&arguments.world)?;
    let mut out = stdout();
    if arguments.list {
        for choice in contract.choices() {
            writeln!(out, "{}", choice.short())?;
        }
        out.flush()?;
        return done();
    }
    let narrowed = contract.narrow(&arguments.functions)?;
    let mark = format!("{MARK} --world {} --use {}`.\n", arguments.world, arguments.functions.join(","));
    match &arguments.output {
        None => write!(out, "{mark}{}", narrowed.text)?,
        Some(folder) => {
            narrowed.write(folder, &mark)?;
            for import in &narrowed.imports {
                writeln!(out, "{import}")?;
            }
        }
    }
    out.flush()?;
    done()
}

/// The whole contract, and the world that a component is built for.
struct Contract {
    resolve: Resolve,
    world: WorldId,
}

/// A function that a component of the world may import.
struct Choice {
    interface: InterfaceId,
    function: String,
    /// Package without its namespace, such as `aws-ec2`.
    package: String,
    interface_name: String,
    /// Whether the package has no other interface.
    alone: bool,
    /// Name without what it belongs to.
    item: String,
    /// The resource that it is a method of.
    resource: Option<String>,
    /// As `plugin inspect` shows it.
    import: String,
}

impl Choice {
    fn package_short(&self) -> &str {
        self.package.strip_prefix("aws-").unwrap_or(&self.package)
    }

    /// The name with the interface only where the package has several.
    fn short(&self) -> String {
        let package = self.package_short();
        match &self.resource {
            Some(resource) => format!("{package}.{resource}.{}", self.item),
            None if self.alone => format!("{package}.{}", self.item),
            None => format!("{package}.{}.{}", self.interface_name, self.item),
        }
    }

    fn is_in(&self, package: &str) -> bool {
        package == self.package
            || package == self.package_short()
            || package.strip_prefix("outrigger:") == Some(&self.package)
    }

    fn is_meant(&self, name: &str) -> bool {
        if name.contains('#') {
            let without_version = self
                .import
                .split_once('@')
                .and_then(|(interface, rest)| Some(format!("{interface}#{}", rest.split_once('#')?.1)));
            return name == self.import || Some(name) == without_version.as_deref();
        }
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            [package, item] => {
                self.is_in(package) && (*item == self.interface_name || (self.resource.is_none() && *item == self.item))
            }
            [package, of, item] => {
                self.is_in(package)
                    && *item == self.item
                    && (*of == self.interface_name || Some(*of) == self.resource.as_deref())
            }
            _ => false,
        }
    }
}

impl Contract {
    /// Reads the contract that is part of this program.
    fn read(world: &str) -> Result<Self, Trouble> {
        let mut main = None;
        let mut rest = Vec::new();
        for (path, text) in sources::WIT {
            let group = UnresolvedPackageGroup::parse(path, text)
                .map_err(|(_, error)| Trouble::failed(format!("the contract of this program is damaged: {error}")))?;
            if path.starts_with("outrigger-plugin/") { main = Some(group) } else { rest.push(group) }
        }
        let damaged = || Trouble::failed("the contract of this program is damaged: it has no worlds");
        let mut resolve = Resolve::default();
        let package = resolve
            .push_groups(main.ok_or_else(damaged)?, rest)
            .map_err(|error| Trouble::failed(format!("the contract of this program is damaged: {error}")))?;
        let worlds = &resolve.packages[package].worlds;
        // The others are what hosts offer; nobody builds for them.
        let exporting: Vec<&str> = worlds
            .iter()
            .filter(|(_, id)| !resolve.worlds[**id].exports.is_empty())
            .map(|(name, _)| name.as_str())
            .collect();
        if !exporting.contains(&world) {
            return Err(Trouble::input(
                format!("there is no world `{world}`"),
                format!("components are built for {}", exporting.join(" or ")),
            ));
        }
        let world = worlds.get(world).copied().ok_or_else(damaged)?;
        Ok(Self { resolve, world })
    }

    /// What a component of the world may import, in the order of the contract.
    fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for interface in imported(&self.resolve, self.world) {
            let Some(id) = self.resolve.id_of(interface) else { continue };
            let known = &self.resolve.interfaces[interface];
            let (Some(name), Some(package)) = (&known.name, known.package) else { continue };
            for (function_name, function) in &known.functions {
                choices.push(Choice {
                    interface,
                    function: function_name.clone(),
                    package: self.resolve.packages[package].name.name.clone(),
                    interface_name: name.clone(),
                    alone: self.resolve.packages[package].interfaces.len() == 1,
                    item: function.item_name().to_owned(),
                    resource: function.kind.resource().and_then(|id| self.resolve.types[id].name.clone()),
                    import: format!("{id}#{function_name}"),
                });
            }
        }
        choices
    }

    fn chosen<'a>(&self, choices: &'a [Choice], names: &[String]) -> Result<Vec<&'a Choice>, Trouble> {
        let mut chosen = Vec::new();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            let meant: Vec<&Choice> = choices.iter().filter(|choice| choice.is_meant(name)).collect();
            let Some(first) = meant.first() else { return Err(self.unknown(choices, name)) };
            let interfaces: BTreeSet<&str> = meant.iter().map(|choice| choice.interface_name.as_str()).collect();
            if interfaces.len() > 1 {
                let names: Vec<String> = interfaces
                    .iter()
                    .map(|interface| format!("{}.{interface}.{}", first.package_short(), first.item))
                    .collect();
                return Err(Trouble::input(
                    format!("`{name}` can be several functions"),
                    format!("say {}", names.join(" or ")),
                ));
            }
            chosen.extend(meant);
        }
        Ok(chosen)
    }

    fn unknown(&self, choices: &[Choice], name: &str) -> Trouble {
        let text = format!("no component of the world `{}` can import `{name}`", self.resolve.worlds[self.world].name);
        let in_package: Vec<String> = choices.iter().filter(|choice| choice.is_in(name)).map(Choice::short).collect();
        if !in_package.is_empty() {
            return Trouble::input(text, format!("name what the component calls: {}", in_package.join(", ")));
        }
        let near = choices
            .iter()
            .flat_map(|choice| {
                let package = choice.package_short();
                [choice.short(), format!("{package}.{}", choice.item), format!("{package}.{}", choice.interface_name)]
            })
            .map(|short| (strsim::normalized_damerau_levenshtein(name, &short), short))
            .filter(|(score, _)| *score >= 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((_, short)) => Trouble::input(text, format!("did you mean `{short}`?")),
            None => Trouble::input(text, "see `outrigger plugin wit --list`"),
        }
    }

    /// Takes everything out that neither these functions nor the exports of the world need.
    fn narrow(mut self, names: &[String]) -> Result<Narrowed, Trouble> {
        let choices = self.choices();
        let mut kept: BTreeSet<(InterfaceId, String)> = self
            .chosen(&choices, names)?
            .into_iter()
            .map(|choice| (choice.interface, choice.function.clone()))
            .collect();
        for giver in self.givers(&kept) {
            kept.insert(giver);
        }
        let exported: Vec<InterfaceId> = self.resolve.worlds[self.world]
            .exports
            .values()
            .filter_map(|item| if let WorldItem::Interface { id, .. } = item { Some(*id) } else { None })
            .collect();
        let mut live = LiveTypes::default();
        for interface in &exported {
            live.add_interface(&self.resolve, *interface);
        }
        for (interface, function) in &kept {
            if let Some(function) = self.resolve.interfaces[*interface].functions.get(function) {
                live.add_func(&self.resolve, function);
            }
        }
        let imports = choices
            .iter()
            .filter(|choice| kept.contains(&(choice.interface, choice.function.clone())))
            .map(|choice| choice.import.clone())
            .collect();

        let mut needed = BTreeSet::new();
        for (id, interface) in self.resolve.interfaces.iter_mut() {
            if !exported.contains(&id) {
                interface.functions.retain(|name, _| kept.contains(&(id, name.clone())));
                interface.types.retain(|_, ty| live.contains(*ty));
            }
            if exported.contains(&id) || !interface.functions.is_empty() || !interface.types.is_empty() {
                needed.insert(id);
            }
        }
        let is_needed = |item: &WorldItem| !matches!(item, WorldItem::Interface { id, .. } if !needed.contains(id));
        if let Some(world) = self.resolve.worlds.get_mut(self.world) {
            world.imports.retain(|_, item| is_needed(item));
        }
        let world = self.world;
        for (_, package) in self.resolve.packages.iter_mut() {
            package.interfaces.retain(|_, interface| needed.contains(interface));
            package.worlds.retain(|_, known| *known == world);
        }
        self.print(imports)
    }

    /// Functions that give the handles which these functions borrow, such as `default` of `aws/credentials`: nobody can call
    /// the one without the other.
    fn givers(&self, kept: &BTreeSet<(InterfaceId, String)>) -> Vec<(InterfaceId, String)> {
        let mut givers = Vec::new();
        for (interface, name) in kept {
            let Some(function) = self.resolve.interfaces[*interface].functions.get(name) else { continue };
            for parameter in &function.params {
                let Some(resource) = self.handle(&parameter.ty) else { continue };
                let TypeOwner::Interface(owner) = self.resolve.types[resource].owner else { continue };
                for (giver, function) in &self.resolve.interfaces[owner].functions {
                    if function.kind.resource().is_none() && self.gives(function, resource) {
                        givers.push((owner, giver.clone()));
                    }
                }
            }
        }
        givers
    }

    /// The resource that a handle is of, under its first name.
    fn handle(&self, ty: &Type) -> Option<TypeId> {
        let Type::Id(id) = ty else { return None };
        let TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) = self.resolve.types[*id].kind else {
            return None;
        };
        let mut resource = resource;
        while let TypeDefKind::Type(Type::Id(other)) = self.resolve.types[resource].kind {
            resource = other;
        }
        Some(resource)
    }

    fn gives(&self, function: &Function, resource: TypeId) -> bool {
        let Some(Type::Id(result)) = function.result else { return false };
        let TypeDefKind::Result(result) = &self.resolve.types[result].kind else { return false };
        result.ok.as_ref().is_some_and(|ty| self.handle(ty) == Some(resource))
    }

    fn print(self, imports: Vec<String>) -> Result<Narrowed, Trouble> {
        let fail = |error| Trouble::failed(format!("the narrowed contract cannot be written: {error:#}"));
        let packages: Vec<PackageId> = self
            .resolve
            .packages
            .iter()
            .filter(|(_, package)| !package.interfaces.is_empty() || !package.worlds.is_empty())
            .map(|(id, _)| id)
            .collect();
        let main = self.resolve.worlds[self.world].package;
        let others: Vec<PackageId> = packages.into_iter().filter(|id| Some(*id) != main).collect();
        let Some(main) = main else { return Err(Trouble::failed("the contract of this program is damaged")) };
        let printed = |package: PackageId, nested: &[PackageId]| {
            let mut printer = WitPrinter::<OutputToString>::default();
            printer.print(&self.resolve, package, nested).map(|()| printer.output.to_string()).map_err(fail)
        };
        let mut files = vec![(PathBuf::from("world.wit"), printed(main, &[])?)];
        for package in &others {
            let name = &self.resolve.packages[*package].name;
            let folder = format!("{}-{}", name.namespace, name.name);
            let file = Path::new("deps").join(&folder).join(format!("{}.wit", name.name));
            files.push((file, printed(*package, &[])?));
        }
        Ok(Narrowed { text: printed(main, &others)?, files, imports })
    }
}

/// The interfaces that components of a world may import.
fn imported(resolve: &Resolve, world: WorldId) -> Vec<InterfaceId> {
    let items = resolve.worlds[world].imports.values();
    items.filter_map(|item| if let WorldItem::Interface { id, .. } = item { Some(*id) } else { None }).collect()
}

/// A narrowed contract.
struct Narrowed {
    /// All of it as one text.
    text: String,
    /// The same, package by package.
    files: Vec<(PathBuf, String)>,
    /// The functions that are left for components to import.
    imports: Vec<String>,
}

impl Narrowed {
    /// Writes the packages into a folder that is empty, or that an earlier call wrote.
    fn write(&self, folder: &Path, mark: &str) -> Result<(), Trouble> {
        let written_before = fs::read_to_string(folder.join("world.wit")).is_ok_and(|text| text.starts_with(MARK));
        let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !written_before {
            return Err(Trouble::input(
                format!("{} is not empty, and what is in it is not from `plugin wit`", folder.display()),
                "name a new folder",
            ));
        }
        if written_before {
            remove_packages(&folder.join("deps"))?;
        }
        for (path, text) in &self.files {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|error| Trouble::file("create", parent, &error))?;
            let mark = if path.ends_with("world.wit") { mark } else { "" };
            fs::write(&path, format!("{mark}{text}")).map_err(|error| Trouble::file("write", &path, &error))?;
        }
        Ok(())
    }
}

/// Removes the packages of an earlier call: one that is no longer needed would still be imported by some tools.
fn remove_packages(deps: &Path) -> Result<(), Trouble> {
    let Ok(entries) = fs::read_dir(deps) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|error| Trouble::file("read", deps, &error))?.path();
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("outrigger-"));
        if ours && path.is_dir() {
            fs::remove_dir_all(&path).map_err(|error| Trouble::file("remove", &path, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(world: &str, names: &str) -> Result<Narrowed, Trouble> {
        let names: Vec<String> = names.split(',').map(str::to_owned).collect();
        Contract::read(world)?.narrow(&names)
    }

    fn refusal(names: &str) -> String {
        format!("{:?}", narrowed("job-step", names).err().expect("it is refused"))
    }

    #[test]
    fn only_what_is_used_is_left_and_its_words_are_kept() {
        let narrowed = narrowed("job-step", "ec2.start-instances,run.log").unwrap();
        assert_eq!(
            narrowed.imports,
            [
                "outrigger:run/log@0.1.0#write",
                "outrigger:run/log@0.1.0#document",
                "outrigger:run/log@0.1.0#progress",
                "outrigger:aws/credentials@0.1.0#default",
                "outrigger:aws-ec2/instances@0.1.0#start-instances",
            ]
        );
        let text = &narrowed.text;
        for word in [
            "/// Amazon EC2, API version 2016-11-15.",
            "/// StartInstances.",
            "record start-instances-input",
            "/// Writes a line; line breaks in it make several.",
            "export outrigger:step/job-step@0.1.0;",
            "/// A step that runs once in a workflow.",
        ] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
        for word in ["stop-instances", "describe-instances", "outrigger:aws-s3", "reveal", "in-region", "world host"] {
            assert!(!text.contains(word), "{word} is in\n{text}");
        }
    }

    #[test]
    fn every_single_function_gives_a_contract_that_can_be_read() {
        for world in ["job-step", "credential-provider"] {
            let choices = Contract::read(world).unwrap().choices();
            assert!(choices.len() > 5);
            for choice in choices {
                let narrowed = narrowed(world, &choice.import).unwrap();
                assert!(narrowed.imports.contains(&choice.import), "{}", choice.import);
                assert!(narrowed.imports.len() <= 2, "{}: {:?}", choice.import, narrowed.imports);
                let mut resolve = Resolve::default();
                resolve
                    .push_source("all.wit", &narrowed.text)
                    .unwrap_or_else(|error| panic!("{}: {error:#}\n{}", choice.import, narrowed.text));
                let folder = tempfile::tempdir().unwrap();
                narrowed.write(folder.path(), &format!("{MARK}`\n")).unwrap();
                let mut resolve = Resolve::default();
                let (package, _) = resolve.push_dir(folder.path()).unwrap();
                assert_eq!(resolve.packages[package].worlds.keys().collect::<Vec<_>>(), [world]);
            }
        }
    }

    #[test]
    fn names_have_short_and_long_forms() {
        let import = "outrigger:aws-ec2/instances@0.1.0#start-instances";
        for name in [
            "ec2.start-instances",
            "aws-ec2.start-instances",
            "ec2.instances.start-instances",
            "outrigger:aws-ec2/instances#start-instances",
            import,
        ] {
            assert!(narrowed("job-step", name).unwrap().imports.iter().any(|found| found == import), "{name}");
        }
        let listed: Vec<String> = Contract::read("job-step").unwrap().choices().iter().map(Choice::short).collect();
        for name in ["ec2.start-instances", "run.log.write", "aws.credentials.in-region"] {
            assert!(listed.iter().any(|short| short == name), "{name} is not in {listed:?}");
        }
        for name in &listed {
            assert!(narrowed("job-step", name).unwrap().imports.len() <= 2, "{name}");
        }
        let methods = narrowed("job-step", "aws.credentials.in-region").unwrap().imports;
        assert!(
            methods.contains(&"outrigger:aws/credentials@0.1.0#[method]credentials.in-region".to_owned()),
            "{methods:?}"
        );
    }

    #[test]
    fn what_is_not_there_is_refused_with_the_nearest_name() {
        assert!(refusal("ec2.start-instance").contains("did you mean `ec2.start-instances`?"));
        assert!(refusal("ec2").contains("ec2.describe-instances"));
        assert!(refusal("secrets.seal").contains("no component of the world `job-step` can import"));
        assert!(refusal("nonsense").contains("plugin wit --list"));
        let world = Contract::read("host").err().map(|trouble| format!("{trouble:?}")).unwrap();
        assert!(world.contains("job-step or credential-provider"), "{world}");
    }

    #[test]
    fn a_folder_is_written_again_and_never_one_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("wit");
        let mark = format!("{MARK}`\n");
        narrowed("job-step", "s3.list-objects-v2").unwrap().write(&place, &mark).unwrap();
        assert!(place.join("deps/outrigger-aws-s3").is_dir());
        narrowed("job-step", "run.log").unwrap().write(&place, &mark).unwrap();
        assert!(!place.join("deps/outrigger-aws-s3").exists());
        fs::write(folder.path().join("world.wit"), "package mine:own;").unwrap();
        let refused = narrowed("job-step", "run.log").unwrap().write(folder.path(), &mark).unwrap_err();
        assert!(format!("{refused:?}").contains("is not empty"));
    }
}
