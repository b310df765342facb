//! Making and opening the file: names, rights, the lock, and a new file that is complete or not
//! there.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use emberkv_core::Access;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, fchmod, fdatasync, flock,
    fstat, fsync, ftruncate, linkat, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::descriptor::write_zeros;
use crate::device::{self, FileDevice};
use crate::error::{At, FileError, Operation, Reason};
use crate::io_mode::{self, ALIGN_MAX, Alignment, IoMode};

/// How a file is made, and how far it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a new file, rounded up to 4,096. Not used for a file that exists.
    pub capacity: u64,
    /// Bytes that the file may grow to, rounded down to 4,096. Less than its capacity: it does not
    /// grow.
    pub capacity_max: u64,
    /// What to try first.
    pub io: IoMode,
}

impl Default for Options {
    /// 64 MiB that do not grow, direct I/O.
    fn default() -> Self {
        Self { capacity: 64 << 20, capacity_max: 0, io: IoMode::Direct }
    }
}

impl FileDevice {
    /// Makes a file full of zeros and opens it for writing. Its space is allocated, and its content
    /// and its name are durable on return. If the power fails or an error is returned before, there
    /// is nothing under `path`.
    ///
    /// # Errors
    /// [`Reason::Exists`] if there is anything under `path`, kind `Full` if there is no room for
    /// it, and every error of the operating system.
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self, FileError> {
        let path: Arc<Path> = Arc::from(path.as_ref());
        Name::of(&path).and_then(|name| name.create(&path, options)).at(Operation::Create, &path)
    }

    /// Opens a file for as long as the device lives. It cannot grow; see
    /// [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// [`Reason::Locked`] if it is open elsewhere: for writing, or at all if `access` is to write;
    /// [`Reason::Symlink`], [`Reason::NotAFile`], and every error of the operating system.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Self, FileError> {
        Self::open_with(path, access, &Options::default())
    }

    /// As [`open`](Self::open), with everything that can be chosen for a file that exists.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        path: impl AsRef<Path>,
        access: Access,
        options: &Options,
    ) -> Result<Self, FileError> {
        let path: Arc<Path> = Arc::from(path.as_ref());
        open(&path, access, options).at(Operation::Open, &path)
    }

    /// Opens the file for writing if there is one, else makes it.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(path: impl AsRef<Path>, options: &Options) -> Result<Self, FileError> {
        let path = path.as_ref();
        match Self::open_with(path, Access::ReadWrite, options) {
            Err(error) if error.reason == Reason::Os(Errno::NOENT) => {}
            other => return other,
        }
        match Self::create(path, options) {
            // Somebody was faster. If they have removed it again, that is told.
            Err(error) if error.reason == Reason::Exists => {
                Self::open_with(path, Access::ReadWrite, options)
            }
            other => other,
        }
    }
}

fn open(path: &Arc<Path>, access: Access, options: &Options) -> Result<FileDevice, Reason> {
    // Looked at before it is opened, since opening a device node can have effects; and again
    // afterwards, since it may have been replaced in between.
    must_be_file(statat(CWD, &**path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)?;
    let (flags, lock) = match access {
        Access::ReadWrite => (OFlags::RDWR, FlockOperation::NonBlockingLockExclusive),
        Access::ReadOnly | Access::Salvage => {
            (OFlags::RDONLY, FlockOperation::NonBlockingLockShared)
        }
    };
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = openat(CWD, &**path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP => Reason::Symlink,
        Errno::ISDIR | Errno::NXIO => Reason::NotAFile,
        errno => Reason::Os(errno),
    })?;
    must_be_file(fstat(&file)?.st_mode)?;
    take_lock(&file, lock)?;
    let alignment = io_mode::choose(&file, options.io)?;
    // Whatever an earlier owner has left in the page cache is on the disk before anything is read
    // from there.
    fdatasync(&file)?;
    let bytes = device::size(file.as_fd())?;
    Ok(FileDevice::new(file, Arc::clone(path), access, alignment, bytes, options.capacity_max))
}

fn must_be_file(mode: u32) -> Result<(), Reason> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(Reason::Symlink),
        _ => Err(Reason::NotAFile),
    }
}

fn take_lock(file: &OwnedFd, lock: FlockOperation) -> Result<(), Reason> {
    flock(file, lock).map_err(|errno| match errno {
        Errno::WOULDBLOCK => Reason::Locked,
        errno => Reason::Os(errno),
    })
}

