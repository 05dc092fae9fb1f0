//! Where each operation of a provider is, and in which dialect and by which of these it is asked for what a caller asks. A
//! cloud's differ by key and model, any other's by neither.

use super::{Key, Provider};
use crate::dialect::{Dialect, Operation};
use crate::provider::{Cloud, Family};

/// A request target for each operation that a provider's API has: `base_path` and the path of the dialect, the provider, or
/// `request_path_overrides` (which may bring a query).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets([String; Operation::ALL.len()]);

impl Default for Targets {
    /// None.
    fn default() -> Self {
        Self([const { String::new() }; Operation::ALL.len()])
    }
}

impl Targets {
    /// That of the operation; `None`: the provider's API has none, or the provider is not served.
    pub fn of(&self, operation: Operation) -> Option<&str> {
        self.0.get(operation as usize).map(String::as_str).filter(|target| !target.is_empty())
    }

    /// Sets it; an empty one is none.
    pub fn set(&mut self, operation: Operation, target: String) {
        if let Some(slot) = self.0.get_mut(operation as usize) {
            *slot = target;
        }
    }
}

/// The targets of a cloud's key, for each family of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faces {
    own: Targets,
    claude: Targets,
}

impl Faces {
    /// Those that `path` says, which may hold [`crate::provider::MODEL`].
    pub fn of(path: impl Fn(Family, Operation) -> Option<String>) -> Self {
        let mut faces = Self::default();
        for (family, operation) in
            Family::ALL.into_iter().flat_map(|family| Operation::ALL.map(|one| (family, one)))
        {
            if let Some(path) = path(family, operation) {
                faces.of_family(family).set(operation, path);
            }
        }
        faces
    }

    /// Those of one family.
    pub fn targets(&self, family: Family) -> &Targets {
        match family {
            Family::Own => &self.own,
            Family::Claude => &self.claude,
        }
    }

    /// Puts a path before each.
    pub fn stand_behind(&mut self, family: Family, base_path: &str) {
        let targets = self.of_family(family);
        for operation in Operation::ALL {
            if let Some(behind) = targets.of(operation).map(|target| format!("{base_path}{target}")) {
                targets.set(operation, behind);
            }
        }
    }

    fn of_family(&mut self, family: Family) -> &mut Targets {
        match family {
            Family::Own => &mut self.own,
            Family::Claude => &mut self.claude,
        }
    }
}

impl Provider {
    /// In which dialect, and by which operation, it is asked for what a caller asks in `caller`'s dialect; the last is its
    /// target, which may hold [`crate::provider::MODEL`]. `None`: it cannot, or must not, be asked for that.
    pub fn way(&self, caller: Dialect, operation: Operation) -> Option<(Dialect, Operation, &str)> {
        if let Some(cloud) = self.cloud {
            let faces = self.keys.iter().filter_map(|key| key.faces.as_deref());
            let mut faces = faces.flat_map(|faces| Family::ALL.map(|family| (faces, family)));
            return faces.find_map(|(faces, family)| self.face(cloud, (faces, family), caller, operation));
        }
        self.way_by(self.dialect?, &self.targets, caller, operation)
    }

    /// The same by one key and for one model: that of the request, and as the provider is asked for it. Only a cloud's ways
    /// differ by these.
    pub fn way_for<'a>(
        &'a self,
        key: Option<&'a Key>,
        (model, wire_model): (&str, &str),
        caller: Dialect,
        operation: Operation,
    ) -> Option<(Dialect, Operation, &'a str)> {
        let Some(cloud) = self.cloud else { return self.way(caller, operation) };
        let family = cloud.family(model, wire_model)?;
        self.face(cloud, (key?.faces.as_deref()?, family), caller, operation)
    }

    fn face<'a>(
        &self,
        cloud: Cloud,
        (faces, family): (&'a Faces, Family),
        caller: Dialect,
        operation: Operation,
    ) -> Option<(Dialect, Operation, &'a str)> {
        self.way_by(cloud.dialect(family), faces.targets(family), caller, operation)
    }

    fn way_by<'a>(
        &self,
        dialect: Dialect,
        targets: &'a Targets,
        caller: Dialect,
        operation: Operation,
    ) -> Option<(Dialect, Operation, &'a str)> {
        let ways = operation.ways(caller, dialect);
        let mut allowed = ways.filter(|(_, operation)| self.operations.has(*operation));
        allowed.find_map(|(dialect, operation)| Some((dialect, operation, targets.of(operation)?)))
    }
}
