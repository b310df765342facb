//! Real file systems, volumes and partition tables, made by their own tools: known by name, and not
//! a byte changed by what is refused. A tool that is not installed is said so.

use std::hash::Hasher;
use std::path::Path;
use std::process::Command;

use emberkv_raw::probe::{Content, Signature, content};
use emberkv_raw::{Access, Overwrite, RawDevice, RawError};

use crate::support::{Loop, MIB, run, text};

/// What makes a device: a shell command in which `$0` is the device.
const MAKERS: &[(Signature, &str, &str)] = &[
    (Signature::Ext2, "mkfs.ext2", "mkfs.ext2 -q -F $0"),
    (Signature::Ext3, "mkfs.ext3", "mkfs.ext3 -q -F $0"),
    (Signature::Ext4, "mkfs.ext4", "mkfs.ext4 -q -F $0"),
    (Signature::Xfs, "mkfs.xfs", "mkfs.xfs -q -f $0"),
    (Signature::Btrfs, "mkfs.btrfs", "mkfs.btrfs -q -f $0"),
    (Signature::Fat, "mkfs.vfat", "mkfs.vfat -I $0"),
    (Signature::Fat, "mkfs.vfat", "mkfs.vfat -I -F 32 $0"),
    (Signature::F2fs, "mkfs.f2fs", "mkfs.f2fs -q -f $0"),
    (Signature::Swap, "mkswap", "mkswap -f $0"),
    (Signature::Swap, "mkswap", "mkswap -f -p 65536 $0"),
    (
        Signature::Luks,
        "cryptsetup",
        "echo x | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 $0 -",
    ),
    (
        Signature::Luks,
        "cryptsetup",
        "echo x | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $0 -",
    ),
    (Signature::Gpt, "sfdisk", "printf 'label: gpt\\nsize=100MiB\\n' | sfdisk --quiet $0"),
    (Signature::Mbr, "sfdisk", "printf 'label: dos\\nsize=100MiB\\n' | sfdisk --quiet $0"),
    (
        Signature::Squashfs,
        "mksquashfs",
        "mksquashfs /etc/hostname $0 -quiet -no-progress -noappend",
    ),
];

/// Large enough for the pickiest of them, and for the rest.
fn bytes_for(kind: Signature) -> u64 {
    if kind == Signature::Xfs { 320 * MIB } else { 128 * MIB }
}

fn is_installed(tool: &str) -> bool {
    run("sh", &["-c", "command -v \"$0\"", tool])
}

/// Whether the device was made.
fn made(maker: &str, tool: &str, device: &Path) -> bool {
    if !is_installed(tool) {
        println!("SKIPPED: {tool} is not installed");
        return false;
    }
    let output = Command::new("sh").args(["-c", maker, text(device)]).output().expect("a shell");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{maker}: {error}");
    true
}

/// A hash of all bytes of the device.
fn digest(device: &Loop) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(&device.content());
    hasher.finish()
}

fn kept(device: &Loop, kind: Signature) {
    let (before, writes) = (digest(device), device.writes());
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let error = RawDevice::open(&device.path, access).expect_err("it is somebody's");
        let want = Content::Foreign(kind);
        assert!(matches!(error, RawError::Holds { found, .. } if found == want), "{error}");
    }
    RawDevice::claim(&device.path, Overwrite::Nothing).expect_err("it is somebody's");
    let wrong = Overwrite::Destroy(Content::Unknown);
    RawDevice::claim(&device.path, wrong).expect_err("it is something else");
    assert_eq!((digest(device), device.writes()), (before, writes), "{kind:?} was changed");
}

#[test]
fn what_real_tools_make_is_known_refused_and_unchanged() {
    for (kind, tool, maker) in MAKERS {
        let Some(device) = Loop::new(bytes_for(*kind), 512) else { return };
        if !made(maker, tool, &device.path) {
            continue;
        }
        kept(&device, *kind);
        let overwrite = Overwrite::Destroy(Content::Foreign(*kind));
        drop(RawDevice::claim(&device.path, overwrite).expect("it was named"));
        assert!(!is_known_to_blkid(&device.path), "{kind:?} is still there for others");
    }
}

#[test]
fn sectors_of_4096_bytes_hide_nothing() {
    for (kind, tool, maker) in MAKERS {
        if !matches!(kind, Signature::Gpt | Signature::Mbr | Signature::Ext4 | Signature::Xfs) {
            continue;
        }
        let Some(device) = Loop::new(bytes_for(*kind), 4096) else { return };
        if made(maker, tool, &device.path) {
            kept(&device, *kind);
        }
    }
}

/// Whether the system's own probe still finds something, after the device's caches are gone.
fn is_known_to_blkid(device: &Path) -> bool {
    run("blkid", &["--probe", text(device)])
}

/// Arrays and volumes need drivers that a test machine may lack; these tools write to plain files.
#[test]
fn members_of_volumes_are_known_in_files() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let image = directory.path().join("image");
    let makers = [
        (
            Signature::Erofs,
            "mkfs.erofs",
            "mkdir $0.d && echo x > $0.d/x && rm $0 && mkfs.erofs --quiet $0 $0.d",
        ),
        (Signature::Sqlite, "sqlite3", "rm $0 && sqlite3 $0 'create table t(x)'"),
        (Signature::Iso9660, "genisoimage", "rm $0 && genisoimage -quiet -o $0 /etc/hostname"),
    ];
    for (kind, tool, maker) in makers {
        std::fs::write(&image, vec![0; 4 << 20]).expect("written");
        if !made(maker, tool, &image) {
            continue;
        }
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::open(&image).expect("made");
        let bytes = file.metadata().expect("made").len();
        let found = content(bytes, |at, buffer: &mut [u8]| file.read_exact_at(buffer, at));
        assert_eq!(found.expect("readable"), Content::Foreign(kind));
    }
}