/// A file name in an open directory: a directory that is renamed meanwhile does no harm.
struct Name<'p> {
    directory: OwnedFd,
    file: &'p OsStr,
}

/// Temporary names tried before giving up: those of this process number are leftovers of crashes.
const NAMES_MAX: u32 = 1000;

impl<'p> Name<'p> {
    fn of(path: &'p Path) -> Result<Self, Reason> {
        let file = path.file_name().ok_or(Reason::NotAFile)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: openat(CWD, parent, flags, Mode::empty())?, file })
    }

    fn create(&self, path: &Arc<Path>, options: &Options) -> Result<FileDevice, Reason> {
        // Not the guard against replacing something, which is the renaming; it saves writing in
        // vain.
        match statat(&self.directory, self.file, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Reason::Os(errno)),
            Ok(_) => return Err(Reason::Exists),
        }
        let (temporary, file) = self.temporary()?;
        match self.fill_and_publish(&temporary, &file, options) {
            Ok((alignment, capacity)) => Ok(FileDevice::new(
                file,
                Arc::clone(path),
                Access::ReadWrite,
                alignment,
                capacity,
                options.capacity_max,
            )),
            Err(reason) => {
                self.take_back(&temporary, &file);
                Err(reason)
            }
        }
    }

    /// Undoes a creation that failed: names and space. What fails here is not told, since the first
    /// error is the one to report; a leftover has a telling name and is in nobody's way.
    fn take_back(&self, temporary: &str, file: &OwnedFd) {
        // It has its final name already if only making that durable failed.
        let published = statat(&self.directory, self.file, AtFlags::SYMLINK_NOFOLLOW);
        if let (Ok(there), Ok(ours)) = (published, fstat(file))
            && (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
        {
            let _ = unlinkat(&self.directory, self.file, AtFlags::empty());
        }
        // Removing its last name frees the space only when the last descriptor is closed, and a
        // child that another thread is just starting may hold a copy of ours until it executes its
        // program. Cut to nothing, it holds no space whoever has it open.
        let _ = ftruncate(file, 0);
        let _ = unlinkat(&self.directory, temporary, AtFlags::empty());
    }

    /// A new, empty file that nobody else has.
    fn temporary(&self) -> Result<(String, OwnedFd), Reason> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..NAMES_MAX {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".emberkv-creating-{}-{count}", std::process::id());
            match openat(&self.directory, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok((name, file)),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Reason::Os(errno)),
            }
        }
        Err(Reason::Os(Errno::EXIST))
    }

    fn fill_and_publish(
        &self,
        temporary: &str,
        file: &OwnedFd,
        options: &Options,
    ) -> Result<(Alignment, u64), Reason> {
        // A umask can only take rights away; this gives the owner's back.
        fchmod(file, Mode::RUSR | Mode::WUSR)?;
        take_lock(file, FlockOperation::NonBlockingLockExclusive)?;
        // Direct I/O from the start, so that the zeros do not push other data out of the page
        // cache.
        io_mode::choose(file, options.io)?;
        let unit = u64::from(ALIGN_MAX);
        let capacity = options.capacity.checked_next_multiple_of(unit).ok_or(Errno::FBIG)?;
        write_zeros(file.as_fd(), 0..capacity, ALIGN_MAX)?;
        fsync(file)?;
        // Again: where the kernel does not tell the alignment, it can be found only in a file with
        // content.
        let alignment = io_mode::choose(file, options.io)?;
        self.publish(temporary)?;
        fsync(&self.directory)?;
        Ok((alignment, capacity))
    }

    /// Gives the temporary file its name, unless something has that name.
    fn publish(&self, temporary: &str) -> Result<(), Reason> {
        let directory = &self.directory;
        let published =
            match renameat_with(directory, temporary, directory, self.file, RenameFlags::NOREPLACE)
            {
                // A file system that cannot rename so: a link does not replace anything either.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    linkat(directory, temporary, directory, self.file, AtFlags::empty())
                        .and_then(|()| unlinkat(directory, temporary, AtFlags::empty()))
                }
                other => other,
            };
        published.map_err(|errno| match errno {
            Errno::EXIST => Reason::Exists,
            errno => Reason::Os(errno),
        })
    }
}
