"""What `vswitchd --help` prints."""

from __future__ import annotations

_TEXT = """\
{program}: virtual switch daemon
usage: {program} [OPTIONS] [DATABASE]
where DATABASE is a socket on which ovsdb-server is listening
      (default: "unix:{rundir}/db.sock").

Active DATABASE connection methods:
  tcp:HOST:PORT           PORT at remote HOST
  ssl:HOST:PORT           SSL PORT at remote HOST
  unix:FILE               Unix domain socket named FILE
PKI configuration (required to use SSL):
  -p, --private-key=FILE  file with private key
  -c, --certificate=FILE  file with certificate for private key
  -C, --ca-cert=FILE      file with peer CA certificate
  --bootstrap-ca-cert=FILE  file with peer CA certificate to read or create
SSL options:
  --ssl-protocols=PROTOS  list of SSL protocols to enable
  --ssl-ciphers=CIPHERS   list of SSL ciphers to enable

Daemon options:
  --detach                run in background, return when the switch serves
  --monitor               one more process, which starts the daemon again if it crashes
  --user=USER[:GROUP]     run as this user, with what rights a switch needs
  --no-chdir              stay in this directory, with --detach
  --pidfile[=FILE]        write the process's id (default: {rundir}/{program}.pid)
  --overwrite-pidfile     with --pidfile, start even if another process runs
  --mlockall              keep all memory in RAM

Logging options:
  -v[SPEC], --verbose[=SPEC]  set log levels: MODULE:DESTINATION:LEVEL
  -vPATTERN:DESTINATION:PATTERN, -vFACILITY:FACILITY
  --log-file[=FILE]       log to FILE too
                          (default: {logdir}/{program}.log)
  --syslog-method=(libc|unix:FILE|udp:IP:PORT|null)  the way to syslog
  --syslog-target=IP:PORT  another receiver of syslog messages, over UDP

Datapath options:
  --enable-dummy[=system|override]  dummy devices and datapaths, for tests
  --disable-system        no datapath of the kernel

Other options:
  --unixctl=SOCKET        control socket, or none (default: {rundir}/{program}.PID.ctl)
  -h, --help              this text
  -V, --version           version information
"""


def usage(program: str, rundir: str, logdir: str) -> str:
    """The text, with the places that are usual here."""
    return _TEXT.format(program=program, rundir=rundir, logdir=logdir)
