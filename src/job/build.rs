//! The program and the kernels that train a job. With other kernels the same job may end with other weights: they add the
//! same products in another order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A build of dojang on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Version of the package.
    pub version: String,
    /// The commit it was built from, if its build was told (environment variable `DOJANG_COMMIT`).
    pub commit: Option<String>,
    /// The kernels: `avx512`, `avx2` or `portable`.
    pub kernels: String,
    /// The processor's model, or its architecture where the system does not tell the model.
    pub cpu: String,
}

/// Something in which two trainings differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The member of [`Build`].
    pub field: String,
    /// Its value at the original; several where several builds trained it; null if it is not recorded.
    pub original: Option<String>,
    /// Its value at the reproduction.
    pub reproduction: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not recorded".into());
        write!(f, "{}: {} (original), {} (reproduction)", self.field, value(&self.original), value(&self.reproduction))
    }
}

/// The members of [`Build`] in which the builds of an original and those of its reproduction differ.
pub fn differences(original: &[Build], reproduction: &[Build]) -> Vec<Difference> {
    type Member = fn(&Build) -> Option<String>;
    let members: [(&str, Member); 4] = [
        ("version", |build| Some(build.version.clone())),
        ("commit", |build| build.commit.clone()),
        ("kernels", |build| Some(build.kernels.clone())),
        ("cpu", |build| Some(build.cpu.clone())),
    ];
    let values = |builds: &[Build], member: Member| {
        let distinct: BTreeSet<_> = builds.iter().filter_map(member).collect();
        (!distinct.is_empty()).then(|| distinct.into_iter().collect::<Vec<_>>().join(", "))
    };
    let difference = |(field, member)| {
        let (original, reproduction) = (values(original, member), values(reproduction, member));
        (original != reproduction).then(|| Difference { field: String::from(field), original, reproduction })
    };
    members.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(kernels: &str, commit: Option<&str>) -> Build {
        Build {
            version: "0.1.0".into(),
            commit: commit.map(str::to_owned),
            kernels: kernels.into(),
            cpu: "a processor".into(),
        }
    }

    #[test]
    fn only_what_differs_is_named() {
        let (wide, narrow) = (build("avx512", None), build("avx2", Some("abc")));
        assert_eq!(differences(std::slice::from_ref(&wide), std::slice::from_ref(&wide)), []);
        let found = differences(std::slice::from_ref(&wide), &[narrow, wide.clone()]);
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "commit: not recorded (original), abc (reproduction)",
                "kernels: avx512 (original), avx2, avx512 (reproduction)"
            ]
        );
        assert_eq!(differences(&[], &[wide]).len(), 3, "of an original that is older than the record nothing is known");
    }
}
