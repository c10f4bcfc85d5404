//! As whom a process runs: `--user` looked up in the container's own /etc/passwd and /etc/group, passwd(5),
//! group(5).

use std::collections::HashSet;

use minke_model::runtime_spec::User;

use crate::Error;

/// How many groups a process can be in, setgroups(2).
const MOST_GROUPS: usize = 65_536;

/// The texts of the container's two files; empty where a file is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// /etc/passwd
    pub(crate) passwd: String,
    /// /etc/group
    pub(crate) group: String,
}

/// A user as the kernel wants it, and the home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl Resolved {
    /// In the runtime's terms.
    pub(crate) fn to_spec(&self) -> User {
        User { uid: self.uid, gid: self.gid, additional_gids: self.groups.clone(), ..User::default() }
    }
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Accounts {
    /// Resolves `user`, `user:group`, `uid`, `uid:gid` and their mixtures; empty is root. `more` are the
    /// groups of `--group-add`.
    ///
    /// # Errors
    /// `InvalidParameter` when a name is in neither file, or a number is out of range.
    pub(crate) fn resolve(&self, user: &str, more: &[String]) -> Result<Resolved, Error> {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let mut resolved = self.user(user)?;
        if let Some(group) = group {
            resolved.gid = self.group(group)?;
            resolved.groups.clear();
        }
        // A process outside its primary group's supplementary set escapes permissions that are meant to keep
        // that group out (CVE-2022-36109).
        if !resolved.groups.contains(&resolved.gid) {
            resolved.groups.insert(0, resolved.gid);
        }
        for group in more {
            let gid = self.group(group)?;
            if !resolved.groups.contains(&gid) {
                resolved.groups.push(gid);
            }
        }
        Ok(resolved)
    }

    fn user(&self, user: &str) -> Result<Resolved, Error> {
        let user = if user.is_empty() { "0" } else { user };
        let number = number(user);
        let entry = self.users().find(|entry| entry.name == user || number == Some(entry.uid));
        match (entry, number) {
            (Some(entry), _) => Ok(Resolved {
                uid: entry.uid,
                gid: entry.gid,
                groups: self.groups_of(entry.name)?,
                home: if entry.home.is_empty() { "/" } else { entry.home }.to_owned(),
            }),
            (None, Some(uid)) => {
                let home = if uid == 0 { "/root" } else { "/" };
                Ok(Resolved { uid, gid: 0, groups: Vec::new(), home: home.to_owned() })
            }
            (None, None) => Err(unknown(user, "user", "passwd")),
        }
    }

    fn group(&self, group: &str) -> Result<u32, Error> {
        let named = self.groups().find(|entry| entry.name == group).map(|entry| entry.gid);
        named.or_else(|| number(group)).ok_or_else(|| unknown(group, "group", "group"))
    }

    /// In the file's order, each once.
    fn groups_of(&self, name: &str) -> Result<Vec<u32>, Error> {
        let is_member = |entry: &GroupEntry<'_>| entry.members.split(',').any(|member| member == name);
        let (mut seen, mut groups) = (HashSet::new(), Vec::new());
        for entry in self.groups().filter(is_member) {
            if seen.insert(entry.gid) {
                groups.push(entry.gid);
            }
        }
        match groups.len() > MOST_GROUPS {
            true => Err(Error::invalid(format!(
                "user {name} is in {} groups of the group file: the kernel takes {MOST_GROUPS}",
                groups.len()
            ))),
            false => Ok(groups),
        }
    }

    fn users(&self) -> impl Iterator<Item = PasswdEntry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let uid = number(fields.nth(1)?)?;
            let gid = number(fields.next()?)?;
            Some(PasswdEntry { name, uid, gid, home: fields.nth(1).unwrap_or("") })
        })
    }

    fn groups(&self) -> impl Iterator<Item = GroupEntry<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let gid = number(fields.nth(1)?)?;
            Some(GroupEntry { name, gid, members: fields.next().unwrap_or("") })
        })
    }
}

/// Neither a name in the file nor a number that can be an id.
fn unknown(text: &str, what: &str, file: &str) -> Error {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Error::invalid(format!("uids and gids must be in range 0-{}", i32::MAX));
    }
    Error::invalid(format!("unable to find {what} {text}: no matching entries in {file} file"))
}

/// An id as Docker accepts it: 0 to 2^31-1.
fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|id| *id <= i32::MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken line\nwww:x:33:33::/var/www:/bin/false\n".into(),
            group: "root:x:0:\nwww:x:33:\naudio:x:29:www,root\nvideo:x:44:www\n".into(),
        }
    }

    fn resolve(user: &str, more: &[&str]) -> Result<(u32, u32, Vec<u32>, String), Error> {
        let more: Vec<String> = more.iter().map(|group| (*group).to_owned()).collect();
        accounts().resolve(user, &more).map(|r| (r.uid, r.gid, r.groups, r.home))
    }

    #[test]
    fn a_name_brings_its_groups_and_its_home() {
        assert_eq!(resolve("www", &[]).unwrap(), (33, 33, vec![33, 29, 44], "/var/www".into()));
        assert_eq!(resolve("33", &[]).unwrap(), (33, 33, vec![33, 29, 44], "/var/www".into()));
        assert_eq!(resolve("", &[]).unwrap(), (0, 0, vec![0, 29], "/root".into()));
    }

    #[test]
    fn a_group_after_the_colon_replaces_the_supplementary_ones() {
        assert_eq!(resolve("www:video", &[]).unwrap(), (33, 44, vec![44], "/var/www".into()));
        assert_eq!(
            resolve("www:100", &["audio", "7"]).unwrap(),
            (33, 100, vec![100, 29, 7], "/var/www".into())
        );
    }

    #[test]
    fn unknown_numbers_are_taken_as_they_are_and_unknown_names_refused() {
        assert_eq!(resolve("4242:99", &[]).unwrap(), (4242, 99, vec![99], "/".into()));
        assert!(resolve("nobody", &[]).unwrap_err().to_string().contains("unable to find user nobody"));
        assert!(
            resolve("www:nogroup", &[]).unwrap_err().to_string().contains("unable to find group nogroup")
        );
        assert!(resolve("4294967295", &[]).unwrap_err().to_string().contains("in range 0-2147483647"));
        assert!(resolve("-1", &[]).unwrap_err().to_string().contains("in range 0-2147483647"));
    }

    #[test]
    fn more_groups_than_a_process_can_have_are_refused() {
        let group =
            |count: usize| (0..count).map(|gid| format!("g{gid}::{gid}:root,other\n")).collect::<String>();
        let of =
            |count| Accounts { passwd: "root:x:0:0::/:\n".into(), group: group(count) }.resolve("root", &[]);
        assert_eq!(of(65_536).unwrap().groups.len(), 65_536);
        assert!(of(300_000).unwrap_err().to_string().contains("is in 300000 groups"));
    }

    #[test]
    fn an_image_without_the_files_still_has_root() {
        let user = Accounts::default().resolve("", &[]).unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (0, 0, "/root"));
    }
}
