"""The build: which modules mypyc compiles, and what happens where it can't.

Everything is typed Python and works interpreted. `HOT` is the one list of what is also
compiled; `INTERPRETED` takes modules out of it, each with its reason. Without a C compiler
or Python's headers, or with VSWITCH_NO_COMPILE=1, the package is installed interpreted and
the build says so; `vswitch --version` tells which build it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SRC = Path("src")
JOBS = int(os.environ.get("VSWITCH_BUILD_JOBS", "") or max(2, os.cpu_count() or 2))
# Measured with 28 modules on two cores: one C file a module builds in 15 s, one for all in 27 s, to
# the same speed; -O3 takes no longer than -O2 and looks up 4 % faster.
OPT_LEVEL = os.environ.get("VSWITCH_OPT_LEVEL", "3")

HOT = (
    "base/clock.py",
    "base/coverage.py",
    "base/json_framing.py",
    "base/respite.py",
    "base/signed.py",
    "base/tags.py",
    "packet/*.py",
    "packet/tunnel/*.py",
    "flow/*.py",
    "classifier/*.py",
    "netlink/attrs.py",
    "netlink/message.py",
    "netdev/afpacket.py",
    "netdev/coalesce.py",
    "netdev/frame.py",
    "netdev/gso.py",
    "daemon/mainloop.py",
    "daemon/spin.py",
    "dpif/actions.py",
    "dpif/actions_nl.py",
    "dpif/cookie.py",
    "dpif/key_change.py",
    "dpif/key_mask.py",
    "dpif/key_struct.py",
    "dpif/odp_*.py",
    "dpif/ops.py",
    "dpif/kernel/flow.py",
    "dpif/kernel/packet.py",
    "dpif/kernel/requests.py",
    "dpif/kernel/sketch.py",
    "dpif/userspace/*.py",
    "dpif/userspace/conntrack/*.py",
    "l2/mac_learning.py",
    "openflow/action_check.py",
    "openflow/action_nesting.py",
    "openflow/action_query.py",
    "openflow/actions.py",
    "openflow/flow_mod.py",
    "openflow/messages/*.py",
    "openflow/wire/actions.py",
    "openflow/wire/buffer.py",
    "openflow/wire/codec.py",
    "openflow/wire/ct.py",
    "openflow/wire/error_table.py",
    "openflow/wire/errors.py",
    "openflow/wire/framing.py",
    "openflow/wire/hashing.py",
    "openflow/wire/instructions.py",
    "openflow/wire/learn.py",
    "openflow/wire/match.py",
    "openflow/wire/match10.py",
    "openflow/wire/match_shape.py",
    "openflow/wire/messages_base.py",
    "openflow/wire/messages_bundle.py",
    "openflow/wire/messages_flow.py",
    "openflow/wire/messages_flow_mod.py",
    "openflow/wire/messages_packet.py",
    "openflow/wire/messages_session.py",
    "openflow/wire/nicira.py",
    "openflow/wire/oxm.py",
    "openflow/wire/ports.py",
    "openflow/wire/properties.py",
    "openflow/wire/put.py",
    "openflow/wire/set_field.py",
    "openflow/wire/standard.py",
    "openflow/wire/subfield.py",
    "openflow/wire/version.py",
    "monitor/sflow.py",
    "ofproto/bundle.py",
    "ofproto/bundles.py",
    "ofproto/connmgr.py",
    "ofproto/eviction.py",
    "ofproto/flow_mod_log.py",
    "ofproto/flow_monitor.py",
    "ofproto/geneve.py",
    "ofproto/group_refs.py",
    "ofproto/groups.py",
    "ofproto/handlers.py",
    "ofproto/handlers_bundle.py",
    "ofproto/handlers_flow.py",
    "ofproto/handlers_port.py",
    "ofproto/handlers_session.py",
    "ofproto/multipart.py",
    "ofproto/ofconn.py",
    "ofproto/packet_metadata.py",
    "ofproto/partial_requests.py",
    "ofproto/pinsched.py",
    "ofproto/rule.py",
    "ofproto/table.py",
    "ofproto/tables.py",
    "ofproto/tlv.py",
    "ofproto_dpif/backer.py",
    "ofproto_dpif/completions.py",
    "ofproto_dpif/facets/changed.py",
    "ofproto_dpif/facets/expiration.py",
    "ofproto_dpif/facets/facet.py",
    "ofproto_dpif/facets/governor.py",
    "ofproto_dpif/facets/install.py",
    "ofproto_dpif/facets/revalidate.py",
    "ofproto_dpif/learned.py",
    "ofproto_dpif/ofprotos.py",
    "ofproto_dpif/protocols/sflow.py",
    "ofproto_dpif/rules.py",
    "ofproto_dpif/tunnel/underlay.py",
    "ofproto_dpif/upcall/packet_in.py",
    "ofproto_dpif/upcall/packet_out.py",
    "ofproto_dpif/upcall/upcall.py",
    "ofproto_dpif/xlate/*.py",
    "ofproto_dpif/xlate/actions/*.py",
    "ovsdb/about.py",
    "ovsdb/condition.py",
    "ovsdb/database.py",
    "ovsdb/datum.py",
    "ovsdb/monitor.py",
    "ovsdb/operations.py",
    "ovsdb/transaction.py",
    "vconn/connection.py",
    "vconn/controllers.py",
    "vconn/open_stream.py",
    "vconn/poller.py",
    "vconn/rconn.py",
    "vconn/stream.py",
    "vconn/tls_stream.py",
    "vconn/vconn.py",
)

INTERPRETED: dict[str, str] = {}
"""Path under src/vswitch -> why mypyc leaves it alone although `HOT` names it."""


def hot_modules() -> list[str]:
    """The source files to compile: `HOT` without `INTERPRETED` and the packages' `__init__`."""
    top = SRC / "vswitch"
    gone = [p for p in (*HOT, *INTERPRETED) if not any(top.glob(p))]
    if gone:
        raise SystemExit(f"setup.py: HOT and INTERPRETED name what is not there: {', '.join(gone)}")
    found = {p for pattern in HOT for p in top.glob(pattern) if p.name != "__init__.py"}
    return sorted(str(p) for p in found if str(p.relative_to(top)) not in INTERPRETED)


