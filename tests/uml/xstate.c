/* Lets user-mode Linux 6.1 run on processors whose register state is larger than it knows.
 *
 * It keeps 2696 bytes of a process's XSAVE area (up to AVX-512 and PKRU). With AMX the area has 11008, and
 * the host takes only whole ones: PTRACE_SETREGSET of a part fails with EFAULT, and the first process
 * dies ("put_fp_registers", then "Attempted to kill init"). So what is written is completed with what the
 * process has. Preloaded by harness.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long ptrace_fn(int request, pid_t pid, void *addr, void *data);

long ptrace(enum __ptrace_request request, ...)
{
    static ptrace_fn *real;
    static char whole[1 << 16] __attribute__((aligned(64)));
    struct iovec area = { whole, sizeof whole };
    const struct iovec *part;
    pid_t pid;
    void *addr, *data;
    va_list args;
    long result;

    va_start(args, request);
    pid = va_arg(args, pid_t);
    addr = va_arg(args, void *);
    data = va_arg(args, void *);
    va_end(args);
    if (!real)
        real = (ptrace_fn *) dlsym(RTLD_NEXT, "ptrace");
    result = real(request, pid, addr, data);
    if (result != -1 || errno != EFAULT || request != PTRACE_SETREGSET || addr != (void *) NT_X86_XSTATE)
        return result;
    part = data;
    if (real(PTRACE_GETREGSET, pid, addr, &area) == -1 || part->iov_len > area.iov_len)
        return -1;
    memcpy(whole, part->iov_base, part->iov_len);
    return real(PTRACE_SETREGSET, pid, addr, &area);
}
