"""A private SLURM cluster on one machine: munge, slurmctld and two slurmd nodes with pretended GPUs.

    python -m tests.slurm.lab install          Debian packages, where they are missing and may be installed
    python -m tests.slurm.lab bash             a command (here a shell) on a cluster that ends with it

Key, sockets, state, spool and logs lie in one temporary folder, every port is bound to 127.0.0.1, nothing in /etc or
/run is used, and the daemons are children of this process that die with it. GPUs are links to /dev/null, so jobs get
their own CUDA_VISIBLE_DEVICES; nodes claim more memory than there is, so that rules may ask for what they need.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = ["slurm-wlm", "munge"]
DAEMONS = ["munged", "slurmctld", "slurmd"]
SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
CONFIG = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SrunPortRange={srun}
# slurmctld, slurmd and srun listen on 127.0.0.1 alone
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# cred_expire is also how long a requeued job waits (120 s by default)
AuthInfo=socket={folder}/munge.sock,cred_expire=10
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SwitchType=switch/none
MpiDefault=none
# no cgroups: memory is watched once a second, a job over its limit killed
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0,requeue_delay=1
EnforcePartLimits=ALL
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=10
SlurmdTimeout=30
SlurmctldTimeout=30
MessageTimeout=10
MinJobAge=3600
CompleteWait=0
SlurmdParameters=config_overrides
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/finished.log
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=gpu[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{nodes}] CPUs={cpus} RealMemory=200000 Gres=gpu:fake:2
PartitionName=gpu Nodes=ALL Default=YES MaxTime=UNLIMITED DefaultTime=10 DefMemPerCPU=500 PriorityTier=10
PartitionName=low Nodes=ALL MaxTime=UNLIMITED DefaultTime=10 DefMemPerCPU=500 PriorityTier=1
"""
GRES = "AutoDetect=off\nNodeName=gpu[1-2] Name=gpu Type=fake File={folder}/dev/nvidia[0-1] Flags=nvidia_gpu_env\n"


class Lab:
    """The cluster, for as long as a ``with`` block lasts.

    Attributes:
        environment: of commands that are to speak to it.
    """

    def __init__(self, folder: Path, *, cpus: int = 1) -> None:
        self.folder, self.daemons = folder, {}
        for name in ("bin", "dev", "log", "state", "spool/gpu1", "spool/gpu2"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o755)
        host, user = socket.gethostname().split(".")[0], _run("id", "-un").strip()
        port = _free_ports(300)
        values = {"host": host, "user": user, "folder": folder, "cpus": cpus, "port": port}
        ranges = {"nodes": f"{port + 1}-{port + 2}", "srun": f"{port + 3}-{port + 299}"}
        self.conf = folder / "slurm.conf"
        self.conf.write_text(CONFIG.format(**values, **ranges))
        (folder / "gres.conf").write_text(GRES.format(folder=folder))
        for gpu in (0, 1):
            (folder / "dev" / f"nvidia{gpu}").symlink_to("/dev/null")
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        # The executor's job step drops SLURM_CONF from the environment of the srun that it starts inside a job. Real
        # sites have /etc/slurm; here an srun that is first on the PATH puts it back.
        srun = folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def __enter__(self) -> Lab:
        try:
            munge = ("--key-file", "munge.key"), ("--socket", "munge.sock"), ("--pid-file", "munged.pid")
            paths = [f"{key}={self.folder / name}" for key, name in (*munge, ("--seed-file", "munged.seed"))]
            # --force: sockets under a world-writable parent such as /tmp
            self.start("munged", "--foreground", "--force", "--num-threads=2", *paths)
            self.start_controller()
            for node in ("gpu1", "gpu2"):
                self.start_node(node)
            self.wait_for(
                "both nodes", lambda: self.ask("sinfo", "--noheader", "--format=%D %t %R").count("2 idle") == 2
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self.daemons:
            self.tell("scancel", "--user", _run("id", "-un").strip())
            self.wait_for("an empty queue", lambda: not self.queue(), seconds=60, give_up=False)
        for name in reversed([*self.daemons]):
            self.stop(name)

    def start(self, daemon: str, *arguments: str, name: str | None = None) -> None:
        """Start a daemon in the foreground; it dies with this process."""
        command = ["setpriv", "--pdeathsig", "KILL", shutil.which(daemon, path=SEARCH), *arguments]
        with (self.folder / "log" / f"{name or daemon}.out").open("a") as out:
            process = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.daemons[name or daemon] = process

    def start_controller(self) -> None:
        """Start slurmctld; it goes on from its saved state, if there is one."""
        self.start("slurmctld", "-D", "-f", str(self.conf))

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        self.start("slurmd", "-D", "-f", str(self.conf), "-N", node, name=node)

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End a daemon by its name, in good order or not."""
        process = self.daemons.pop(name)
        process.kill() if kill else process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, *command: str) -> str:
        """What a command of SLURM says; empty if it fails."""
        return self.tell(*command).stdout

    def tell(self, *command: str) -> subprocess.CompletedProcess:
        """Run a command of SLURM."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def queue(self, fields: str = "%A %T %k") -> list[str]:
        """Jobs that have not ended: id, state, comment (rule and wildcards)."""
        return self.ask("squeue", "--noheader", f"--format={fields}").splitlines()

    def wait_for(self, what: str, done, *, seconds: float = 60, give_up: bool = True) -> None:
        """Wait until ``done()`` is true."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                if give_up:
                    raise TimeoutError(f"no {what} after {seconds} s; queue: {self.queue()}; logs: {self.folder}/log")
                return
            time.sleep(0.2)


def missing() -> str:
    """Why there can be no cluster on this machine; empty if there can."""
    absent = [daemon for daemon in DAEMONS if not shutil.which(daemon, path=SEARCH)]
    return f"no {', '.join(absent)}; apt-get install {' '.join(PACKAGES)}" if absent else ""


def install() -> None:
    """Install what is missing, where apt-get and root are at hand; say so where not."""
    if not missing():
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    try:
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "install", "--yes", "--no-install-recommends", *PACKAGES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"SLURM cannot be installed here ({error}); its tests will be skipped.", file=sys.stderr)


def _free_ports(count: int) -> int:
    """The first of ``count`` ports that nobody listens on, as far as the first few show."""
    for port in range(16800, 32000, count):
        try:
            for offset in range(4):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
    raise OSError("no free ports")


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Install, or run a command on a cluster of its own."""
    if sys.argv[1:] == ["install"]:
        install()
        return 0
    if why := missing():
        print(why, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="slurm-lab-") as folder, Lab(Path(folder), cpus=2) as lab:
        return subprocess.run(sys.argv[1:], env=lab.environment).returncode


if __name__ == "__main__":
    sys.exit(main())
