"""Boots user-mode Linux on the host's own files and runs a script in it.

The kernel (Debian's user-mode-linux) is a process; its root file system is the host's, its /run,
/tmp, /var/run and /dev/shm are its own and empty, its modules come from /usr/lib/uml/modules. It
boots in about two seconds and ends when the script does. What the script prints and its exit
status come back in a `Result`; files pass through `exchange`, a directory with the same path on
both sides. Nothing that happens inside reaches the host except writes outside those directories.
"""

from __future__ import annotations

import atexit
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KERNEL = shutil.which("linux.uml") or "/usr/bin/linux.uml"
MODULES = "/usr/lib/uml/modules"
DEFAULT_MODULES = ("openvswitch", "veth", "tun", "nf_conntrack", "vport-vxlan")
OWN_DIRECTORIES = ("/run", "/tmp", "/var/tmp", "/dev/shm")

INIT = """\
#!/bin/sh
# The first process of the user-mode kernel: mounts, modules, one script, power off.
PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME=/run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
grep -q ' /dev devtmpfs' /proc/mounts || mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
mkdir -p /dev/pts /dev/shm /dev/net /run/lock /run/bin /run/netns /run/root/lib/modules
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
[ -L /var/run ] || mount -t tmpfs tmpfs /var/run
{visible}
release=$(uname -r)
mkdir "/run/root/lib/modules/$release"
mount --bind "{modules}/$release" "/run/root/lib/modules/$release"
real=$(command -v modprobe)
printf '#!/bin/sh\\nexec %s -d /run/root "$@"\\n' "$real" > /run/bin/modprobe
chmod 755 /run/bin/modprobe
echo /run/bin/modprobe > /proc/sys/kernel/modprobe
ip link set lo up
modprobe -a {load} || echo "modprobe failed" >&2
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
stty -F /dev/ttyS0 raw -echo
cd {cwd}
setsid sh {exchange}/run.sh </dev/null >/dev/ttyS0 2>&1
echo $? > {exchange}/status
sync
poweroff -f
"""


@dataclass(frozen=True)
class Result:
    """How a run ended.

    `status` is the script's exit status, None if the kernel ended or was killed before that.
    `output` is what the script printed, `console` what the kernel did, `timed_out` whether it was
    killed for taking too long.
    """

    status: int | None
    output: str
    console: str
    seconds: float
    timed_out: bool

    def check(self) -> str:
        """The output; AssertionError with all that is known unless the script ended well."""
        if self.status == 0:
            return self.output
        why = "timed out" if self.timed_out else f"ended with status {self.status}"
        raise AssertionError(
            f"the script in user-mode Linux {why} after {self.seconds:.1f} s\n{self.output}"
            + (f"\n--- console ---\n{self.console[-4000:]}" if self.status is None else "")
        )


def _visible(paths: Sequence[str]) -> list[str]:
    """Those of `paths` that the kernel's own empty directories would hide, without repeats."""
    hidden: list[str] = []
    for path in sorted({os.path.abspath(p) for p in paths if p}):
        under = any(path.startswith(d + "/") for d in OWN_DIRECTORIES)
        if under and os.path.isdir(path) and not any(path.startswith(h + "/") for h in hidden):
            hidden.append(path)
    return hidden


def run(
    script: str,
    exchange: Path,
    *,
    interpreter: Sequence[str] = ("/bin/bash", "-eu"),
    timeout: float = 120.0,
    memory: str = "1G",
    modules: Sequence[str] = DEFAULT_MODULES,
    env: Mapping[str, str] | None = None,
    visible: Sequence[str] = (),
    cwd: str | None = None,
) -> Result:
    """Boot, run `script` by `interpreter` (a shell by default) as root, and power off.

    `exchange` is a host directory that the script sees under the same path; `visible` are
    further host directories under /tmp or /run that it needs. This process's Python and its
    import path are always visible, and PYTHONPATH is set to the latter. `timeout` is in seconds
    from the start of the kernel, after which it is killed with all its processes.
    """
    exchange = exchange.resolve()
    exchange.mkdir(parents=True, exist_ok=True)
    python_path = [p for p in sys.path if p and os.path.isdir(p)]
    needed = [str(exchange), sys.prefix, sys.base_prefix, *python_path, *visible, cwd or os.getcwd()]
    mounts = "\n".join(
        f"mkdir -p {shlex.quote(p)}; mount -t hostfs none {shlex.quote(p)} -o {shlex.quote(p)}"
        for p in _visible(needed)
    )
    own_path = [p for p in python_path if not p.startswith((sys.prefix + "/", sys.base_prefix + "/"))]
    environment = {
        "PYTHONPATH": os.pathsep.join(own_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "EXCHANGE": str(exchange),
        "VSWITCH_UML": "1",
        "VSWITCH_TEST_ALL": os.environ.get("VSWITCH_TEST_ALL", ""),
        "CI": os.environ.get("CI", ""),
        **(env or {}),
    }
    exports = "\n".join(f"export {k}={shlex.quote(v)}" for k, v in environment.items())
    (exchange / "script").write_text(script)
    command = shlex.join([*interpreter, str(exchange / "script")])
    (exchange / "run.sh").write_text(f"{exports}\nexec {command}\n")
    init = exchange / "init"
    init.write_text(
        INIT.format(
            visible=mounts,
            modules=MODULES,
            load=shlex.join(modules),
            exchange=shlex.quote(str(exchange)),
            cwd=shlex.quote(cwd or os.getcwd()),
        )
    )
    init.chmod(0o755)
    status = exchange / "status"
    status.unlink(missing_ok=True)
    return _boot(init, exchange, memory, timeout)


@functools.cache
def _preload() -> str:
    """The library with which this kernel runs on any processor (`xstate.c`); "" without a compiler."""
    library = Path(tempfile.mkdtemp(prefix="vswitch-uml-")) / "xstate.so"
    atexit.register(shutil.rmtree, library.parent, ignore_errors=True)
    source = Path(__file__).with_name("xstate.c")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return ""
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)


def _boot(init: Path, exchange: Path, memory: str, timeout: float) -> Result:
    started = time.monotonic()
    output_path, console_path = exchange / "output", exchange / "console"
    with output_path.open("wb") as output, console_path.open("wb") as console:
        process = subprocess.Popen(
            [
                KERNEL, f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw",
                f"init={init}", "con=null", "con0=null,fd:1", "con1=null", "ssl=null",
                f"ssl0=null,fd:{output.fileno()}", "quiet", f"uml_dir={exchange}/", f"umid=uml{os.getpid()}",
            ],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            env={**os.environ, "LD_PRELOAD": _preload()},
            pass_fds=[output.fileno()], start_new_session=True,
        )  # fmt: skip
        timed_out = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    status = exchange / "status"
    text = status.read_text().strip() if status.exists() else ""
    return Result(
        status=int(text) if text else None,
        output=output_path.read_text(errors="replace"),
        console=console_path.read_text(errors="replace"),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )
