//! The block at the top of `/etc/resolv.conf`: pure functions over the file's bytes.

use std::net::IpAddr;

use super::domain::Domain;
use crate::desired::LinkName;

/// The text of a block. It stands first, because the C library asks the servers in their order.
pub(super) fn block(link: &LinkName, domain: &Domain, resolver: IpAddr) -> String {
    format!(
        "# --- begin tidegate {link}; \"tidegate-dns down --interface {link}\" takes these lines out again\n\
         # Names under {domain} are answered by this server; others go on to the next ones.\n\
         nameserver {resolver}\n\
         # --- end tidegate {link}\n"
    )
}

/// The file with the block first.
pub(super) fn insert(content: &[u8], block: &str) -> Vec<u8> {
    let rest = remove(content, block);
    [block.as_bytes(), &rest].concat()
}

/// The file without the block. What others wrote stays as it is, byte by byte.
///
/// If somebody edited the block, those of its lines that are left are taken out. If none of its comments is
/// left, neither is the block: a server line alone is somebody else's.
pub(super) fn remove(content: &[u8], block: &str) -> Vec<u8> {
    let mut rest = content.to_vec();
    let mut whole = false;
    while let Some(at) = find(&rest, block.as_bytes()) {
        rest.drain(at..at + block.len());
        whole = true;
    }
    if whole {
        return rest;
    }
    let ours = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        block.lines().any(|own| own.as_bytes() == line)
    };
    let mut lines = content.split_inclusive(|&byte| byte == b'\n');
    if !lines.any(|line| line.starts_with(b"#") && ours(line)) {
        return rest;
    }
    content
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| !ours(line))
        .collect::<Vec<_>>()
        .concat()
}

/// Whether a server is among those that the file names.
pub(super) fn names_server(content: &[u8], server: IpAddr) -> bool {
    servers(content).any(|found| found == server)
}

/// The addresses of the file's servers, in order.
pub(super) fn servers(content: &[u8]) -> impl Iterator<Item = IpAddr> {
    let words = content.split(|&byte| byte == b'\n').map(words);
    words.filter_map(|mut words| {
        let server = words.next().filter(|key| *key == "nameserver");
        server.and(words.next()).and_then(|ip| ip.parse().ok())
    })
}

/// Whether the file says that servers are asked in turn.
pub(super) fn rotates(content: &[u8]) -> bool {
    let mut lines = content.split(|&byte| byte == b'\n').map(words);
    lines.any(|mut words| words.next() == Some("options") && words.any(|word| word == "rotate"))
}

fn words(line: &[u8]) -> impl Iterator<Item = &str> {
    str::from_utf8(line).unwrap_or("").split_ascii_whitespace()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
        // In the middle of somebody's line it is not ours.
        .filter(|&at| at == 0 || haystack[at - 1] == b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours() -> String {
        block(
            &LinkName::new("tg0").unwrap(),
            &"demo.internal".parse().unwrap(),
            "100.64.0.1".parse().unwrap(),
        )
    }

    #[test]
    fn it_comes_first_and_once() {
        let once = insert(b"nameserver 192.0.2.1\n", &ours());
        let expected = ours() + "nameserver 192.0.2.1\n";
        assert_eq!(once, expected.as_bytes());
        assert_eq!(insert(&once, &ours()), once);
        assert!(names_server(&once, "100.64.0.1".parse().unwrap()));
    }

    #[test]
    fn edits_around_it_stay() {
        let mut edited = b"search example.org\n".to_vec();
        edited.extend(insert(b"nameserver 192.0.2.1", &ours()));
        edited.extend(b"\noptions edns0");
        assert_eq!(
            remove(&edited, &ours()),
            b"search example.org\nnameserver 192.0.2.1\noptions edns0"
        );
    }

    #[test]
    fn of_an_edited_block_only_our_lines_go() {
        let edited = ours().replace(
            "nameserver 100.64.0.1\n",
            "nameserver 100.64.0.1\nnameserver 192.0.2.9\n",
        );
        assert_eq!(
            remove(edited.as_bytes(), &ours()),
            b"nameserver 192.0.2.9\n"
        );
        let no_end = ours().lines().take(3).collect::<Vec<_>>().join("\n");
        assert_eq!(remove(no_end.as_bytes(), &ours()), b"");
        let theirs = b"nameserver 100.64.0.1\n";
        assert_eq!(remove(&insert(theirs, &ours()), &ours()), theirs);
        let quoted = b"# see: # --- end tidegate tg0\n";
        assert_eq!(remove(quoted, &ours()), quoted);
    }

    #[test]
    fn options_and_servers_are_read_as_the_c_library_does() {
        assert!(rotates(b"options edns0 rotate\n") && rotates(b"options\trotate"));
        assert!(!rotates(b"# options rotate\noptions rotated\n"));
        let servers: Vec<_> = servers(
            b"nameserver 10.0.0.1\n nameserver\t::1 \n#nameserver 10.0.0.2\nnameserver x\n\xff\n",
        )
        .map(|ip| ip.to_string())
        .collect();
        assert_eq!(servers, ["10.0.0.1", "::1"]);
    }

    proptest! {
        #[test]
        fn removing_what_was_inserted_gives_the_same_bytes(content in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(remove(&insert(&content, &ours()), &ours()), content);
        }

        #[test]
        fn also_in_files_that_look_like_it(content in "(nameserver 1[.]1[.]1[.]1|# [-]{3} end tidegate|\r|\n| ){0,9}") {
            let content = content.into_bytes();
            prop_assert_eq!(remove(&insert(&content, &ours()), &ours()), content);
        }
    }
}