def why_not() -> str:
    """Why this build can't compile, or "" if it can."""
    if os.environ.get("VSWITCH_NO_COMPILE", "") not in ("", "0"):
        return "VSWITCH_NO_COMPILE is set"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as d:
        probe = Path(d, "probe.c")
        probe.write_text("#include <Python.h>\nint probe(void) { return PY_MAJOR_VERSION; }\n")
        args = [*compiler, "-c", f"-I{sysconfig.get_path('include')}", "-o", str(probe.with_suffix(".o"))]
        try:
            ran = subprocess.run([*args, str(probe)], capture_output=True, text=True, check=False)
        except OSError as e:
            return f"no C compiler ({e.strerror}: {compiler[0]})"
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if "error" in line] or ["it does not say why"]
        return f"the C compiler can't build against Python.h ({said[0].strip()})"
    try:
        import mypyc.build  # noqa: F401
    except ImportError:
        return "mypyc is not installed"
    return ""


def say(text: str) -> None:
    """One line to the build's output, at once."""
    sys.stderr.write(f"vswitch: {text}\n")  # one write, so that compilers' output can't come between
    sys.stderr.flush()


class BuildPy(build_py):
    """Copies the Python files, and drops from the build directory those that have gone."""

    def run(self) -> None:
        lib = Path(self.build_lib)
        for p in lib.glob("vswitch/**/*.py"):
            if not (SRC / p.relative_to(lib)).exists():
                p.unlink()
        super().run()


class BuildExt(build_ext):
    """Compiles the C files of an extension side by side, and only those that changed."""

    def build_extensions(self) -> None:
        compiler = self.compiler
        one_by_one = compiler.compile
        wanted = {self.get_ext_fullpath(e.name) for e in self.extensions}
        for so in Path(self.build_lib).glob("**/*.so"):
            if str(so) not in wanted:
                so.unlink()

        def side_by_side(sources, output_dir=None, **kwargs):  # type: ignore[no-untyped-def]
            headers = kwargs.get("depends") or []
            newest = max((os.path.getmtime(h) for h in headers if os.path.exists(h)), default=0.0)
            objects = compiler.object_filenames(sources, output_dir=output_dir)
            todo = [
                source
                for source, obj in zip(sources, objects, strict=True)
                if not os.path.exists(obj) or os.path.getmtime(obj) < max(newest, os.path.getmtime(source))
            ]
            todo.sort(key=os.path.getsize, reverse=True)
            with ThreadPoolExecutor(JOBS) as pool:
                for n, _ in enumerate(pool.map(lambda s: one_by_one([s], output_dir, **kwargs), todo), 1):
                    if n % 10 == 0 or n == len(todo) > 1:
                        say(f"compiled {n} of {len(todo)} C files")
            return objects

        compiler.compile = side_by_side
        super().build_extensions()


def packs_relocations() -> bool:
    """Whether the C library can load a library whose relocations are packed (DT_RELR), which spares 0.8 MB.
    A linker that can't pack them says so and doesn't."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return name == "glibc" and [int(n) for n in version.split(".")] >= [2, 36]
    except (OSError, ValueError):
        return False


def extensions() -> list[Extension]:
    """The C extensions to build: none in an interpreted build."""
    if not {"build_ext", "bdist_wheel", "build", "install", "develop"} & set(sys.argv):
        return []
    reason = why_not()
    if reason:
        say(f"INTERPRETED build (works, slower): {reason}")
        return []
    modules = hot_modules()
    if not modules:
        return []
    from mypyc.build import mypycify

    say(f"translating {len(modules)} modules to C with mypyc; {JOBS} compilers at a time after that")
    built = mypycify(
        ["--config-file=pyproject.toml", *modules],
        opt_level=OPT_LEVEL,
        debug_level="0",
        multi_file=True,
        group_name="vswitch",
    )
    for extension in built:
        # A compiler newer than mypyc may warn of what it did not know; that is no reason to fail.
        extension.extra_compile_args = [a for a in extension.extra_compile_args if a != "-Werror"]
        # Functions that only this library calls can be called directly, and be put where they are called.
        extension.extra_compile_args.append("-fvisibility=hidden")
        if packs_relocations():
            extension.extra_link_args.append("-Wl,-z,pack-relative-relocs")
    return built


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt, "build_py": BuildPy})
