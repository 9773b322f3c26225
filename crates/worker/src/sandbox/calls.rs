//! The system calls that a native program may make: all but a list. An allow-list would have to know
//! every program; the list here is what reaches the kernel's rarely used corners, changes what the
//! namespaces hold, or looks into other processes.
//!
//! Three filters, of which the kernel takes the strictest answer: refused calls fail with EPERM;
//! newer calls whose arguments a filter cannot see fail with ENOSYS, so that libraries fall back to
//! those it can; calls of the x32 interface, whose numbers would pass by both, end the process.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};
use std::collections::BTreeMap;

/// Why a filter could not be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("build the filter of system calls: {0}")]
    Build(#[from] seccompiler::BackendError),
    #[error("set the filter of system calls: {0}")]
    Set(#[from] seccompiler::Error),
}

/// Refused whatever the arguments.
const REFUSED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Wide interfaces to the kernel.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_memfd_secret,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    libc::SYS_mbind,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_set_mempolicy,
];

/// Refused on this architecture only, where they exist.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Not there as far as the program can tell: what it asks for stands in memory, which a filter
/// cannot read.
const UNKNOWN: &[i64] = &[libc::SYS_clone3];

/// A new process may share nothing that a new namespace would separate.
const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Terminal calls that type for somebody else.
const TYPING: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// Kinds of sockets that the network namespace separates.
const FAMILIES: [libc::c_int; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Execution domains: that of a plain program, and the question for the present one.
const PERSONALITIES: [u64; 2] = [0, 0xffff_ffff];

/// Confines the calling process and its children for good. It must not gain privileges any more.
///
/// # Errors
/// When the kernel takes no filters.
pub(crate) fn confine_calls() -> Result<(), Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    apply_filter(&strangers())?;
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    apply_filter(&filter(unknown, libc::ENOSYS, arch)?)?;
    apply_filter(&filter(refused()?, libc::EPERM, arch)?)?;
    Ok(())
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: libc::c_int,
    arch: TargetArch,
) -> Result<BpfProgram, Error> {
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?)
}

fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let always = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new()));
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = always.collect();
    let word = |arg: u8, op: SeccompCmpOp, value: u64| {
        SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value)
    };
    let all = |conditions: Result<Vec<_>, _>| SeccompRule::new(conditions?);
    let namespaces = NAMESPACE_FLAGS.map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        all(word(0, SeccompCmpOp::MaskedEq(flag), flag).map(|is| vec![is]))
    });
    rules.insert(libc::SYS_clone, namespaces.into_iter().collect::<Result<_, _>>()?);
    let typing = TYPING.map(|request| all(word(1, SeccompCmpOp::Eq, request).map(|is| vec![is])));
    rules.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    let family = FAMILIES.map(|family| word(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())));
    rules.insert(libc::SYS_socket, vec![all(family.into_iter().collect())?]);
    let personality = PERSONALITIES.map(|known| word(0, SeccompCmpOp::Ne, known));
    rules.insert(libc::SYS_personality, vec![all(personality.into_iter().collect())?]);
    Ok(rules)
}

/// Ends a process that makes a call of the x32 interface: its numbers begin where ours never are.
fn strangers() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_SET, 0, 1, X32),
        step(RETURN, 0, 0, KILL_PROCESS),
        step(RETURN, 0, 0, ALLOW),
    ]
}
